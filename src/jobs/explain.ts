import { messageOf } from '../errors.ts'
import { explain, type Facts } from '../policy/explain.ts'
import type { Explanation } from '../policy/explanation.ts'
import type { Standing } from '../policy/standing.ts'
import { mustSee } from './actions.ts'
import { readBreaker } from './breaker.ts'
import { type BullQueue, metaOf, stateName } from './bull.ts'
import { standingOf } from './gate/view.ts'
import { isJobId, unknownJob } from './inspect.ts'
import { readWhy, whyField } from './why.ts'
import { slotsOf } from './worker-name.ts'

/** Of a longer queue the place is not counted: it would keep the store from its work. */
const mostAhead = 100_000

export type JobExplanation = Explanation & { readonly id: string; readonly queue: string; readonly state: string }

/**
 * Why a job is where it is, and what to do. Throws `unknown-job`; to a caller of one tenant, another's job does not exist.
 */
export async function explainJob(bull: BullQueue, id: string, tenant?: string): Promise<JobExplanation> {
  if (!isJobId(id)) throw unknownJob(bull, id)
  const facts = await factsOf(bull, id, tenant)
  return { id, queue: bull.name, state: stateName(facts.state), ...explain(facts) }
}

async function factsOf(bull: BullQueue, id: string, tenant: string | undefined): Promise<Facts> {
  const { redis } = bull
  const seen = async (standing: Standing | undefined): Promise<Standing | undefined> => {
    const { holder } = standing ?? {}
    if (!standing || !holder || tenant === undefined) return standing
    // Tenants may share turns and keys, where the queue's own `tenant.by` says so.
    const isTheirs = await mustSee(bull, holder.id, { tenant }).then(
      () => true,
      () => false,
    )
    return isTheirs ? standing : { ...standing, holder: { ...holder, id: 'of another tenant' } }
  }
  const key = (name: string) => bull.toKey(name)
  const [state, job, extra, lockMs, standing, meta, active, rateLimitedMs, breaker, clients, refusal] =
    await Promise.all([
      bull.getJobState(id),
      bull.getJob(id),
      redis.hmget(key(id), whyField, 'pb', 'delay'),
      redis.pttl(key(`${id}:lock`)),
      standingOf(bull, id).then(seen),
      redis.hmget(key('meta'), 'paused', 'concurrency', 'pausedBy', 'pausedAt'),
      redis.llen(key('active')),
      bull.getRateLimitTtl(),
      redis.get(key('breaker')),
      bull.getWorkers(),
      refusalOf(bull),
    ])
  if (!job || (tenant !== undefined && metaOf(job).tenant !== tenant)) throw unknownJob(bull, id)
  const [why, worker] = extra
  const [paused, concurrency, by, at] = meta
  const now = Date.now()
  return {
    now,
    state,
    job: {
      id,
      attemptsMade: job.attemptsMade,
      attempts: job.opts.attempts ?? 1,
      startedAt: job.processedOn,
      finishedAt: job.finishedOn,
      worker: worker ?? undefined,
      reason: job.failedReason,
      dueAt: state === 'delayed' ? await dueAt(bull, id) : undefined,
      lockMs: lockMs >= 0 ? lockMs : undefined,
      why: readWhy(why),
    },
    queue: {
      name: bull.name,
      paused: paused ? { by: by ?? undefined, at: at ? Number(at) : undefined } : undefined,
      active,
      concurrency: concurrency ? Number(concurrency) : undefined,
      rateLimitedMs: Math.max(0, rateLimitedMs),
      breaker: readBreaker(breaker),
    },
    workers: workersOf(clients.map((client) => String(client.rawname ?? client.name))),
    refusal,
    position: state === 'waiting' ? await positionOf(bull, id) : undefined,
    standing,
  }
}

/** Jobs that are put off are sorted by when they are due, in units of 1/4096 ms. */
async function dueAt(bull: BullQueue, id: string): Promise<number | undefined> {
  const score = await bull.redis.zscore(bull.toKey('delayed'), id)
  return score === null ? undefined : Math.floor(Number(score) / 4_096)
}

async function positionOf(bull: BullQueue, id: string): Promise<number | undefined> {
  const wait = bull.toKey('wait')
  // The next one stands at the right end.
  const [place, length] = await Promise.all([
    bull.redis.lpos(wait, id, 'RANK', -1, 'MAXLEN', mostAhead),
    bull.redis.llen(wait),
  ])
  return place === null ? undefined : length - 1 - place
}

function workersOf(names: readonly string[]): Facts['workers'] {
  const slots = names.map(slotsOf)
  const known = slots.filter((count) => count !== undefined)
  return {
    count: names.length,
    slots: known.length === names.length ? known.reduce((sum, count) => sum + count, 0) : undefined,
  }
}

/** Asked with a write that changes nothing anybody looks at. */
async function refusalOf(bull: BullQueue): Promise<string | undefined> {
  try {
    await bull.redis.set(bull.toKey('probe'), '', 'PX', 1)
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
