import { Redis } from 'ioredis'
import { type Durability, describeStore, type StoreAddress } from '../config.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { CorkedRedis } from './corked.ts'

/**
 * What a connection is for decides how it fails.
 *
 * - `producer`: somebody waits for an answer. Fails at once when the store is away, and within `timeoutMs` when it hangs.
 * - `consumer`: blocks on purpose and waits for the store for ever. A command timeout here would kill BullMQ's blocking
 *   fetch (measured: a worker that processes nothing while its health looks fine).
 * - `reader`: dashboards and metrics. As producer, but a command may wait for a reconnection in progress.
 */
export type Purpose = 'producer' | 'consumer' | 'reader'

/** Opens a connection. It reconnects for ever, with growing waits of up to a second: giving up would leave a process that looks alive. */
export function connect(
  address: StoreAddress,
  purpose: Purpose,
  {
    timeoutMs = 5_000,
    connectTimeoutMs = 10_000,
    onError,
  }: { timeoutMs?: number; connectTimeoutMs?: number; onError?: (error: Error) => void } = {},
): CorkedRedis {
  const redis = new CorkedRedis({
    ...addressOptions(address),
    connectTimeout: connectTimeoutMs,
    connectionName: `millrace-${purpose}`,
    retryStrategy: (tries) => Math.min(50 * 2 ** Math.min(tries - 1, 5), 1_000) + Math.random() * 100,
    // After a failover the old master answers READONLY: reconnect, which finds the new one, and send the command again.
    reconnectOnError: reconnectNowAndThen(),
    // It fails as an unhandled rejection when a connection goes again at once (see channel.ts, which does it).
    autoResubscribe: false,
    ...(purpose === 'consumer'
      ? { maxRetriesPerRequest: null }
      : {
          maxRetriesPerRequest: purpose === 'producer' ? 0 : 1,
          // Infinity: whoever asks has a watch of its own, and a timer for each command costs as much as a tenth of it.
          ...(Number.isFinite(timeoutMs) ? { commandTimeout: timeoutMs } : {}),
        }),
    // A producer's add that was cut off is repeated by its caller, who knows whether anybody still waits.
    ...(purpose === 'producer' ? { enableOfflineQueue: false, autoResendUnfulfilledCommands: false } : {}),
  })
  redis.on('error', onError ?? (() => {}))
  return redis
}

/** At most once a second: where no other master can be found, the error goes to whoever asked. */
function reconnectNowAndThen(): (error: Error) => 2 | false {
  let last = 0
  return (error) => {
    if (!/^(READONLY|UNBLOCKED)/.test(error.message) || Date.now() - last < 1_000) return false
    last = Date.now()
    return 2
  }
}

// No written return type: ioredis' RedisOptions does not fit its own constructor under exactOptionalPropertyTypes.
function addressOptions(address: StoreAddress) {
  return {
    ...(address.path ? { path: address.path } : { host: address.host, port: address.port }),
    db: address.db,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls === undefined ? {} : { tls: address.tls.ca === undefined ? {} : { ca: address.tls.ca } }),
  }
}

/** Resolves when the connection can be used, however long that takes. */
export function untilReady(redis: Redis): Promise<void> {
  return redis.status === 'ready' ? Promise.resolve() : new Promise((resolve) => redis.once('ready', () => resolve()))
}

/** A process has several connections, which close one after the other within what is left when its grace is over. */
const quitMs = 200

/** Closes a connection without waiting for a store that is away. */
export async function disconnect(redis: Redis): Promise<void> {
  if (redis.status === 'ready') {
    await Promise.race([redis.quit().catch(() => {}), new Promise((resolve) => setTimeout(resolve, quitMs).unref())])
  }
  redis.disconnect()
}

/** What a store says of itself. Sizes in bytes; `appendfsync` is undefined where the server does not tell. */
export type StoreFacts = {
  readonly version: string
  readonly policy: string
  readonly usedMemory: number
  /** 0 for no limit. */
  readonly maxMemory: number
  /** Since it was started. */
  readonly evictedKeys: number
  readonly loading: boolean
  readonly aof: boolean
  readonly appendfsync: string | undefined
  readonly lastWriteFailed: boolean
  /** A replica takes no writes; after a failover the former master is one. */
  readonly isReplica: boolean
}

/** Two commands: INFO, and CONFIG GET where it is allowed. */
export async function readFacts(redis: Redis): Promise<StoreFacts> {
  const info = await redis.info()
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? ''
  const fsync = await redis.config('GET', 'appendfsync').catch(() => undefined)
  return {
    version: field('redis_version'),
    policy: field('maxmemory_policy'),
    usedMemory: Number(field('used_memory')),
    maxMemory: Number(field('maxmemory')),
    evictedKeys: Number(field('evicted_keys')),
    loading: field('loading') === '1',
    aof: field('aof_enabled') === '1',
    appendfsync: Array.isArray(fsync) ? String(fsync[1]) : undefined,
    lastWriteFailed: field('aof_last_write_status') === 'err',
    isReplica: field('role') === 'slave',
  }
}

const oldest = [6, 2] as const

/**
 * Waits until the store answers, then refuses what would break the promise. Throws `store-unreachable` after
 * `connectTimeoutMs`, `store-refused` at once for a wrong password, `store-too-old`, `store-evicts`, `store-not-durable`.
 */
export async function checkStore(
  address: StoreAddress,
  role: 'queue' | 'cache',
  {
    durability,
    connectTimeoutMs,
    onWait,
  }: { durability: Durability; connectTimeoutMs: number; onWait?: ((why: string) => void) | undefined },
): Promise<StoreFacts> {
  const where = `${role} store ${describeStore(address)}`
  const deadline = Date.now() + connectTimeoutMs
  let said = ''
  for (;;) {
    try {
      const facts = await askOnce(address, Math.max(250, deadline - Date.now()))
      if (!facts.loading) return judge(facts, role, where, durability)
      said = say('it is loading its data')
      // However long it takes: it is alive, and everything acknowledged is in what it loads.
    } catch (error) {
      if (error instanceof MillraceError) throw error
      const why = messageOf(error)
      if (/^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password)/.test(why))
        throw new MillraceError('store-refused', `${where} refused the credentials: ${why}`)
      if (Date.now() >= deadline)
        throw new MillraceError('store-unreachable', `${where} cannot be reached: ${why}`, { cause: error })
      said = say(why)
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }

  function say(why: string): string {
    if (why !== said) onWait?.(`waiting for the ${where}: ${why}`)
    return why
  }
}

async function askOnce(address: StoreAddress, timeoutMs: number): Promise<StoreFacts> {
  const redis = new Redis({
    ...addressOptions(address),
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    // Servers before 6 do not know RESP3's greeting, and must be able to tell how old they are.
    protocol: 2,
    retryStrategy: () => null,
  })
  // The first error is the cause ("connect ECONNREFUSED …", "WRONGPASS …"); what follows only says "closed".
  let first: Error | undefined
  redis.on('error', (error) => {
    first ??= error
  })
  try {
    await redis.connect()
    return await readFacts(redis)
  } catch (error) {
    throw first ?? error
  } finally {
    redis.disconnect()
  }
}

function judge(facts: StoreFacts, role: 'queue' | 'cache', where: string, durability: Durability): StoreFacts {
  const [major = 0, minor = 0] = facts.version.split('.').map(Number)
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1]))
    throw new MillraceError('store-too-old', `${where} is Redis ${facts.version}; 6.2 or newer is needed`)
  if (role === 'queue') {
    if (facts.policy !== 'noeviction')
      throw new MillraceError(
        'store-evicts',
        `${where} has maxmemory-policy ${facts.policy} and would drop jobs when full; set it: redis-cli CONFIG SET maxmemory-policy noeviction`,
      )
    if (durability === 'waitaof' && !facts.aof)
      throw new MillraceError(
        'store-not-durable',
        `${where} has no append-only file; redis-cli CONFIG SET appendonly yes`,
      )
    if (durability === 'waitaof' && (major < 7 || (major === 7 && minor < 2)))
      throw new MillraceError(
        'store-not-durable',
        `${where} is Redis ${facts.version}; DURABILITY=waitaof needs 7.2 or newer`,
      )
  }
  return facts
}

/** What a 2xx means on this store, in words, and whether that is less than was asked for. */
export function durabilityOf(facts: StoreFacts, wanted: Durability): { kept: boolean; detail: string } {
  if (!facts.aof)
    return {
      kept: false,
      detail:
        'the store has no append-only file: acknowledged events are lost when it stops; redis-cli CONFIG SET appendonly yes',
    }
  if (wanted === 'waitaof') return { kept: true, detail: 'waitaof: each acknowledged event has been fsynced' }
  if (facts.appendfsync === undefined)
    return { kept: true, detail: 'append-only file on; the server does not tell its appendfsync' }
  if (facts.appendfsync === 'always') return { kept: true, detail: 'always: each acknowledged event is on disk' }
  const detail = `${facts.appendfsync}: 1–2 s of acknowledged events can be lost`
  return wanted === 'everysec' && facts.appendfsync === 'everysec'
    ? { kept: true, detail }
    : { kept: false, detail: `${detail}; redis-cli CONFIG SET appendfsync always` }
}
