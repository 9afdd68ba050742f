import type { Config, StoreAddress } from '../config.ts'
import { ManagedStores } from './managed.ts'
import type { StoreName } from './place.ts'

/** The two stores by role, wherever they are: run for us, or somebody else's. */
export class Stores {
  readonly name = 'stores'
  readonly #config: Pick<Config, 'queueStore' | 'cacheStore'>
  readonly #managed: ManagedStores | undefined

  constructor(
    config: Pick<Config, 'queueStore' | 'cacheStore' | 'dataDir' | 'durability'>,
    options: { onProgress?: ((detail: string) => void) | undefined; keeperFile?: string | undefined } = {},
  ) {
    this.#config = config
    const needsManaged = config.queueStore === 'managed' || config.cacheStore === 'managed'
    this.#managed = needsManaged ? new ManagedStores({ ...config, ...options }) : undefined
  }

  /** Resolves when those that are managed answer. Throws `store-not-started`. */
  async start(): Promise<void> {
    await this.#managed?.start()
  }

  async stop(deadline?: number): Promise<void> {
    await this.#managed?.stop(deadline)
  }

  address(role: StoreName): StoreAddress {
    const configured = role === 'queue' ? this.#config.queueStore : this.#config.cacheStore
    if (configured !== 'managed') return configured
    // The constructor made it for exactly this case.
    return (this.#managed as ManagedStores).address(role)
  }
}
