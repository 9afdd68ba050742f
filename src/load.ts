import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { AnyQueue } from './define/queue.ts'
import { queueNamePattern } from './define/queue.ts'
import type { AnyWorker } from './define/worker.ts'
import { MillraceError, messageOf } from './errors.ts'

export type Definitions = {
  readonly queues: readonly AnyQueue[]
  readonly workers: readonly AnyWorker[]
  /** The file of a queue's worker, for a process that loads it by itself. Needed where a worker is isolated. */
  readonly workerFile?: (queue: string) => string
  /** What was left aside, one line each. */
  readonly ignored: readonly string[]
}

/** The extension of the running code: `.ts` from the sources, `.js` when built. */
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'

/** The product's own two folders, beside the running code. */
export const ownFolders = {
  queues: fileURLToPath(new URL('../queues/', import.meta.url)),
  workers: fileURLToPath(new URL('../workers/', import.meta.url)),
}

/**
 * Reads the two folders. `_x` files and tests are private and never loaded. The import in a worker's file is its link to
 * its queue; the file's name is only the check. Throws `invalid-definition` with all mistakes, one line each.
 */
export async function loadDefinitions(folders: { queues: string; workers: string } = ownFolders): Promise<Definitions> {
  const mistakes: string[] = []
  const ignored: string[] = []
  const queues: AnyQueue[] = []
  const workers: AnyWorker[] = []

  for (const file of await definitionFiles(folders.queues, ignored, mistakes)) {
    const queue = await importDefault(file, mistakes)
    if (queue === undefined) continue
    if (!isKind<AnyQueue>(queue, 'queue')) mistakes.push(`${file.shown} has no default export made by defineQueue()`)
    else if (queue.name !== file.name)
      mistakes.push(`${file.shown} is for queue '${queue.name}'; rename one so that they agree`)
    else queues.push(queue)
  }
  for (const file of await definitionFiles(folders.workers, ignored, mistakes)) {
    const worker = await importDefault(file, mistakes)
    if (worker === undefined) continue
    if (!isKind<AnyWorker>(worker, 'worker'))
      mistakes.push(`${file.shown} has no default export made by defineWorker()`)
    else if (worker.queue?.kind !== 'queue') mistakes.push(`${file.shown} has no default export made by defineWorker()`)
    else if (worker.queue.name !== file.name)
      mistakes.push(`${file.shown} works on queue '${worker.queue.name}'; rename one so that they agree`)
    else if (!queues.includes(worker.queue))
      mistakes.push(`${file.shown} works on a queue that queues/ does not hold; add queues/${file.name}.ts`)
    else workers.push(worker)
  }
  if (queues.length === 0 && mistakes.length === 0)
    mistakes.push(`there is no queue in ${folders.queues}; add one (README, "Your own queue")`)
  if (mistakes.length > 0) throw new MillraceError('invalid-definition', mistakes.join('\n'))
  return { queues, workers, ignored, workerFile: (queue) => join(folders.workers, `${queue}${extension}`) }
}

/** One worker by itself. Throws `invalid-definition`. */
export async function loadWorker(path: string): Promise<AnyWorker> {
  const mistakes: string[] = []
  const worker = await importDefault({ path, name: '', shown: path }, mistakes)
  if (mistakes.length > 0) throw new MillraceError('invalid-definition', mistakes.join('\n'))
  if (isKind<AnyWorker>(worker, 'worker')) return worker
  throw new MillraceError('invalid-definition', `${path} has no default export made by defineWorker()`)
}

type DefinitionFile = {
  readonly path: string
  readonly name: string /** As the author knows it. */
  readonly shown: string
}

async function definitionFiles(folder: string, ignored: string[], mistakes: string[]): Promise<DefinitionFile[]> {
  let entries: string[]
  try {
    entries = (await readdir(folder)).sort()
  } catch (error) {
    mistakes.push(`${folder} cannot be read: ${messageOf(error)}`)
    return []
  }
  const files: DefinitionFile[] = []
  for (const entry of entries) {
    if (!entry.endsWith(extension) || entry.startsWith('_') || /\.(test|d)\.[jt]s$/.test(entry)) continue
    const name = entry.slice(0, -extension.length)
    const shown = `${basename(folder)}/${name}.ts`
    if (queueNamePattern.test(name)) files.push({ path: join(folder, entry), name, shown })
    else ignored.push(`${shown} is not a queue's name (lower-case words joined by dashes); it was not loaded`)
  }
  return files
}

async function importDefault(file: DefinitionFile, mistakes: string[]): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(file.path).href)) as { default?: unknown }
    return module.default ?? null
  } catch (error) {
    const lines = messageOf(error).split('\n')
    // A worker imports its queue: what is wrong with the queue has been said.
    if (!mistakes.some((mistake) => mistake.endsWith(` cannot be loaded: ${lines[0]}`)))
      mistakes.push(`${file.shown} cannot be loaded: ${lines[0]}`)
    return undefined
  }
}

function isKind<T extends { kind: string }>(value: unknown, kind: T['kind']): value is T {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === kind
}
