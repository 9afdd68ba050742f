import { describe, expect, it } from 'vitest'
import { type ErrorCode, errorTable, MillraceError, messageOf } from '../src/errors.ts'

describe('errorTable', () => {
  it.each(Object.entries(errorTable))('%s has a status of an error, a title and something to do', (code, entry) => {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/)
    expect(entry.status).toBeGreaterThanOrEqual(400)
    expect(entry.status).toBeLessThan(600)
    expect(entry.title).toMatch(/^[A-Z].*[^.]$/)
    expect(entry.todo.length).toBeGreaterThan(10)
  })

  it('has no two codes with the same title', () => {
    const titles = Object.values(errorTable).map(({ title }) => title)
    expect(new Set(titles).size).toBe(titles.length)
  })
})

describe('MillraceError', () => {
  it('has the status and the advice of its code, and says what happened', () => {
    const error = new MillraceError('unknown-queue', "there is no queue 'x'")
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      name: 'MillraceError',
      code: 'unknown-queue',
      message: "there is no queue 'x'",
      status: 404,
      todo: 'GET /api/queues lists the queues.',
      fields: [],
      retryAfter: undefined,
    })
  })

  it('says the title where there is nothing more to say', () => {
    for (const code of Object.keys(errorTable) as ErrorCode[])
      expect(new MillraceError(code).message).toBe(errorTable[code].title)
  })

  it('keeps its cause, the wait and the fields', () => {
    const cause = new Error('ECONNREFUSED')
    const fields = [{ path: 'id', message: 'expected string' }]
    expect(new MillraceError('store-unavailable', 'away', { cause, retryAfter: 2 })).toMatchObject({
      cause,
      retryAfter: 2,
    })
    expect(new MillraceError('invalid-payload', 'job', { fields }).fields).toEqual(fields)
    expect('cause' in new MillraceError('internal')).toBe(false)
  })
})

describe('messageOf', () => {
  it.each([
    [new Error('away'), 'away'],
    [new TypeError(''), 'TypeError'],
    ['a text', 'a text'],
    [null, 'null'],
    [undefined, 'undefined'],
    [42, '42'],
  ])('has one line for %o', (thrown, text) => {
    expect(messageOf(thrown)).toBe(text)
  })

  // What Node throws when a name such as localhost has two addresses and neither answers; it has no message of its own.
  it('has the reasons of an error that stands for several', () => {
    const both = new AggregateError([
      new Error('connect ECONNREFUSED ::1:1'),
      new Error('connect ECONNREFUSED 127.0.0.1:1'),
    ])
    expect(messageOf(both)).toContain('connect ECONNREFUSED ::1:1')
  })

  // TypeError: Cannot convert object to primitive value, thrown while the first error is being told.
  it('has a line for what cannot be made a text', () => {
    expect(messageOf(Object.create(null))).toBeTypeOf('string')
  })
})
