import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { runMillrace, startMillrace } from './harness/process.ts'
import { startRedis, type TestRedis } from './harness/redis.ts'
import { until } from './harness/until.ts'

/* What a start says when something is wrong: the exit code, and one line for each thing. */

let redis: TestRedis
let dataDir: string
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  redis = await startRedis()
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-main-'))
})
afterAll(async () => {
  await redis.stop()
  rmSync(dataDir, { recursive: true, force: true })
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Exit code, and what a person reads: everything that is not a JSON log line. */
async function refusal(
  env: Record<string, string>,
  args: string[] = [],
): Promise<{ code: number | string; lines: string[] }> {
  const run = runMillrace({ DATA_DIR: dataDir, REDIS_URL: redis.url, ...env }, args)
  const code = await run.ended
  return {
    code,
    lines: run
      .output()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('{')),
  }
}

it('names every wrong setting on a line of its own and exits with 78', async () => {
  const { code, lines } = await refusal({ PORT: '99999', DURABILITY: 'sometimes', REDIS_URL: 'http://user:hunter2@x' })
  expect(code).toBe(78)
  expect(lines.sort()).toEqual([
    'DURABILITY="sometimes": must be one of always, waitaof, everysec',
    'PORT="99999": must be a whole number from 0 to 65535',
    expect.stringMatching(/^REDIS_URL=[*]{3}: must be redis:/),
  ])
  expect(lines.join()).not.toContain('hunter2')
})

it('checks what a worker declared it needs, where the worker runs', async () => {
  const wrong = await refusal({ SLACK_API_URL: 'not a url' })
  expect(wrong.code).toBe(78)
  // One line, though several workers talk to Slack.
  const files = ['github', 'slack', 'stripe'].map((name) => `workers/${name}-events.ts`)
  expect(wrong.lines).toEqual([
    expect.stringContaining(`SLACK_API_URL: must be a URL with http or https (for ${files.join(', ')})`),
  ])
  const elsewhere = await startMillrace({ DATA_DIR: dataDir, REDIS_URL: redis.url, SLACK_API_URL: 'not a url' }, [
    '--roles',
    'http',
  ])
  expect(await elsewhere.kill('SIGTERM')).toBe(0)
})

it('refuses an unknown worker, an unknown role, and an unknown flag', async () => {
  const worker = await refusal({}, ['--workers', 'slack-evnts'])
  expect(worker).toMatchObject({
    code: 78,
    lines: [expect.stringContaining('there is no worker slack-evnts; there are')],
  })
  const role = await refusal({ ROLES: 'http,cook' })
  expect(role).toMatchObject({ code: 78, lines: ['ROLES="http,cook": "cook" is none of http, worker, scheduler'] })
  expect((await refusal({}, ['--nonsense'])).code).toBe(2)
})

it('says that the port is in use', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  cleanups.push(() => void taken.close())
  const { port } = taken.address() as { port: number }
  const { code, lines } = await refusal({ PORT: String(port) })
  expect(code).toBe(1)
  expect(lines).toEqual([
    `port ${port} on 127.0.0.1 is in use. Stop the other process, or set PORT to another or to 0.`,
  ])
})

it('says that Redis cannot be reached, after waiting for as long as it was told', async () => {
  const { code, lines } = await refusal({ REDIS_URL: 'redis://127.0.0.1:1', REDIS_CONNECT_TIMEOUT: '300ms' })
  expect(code).toBe(1)
  expect(lines).toEqual([
    expect.stringMatching(
      /^queue store redis:\/\/127\.0\.0\.1:1 cannot be reached: connect ECONNREFUSED.*Start it, or correct REDIS_URL or, for the cache store, CACHE_REDIS_URL\.$/,
    ),
  ])
})

it('says at once that a password is wrong or missing, without repeating it', async () => {
  const locked = await startRedis({ requirepass: 'right-password' })
  cleanups.push(() => locked.stop())
  for (const REDIS_PASSWORD of ['hunter2-wrong', '']) {
    const { code, lines } = await refusal({ REDIS_URL: locked.url, REDIS_PASSWORD })
    expect(code).toBe(1)
    expect(lines).toEqual([expect.stringMatching(/refused the credentials: (WRONGPASS|NOAUTH).*REDIS_PASSWORD\.$/)])
    expect(lines.join()).not.toContain('hunter2')
  }
  const right = await startMillrace({ DATA_DIR: dataDir, REDIS_URL: locked.url, REDIS_PASSWORD: 'right-password' })
  expect(await right.kill('SIGTERM')).toBe(0)
})

it('refuses a queue store that evicts, with the command that mends it', async () => {
  const evicting = await startRedis({ 'maxmemory-policy': 'allkeys-lru' })
  cleanups.push(() => evicting.stop())
  const { code, lines } = await refusal({ REDIS_URL: evicting.url })
  expect(code).toBe(1)
  expect(lines).toEqual([expect.stringContaining('redis-cli CONFIG SET maxmemory-policy noeviction')])
})

it('refuses a Redis that is too old', async () => {
  // No such server can be installed here, so this one only says that it is.
  const old = await oldRedis('5.0.14')
  cleanups.push(() => void old.close())
  const { port } = old.address() as { port: number }
  const { code, lines } = await refusal({ REDIS_URL: `redis://127.0.0.1:${port}` })
  expect(code).toBe(1)
  expect(lines).toEqual([expect.stringContaining('is Redis 5.0.14; 6.2 or newer is needed')])
})

it('refuses DURABILITY=waitaof on a server that has no WAITAOF', async () => {
  const version = /redis_version:(\d+\.\d+)/.exec(await redis.client.info('server'))?.[1] ?? '0'
  const { code, lines } =
    Number(version) >= 7.2 ? { code: 1, lines: ['needs 7.2 or newer'] } : await refusal({ DURABILITY: 'waitaof' })
  expect(code).toBe(1)
  expect(lines).toEqual([expect.stringContaining('needs 7.2 or newer')])
})

it('warns of a store without an append-only file, in the log and in readyz', async () => {
  const forgetful = await startRedis({ appendonly: 'no' })
  cleanups.push(() => forgetful.stop())
  const millrace = await startMillrace({ DATA_DIR: dataDir, REDIS_URL: forgetful.url })
  cleanups.push(() => millrace.kill('SIGTERM'))
  expect(millrace.output()).toContain('has no append-only file')
  const readyz = await fetch(`${millrace.url}/readyz`)
  const seen = { status: readyz.status, body: await readyz.json() }
  expect(seen).toMatchObject({ status: 200, body: { checks: { durability: { state: 'warn' } } } })
})

it('warns of a variable that is probably a setting misspelt, also one that a worker declares', async () => {
  const env = { SLACK_SIGNING_SECRETT: 'hunter2', LINEAR_API_KEYS: 'hunter2' }
  const millrace = await startMillrace({ DATA_DIR: dataDir, REDIS_URL: redis.url, ...env })
  cleanups.push(() => millrace.kill('SIGTERM'))
  expect(millrace.output()).toContain('SLACK_SIGNING_SECRETT is no setting; did you mean SLACK_SIGNING_SECRET?')
  expect(millrace.output()).toContain('LINEAR_API_KEYS is no setting; did you mean LINEAR_API_KEY?')
  expect(millrace.output()).not.toContain('hunter2')
})

it('prints the dashboard, the key once, and a command to try; secrets are for the owner only', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-first-'))
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
  const first = await startMillrace({ DATA_DIR: dir, REDIS_URL: redis.url })
  expect(await first.kill('SIGTERM')).toBe(0)
  expect(first.output()).toMatch(/Admin key +mr_[\w-]{43}/)
  expect(first.output()).toContain('npm run cli -- send slack app_mention')
  for (const file of ['admin-key', 'slack-signing-secret']) expect(statSync(join(dir, file)).mode & 0o777).toBe(0o600)
  const second = await startMillrace({ DATA_DIR: dir, REDIS_URL: redis.url })
  expect(await second.kill('SIGTERM')).toBe(0)
  expect(second.output()).not.toContain('mr_')
})

it('stops quickly also when the store has gone', async () => {
  const gone = await startRedis()
  const millrace = await startMillrace({ DATA_DIR: dataDir, REDIS_URL: gone.url })
  await gone.stop()
  const began = Date.now()
  await millrace.kill('SIGTERM')
  expect(Date.now() - began).toBeLessThan(5_000) // far below the grace of 30 s
})

it('is stopped by a signal to npm, which is what supervisors send it to', async () => {
  const npm = spawn('npm', ['start'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, PORT: '0', DATA_DIR: dataDir, REDIS_URL: redis.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk) => (output += chunk))
  await until(() => output.includes('Try it'), 'npm start is ready')
  npm.kill('SIGTERM')
  // Its pipes close when the last process that holds them, the server, has ended.
  await once(npm, 'close')
  expect(output).toContain('"msg":"stopped"')
})

it('listens on no port without the role http, unless it was given one', async () => {
  const env = { DATA_DIR: dataDir, REDIS_URL: redis.url }
  const silent = await startMillrace({ ...env, PORT: '' }, ['--roles', 'worker'])
  expect(silent.url).toBe('')
  expect(await silent.kill('SIGTERM')).toBe(0)
})

function oldRedis(version: string): Promise<Server> {
  const info = `redis_version:${version}\r\nmaxmemory_policy:noeviction\r\n`
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      const commands = chunk.toString().toLowerCase().split('*').slice(1)
      for (const command of commands)
        socket.write(
          command.includes('info')
            ? `$${info.length}\r\n${info}\r\n`
            : command.includes('hello')
              ? '-ERR unknown command\r\n'
              : '+OK\r\n',
        )
    })
  }).listen(0, '127.0.0.1')
  return once(server, 'listening').then(() => server)
}

it.each(['/proc/millrace', '/etc/passwd/millrace'])('stops at once where DATA_DIR cannot be: %s', async (dir) => {
  const run = runMillrace({ DATA_DIR: dir, REDIS_URL: redis.url })
  expect(await run.ended).toBe(78)
  expect(run.output().trim().split('\n')).toEqual([expect.stringContaining(`DATA_DIR="${dir}": cannot be used: `)])
})
