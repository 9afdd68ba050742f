import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CommandLine, startCommandLine } from './harness/cli.ts'
import { openSessions, type Rig } from './sessions/rig.ts'

/* Conversations are deleted from the command line, beside a server that runs. */

let line: CommandLine
let rig: Rig
beforeAll(async () => {
  line = await startCommandLine()
  const redis = join(line.dataDir, 'redis', 'cache.sock')
  rig = await openSessions({ redis, prefix: 'millrace', dataDir: line.dataDir })
  for (const [tenant, id, user] of [
    ['T1', 'a', 'U1'],
    ['T1', 'b', 'U2'],
    ['T1', 'c', 'U2'],
    ['T2', 'a', 'U1'],
  ] as const)
    await rig.of(tenant).update(id, () => ({ messages: [{ role: 'user', text: 'x' }] }), { user })
}, 90_000)
afterAll(async () => {
  await rig?.close()
  await line?.end()
})

it('tells how many there are, and deletes them when it is told to', { timeout: 90_000 }, async () => {
  const cli = async (...args: string[]) => (await line.run('sessions', 'delete', ...args)).output
  expect(await cli('--tenant', 'T1', '--user', 'U2')).toContain(
    '2 sessions of U2 in T1 would be deleted; do it with --yes',
  )
  expect(await rig.count('T1')).toBe(3)
  expect(await line.json('sessions', 'delete', '--tenant', 'T1', '--user', 'U2', '--yes')).toEqual({
    dryRun: false,
    tenant: 'T1',
    user: 'U2',
    sessions: 2,
  })
  expect(await cli('--tenant', 'T1', '--yes')).toContain('1 session of T1 is gone')
  expect(await Promise.all(['T1', 'T2'].map((tenant) => rig.count(tenant)))).toEqual([0, 1])
  expect(await rig.of('T1').get('a')).toBeUndefined()
  expect((await line.run('sessions', 'delete')).code).toBe(2)
  for (const whose of [
    ['--tenant', ''],
    ['--tenant', 'T2', '--user', ''],
  ])
    expect((await line.run('sessions', 'delete', ...whose, '--yes')).code).toBe(2)
  expect(await rig.count('T2')).toBe(1)
})
