import { type ChildProcess, fork } from 'node:child_process'
import type { Job } from '../define/worker.ts'
import { settleMs } from './attempt.ts'
import { logLevels, pack, type ToChild, type ToParent, unpack, unpackLog, unpackResult } from './isolate-wire.ts'
import type { AttemptLog } from './job-log.ts'

/** What a run needs of the attempt's context. */
export type RunContext = { readonly signal: AbortSignal; readonly log: AttemptLog }
/** Stores a job of the queue with this name for the run's attempt. */
export type EnqueueByName = (queue: string, payload: unknown, options: object, now: boolean) => Promise<unknown>

type Run = {
  readonly number: number
  readonly context: RunContext
  readonly enqueue: EnqueueByName
  /** Of a job that the attempt was to leave behind. */
  notEnqueued?: { readonly error: unknown }
  settle(result: unknown): void
  fail(thrown: unknown): void
}

/** An idle child that is asked to go has this long for what it does at its exit. */
const leaveMs = 1_000

/** The process ended before its attempt did: by itself, by a signal, or because memory ran out. A failed attempt. */
export class ProcessEnded extends Error {
  /** `EXIT_<code>`, or the name of the signal. */
  readonly code: string
  constructor(code: number | null, signal: NodeJS.Signals | null) {
    const why =
      signal === 'SIGKILL'
        ? 'was killed by SIGKILL, as by a system that is short of memory'
        : signal === 'SIGABRT'
          ? 'was aborted (SIGABRT), as when its heap is full; its last words are in the output'
          : signal
            ? `was ended by ${signal}`
            : `ended with exit code ${code}`
    super(`the isolated process ${why} before the attempt was over`)
    this.name = 'ProcessEnded'
    this.code = signal ?? `EXIT_${code}`
  }
}

/** One child process of an isolated worker: loads the worker's file, then runs one attempt after the other. */
export class IsolatedProcess {
  readonly #child: ChildProcess
  readonly #ready = open()
  readonly #gone = open()
  #run: Run | undefined
  #runs = 0
  #isGone = false
  /** Why it said that it cannot go on. */
  #broken: { readonly thrown: unknown } | undefined

  constructor(entry: string, file: string, env: Readonly<Record<string, string>>) {
    const child = fork(entry, [], {
      env: { ...env },
      // Ours (memory limits, inspectors, loaders) are not its.
      execArgv: [],
      serialization: 'advanced',
      // A group of its own: a terminal's Ctrl-C is for the parent, and what a handler started is killed with it.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
    })
    this.#child = child
    child.stdio[4]?.on('error', () => {})
    child.on('message', (message) => this.#onMessage(message as ToParent))
    child.on('error', (error) => {
      this.kill()
      this.#onGone(error)
    })
    child.on('exit', (code, signal) => this.#onGone(new ProcessEnded(code, signal)))
    this.#ready.promise.catch(() => {}) // whoever runs something hears of it
    this.#send({ do: 'load', file, env })
  }

  get isUsable(): boolean {
    return !this.#isGone && !this.#broken && this.#child.connected
  }

  /** Resolves when the process is no more. */
  get gone(): Promise<void> {
    return this.#gone.promise
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The handler's result or error. After an abort the handler has a second; then the process is killed. */
  async run(job: Job<unknown>, context: RunContext, enqueue: EnqueueByName): Promise<unknown> {
    const { signal, log } = context
    this.#runs += 1
    const number = this.#runs
    let killing: NodeJS.Timeout | undefined
    const onAbort = () => {
      const { because, message } = signal.reason
      this.#send({ do: 'abort', run: number, because, message })
      killing = setTimeout(() => this.kill(), settleMs)
    }
    try {
      return await new Promise<unknown>((settle, fail) => {
        this.#run = { number, context, enqueue, settle, fail }
        signal.addEventListener('abort', onAbort, { once: true })
        if (signal.aborted) onAbort()
        this.#ready.promise.then(() => {
          if (signal.aborted) return fail(signal.reason)
          const levels = logLevels.filter((level) => log.isLevelEnabled(level))
          this.#send({ do: 'run', run: number, job, levels })
        }, fail)
      })
    } catch (error) {
      // Killed because it did not listen: the reason is why it was told to stop.
      throw signal.aborted && error instanceof ProcessEnded ? signal.reason : error
    } finally {
      this.#run = undefined
      clearTimeout(killing)
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** At once, with everything that it has started. */
  kill(): void {
    if (this.#isGone || !this.#child.pid) return
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      this.#child.kill('SIGKILL')
    }
  }

  /** Asks an idle one to end, and sees to it. */
  async dismiss(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    const timer = setTimeout(() => this.kill(), leaveMs)
    await this.#gone.promise
    clearTimeout(timer)
  }

  #send(message: ToChild): void {
    // One that is just dying cannot be told; its end is heard of as such.
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  #onMessage(message: ToParent): void {
    try {
      if (message.say === 'ready') this.#ready.resolve()
      else if (message.say === 'broken') this.#broken = { thrown: unpack(message.thrown) }
      else this.#onRunMessage(message, this.#run?.number === message.run ? this.#run : undefined)
    } catch (error) {
      // The handler's process may write to its channel whatever it likes; that must not be what ends ours.
      this.#broken = { thrown: error }
      this.kill()
    }
  }

  /** `run` is undefined when what is said belongs to an attempt that is over. */
  #onRunMessage(message: ToParent & { readonly run: number }, run: Run | undefined): void {
    switch (message.say) {
      case 'log':
        if (run) writeLog(run.context.log, message)
        break
      case 'enqueue':
        void this.#enqueue(message, run)
        break
      case 'done': {
        const onLost = (err: unknown) => run?.context.log.warn({ err }, 'the result is not JSON and was not kept')
        // Nobody may have waited for it; the attempt has not done what it was to do.
        if (run?.notEnqueued) run.fail(run.notEnqueued.error)
        else run?.settle(unpackResult(message.result, onLost))
        break
      }
      case 'failed':
        run?.fail(unpack(message.thrown))
    }
  }

  async #enqueue({ n, queue, json, options, now }: ToParent & { say: 'enqueue' }, run: Run | undefined): Promise<void> {
    try {
      if (!run) throw new Error(`enqueue() for '${queue}' came after the attempt had ended: await it`)
      this.#send({ do: 'answer', n, value: await run.enqueue(queue, JSON.parse(json), options, now) })
    } catch (error) {
      if (run && !now) run.notEnqueued ??= { error }
      this.#send({ do: 'answer', n, thrown: pack(error) })
    }
  }

  #onGone(why: Error): void {
    if (this.#isGone) return
    this.#isGone = true
    // What it said itself is nearer to the cause.
    const thrown = this.#broken?.thrown ?? why
    this.#ready.reject(thrown)
    this.#run?.fail(thrown)
    this.#gone.resolve()
  }
}

/** Promise.withResolvers, which Node 20 does not have. */
function open(): { promise: Promise<void>; resolve: () => void; reject: (thrown: unknown) => void } {
  let resolve = () => {}
  let reject: (thrown: unknown) => void = () => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

function writeLog(log: AttemptLog, { level, args }: ToParent & { say: 'log' }): void {
  const write = log[level] as (...args: unknown[]) => void
  write.apply(log, args.map(unpackLog))
}
