import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue } from '../../src/define/queue.ts'
import { defineWorker } from '../../src/define/worker.ts'

const queue = defineQueue({ name: 'q', payload: z.object({ id: z.string() }) })
const handle = () => 'done'
/** As a caller without types, or with a cast, would do it. */
const define = (options: object) => defineWorker(queue, handle, options)

describe('defineWorker', () => {
  it('gives ten at a time and five minutes', () => {
    expect(defineWorker(queue, handle)).toEqual({
      kind: 'worker',
      queue,
      isolate: false,
      handle,
      concurrency: 10,
      timeoutMs: 300_000,
      settings: undefined,
    })
  })

  it('takes what is declared, and is frozen', () => {
    const settings = z.object({ SMTP_URL: z.url() })
    const worker = defineWorker(queue, handle, { concurrency: 1, timeout: '1.5s', settings })
    expect(worker).toMatchObject({ concurrency: 1, timeoutMs: 1_500 })
    expect(worker.settings).toBe(settings)
    expect(Object.isFrozen(worker)).toBe(true)
  })

  it.each([
    [{ concurrency: 0 }, "worker of 'q': concurrency 0 is not a whole number from 1"],
    [{ concurrency: 2.5 }, 'concurrency 2.5 is not'],
    [{ concurrency: Number.POSITIVE_INFINITY }, 'concurrency Infinity is not'],
    [{ timeout: '0s' }, "worker of 'q': timeout 0s is not between 1ms and 24d"],
    [{ timeout: '25d' }, 'timeout 25d is not between 1ms and 24d'],
    [{ timeout: 30 }, "worker of 'q': timeout is 30; write a duration such as '30s' or '10m'"],
    [{ settings: { SMTP_URL: 'url' } }, "worker of 'q': settings is not a Standard Schema, such as z.object({…})"],
    [{ concurency: 5 }, "worker of 'q': concurency is not an option: it is none of concurrency, timeout, settings"],
  ])('refuses %o', (options, message) => {
    expect(() => define(options)).toThrow(expect.objectContaining({ code: 'invalid-definition' }))
    expect(() => define(options)).toThrow(message)
  })

  it('takes the longest time that a timer holds', () => {
    expect(defineWorker(queue, handle, { timeout: '24d' }).timeoutMs).toBeLessThan(2 ** 31)
  })

  it.each([[undefined], [null], [{ name: 'q' }], ['q']])('refuses %j for a queue', (notAQueue) => {
    expect(() => defineWorker(notAQueue as unknown as typeof queue, handle)).toThrow(
      'defineWorker() needs a queue made by defineQueue()',
    )
  })

  it('refuses a handler that is none', () => {
    expect(() => defineWorker(queue, undefined as unknown as typeof handle)).toThrow(
      "worker of 'q': the handler is not a function",
    )
  })
})
