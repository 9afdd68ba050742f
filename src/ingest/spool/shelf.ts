import type { Segment } from './segment.ts'

/** What is still to be drained, oldest segment first, and its sums. */
export class Shelf {
  readonly #segments: Segment[] = []
  #events = 0
  #bytes = 0

  get first(): Segment | undefined {
    return this.#segments[0]
  }

  get events(): number {
    return this.#events
  }

  /** Of the files as they are on the disk: a segment counts in full until it is removed. */
  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#segments.length
  }

  /** Names begin with the time of their making, so their order is that of age, across processes too. */
  add(segment: Segment): void {
    const later = this.#segments.findIndex(({ path }) => path > segment.path)
    this.#segments.splice(later < 0 ? this.#segments.length : later, 0, segment)
    this.#events += segment.events
    this.#bytes += segment.bytes
  }

  remove(segment: Segment): void {
    const at = this.#segments.indexOf(segment)
    if (at < 0) return
    this.#segments.splice(at, 1)
    this.#events -= segment.events
    this.#bytes -= segment.bytes
  }

  grow(segment: Segment, events: number, bytes: number): void {
    segment.events += events
    segment.bytes += bytes
    this.#events += events
    this.#bytes += bytes
  }

  took(segment: Segment, events: number): void {
    const taken = Math.min(events, segment.events)
    segment.events -= taken
    this.#events -= taken
  }
}
