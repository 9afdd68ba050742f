/* What tests of queues and workers may import: `millrace/testing`. Documented in docs/testing.md. */
export { type DrainOptions, drain } from './testing/drain.ts'
export { type FakeEnqueue, fakeEnqueue, type Sent } from './testing/enqueue.ts'
export { type Logged, type Ran, type RunOptions, runWorker } from './testing/run.ts'
export { type FakeServices, type FakeServicesOptions, fakeServices, type Published } from './testing/services.ts'
export { type Life, type VirtualTime, virtualTime } from './testing/time.ts'
