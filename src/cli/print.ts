import type { Sent } from '../ops/send.ts'

/* How results look on a terminal. */

export function print(value: unknown): void {
  console.log(JSON.stringify(value, null, 2))
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => String(row[column]).length))) ?? []
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      typeof cell === 'number' ? String(cell).padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
    )
    console.log(cells.join('  ').trimEnd())
  }
}

/** One line for each event that was sent. */
export function describe(sent: readonly Sent[]): string {
  return sent.map(({ status, id, ms, stored }) => `${status}  ${id}  ${ms} ms  stored in the ${stored}`).join('\n')
}

/** One line for many. */
export function summarize(sent: readonly Sent[], failed: number): string {
  const times = sent.map((one) => one.ms).sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]
  return `${sent.length - failed} accepted, ${failed} not; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${times.at(-1)} ms`
}

/** Counts up on a terminal, where there is something to wait for. */
export function progress(count: number): (done: number) => void {
  if (!process.stderr.isTTY || count < 100) return () => {}
  return (done) => process.stderr.write(done === count ? '\r\u001b[K' : `\r${done} of ${count}`)
}
