/**
 * What an import has found so far, in a scratch SQLite file: duplicates, conflicts and classes are
 * queries there, so the importer's memory does not grow with the number of images.
 */
import { DatabaseSync } from 'node:sqlite'
import { type ImportFault, maxFaultsListed } from '../contract/dataset.ts'
import type { ImageFacts } from '../image/inspect.ts'
import type { Split } from './pack-file.ts'

export interface FoundImage extends ImageFacts {
  /** Position in the archive. */
  readonly seq: number
  /** Segments joined by `/`. */
  readonly path: string
  readonly sha256: string
  readonly bytes: number
}

export interface LabelledImage extends FoundImage {
  readonly label: string
  readonly split: Split | null
}

export interface FoundFault extends ImportFault {
  readonly seq: number
}

export type ImportTable = ReturnType<typeof openImportTable>

const rowsAtOnce = 500
const longestName = 300
export const labelsShown = 5

/** Opens the scratch file. Nothing in it needs to survive a crash: the import is then run again. */
export function openImportTable(file: string) {
  const db = new DatabaseSync(file)
  db.exec(schema)
  db.exec('begin')
  const insert = db.prepare('insert into image values (?, ?, ?, ?, ?, ?, ?, ?, null, null)')
  const insertFault = db.prepare('insert into fault values (?, ?, ?, ?)')
  const place = db.prepare('update image set label = ?, split = ? where seq = ?')
  const remove = db.prepare('delete from image where seq = ?')
  const atPath = db.prepare('select 1 from image where path = ? limit 1')
  const ofPath = db.prepare(otherwiseLabelled)
  const faultOf = db.prepare('select 1 from fault where file = ? limit 1')
  const ofContent = db.prepare(
    `select * from image where sha256 = ? and seq > ? order by seq limit ${rowsAtOnce}`
  )
  const conflicting = db.prepare(nextConflicts)
  const labelsOf = db.prepare(
    `select distinct label from image where sha256 = ? order by label limit ${labelsShown}`
  )
  const ofTurn = [0, 1, 2].map((turn) => db.prepare(nextInTurn(turn)))
  const addFault = ({ seq, file, code, detail }: FoundFault) =>
    void insertFault.run(seq, shorten(file), code, detail)
  const count = (query: string) => Number(db.prepare(query).get()?.n)

  return {
    add({ seq, path, sha256, width, height, bytes, format, grey }: FoundImage): void {
      insert.run(seq, path, sha256, width, height, bytes, format, grey ? 1 : 0)
    },
    addFault,
    place: (seq: number, label: string, split: Split | null) => void place.run(label, split, seq),
    /** Leaves an image out, with the reason. */
    refuse(image: Pick<FoundImage, 'seq' | 'path'>, { code, detail }: Omit<ImportFault, 'file'>) {
      remove.run(image.seq)
      addFault({ seq: image.seq, file: image.path, code, detail })
    },
    leaveOut: (seq: number) => void remove.run(seq),
    /** Images in archive order; the table may be changed meanwhile. */
    *images(where = 'true'): Generator<LabelledImage> {
      const query = `select * from image where seq > ? and (${where}) order by seq limit ${rowsAtOnce}`
      const next = db.prepare(query)
      yield* pages((last) => next.all(last?.seq ?? -1).map(asImage))
    },
    holds: (path: string) => atPath.get(path) !== undefined,
    /** Images of one path (it may occur often) without this label, a page at a time. */
    *otherwiseLabelled(path: string, label: string): Generator<LabelledImage> {
      yield* pages((last) => ofPath.all(path, label, last?.seq ?? -1).map(asImage))
    },
    isFaulty: (path: string) => faultOf.get(shorten(path)) !== undefined,
    /** Contents that have several labels, page by page; they may be removed meanwhile. */
    *conflicts(): Generator<Conflict> {
      for (let last = ''; ; ) {
        const rows = conflicting.all(last) as unknown as Conflict[]
        yield* rows
        last = rows.at(-1)?.sha256 ?? ''
        if (rows.length < rowsAtOnce) return
      }
    },
    /** Some of a content's labels: a hostile archive can give it thousands. */
    someLabels: (sha256: string) => labelsOf.all(sha256).map((row) => String(row.label)),
    /** The images of one content, a page at a time; they may be removed meanwhile. */
    *bySha256(sha256: string): Generator<LabelledImage> {
      yield* pages((last) => ofContent.all(sha256, last?.seq ?? -1).map(asImage))
    },
    /**
     * Keeps one image of each content, and says how many were dropped. Of copies with different given
     * splits the one in test stays, then validation: a test set that was given stays whole.
     */
    dropDuplicates(): number {
      const { changes } = db.prepare(dropDuplicates).run()
      return Number(changes)
    },
    labels: () =>
      db
        .prepare('select distinct label from image order by label')
        .all()
        .map((row) => String(row.label)),
    splits: () =>
      db
        .prepare('select distinct split from image where split is not null')
        .all()
        .map((row) => row.split as Split),
    /**
     * Images of one class: those with a given split other than train, those given as train, those
     * without, each in hash order. No content occurs twice by now.
     */
    *ofLabel(label: string): Generator<LabelledImage> {
      for (const next of ofTurn) {
        yield* pages((last) => next.all(label, last?.sha256 ?? '').map(asImage))
      }
    },
    imageCount: () => count('select count(*) n from image'),
    faultCount: () => count('select count(*) n from fault'),
    faults: (): ImportFault[] =>
      db
        .prepare(`select file, code, detail from fault order by seq limit ${maxFaultsListed}`)
        .all()
        .map(({ file, code, detail }) => ({
          file: String(file),
          code: String(code),
          detail: String(detail)
        })),
    /** Without a commit: nobody reads the file again, and a full disk would hide why the import ends. */
    close: (): void => db.close()
  }
}

/** Everything that `next` gives, page by page, told the last image of the page before. */
function* pages(next: (last: LabelledImage | undefined) => LabelledImage[]) {
  for (let last: LabelledImage | undefined; ; ) {
    const rows = next(last)
    yield* rows
    last = rows.at(-1)
    if (rows.length < rowsAtOnce) return
  }
}

const turnOf = "case when split is null then 2 when split = 'train' then 1 else 0 end"
const nextInTurn = (turn: number) =>
  `select * from image where label = ? and ${turnOf} = ${turn} and sha256 > ?
   order by sha256 limit ${rowsAtOnce}`

/** As three ranges of the index on path and label, so that what is labelled already costs nothing. */
const otherwiseLabelled = `
  select * from (
    select * from image where path = ?1 and label is null and seq > ?3
    union all select * from image where path = ?1 and label < ?2 and seq > ?3
    union all select * from image where path = ?1 and label > ?2 and seq > ?3
  ) order by seq limit ${rowsAtOnce}`

interface Conflict {
  readonly sha256: string
  /** Number of its labels. */
  readonly labels: number
}

const nextConflicts = `
  select sha256, count(distinct label) labels from image where sha256 > ?
  group by sha256 having labels > 1 order by sha256 limit ${rowsAtOnce}`

const schema = `
  pragma journal_mode = off;
  pragma synchronous = off;
  pragma cache_size = -16384;
  create table image (
    seq integer primary key, path text not null, sha256 text not null, width integer not null,
    height integer not null, bytes integer not null, format text not null, grey integer not null,
    label text, split text
  ) strict;
  create index image_path on image (path, label);
  create index image_content on image (sha256, label);
  create index image_label on image (label, sha256);
  create table fault (seq integer not null, file text not null, code text not null,
    detail text not null) strict;
  create index fault_seq on fault (seq);
  create index fault_file on fault (file);`

const dropDuplicates = `
  delete from image where seq in (
    select seq from (
      select seq, row_number() over (partition by sha256 order by
        case split when 'test' then 0 when 'validation' then 1 when 'train' then 2 else 3 end, seq
      ) place from image
    ) where place > 1
  )`

function asImage(row: Record<string, unknown>): LabelledImage {
  return { ...row, grey: row.grey === 1 } as unknown as LabelledImage
}

const shorten = (file: string) =>
  file.length > longestName ? `${file.slice(0, longestName - 1)}…` : file
