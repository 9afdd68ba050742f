import { formatDuration } from '../define/duration.ts'
import { cli, word } from './command.ts'
import { type Explanation, iso, said } from './explanation.ts'
import type { Standing } from './standing.ts'
import type { Why } from './why.ts'

/** Everything that decides. Times are epoch milliseconds. */
export type Facts = {
  readonly now: number
  readonly state: string
  readonly job: {
    readonly id: string
    readonly attemptsMade: number
    readonly attempts: number
    readonly startedAt: number | undefined
    readonly finishedAt: number | undefined
    readonly worker: string | undefined
    readonly reason: string | undefined
    readonly dueAt: number | undefined
    /** Milliseconds left of its lock; undefined when it has none. */
    readonly lockMs: number | undefined
    readonly why: Why | undefined
  }
  readonly queue: {
    readonly name: string
    readonly paused: { readonly by: string | undefined; readonly at: number | undefined } | undefined
    readonly active: number
    readonly concurrency: number | undefined
    readonly rateLimitedMs: number
    readonly breaker: { readonly state: 'open' | 'half-open'; readonly until: number } | undefined
  }
  readonly workers: { readonly count: number; readonly slots: number | undefined }
  /** Why the store takes no writes; undefined when it does. */
  readonly refusal: string | undefined
  /** Jobs before it in a queue without a gate; undefined when it is too far back to count. */
  readonly position: number | undefined
  readonly standing: Standing | undefined
}

/** The first reason that holds, from what keeps everybody waiting to what keeps only this one. */
export function explain(facts: Facts): Explanation {
  const { now, state, job, queue } = facts
  const of = `${queue.name} ${job.id}`
  const attempt = `attempt ${Math.min(job.attemptsMade + 1, job.attempts)} of ${job.attempts}`
  switch (state) {
    case 'completed':
      return said('completed', `It was done ${ago(now, job.finishedAt)}.`, 'Nothing.')
    case 'failed':
      return dead(facts)
    case 'waiting-children':
      return said('waiting-for-children', 'It waits for the jobs that it depends on.', 'Look at its children.')
    case 'active':
      return job.lockMs === undefined
        ? said(
            'lost-worker',
            `The worker that had it (${job.worker ?? 'unknown'}) is gone. It is taken back within seconds and run again; that uses up no attempt.`,
            'Nothing; if it stays like this, no worker of this queue is running.',
          )
        : said(
            'running',
            `It is in hand of ${job.worker ?? 'a worker'} since ${ago(now, job.startedAt, '')}, ${attempt}.`,
            `Wait, or ${cli('cancel', of)}.`,
            { worker: job.worker ?? null },
          )
    case 'delayed':
      return putOff(facts)
    default:
      return waiting(facts)
  }
}

/** What to do about a job that is dead, by what it said of itself last. */
const afterDeath = {
  dead: 'Mend the cause',
  expired: 'Enqueue it anew if it is still wanted; run again by hand it would only expire again',
  cancelled: 'Nothing; if it is wanted after all',
  dropped: 'Nothing: its handler gave it up. If that was wrong, mend the handler',
  unfit: 'Mend the schema, or the migration to it',
  poison: 'Find out what kills the process (memory, native code, a loop without end)',
} as const

function dead({ now, job, queue }: Facts): Explanation {
  const last = job.why?.code ?? 'dead'
  const code = last in afterDeath ? (last as keyof typeof afterDeath) : 'dead'
  return said(
    code,
    `It will not be tried again: ${job.reason ?? 'no reason was stored'}. That was ${ago(now, job.finishedAt)}, after ${job.attemptsMade} of ${job.attempts} attempts.`,
    `${afterDeath[code]}${code === 'expired' ? '' : `, then ${cli('retry', `${queue.name} ${job.id}`)}; or all that died of the same: ${cli('dead', queue.name)} names the group for ${cli('redrive', `${queue.name} --group`)}`}.`,
    { reason: job.reason ?? null },
  )
}

function putOff({ now, job, queue, standing }: Facts): Explanation {
  const { why, dueAt, attemptsMade, attempts } = job
  const until = why?.until ?? dueAt
  const when = until === undefined ? 'later' : `in ${formatDuration(Math.max(0, until - now))}`
  const key = standing?.holder?.id === job.id ? ' The jobs of its key wait for it.' : ''
  const early = `To run it now: ${cli('retry', queue.name, job.id)}.`
  const facts = { error: why?.error ?? why?.reason ?? null }
  switch (why?.code) {
    case 'backoff':
      return said(
        'backoff',
        `Attempt ${attemptsMade} of ${attempts} failed: ${why.error ?? 'no reason was stored'}. It is tried again ${when}.${key}`,
        `Mend the cause. ${early}`,
        facts,
        until,
      )
    case 'deferred':
      return said(
        'deferred',
        `Its worker put it off: ${why.reason ?? 'not yet'}. It comes again ${when}.${key}`,
        early,
        facts,
        until,
      )
    case 'rate-limited':
      return said(
        'rate-limited',
        `A third party asked for a pause${why.key ? ` (${why.key})` : ''}. It comes again ${when}.${key}`,
        'Wait; asking earlier makes it longer with most.',
        facts,
        until,
      )
    case 'newer-version':
      return said(
        'newer-version',
        `Its payload is of version ${why.version ?? 'unknown'}, which is newer than the workers know. It is offered again ${when}.`,
        'Deploy workers of the new version.',
        facts,
        until,
      )
    default:
      return said('delayed-until', `It is not due before ${iso(until) ?? 'later'} (${when}).`, early, facts, until)
  }
}

function waiting(facts: Facts): Explanation {
  const { now, queue, workers, refusal, standing } = facts
  if (refusal !== undefined)
    return said(
      'store-refuses-writes',
      `The queue store takes no writes: ${refusal}. Nothing can be started.`,
      `Mend the store: ${cli('doctor')} says more.`,
    )
  if (queue.paused) {
    const { by, at } = queue.paused
    return said(
      'queue-paused',
      `The queue is paused${by ? ` by ${by}` : ''}${at ? ` since ${iso(at)}` : ''}.`,
      `Find out why, then ${cli('resume', queue.name)}.`,
    )
  }
  if (workers.count === 0)
    return said('no-worker', 'No worker of this queue is connected.', 'Start one: npm start -- --roles worker.')
  if (queue.breaker && queue.breaker.until > now)
    return said(
      'breaker-open',
      queue.breaker.state === 'open'
        ? `Too many attempts failed: the breaker is open for another ${formatDuration(queue.breaker.until - now)}, then one job is tried.`
        : 'Too many attempts failed: one job is tried, and the others wait for how it ends.',
      'Mend what the jobs of this queue depend on.',
      { breaker: queue.breaker.state },
      queue.breaker.until,
    )
  if (queue.rateLimitedMs > 0)
    return said(
      'queue-rate-limit',
      `The queue has started as many jobs as it may; it goes on in ${formatDuration(queue.rateLimitedMs)}.`,
      `Wait, or raise the limit: ${cli('limit', queue.name, '--max … --per …')}.`,
      {},
      now + queue.rateLimitedMs,
    )
  if (queue.concurrency !== undefined && queue.active >= queue.concurrency)
    return said(
      'queue-concurrency',
      `The queue may have ${jobs(queue.concurrency)} in hand at once, and has ${queue.active}.`,
      'Wait, or raise its concurrency.',
      { active: queue.active, concurrency: queue.concurrency },
    )
  return (standing && held(facts, standing)) ?? busy(facts)
}

/** What the gate has against it. */
function held({ now, job, queue }: Facts, standing: Standing): Explanation | undefined {
  const { holder, key, tenant, running, concurrency, keyDueAt, tenantDueAt } = standing
  if (holder && holder.id !== job.id)
    return said(
      'key-busy',
      `Jobs of the key ${JSON.stringify(key)} run one after the other, and job ${holder.id} (${holder.state}) is not done; ${before(standing.ahead)}.`,
      `${cli('explain', queue.name, holder.id)} says what that one waits for; retry, cancel or delete it, or free the key: ${cli('keys', queue.name, '--free', word(key ?? ''), ...(tenant ? ['--tenant', word(tenant)] : []))}.`,
      { key: key ?? null, holder: holder.id, ahead: standing.ahead },
    )
  if (keyDueAt !== undefined && keyDueAt > now)
    return said(
      'key-limited',
      `Jobs of the key ${JSON.stringify(key)} are held back for another ${formatDuration(keyDueAt - now)}; ${before(standing.ahead)}.`,
      `Wait, or raise the limit: ${cli('limit', queue.name, '--max … --per …')}.`,
      { key: key ?? null, ahead: standing.ahead },
      keyDueAt,
    )
  if (concurrency !== undefined && running >= concurrency)
    return said(
      'tenant-cap',
      `${nameOf(tenant)} may have ${jobs(concurrency)} in hand at once, and has ${running}; ${before(standing.ahead)}.`,
      `Wait, or raise its bound: ${cli('tenant', queue.name, word(tenant), '--concurrency …')}.`,
      { tenant, running, concurrency, ahead: standing.ahead },
    )
  if (tenantDueAt !== undefined && tenantDueAt > now)
    return said(
      'tenant-rate',
      `${nameOf(tenant)} has started as many jobs as it may; it goes on in ${formatDuration(tenantDueAt - now)}, with ${standing.ahead} before this one.`,
      `Wait, or raise its rate: ${cli('tenant', queue.name, word(tenant), '--max … --per …')}.`,
      { tenant, ahead: standing.ahead },
      tenantDueAt,
    )
  if (standing.ahead > 0 || (standing.tenantsBefore ?? 0) > 0)
    return said(
      'tenant-turn',
      `Its turn comes later: ${jobs(standing.ahead)} of ${nameOf(tenant)} ${standing.ahead === 1 ? 'is' : 'are'} before it, and ${standing.tenantsBefore ?? 'some'} other tenants have their turn before.`,
      'Wait, start more workers, or give the tenant more weight.',
      { tenant, ahead: standing.ahead, tenantsBefore: standing.tenantsBefore ?? null },
    )
  return undefined
}

function busy({ workers, queue, position }: Facts): Explanation {
  const { count, slots } = workers
  const ahead =
    position === undefined
      ? 'Many jobs are before it.'
      : position === 0
        ? 'It is the next one.'
        : `${jobs(position)} ${position === 1 ? 'is' : 'are'} before it.`
  if (slots !== undefined && queue.active >= slots)
    return said(
      'slots-busy',
      `${slots === 1 ? 'The only slot' : `All ${slots} slots`} of ${count === 1 ? 'the worker' : `${count} workers`} ${slots === 1 ? 'is' : 'are'} busy. ${ahead}`,
      'Wait, start more workers, or raise their concurrency.',
      { slots, workers: count, active: queue.active, position: position ?? null },
    )
  return said(
    'next',
    `A worker is about to take it. ${ahead}`,
    'Nothing; if it stays like this, look at /readyz of the workers.',
    { position: position ?? null },
  )
}

/** How many jobs stand before it. */
function before(count: number): string {
  return count === 0 ? 'it is the first of them' : `${count} before this one`
}

function jobs(count: number): string {
  return count === 1 ? '1 job' : `${count} jobs`
}

function nameOf(tenant: string): string {
  return tenant === '' ? 'The tenant without a name' : `Tenant ${JSON.stringify(tenant)}`
}

function ago(now: number, then: number | undefined, suffix = ' ago'): string {
  return then === undefined ? 'at a time unknown' : `${formatDuration(Math.max(0, now - then))}${suffix}`
}
