/**
 * Which version and variant answers a prediction, and what serving it needs to know.
 *
 * A version never changes, so what is parsed from its report is kept. Whether it still exists and where
 * aliases point is kept only while nothing at all is written to the catalogue, and then asked anew.
 */
import { createHash } from 'node:crypto'
import type { PublishedReport, VariantName } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import { aliasNotFound } from './aliases.ts'
import { modelNotFound, versionNotFound } from './models.ts'
import { type Catalog, changesOf } from './open.ts'

export interface Choice {
  readonly version?: number | undefined
  readonly variant?: VariantName | undefined
  readonly alias?: string | undefined
  /** Who asks, in the caller's own words: always the same target of an alias, while it has the same ones. */
  readonly sticky?: string | undefined
}

export interface ServedVariant {
  readonly model: string
  readonly version: number
  readonly variant: VariantName
  readonly labels: readonly string[]
  readonly network: PublishedReport['network']
  /** Of the ONNX file. */
  readonly sha256: string
  /** When it was chosen as a target of an alias that may be rolled back. */
  readonly watched?: WatchedTarget
}

/** A target of an alias whose outcomes decide whether the alias is rolled back. */
export interface WatchedTarget {
  readonly modelId: number
  readonly alias: string
  /** Of the alias, when the target was chosen. */
  readonly revision: number
  /** Of the target in the alias. */
  readonly position: number
  /** JSON: Rollback. */
  readonly rollback: string
}

interface ServedVersion {
  readonly labels: readonly string[]
  readonly network: PublishedReport['network']
  readonly recommended: VariantName
  /** SHA-256 of the ONNX file by variant. */
  readonly files: ReadonlyMap<string, string>
}

/** Parsed reports that are kept; the rest is read again when asked for. */
const keptVersions = 256

export class ServedModels {
  readonly #db: Catalog
  readonly #draw: () => number
  readonly #versions = new Map<string, ServedVersion>()
  readonly #rows: UnchangedRows

  /** @param draw - uniform in [0, 1); decides between targets that share the traffic of an alias. */
  constructor(db: Catalog, draw: () => number) {
    this.#db = db
    this.#draw = draw
    this.#rows = new UnchangedRows(db)
  }

  /**
   * Resolves a model: by version (and variant) if given, else by alias, else by the alias
   * `production`, else the newest version. Without variant: the target's, else the recommended one.
   *
   * @throws ServiceError REQUEST_INVALID (both version and alias), MODEL_NOT_FOUND,
   *   VERSION_NOT_FOUND, ALIAS_NOT_FOUND, VARIANT_NOT_FOUND.
   */
  async resolve(model: string, choice: Choice): Promise<ServedVariant> {
    if (choice.version !== undefined && choice.alias !== undefined) throw bothGiven(choice)
    const found =
      choice.version !== undefined
        ? await this.#byVersion(model, choice.version)
        : ((await this.#byAlias(model, choice)) ?? (await this.#newest(model)))
    const served = await this.#version(found.id, model, found.version)
    const variant = choice.variant ?? found.variant ?? served.recommended
    const sha256 = served.files.get(variant)
    if (sha256 === undefined) {
      throw new ServiceError('VARIANT_NOT_FOUND', {
        detail: `Cannot find the variant: ${model} version ${found.version} has ${[...served.files.keys()].join(', ')}, received ${variant}`
      })
    }
    const { labels, network } = served
    // Whoever names a variant has not left the choice to the alias.
    const { watched } = choice.variant === undefined ? found : {}
    const chosen = { model, version: found.version, variant, labels, network, sha256 }
    return watched === undefined ? chosen : { ...chosen, watched }
  }

  async #byVersion(model: string, version: number): Promise<Found> {
    const [row] = await this.#rows.of(['version', model, version], () =>
      this.#db
        .selectFrom('models')
        .leftJoin('model_versions', (join) =>
          join.onRef('model_id', '=', 'id').on('version', '=', version)
        )
        .select(['id', 'version'])
        .where('name', '=', model)
        .execute()
    )
    if (!row) throw modelNotFound(model)
    if (row.version === null) throw versionNotFound(model, version)
    return { id: row.id, version }
  }

  /** Undefined when no alias was asked for and there is no `production`. */
  async #byAlias(model: string, { alias: asked, sticky }: Choice): Promise<Found | undefined> {
    const alias = asked ?? 'production'
    const rows = await this.#rows.of(['alias', model, alias], () =>
      this.#db
        .selectFrom('models')
        .leftJoin('alias_targets', (join) =>
          join.onRef('alias_targets.model_id', '=', 'id').on('alias_targets.alias', '=', alias)
        )
        .leftJoin('aliases', (join) =>
          join.onRef('aliases.model_id', '=', 'id').on('aliases.alias', '=', alias)
        )
        .select(['id', 'version', 'variant', 'share', 'position', 'revision', 'rollback'])
        .where('name', '=', model)
        .orderBy('position')
        .execute()
    )
    if (rows.length === 0) throw modelNotFound(model)
    const targets = rows.filter((row) => row.version !== null)
    if (targets.length === 0 && asked !== undefined) throw aliasNotFound(model, alias)
    const draw = sticky === undefined ? this.#draw : () => drawOf(`${model}/${alias}/${sticky}`)
    const target = pickTarget(targets, draw)
    if (!target || target.version === null) return undefined
    const { id, version, variant, position, revision, rollback } = target
    const found = { id, version, variant: variant as VariantName }
    if (rollback === null || revision === null || position === null) return found
    return { ...found, watched: { modelId: id, alias, revision, position, rollback } }
  }

  async #newest(model: string): Promise<Found> {
    const [row] = await this.#rows.of(['newest', model], () =>
      this.#db
        .selectFrom('models')
        .innerJoin('model_versions', 'model_id', 'id')
        .select(['id', 'version'])
        .where('name', '=', model)
        .orderBy('version', 'desc')
        .limit(1)
        .execute()
    )
    if (row) return row
    throw new ServiceError('VERSION_NOT_FOUND', {
      detail: `Cannot find a version: every version of the model was deleted, received ${model}`
    })
  }

  async #version(modelId: number, model: string, version: number): Promise<ServedVersion> {
    const key = `${modelId}@${version}`
    const kept = this.#versions.get(key)
    if (kept) return kept
    const read = await this.#read(modelId, model, version)
    const [oldest] = this.#versions.keys()
    if (this.#versions.size >= keptVersions && oldest !== undefined) this.#versions.delete(oldest)
    this.#versions.set(key, read)
    return read
  }

  async #read(modelId: number, model: string, version: number): Promise<ServedVersion> {
    const row = await this.#db
      .selectFrom('model_versions')
      .select('report')
      .where('model_id', '=', modelId)
      .where('version', '=', version)
      .executeTakeFirst()
    if (!row) throw versionNotFound(model, version)
    const artifacts = await this.#db
      .selectFrom('artifacts')
      .select(['file', 'sha256'])
      .where('model_id', '=', modelId)
      .where('version', '=', version)
      .execute()
    const bySha = new Map(artifacts.map(({ file, sha256 }) => [file, sha256]))
    const { labels, network, recommended, variants }: PublishedReport = JSON.parse(row.report)
    const files = Object.entries(variants).map(([name, { file }]) => [name, bySha.get(file)])
    return {
      labels,
      network,
      recommended,
      files: new Map(files.filter((entry): entry is [string, string] => entry[1] !== undefined))
    }
  }
}

/** Answers to queries, kept while the catalogue is the same. */
class UnchangedRows {
  readonly #db: Catalog
  readonly #kept = new Map<string, readonly unknown[]>()
  #changes = -1

  constructor(db: Catalog) {
    this.#db = db
  }

  /** `name` is what the query depends on: equal names mean equal queries. */
  async of<T>(name: readonly unknown[], query: () => Promise<T[]>): Promise<readonly T[]> {
    const key = JSON.stringify(name)
    const before = changesOf(this.#db)
    if (before !== this.#changes) this.#kept.clear()
    this.#changes = before
    const kept = this.#kept.get(key)
    if (kept !== undefined) return kept as readonly T[]
    const rows = await query()
    // Names come from callers, and most of those that are unknown are asked for once.
    const isWorth = rows.length > 0 && this.#kept.size < keptVersions
    // The query may have waited for a transaction that wrote what `before` did not know.
    if (isWorth && this.#changes === before && changesOf(this.#db) === before) {
      this.#kept.set(key, rows)
    }
    return rows
  }
}

interface Found {
  readonly id: number
  readonly version: number
  readonly variant?: VariantName
  readonly watched?: WatchedTarget
}

/** Uniform in [0, 1), the same for the same text on every machine. */
const drawOf = (text: string): number =>
  createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32

/** Picks by share: the first target whose cumulated share exceeds the draw. */
function pickTarget<T extends { readonly share: number | null }>(
  targets: readonly T[],
  draw: () => number
): T | undefined {
  if (targets.length < 2) return targets[0]
  let rest = draw()
  for (const target of targets) {
    rest -= target.share ?? 0
    if (rest < 0) return target
  }
  return targets.at(-1)
}

function bothGiven(choice: Choice): ServiceError {
  return new ServiceError('REQUEST_INVALID', {
    detail: 'Cannot choose a model: version and alias exclude each other, received both',
    errors: [
      { pointer: '/version', detail: 'excludes alias', received: choice.version },
      { pointer: '/alias', detail: 'excludes version', received: choice.alias }
    ]
  })
}
