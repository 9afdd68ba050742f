/** A whole request, as it came. */
export type PlainRequest = {
  readonly path: string
  /** Names and values in turns, as in node:http's `rawHeaders`. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

const start = 'POST /hooks/'
const version = ' HTTP/1.1'
/** RFC 9110, 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Of a path, what means itself: no query, nothing encoded. */
const plainPath = /^[\w./~-]+$/
/** RFC 9110, 5.5, without tabs, which Node's parser does not take everywhere, and what is above ASCII. */
const plainValue = /^[\x20-\x7e]*$/
/** Senders have some dozen. Node leaves out what comes after its own limit of a thousand. */
const maxHeaders = 100
/** What a request may carry that is read here; more digits are nobody's length. */
const digits = /^\d{1,9}$/
/** These change how a request is to be read, or what is to happen with its connection. */
const special = new Set([
  'transfer-encoding',
  'connection',
  // Old, and Node takes it for the one above.
  'proxy-connection',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'content-encoding',
])

/**
 * Reads `bytes` as one POST to /hooks when they are exactly that, and nothing in them could be read in two ways: one
 * Host, one Content-Length that fits to the byte, no transfer coding, nothing folded or odd. Undefined for everything
 * else, which is not a refusal: Node's own parser decides then, with its limits and its answers. Because it says yes to
 * less than that parser does, and to nothing in another way, a request means the same on both ways (RFC 9112, 11.2).
 */
export function readPlain(bytes: Buffer, maxHeadBytes: number): PlainRequest | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0 || end > maxHeadBytes) return undefined
  const head = bytes.toString('latin1', 0, end)
  let at = head.indexOf('\r\n')
  if (at < 0 || !head.startsWith(start) || !head.startsWith(version, at - version.length)) return undefined
  const path = head.slice(start.length - '/hooks/'.length, at - version.length)
  if (!plainPath.test(path)) return undefined

  const rawHeaders: string[] = []
  let [hosts, length] = [0, '']
  while (at < head.length) {
    const from = at + 2
    at = head.indexOf('\r\n', from)
    if (at < 0) at = head.length
    const colon = head.indexOf(':', from)
    if (colon < 0 || colon > at) return undefined
    const name = head.slice(from, colon)
    const untrimmed = head.slice(colon + 1, at)
    // Before trimming: that would take away line breaks and more that is no white space here.
    if (!token.test(name) || !plainValue.test(untrimmed)) return undefined
    const value = untrimmed.trim()
    const lower = name.toLowerCase()
    if (special.has(lower) && !(lower === 'connection' && value.toLowerCase() === 'keep-alive')) return undefined
    if (lower === 'host') hosts += 1
    else if (lower === 'content-length') {
      if (length !== '' || !digits.test(value)) return undefined
      length = value
    }
    rawHeaders.push(name, value)
  }
  if (rawHeaders.length > 2 * maxHeaders) return undefined
  if (hosts !== 1 || length === '' || bytes.length !== end + 4 + Number(length)) return undefined
  return { path, rawHeaders, body: bytes.subarray(end + 4) }
}
