import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import { type MillraceProcess, startMillrace } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { makeTree, type Tree } from '../harness/tree.ts'
import { until } from '../harness/until.ts'

/* Worker processes that come and go under constant load, and who ran what, by the handlers' own notes on the disk. */

const queue = `
  import { z } from 'zod'
  import { defineQueue } from '../src/index.js'
  export default defineQueue({
    name: 'work',
    payload: z.object({ kind: z.enum(['quick', 'long', 'stubborn']), ms: z.number() }),
    retry: { attempts: 3, base: '1ms' },
    keep: { completed: { age: '1h', count: 1_000_000 } },
  })`

/** A long job lasts until it is told to stop, a stubborn one does not listen either; both are quick the second time. */
const worker = `
  import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
  import { setTimeout as sleep } from 'node:timers/promises'
  import { z } from 'zod'
  import { defineWorker } from '../src/index.js'
  import queue from '../queues/work.js'
  export default defineWorker(queue, async ({ id, payload: { kind, ms } }, { settings, signal }) => {
    const note = (what) => appendFileSync(settings.NOTES, what + ' ' + id + ' ' + process.pid + ' ' + Date.now() + '\\n')
    note('start')
    const mark = settings.NOTES + '.' + id
    if (kind === 'quick' || existsSync(mark)) await sleep(ms)
    else {
      writeFileSync(mark, '')
      await sleep(60_000, undefined, kind === 'long' ? { signal } : {})
    }
    note('end')
  }, { concurrency: 20, settings: z.object({ NOTES: z.string() }) })`

export type Run = { readonly pid: number; readonly startedAt: number; endedAt: number | undefined }
type Kind = 'quick' | 'long' | 'stubborn'

export class Fleet {
  readonly redis: TestRedis
  readonly bull: Queue
  /** Everything that was stored. */
  readonly added: string[] = []
  readonly #tree: Tree
  readonly #grace: string
  readonly #workers = new Set<MillraceProcess>()
  #feed: NodeJS.Timeout | undefined
  #adding: Promise<unknown>[] = []
  #count = 0

  private constructor(redis: TestRedis, tree: Tree, grace: string) {
    this.redis = redis
    this.#tree = tree
    this.#grace = grace
    this.bull = new Queue('work', { connection: { path: redis.path }, prefix: 'millrace' })
  }

  static async start({ grace }: { grace: string }): Promise<Fleet> {
    const tree = makeTree({ queues: { work: queue }, workers: { work: worker } })
    return new Fleet(await startRedis(), tree, grace)
  }

  async startWorker(): Promise<MillraceProcess> {
    const started = await startMillrace(
      {
        DATA_DIR: join(this.#tree.dir, 'data'),
        REDIS_URL: this.redis.url,
        CACHE_REDIS_URL: this.redis.url,
        SHUTDOWN_GRACE: this.#grace,
        NOTES: this.#notes,
      },
      ['--roles', 'worker', '--workers', 'work'],
      this.#tree.main,
    )
    this.#workers.add(started)
    void started.ended.then(() => this.#workers.delete(started))
    return started
  }

  /** Jobs at a constant rate from now on, of these kinds in turn. */
  load(perSecond: number, kind: (n: number) => Kind = () => 'quick'): void {
    const began = performance.now()
    this.#feed = setInterval(() => {
      const due = Math.floor(((performance.now() - began) / 1_000) * perSecond)
      const jobs: { name: string; data: object }[] = []
      for (; this.#count < due; this.#count += 1)
        jobs.push({ name: 'work', data: { kind: kind(this.#count), ms: 5 + (this.#count % 8) * 5 } })
      if (jobs.length > 0)
        this.#adding.push(this.bull.addBulk(jobs).then((all) => this.added.push(...all.map(({ id }) => id ?? ''))))
    }, 20)
  }

  /** Ends the load and waits until every job has run. */
  async finish(withinMs: number): Promise<void> {
    clearInterval(this.#feed)
    await Promise.all(this.#adding)
    const over = async () => {
      const { completed = 0, failed = 0 } = await this.bull.getJobCounts('completed', 'failed')
      return completed + failed === this.added.length
    }
    await until(over, 'every job is over', withinMs)
  }

  /** Job → its runs. */
  runs(): Map<string, Run[]> {
    const runs = new Map<string, Run[]>()
    for (const line of readFileSync(this.#notes, 'utf8').trimEnd().split('\n')) {
      const [what, job = '', pid, at] = line.split(' ')
      const of = runs.get(job) ?? []
      runs.set(job, of)
      if (what === 'start') of.push({ pid: Number(pid), startedAt: Number(at), endedAt: undefined })
      else {
        const run = of.findLast((one) => one.pid === Number(pid) && one.endedAt === undefined)
        if (run) run.endedAt = Number(at)
      }
    }
    return runs
  }

  /** A field of every job as the store has it. */
  async fields(name: string): Promise<(string | null)[]> {
    const pipeline = this.redis.client.pipeline()
    for (const id of this.added) pipeline.hget(this.bull.toKey(id), name)
    return ((await pipeline.exec()) ?? []).map(([, value]) => value as string | null)
  }

  async end(): Promise<void> {
    clearInterval(this.#feed)
    await Promise.allSettled(this.#adding)
    await Promise.all([...this.#workers].map((one) => one.kill('SIGKILL')))
    await this.bull.close()
    await this.redis.stop()
    this.#tree.remove()
  }

  get #notes(): string {
    return join(this.#tree.dir, 'notes')
  }
}
