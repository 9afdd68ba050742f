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
      // Nearly all come in one piece. Further ones are copied into one buffer: kept as they are, pieces of one byte each
      // would take three hundred times the memory of what they hold.
      let bytes: Buffer | undefined
      let size = 0
      let isRefused = false
      const refuse = (error: MillraceError) => {
        if (isRefused) return
        isRefused = true
        request.removeAllListeners('data')
        this.#held -= size
        bytes = undefined
        reject(error)
      }
      request.on('data', (chunk: Buffer) => {
        const before = size
        size += chunk.length
        this.#held += chunk.length
        if (size > limit) return refuse(tooLarge(limit))
        if (size > smallBytes && this.#held > this.#budget) return refuse(overloaded())
        if (bytes === undefined) bytes = chunk
        else bytes = append(bytes, before, chunk, limit)
      })
      request.on('end', () => {
        if (!isRefused) resolve(bytes === undefined ? Buffer.alloc(0) : bytes.subarray(0, size))
      })
      // 'close' comes after every request; making an error each time would cost more than reading the body.
      const brokeOff = () => {
        if (!request.complete) refuse(new MillraceError('bad-request', 'the request broke off'))
      }
      request.on('error', brokeOff)
      request.on('close', brokeOff)
    })
  }

  /** Counts one that has been read elsewhere. Small ones only: it is not asked whether there is room. */
  hold(body: Buffer): void {
    this.#held += body.length
  }

  /** The body is not needed any more. */
  release(body: Buffer): void {
    this.#held -= body.length
  }
}

/** Room doubles, so that a body is copied twice at most, however small its pieces. */
function append(bytes: Buffer, size: number, chunk: Buffer, limit: number): Buffer {
  const needed = size + chunk.length
  let room = bytes
  if (bytes.length < needed) {
    room = Buffer.allocUnsafeSlow(Math.min(limit, Math.max(needed, bytes.length * 2, 16 * 1024)))
    bytes.copy(room, 0, 0, size)
  }
  chunk.copy(room, size)
  return room
}

export function tooLarge(limit: number): MillraceError {
  return new MillraceError('too-large', `the body is larger than ${limit} bytes`)
}

function overloaded(): MillraceError {
  return new MillraceError('overloaded', 'too many large requests are under way', { retryAfter: 2 })
}
