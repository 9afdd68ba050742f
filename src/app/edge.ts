import { join } from 'node:path'
import type { Config, SourceConfig } from '../config.ts'
import type { AnyQueue } from '../define/queue.ts'
import { createHooks, type Hooks } from '../http/hooks.ts'

import { unpack } from '../ingest/accepted.ts'
import { createDeliver, type Deliver, type EnqueueEvent, quarantineOf, type Revive } from '../ingest/deliver.ts'
import { Outage } from '../ingest/outage.ts'
import { Quotas } from '../ingest/quota.ts'
import { createReceiver, type Tenants } from '../ingest/receive.ts'
import { Sources } from '../ingest/sources.ts'
import { Spool } from '../ingest/spool.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { TakeLimit } from '../policy/limits.ts'
import type { Run } from './life.ts'

export type Edge = {
  readonly hooks: Hooks
  readonly deliver: Deliver
  readonly sources: Sources
  readonly spool: Spool
}

/** Everything behind /hooks, and the delivery that replays use too. */
export async function startEdge(
  run: Run,
  {
    config,
    sources: configs,
    queues,
    enqueueEvent,
    revive,
    take,
    tenants,
    metrics,
    log,
    now,
  }: {
    config: Config
    sources: readonly SourceConfig[]
    queues: readonly AnyQueue[]
    enqueueEvent: EnqueueEvent
    revive: Revive
    take: TakeLimit
    tenants: Tenants
    metrics: Metrics
    log: Logger
    now: (() => number) | undefined
  },
): Promise<Edge> {
  const sources = await run(new Sources({ sources: configs, file: config.sourcesFile, log }))
  const deliver = createDeliver({ queues, quarantine: quarantineOf(queues), enqueueEvent, revive })
  const outage = new Outage({ log, waiting: () => spool.stats().events })
  // With the spool switched off it drains what is left of it.
  const spool: Spool = await run(
    new Spool({
      // By prefix, because an instance with another one has other queues.
      dir: join(config.dataDir, 'spool', `of-${config.keyPrefix}`),
      limit: config.spoolLimit,
      log,
      drain: async (record) => void (await deliver(unpack(record), { isPromised: true })),
      // With a store that hangs this comes on top of ACK_DEADLINE, and Slack waits three seconds for both.
      deadlineMs: 1_000,
      metrics: {
        count: (outcome, events) => {
          metrics.spoolRecords.inc({ outcome }, events)
          outage.count(outcome, events)
        },
      },
    }),
  )
  const receiver = createReceiver({
    sources,
    deliver,
    overflow: config.spoolLimit > 0 ? spool : undefined,
    quotas: new Quotas({ take, metrics }),
    tenants,
    bodyLimit: config.bodyLimit,
    metrics,
  })
  return { sources, deliver, spool, hooks: createHooks({ receiver, metrics, log, ...(now ? { now } : {}) }) }
}
