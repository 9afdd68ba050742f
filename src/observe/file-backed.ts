import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Logger } from './log.ts'

/** Editors and orchestrators write a file in several steps, of which only the last is worth reading. */
const settleMs = 100
/** Some file systems tell nothing of changes (network shares, some container mounts). */
const lookMs = 5_000

export type FileBackedOptions<T> = {
  /** Of the file; for messages. */
  readonly setting: string
  /** What is in it; for messages. */
  readonly what: string
  readonly initial: T
  /** `read` throws with what is wrong in the file. Undefined where there is none: then nothing changes. */
  readonly file: { readonly path: string; readonly read: () => T } | undefined
  /** Takes what was read. Throws with what is wrong with it. */
  readonly use: (value: T) => void
  readonly namesOf: (value: T) => readonly string[]
  readonly log: Logger
}

/** A setting in a file that is read again when it changes. One that is wrong leaves everything as it was, and is told of once. */
export class FileBacked<T> {
  readonly #options: FileBackedOptions<T>
  #text: string
  #trouble: string | undefined
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #settling: NodeJS.Timeout | undefined

  constructor(options: FileBackedOptions<T>) {
    this.#options = options
    options.use(options.initial)
    this.#text = JSON.stringify(options.initial)
  }

  /** Never throws: an unreadable folder is looked at from time to time all the same. */
  start(): void {
    const { path } = this.#options.file ?? {}
    if (path === undefined) return
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
  }

  stop(): void {
    this.#watcher?.close()
    clearInterval(this.#timer)
    clearTimeout(this.#settling)
  }

  /** Why the file as it is now is not in force; undefined when it is. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  reload(): void {
    const { file, setting, what, use, namesOf, log } = this.#options
    if (!file) return
    try {
      const value = file.read()
      const text = JSON.stringify(value)
      if (text !== this.#text) {
        use(value)
        this.#text = text
        log.info({ [what]: namesOf(value) }, `${setting} was read again`)
      } else if (this.#trouble !== undefined) log.info(`${setting} is as it was, and right`)
      this.#trouble = undefined
    } catch (error) {
      const trouble = `${setting} is not in force, the ${what} before it are: ${messageOf(error)}`
      if (trouble !== this.#trouble) log.error(trouble)
      this.#trouble = trouble
    }
  }
}
