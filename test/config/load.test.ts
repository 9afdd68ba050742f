import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, loadConfig, settings } from '../../src/config.ts'

type Env = Record<string, string | undefined>
const load = (env: Env = {}, flags = {}, isTerminal = false) => loadConfig(env, flags, isTerminal)

/** What a start with these would say. */
function refused(env: Env, flags = {}): readonly string[] {
  try {
    load(env, flags)
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

const letters = 'must be 1 to 64 letters, digits, dots, dashes or underscores'
const roles = 'http, worker, scheduler'

describe('loadConfig', () => {
  it('reads an empty setting as unset, not as a mistake', () => {
    const empty = Object.fromEntries(Object.keys(settings).map((name) => [name, '']))
    expect({ ...load(empty), env: {} }).toEqual({ ...load(), env: {} })
  })

  it('takes flags before the environment', () => {
    const { roles: does, workers } = load({ ROLES: 'http', WORKERS: 'a' }, { roles: 'worker', workers: 'b,c' })
    expect([does, workers]).toEqual([['worker'], ['b', 'c']])
    expect(refused({}, { roles: 'wrker' })).toEqual([`ROLES="wrker": "wrker" is none of ${roles}`])
    expect(refused({}, { roles: '' })).toEqual([`ROLES="": must name at least one of ${roles}`])
  })

  it('writes for people on a terminal, unless told otherwise', () => {
    expect(load({}, {}, true).logFormat).toBe('pretty')
    expect(load({ LOG_FORMAT: 'json' }, {}, true).logFormat).toBe('json')
  })

  it('knows KEY_PREFIX by its other name, which goes second', () => {
    expect(load({ REDIS_KEY_PREFIX: 'b' }).keyPrefix).toBe('b')
    expect(load({ KEY_PREFIX: 'a', REDIS_KEY_PREFIX: 'b' }).keyPrefix).toBe('a')
  })

  // The line says KEY_PREFIX, which nobody has set.
  it('knows one folder by one name, whether it is there already or not', () => {
    const base = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-config-')))
    try {
      mkdirSync(join(base, 'real'))
      symlinkSync(join(base, 'real'), join(base, 'link'))
      const of = (dir: string) => loadConfig({ DATA_DIR: dir }).dataDir
      for (const inside of ['', 'not', 'not/yet']) {
        const real = join(base, 'real', inside)
        expect([of(real), of(join(base, 'link', inside)), of(`${relative('.', real)}/`)]).toEqual([real, real, real])
      }
    } finally {
      rmSync(base, { recursive: true })
    }
  })

  it('calls a wrong setting by the name that was used', () => {
    expect(refused({ REDIS_KEY_PREFIX: 'a:b' })).toEqual([`REDIS_KEY_PREFIX="a:b": ${letters}`])
  })

  it('is frozen, and hands on what was set for the workers to declare', () => {
    const config = load({ SMTP_URL: 'smtp://mail', NOTHING: '', GONE: undefined })
    expect(Object.isFrozen(config)).toBe(true)
    expect(config.env).toEqual({ SMTP_URL: 'smtp://mail' })
  })
})
