import type { KeyObject } from 'node:crypto'
import type { Config, SourceConfig } from '../config.ts'
import { FileBacked } from '../observe/file-backed.ts'
import type { Logger } from '../observe/log.ts'
import { providerOf } from './providers.ts'
import type { Provider } from './request.ts'

export type Source = SourceConfig & { readonly provider: Provider; readonly keys: readonly KeyObject[] }

/** Where events may come from, as it is at this moment. SOURCES_FILE is read again when it changes. */
export class Sources {
  readonly name = 'sources'
  readonly #backing: FileBacked<readonly SourceConfig[]>
  #byName: ReadonlyMap<string, Source> = new Map()

  constructor({
    sources,
    file,
    log,
  }: { sources: readonly SourceConfig[]; file: Config['sourcesFile'] | undefined; log: Logger }) {
    this.#backing = new FileBacked({
      setting: 'SOURCES_FILE',
      what: 'sources',
      initial: sources,
      file,
      use: (value) => {
        this.#byName = prepared(value)
      },
      namesOf: (value) => value.map(({ name }) => name),
      log,
    })
  }

  start(): Promise<void> {
    this.#backing.start()
    return Promise.resolve()
  }

  stop(): Promise<void> {
    this.#backing.stop()
    return Promise.resolve()
  }

  get(name: string): Source | undefined {
    return this.#byName.get(name)
  }

  /** Why the file as it is now is not in force; undefined when it is. */
  get trouble(): string | undefined {
    return this.#backing.trouble
  }

  reload(): void {
    this.#backing.reload()
  }
}

function prepared(sources: readonly SourceConfig[]): ReadonlyMap<string, Source> {
  return new Map(
    sources.map((config) => {
      const provider = providerOf(config)
      return [config.name, { ...config, provider, keys: config.secrets.map(provider.prepare) }]
    }),
  )
}
