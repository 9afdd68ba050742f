import { randomBytes } from 'node:crypto'
import { MillraceError } from '../errors.ts'
import { keys } from '../redis/keys.ts'
import type { BullQueue } from './bull.ts'
import { type DeadFilter, type DeadJob, findDead, Looked } from './dead.ts'
import { mostRemembered, noteRedriven } from './groups.ts'

/*
 * Dead letters run again, many at once: first a preview, which fixes the jobs it is about, then its token runs exactly
 * those. Both are state in Redis, so that neither depends on the process that was asked.
 */

/** Long enough to read a preview and to talk it over; short enough that what it says is still so. */
const previewMs = 10 * 60_000
/** What came of it can be asked for so long. */
export const keptMs = 24 * 3_600_000
/** Their ids take some 3 MB in the store. */
const mostMatched = 50_000
const sampleSize = 5
const groupsShown = 20
const perWrite = 1_000

/** Who may use the token. */
export type Owner = { readonly name: string; readonly key: string }

export type RedrivePreview = {
  readonly token: string
  readonly queue: string
  readonly matched: number
  /** Dead letters that were looked through. */
  readonly looked: number
  readonly ratePerSecond: number
  readonly sample: readonly Pick<DeadJob, 'id' | 'name' | 'tenant' | 'reason' | 'group'>[]
  readonly groups: readonly { readonly group: string; readonly title: string; readonly count: number }[]
  readonly expiresAt: string
}

export type RedriveProgress = {
  readonly token: string
  readonly queue: string
  readonly state: 'preview' | 'running' | 'done' | 'stopped'
  readonly by: string
  readonly matched: number
  /** Jobs that were made to run again. */
  readonly done: number
  /** Jobs that were not dead any more, or died anew meanwhile. */
  readonly skipped: number
  readonly left: number
  readonly ratePerSecond: number
  readonly startedAt: string | null
  readonly finishedAt: string | null
}

/** Finds the dead letters that fit, and keeps their ids under a token. Throws `bad-request` when they are too many. */
export async function previewRedrive(
  queue: BullQueue,
  filter: DeadFilter,
  {
    prefix,
    owner,
    ratePerSecond,
    now = Date.now(),
  }: { prefix: string; owner: Owner; ratePerSecond: number; now?: number },
): Promise<RedrivePreview> {
  const looked = new Looked()
  const jobs: string[] = []
  const sample: DeadJob[] = []
  const groups = new Map<string, { title: string; count: number }>()
  for await (const job of findDead(queue, filter, looked)) {
    if (jobs.length === mostMatched)
      throw new MillraceError(
        'bad-request',
        `more than ${mostMatched} jobs; narrow the filter and redrive them in parts`,
      )
    jobs.push(`${job.diedAt} ${job.id}`)
    if (sample.length < sampleSize) sample.push(job)
    const known = groups.get(job.group)
    if (known) known.count += 1
    else groups.set(job.group, { title: job.title, count: 1 })
  }
  // In the order in which they died.
  jobs.reverse()
  const token = randomBytes(16).toString('base64url')
  const key = keys.redrive(prefix, token)
  const ordered = [...groups].sort(([, a], [, b]) => b.count - a.count)
  const writes = queue.redis.multi()
  writes.hset(key, {
    state: 'preview',
    queue: queue.name,
    by: owner.name,
    owner: owner.key,
    rate: ratePerSecond,
    matched: jobs.length,
    done: 0,
    skipped: 0,
    groups: JSON.stringify(ordered.slice(0, mostRemembered).map(([group]) => group)),
  })
  for (let i = 0; i < jobs.length; i += perWrite) writes.rpush(`${key}:jobs`, ...jobs.slice(i, i + perWrite))
  writes.pexpire(key, previewMs).pexpire(`${key}:jobs`, previewMs)
  const answers = await writes.exec()
  const failed = answers?.find(([error]) => error)?.[0]
  if (failed) throw failed
  return {
    token,
    queue: queue.name,
    matched: jobs.length,
    looked: looked.looked,
    ratePerSecond,
    sample: sample.map(({ id, name, tenant, reason, group }) => ({ id, name, tenant, reason, group })),
    groups: ordered.slice(0, groupsShown).map(([group, { title, count }]) => ({ group, title, count })),
    expiresAt: new Date(now + previewMs).toISOString(),
  }
}

/** KEYS: the redrive's hash, its jobs, the set of those under way. ARGV: owner, now, how long it is kept, token. Returns its state before, or nothing. */
const startScript = `
local state, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'owner'))
if not state or owner ~= ARGV[1] then return false end
if state == 'preview' then
  redis.call('HSET', KEYS[1], 'state', 'running', 'startedAt', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  redis.call('SADD', KEYS[3], ARGV[4])
end
return state`

/** Starts what the preview showed; once, however often it is asked. Throws `unknown-redrive`. */
export async function startRedrive(
  bull: ReadonlyMap<string, BullQueue>,
  token: string,
  { prefix, owner, now = Date.now() }: { prefix: string; owner: Owner; now?: number },
): Promise<RedriveProgress> {
  const { queue, progress, groups } = await stored(bull, token, prefix, owner)
  // Before the first one runs: it may die again at once.
  if (progress.state === 'preview') await noteRedriven(queue, groups, now)
  const key = keys.redrive(prefix, token)
  const before = await queue.redis.eval(
    startScript,
    3,
    key,
    `${key}:jobs`,
    keys.redrives(prefix),
    owner.key,
    now,
    keptMs,
    token,
  )
  if (before === null) throw unknownRedrive()
  return redriveProgress(bull, token, { prefix, owner })
}

/** Lets no further job of it run. Those that run already are not called back. */
export async function stopRedrive(
  bull: ReadonlyMap<string, BullQueue>,
  token: string,
  { prefix, owner, now = Date.now() }: { prefix: string; owner: Owner; now?: number },
): Promise<RedriveProgress> {
  const { queue, progress } = await stored(bull, token, prefix, owner)
  if (progress.state === 'preview' || progress.state === 'running') {
    await queue.redis.hset(keys.redrive(prefix, token), 'state', 'stopped', 'finishedAt', now)
    await queue.redis.srem(keys.redrives(prefix), token)
  }
  return redriveProgress(bull, token, { prefix, owner })
}

/** Throws `unknown-redrive`, to everybody but the owner. */
export async function redriveProgress(
  bull: ReadonlyMap<string, BullQueue>,
  token: string,
  { prefix, owner }: { prefix: string; owner?: Owner },
): Promise<RedriveProgress> {
  return (await stored(bull, token, prefix, owner)).progress
}

async function stored(bull: ReadonlyMap<string, BullQueue>, token: string, prefix: string, owner?: Owner) {
  const [any] = bull.values()
  const fields = any && /^[\w-]{22}$/.test(token) ? await any.redis.hgetall(keys.redrive(prefix, token)) : {}
  const queue = bull.get(fields.queue ?? '')
  if (!queue || (owner && fields.owner !== owner.key)) throw unknownRedrive()
  const number = (name: string) => Number(fields[name] ?? 0)
  const time = (name: string) => (fields[name] === undefined ? null : new Date(Number(fields[name])).toISOString())
  const progress: RedriveProgress = {
    token,
    queue: queue.name,
    state: fields.state as RedriveProgress['state'],
    by: fields.by ?? '',
    matched: number('matched'),
    done: number('done'),
    skipped: number('skipped'),
    left: number('matched') - number('done') - number('skipped'),
    ratePerSecond: number('rate'),
    startedAt: time('startedAt'),
    finishedAt: time('finishedAt'),
  }
  return { queue, progress, groups: JSON.parse(fields.groups ?? '[]') as string[] }
}

function unknownRedrive(): MillraceError {
  return new MillraceError('unknown-redrive', 'there is no such redrive, or it is not yours')
}
