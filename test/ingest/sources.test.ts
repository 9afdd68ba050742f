import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config.ts'
import { Sources } from '../../src/ingest/sources.ts'
import { sourcesOf } from '../../src/ops/first-start.ts'
import { until } from '../harness/until.ts'

let folder: string
let path: string
let lines: string[]
let sources: Sources

const fileOf = (...secrets: string[]) => JSON.stringify({ github: { type: 'github', secrets } })
const write = (text: string) => writeFileSync(path, text)

function open(text: string, env: Record<string, string> = {}): Sources {
  write(text)
  const config = loadConfig({ REDIS_URL: 'redis://unused', SOURCES_FILE: path, ...env })
  sources = new Sources({
    sources: config.sources,
    file: config.sourcesFile,
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
  })
  return sources
}

const secretsOf = (name = 'github') => sources.get(name)?.secrets

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-sources-'))
  path = join(folder, 'sources.json')
  lines = []
})
afterEach(async () => {
  await sources?.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('the file of sources', () => {
  it('is read again, with what the environment says beside it', () => {
    open(fileOf('one'), { STRIPE_WEBHOOK_SECRET: 'whsec_x' })
    write(JSON.stringify({ other: { type: 'github', secrets: ['two'], tenant: 't' } }))
    expect(secretsOf()).toEqual(['one'])
    sources.reload()
    expect(sources.get('github')).toBeUndefined()
    expect(sources.get('other')).toMatchObject({ secrets: ['two'], tenant: 't', keys: [expect.anything()] })
    expect(secretsOf('stripe')).toEqual(['whsec_x'])
    expect(sources.trouble).toBeUndefined()
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain('two')
  })

  it('that is empty is taken at its word: no source is made up that would be gone at the next look', () => {
    write('{}')
    const config = loadConfig({ REDIS_URL: 'redis://unused', SOURCES_FILE: path, DATA_DIR: folder })
    expect(sourcesOf(config)).toMatchObject({ value: [], made: undefined, isOurs: false })
    expect(existsSync(sourcesOf(config).file)).toBe(false)
    const { SOURCES_FILE: _path, ...env } = config.env
    const local = sourcesOf(loadConfig(env)).value.map(({ name }) => name)
    expect(local).toEqual(['slack', 'github', 'stripe', 'standard'])
  })

  it('that did not change is no news', () => {
    open(fileOf('one'))
    const before = sources.get('github')
    sources.reload()
    write(`${fileOf('one')}\n\n`)
    sources.reload()
    expect(sources.get('github')).toBe(before)
    expect(lines).toEqual([])
  })

  it.each([
    ['half of it', fileOf('LEAK').slice(0, -3)],
    ['nothing', ''],
    ['a secret where a list belongs', '{"github":{"type":"github","secrets":"LEAK"}}'],
    ['no secrets', '{"github":{"type":"github","secrets":[]}}'],
    ['a type that is not known', '{"github":{"type":"LEAK","secrets":["LEAK"]}}'],
    ['a field that is not known', '{"github":{"type":"github","secrets":["LEAK"],"LEAK":"LEAK"}}'],
    ['a name that is none', '{"LEAK=":{"type":"github","secrets":["LEAK"]}}'],
    ['a secret that is none', '{"github":{"type":"standard","secrets":["whsec_LEAK"]}}'],
    ['a scheme where none belongs', '{"github":{"type":"github","secrets":["LEAK"],"hmac":{"header":"X"}}}'],
    ['no scheme', '{"github":{"type":"hmac","secrets":["LEAK"]}}'],
    ['a name that the environment has', '{"stripe":{"type":"stripe","secrets":["LEAK"]}}'],
    ['a list', '[]'],
    ['null', 'null'],
  ])('with %s leaves everything as it was, and says so once, without a secret', (name, text) => {
    open(fileOf('one'), { STRIPE_WEBHOOK_SECRET: 'whsec_x' })
    write(text)
    sources.reload()
    sources.reload()
    expect(secretsOf()).toEqual(['one'])
    expect(sources.trouble).toMatch(/^SOURCES_FILE is not in force, .+: .+/)
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 50, msg: sources.trouble })
    // The name of a source is no secret.
    if (name !== 'a name that is none') expect(lines[0]).not.toContain('LEAK')

    write(fileOf('two'))
    sources.reload()
    expect(secretsOf()).toEqual(['two'])
    expect(sources.trouble).toBeUndefined()
  })

  it('that is gone leaves everything as it was, and is well when it is back', () => {
    open(fileOf('one'))
    unlinkSync(path)
    sources.reload()
    expect(secretsOf()).toEqual(['one'])
    expect(sources.trouble).toContain('ENOENT')
    write(fileOf('one'))
    sources.reload()
    expect(sources.trouble).toBeUndefined()
    expect(lines.map((line) => JSON.parse(line).level)).toEqual([50, 30])
  })

  it.each<[string, (text: string) => void]>([
    ['written', write],
    [
      'replaced',
      (text) => {
        writeFileSync(`${path}.new`, text)
        renameSync(`${path}.new`, path)
      },
    ],
    [
      'removed and written',
      (text) => {
        unlinkSync(path)
        write(text)
      },
    ],
  ])('is seen soon when it is %s', async (_how, change) => {
    open(fileOf('one'))
    await sources.start()
    for (const secret of ['two', 'three']) {
      change(fileOf(secret))
      // Before the timer looks.
      await until(() => secretsOf()?.[0] === secret, `${secret} is in force`, 3_000)
    }
    expect(sources.trouble).toBeUndefined()
  })

  it('is seen behind the links that an orchestrator exchanges', async () => {
    const version = (name: string, secret: string) => {
      mkdirSync(join(folder, name))
      writeFileSync(join(folder, name, 'sources.json'), fileOf(secret))
      symlinkSync(name, join(folder, `link-${name}`))
      renameSync(join(folder, `link-${name}`), join(folder, '..data'))
    }
    version('..v1', 'one')
    symlinkSync(join('..data', 'sources.json'), path)
    const config = loadConfig({ REDIS_URL: 'redis://unused', SOURCES_FILE: path })
    const log = pino({ level: 'silent' })
    sources = new Sources({ sources: config.sources, file: config.sourcesFile, log })
    await sources.start()
    expect(secretsOf()).toEqual(['one'])
    version('..v2', 'two')
    await until(() => secretsOf()?.[0] === 'two', 'the second is in force', 3_000)
  })
})
