/**
 * The callers: they post jobs, upload datasets, move an alias, ask the models and follow every job,
 * all the while, and check what can be checked on the spot.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job } from '../../src/contract/job.ts'
import type { PredictionAnswer } from '../../src/contract/prediction.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'
import { mayPost, postJob, type Run, uploadDataset } from './actions.ts'
import type { AcceptedJob } from './ledger.ts'
import { hasEnded } from './ledger.ts'
import { guessOf, type Reference, referenceModel } from './reference.ts'

const canary = 'canary'
/** Another batch adds in another order. */
const scoreTolerance = 1e-3

export class Load {
  readonly #run: Run
  readonly #callers: Promise<void>[]
  readonly #followers: Promise<void>[]
  #posting = true
  #following = true

  constructor(run: Run) {
    this.#run = run
    const { seed } = run.options
    const draws = (name: string): Random => new Random(randomKey(seed, 'load', name))
    const posting = (): boolean => this.#posting
    this.#callers = [
      this.#repeat('jobs', posting, 300, () => this.#post()),
      this.#repeat('datasets', posting, 5000, () => this.#upload(draws('datasets')))
    ]
    const following = (): boolean => this.#following
    const [asking, moving] = [draws('predictions'), draws('aliases')]
    this.#followers = [
      this.#repeat('follow', following, 300, () => this.#follow()),
      this.#repeat('predictions', following, 150, () => this.#predict(asking)),
      this.#repeat('aliases', following, 1000, () => this.#moveAlias(moving))
    ]
  }

  /** Posts nothing more. */
  async rest(): Promise<void> {
    this.#posting = false
    await Promise.all(this.#callers)
  }

  /** Ends the questions and the following as well. */
  async stop(): Promise<void> {
    await this.rest()
    this.#following = false
    await Promise.all(this.#followers)
  }

  async #repeat(name: string, goes: () => boolean, everyMs: number, act: () => Promise<void>) {
    while (goes()) {
      try {
        await act()
      } catch (error) {
        this.#run.ledger.find('wrong', `the callers of ${name} had to give up`, String(error))
      }
      for (let waited = 0; waited < everyMs && goes(); waited += 100) await sleep(100)
    }
  }

  /** Keeps every worker busy, and one job waiting. */
  async #post(): Promise<void> {
    const { ledger, options } = this.#run
    if (mayPost(this.#run) && ledger.openJobs.length <= options.workers) await postJob(this.#run)
  }

  /** Every other dataset is trained on at once, while it is still being imported. */
  async #upload(draws: Random): Promise<void> {
    const { name } = await uploadDataset(this.#run)
    const { ledger, options } = this.#run
    const isBusy = ledger.openJobs.length > 3 * options.workers
    if (draws.uniform() < 0.5 && !isBusy && mayPost(this.#run)) {
      await postJob(this.#run, { dataset: name })
    }
  }

  async #follow(): Promise<void> {
    await Promise.all(this.#run.ledger.openJobs.map((job) => this.#look(job)))
  }

  async #look(job: AcceptedJob): Promise<void> {
    const { client, ledger } = this.#run
    const answer = await client.ask<Job>({ path: `/v1/jobs/${job.id}` })
    if (answer?.status === 404) ledger.find('lost', `${job.model} is gone`, answer.body)
    if (answer?.status !== 200 || hasEnded(job.seen)) return
    if (answer.body.attempt < job.seen.attempt) {
      ledger.find('wrong', `${job.model} counted its attempts back`, [job.seen, answer.body])
    }
    job.seen = answer.body
  }

  async #predict(draws: Random): Promise<void> {
    const { ledger, references } = this.#run
    const kinds = [...references.byKind.values()]
    const done = ledger.jobs.filter(({ seen }) => seen.state === 'completed' && seen.result)
    const job = done[Math.floor(draws.uniform() * done.length)]
    const known = kinds[Math.floor(draws.uniform() * kinds.length)]
    const question = Math.floor(draws.uniform() * references.questions.length)
    if (draws.uniform() < 0.5 && job !== undefined && job.asked === null) {
      const reference = references.byKind.get(job.kind)
      const version = job.seen.result?.version ?? 0
      await this.#ask(`${job.model}/predictions?version=${version}`, question, reference)
    } else if (known !== undefined) {
      const variants = [...known.answers.keys()]
      const variant = variants[Math.floor(draws.uniform() * variants.length)]
      const query = `version=${known.version}&variant=${variant}`
      await this.#ask(`${referenceModel}/predictions?${query}`, question, known)
    }
  }

  /** Moves the alias and asks by it: the answer must come from where it points now. */
  async #moveAlias(draws: Random): Promise<void> {
    const { client, ledger, references } = this.#run
    const kinds = [...references.byKind.values()]
    const to = kinds[Math.floor(draws.uniform() * kinds.length)]
    if (to === undefined) return
    const variants = [...to.answers.keys()]
    const variant = variants[Math.floor(draws.uniform() * variants.length)] ?? ''
    const target = { version: to.version, variant }
    const path = `/v1/models/${referenceModel}/aliases/${canary}`
    const { status, body } = await client.insist({ method: 'PUT', path, json: target })
    if (status >= 300) return ledger.find('wrong', `alias to ${JSON.stringify(target)}`, body)
    ledger.aliases.set(canary, target)
    ledger.aliasMoves += 1
    const answer = await this.#ask(`${referenceModel}/predictions?alias=${canary}`, 0, to)
    if (answer && (answer.version !== to.version || answer.variant !== variant)) {
      ledger.find('wrong', `asked by alias, ${JSON.stringify(target)} did not answer`, answer)
    }
  }

  /** Asks one image; what is answered with 200 must be what the undisturbed model said. */
  async #ask(
    path: string,
    question: number,
    reference: Reference | undefined
  ): Promise<PredictionAnswer | undefined> {
    const { client, ledger, references } = this.#run
    const png = references.questions[question]
    if (png === undefined) return undefined
    const call = { method: 'POST', path: `/v1/models/${path}`, png } as const
    const answer = await client.ask<PredictionAnswer>(call)
    if (answer === undefined || answer.status === 429 || answer.status === 503) return undefined
    const { status, body } = answer
    const expected = status === 200 ? reference?.answers.get(body.variant)?.[question] : undefined
    if (expected === undefined) {
      ledger.find('wrong', `${path} was answered ${status}`, body)
      return undefined
    }
    const { label, score } = guessOf(body)
    ledger.predictions += 1
    if (label !== expected.label || Math.abs(score - expected.score) > scoreTolerance) {
      ledger.find('wrong', `${path} got another answer than undisturbed`, [body, expected])
    }
    return body
  }
}
