import { writeSync } from 'node:fs'

/** How long a reader that is slow is waited for, in all, before lines are lost. Nothing else goes on meanwhile. */
const patienceMs = 500
/** Between two looks whether he has read. */
const lookMs = 5

type Write = (fd: number, bytes: Buffer) => number

/**
 * Where a process's log lines go. Those of one turn of the event loop are written together when it is over, so that a worker that
 * ends dozens of attempts in one needs one system call. Nobody who reads them may stop the work: where they cannot be written (a
 * pipe whose reader has gone or hangs, a full disk) they are lost, and the next line that gets through is told how many.
 */
export function createLineOutput(
  fd: number,
  { write = writeSync as Write, lostLine }: { write?: Write; lostLine: (lines: number) => string },
): { write(line: string): void; flush(): void } {
  let lines: string[] = []
  let isPlanned = false
  let lost = 0
  /** A line was cut in the middle. */
  let isCut = false

  function flush(): void {
    isPlanned = false
    if (lines.length === 0) return
    const begun = isCut ? '\n' : ''
    const text = begun + (lost > 0 ? lostLine(lost) : '') + lines.join('')
    const count = lines.length
    lines = []
    const bytes = Buffer.from(text)
    // Who did not read the last time is not waited for again.
    const rest = put(bytes, lost > 0 ? 0 : patienceMs)
    isCut = rest > 0 && (rest < bytes.length || isCut) && bytes[bytes.length - rest - 1] !== 0x0a
    if (rest === 0) lost = 0
    else lost += count
  }

  /** How many bytes could not be written. */
  function put(bytes: Buffer, patience: number): number {
    const deadline = performance.now() + patience
    for (let rest = bytes; ; ) {
      try {
        rest = rest.subarray(write(fd, rest))
        if (rest.length === 0) return 0
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() >= deadline) return rest.length
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookMs)
      }
    }
  }

  return {
    write(line) {
      lines.push(line)
      if (isPlanned) return
      isPlanned = true
      process.nextTick(flush)
    },
    flush,
  }
}
