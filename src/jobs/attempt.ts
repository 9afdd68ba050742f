/** Why an attempt was told to stop. */
export type AbortCause = 'timeout' | 'lock-lost' | 'shutdown' | 'cancelled'

export class AttemptAborted extends Error {
  readonly because: AbortCause
  constructor(cause: AbortCause, message: string) {
    super(message)
    this.name = cause === 'timeout' ? 'TimeoutError' : 'AbortError'
    this.because = cause
  }
}

/** After its signal a handler has this long to come to an end by itself; then the attempt ends without it. */
export const settleMs = 1_000

/**
 * One run of a handler, which can be told to stop. The signal is made when the handler first asks for it: most never
 * do, and an AbortController costs as much as the rest of the bookkeeping together.
 */
export class Attempt {
  #controller: AbortController | undefined
  #aborted: AttemptAborted | undefined
  #giveUp: ((error: AttemptAborted) => void) | undefined
  #timer: NodeJS.Timeout | undefined

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  get aborted(): AttemptAborted | undefined {
    return this.#aborted
  }

  /** The handler's result, or its error, or the reason it was told to stop when it did not stop by itself in time. */
  run<T>(handle: () => Promise<T> | T, timeoutMs: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#giveUp = reject
      this.#timer = setTimeout(
        () => this.abort(new AttemptAborted('timeout', `timed out after ${timeoutMs} ms`)),
        timeoutMs,
      )
      // async, so that a handler that throws before it returns is treated alike.
      const settle = async () => handle()
      settle().then(
        (value) => {
          clearTimeout(this.#timer)
          resolve(value)
        },
        (error) => {
          clearTimeout(this.#timer)
          reject(error)
        },
      )
    })
  }

  abort(reason: AttemptAborted): void {
    if (this.#aborted) return
    this.#aborted = reason
    clearTimeout(this.#timer)
    this.#controller?.abort(reason)
    this.#timer = setTimeout(() => this.#giveUp?.(reason), settleMs)
  }
}
