/** All that files in queues/ and workers/ may import. */
export type { Duration } from './define/duration.ts'
export { type Defer, type Drop, defer, drop, type Outcome } from './define/outcome.ts'
export {
  type AnyQueue,
  defineQueue,
  type PayloadInput,
  type PayloadOutput,
  type Queue,
  type QueueOptions,
} from './define/queue.ts'
export { RateLimited } from './define/rate-limited.ts'
export type {
  BreakerCall,
  Breakers,
  Cache,
  CacheOptions,
  LimitRule,
  Limits,
  Message,
  Publish,
  Secrets,
  Services,
  Session,
  SessionChange,
  Sessions,
  Taken,
  ToolRun,
  Ttl,
  WarmOptions,
  WarmReport,
} from './define/services.ts'
export { kindTtl, toolTtl } from './define/ttl.ts'
export { type AnyWarmer, defineWarmer, type Warmer, type WarmerOptions } from './define/warmer.ts'
export {
  type AnyWorker,
  type ChainEnqueue,
  type Context,
  defineWorker,
  type Enqueue,
  type Enqueued,
  type EnqueueOptions,
  type Handler,
  type Job,
  type Log,
  type Worker,
  type WorkerOptions,
} from './define/worker.ts'
export { type ErrorCode, MillraceError } from './errors.ts'
