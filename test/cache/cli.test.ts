import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config.ts'
import { withCache } from '../../src/tools/cache.ts'
import { type CommandLine, startCommandLine } from '../harness/cli.ts'

/* Commands beside a running server with managed stores. */

let line: CommandLine
beforeAll(async () => {
  line = await startCommandLine()
})
afterAll(() => line.end())

/** As another process beside the server. */
async function put(tenants: readonly string[]): Promise<void> {
  await withCache(loadConfig({ DATA_DIR: line.dataDir }), async (cache) => {
    for (const tenant of tenants)
      for (const key of ['notion__a', 'notion__b', 'slack__a'])
        await cache.of(tenant).set(key, 1, { ttl: 'hour', tags: [key.slice(0, 5)] })
  })
}

describe('millrace flush', () => {
  it('counts, and with --yes takes away', async () => {
    await put(['org1', 'org*'])
    const dry = await line.run('flush', '--tenant', 'org*', '--pattern', 'notion__*')
    expect(dry).toMatchObject({ code: 0, output: expect.stringContaining('2 entries would go; do it with --yes') })
    expect(await line.json('flush')).toEqual({
      dryRun: true,
      entries: 6,
      tenants: [
        { room: 'org%2A', entries: 3 },
        { room: 'org1', entries: 3 },
      ],
    })
    const done = await line.run('flush', '--tenant', 'org*', '--pattern', 'notion__*', '--yes')
    expect(done).toMatchObject({ code: 0, output: expect.stringContaining('2 entries are gone') })
    expect(await line.json('flush', '--tag', 'slack', '--yes')).toMatchObject({ dryRun: false, flushed: 2 })
    expect(await line.json('flush')).toMatchObject({ entries: 2, tenants: [{ room: 'org1', entries: 2 }] })
    expect(await line.run('flush', '--tag', 'a', '--pattern', 'b')).toMatchObject({ code: 2 })
    // What a shell makes of a variable that is not set is not a tenant, and not all of them.
    for (const option of ['--tenant', '--tag', '--pattern'])
      expect(await line.run('flush', option, '', '--yes')).toMatchObject({ code: 2 })
    expect(await line.run('flush', '--nonsense')).toMatchObject({ code: 2 })
  }, 60_000)
})

describe('millrace warm', () => {
  it('has a worker do it, and reports', async () => {
    expect(await line.json('warm')).toMatchObject({ tenants: 0, warmed: 0, failed: 0, errors: [] })
    const warmed = await line.run('warm', '--tenant', 'org1')
    expect(warmed).toMatchObject({ code: 0, output: expect.stringMatching(/^0 entries of 1 tenant warmed in /) })
    expect(await line.json('warm', '--name', 'misspelled')).toMatchObject({ warmed: 0, unknown: 1 })
    expect(await line.run('warm', '--rate', '0')).toMatchObject({ code: 2 })
  }, 60_000)

  it('ends with 1 when nobody does it in time', async () => {
    await line.run('pause', 'cache-warm')
    const late = await line.run('warm', '--timeout', '200ms')
    expect(late).toMatchObject({ code: 1, output: expect.stringContaining('has not ended within 200ms') })
    await line.run('resume', 'cache-warm')
  }, 60_000)
})
