import type { KeyObject } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Config, SourceConfig } from '../config.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { providerOf } from './providers.ts'
import type { Provider } from './request.ts'

export type Source = SourceConfig & { readonly provider: Provider; readonly keys: readonly KeyObject[] }

/** Editors and orchestrators write a file in several steps, of which only the last is worth reading. */
const settleMs = 100
/** Some file systems tell nothing of changes (network shares, some container mounts). */
const lookMs = 5_000

/** Where events may come from, as it is at this moment. SOURCES_FILE is read again when it changes. */
export class Sources {
  readonly name = 'sources'
  readonly #file: Config['sourcesFile']
  readonly #log: Logger
  #byName: ReadonlyMap<string, Source>
  #text: string
  #trouble: string | undefined
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #settling: NodeJS.Timeout | undefined

  constructor({
    sources,
    file,
    log,
  }: { sources: readonly SourceConfig[]; file: Config['sourcesFile'] | undefined; log: Logger }) {
    this.#file = file
    this.#log = log
    this.#byName = prepared(sources)
    this.#text = JSON.stringify(sources)
  }

  /** Never throws: an unreadable folder is looked at from time to time all the same. */
  start(): Promise<void> {
    const { path } = this.#file ?? {}
    if (path === undefined) return Promise.resolve()
    try {
      // The folder, because a file that is replaced by renaming is another file, and its watcher would go on with the old.
      this.#watcher = watch(dirname(path), (_event, file) => {
        if (file !== null && file !== basename(path) && !file.startsWith('..')) return
        clearTimeout(this.#settling)
        this.#settling = setTimeout(() => this.reload(), settleMs)
      })
      this.#watcher.on('error', () => {})
    } catch {
      // The timer looks.
    }
    this.#timer = setInterval(() => this.reload(), lookMs)
    return Promise.resolve()
  }

  stop(): Promise<void> {
    this.#watcher?.close()
    clearInterval(this.#timer)
    clearTimeout(this.#settling)
    return Promise.resolve()
  }

  get(name: string): Source | undefined {
    return this.#byName.get(name)
  }

  /** Why the file as it is now is not in force; undefined when it is. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  /** Reads the file. One that is wrong leaves everything as it was, and is told of once. */
  reload(): void {
    if (!this.#file) return
    try {
      const sources = this.#file.read()
      const text = JSON.stringify(sources)
      if (text !== this.#text) {
        this.#byName = prepared(sources)
        this.#text = text
        this.#log.info({ sources: sources.map(({ name }) => name) }, 'SOURCES_FILE was read again')
      } else if (this.#trouble !== undefined) this.#log.info('SOURCES_FILE is as it was, and right')
      this.#trouble = undefined
    } catch (error) {
      const trouble = `SOURCES_FILE is not in force, the sources before it are: ${messageOf(error)}`
      if (trouble !== this.#trouble) this.#log.error(trouble)
      this.#trouble = trouble
    }
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
