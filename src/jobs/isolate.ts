import { fileURLToPath } from 'node:url'
import type { AnyQueue } from '../define/queue.ts'
import type { AnyWorker, ChainEnqueue, Context, Job } from '../define/worker.ts'
import { MillraceError } from '../errors.ts'
import { IsolatedProcess } from './isolate-process.ts'
import type { AttemptLog } from './job-log.ts'

/** A process that had nothing to do for so long gives its memory back; a new one takes a quarter of a second. */
const idleMs = 60_000

export type IsolateOptions = {
  readonly worker: AnyWorker
  /** The worker's own file, which the child loads. */
  readonly file: string
  /** All that the child's environment holds. */
  readonly env: Readonly<Record<string, string>>
  readonly queues: readonly AnyQueue[]
  /** The compiled isolate-child, where it is not beside the running code. */
  readonly entry?: string | undefined
  readonly idleMs?: number
}

/** The child processes of one worker with `isolate: true`: at most as many as its concurrency, started when needed. */
export class Isolate {
  readonly name: string
  readonly #options: IsolateOptions
  readonly #entry: string
  readonly #all = new Set<IsolatedProcess>()
  readonly #idle: { readonly one: IsolatedProcess; readonly timer: NodeJS.Timeout }[] = []
  /** Who waits for a process to become free, or for room for a new one. */
  readonly #waiting: (() => void)[] = []

  constructor(options: IsolateOptions) {
    this.#options = options
    this.name = `processes of ${options.worker.queue.name}`
    this.#entry = options.entry ?? fileURLToPath(beside('isolate-child'))
  }

  /** Pids of the children that live. */
  get pids(): readonly number[] {
    return [...this.#all].map(({ pid }) => pid)
  }

  /**
   * Has a child handle the job, whose payload is the stored one. Rejects with what the handler threw, with
   * `ProcessEnded`, or with the signal's reason.
   */
  async run(job: Job<unknown>, context: Context<never> & { readonly log: AttemptLog }): Promise<unknown> {
    const one = await this.#take(context.signal)
    try {
      return await one.run(job, context, (queue, ...rest) => this.#enqueue(context.enqueue, queue, ...rest))
    } finally {
      this.#release(one)
    }
  }

  /** Ends them all; an attempt that is still in hand is over then. */
  async stop(): Promise<void> {
    const idle = this.#idle.splice(0).map(({ one, timer }) => {
      clearTimeout(timer)
      return one
    })
    for (const one of this.#all) if (!idle.includes(one)) one.kill()
    await Promise.all([...idle.map((one) => one.dismiss()), ...[...this.#all].map((one) => one.gone)])
  }

  async #take(signal: AbortSignal): Promise<IsolatedProcess> {
    for (;;) {
      if (signal.aborted) {
        this.#waiting.shift()?.() // whatever it was woken for is somebody else's
        throw signal.reason
      }
      const idle = this.#idle.pop()
      if (idle) {
        clearTimeout(idle.timer)
        if (idle.one.isUsable) return idle.one
      } else if (this.#all.size < this.#options.worker.concurrency) return this.#start()
      // One that was killed is still going, which takes a moment.
      else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  #start(): IsolatedProcess {
    const { file, env } = this.#options
    const one = new IsolatedProcess(this.#entry, file, env)
    this.#all.add(one)
    void one.gone.then(() => {
      this.#all.delete(one)
      this.#waiting.shift()?.()
    })
    return one
  }

  #release(one: IsolatedProcess): void {
    if (!one.isUsable) {
      one.kill()
      return
    }
    const timer = setTimeout(() => {
      this.#idle.splice(
        this.#idle.findIndex((idle) => idle.one === one),
        1,
      )
      void one.dismiss()
    }, this.#options.idleMs ?? idleMs)
    timer.unref()
    this.#idle.push({ one, timer })
    this.#waiting.shift()?.()
  }

  #enqueue(enqueue: ChainEnqueue, name: string, payload: unknown, options: object, now: boolean): Promise<unknown> {
    const queue = this.#options.queues.find((one) => one.name === name)
    if (!queue) throw new MillraceError('unknown-queue', `there is no queue '${name}' in queues/`)
    return (now ? enqueue.now : enqueue)(queue, payload, options)
  }
}

/** Of the sources as `.ts`, which Node runs as it is from 22.18 on. */
function beside(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
}

/** Always there: how programs are found, what kind of place this is, and its clock. */
const common = ['PATH', 'NODE_ENV', 'TZ']

/**
 * What the child's environment holds: the variables that the worker's settings name, and three that say nothing secret.
 * Only a schema with a list of fields can say which it needs; of others the validated object's own keys are taken.
 */
export function isolatedEnv(
  { settings: schema }: AnyWorker,
  settings: unknown,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const { shape = settings ?? {} } = (schema ?? { shape: {} }) as { shape?: object }
  const names = [...common, ...Object.keys(shape)]
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])))
}
