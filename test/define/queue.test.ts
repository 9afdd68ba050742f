import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue, type QueueOptions, queueNamePattern } from '../../src/define/queue.ts'

const payload = z.object({ id: z.string() })
/** As a caller without types, or with a cast, would do it. */
const define = (options: object) => defineQueue({ name: 'q', payload, ...options } as QueueOptions<typeof payload>)

describe('defineQueue', () => {
  it('gives defaults that are safe in production', () => {
    expect(define({})).toEqual({
      kind: 'queue',
      name: 'q',
      payload,
      version: { current: 1, migrate: expect.any(Function) },
      on: [],
      retry: { attempts: 5, baseMs: 1_000, maxMs: 600_000, jitter: 0.5, on: new Map() },
      keep: { completed: { ageMs: 3_600_000, count: 1_000 }, dead: { ageMs: 14 * 86_400_000, count: 50_000 } },
      schedules: [],
    })
  })

  it('takes what is declared, and the defaults for the rest of each group', () => {
    const by = ({ id }: { id: string }) => id
    const queue = define({
      on: ['slack:app_mention', '!slack:message.*'],
      retry: { attempts: 1, base: '2s' },
      keep: { completed: { count: 0 }, dead: { age: '30d' } },
      dedupe: { by, within: '24h' },
    })
    expect(queue.on).toEqual(['slack:app_mention', '!slack:message.*'])
    expect(queue.retry).toEqual({ attempts: 1, baseMs: 2_000, maxMs: 600_000, jitter: 0.5, on: new Map() })
    expect(queue.keep.completed).toEqual({ ageMs: 3_600_000, count: 0 })
    expect(queue.keep.dead).toEqual({ ageMs: 30 * 86_400_000, count: 50_000 })
    expect(queue.dedupe).toEqual({ by: expect.any(Function), mode: 'once', withinMs: 86_400_000 })
    expect(queue.dedupe?.by({ id: 'x' })).toBe('x')
  })

  it('is frozen through and through, and apart from what it was made of', () => {
    const on = ['slack:app_mention']
    const queue = define({ on, dedupe: { by: () => 'x', within: '1h' } })
    on.push('slack:message')
    expect(queue.on).toEqual(['slack:app_mention'])
    for (const part of [queue, queue.on, queue.retry, queue.keep, queue.keep.completed, queue.keep.dead, queue.dedupe])
      expect(Object.isFrozen(part)).toBe(true)
  })

  it.each([
    [{ name: '' }, `the queue name "" is not lower-case words joined by dashes, such as 'order-paid'`],
    [{ name: undefined }, 'the queue name undefined is not lower-case words'],
    [{ name: 'Order' }, 'the queue name "Order" is not'],
    [{ name: 'order_paid' }, 'is not'],
    [{ name: 'order:paid' }, 'is not'],
    [{ name: '1st' }, 'is not'],
    [{ name: 'a--b' }, 'is not'],
    [{ name: 'a-' }, 'is not'],
    [{ name: 'q\n' }, 'is not'],
    [{ name: 'a'.repeat(101) }, 'is not'],
    [{ payload: undefined }, "queue 'q': payload is not a Standard Schema, such as z.object({…})"],
    [{ payload: { parse: () => ({}) } }, 'is not a Standard Schema'],
    [
      { retries: 3 },
      "queue 'q': retries is not an option: it is none of name, payload, version, migrate, on, retry, keep, budget, ten",
    ],
    [{ on: ['app_mention'] }, `queue 'q': on "app_mention" is not 'source:type', 'source:type.*' or 'source:*'`],
    [{ on: ['slack:'] }, 'is not'],
    [{ on: ['*:x'] }, 'is not'],
    [{ on: ['slack:a*'] }, 'is not'],
    [{ on: ['slack:*.a'] }, 'is not'],
    [{ on: ['!!slack:a'] }, 'is not'],
    [{ on: ['slack:a b'] }, 'is not'],
    [{ on: 'slack:*' }, 'is not'],
    [{ retry: { attempts: 0 } }, "queue 'q': retry.attempts 0 is not a whole number from 1"],
    [{ retry: { attempts: 1.5 } }, 'retry.attempts 1.5 is not'],
    [{ retry: { attempts: '3' } }, 'retry.attempts 3 is not'],
    [{ retry: { attempts: undefined } }, 'retry.attempts undefined is not'],
    [{ retry: { base: 1_000 } }, "queue 'q': retry.base is 1000; write a duration such as '30s' or '10m'"],
    [{ retry: { max: '10' } }, `retry.max is "10"`],
    [{ retry: { base: '1h' } }, "queue 'q': retry.max 10m is not at least retry.base (1h)"],
    [{ retry: { jitter: 1.1 } }, "queue 'q': retry.jitter 1.1 is not a number from 0 to 1"],
    [{ retry: { jitter: -0.1 } }, 'retry.jitter -0.1 is not'],
    [{ retry: { jitter: Number.NaN } }, 'retry.jitter NaN is not'],
    [{ keep: { completed: { count: -1 } } }, "queue 'q': keep.completed.count -1 is not a whole number from 0"],
    [{ keep: { dead: { count: 0.5 } } }, "queue 'q': keep.dead.count 0.5 is not"],
    [{ keep: { dead: { age: '999ms' } } }, "keep.dead.age 999ms is not at least '1s'; for none at all use count: 0"],
    [{ keep: { dead: { age: 14 } } }, "queue 'q': keep.dead.age is 14"],
    [{ dedupe: { within: '1h' } }, "queue 'q': dedupe.by is not a function of the payload"],
    [{ dedupe: { by: () => 'x' } }, "queue 'q': dedupe.within is undefined"],
  ])('refuses %o', (options, message) => {
    expect(() => define(options)).toThrow(expect.objectContaining({ code: 'invalid-definition' }))
    expect(() => define(options)).toThrow(message)
  })

  // Only the names at the top are compared; a misspelt limit would silently be the default one.
  it.each([
    { retry: { attempt: 3 } },
    { keep: { complete: { count: 1 } } },
    { keep: { completed: { max: 1 } } },
    { dedupe: { by: () => 'x', within: '1h', key: 'x' } },
  ])('refuses an unknown option inside a group: %o', (options) => {
    expect(() => define(options)).toThrow(expect.objectContaining({ code: 'invalid-definition' }))
  })

  // BullMQ reads a ttl of 0 as "until the job has finished".
  it.each(['0s', '0.4ms'])('refuses to dedupe within %s', (within) => {
    expect(() => define({ dedupe: { by: () => 'x', within } })).toThrow('dedupe.within')
  })

  it('takes each form of a pattern', () => {
    const on = ['slack:*', '!slack:command.*', 'github:pull_request.opened', 'my-slack:interaction.block_actions']
    expect(define({ on }).on).toEqual(on)
  })

  it('opens nothing: no handle is left that would keep a process alive', () => {
    const before = process.getActiveResourcesInfo().length
    define({})
    expect(process.getActiveResourcesInfo().length).toBe(before)
  })
})

describe('queueNamePattern', () => {
  it.each(['q', 'slack-events', 'a1-b2', 'v2'])('takes %s', (name) => {
    expect(queueNamePattern.test(name)).toBe(true)
  })
})
