import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { keys } from '../../src/redis/keys.ts'
import { noPostgres, startPostgres, type TestPostgres } from '../harness/databases.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'
import { openSessions, type Rig, type Where } from './rig.ts'

/* What becomes of sessions when the cache store, or the database, is away or hangs. */

let redis: TestRedis
let dataDir: string
let prefix: string
let id: string

beforeAll(async () => {
  // As a managed cache store: it keeps nothing.
  redis = await startRedis({ appendonly: 'no' })
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-sessions-'))
})
afterAll(async () => {
  await redis?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})
beforeEach(() => {
  prefix = freshId('p')
  id = freshId()
})

const say = (text: string) => ({ messages: [{ role: 'user', text }] as const })
const texts = async (rig: Rig) => (await rig.of('T1').get(id))?.messages.map((message) => message.text)
const copy = () => redis.client.hget(keys.conversation(prefix, 'T1', id), 'v')

/** What the cache store costs a request that goes to the database all the same: hotTimeoutMs, and what a busy machine adds. */
const boundMs = 250

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const began = performance.now()
  const value = await work()
  return { value, ms: performance.now() - began }
}

describe('a cache store', () => {
  let rig: Rig
  let other: Rig
  let where: Where
  /** Its process takes seconds to start; with this one it goes on between the tests. */
  let keep: Rig
  beforeAll(async () => {
    keep = await openSessions({ redis: redis.path, prefix: 'keep', dataDir })
    await keep.of('T1').get('none')
  }, 90_000)
  afterAll(() => keep?.close())
  const open = async () => {
    where = { redis: redis.path, prefix, dataDir }
    rig = await openSessions(where)
    other = await openSessions(where)
    await Promise.all([rig, other].map((one) => one.of('T1').get('none')))
  }
  const close = async () => void (await Promise.all([rig, other].map((one) => one.close())))

  it('that is killed is done without, and has copies again when it is back', { timeout: 90_000 }, async () => {
    await open()
    await rig.of('T1').update(id, () => say('before'))
    await redis.kill()
    for (const text of ['one', 'two']) {
      const { ms } = await timed(() => rig.of('T1').update(id, () => say(text)))
      expect(ms).toBeLessThan(boundMs)
    }
    const read = await timed(() => texts(rig))
    expect(read.value).toEqual(['before', 'one', 'two'])
    expect(read.ms).toBeLessThan(boundMs)
    expect(await texts(other)).toEqual(['before', 'one', 'two'])
    expect(await other.of('T1').delete('none')).toBe(false)

    await redis.restart()
    await until(async () => (await texts(rig)) && (await copy()), 'there is a copy again')
    await rig.of('T1').update(id, () => say('after'))
    expect(await texts(other)).toEqual(['before', 'one', 'two', 'after'])
    await close()
  })

  it('that hangs is waited for once, and its old copy is not believed', { timeout: 60_000 }, async () => {
    await open()
    await rig.of('T1').update(id, () => say('before'))
    redis.signal('SIGSTOP')
    try {
      const first = await timed(() => rig.of('T1').update(id, () => say('one')))
      expect(first.ms).toBeLessThan(boundMs)
      expect((await timed(() => texts(rig))).value).toEqual(['before', 'one'])
    } finally {
      redis.signal('SIGCONT')
    }
    // The process that could not tell the store does not believe it from then on.
    const copied = async () => {
      expect(await texts(rig)).toEqual(['before', 'one'])
      return (await copy())?.includes('one')
    }
    await until(copied, 'the copy is new')
    await close()
  })

  it('that is emptied, or holds nonsense, is no harm', { timeout: 60_000 }, async () => {
    await open()
    const key = keys.conversation(prefix, 'T1', id)
    await rig.of('T1').update(id, () => say('one'))
    await redis.client.unlink(key)
    expect(await texts(rig)).toEqual(['one'])
    await redis.client.hset(key, { v: '{"half' })
    expect(await texts(rig)).toEqual(['one'])
    await redis.client.set(key, 'another type')
    expect(await texts(rig)).toEqual(['one'])
    expect((await rig.of('T1').update(id, () => say('two'))).version).toBe(2)
    await close()
  })
})

describe.skipIf(noPostgres)(`a PostgreSQL${noPostgres ? ` (${noPostgres})` : ''}`, () => {
  let postgres: TestPostgres
  let rig: Rig
  let time = Date.now()
  beforeAll(async () => {
    postgres = await startPostgres()
  }, 60_000)
  afterAll(async () => {
    await rig?.close()
    await postgres?.stop()
  })
  const open = async () => {
    rig = await openSessions({ redis: redis.path, prefix, url: postgres.url }, { now: () => time })
  }

  it('that is killed: copies are read, nothing is changed, and it goes on when it is back', {
    timeout: 60_000,
  }, async () => {
    await open()
    await rig.of('T1').update(id, () => say('one'))
    await postgres.kill()
    await expect(rig.of('T1').update(id, () => say('lost'))).rejects.toMatchObject({ code: 'database-unavailable' })
    await expect(rig.of('T1').delete(id)).rejects.toMatchObject({ code: 'database-unavailable' })
    expect(await texts(rig)).toEqual(['one'])
    // Older than what is believed without asking: still better than nothing.
    time += 60_000
    expect(await texts(rig)).toEqual(['one'])
    await expect(rig.of('T1').get('unknown')).rejects.toMatchObject({ code: 'database-unavailable' })

    await postgres.restart()
    expect((await rig.of('T1').update(id, () => say('two'))).messages).toHaveLength(2)
    await rig.close()
  })

  it('that hangs is given up, and nobody waits for it for ever', { timeout: 60_000 }, async () => {
    await open()
    await rig.of('T1').update(id, () => say('one'))
    postgres.signal('SIGSTOP')
    try {
      const began = performance.now()
      // One after the other in this process: their waits must not add up.
      const late = Array.from({ length: 10 }, () => rig.of('T1').update(id, () => say('late')))
      for (const one of await Promise.allSettled(late))
        expect(one).toMatchObject({ status: 'rejected', reason: { code: 'database-unavailable' } })
      expect(performance.now() - began).toBeLessThan(15_000)
      expect(await texts(rig)).toEqual(['one'])
    } finally {
      postgres.signal('SIGCONT')
    }
    // Whether the one that was given up was made is not known; what is made afterwards is there once.
    const { messages } = await rig.of('T1').update(id, () => say('two'))
    expect(messages.filter(({ text }) => text === 'two')).toHaveLength(1)
    await rig.close()
  })

  it('is brought up to date once by ten that start at the same time', { timeout: 60_000 }, async () => {
    const fresh = await startPostgres()
    try {
      const where = { redis: redis.path, prefix, url: fresh.url }
      const rigs = await Promise.all(Array.from({ length: 10 }, () => openSessions(where)))
      await Promise.all(rigs.map((one, i) => one.of('T1').update(id, () => say(String(i)))))
      expect((await rigs[0]?.of('T1').get(id))?.messages).toHaveLength(10)
      const applied = await rigs[0]?.database.query('SELECT name FROM millrace_migrations ORDER BY id')
      expect(applied).toEqual([{ name: 'sessions' }])
      await Promise.all(rigs.map((one) => one.close()))
    } finally {
      await fresh.stop()
    }
  })

  it('that cannot be reached is named, without the password', async () => {
    rig = await openSessions({ redis: redis.path, prefix, url: 'postgres://u:hunter2@127.0.0.1:1/db' })
    const error = await rig
      .of('T1')
      .get(id)
      .catch((thrown: Error) => thrown)
    expect(error).toMatchObject({ code: 'database-unavailable', status: 503 })
    expect(String((error as Error).message)).toMatch(/^PostgreSQL 127\.0\.0\.1:1\/db: connect ECONNREFUSED/)
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('hunter2')
    await rig.close()
  })
})
