import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { type MillraceProcess, startMillrace } from '../harness/process.ts'
import { slackSecret } from '../harness/slack.ts'
import { keeperPid, storePid } from '../harness/stores.ts'
import { until } from '../harness/until.ts'

const key = (name: string) => `millrace:slack-events:${name}`
const perCall = 5_000

/** A server, a worker and the managed stores, in a folder of their own. After `end` nothing of them is left. */
export class Rig {
  readonly dataDir = mkdtempSync(join(tmpdir(), 'millrace-crash-'))
  readonly redis = new Redis({
    path: join(this.dataDir, 'redis', 'queue.sock'),
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
    lazyConnect: true,
  })
  /** Of every process that there has been. */
  readonly outputs: (() => string)[] = []
  readonly #env: Record<string, string>
  /** Promises, because an interrupt may come while one starts. */
  readonly #running = new Set<Promise<MillraceProcess | undefined>>()
  #http: MillraceProcess | undefined
  #worker: MillraceProcess | undefined

  private constructor(env: Record<string, string>) {
    this.#env = { DATA_DIR: this.dataDir, SLACK_SIGNING_SECRET: slackSecret, SHUTDOWN_GRACE: '5s', ...env }
    this.redis.on('error', () => {})
  }

  static async start(env: Record<string, string> = {}): Promise<Rig> {
    const rig = new Rig(env)
    try {
      await rig.startHttp()
      await rig.startWorker()
      await rig.redis.connect()
      return rig
    } catch (error) {
      await rig.end()
      throw error
    }
  }

  get http(): MillraceProcess {
    if (!this.#http) throw new Error('there is no server')
    return this.#http
  }

  get worker(): MillraceProcess {
    if (!this.#worker) throw new Error('there is no worker')
    return this.#worker
  }

  /** A new server has the address of the one before. */
  async startHttp(): Promise<void> {
    const port = this.#http ? { PORT: new URL(this.#http.url).port } : {}
    this.#http = await this.#start('http,scheduler', port)
  }

  async startWorker(): Promise<void> {
    this.#worker = await this.#start('worker', {})
  }

  signalStore(signal: NodeJS.Signals): void {
    process.kill(storePid(this.dataDir, 'queue'), signal)
  }

  signalKeeper(signal: NodeJS.Signals): void {
    process.kill(keeperPid(this.dataDir), signal)
  }

  /** Files with events that are not yet handed over; those that were set aside count as well, and stay. */
  segments(): number {
    try {
      const names = readdirSync(join(this.dataDir, 'spool'), { recursive: true, encoding: 'utf8' })
      return names.filter((name) => name.endsWith('.segment')).length
    } catch {
      return 1 // one was just being adopted, and its folder went while we looked
    }
  }

  /** Jobs that have still to run, whenever that may be. */
  async unfinished(): Promise<number> {
    const { redis } = this
    const counts = await Promise.all([
      ...['wait', 'active', 'paused'].map((name) => redis.llen(key(name))),
      ...['delayed', 'prioritized'].map((name) => redis.zcard(key(name))),
    ])
    return counts.reduce((sum, count) => sum + count, 0)
  }

  waiting(): Promise<number> {
    return this.redis.llen(key('wait'))
  }

  /** Everything that was acknowledged is a job, and every job has run. What a killed worker had in hand takes 40 s. */
  async untilIdle(): Promise<void> {
    await until(() => this.segments() === 0, 'the spool is empty', 60_000)
    await until(async () => (await this.unfinished()) === 0, 'every job has run', 90_000)
  }

  /** The jobs that the events' deduplication keys name, in the order of the events. */
  async jobsOf(events: readonly string[]): Promise<(string | null)[]> {
    const jobs: (string | null)[] = []
    for (let first = 0; first < events.length; first += perCall)
      jobs.push(
        ...(await this.redis.mget(events.slice(first, first + perCall).map((event) => key(`de:slack.${event}`)))),
      )
    return jobs
  }

  /** Only processes that have ended have said everything: their last lines may still be in the pipe. */
  async stop(): Promise<void> {
    this.redis.disconnect()
    // Whatever a fault has left standing still could not end.
    for (const wake of [() => this.signalStore('SIGCONT'), () => this.signalKeeper('SIGCONT')])
      try {
        wake()
      } catch {
        // it has gone, or never was
      }
    for (const starting of [...this.#running].reverse()) {
      const running = await starting
      running?.child.kill('SIGCONT')
      await running?.kill('SIGTERM')
    }
  }

  async end(): Promise<void> {
    await this.stop()
    rmSync(this.dataDir, { recursive: true, force: true })
  }

  async #start(roles: string, env: Record<string, string>): Promise<MillraceProcess> {
    const starting = startMillrace({ ...this.#env, ...env }, ['--roles', roles])
    const running = starting.catch(() => undefined)
    this.#running.add(running)
    const started = await starting
    void started.ended.then(() => this.#running.delete(running))
    this.outputs.push(started.output)
    return started
  }
}
