import type { Config } from '../../src/config.ts'

/** How a setting is to be read. */
export type Row = {
  of: (config: Config) => unknown
  unset: unknown
  good: readonly [text: string, value: unknown][]
  bad: readonly [text: string, allowed: string][]
  /** What it needs beside it to be of any use. */
  besides?: Record<string, string | undefined>
}

/** Settings of the services beside the queue. */
export const serviceRows = {
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
} satisfies Record<string, Row>
