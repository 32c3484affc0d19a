/**
 * Models that were told to be unloaded (extension `model_repository`): they are not served until they are
 * loaded again, or the api is started again.
 *
 * Without it, a model is loaded when it is first asked and goes when others need its place.
 */
import { ServiceError } from '../errors.ts'

export class ModelSwitch {
  readonly #off = new Set<string>()

  isOn(model: string): boolean {
    return !this.#off.has(model)
  }

  turnOn(model: string): void {
    this.#off.delete(model)
  }

  turnOff(model: string): void {
    this.#off.add(model)
  }

  /** @throws ServiceError MODEL_NOT_READY when it is unloaded */
  requireOn(model: string): void {
    if (this.isOn(model)) return
    throw new ServiceError('MODEL_NOT_READY', {
      detail: `Cannot predict: ${model} was unloaded; POST /v2/repository/models/${model}/load loads it`,
      retryAfter: 30
    })
  }
}
