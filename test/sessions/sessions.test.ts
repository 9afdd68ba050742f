import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keys } from '../../src/redis/keys.ts'
import { noPostgres, startPostgres, type TestPostgres } from '../harness/databases.ts'
import { built } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { openSessions, type Rig, type Where } from './rig.ts'

/* What sessions promise, on each database that they may be kept in. */

const databases = [
  { name: 'the embedded database', skip: undefined },
  { name: `PostgreSQL${noPostgres ? ` (${noPostgres})` : ''}`, skip: noPostgres },
] as const

describe.each(databases)('with $name', ({ name, skip }) => {
  let redis: TestRedis
  let postgres: TestPostgres | undefined
  let dataDir: string
  let where: Where
  let rig: Rig
  let time = Date.now()

  beforeAll(async () => {
    if (skip) return
    redis = await startRedis()
    dataDir = mkdtempSync(join(tmpdir(), 'millrace-sessions-'))
    if (name.startsWith('PostgreSQL')) postgres = await startPostgres()
    const at = { redis: redis.path, prefix: freshId('p') }
    where = postgres ? { ...at, url: postgres.url } : { ...at, dataDir }
    rig = await openSessions(where, { now: () => time, timeoutMs: 10_000 })
    // With all the time for the cache store that a busy machine takes: what is done without it is in faults.test.ts.
    // The embedded one makes its files now, which takes a while.
    expect(await rig.of('T1').get('none')).toBeUndefined()
  }, 90_000)
  afterAll(async () => {
    if (skip) return
    await rig?.close()
    await postgres?.stop()
    await redis?.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  const say = (text: string) => ({ messages: [{ role: 'user', text }] as const })
  const texts = async (tenant: string | undefined, id: string) =>
    (await rig.of(tenant).get(id))?.messages.map((message) => message.text)
  const copyOf = (id: string, tenant = 'T1') => keys.conversation(where.prefix, tenant, id)

  it.skipIf(skip)('keeps what was added, and counts the changes', async () => {
    const id = freshId()
    const sessions = rig.of('T1')
    const began = time
    expect(await sessions.update(id, () => say('one'), { user: 'U1' })).toMatchObject({ id, tenant: 'T1', version: 1 })
    time += 5
    const made = await sessions.update(id, (session) => {
      expect(session.messages).toHaveLength(1)
      return { toolRuns: [{ tool: 'notion', ok: true, ms: 12 }], data: { topic: 'tea', gone: 1 } }
    })
    expect(made).toEqual({
      id,
      tenant: 'T1',
      user: 'U1',
      messages: [{ role: 'user', text: 'one', at: began }],
      toolRuns: [{ tool: 'notion', ok: true, ms: 12, at: time }],
      data: { topic: 'tea', gone: 1 },
      version: 2,
      createdAt: began,
      lastActivityAt: time,
    })
    expect(await sessions.update(id, () => ({ data: { gone: undefined } }))).toMatchObject({ data: { topic: 'tea' } })
    expect(await sessions.get(id)).toMatchObject({ version: 3, data: { topic: 'tea' } })
    expect(await sessions.delete(id)).toBe(true)
    expect(await sessions.delete(id)).toBe(false)
    expect(await sessions.get(id)).toBeUndefined()
  })

  it.skipIf(skip)('restores one whose copy is gone, and has it in the cache store again', async () => {
    const id = freshId()
    await rig.of('T1').update(id, () => say('one'))
    expect(await redis.client.unlink(copyOf(id))).toBe(1)
    expect(await texts('T1', id)).toEqual(['one'])
    expect(await redis.client.exists(copyOf(id))).toBe(1)
  })

  it.skipIf(skip)('keeps a copy for SESSION_TTL from its last use', async () => {
    const id = freshId()
    await rig.of('T1').update(id, () => say('one'))
    for (const use of [() => texts('T1', id), () => rig.of('T1').update(id, () => say('two'))]) {
      await redis.client.pexpire(copyOf(id), 5_000)
      await use()
      expect(await redis.client.pttl(copyOf(id))).toBeGreaterThan(86_400_000 - 60_000)
    }
  })

  it.skipIf(skip)('shows no tenant what is another’s, whatever they are called', async () => {
    const id = freshId()
    const tenants = [
      undefined,
      'T1',
      't1',
      '*',
      'T*',
      'a:b',
      'a',
      '~',
      '%2A',
      'Ü ☕',
      '\0',
      '\ud800',
      '\udbff',
      'x'.repeat(999),
    ]
    await Promise.all(tenants.map((tenant, i) => rig.of(tenant).update(id, () => say(`of ${i}`))))
    expect(await Promise.all(tenants.map((tenant) => texts(tenant, id)))).toEqual(tenants.map((_, i) => [`of ${i}`]))
    expect(await rig.of('other').get(id)).toBeUndefined()
    expect(await rig.of('other').delete(id)).toBe(false)
    await redis.client.unlink(...tenants.map((tenant) => copyOf(id, tenant)))
    expect(await Promise.all(tenants.map((tenant) => texts(tenant, id)))).toEqual(tenants.map((_, i) => [`of ${i}`]))
    expect(await rig.deleteTenant('*')).toBe(1)
    expect(await texts('*', id)).toBeUndefined()
    expect(await texts('T*', id)).toEqual(['of 4'])
  })

  it.skipIf(skip)('loses nothing of 20 appends at once from several processes', { timeout: 60_000 }, async () => {
    const id = freshId()
    const processes = ['a', 'b', 'c', 'd']
    const append = async (child: string) => {
      const args = [built('../test/sessions/append-child.js'), JSON.stringify(where), id, child, '5']
      const [code] = await once(spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] }), 'exit')
      expect(code).toBe(0)
    }
    await Promise.all(processes.map(append))
    const session = await rig.of('T1').get(id)
    const wanted = processes.flatMap((child) => [0, 1, 2, 3, 4].map((i) => `${child}-${i}`))
    expect(session?.messages.map((message) => message.text).sort()).toEqual(wanted)
    expect(session?.version).toBe(20)
  })

  it.skipIf(skip)(
    'does not believe an old copy when something is changed, and not for long when it is read',
    async () => {
      const id = freshId()
      await rig.of('T1').update(id, () => say('one'))
      const old = await redis.client.hgetall(copyOf(id))
      await rig.of('T1').update(id, () => say('two'))
      // As a process leaves it that dies between the database and the cache store.
      await redis.client.hset(copyOf(id), old)
      expect((await rig.of('T1').update(id, () => say('three'))).messages).toHaveLength(3)
      await redis.client.hset(copyOf(id), old)
      time += 11_000
      expect(await texts('T1', id)).toEqual(['one', 'two', 'three'])
    },
  )

  it.skipIf(skip)('deletes by tenant and by user, and nothing else', async () => {
    const tenant = freshId('T')
    const id = (i: number) => `s${i}`
    for (let i = 0; i < 6; i += 1) await rig.of(tenant).update(id(i), () => say('x'), { user: `U${i % 2}` })
    await rig.of('T1').update(id(0), () => say('x'), { user: 'U0' })
    expect(await rig.count(tenant)).toBe(6)
    expect(await rig.count(tenant, 'U0')).toBe(3)
    expect(await rig.deleteUser(tenant, 'U0')).toBe(3)
    expect(await Promise.all([0, 1].map((i) => texts(tenant, id(i))))).toEqual([undefined, ['x']])
    expect(await rig.deleteTenant(tenant)).toBe(3)
    expect(await texts(tenant, id(1))).toBeUndefined()
    expect(await texts('T1', id(0))).toEqual(['x'])
    // One of the same name that is made anew is a new one.
    expect(await rig.of(tenant).update(id(1), () => say('y'))).toMatchObject({ version: 1, messages: [{ text: 'y' }] })
    expect(await texts(tenant, id(1))).toEqual(['y'])
  })

  it.skipIf(skip)('refuses what no session can hold, and changes nothing', async () => {
    const id = freshId()
    const sessions = rig.of('T1')
    const wrong = [
      async () => ({}),
      () => ({ messages: [{ role: 'robot', text: 'x' }] }),
      () => ({ messages: 'x' }),
      () => ({ toolRuns: [{ tool: 'x' }] }),
      () => ({ data: { big: 1n } }),
      () => undefined,
    ]
    for (const change of wrong) await expect(sessions.update(id, change as never)).rejects.toThrow(TypeError)
    await expect(sessions.update(id, () => ({ data: { x: 'x'.repeat(70_000) } }))).rejects.toThrow(RangeError)
    await expect(sessions.update('', () => ({}))).rejects.toThrow("a session's id is a text of 1 to 1000 characters")
    const user = 'U'.repeat(1_001)
    await expect(sessions.update(id, () => ({}), { user })).rejects.toThrow("a session's user is a text of 1 to 1000")
    expect(await sessions.get(id)).toBeUndefined()
  })
})
