import { connect, type Socket } from 'node:net'

/*
 * Clients that listen, in a process of its own and as cheap as they can be. A message carries the time when it was
 * published; all processes of a machine have the same clock.
 */

export type ListenOrder = { readonly port: number; readonly path: string; readonly key: string; readonly count: number }
/** Milliseconds. */
export type ListenResult = { readonly heard: number; readonly p50: number; readonly p99: number; readonly lost: number }

/** So many connections are made at once: more only make the others wait. */
const atOnce = 100
const mark = Buffer.from('"sentAt":')
/** Of the digits of a time, and what stands before them. */
const longestMark = 40

let sockets: Socket[] = []
let latencies: number[] = []
let lost = 0

async function listen({ port, path, key, count }: ListenOrder): Promise<void> {
  latencies = []
  lost = 0
  let begun = 0
  const one = async () => {
    while (begun < count) {
      begun += 1
      await open(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n\r\n`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
}

/** Resolves when the first bytes have come which say that whatever is published from now on will be heard. */
function open(port: number, request: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request))
    sockets.push(socket)
    let rest: Buffer = Buffer.alloc(0)
    let isPlaced = false
    socket.on('data', (chunk: Buffer) => {
      const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
      if (!isPlaced && /\n(?:id: .*|:)\n\n/.test(bytes.toString('latin1'))) {
        isPlaced = true
        resolve()
      }
      let from = 0
      for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, from)) {
        const digits = bytes.toString('latin1', at + mark.length, at + longestMark)
        const [time] = /^[\d.]+(?=\D)/.exec(digits) ?? []
        if (time === undefined) break
        latencies.push(performance.timeOrigin + performance.now() - Number(time))
        from = at + mark.length + time.length
      }
      rest = isPlaced ? bytes.subarray(Math.max(from, bytes.length - longestMark)) : bytes
    })
    socket.on('error', reject)
    socket.on('close', () => {
      lost += 1
      reject(new Error('hung up'))
    })
  })
}

function result(): ListenResult {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { heard: sorted.length, p50: at(0.5), p99: at(0.99), lost }
}

process.on('message', async (message: ListenOrder | 'heard' | 'result' | 'leave') => {
  if (message === 'heard') process.send?.(latencies.length)
  else if (message === 'result') process.send?.(result())
  else if (message === 'leave') {
    for (const socket of sockets) socket.removeAllListeners('close').destroy()
    sockets = []
    process.send?.('left')
  } else {
    await listen(message)
    process.send?.('listening')
  }
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
