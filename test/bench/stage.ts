import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { built } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/** A process whose work is measured. */
export type Measured = { readonly pid: number }
/** A process of the benchmark's own, which answers each message with one. */
export type Helper = Measured & { ask(message: unknown): Promise<unknown> }

const stopMs = 10_000

/** Everything that a comparison has started. After `end` no process and no folder of it is left. */
export class Stage {
  readonly #profiles: string | undefined
  readonly #endings: (() => Promise<void>)[] = []

  /** With a folder for them, measured processes write CPU profiles when they end. */
  constructor(profiles?: string) {
    this.#profiles = profiles
  }

  /** A store of one side's own. Its AOF is rewritten between rounds only, or a rewrite would hit rounds at random. */
  redis(conf: Record<string, string> = {}): Promise<TestRedis> {
    const starting = startRedis({ 'auto-aof-rewrite-percentage': '0', ...conf })
    // Registered before it is ready: an interrupt may come in between.
    this.#endings.push(async () => (await starting).stop())
    return starting
  }

  folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
    this.#endings.push(async () => rmSync(path, { recursive: true, force: true }))
    return path
  }

  atEnd(ending: () => Promise<void>): void {
    this.#endings.push(ending)
  }

  /** A compiled file of this folder. Resolves with its first message, which says that it is ready. */
  async helper(name: string, argument: object, measured = false): Promise<{ helper: Helper; ready: unknown }> {
    // Its log goes to a real file descriptor, where writing costs what it costs.
    const sink = openSync('/dev/null', 'w')
    const child = fork(built(`../test/bench/${name}.js`), [JSON.stringify(argument)], {
      env: environment({}),
      execArgv: measured ? this.#profiling(name) : [],
      stdio: ['ignore', sink, 'pipe', 'ipc'],
    })
    closeSync(sink)
    this.#endings.push(() => stop(child))
    const words = lastWords(child)
    const ask = (message?: unknown) => {
      const answer = new Promise<unknown>((resolve, reject) => {
        const onExit = (code: number | null, signal: string | null) => {
          child.off('message', onMessage)
          reject(new Error(`${name} ended with ${code ?? signal}: ${words()}`))
        }
        const onMessage = (received: unknown) => {
          child.off('exit', onExit)
          resolve(received)
        }
        child.once('message', onMessage).once('exit', onExit)
      })
      if (message !== undefined) child.send(message as object)
      return answer
    }
    return { ready: await ask(), helper: { pid: child.pid ?? 0, ask } }
  }

  /** The product's own main, ready, with its port. `name` is that of its profile. */
  async millrace(env: Record<string, string>, name = 'millrace'): Promise<Measured & { readonly port: number }> {
    const main = fileURLToPath(new URL('../../src/main.js', import.meta.url))
    const child = spawn(process.execPath, [...startFlags(), ...this.#profiling(name), main], {
      env: environment({ DATA_DIR: this.folder(), PORT: '0', LOG_FORMAT: 'json', LOG_LEVEL: 'warn', ...env }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#endings.push(() => stop(child))
    const words = lastWords(child)
    const port = await until(() => {
      if (child.exitCode !== null) throw new Error(`main ended with ${child.exitCode}: ${words()}`)
      return Number(/Dashboard +\S+:(\d+)\//.exec(words())?.[1])
    }, 'main prints its URL')
    return { pid: child.pid ?? 0, port }
  }

  async end(): Promise<void> {
    for (const ending of this.#endings.splice(0).reverse()) await ending().catch(() => {})
  }

  #profiling(name: string): string[] {
    if (this.#profiles === undefined) return []
    return ['--cpu-prof', `--cpu-prof-dir=${this.#profiles}`, `--cpu-prof-name=${name}.cpuprofile`]
  }
}

/** Node's flags of `npm start`. */
function startFlags(): string[] {
  const file = fileURLToPath(new URL('../../../package.json', import.meta.url))
  const { scripts } = JSON.parse(readFileSync(file, 'utf8')) as { scripts: { start: string } }
  return scripts.start.split(' ').filter((word) => word.startsWith('--'))
}

/** What one may say who ends early: the tail of both streams, which are read so that they never fill up. */
function lastWords(child: ChildProcess): () => string {
  let tail = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      tail = (tail + chunk).slice(-4_000)
    })
  return () => tail
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs)
  child.kill('SIGTERM')
  await gone
  clearTimeout(timer)
}

function environment(more: Record<string, string>): Record<string, string> {
  return { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', NODE_ENV: 'production', ...more }
}
