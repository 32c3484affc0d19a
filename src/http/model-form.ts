/** The form that a model made elsewhere is sent in: its file, its labels, and how to feed it. */
import { readFile } from 'node:fs/promises'
import { ModelImportFields } from '../contract/model-import.ts'
import { normaliseLabel } from '../dataset/label.ts'
import { type Fault, ServiceError } from '../errors.ts'
import { abbreviate } from './abbreviate.ts'
import { findFaults } from './faults.ts'
import { invalidUpload, type ReceivedFile, type Upload } from './uploads.ts'

export interface ModelForm {
  readonly file: ReceivedFile
  /** By class index. */
  readonly labels: readonly string[]
  readonly said: ModelImportFields
}

export const modelFormRules = {
  fields: [...Object.keys(ModelImportFields.properties), 'labels'],
  fileFields: ['file', 'labels'],
  jsonFields: ['input', 'labels'],
  // A thousand labels; more come as a file.
  fieldBytes: 256 * 1024,
  maxFiles: 2
} as const

const mostLabels = 10_000
const mostLabelBytes = 4 * 2 ** 20

/** @throws ServiceError REQUEST_INVALID with a pointer per fault */
export async function readModelForm({ fields, files }: Upload): Promise<ModelForm> {
  const faults: Fault[] = []
  const { labels: labelField, ...given } = Object.fromEntries(fields)
  const [file, ...moreFiles] = files.filter(({ field }) => field === 'file')
  const labelFiles = files.filter(({ field }) => field === 'labels')
  if (file === undefined) faults.push({ pointer: '/file', detail: 'is required: an ONNX file' })
  if (moreFiles.length > 0) faults.push({ pointer: '/file', detail: 'was given twice' })
  const texts = [...(labelField === undefined ? [] : [labelField]), ...(await read(labelFiles))]
  const labels = texts.length === 1 ? readLabels(texts[0] ?? '', faults) : []
  if (texts.length === 0) faults.push({ pointer: '/labels', detail: `is required: ${labelsForm}` })
  if (texts.length > 1) faults.push({ pointer: '/labels', detail: 'was given twice' })
  const input = readInput(given.input, faults)
  const said = { resize: 'stretch', variant: 'baseline', ...given, input }
  if (input !== undefined) faults.push(...findFaults(ModelImportFields, said))
  else faults.push(...findFaults(ModelImportFields, { ...said, input: {} }))
  if (faults.length > 0 || file === undefined) throw invalidUpload(faults.slice(0, 50))
  return { file, labels, said: said as ModelImportFields }
}

const labelsForm = 'a JSON array of texts, or a text with one in each line, by class index'

async function read(files: readonly ReceivedFile[]): Promise<string[]> {
  const texts: string[] = []
  for (const { path, bytes } of files) {
    if (bytes > mostLabelBytes) {
      const detail = `must have at most ${mostLabelBytes} bytes`
      throw invalidUpload([{ pointer: '/labels', detail, received: `${bytes} bytes` }])
    }
    texts.push(await readFile(path, 'utf8'))
  }
  return texts
}

function readLabels(text: string, faults: Fault[]): string[] {
  const pointer = '/labels'
  const items = labelItems(text.replace(/^\uFEFF/, ''))
  if (items === undefined || items.length < 2 || items.length > mostLabels) {
    const received = items === undefined ? text.slice(0, 100) : `${items.length} labels`
    faults.push({
      pointer,
      detail: `must be 2 to ${mostLabels} labels: ${labelsForm}`,
      received
    })
    return []
  }
  const places = new Map<string, number>()
  return items.map((item, i) => {
    const at = `${pointer}/${i}`
    const label = oneLabel(item, at, faults)
    const first = places.get(label)
    if (first !== undefined && label !== '') {
      faults.push({
        pointer: at,
        detail: `is the label of class ${first} already`,
        received: label
      })
    }
    places.set(label, i)
    return label
  })
}

/** Undefined when it looks like JSON and is not, or is no array. */
function labelItems(text: string): readonly unknown[] | undefined {
  if (!/^\s*[[{"]/.test(text)) return text.replace(/\r?\n$/, '').split(/\r?\n/)
  try {
    const items: unknown = JSON.parse(text)
    return Array.isArray(items) ? items : undefined
  } catch {
    return undefined
  }
}

function oneLabel(item: unknown, pointer: string, faults: Fault[]): string {
  if (typeof item !== 'string') {
    faults.push({ pointer, detail: 'must be a text', received: abbreviate(item) })
    return ''
  }
  try {
    return normaliseLabel(item)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    faults.push({ pointer, detail: error.detail })
    return ''
  }
}

/** Undefined when it cannot be read; no description at all is an empty one. */
function readInput(text: string | undefined, faults: Fault[]): object | undefined {
  if (text === undefined) return {}
  try {
    const input: unknown = JSON.parse(text)
    if (typeof input === 'object' && input !== null) return input
  } catch {}
  const detail = 'must be a JSON object with order, scale, mean, std or size'
  faults.push({ pointer: '/input', detail, received: abbreviate(text) })
  return undefined
}
