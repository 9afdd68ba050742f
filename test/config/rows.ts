import type { Config } from '../../src/config.ts'

/* Rows of config.test.ts: of each setting what it is unset, what it takes, and what it says to what it does not take. */

export type Env = Record<string, string | undefined>

export type Row = {
  of: (config: Config) => unknown
  unset: unknown
  good: readonly [text: string, value: unknown][]
  bad: readonly [text: string, allowed: string][]
  /** What it needs beside it to be of any use. */
  besides?: Env
}

const database = 'must be postgres://user:password@host:port/database'
const escaping = '; in a password, write @ : / ? # as %40 %3A %2F %3F %23'

export const sessionRows = {
  DATABASE_URL: {
    of: (c) => c.databaseUrl,
    unset: undefined,
    good: ['postgres://u:p@db:5432/m', 'postgresql://db/m?sslmode=require'].map((text) => [text, text]),
    bad: [
      ['db:5432/m', database],
      ['mysql://db/m', database],
      ['postgres://db', database],
      ['postgres://u:50%@db/m', database + escaping],
    ],
  },
  SESSION_TTL: {
    of: (c) => c.sessionTtlMs,
    unset: 86_400_000,
    good: [['15m', 900_000]],
    bad: [['0', 'must be a duration from 1s to 90d, such as 1500ms, 30s or 5m']],
  },
} as const satisfies Record<string, Row>

const acme = {
  id: 'acme',
  name: 'Acme',
  slackTeams: ['T061EG9R6'],
  quota: { perHour: 5 },
  secrets: { NOTION_TOKEN: 'env:ACME_NOTION', KEY: 'file:/run/secrets/key' },
}
const parsed = {
  ...acme,
  secrets: { NOTION_TOKEN: { from: 'env', name: 'ACME_NOTION' }, KEY: { from: 'file', name: '/run/secrets/key' } },
}
const reference = 'must be env:NAME or file:/path; a secret itself has no place here'
const withSecret = (text: unknown) => JSON.stringify([{ id: 'a', secrets: { X: text } }])

export function tenantRows({
  file,
  missing,
  unread,
}: {
  file: (name: string, text: string) => string
  missing: string
  unread: string
}) {
  return {
    ORGANIZATIONS: {
      of: (c) => c.organizations,
      unset: [],
      good: [
        [JSON.stringify([acme]), [parsed]],
        ['[{"id":"b"}]', [{ id: 'b', name: 'b', slackTeams: [], secrets: {} }]],
      ],
      bad: [
        [withSecret('ntn_4711literal'), `0.secrets.X: ${reference}`],
        [withSecret('file:relative'), `0.secrets.X: ${reference}`],
        [withSecret('env:no-name'), `0.secrets.X: ${reference}`],
        [withSecret(7), `0.secrets.X: ${reference}`],
        ['[{"id":"*"}]', '0.id: * stands for all tenants in API keys, and can be none of them'],
        ['[{"id":"a","slackTeams":["acme"]}]', '0.slackTeams.0: must be an id of Slack, such as T061EG9R6'],
        ['[{"id":"a","quota":{}}]', '0.quota: needs perSecond or perHour'],
      ],
    },
    ORGANIZATIONS_FILE: {
      of: (c) => c.organizations,
      unset: [],
      good: [[file('organizations.json', JSON.stringify([acme])), [parsed]]],
      bad: [[missing, unread]],
    },
  } as const satisfies Record<string, Row>
}

export const liveRows = {
  LIVE_CLIENTS: {
    of: (c) => c.live.clients,
    unset: 5_000,
    good: [['1', 1]],
    bad: [['0', 'must be a whole number from 1 to 100000']],
  },
  LIVE_HEARTBEAT: {
    of: (c) => c.live.heartbeatMs,
    unset: 15_000,
    good: [['30s', 30_000]],
    bad: [['10ms', 'must be a duration from 1s to 5m, such as 1500ms, 30s or 5m']],
  },
  LIVE_CLIENT_BUFFER: {
    of: (c) => c.live.clientBytes,
    unset: 256 * 1024,
    good: [['1mb', 1024 ** 2]],
    bad: [['0', 'must be a size from 1kb to 256mb, such as 512kb or 1mb']],
  },
} as const satisfies Record<string, Row>
