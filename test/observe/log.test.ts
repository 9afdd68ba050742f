import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { createLogger, type Logger, scrub } from '../../src/observe/log.ts'

type Line = Record<string, unknown> & { err: Record<string, unknown> }

/** What a logger as the product has it writes: its own stream is put aside for one that remembers. */
function logged(write: (log: Logger) => void, logLevel = 'info'): { lines: Line[]; text: string } {
  const log = createLogger({ logLevel, logFormat: 'json' })
  const written: string[] = []
  const streams = log as unknown as Record<symbol, unknown>
  streams[pino.symbols.streamSym] = { write: (line: string) => written.push(line) }
  write(log)
  return { lines: written.map((line) => JSON.parse(line) as Line), text: written.join('') }
}

/** The secret that must not be found, wherever it was put. */
const secret = 'correct-horse-battery-staple'

describe('createLogger', () => {
  it('writes one JSON object a line, with the level by name and the time of the clock', () => {
    const { lines } = logged((log) => {
      log.info({ queue: 'q' }, 'first')
      log.error('second')
    })
    expect(lines).toEqual([
      { level: 'info', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/), queue: 'q', msg: 'first' },
      { level: 'error', time: expect.any(String), msg: 'second' },
    ])
  })

  it('writes what is at its level and above', () => {
    const write = (log: Logger) => {
      log.debug('less')
      log.warn('enough')
    }
    expect(logged(write, 'warn').lines.map(({ msg }) => msg)).toEqual(['enough'])
    expect(logged(write, 'silent').lines).toEqual([])
  })
})

describe('redaction', () => {
  const fields = ['password', 'secret', 'secrets', 'token', 'key', 'authorization', 'cookie', 'signature']

  it.each(fields)('hides %s at each depth at which fields are logged', (field) => {
    const { lines, text } = logged((log) => {
      log.info({ [field]: secret, queue: 'q' }, 'one')
      log.info({ source: { [field]: secret, name: 'slack' } }, 'two')
      log.info({ request: { headers: { [field]: secret, host: 'h' } } }, 'three')
      log.info({ sources: [{ [field]: [secret, secret] }] }, 'in a list')
    })
    expect(lines).toMatchObject([
      { [field]: '[redacted]', queue: 'q' },
      { source: { [field]: '[redacted]', name: 'slack' } },
      { request: { headers: { [field]: '[redacted]', host: 'h' } } },
      { sources: [{ [field]: '[redacted]' }] },
    ])
    expect(text).not.toContain(secret)
  })

  it('hides them in what a child logger carries', () => {
    const { text, lines } = logged((log) => log.child({ token: secret, source: { key: secret } }).info('carried'))
    expect(lines).toMatchObject([{ token: '[redacted]', source: { key: '[redacted]' } }])
    expect(text).not.toContain(secret)
  })

  it('leaves the object itself as it was', () => {
    const source = { name: 'slack', secrets: [secret] }
    logged((log) => log.info({ source }, 'told'))
    expect(source).toEqual({ name: 'slack', secrets: [secret] })
  })
})

describe('an error', () => {
  const foreign = () =>
    Object.assign(new TypeError('refused'), {
      code: 'ECONNREFUSED',
      config: { headers: { 'X-Api-Key': secret } },
      response: { data: secret },
    })

  it('is written with type, message, code and stack, and with no field of its own', () => {
    const { lines, text } = logged((log) => log.error({ err: foreign() }, 'failed'))
    expect(Object.keys(lines[0]?.err ?? {}).sort()).toEqual(['code', 'message', 'stack', 'type'])
    expect(lines[0]).toMatchObject({ err: { type: 'TypeError', message: 'refused', code: 'ECONNREFUSED' } })
    expect(text).not.toContain(secret)
  })

  it('is written with its causes, by the same rule', () => {
    const error = new Error('outer', { cause: new Error('middle', { cause: foreign() }) })
    const { lines, text } = logged((log) => log.error({ err: error }, 'failed'))
    expect(lines[0]?.err).toMatchObject({
      message: 'outer',
      cause: { message: 'middle', cause: { message: 'refused', code: 'ECONNREFUSED' } },
    })
    expect(text).not.toContain(secret)
  })

  it('has its message and stack scrubbed, at every level', () => {
    const cause = new Error(`connect to redis://ada:${secret}@r:6379 failed`)
    const error = new Error(`Authorization: Bearer ${secret}`, { cause })
    const { text } = logged((log) => log.error({ err: error }, 'failed'))
    expect(text).not.toContain(secret)
    expect(text).toContain('redis://***@r:6379')
  })

  it('may be anything that was thrown', () => {
    const { lines } = logged((log) => {
      for (const thrown of ['a text', undefined, 42]) log.error({ err: thrown }, 'failed')
    })
    expect(lines.map(({ err }) => err?.message)).toEqual(['a text', undefined, '42'])
  })

  // The text of a thrown string, and of a cause that is one, is written as it is.
  it('has its text scrubbed when it is no Error', () => {
    const { text } = logged((log) => {
      log.error({ err: `Bearer ${secret}` }, 'failed')
      log.error({ err: new Error('outer', { cause: `Bearer ${secret}` }) }, 'failed')
    })
    expect(text).not.toContain(secret)
  })

  // pino takes the error's own message for `msg`, past the serializer. Handlers may log so: `log.error({ err })`.
  it('has its message scrubbed when the line has no other', () => {
    const error = new Error(`Bearer ${secret}`)
    const { text } = logged((log) => {
      log.error({ err: error })
      log.error(error)
    })
    expect(text).not.toContain(secret)
  })

  // Under another name than `err` it is an object like any other, and all its fields are written.
  it('keeps its fields to itself also under the name `error`', () => {
    expect(logged((log) => log.error({ error: foreign() }, 'failed')).text).not.toContain(secret)
  })

  // RangeError: Maximum call stack size exceeded, thrown by the line that should have logged.
  it('may be its own cause', () => {
    const error = new Error('round and round')
    error.cause = error
    expect(logged((log) => log.error({ err: error }, 'failed')).lines).toHaveLength(1)
  })
})

describe('scrub', () => {
  it.each([
    ['connect redis://ada:pass@r:6379/0', 'connect redis://***@r:6379/0'],
    ['rediss://:p%40ss@r', 'rediss://***@r'],
    ['postgres://a:b@h/db and redis://c:d@h', 'postgres://***@h/db and redis://***@h'],
    ['token xoxb-1234-abcd refused', 'token *** refused'],
    ['xoxp-1-2,xapp-1-A2,xoxa-9', '***,***,***'],
    ['Authorization: Bearer abc.DEF-1_2~3+/==', 'Authorization: Bearer ***'],
    ['authorization: bearer abc', 'authorization: bearer ***'],
    ['Basic dXNlcjpwYXNz', 'Basic ***'],
    ['two\nlines xoxb-1\nBearer x', 'two\nlines ***\nBearer ***'],
  ])('%j → %j', (text, scrubbed) => {
    expect(scrub(text)).toBe(scrubbed)
  })

  it.each([
    'connect ECONNREFUSED 127.0.0.1:6379',
    'redis://r:6379 does not answer',
    'mail to a@b.c at 10:30',
    'http://localhost:3000/hooks/slack?x=a@b',
    'slack: chat.postMessage answered channel_not_found',
    'the foxoxo-trot of a nexapp-1',
  ])('leaves %j alone', (text) => {
    expect(scrub(text)).toBe(text)
  })

  // A password that is not percent-encoded, and a token that is the whole user part.
  it.each([`redis://ada:p@${secret}@r`, `redis://ada:p/${secret}@r`, `https://${secret}@github.com/x`])(
    'hides the password of %s',
    (text) => {
      expect(scrub(text)).not.toContain(secret)
    },
  )
})
