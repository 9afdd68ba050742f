import { connect } from 'node:net'

/** One connection, byte for byte: for what no HTTP client would send, and to see when a server really hangs up. */
export type Talk = {
  send(data: string | Buffer): void
  /** Sends the same again and again until the connection is gone. */
  keepSending(data: string | Buffer, everyMs: number): void
  /** Everything heard so far, once it matches. Rejects when the connection is gone before. */
  hears(pattern: RegExp): Promise<string>
  /** Everything heard, when the connection is gone in both directions. */
  readonly gone: Promise<string>
  hangUp(): void
}

/** `isStubborn`: does not hang up when the server does, as a hostile client would not. */
export function talkTo(url: string, { isStubborn = false } = {}): Talk {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: isStubborn })
  let heard = ''
  let timer: NodeJS.Timeout | undefined
  socket.on('data', (chunk) => {
    heard += chunk.toString('latin1')
  })
  // Being cut off is what most of these connections end with; whoever waits sees it as `gone`.
  socket.on('error', () => {})
  const gone = new Promise<string>((resolve) => {
    socket.on('close', () => {
      clearInterval(timer)
      resolve(heard)
    })
  })
  return {
    gone,
    send: (data) => void socket.write(data),
    keepSending: (data, everyMs) => {
      timer = setInterval(() => socket.write(data), everyMs)
    },
    hears: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (pattern.test(heard)) resolve(heard)
        }
        look()
        socket.on('data', look)
        void gone.then(() => reject(new Error(`gone without ${pattern}, after: ${JSON.stringify(heard)}`)))
      }),
    hangUp: () => socket.destroy(),
  }
}

/** A request as it goes over the wire. A list is a header that is sent several times. */
export function rawRequest(
  method: string,
  path: string,
  headers: Record<string, string | string[]>,
  body: string | Buffer = '',
): Buffer {
  const lines = Object.entries(headers).flatMap(([name, values]) => [values].flat().map((value) => `${name}: ${value}`))
  const head = [`${method} ${path} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n')
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)])
}
