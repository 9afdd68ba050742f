import type { KeyObject } from 'node:crypto'

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
      /** A second id, where a provider may send the same thing under another first one. */
      readonly alias?: string | undefined
      readonly tenant: string | undefined
      readonly json: string
      readonly payload: unknown
    }
  /** To be answered here and now, and not stored. */
  | { readonly kind: 'answer'; readonly contentType: string; readonly body: string }
  /** Genuine, but not something that can be understood: it is kept as it is. */
  | { readonly kind: 'unreadable'; readonly id: string; readonly reason: string }

/** What a request is signed as. */
export type Signing = {
  readonly key: KeyObject
  /** Goes into a header where the provider has it there. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly now: number
  /** As routing sees it, e.g. `pull_request.opened`. */
  readonly type: string
}

/** One provider's rules. All of them are in the provider's one file; everything here is pure. */
export type Provider = {
  /** How long the provider may send the same event again, in milliseconds. */
  readonly dedupeWindowMs: number
  /** 200 with an empty body, where a body would be shown to a person; otherwise 202 with JSON. */
  readonly isSilent: boolean
  /** Whether an event over the quota is taken all the same, because the provider would count a 429 as our failure. */
  readonly isNeverRefused: boolean
  /** Largest body in bytes that the provider sends; BODY_LIMIT when undefined. */
  readonly limit?: number
  /** The key behind a configured secret. Throws an Error with what it must be, without the secret. */
  readonly prepare: (secret: string) => KeyObject
  /** Answers a request that by the provider's rules carries no signature; undefined for every other request. */
  readonly unsigned?: (request: HookRequest) => Parsed | undefined
  /** Seconds that the sender's clock is behind ours when the request is genuine, otherwise undefined. Constant time. */
  readonly verify: (request: HookRequest, keys: readonly KeyObject[]) => number | undefined
  readonly parse: (request: HookRequest) => Parsed
  /** Headers of a genuine request: for trying things out, and for tests. */
  readonly sign: (body: Buffer, signing: Signing) => Record<string, string>
}
