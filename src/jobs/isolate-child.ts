import { once } from 'node:events'
import { Worker as Thread } from 'node:worker_threads'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import { noServices } from '../define/services.ts'
import type { AnyWorker, ChainEnqueue, Context, Enqueue, Enqueued, Job, Log } from '../define/worker.ts'
import { loadWorker } from '../load.ts'
import { AttemptAborted } from './attempt.ts'
import {
  type LogLevel,
  logLevels,
  pack,
  packLog,
  packResult,
  type ToChild,
  type ToParent,
  unpack,
} from './isolate-wire.ts'

/* The child process of an isolated worker: one attempt at a time, on behalf of isolate.ts. */

type Loaded = { readonly worker: AnyWorker; readonly settings: unknown }
type Answer = { readonly resolve: (value: Enqueued) => void; readonly reject: (thrown: unknown) => void }

let loaded: Loaded | undefined
let current: { readonly run: number; readonly controller: AbortController } | undefined
let asked = 0
const answers = new Map<number, Answer>()

function say(message: ToParent, sent?: () => void): void {
  // Without a parent nobody listens, and the leash ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => sent?.())
}

async function load(file: string, env: Readonly<Record<string, string>>): Promise<void> {
  const worker = await loadWorker(file)
  const settings = worker.settings && (await validate(worker.settings, env, file))
  loaded = { worker, settings }
  say({ say: 'ready' })
}

async function runJob(run: number, stored: Job<unknown>, levels: readonly LogLevel[]): Promise<void> {
  if (!loaded) throw new Error('a job came before its worker')
  const { worker, settings } = loaded
  const controller = new AbortController()
  current = { run, controller }
  try {
    const payload = await validate(worker.queue.payload, stored.payload, `stored payload of job ${stored.id}`)
    const own = { signal: controller.signal, log: logOf(run, levels), enqueue: enqueueOf(run), settings }
    const context: Context = Object.assign(
      noServices('an isolated worker has no cache, sessions, limits, publish or breakers'),
      own,
    )
    const result: unknown = await worker.handle({ ...stored, payload }, context as Context<never>)
    say({ say: 'done', run, result: packResult(result) })
  } catch (error) {
    say({ say: 'failed', run, thrown: pack(error) })
  }
}

function logOf(run: number, levels: readonly LogLevel[]): Log {
  const write = (level: LogLevel) =>
    levels.includes(level)
      ? (...args: unknown[]) => say({ say: 'log', run, level, args: args.map((arg) => packLog(arg)) })
      : () => {}
  return Object.fromEntries(logLevels.map((level) => [level, write(level)])) as Log
}

/**
 * The parent's own enqueue, asked from afar: what holds for jobs enqueued inside an attempt holds here as well. A payload
 * that does not fit throws here already, as it would there, where nobody may be waiting for the answer.
 */
function enqueueOf(run: number): ChainEnqueue {
  const ask = (now: boolean) =>
    ((queue: AnyQueue, payload: unknown, options = {}) => {
      const json = JSON.stringify(payload) ?? 'null'
      const checked = validate(queue.payload, JSON.parse(json), `job for '${queue.name}'`)
      const answer = new Promise<Enqueued>((resolve, reject) => {
        asked += 1
        answers.set(asked, { resolve, reject })
        say({ say: 'enqueue', run, n: asked, now, queue: queue.name, json, options: { ...options } })
      })
      // The parent sees to it that the attempt fails.
      answer.catch(() => {})
      return checked instanceof Promise ? checked.then(() => answer) : answer
    }) as Enqueue
  return Object.assign(ask(false) as unknown as ChainEnqueue, { now: ask(true) })
}

function onMessage(message: ToChild): void {
  switch (message.do) {
    case 'load':
      load(message.file, message.env).catch(breakDown)
      return
    case 'run':
      runJob(message.run, message.job, message.levels).catch(breakDown)
      return
    case 'abort':
      if (message.run === current?.run) current.controller.abort(new AttemptAborted(message.because, message.message))
      return
    case 'answer': {
      const answer = answers.get(message.n)
      answers.delete(message.n)
      if (message.thrown) answer?.reject(unpack(message.thrown))
      else answer?.resolve(message.value as Enqueued)
    }
  }
}

function breakDown(error: unknown): void {
  say({ say: 'broken', thrown: pack(error) }, () => process.exit(1))
}

process.on('uncaughtException', breakDown)
process.on('disconnect', () => process.exit(0))
// Before the first line of the user's code runs: that may be the one that never ends.
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const leash = new Thread(new URL(`./isolate-leash${extension}`, import.meta.url))
await once(leash, 'message')
leash.unref()
process.on('message', onMessage)
