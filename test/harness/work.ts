import { validate } from '../../src/define/schema.ts'
import { noServices } from '../../src/define/services.ts'
import type { AnyWorker, Context, Job } from '../../src/define/worker.ts'

/** Lets a worker handle one payload as the runner would, without a store: checked payload, checked settings. */
export async function work(
  worker: AnyWorker,
  { name, payload, env = {} }: { name: string; payload: unknown; env?: Record<string, string> },
): Promise<{ result: unknown; logged: unknown[][] }> {
  const logged: unknown[][] = []
  const refuse = () => Promise.reject(new Error('nothing is enqueued here'))
  const write = (...line: unknown[]) => logged.push(line)
  const job: Job<unknown> = {
    id: 'j1',
    payload: await validate(worker.queue.payload, payload, 'the payload'),
    attempt: 1,
    attempts: 1,
    name,
    tenant: undefined,
    enqueuedAt: new Date(),
  }
  const context: Context = Object.assign(noServices('none here'), {
    signal: new AbortController().signal,
    log: { debug: write, info: write, warn: write, error: write },
    enqueue: Object.assign(refuse, { now: refuse }),
    settings: worker.settings && (await validate(worker.settings, env, 'the settings')),
  })
  return { result: await worker.handle(job, context as Context<never>), logged }
}
