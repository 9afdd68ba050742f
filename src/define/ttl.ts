import type { Duration } from './duration.ts'

/** How long answers of tools are kept, by tool; any other: `medium`. */
export const toolTtl: Readonly<Record<string, Duration>> = Object.freeze({
  notion__getTasks: '5m',
  notion__getDatabases: '1h',
  slack__getChannels: '10m',
  linear__getIssues: '5m',
})

/** By kind of data. */
export const kindTtl = Object.freeze({
  user: '5m',
  workspace: '5m',
  lead: '7d',
  ai: '24h',
  campaign: '5m',
  template: '1h',
  domain: '1d',
  deliverability: '1h',
  search: '1m',
  session: '15m',
  routing: '1h',
} as const satisfies Record<string, Duration>)
