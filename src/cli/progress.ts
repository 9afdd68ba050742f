/** What a bar is drawn on. */
export type Screen = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }

export type Progress = { readonly advance: (done: number) => void; readonly end: () => void }

/** Nobody needs a bar for what is over before it is read. */
const patienceMs = 1_000
const redrawMs = 100

/** A bar on a terminal's last line while something takes longer than a second, and nothing at all elsewhere. */
export function progress(
  total: number,
  screen: Screen = process.stderr,
  now = performance.now.bind(performance),
): Progress {
  if (!screen.isTTY) return { advance: () => {}, end: () => {} }
  const began = now()
  let drawn = Number.NEGATIVE_INFINITY
  return {
    advance: (done) => {
      const at = now()
      if (at - began < patienceMs || at - drawn < redrawMs) return
      drawn = at
      screen.write(`\r${line(done, total, (at - began) / 1_000, screen.columns ?? 80)}\u001b[K`)
    },
    end: () => {
      if (drawn > 0) screen.write('\r\u001b[K')
    },
  }
}

function line(done: number, total: number, seconds: number, columns: number): string {
  const rate = done / seconds
  const left = rate > 0 ? `, ${Math.ceil((total - done) / rate)} s left` : ''
  const words = ` ${done} of ${total}, ${Math.round(rate)}/s${left}`
  const width = Math.max(0, Math.min(40, columns - words.length - 3))
  const full = Math.floor((done / total) * width)
  return `[${'█'.repeat(full)}${'·'.repeat(width - full)}]${words}`
}
