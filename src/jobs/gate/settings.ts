import type { ChainableCommander } from 'ioredis'
import type { RatePolicy } from '../../define/queue/rate.ts'
import type { TenantTerms } from '../../define/queue/tenant.ts'
import type { AnyQueue } from '../../define/queue.ts'
import type { BullQueue } from '../bull.ts'
import { toAdopt } from './adopt.ts'
import { anyGate, gateFunctions, packFunction } from './lua.ts'
import { hasGate } from './place.ts'
import { reconcileScript } from './reconcile.ts'

/** Fields that a queue file may do without. */
const optional = ['max', 'per', 'concurrency', 'rateMax', 'ratePer']

/** Of BullMQ's own hash of the queue, which goes with all else when a queue is obliterated or a store emptied. */
const settledField = 'settled'

/** Whether the store still has what {@link writeSettings} wrote. */
export async function isSettled(bull: BullQueue): Promise<boolean> {
  return (await bull.redis.hexists(bull.toKey('meta'), settledField)) === 1
}

/**
 * Tells the store what the queue file says. A limit that was set at run time stays until it is taken back. Without a gate
 * what is left in its lanes is taken in their order.
 */
export async function writeSettings(bull: BullQueue, queue: AnyQueue): Promise<void> {
  const { redis } = bull
  const { tenant, order, limit } = queue
  const key = bull.toKey('gate')
  const isSet = await isLimitSet(bull)
  if (limit && !limit.by && !isSet) await bull.setGlobalRateLimit(limit.max, limit.perMs)
  if (!limit && !isSet) await bull.removeGlobalRateLimit()
  await redis.hset(bull.toKey('meta'), settledField, '1')
  if (!hasGate(queue)) return void (await redis.del(key))
  const terms = tenant?.isUniform ? tenant.termsOf('') : undefined
  const shape = [tenant && 'tenant', order && 'order', limit?.by && 'limit'].filter(Boolean).join(' ')
  const fields: Record<string, string | number> = {
    kind: order ? 'order' : limit?.by ? 'limit' : 'tenant',
    shape,
    ...((await redis.hget(key, 'shape')) === shape ? {} : toAdopt()),
    weight: terms?.weight ?? 1,
    own: tenant?.isUniform === false || (await redis.exists(bull.toKey('gate:set'))) === 1 ? '1' : '0',
    ...(terms?.concurrency === undefined ? {} : { concurrency: terms.concurrency }),
    ...(terms?.rate ? { rateMax: terms.rate.max, ratePer: terms.rate.perMs } : {}),
    ...(limit?.by && !isSet ? { max: limit.max, per: limit.perMs } : {}),
  }
  const stale = optional.filter(
    (name) => !(name in fields) && !(isSet && limit?.by && (name === 'max' || name === 'per')),
  )
  const change = redis.multi()
  if (stale.length > 0) change.hdel(key, ...stale)
  await recounted(change.hset(key, fields), key)
}

/** With how many each tenant has in hand: nobody counts where there is no bound, so that the first one would begin at 0. */
async function recounted(change: ChainableCommander, gateKey: string): Promise<void> {
  const answers = await change.eval(reconcileScript, 1, gateKey, '0', 1).exec()
  const failed = answers?.find(([error]) => error)?.[0]
  if (failed) throw failed
}

/** What the store holds of a tenant: JSON of weight, concurrency, starts, and milliseconds for them. */
export function termsText({ weight, concurrency, rate }: TenantTerms): string {
  return JSON.stringify([weight, concurrency ?? null, rate?.max ?? null, rate?.perMs ?? null])
}

/** KEYS[1] the gate's settings. Whoever waits for a time is asked again, and so is the tenant ARGV[1]. */
const askAgainScript = `${packFunction}${gateFunctions}${anyGate}
local p = string.sub(KEYS[1], 1, -5)
packGate(p)
local packed = gateAt(p)
if not packed then return end
for _, member in ipairs(redisCall('ZRANGE', p .. 'gate:later', 0, -1)) do redisCall('ZADD', p .. 'gate:later', 0, member) end
if ARGV[1] then ready(p, packed, ARGV[1]) end
redisCall('ZADD', p .. 'marker', 0, '0')`

async function askAgain(bull: BullQueue, ...tenant: readonly string[]): Promise<void> {
  await bull.redis.eval(askAgainScript, 1, bull.toKey('gate'), ...tenant)
}

/** From now on, until {@link resetLimit}, whatever the queue file says. */
export async function setLimit(bull: BullQueue, queue: AnyQueue, { max, perMs }: RatePolicy): Promise<void> {
  await bull.redis.hset(bull.toKey('meta'), 'limitSet', '1')
  if (queue.limit?.by) await bull.redis.hset(bull.toKey('gate'), { max, per: perMs })
  else await bull.setGlobalRateLimit(max, perMs)
  await askAgain(bull)
}

export async function resetLimit(bull: BullQueue, queue: AnyQueue): Promise<void> {
  await bull.redis.hdel(bull.toKey('meta'), 'limitSet')
  if (!queue.limit) await bull.removeGlobalRateLimit()
  await writeSettings(bull, queue)
  await askAgain(bull)
}

/** A tenant's own terms from now on, whatever the queue file says; undefined takes them back. */
export async function setTerms(bull: BullQueue, tenant: string, terms: TenantTerms | undefined): Promise<void> {
  if (terms === undefined) await bull.redis.hdel(bull.toKey('gate:set'), tenant)
  else {
    const change = bull.redis.multi().hset(bull.toKey('gate:set'), tenant, termsText(terms))
    await recounted(change.hset(bull.toKey('gate'), 'own', '1'), bull.toKey('gate'))
  }
  await askAgain(bull, tenant)
}

/** What was set at run time for a tenant; undefined where the queue file holds. */
export async function readTerms(bull: BullQueue, tenant: string): Promise<TenantTerms | undefined> {
  const text = await bull.redis.hget(bull.toKey('gate:set'), tenant)
  if (text === null) return undefined
  const [weight, concurrency, max, perMs] = JSON.parse(text) as [number, ...(number | null)[]]
  return { weight, concurrency: concurrency ?? undefined, rate: max && perMs ? { max, perMs } : undefined }
}

async function isLimitSet(bull: BullQueue): Promise<boolean> {
  return (await bull.redis.hget(bull.toKey('meta'), 'limitSet')) === '1'
}
