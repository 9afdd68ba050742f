import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readPlain } from '../../src/http/plain-request.ts'

const maxHead = 16 * 1024

type Understood = { method: string; url: string; rawHeaders: readonly string[]; body: string }

let server: Server
beforeAll(async () => {
  server = createServer({ maxHeaderSize: maxHead }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', rawHeaders } = request
      const understood: Understood = { method, url, rawHeaders, body: Buffer.concat(chunks).toString('base64') }
      response.end(Buffer.from(JSON.stringify(understood)).toString('base64'))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => {
  server?.closeAllConnections()
  server?.close()
})

/** All that Node's own server says to these bytes: one answer for each request that it sees in them. */
function nodeSays(bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    let heard = ''
    socket.setTimeout(5_000, () =>
      socket.destroy(new Error(`no answer to ${JSON.stringify(bytes.toString('latin1'))}`)),
    )
    socket.on('error', reject)
    socket.on('close', () => resolve(heard))
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
      // Whatever else is in the connection has to show itself now: as another request, or as the beginning of one.
      if (heard.includes('\r\n\r\n')) socket.end()
    })
    socket.write(bytes)
  })
}

async function asNodeReads(bytes: Buffer): Promise<Understood> {
  const heard = await nodeSays(bytes)
  const answers = heard.split('HTTP/1.1 ').slice(1)
  expect(answers.map((answer) => answer.slice(0, 3))).toEqual(['200'])
  const [, encoded = ''] = /\r\n\r\n(?:[0-9a-f]+\r\n)?([\w+/=]+)/.exec(heard) ?? []
  return JSON.parse(Buffer.from(encoded, 'base64').toString()) as Understood
}

async function expectSame(bytes: Buffer): Promise<boolean> {
  const read = readPlain(bytes, maxHead)
  if (!read) return false
  const { path, rawHeaders, body } = read
  expect({ method: 'POST', url: path, rawHeaders, body: body.toString('base64') }).toEqual(await asNodeReads(bytes))
  return true
}

type Parts = { line: string; headers: readonly string[]; body: string; eol: string }

const bytesOf = ({ line, headers, body, eol }: Parts) => Buffer.from([line, ...headers, '', body].join(eol), 'latin1')

const good: Parts = {
  line: 'POST /hooks/slack HTTP/1.1',
  headers: ['Host: localhost', 'Content-Type: application/json', 'X-Slack-Signature: v0=abc', 'Content-Length: 8'],
  body: '{"a": 1}',
  eol: '\r\n',
}
const withHeaders = (...more: string[]) => bytesOf({ ...good, headers: [...good.headers, ...more] })
const withLength = (value: string, body = good.body) =>
  bytesOf({ ...good, headers: ['Host: localhost', `Content-Length:${value}`], body })
const withLine = (line: string) => bytesOf({ ...good, line })

describe('a plain request', () => {
  it.each<[string, Buffer]>([
    ['as senders write them', bytesOf(good)],
    ['without a body', withLength(' 0', '')],
    ['with a length that begins with zeros', withLength(' 008')],
    ['without and with much white space before values', withHeaders('X-A:b', 'X-C:     d   ')],
    ['with empty values', withHeaders('X-A:', 'X-B: ')],
    ['with a header twice', withHeaders('X-A: 1', 'x-a: 2')],
    ['with names in other cases and odd letters', withHeaders("x-!#$%&'*+-.^_`|~: 1", 'ACCEPT: */*')],
    ['that wants the connection kept', withHeaders('Connection: Keep-Alive', 'Keep-Alive: timeout=5')],
    ['with a path that looks for trouble', withLine('POST /hooks/../hooks//~x/. HTTP/1.1')],
    ['with an empty name of a source', withLine('POST /hooks/ HTTP/1.1')],
    ['with a body that looks like a request', withLength(' 33', 'POST /hooks/a HTTP/1.1\r\nHost: a\r\n')],
    ['with bytes above ASCII in the body', withLength(' 3', '\xff\x00\n')],
    ['with a hundred headers', withHeaders(...Array.from({ length: 96 }, (_, i) => `X-${i}: ${i}`))],
    ['with nearly as large a head as Node takes', withHeaders(`X-A: ${'a'.repeat(maxHead - 200)}`)],
  ])('is read as Node reads it: %s', async (_name, bytes) => {
    expect(await expectSame(bytes)).toBe(true)
  })

  it.each<[string, Buffer]>([
    ['another method', withLine('PUT /hooks/slack HTTP/1.1')],
    ['another path', withLine('POST /hook/slack HTTP/1.1')],
    ['another version', withLine('POST /hooks/slack HTTP/1.0')],
    ['no version', withLine('POST /hooks/slack')],
    ['an absolute URL', withLine('POST http://localhost/hooks/slack HTTP/1.1')],
    ['a query', withLine('POST /hooks/slack?a HTTP/1.1')],
    ['a fragment', withLine('POST /hooks/slack#a HTTP/1.1')],
    ['an encoded letter', withLine('POST /hooks/sl%61ck HTTP/1.1')],
    ['two spaces', withLine('POST /hooks/slack  HTTP/1.1')],
    ['a tab', withLine('POST /hooks/slack\tHTTP/1.1')],
    ['a small method', withLine('post /hooks/slack HTTP/1.1')],
    ['a line before', Buffer.concat([Buffer.from('\r\n'), bytesOf(good)])],
    ['no Host', bytesOf({ ...good, headers: good.headers.slice(1) })],
    ['two Hosts', withHeaders('HOST: localhost')],
    ['no length', bytesOf({ ...good, headers: good.headers.slice(0, 3) })],
    ['two lengths', withHeaders('content-length: 8')],
    ['a length with a sign', withLength(' +8')],
    ['a length in hexadecimal', withLength(' 0x8')],
    ['a list of lengths', withLength(' 8, 8')],
    ['a length that is too long', withLength(' 0000000008')],
    ['a length and a tab', withLength(' 8\t')],
    ['an empty length', withLength('', '')],
    ['a byte too few', withLength(' 9')],
    ['a byte too many', withLength(' 7')],
    ['a coding', withHeaders('Transfer-Encoding: chunked')],
    ['a coding in other case', withHeaders('tRANSFER-eNCODING: identity')],
    ['an expectation', withHeaders('Expect: 100-continue')],
    ['an upgrade', withHeaders('Upgrade: h2c')],
    ['a packed body', withHeaders('Content-Encoding: gzip')],
    ['a wish to close', withHeaders('Connection: close')],
    ['the same for a proxy', withHeaders('Proxy-Connection: close')],
    ['a connection header that names others', withHeaders('Connection: keep-alive, X-Slack-Signature')],
    ['white space before a colon', withHeaders('X-A : b')],
    ['a folded line', withHeaders('X-A: b', ' c')],
    ['a line without a colon', withHeaders('X-A')],
    ['a header without a name', withHeaders(': b')],
    ['a NUL', withHeaders('X-A: b\0')],
    ['a byte above ASCII', withHeaders('X-A: \xe4')],
    ['a space above ASCII', withHeaders('X-A:\xa0b\xa0')],
    ['a line feed alone', withHeaders('X-A: b\nX-B: c')],
    ['a line feed before a value', withHeaders('X-A:\nX-B: c')],
    ['a line feed before a length', withLength('\n8')],
    ['a carriage return alone', withHeaders('X-A: b\rX-B: c')],
    ['a carriage return at the end', withHeaders('X-A: b\r')],
    ['a vertical tab', withHeaders('X-A:\vb\f')],
    ['line feeds for all', bytesOf({ ...good, eol: '\n' })],
    ['more headers than anybody has', withHeaders(...Array.from({ length: 97 }, (_, i) => `X-${i}: ${i}`))],
    ['a larger head than allowed', withHeaders(`X-A: ${'a'.repeat(maxHead)}`)],
    ['nothing', Buffer.alloc(0)],
  ])('is not one with %s: Node decides', (_name, bytes) => {
    expect(readPlain(bytes, maxHead)).toBeUndefined()
  })
})

const odd = fc.constantFrom(
  '\r',
  '\n',
  '\r\n',
  '\0',
  '\t',
  ' ',
  '\v',
  '\f',
  '\x7f',
  '\x80',
  '\xa0',
  '\xff',
  ':',
  '%',
  '?',
)
const oddSpace = fc.constantFrom('', ' ', '  ', '\t', ' \t', '\r\n ', '\n', '\xa0', '\v')
const oddHeader = fc
  .tuple(
    fc.constantFrom(
      'Host',
      'content-length',
      'Content-Length',
      'Transfer-Encoding',
      'Connection',
      'Proxy-Connection',
      'Expect',
      'Upgrade',
      'X-A',
      'x-slack-signature',
      'Trailer',
      'Keep-Alive',
      '',
    ),
    fc.constantFrom('', '', '', ' ', '\t'),
    oddSpace,
    fc.oneof(
      fc.constantFrom(
        '8',
        '08',
        '+8',
        '7',
        '9',
        '0',
        '-1',
        '8,8',
        'chunked',
        'close',
        'keep-alive',
        'localhost',
        '100-continue',
        'h2c',
        '',
      ),
      fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 6 }),
    ),
    oddSpace,
  )
  .map(([name, before, after, value, end]) => `${name}${before}:${after}${value}${end}`)
const oddLine = fc
  .tuple(
    fc.constantFrom('POST', 'POST', 'POST', 'GET', 'post', ' POST', '\r\nPOST'),
    fc.constantFrom(' ', ' ', ' ', '  ', '\t'),
    fc.constantFrom(
      '/hooks/slack',
      '/hooks/',
      '/hooks/../x',
      '/hooks/a%2fb',
      '/hooks/a?b',
      '/hooks/a#b',
      '//hooks/a',
      'http://h/hooks/a',
      '/hooks/\xe4',
      '/hooks/a;b',
      '/HOOKS/a',
      '/hooks/a~b',
      '*',
    ),
    fc.constantFrom(' HTTP/1.1', ' HTTP/1.1', ' HTTP/1.1', ' HTTP/1.0', ' HTTP/2.0', '', ' http/1.1', ' HTTP/1.1 '),
  )
  .map((parts) => parts.join(''))

/** One thing done to a request, before or after it has become bytes. */
const inParts = fc.oneof(
  oddLine.map(
    (line) =>
      (parts: Parts): Parts => ({ ...parts, line }),
  ),
  fc.tuple(oddHeader, fc.nat(5)).map(
    ([header, at]) =>
      (parts: Parts): Parts => ({ ...parts, headers: parts.headers.toSpliced(at, 0, header) }),
  ),
  fc.nat(3).map(
    (at) =>
      (parts: Parts): Parts => ({ ...parts, headers: parts.headers.toSpliced(at, 1) }),
  ),
  fc.tuple(fc.nat(3), fc.boolean()).map(
    ([at, isUpper]) =>
      (parts: Parts): Parts => ({
        ...parts,
        headers: parts.headers.map((one, i) => (i !== at ? one : isUpper ? one.toUpperCase() : one.toLowerCase())),
      }),
  ),
  fc.string({ unit: 'binary-ascii', minLength: 8, maxLength: 8 }).map(
    (body) =>
      (parts: Parts): Parts => ({ ...parts, body }),
  ),
)
const inBytes = fc.tuple(fc.nat(), fc.nat(2), odd).map(([where, dropped, put]) => (text: string): string => {
  const at = where % (text.length + 1)
  return text.slice(0, at) + put + text.slice(at + dropped)
})

it('means the same to Node, whatever was done to it, whenever it is taken for one', { timeout: 30_000 }, async () => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(inParts, { maxLength: 3 }),
      fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(inBytes, { maxLength: 2 }) },
      ),
      async (before, after) => {
        const parts = before.reduce((all, change) => change(all), good)
        const text = after.reduce((all, change) => change(all), bytesOf(parts).toString('latin1'))
        if (await expectSame(Buffer.from(text, 'latin1'))) taken += 1
      },
    ),
    { numRuns: 2_000 },
  )
  // Or it would say nothing.
  expect(taken).toBeGreaterThan(200)
})

it('never gets more out of a request than it has', () => {
  const bytes = bytesOf(good)
  for (let size = 0; size < bytes.length; size += 1) expect(readPlain(bytes.subarray(0, size), maxHead)).toBeUndefined()
  expect(readPlain(Buffer.concat([bytes, bytes]), maxHead)).toBeUndefined()
  expect(readPlain(Buffer.concat([bytes, Buffer.from('\r\n')]), maxHead)).toBeUndefined()
})
