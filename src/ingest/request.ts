/** A request to /hooks, with nothing parsed. */
export type HookRequest = {
  readonly source: string
  /** The header's only value; undefined when it is missing or was sent more than once, which is never right. */
  readonly header: (name: string) => string | undefined
  /** How often the header was sent. */
  readonly count: (name: string) => number
  readonly body: Buffer
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** What goes back. Undefined headers are left out. */
export type HookReply = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** For the metrics: stored, duplicate, quarantined, handshake, refused. */
  readonly outcome: string
}

/** What a genuine request turned out to be. */
export type Parsed =
  /** Something happened. */
  | {
      readonly kind: 'event'
      readonly type: string
      readonly id: string
      readonly tenant: string | undefined
      readonly json: string
      readonly payload: unknown
    }
  /** To be answered here and now, and not stored. */
  | { readonly kind: 'answer'; readonly contentType: string; readonly body: string }
  /** Genuine, but not something that can be understood: it is kept as it is. */
  | { readonly kind: 'unreadable'; readonly id: string; readonly reason: string }

/** One provider's rules. All of them are in the provider's one file; everything here is pure. */
export type Provider = {
  /** How long the provider may send the same event again, in milliseconds. */
  readonly dedupeWindowMs: number
  /** 200 with an empty body, where a body would be shown to a person; otherwise 202 with JSON. */
  readonly isSilent: boolean
  /** Answers a request that by the provider's rules carries no signature; undefined for every other request. */
  readonly unsigned?: (request: HookRequest) => Parsed | undefined
  /** Seconds that the sender's clock is behind ours when the request is genuine, otherwise undefined. Constant time. */
  readonly verify: (request: HookRequest, secrets: readonly SecretKey[]) => number | undefined
  readonly parse: (request: HookRequest) => Parsed
}

export type SecretKey = import('node:crypto').KeyObject
