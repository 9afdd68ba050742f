import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from './harness/until.ts'

/*
 * The composed stores, without Docker: the very shell lines of docker-compose.yml run here, with the container's paths
 * replaced by a folder of the test, and real servers on unix sockets.
 */

const repository = fileURLToPath(new URL('..', import.meta.url))
const compose = readFileSync(join(repository, 'docker-compose.yml'), 'utf8')
// All that redis.conf and a shell could stumble over.
const password = "p\"a\\s $HOME `id` 'w' #d"

const entrypoint = undouble(block(compose, '    - |', 6))
const healthcheck = undouble(/test: \["CMD-SHELL", '(.*)'\]/.exec(compose)?.[1] ?? '')

type Expected = { readonly store: string; readonly settings: Record<string, string> }

describe.each<Expected>([
  {
    store: 'redis-queue',
    settings: { 'maxmemory-policy': 'noeviction', maxmemory: mb(230), appendonly: 'yes', appendfsync: 'always' },
  },
  {
    store: 'redis-cache',
    settings: { 'maxmemory-policy': 'allkeys-lru', maxmemory: mb(192), appendonly: 'no', save: '' },
  },
])('$store', ({ store, settings }) => {
  let dir: string
  let server: ChildProcess
  let client: Redis

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'millrace-deploy-'))
    for (const folder of ['tmp', 'bin']) mkdirSync(join(dir, folder))
    // The container's client finds its server on the default port; ours is behind a socket.
    writeFileSync(join(dir, 'bin/redis-cli'), `#!/bin/sh\nPATH=$REAL_PATH exec redis-cli -s '${dir}/s' "$@"\n`)
    chmodSync(join(dir, 'bin/redis-cli'), 0o755)

    const script = entrypoint
      .replace('/etc/millrace/redis.conf', join(repository, `deploy/${store}.conf`))
      .replaceAll('/tmp/redis.conf', join(dir, 'tmp/redis.conf'))
    const here = `--port 0 --unixsocket '${dir}/s' --dir '${dir}'`
    server = spawn('sh', ['-euc', `${script.trimEnd()} ${here}`], {
      env: { ...process.env, REDIS_PASSWORD: password },
      stdio: 'ignore',
    })
    client = new Redis({ path: join(dir, 's'), password, retryStrategy: () => 20, maxRetriesPerRequest: null })
    client.on('error', () => {})
    await until(() => {
      if (server.exitCode !== null) throw new Error(`${store} ended with ${server.exitCode}`)
      return client.status === 'ready'
    }, `${store} answers`)
  })

  afterAll(async () => {
    client.disconnect()
    if (server.exitCode === null && server.kill()) await once(server, 'exit')
    rmSync(dir, { recursive: true, force: true })
  })

  test('keeps what its role promises', async () => {
    const names = Object.keys(settings)
    const reply = (await client.config('GET', ...(names as [string]))) as string[]
    const actual = Object.fromEntries(names.map((name) => [name, reply[reply.indexOf(name) + 1]]))
    expect(actual).toEqual(settings)
  })

  test('has its password in a file for itself alone', () => {
    expect(statSync(join(dir, 'tmp/redis.conf')).mode & 0o777).toBe(0o600)
    expect(server.spawnargs.join(' ')).not.toContain(password)
  })

  test('is healthy with the password, and neither without nor with another', async () => {
    expect(await isHealthy({ REDIS_PASSWORD: password })).toBe(true)
    expect(await isHealthy({ REDIS_PASSWORD: 'another' })).toBe(false)
    expect(await isHealthy({})).toBe(false)
  })

  test('is unhealthy when it cannot answer', async () => {
    await client.config('SET', 'maxclients', '1')
    expect(await isHealthy({ REDIS_PASSWORD: password })).toBe(false)
    await client.config('SET', 'maxclients', '100')
    expect(await isHealthy({ REDIS_PASSWORD: password })).toBe(true)
  })

  async function isHealthy(env: Record<string, string>): Promise<boolean> {
    const PATH = process.env.PATH ?? ''
    const shell = spawn('sh', ['-c', healthcheck], {
      env: { PATH: `${join(dir, 'bin')}:${PATH}`, REAL_PATH: PATH, ...env },
      stdio: 'ignore',
    })
    const [code] = await once(shell, 'exit')
    return code === 0
  }
})

describe('docker-compose.yml', () => {
  const services = Object.fromEntries(
    ['redis-queue', 'redis-cache', 'http', 'worker', 'scheduler'].map((name) => [
      name,
      block(compose, `  ${name}:`, 4),
    ]),
  )

  test('publishes the web server and nothing else', () => {
    // Whatever they inherit is above the services.
    const [shared = ''] = compose.split('\nservices:')
    expect(shared).not.toMatch(/^ +ports:/m)
    const published = Object.keys(services).filter((name) => services[name]?.includes('ports:'))
    expect(published).toEqual(['http'])
    expect(compose).not.toMatch(/network_mode|container_name/)
  })

  test('keeps the stores in a network without a way out', () => {
    expect(block(compose, 'x-redis: &redis', 2)).toContain('networks: [stores]')
    expect(compose).toMatch(/^networks:\n(?: +#.*\n)* {2}stores:\n {4}internal: true$/m)
  })

  test('has no secret of its own and starts with none missing', () => {
    for (const line of compose.split('\n').filter((text) => /^ +\w*(PASSWORD|API_KEYS|CACHE_REDIS_URL)\w*:/.test(text)))
      expect(line).toMatch(/\$\{\w+:\?.+\}/)
  })

  test('gives every role a process', () => {
    for (const role of ['http', 'worker', 'scheduler']) expect(services[role]).toContain(`ROLES: ${role}\n`)
  })
})

/** The lines below `heading` that are indented by `indent` at least. */
function block(text: string, heading: string, indent: number): string {
  const lines = text.split('\n')
  const start = lines.indexOf(heading) + 1
  expect(start, `the line "${heading}"`).toBeGreaterThan(0)
  const rest = lines.slice(start)
  const end = rest.findIndex((line) => line !== '' && !line.startsWith(' '.repeat(indent)))
  return rest.slice(0, end === -1 ? undefined : end).join('\n')
}

/** Compose writes a dollar of the shell twice. */
function undouble(text: string): string {
  return text.replaceAll('$$', '$')
}

function mb(count: number): string {
  return String(count * 1024 ** 2)
}
