import { describe, expect, it } from 'vitest'
import { nearMisses } from '../../src/config/near.ts'
import { settings } from '../../src/config.ts'

const known = Object.keys(settings)
const of = (...names: string[]) => nearMisses(Object.fromEntries(names.map((name) => [name, 'x'])), known)

describe('nearMisses', () => {
  it.each([
    ['SLACK_SIGNING_SECRETT', 'SLACK_SIGNING_SECRET'],
    ['SLACK_SINGING_SECRET', 'SLACK_SIGNING_SECRET'],
    ['SLACKSIGNINGSECRET', 'SLACK_SIGNING_SECRET'],
    ['REDIS_URI', 'REDIS_URL'],
    ['DATADIR', 'DATA_DIR'],
    ['DURABLITY', 'DURABILITY'],
    ['API_KEY', 'API_KEYS'],
  ])('%s is told as a slip for %s', (name, meant) => {
    expect(of(name)).toEqual([`${name} is no setting; did you mean ${meant}?`])
  })

  it.each([
    'PATH',
    'HOSTS',
    'PORTS',
    'HOSTNAME',
    'NODE_ENV',
    'REDIS_SERVICE_HOST',
    'REDIS_PORT_6379_TCP',
    'GITHUB_TOKEN',
    'DATABASE_NAME',
  ])('%s is another’s', (name) => {
    expect(of(name)).toEqual([])
  })

  it('is silent about settings, each beside the others', () => {
    expect(of(...known)).toEqual([])
  })

  it('does not suggest what is set: the other name is then likely to be another’s', () => {
    expect(of('REDIS_URI', 'REDIS_URL')).toEqual([])
  })

  it('never shows a value', () => {
    expect(nearMisses({ SLACK_SIGNING_SECRETT: 'geheim' }, known).join()).not.toContain('geheim')
  })
})
