import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** From 1 ms (a batched add) to 10 min (a slow handler). */
const ackBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const jobBuckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3_600]

/**
 * All metrics by the contract's names. Label values are bounded: sources, queues, states, outcomes; and of tenants those that
 * the configuration names, which `isNamed` tells.
 */
export function createMetrics(isNamed: (tenant: string) => boolean = () => false) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const tenantEvents = new Counter({
    name: 'millrace_tenant_events_total',
    help: 'Genuine events of organizations by what became of them',
    labelNames: ['tenant', 'source', 'outcome'] as const,
    registers,
  })
  const tenantJobs = new Counter({
    name: 'millrace_tenant_jobs_finished_total',
    help: 'Attempts at jobs of organizations by what they came to',
    labelNames: ['tenant', 'queue', 'outcome'] as const,
    registers,
  })
  return {
    registry,
    /** Counts an event for its tenant, where that is an organization: anybody can make up other ids. */
    countEventOf: (tenant: string | undefined, source: string, outcome: string) => {
      if (tenant !== undefined && isNamed(tenant)) tenantEvents.inc({ tenant, source, outcome })
    },
    /** As `countEventOf`, for the end of an attempt. */
    countJobOf: (tenant: string | undefined, queue: string, outcome: string) => {
      if (tenant !== undefined && isNamed(tenant)) tenantJobs.inc({ tenant, queue, outcome })
    },
    eventsReceived: new Counter({
      name: 'millrace_events_received_total',
      help: 'Requests to /hooks by what became of them',
      labelNames: ['source', 'outcome'] as const,
      registers,
    }),
    eventAck: new Histogram({
      name: 'millrace_event_ack_seconds',
      help: 'From the last byte of the request to the acknowledgement',
      labelNames: ['source'] as const,
      buckets: ackBuckets,
      registers,
    }),
    eventsOverQuota: new Counter({
      name: 'millrace_events_over_quota_total',
      help: 'Genuine events above a quota, refused or (Slack) taken all the same',
      labelNames: ['source'] as const,
      registers,
    }),
    spoolEvents: new Gauge({
      name: 'millrace_spool_events',
      help: 'Accepted events that wait on the local disk for the store',
      registers,
    }),
    spoolBytes: new Gauge({ name: 'millrace_spool_bytes', help: 'Bytes of the files with them', registers }),
    spoolRecords: new Counter({
      name: 'millrace_spool_records_total',
      help: 'What became of events at the spool: spooled, refused, drained, damaged',
      labelNames: ['outcome'] as const,
      registers,
    }),
    jobsEnqueued: new Counter({
      name: 'millrace_jobs_enqueued_total',
      help: 'Jobs stored, without duplicates',
      labelNames: ['queue'] as const,
      registers,
    }),
    jobsFinished: new Counter({
      name: 'millrace_jobs_finished_total',
      help: 'Attempts by what they came to: done, retried, dead, deferred, rate-limited, dropped, cancelled, expired, interrupted',
      labelNames: ['queue', 'outcome'] as const,
      registers,
    }),
    workerRestarts: new Counter({
      name: 'millrace_worker_restarts_total',
      help: 'Consumers that had stopped fetching while jobs waited, and were started anew',
      labelNames: ['queue'] as const,
      registers,
    }),
    jobWait: new Histogram({
      name: 'millrace_job_wait_seconds',
      help: 'From enqueued to the start of the first attempt',
      labelNames: ['queue'] as const,
      buckets: jobBuckets,
      registers,
    }),
    jobRun: new Histogram({
      name: 'millrace_job_run_seconds',
      help: 'Duration of an attempt',
      labelNames: ['queue'] as const,
      buckets: jobBuckets,
      registers,
    }),
    queueJobs: new Gauge({
      name: 'millrace_queue_jobs',
      help: 'Jobs by state',
      labelNames: ['queue', 'state'] as const,
      registers,
    }),
    queueOldestWaiting: new Gauge({
      name: 'millrace_queue_oldest_waiting_seconds',
      help: 'Age of the oldest waiting job; 0 when none waits',
      labelNames: ['queue'] as const,
      registers,
    }),
    deadJobs: new Gauge({
      name: 'millrace_dead_jobs',
      help: 'Dead letters',
      labelNames: ['queue'] as const,
      registers,
    }),
    breakerState: new Gauge({
      name: 'millrace_breaker_state',
      help: 'Circuit breaker in this process, of a queue, of call:<name>, of cache-store: 0 closed, 1 half-open, 2 open',
      labelNames: ['name'] as const,
      registers,
    }),
    cacheRequests: new Counter({
      name: 'millrace_cache_requests_total',
      help: 'Requests to the cache by namespace and by how they were answered: l1, l2, stale, waited, computed, miss; beside these refreshed, error, refused',
      labelNames: ['cache', 'result'] as const,
      registers,
    }),
    published: new Counter({
      name: 'millrace_published_total',
      help: 'Messages for listeners by what became of them: stored, failed',
      labelNames: ['outcome'] as const,
      registers,
    }),
    streamClients: new Gauge({ name: 'millrace_stream_clients', help: 'Who listens at /api/stream', registers }),
    streamEnded: new Counter({
      name: 'millrace_stream_ended_total',
      help: 'Streams that ended: left, slow, not-allowed, stopping',
      labelNames: ['reason'] as const,
      registers,
    }),
    streamGaps: new Counter({
      name: 'millrace_stream_gaps_total',
      help: 'Times that listeners were told that something is lost',
      registers,
    }),
    limitsFallback: new Gauge({
      name: 'millrace_limits_fallback',
      help: '1 while this process counts limits for itself, because the cache store is away or slow',
      registers,
    }),
    storeMemoryRatio: new Gauge({
      name: 'millrace_store_memory_ratio',
      help: 'used_memory / maxmemory; 0 without a limit',
      labelNames: ['store'] as const,
      registers,
    }),
    storeEvictedKeys: new Gauge({
      name: 'millrace_store_evicted_keys',
      help: 'Keys that the store has evicted since it was started: of the queue store never any',
      labelNames: ['store'] as const,
      registers,
    }),
    clockSkew: new Gauge({
      name: 'millrace_source_clock_skew_seconds',
      help: "Our clock minus the timestamp of the source's last genuine request",
      labelNames: ['source'] as const,
      registers,
    }),
    up: new Gauge({ name: 'millrace_up', help: 'Roles of this process', labelNames: ['role'] as const, registers }),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
