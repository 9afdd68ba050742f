import type { IncomingMessage } from 'node:http'
import { MillraceError } from '../errors.ts'

/** Bodies up to this are always taken: those who send small ones must not suffer from those who send large ones. */
const smallBytes = 256 * 1024

/**
 * Reads bodies, and bounds what all that are under way hold together: anybody may send large ones, because they can be
 * proved only when they are there.
 */
export class BodyReader {
  readonly #budget: number
  #held = 0

  /** `budget` is in bytes. */
  constructor(budget: number) {
    this.#budget = budget
  }

  /**
   * All bytes of a request as they came; they count until {@link release}. Throws `too-large` as soon as it is known,
   * `overloaded` for a large one when there are too many, `bad-request` when it breaks off; then nothing counts.
   */
  read(request: IncomingMessage, limit: number): Promise<Buffer> {
    const declared = request.headers['content-length']
    if (declared !== undefined && Number(declared) > limit) return Promise.reject(tooLarge(limit))
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let size = 0
      const refuse = (error: MillraceError) => {
        request.removeAllListeners('data')
        this.#held -= size
        size = 0
        reject(error)
      }
      request.on('data', (chunk: Buffer) => {
        size += chunk.length
        this.#held += chunk.length
        if (size > limit) refuse(tooLarge(limit))
        else if (size > smallBytes && this.#held > this.#budget) refuse(overloaded())
        else chunks.push(chunk)
      })
      request.on('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size)))
      // 'close' comes after every request; making an error each time would cost more than reading the body.
      const brokeOff = () => {
        if (!request.complete) refuse(new MillraceError('bad-request', 'the request broke off'))
      }
      request.on('error', brokeOff)
      request.on('close', brokeOff)
    })
  }

  /** The body is not needed any more. */
  release(body: Buffer): void {
    this.#held -= body.length
  }
}

function tooLarge(limit: number): MillraceError {
  return new MillraceError('too-large', `the body is larger than ${limit} bytes`)
}

function overloaded(): MillraceError {
  return new MillraceError('overloaded', 'too many large requests are under way', { retryAfter: 2 })
}
