/** A redrive's jobs in a second, where nobody says otherwise: brisk, and no flood for whatever made them die. */
export const defaultRate = 50
/** A step of the store moves 50 of them, every 50 ms. */
export const mostPerSecond = 1_000

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const

/** `'50/s'`, `'600/m'`, `'10/h'` as so many a second; undefined when the text is none. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d{1,6})\/([smh])$/.exec(text)
  const count = Number(match?.[1])
  return match && count > 0 ? (count * 1_000) / unitMs[match[2] as keyof typeof unitMs] : undefined
}

/** How many may go now, so that within each second no more than `perSecond` do; what is not used is not saved up. */
export class Pace {
  readonly #perSecond: number
  #at: number
  #ready = 1

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond
    this.#at = now
  }

  take(most: number, now: number): number {
    this.#ready = Math.min(Math.max(1, this.#perSecond), this.#ready + ((now - this.#at) * this.#perSecond) / 1_000)
    this.#at = now
    const count = Math.min(most, Math.floor(this.#ready))
    this.#ready -= count
    return count
  }
}
