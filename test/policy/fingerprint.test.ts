import { describe, expect, it } from 'vitest'
import { fingerprint, normalize } from '../../src/policy/fingerprint.ts'

describe('a message', () => {
  it.each([
    ['Order 4711 is unknown', 'Order <n> is unknown'],
    ['user 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is gone', 'user <uuid> is gone'],
    ['cannot read "a b" of `c`', 'cannot read <text> of <text>'],
    ["no such column 'price', can't go on", "no such column <text>, can't go on"],
    ["ENOENT: no such file or directory, open '/var/data/x.json'", 'ENOENT: no such file or directory, open <text>'],
    ['open /var/data/x.json failed', 'open <path> failed'],
    ['POST https://api.example.com/v1/orders/9?key=abc failed', 'POST https://api.example.com<path> failed'],
    ['connect ECONNREFUSED 10.0.0.17:5432', 'connect ECONNREFUSED <n>'],
    ['customer cus_9sXkQ2abc not found', 'customer <id> not found'],
    ['commit deadbeef01 is not there', 'commit <hex> is not there'],
    ['at 0xFF00', 'at <hex>'],
    ['mail to ada+x@example.com bounced', 'mail to <email> bounced'],
    ['timed out after 30000 ms', 'timed out after <n> ms'],
    ['a  \n b', 'a b'],
    ['', 'no reason given'],
  ])('%j is %j', (reason, said) => {
    expect(normalize(reason)).toBe(said)
  })

  it('keeps what tells causes apart: the status of an answer', () => {
    expect(normalize('answered 503')).toBe('answered 503')
    expect(normalize('Request failed with status code 404')).toBe('Request failed with status code 404')
    expect(normalize('HTTP 429 for 404 orders')).toBe('HTTP 429 for <n> orders')
  })

  it('of any length is dealt with at once', () => {
    const began = performance.now()
    for (const text of ['a'.repeat(1e6), '1'.repeat(1e6), "'".repeat(1e6), '/a'.repeat(5e5), 'a1-'.repeat(3e5)])
      normalize(text)
    expect(performance.now() - began).toBeLessThan(500)
  })
})

describe('a fingerprint', () => {
  const stack = (line: number, message: string, file = 'orders.ts') =>
    `TypeError: ${message}\n    at fulfil (file:///srv/app/workers/${file}:${line}:7)\n    at node:internal/x:1:2\n    at x (/srv/app/node_modules/lib/x.js:1:1)\n    at async handle (/srv/app/workers/run.ts:${line}:9)`

  it('is the same for jobs of one cause, also after a deployment has moved the lines', () => {
    const one = fingerprint('no order 1', stack(10, 'no order 1'))
    expect(fingerprint('no order 22', stack(310, 'no order 22'))).toEqual(one)
    expect(one).toEqual({ group: expect.stringMatching(/^[0-9a-f]{12}$/), title: 'TypeError: no order <n>' })
  })

  it('is another for another message, class or place', () => {
    const groups = [
      fingerprint('no order 1', stack(10, 'no order 1')),
      fingerprint('no money 1', stack(10, 'no money 1')),
      fingerprint('no order 1', stack(10, 'no order 1').replace('TypeError', 'RangeError')),
      fingerprint('no order 1', stack(10, 'no order 1', 'refunds.ts')),
      fingerprint('no order 1'),
    ].map(({ group }) => group)
    expect(new Set(groups).size).toBe(groups.length)
  })

  it('has a title that fits into a table', () => {
    expect(fingerprint('lorem ipsum '.repeat(100)).title.length).toBeLessThanOrEqual(160)
  })
})
