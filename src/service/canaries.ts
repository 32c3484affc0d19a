/**
 * Watches aliases that may be rolled back: outcomes and times of each target in a rolling window, and
 * back to the stable target alone when another one leaves its bounds.
 *
 * The settings are in the catalogue; the windows are here, and begin anew with the process and with
 * every change of the alias. An alias that somebody has changed meanwhile is left as it is.
 */
import type { BaseLogger } from 'pino'
import { rollBackAlias } from '../catalog/aliases.ts'
import type { Catalog } from '../catalog/open.ts'
import type { ServedVariant, WatchedTarget } from '../catalog/served-models.ts'
import type { VariantName } from '../contract/report.ts'
import type { Rollback, RolledBack, TargetFigures } from '../contract/rollback.ts'
import { judgeCanary } from './judge-canary.ts'
import { OutcomeWindow, type RequestOutcome } from './outcome-window.ts'

interface CanariesOptions {
  readonly db: Catalog
  readonly log: Pick<BaseLogger, 'warn' | 'error'>
  readonly onRolledBack: (event: RolledBack) => void
}

interface WatchedAlias extends Pick<WatchedTarget, 'modelId' | 'alias' | 'revision'> {
  readonly model: string
  readonly rollback: Rollback
  /** By position in the alias. */
  readonly targets: Map<number, Target>
  /** Set while a check is to come, or runs. */
  timer: NodeJS.Timeout | undefined
}

interface Target {
  readonly version: number
  readonly variant: VariantName
  readonly window: OutcomeWindow
}

/** Those that were made known first are forgotten first; each keeps some 16 KiB a target. */
const mostAliases = 500
/** However many requests there are, figures are looked at so often. */
const checkEveryMs = 200

export class Canaries {
  readonly #options: CanariesOptions
  readonly #aliases = new Map<string, WatchedAlias>()
  readonly #checks = new Set<Promise<void>>()

  constructor(options: CanariesOptions) {
    this.#options = options
  }

  /** Takes down what came of a request, if its target is watched. */
  observe(served: ServedVariant, outcome: RequestOutcome): void {
    if (served.watched === undefined) return
    const alias = this.#aliasOf(served, served.watched)
    if (alias === undefined) return
    targetOf(alias, served, served.watched).window.add(outcome)
    alias.timer ??= setTimeout(() => this.#startCheck(alias), checkEveryMs).unref()
  }

  /** Settles when no rollback is being written. */
  async close(): Promise<void> {
    for (const { timer } of this.#aliases.values()) clearTimeout(timer)
    this.#aliases.clear()
    await Promise.all(this.#checks)
  }

  /** Undefined for a request that was asked of an earlier state of the alias. */
  #aliasOf({ model }: ServedVariant, watched: WatchedTarget): WatchedAlias | undefined {
    const { modelId, alias, revision } = watched
    const key = keyOf(watched)
    const known = this.#aliases.get(key)
    if (known?.revision === revision) return known
    if (known !== undefined && known.revision > revision) return undefined
    const rollback: Rollback = JSON.parse(watched.rollback)
    const fresh = {
      model,
      modelId,
      alias,
      revision,
      rollback,
      targets: new Map(),
      timer: undefined
    }
    clearTimeout(known?.timer)
    const [oldest] = this.#aliases
    if (known === undefined && this.#aliases.size >= mostAliases && oldest !== undefined) {
      clearTimeout(oldest[1].timer)
      this.#aliases.delete(oldest[0])
    }
    this.#aliases.set(key, fresh)
    return fresh
  }

  #startCheck(alias: WatchedAlias): void {
    const check = this.#check(alias)
      .catch((error: unknown) => {
        const { model, alias: name } = alias
        this.#options.log.error({ err: error, model, alias: name }, 'alias cannot be rolled back')
      })
      .finally(() => {
        alias.timer = undefined
        this.#checks.delete(check)
      })
    this.#checks.add(check)
  }

  async #check(alias: WatchedAlias): Promise<void> {
    const event = findReason(alias)
    if (event === null) return
    const isDone = await rollBackAlias(this.#options.db, alias, event)
    if (this.#aliases.get(keyOf(alias)) === alias) this.#aliases.delete(keyOf(alias))
    if (!isDone) return
    this.#options.onRolledBack(event)
    this.#options.log.warn(
      { model: alias.model, alias: alias.alias, ...event },
      'alias rolled back'
    )
  }
}

const keyOf = ({ modelId, alias }: Pick<WatchedTarget, 'modelId' | 'alias'>): string =>
  `${modelId}/${alias}`

function targetOf(
  { targets, rollback }: WatchedAlias,
  { version, variant }: ServedVariant,
  { position }: WatchedTarget
): Target {
  const known = targets.get(position)
  if (known) return known
  const window = new OutcomeWindow(1000 * rollback.windowSeconds, () => performance.now())
  const target = { version, variant, window }
  targets.set(position, target)
  return target
}

function findReason({ targets, rollback }: WatchedAlias): RolledBack | null {
  const known = targets.get(rollback.to)
  const stable = known === undefined ? null : figuresOf(known)
  for (const [position, target] of targets) {
    if (position === rollback.to) continue
    const canary = figuresOf(target)
    const judgement = judgeCanary(canary, stable, rollback)
    if (judgement === null) continue
    return { at: new Date().toISOString(), what: 'rolled-back', ...judgement, canary, stable }
  }
  return null
}

function figuresOf({ version, variant, window }: Target): TargetFigures {
  const { requests, failed, medianMs } = window.figures
  const errorRate = requests === 0 ? 0 : failed / requests
  const rounded = medianMs === null ? null : Number(medianMs.toPrecision(3))
  return { version, variant, requests, failed, errorRate, medianMs: rounded }
}
