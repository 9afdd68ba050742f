import type { IncomingMessage } from 'node:http'
import { MillraceError } from '../errors.ts'

/** All bytes of a request as they came. Throws `too-large` as soon as it is known, `bad-request` when it breaks off. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const declared = request.headers['content-length']
  if (declared !== undefined && Number(declared) > limit) return Promise.reject(tooLarge(limit))
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) {
        request.removeAllListeners('data')
        reject(tooLarge(limit))
      } else chunks.push(chunk)
    })
    request.on('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size)))
    // 'close' comes after every request; making an error each time would cost more than reading the body.
    const brokeOff = () => {
      if (!request.complete) reject(new MillraceError('bad-request', 'the request broke off'))
    }
    request.on('error', brokeOff)
    request.on('close', brokeOff)
  })
}

function tooLarge(limit: number): MillraceError {
  return new MillraceError('too-large', `the body is larger than ${limit} bytes`)
}
