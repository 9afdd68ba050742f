import { type Order, type Prepared, prepare } from './requests.ts'

/*
 * The senders: N connections with one request outstanding on each. A process of its own, and as cheap as it can be,
 * because it shares the machine with what it measures: signatures are made before the clock starts, a request is a
 * buffer in which only id and signature change, and an answer is not parsed where a glance is enough.
 */

/** Times in milliseconds. */
export type LoadResult = {
  readonly answered: number
  readonly elapsed: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly errors: number
  readonly firstError: string | undefined
}

/** A server that does not answer at all must not keep us for ever. */
const patienceMs = 10_000

function run({ seconds, events }: Order, { lines, request, fill }: Prepared): Promise<LoadResult> {
  const latencies = new Float64Array(events)
  let [sent, answered, errors, open] = [0, 0, 0, lines.length]
  let firstError: string | undefined
  const began = performance.now()
  const deadline = began + seconds * 1_000

  return new Promise((resolve) => {
    const patience = setTimeout(
      () => {
        errors += open
        firstError ??= 'no answer'
        finish()
      },
      seconds * 1_000 + patienceMs,
    )

    for (const line of lines) {
      const buffer = request()
      let sentAt = 0
      let early = ''
      line.onEnd = (why) => end(why)
      line.onData = (bytes) => {
        const status = statusOf(bytes, early)
        if (status === undefined) early += bytes.toString('latin1')
        else if (status !== 200) end(`status ${status}`)
        else {
          const now = performance.now()
          early = ''
          latencies[answered++] = now - sentAt
          send(now)
        }
      }
      send(began)

      function send(now: number): void {
        if (now >= deadline || sent === events) return void end()
        fill(buffer, sent++)
        sentAt = now
        line.socket.write(buffer)
      }

      function end(error?: string): void {
        if (error !== undefined) errors += 1
        firstError ??= error
        line.onData = line.onEnd = () => {}
        line.socket.destroy()
        if (--open === 0) finish()
      }
    }

    function finish(): void {
      const elapsed = performance.now() - began
      clearTimeout(patience)
      const sorted = latencies.subarray(0, answered).sort()
      const at = (share: number) => sorted[Math.min(answered - 1, Math.floor(answered * share))] ?? 0
      resolve({ answered, elapsed, p50: at(0.5), p99: at(0.99), max: at(1), errors, firstError })
    }
  })
}

/** Undefined until the answer is complete. */
function statusOf(bytes: Buffer, early: string): number | undefined {
  const size = bytes.length
  // The one that is expected: "HTTP/1.1 200", in one piece, with nothing after its head.
  if (early === '' && size > 16 && bytes[9] === 0x32 && bytes[10] === 0x30 && bytes[11] === 0x30)
    if (bytes.readUInt32BE(size - 4) === 0x0d0a0d0a) return 200
  const text = early + bytes.toString('latin1')
  const head = text.indexOf('\r\n\r\n')
  if (head < 0) return undefined
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head))?.[1] ?? 0)
  return text.length < head + 4 + length ? undefined : Number(text.slice(9, 12))
}

let serial = 1
let next: { readonly order: Order; readonly prepared: Prepared } | undefined

process.on('message', async (message: Order | 'go') => {
  if (message !== 'go') {
    next = { order: message, prepared: await prepare(message, serial) }
    serial += message.events
    process.send?.('prepared')
  } else if (next) process.send?.(await run(next.order, next.prepared))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
