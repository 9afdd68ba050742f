import type { Redis } from 'ioredis'
import type { Session } from '../define/services.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { keys } from '../redis/keys.ts'
import { keyPart, room } from '../redis/room.ts'
import type { Gone, Place, Stored } from './rows.ts'

/** Longest wait for the cache store; after it the database is asked. For the connection's `timeoutMs`. */
export const hotTimeoutMs = 50
/** After a failure it is left alone for so long, or each request would wait anew for a store that hangs. */
const restMs = 1_000
/** What could not be told to the store is remembered up to here. More than a process changes while a store restarts. */
const maxOwed = 10_000
/** Longer than a reader may hold a state that was deleted meanwhile. */
const tombstoneMs = 60_000

/**
 * KEYS[1] hash of a session: s its stamp, c when it was last compared with the database, v the session ('' when it was deleted).
 * ARGV stamp, v, c, lifetime in ms. Never goes backwards: what is older than what is there, or was deleted, is not written.
 */
const putScript = `
local stamp = redis.call('HGET', KEYS[1], 's')
if stamp then
  local there, given = tonumber(stamp), tonumber(ARGV[1])
  if there > given or (there == given and ARGV[2] ~= '' and redis.call('HGET', KEYS[1], 'v') == '') then return 0 end
end
redis.call('HSET', KEYS[1], 's', ARGV[1], 'v', ARGV[2], 'c', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`

/** KEYS[1] as above; ARGV stamp, c. Without the session itself, which may be 50 KB and more. */
const confirmScript = `
if redis.call('HGET', KEYS[1], 's') == ARGV[1] then redis.call('HSET', KEYS[1], 'c', ARGV[2]) end
return 1`

/** KEYS[1] as above; ARGV[1] lifetime. Each reading starts the lifetime anew, but not that of a tombstone. */
const getScript = `
local found = redis.call('HMGET', KEYS[1], 's', 'c', 'v')
if found[3] and found[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return found`

/** A copy, and when it was last seen to be what the database has. */
export type Copy = Stored & { readonly confirmedAt: number }

/**
 * Copies of sessions in the cache store, for as long as they are used. Nothing here throws: a store that is away, slow or
 * emptied is a copy that is not there.
 */
export class HotSessions {
  readonly #redis: Redis
  readonly #prefix: string
  readonly #ttlMs: number
  readonly #log: Logger
  readonly #now: () => number
  /** Copies that may be older than what this process has written; they are not believed, and go when the store is back. */
  readonly #owed = new Set<string>()
  #restUntil = 0

  constructor({
    redis,
    prefix,
    ttlMs,
    log,
    now,
  }: { redis: Redis; prefix: string; ttlMs: number; log: Logger; now: () => number }) {
    this.#redis = redis
    this.#prefix = prefix
    this.#ttlMs = ttlMs
    this.#log = log
    this.#now = now
    redis.on('ready', () => void this.#settle())
  }

  async get(place: Place): Promise<Copy | undefined> {
    const key = this.#key(place)
    if (this.#owed.has(key)) {
      void this.#settle()
      return undefined
    }
    const found = await this.#try(() => this.#redis.eval(getScript, 1, key, this.#ttlMs) as Promise<(string | null)[]>)
    const [stamp, confirmed, state] = found ?? []
    // Another reader may have waited in vain for something that this one was told about meanwhile.
    if (!stamp || !state || this.#owed.has(key)) return undefined
    try {
      return { stamp: Number(stamp), confirmedAt: Number(confirmed), session: JSON.parse(state) as Session }
    } catch {
      return undefined // not ours; the next put replaces it
    }
  }

  /** A state that is in the database. */
  async put(place: Place, { session, stamp }: Stored): Promise<void> {
    await this.#write(this.#key(place), [stamp, JSON.stringify(session), this.#now(), this.#ttlMs])
  }

  /** The copy of this stamp is what the database has now. */
  async confirm(place: Place, stamp: number): Promise<void> {
    await this.#try(() => this.#redis.eval(confirmScript, 1, this.#key(place), stamp, this.#now()))
  }

  /** What was deleted from the database. A tombstone keeps a slow reader from bringing it back. */
  async bury(tenant: string | undefined, gone: readonly Gone[]): Promise<void> {
    await Promise.all(
      gone.map(({ id, stamp }) =>
        this.#write(keys.conversation(this.#prefix, room(tenant), id), [stamp, '', this.#now(), tombstoneMs]),
      ),
    )
  }

  /** Takes away a copy that the database does not know. */
  async drop(place: Place): Promise<void> {
    const key = this.#key(place)
    const done = await this.#try(() => this.#redis.unlink(key))
    if (done === undefined) this.#owe(key)
  }

  #key({ tenant, id }: Place): string {
    return keys.conversation(this.#prefix, room(tenant), keyPart(id))
  }

  async #write(key: string, args: (string | number)[]): Promise<void> {
    const done = await this.#try(() => this.#redis.eval(putScript, 1, key, ...args) as Promise<number>)
    // What is written is as new as what was owed, or older than what is there.
    if (done !== undefined) return void this.#owed.delete(key)
    this.#owe(key)
    // Not waited for. A store that is only slow does it before anybody asks, and an answer that is late still takes it off the list.
    if (this.#redis.status === 'ready')
      void this.#redis.unlink(key).then(
        () => this.#owed.delete(key),
        () => {},
      )
  }

  #owe(key: string): void {
    // The oldest goes: its copy is believed again, for as long as copies are believed without asking.
    const [oldest] = this.#owed.size >= maxOwed ? this.#owed : []
    if (oldest !== undefined) this.#owed.delete(oldest)
    this.#owed.add(key)
  }

  /** Undefined when the store did not do it in time. */
  async #try<T>(command: () => Promise<T>): Promise<T | undefined> {
    if (this.#now() < this.#restUntil || this.#redis.status !== 'ready') return undefined
    try {
      const value = await command()
      if (this.#owed.size > 0) void this.#settle()
      return value
    } catch (error) {
      this.#restUntil = this.#now() + restMs
      this.#log.warn({ reason: messageOf(error) }, 'cache store: sessions come from the database for now')
      return undefined
    }
  }

  /** Takes away the copies that may be old. To be without one is always right. */
  async #settle(): Promise<void> {
    if (this.#now() < this.#restUntil || this.#redis.status !== 'ready') return
    const some = [...this.#owed].slice(0, 500)
    try {
      if (some.length > 0) await this.#redis.unlink(...some)
      for (const key of some) this.#owed.delete(key)
    } catch {
      this.#restUntil = this.#now() + restMs
    }
  }
}
