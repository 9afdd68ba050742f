import { describe, expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import type { App } from '../../src/app.ts'
import type { AnyQueue } from '../../src/define/queue.ts'
import type { AnyWorker } from '../../src/define/worker.ts'
import {
  type Duration,
  defer,
  defineQueue,
  defineWorker,
  drop,
  type Enqueued,
  type Job,
  type PayloadInput,
  type PayloadOutput,
  type Queue,
} from '../../src/index.ts'

/*
 * What the compiler must and must not accept. Nothing here runs but the definitions: `tsc --noEmit` is the test, which
 * fails both where a line with an expected error compiles and where any other line does not.
 */

const orderPaid = defineQueue({
  name: 'order-paid',
  payload: z.object({
    orderId: z.string(),
    paidAt: z.iso.datetime().transform((text) => new Date(text)), // a string on the wire, a Date in the worker
    currency: z.enum(['EUR', 'USD']).default('EUR'),
  }),
  dedupe: { by: (payload) => payload.orderId, within: '24h' },
})
const sendReceipt = defineQueue({ name: 'send-receipt', payload: z.object({ to: z.email() }) })
const settings = z.object({ SMTP_URL: z.url(), RETRIES: z.coerce.number().default(3) })

/** Written, but not called: only its types matter. */
const written = (_code: () => unknown) => expect(_code).toBeTypeOf('function')

describe('a queue', () => {
  it('has an input for producers and an output for workers', () => {
    expectTypeOf<PayloadInput<typeof orderPaid>>().toEqualTypeOf<{
      orderId: string
      paidAt: string
      currency?: 'EUR' | 'USD' | undefined
    }>()
    expectTypeOf<PayloadOutput<typeof orderPaid>>().toEqualTypeOf<{
      orderId: string
      paidAt: Date
      currency: 'EUR' | 'USD'
    }>()
  })

  it('can be carried about as any queue, also in a list of different ones', () => {
    expectTypeOf(orderPaid).toExtend<AnyQueue>()
    expectTypeOf([orderPaid, sendReceipt]).toExtend<readonly AnyQueue[]>()
  })

  it('dedupes by the input, which is what producers have', () => {
    written(() =>
      defineQueue({
        name: 'q',
        payload: orderPaid.payload,
        // @ts-expect-error a string here: the Date is made for the worker
        dedupe: { by: (payload) => payload.paidAt.toISOString(), within: '1h' },
      }),
    )
    written(() =>
      defineQueue({
        name: 'q',
        payload: orderPaid.payload,
        // @ts-expect-error the schema has no such field
        dedupe: { by: (payload) => payload.orderID, within: '1h' },
      }),
    )
    // @ts-expect-error how long is not said
    written(() => defineQueue({ name: 'q', payload: z.string(), dedupe: { by: (text) => text } }))
  })

  it('refuses options that it does not know, at every depth', () => {
    const payload = z.string()
    // @ts-expect-error misspelt
    written(() => defineQueue({ name: 'q', payload, retries: { attempts: 3 } }))
    // @ts-expect-error misspelt
    written(() => defineQueue({ name: 'q', payload, retry: { attempt: 3 } }))
    // @ts-expect-error misspelt
    written(() => defineQueue({ name: 'q', payload, keep: { complete: { count: 3 } } }))
    // @ts-expect-error BullMQ's word and unit
    written(() => defineQueue({ name: 'q', payload, keep: { completed: { ageSeconds: 3 } } }))
  })

  it('needs a name and a schema', () => {
    // @ts-expect-error no schema
    written(() => defineQueue({ name: 'q' }))
    // @ts-expect-error no name
    written(() => defineQueue({ payload: z.string() }))
    // @ts-expect-error a type is no schema
    written(() => defineQueue({ name: 'q', payload: { id: 'string' } }))
  })

  it('is not changed after it was made', () => {
    written(() => {
      // @ts-expect-error read-only
      orderPaid.name = 'x'
    })
    // @ts-expect-error read-only
    written(() => orderPaid.retry.attempts++)
    // @ts-expect-error read-only
    written(() => orderPaid.on.push('slack:*'))
  })
})

describe('a duration', () => {
  it('has a unit', () => {
    const payload = z.string()
    expectTypeOf<'1.5h'>().toExtend<Duration>()
    // @ts-expect-error of what?
    written(() => defer('30'))
    // @ts-expect-error of what?
    written(() => defer(30))
    // @ts-expect-error no such unit
    written(() => defer('2weeks'))
    // @ts-expect-error of what?
    written(() => defineQueue({ name: 'q', payload, retry: { base: 1_000 } }))
    // @ts-expect-error of what?
    written(() => defineWorker(sendReceipt, () => 'done', { timeout: '30' }))
  })
})

describe('enqueue', () => {
  const enqueue: App['enqueue'] = async () => ({ id: 'j1', duplicate: false })

  it('takes the input side, and says what became of it', () => {
    const added = enqueue(
      orderPaid,
      { orderId: '1', paidAt: '2026-01-02T03:04:05Z' },
      { dedupeKey: 'k', dedupeFor: '1h' },
    )
    expectTypeOf(added).resolves.toEqualTypeOf<{ readonly id: string; readonly duplicate: boolean }>()
  })

  it('refuses any other payload', () => {
    // @ts-expect-error the output side, where the input is a string
    written(() => enqueue(orderPaid, { orderId: '1', paidAt: new Date() }))
    // @ts-expect-error a field is missing
    written(() => enqueue(orderPaid, { orderId: '1' }))
    // @ts-expect-error of another type
    written(() => enqueue(orderPaid, { orderId: 1, paidAt: '' }))
    // @ts-expect-error none of the currencies
    written(() => enqueue(orderPaid, { orderId: '1', paidAt: '', currency: 'DM' }))
    // @ts-expect-error the schema has no such field
    written(() => enqueue(sendReceipt, { to: 'a@b.c', cc: 'd@e.f' }))
    // @ts-expect-error another queue's payload
    written(() => enqueue(sendReceipt, { orderId: '1', paidAt: '' }))
    // @ts-expect-error no payload
    written(() => enqueue(sendReceipt))
  })

  it('refuses options that it does not know, and names for queues', () => {
    // @ts-expect-error misspelt
    written(() => enqueue(sendReceipt, { to: 'a@b.c' }, { dedupKey: 'x' }))
    // @ts-expect-error BullMQ's word: it dedupes only as long as the job is kept
    written(() => enqueue(sendReceipt, { to: 'a@b.c' }, { jobId: 'x' }))
    // @ts-expect-error without the definition nothing could be checked
    written(() => enqueue('send-receipt', { to: 'a@b.c' }))
  })
})

describe('a worker', () => {
  it('sees the output side', () => {
    const worker = defineWorker(orderPaid, (job, context) => {
      expectTypeOf(job).toEqualTypeOf<Job<PayloadOutput<typeof orderPaid>>>()
      expectTypeOf(job.payload.paidAt).toEqualTypeOf<Date>()
      expectTypeOf(job.tenant).toEqualTypeOf<string | undefined>()
      expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>()
      // @ts-expect-error the schema has no such field
      void job.payload.orderID
      // @ts-expect-error it is a Date here
      void job.payload.paidAt.slice
      // @ts-expect-error payloads are under `payload`, as BullMQ's `data` is not checked
      void job.data
    })
    expectTypeOf(worker).toExtend<AnyWorker>()
    expectTypeOf(worker.queue).toEqualTypeOf<typeof orderPaid>()
  })

  it('enqueues into other queues by their inputs', () => {
    defineWorker(orderPaid, async ({ payload }, { enqueue }) => {
      await enqueue(sendReceipt, { to: 'a@b.c' })
      // @ts-expect-error the output of this queue is not the input of that one
      await enqueue(sendReceipt, payload)
      // It is not known before the attempt has succeeded which job it becomes.
      expectTypeOf(enqueue(sendReceipt, { to: 'a@b.c' })).resolves.toEqualTypeOf<void>()
      expectTypeOf(enqueue.now(sendReceipt, { to: 'a@b.c' })).resolves.toEqualTypeOf<Enqueued>()
      // @ts-expect-error as strict as the other
      await enqueue.now(sendReceipt, payload)
    })
  })

  it('has the settings that its schema makes, and unknown without one', () => {
    defineWorker(
      orderPaid,
      (_job, context) => {
        expectTypeOf(context.settings).toEqualTypeOf<{ SMTP_URL: string; RETRIES: number }>()
        // @ts-expect-error not declared
        void context.settings.SMTP_URI
      },
      { settings },
    )
    defineWorker(orderPaid, (_job, context) => {
      expectTypeOf(context.settings).toEqualTypeOf<unknown>()
      // @ts-expect-error nothing was declared
      void context.settings.SMTP_URL
    })
  })

  it('returns an outcome or any result, at once or later', () => {
    defineWorker(sendReceipt, () => defer('30s'))
    defineWorker(sendReceipt, async () => drop('gone'))
    defineWorker(sendReceipt, () => undefined)
    defineWorker(sendReceipt, async ({ attempt }) =>
      attempt > 1 ? drop('gone') : attempt > 2 ? defer('1s') : { sent: true },
    )
    // @ts-expect-error a drop without its reason
    written(() => drop())
  })

  it('writes logs as (fields, message) or (message)', () => {
    defineWorker(sendReceipt, (_job, { log }) => {
      log.info('sent')
      log.warn({ to: 'a' }, 'slow')
      // @ts-expect-error pino does so, but the fields would be lost
      log.info('sent', { to: 'a' })
      // @ts-expect-error a process is not a handler's to end
      log.fatal('sent')
    })
  })

  it('is of a queue, and refuses options that it does not know', () => {
    // @ts-expect-error not made by defineQueue()
    written(() => defineWorker({ name: 'send-receipt' }, () => 'done'))
    // @ts-expect-error a name is not enough
    written(() => defineWorker('send-receipt', () => 'done'))
    // @ts-expect-error misspelt
    written(() => defineWorker(sendReceipt, () => 'done', { concurency: 5 }))
    // @ts-expect-error the queue's to say
    written(() => defineWorker(sendReceipt, () => 'done', { attempts: 5 }))
    // @ts-expect-error a number
    written(() => defineWorker(sendReceipt, () => 'done', { concurrency: '5' }))
  })

  it('takes a queue through a function that is generic over queues', () => {
    const logged = <Q extends AnyQueue>(queue: Q) => defineWorker(queue, ({ payload }) => void payload)
    expectTypeOf(logged(sendReceipt).queue).toEqualTypeOf<typeof sendReceipt>()
  })
})

describe('Queue without a schema', () => {
  it('stands for any queue', () => {
    expectTypeOf(sendReceipt).toExtend<Queue>()
  })
})
