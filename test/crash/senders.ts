import { freshId, mention, post } from '../harness/slack.ts'

/** Of one sender, between tries. */
const againMs = 50
const mostTries = 200

export type Place = 'queue' | 'spool'

/** Senders that each have one event on its way, and send it until it is taken, as Slack does. */
export class Senders {
  /** Every acknowledged event, and where it was stored by then. */
  readonly acknowledged = new Map<string, Place>()
  /** Answers that were no 2xx, and requests without any answer. */
  refused = 0
  unanswered = 0
  slowestRefusalMs = 0
  /** When the first event was acknowledged that was sent after `struck`. */
  recoveredAt = 0
  readonly #url: string
  readonly #lanes: Promise<unknown>
  #faultAt = Number.POSITIVE_INFINITY
  #isOver = false

  constructor(url: string, lanes = 30) {
    this.#url = url
    this.#lanes = Promise.all(Array.from({ length: lanes }, () => this.#lane()))
  }

  struck(): void {
    this.#faultAt = performance.now()
  }

  get recoveredMs(): number {
    return Math.round(this.recoveredAt - this.#faultAt)
  }

  countOf(place: Place): number {
    let count = 0
    for (const one of this.acknowledged.values()) if (one === place) count += 1
    return count
  }

  /** What is on its way is waited for. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#lanes
  }

  async #lane(): Promise<void> {
    while (!this.#isOver) {
      const id = freshId()
      for (let tries = 0; tries < mostTries && !this.#isOver; tries += 1) {
        if (await this.#send(id)) break
        await new Promise((resolve) => setTimeout(resolve, againMs))
      }
    }
  }

  async #send(id: string): Promise<boolean> {
    const sentAt = performance.now()
    // The worker writes what was said into its log: so it tells which job is this event's.
    const response = await post(this.#url, mention(id, { event: eventOf(id) })).catch(() => undefined)
    if (!response) this.unanswered += 1
    else if (response.status === 200) {
      this.acknowledged.set(id, response.headers.get('millrace-stored') === 'spool' ? 'spool' : 'queue')
      if (sentAt > this.#faultAt) this.recoveredAt ||= performance.now()
    } else {
      this.refused += 1
      this.slowestRefusalMs = Math.max(this.slowestRefusalMs, Math.round(performance.now() - sentAt))
    }
    await response?.arrayBuffer()
    return response?.status === 200
  }
}

/** A mention with a time of its own, of today, as Slack's have. */
export function eventOf(id: string): object {
  const ts = `${(Date.now() / 1_000).toFixed(3)}000`
  // A bot's: what is proved is the way to the handler, and not what that asks of others.
  return {
    type: 'app_mention',
    bot_id: 'B061F7AUR',
    user: 'U061F7AUR',
    text: `<@U0LAN0Z89> ${id}`,
    ts,
    channel: 'C123ABC456',
    event_ts: ts,
  }
}
