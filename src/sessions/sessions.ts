import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Session, SessionChange, Sessions } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { changedSession, emptySession } from '../policy/session.ts'
import { room } from '../redis/room.ts'
import type { Database } from './database.ts'
import { HotSessions } from './hot.ts'
import { type Place, SessionRows, type Stored } from './rows.ts'

/**
 * So long a copy is believed without asking the database for the stamp, which is the smallest of questions. It is as old as this at
 * most when a process died, or lost the cache store, between writing one and the other; and only for who reads, never for who changes.
 */
const believeMs = 2_000
/** Another process was faster each time. With waits between them it takes hundreds of them to use this up. */
const maxTries = 50
/** Each wait is drawn from 0 to twice the one before, up to this. */
const maxPauseMs = 50
/** Of ids of sessions and of users. */
const maxIdLength = 1_000

export type SessionStore = {
  /** Sessions as the handlers of a tenant see them. */
  of(tenant: string | undefined): Sessions
  count(tenant: string | undefined, user?: string): Promise<number>
  /** How many there were. What is being written meanwhile by a job at work may be there afterwards. */
  deleteTenant(tenant: string | undefined): Promise<number>
  deleteUser(tenant: string | undefined, user: string): Promise<number>
}

/**
 * The database has the truth. A change is in it before anybody is told that it was made; the cache store holds a copy, which
 * is written after it and may be missing at any time.
 */
export function createSessionStore({
  database,
  redis,
  prefix,
  ttlMs,
  log,
  now = Date.now,
  random = Math.random,
}: {
  database: Database
  /** Of the cache store, with hotTimeoutMs. */
  redis: Redis
  prefix: string
  ttlMs: number
  log: Logger
  now?: () => number
  random?: () => number
}): SessionStore {
  const rows = new SessionRows(database, prefix)
  const hot = new HotSessions({ redis, prefix, ttlMs, log, now })
  /** The last update of each session in this process: one after the other, because side by side all but one would be in vain. */
  const lines = new Map<string, Promise<unknown>>()

  async function read(place: Place): Promise<Stored | undefined> {
    const copy = await hot.get(place)
    // By the clock of whoever compared it; one that is ahead must not make it believed for longer.
    if (copy && Math.abs(now() - copy.confirmedAt) < believeMs) return copy
    if (copy) {
      const stamp = await rows.stampOf(place).catch(onlyUnavailable)
      // Better what was true a moment ago than nothing.
      if (stamp === 'unavailable') return copy
      if (stamp === copy.stamp) {
        await hot.confirm(place, stamp)
        return copy
      }
    }
    const stored = await rows.read(place)
    if (stored) await hot.put(place, stored)
    else if (copy) await hot.drop(place)
    return stored
  }

  async function update(place: Place, change: (session: Session) => SessionChange, user?: string): Promise<Session> {
    let current: Stored | undefined = await hot.get(place)
    current ??= await rows.read(place)
    for (let tries = 1; ; tries += 1) {
      const at = now()
      const before = current?.session ?? emptySession(place.id, place.tenant ?? '', user, at)
      const session = changedSession(before, change(before), { now: at, user })
      const stamp = current ? await rows.replace(place, session, current.stamp) : await rows.insert(place, session)
      if (stamp !== undefined) {
        await hot.put(place, { session, stamp })
        return session
      }
      if (tries === maxTries)
        throw new MillraceError(
          'session-contended',
          `session ${JSON.stringify(place.id)} was changed by others ${maxTries} times while it was to be changed here`,
        )
      // The copy may have been an old one: then the first try was in vain, and no wait is needed.
      if (tries > 1) await pause(random() * Math.min(maxPauseMs, 2 ** tries))
      current = await rows.read(place)
    }
  }

  async function inLine<T>(place: Place, work: () => Promise<T>): Promise<T> {
    const key = JSON.stringify([place.tenant ?? null, place.id])
    const mine = (lines.get(key) ?? Promise.resolve()).then(work, (error) => {
      // Those behind one that waited for the database in vain must not each wait as long.
      if (isUnavailable(error)) throw error
      return work()
    })
    lines.set(key, mine)
    try {
      return await mine
    } finally {
      if (lines.get(key) === mine) lines.delete(key)
    }
  }

  async function deleteAll(tenant: string | undefined, user?: string): Promise<number> {
    let count = 0
    for (;;) {
      const gone = await rows.deleteSome(tenant, user)
      if (gone.length === 0) return count
      await hot.bury(tenant, gone)
      count += gone.length
    }
  }

  return {
    of: (tenant) => {
      const placeOf = (id: string): Place => ({ tenant, id: checkedId(id) })
      return {
        get: async (id) => (await read(placeOf(id)))?.session,
        update: async (id, change, { user } = {}) => {
          const place = placeOf(id)
          if (user !== undefined) checkedId(user, "a session's user")
          return inLine(place, () => update(place, change, user))
        },
        delete: async (id) => {
          const place = placeOf(id)
          const gone = await rows.delete(place)
          if (gone) await hot.bury(tenant, [gone])
          else await hot.drop(place)
          return gone !== undefined
        },
      }
    },
    count: (tenant, user) => rows.count(tenant, user),
    deleteTenant: async (tenant) => {
      const count = await deleteAll(tenant)
      log.info({ tenant: room(tenant), count }, 'sessions of a tenant were deleted')
      return count
    },
    deleteUser: async (tenant, user) => {
      const count = await deleteAll(tenant, user)
      log.info({ tenant: room(tenant), count }, 'sessions of a user were deleted')
      return count
    },
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof MillraceError && error.code === 'database-unavailable'
}

function onlyUnavailable(error: unknown): 'unavailable' {
  if (isUnavailable(error)) return 'unavailable'
  throw error
}

function checkedId(id: unknown, what = "a session's id"): string {
  if (typeof id !== 'string' || id === '' || id.length > maxIdLength)
    throw new TypeError(`${what} is a text of 1 to ${maxIdLength} characters`)
  return id
}
