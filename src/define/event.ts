/** An outside event that was proved genuine, in the shape that routing and the queues see. */
export type SourceEvent = {
  /** Unique within the source and safe in a header and a key: the provider's own id, or a hash of what identifies it. */
  readonly id: string
  /** A second id under which the provider may send the same thing again. */
  readonly alias?: string | undefined
  /** The source's name, e.g. `slack`. */
  readonly source: string
  /** The source's type, e.g. `slack`. */
  readonly sourceType: string
  /** What happened, e.g. `app_mention`, `message.channel_join`, `command.deploy`. */
  readonly type: string
  /** Whose event it is, e.g. the Slack team. */
  readonly tenant: string | undefined
  /** The payload as JSON text, exactly as it will be stored. */
  readonly json: string
  /** The same, parsed. */
  readonly payload: unknown
}

/** What the inbox keeps of an accepted event beside the event itself. */
export type InboxEntry = {
  /** Where it went. */
  readonly queues: readonly string[]
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  /** The event's payload, where it is not that of its first job. */
  readonly json?: string | undefined
  /** Whether it was understood, so that it can be routed again. */
  readonly isReadable: boolean
  /** The body as it came, where the source keeps it. */
  readonly raw?: Buffer | undefined
  readonly contentType?: string | undefined
}

/** What storing an event needs to know beside it. */
export type EventOptions = {
  /** How long the same event is taken for a repetition, in milliseconds. */
  readonly windowMs: number
  /** Of the one job that also enters the event into the inbox. */
  readonly inbox?: InboxEntry | undefined
  /** It was acknowledged, or may not be refused: only a store that is full may. */
  readonly isPromised?: boolean | undefined
}
