import type { Redis } from 'ioredis'
import { nearMisses } from '../config/near.ts'
import { type Config, settings as ownSettings } from '../config.ts'
import { validate } from '../define/schema.ts'
import type { AnyWorker, Enqueue } from '../define/worker.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { type BullQueue, metaOf, waitingIn } from '../jobs/bull.ts'
import type { Gate } from '../jobs/gate.ts'
import { Isolate, isolatedEnv } from '../jobs/isolate.ts'
import { Runner } from '../jobs/runner.ts'
import { Strays } from '../jobs/strays.ts'
import { Watchdog } from '../jobs/watchdog.ts'
import type { Definitions } from '../load.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Run } from './life.ts'
import type { ServicesOf } from './services.ts'

/** The workers this process is to run. Throws `invalid-setting` for a name that there is not. */
export function workersOf(config: Config, definitions: Definitions): readonly AnyWorker[] {
  const unknown = config.workers?.find((name) => !definitions.workers.some((worker) => worker.queue.name === name))
  if (unknown !== undefined) {
    const known = definitions.workers.map((worker) => worker.queue.name).join(', ')
    throw new MillraceError(
      'invalid-setting',
      `WORKERS=${JSON.stringify(config.workers?.join(','))}: there is no worker ${unknown}; there are ${known}`,
    )
  }
  return definitions.workers.filter((worker) => config.workers?.includes(worker.queue.name) ?? true)
}

/** Names that workers declare, of schemas that tell them. */
function declaredNames(workers: readonly AnyWorker[]): string[] {
  return workers.flatMap(({ settings }) =>
    settings && 'shape' in settings && typeof settings.shape === 'object' ? Object.keys(settings.shape ?? {}) : [],
  )
}

/** A line for each variable that is probably a setting misspelt. */
export function misspelt({ env }: Config, { workers }: Definitions): string[] {
  return nearMisses(env, [...Object.keys(ownSettings), 'REDIS_KEY_PREFIX', ...declaredNames(workers)])
}

/** What each worker declared that it needs from the environment. Only for workers that this process runs. */
export async function settingsOf(
  workers: readonly AnyWorker[],
  config: Config,
): Promise<ReadonlyMap<AnyWorker, unknown>> {
  const settings = new Map<AnyWorker, unknown>()
  if (!config.roles.includes('worker')) return settings
  /** Each mistake once, with the workers that it is one for: several may need the same variable. */
  const mistakes = new Map<string, string[]>()
  for (const worker of workers) {
    if (!worker.settings) continue
    try {
      settings.set(worker, await validate(worker.settings, config.env, `workers/${worker.queue.name}.ts`))
    } catch (error) {
      const fields = error instanceof MillraceError ? error.fields : []
      // Without fields the message names the file itself.
      if (fields.length === 0) mistakes.set(messageOf(error), [])
      for (const { path, message } of fields) {
        const mistake = `${path}: ${message}`
        mistakes.set(mistake, [...(mistakes.get(mistake) ?? []), `workers/${worker.queue.name}.ts`])
      }
    }
  }
  if (mistakes.size > 0) {
    const lines = [...mistakes].map(([mistake, files]) =>
      files.length > 0 ? `${mistake} (for ${files.join(', ')})` : mistake,
    )
    throw new MillraceError('invalid-setting', lines.join('\n'))
  }
  return settings
}

/** One for each worker, not started yet; the processes of isolated ones are. */
export async function createRunners(
  run: Run,
  {
    config,
    definitions,
    workers,
    settings,
    isolateEntry,
    redis,
    log,
    metrics,
    enqueue,
    gate,
    services,
  }: {
    config: Config
    definitions: Definitions
    workers: readonly AnyWorker[]
    settings: ReadonlyMap<AnyWorker, unknown>
    isolateEntry?: string | undefined
    redis: Redis
    log: Logger
    metrics: Metrics
    enqueue: Enqueue
    gate: Gate
    services: ServicesOf
  },
): Promise<Runner[]> {
  const runners: Runner[] = []
  for (const worker of workers) {
    const own = settings.get(worker)
    const isolate = isolateOf(worker, { settings: own, env: config.env, definitions, entry: isolateEntry })
    if (isolate) await run(isolate)
    runners.push(
      new Runner({
        worker,
        redis,
        prefix: config.keyPrefix,
        log,
        metrics,
        enqueue,
        settings: own,
        isolate,
        services,
        holdBack: (job, until, key = metaOf(job).limit) =>
          key === undefined ? Promise.resolve() : gate.holdBack(worker.queue, key, until),
      }),
    )
  }
  return runners
}

/** The child processes of a worker that is to have some. */
function isolateOf(
  worker: AnyWorker,
  {
    settings,
    env,
    definitions: { queues, workerFile },
    entry,
  }: { settings: unknown; env: Config['env']; definitions: Definitions; entry: string | undefined },
): Isolate | undefined {
  if (!worker.isolate) return undefined
  if (!workerFile) throw new MillraceError('invalid-definition', `where is the file of worker ${worker.queue.name}?`)
  return new Isolate({
    worker,
    file: workerFile(worker.queue.name),
    env: isolatedEnv(worker, settings, env),
    queues,
    entry,
  })
}

/** Sees to it that the runners go on. */
export async function watchOver(
  run: Run,
  {
    runners,
    redis,
    bull,
    log,
    metrics,
  }: {
    runners: readonly Runner[]
    redis: Redis
    bull: ReadonlyMap<string, BullQueue>
    log: Logger
    metrics: Metrics
  },
): Promise<void> {
  await run(new Strays({ runners, redis, log }))
  await run(new Watchdog({ workers: runners, waiting: waitingIn(bull), log, metrics }))
}

/** Queues whose jobs would wait for ever, as far as this checkout knows. */
export function withoutWorker({ queues, workers }: Definitions): readonly string[] {
  return queues.filter((queue) => !workers.some((worker) => worker.queue === queue)).map((queue) => queue.name)
}
