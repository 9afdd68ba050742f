import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nameHash, readToken, writeToken } from '../../src/live/position.ts'
import { fits, meansMessages, meansQueue, patternOf } from '../../src/live/topics.ts'

const position = fc.record({ ms: fc.nat({ max: 2 ** 47 }), seq: fc.oneof(fc.nat(70_000), fc.nat(2 ** 47)) })

describe('the id that a client brings back', () => {
  it('holds the place in each stream', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(fc.nat(2 ** 32 - 1), position), { selector: ([hash]) => hash }), (places) => {
        expect([...readToken(writeToken(places))]).toEqual(places)
      }),
    )
  })

  it('is refused when it is anything else, and takes nothing with it', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String().map((text) => `1${text}`),
        ),
        (text) => {
          const read = () => {
            try {
              return writeToken(readToken(text))
            } catch (error) {
              expect(error).toMatchObject({ code: 'bad-request' })
              return text
            }
          }
          expect(read()).toBe(text)
        },
      ),
    )
  })

  it('fits into a header for a hundred queues', () => {
    const places = Array.from({ length: 100 }, (_, i) => [nameHash(`jobs.q${i}`), { ms: 1.7e12, seq: 3 }] as const)
    expect(writeToken(places).length).toBeLessThan(1_700)
  })
})

describe('a pattern', () => {
  it.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['a.b', 'a', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.*', 'a.b.c', false],
    ['*.b', 'a.b', true],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
    ['*.>', 'a', false],
    ['a.*.c', 'a.b.c', true],
    ['a.*.c', 'a.b.d', false],
    ['A', 'a', false],
  ])('%s and the topic %s: %s', (pattern, topic, does) => {
    expect(fits(topic.split('.'), patternOf(pattern))).toBe(does)
  })

  it.each([
    ['>', true, true],
    ['*.*.*', true, true],
    ['*.*', false, true],
    ['*.>', true, true],
    ['jobs.>', true, false],
    ['jobs.mail.*', true, false],
    ['jobs.*.failed', true, false],
    ['jobs.mail.>', true, false],
    ['jobs.other.*', false, false],
    ['jobs.mail', false, false],
    ['jobs.mail.failed.now', false, false],
    ['*.mail.failed', true, true],
    ['mail.*.*', false, true],
  ])('%s asks for the jobs of mail: %s, and for messages: %s', (text, jobs, messages) => {
    const pattern = patternOf(text)
    expect([meansQueue(pattern, 'mail'), meansMessages(pattern)]).toEqual([jobs, messages])
  })
})
