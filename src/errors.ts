/**
 * The table of everything Millrace refuses: code → HTTP status, what happened, what to do.
 * `docs/errors.md` lists exactly these codes, and a test holds the two together.
 */
export const errorTable = {
  // — the edge and the API
  'unknown-source': { status: 404, title: 'No such source', todo: 'Check the last part of the URL against SOURCES.' },
  'method-not-allowed': { status: 405, title: 'Method not allowed', todo: 'Use the method named in the Allow header.' },
  'not-authentic': {
    status: 401,
    title: 'Signature or timestamp refused',
    todo: "Sign the exact bytes with the source's current secret, and check the sender's clock.",
  },
  'too-large': { status: 413, title: 'Body too large', todo: 'Send less, or raise BODY_LIMIT.' },
  'content-encoding': { status: 415, title: 'Content-Encoding not accepted', todo: 'Send the body uncompressed.' },
  'not-json': {
    status: 400,
    title: 'Body is not JSON',
    todo: 'Send JSON in UTF-8 with Content-Type application/json.',
  },
  'bad-request': { status: 400, title: 'Malformed request', todo: 'Correct the request as the detail says.' },
  'malformed-request': { status: 400, title: 'Not valid HTTP', todo: 'Send a request as RFC 9112 has it.' },
  'request-timeout': { status: 408, title: 'Request took too long', todo: 'Send headers and body without pauses.' },
  'headers-too-large': { status: 431, title: 'Headers too large', todo: 'Send less than 16 kB of headers.' },
  'store-unavailable': {
    status: 503,
    title: 'Store unavailable',
    todo: 'Send it again after Retry-After seconds. Nothing was acknowledged.',
  },
  shed: { status: 503, title: 'Refused to keep room for others', todo: 'Send it again after Retry-After seconds.' },
  overloaded: { status: 503, title: 'Too much at once', todo: 'Send it again after Retry-After seconds.' },
  'over-quota': { status: 429, title: 'Over the quota', todo: 'Send it again after Retry-After seconds.' },
  'spool-unavailable': {
    status: 503,
    title: 'The local spool cannot take it',
    todo: 'Send it again after Retry-After seconds. The operator: make room on the disk, or raise the limit of the spool.',
  },
  unauthorized: { status: 401, title: 'No valid API key', todo: 'Send Authorization: Bearer <key>.' },
  forbidden: { status: 403, title: 'Not allowed', todo: 'Use a key with the role that the detail names.' },
  'cross-origin': {
    status: 403,
    title: 'Change from another origin refused',
    todo: 'Send the change from a page of this server, or use an API key.',
  },
  'too-many-attempts': { status: 429, title: 'Too many sign-in attempts', todo: 'Wait for Retry-After seconds.' },
  'not-found': { status: 404, title: 'Not found', todo: 'Check the path.' },
  'unknown-queue': { status: 404, title: 'No such queue', todo: 'GET /api/queues lists the queues.' },
  'unknown-job': { status: 404, title: 'No such job', todo: 'It may have been removed by the queue’s keep policy.' },
  'unknown-redrive': {
    status: 404,
    title: 'No such redrive',
    todo: 'Ask for a new preview: a token that is not used within 10 minutes is forgotten, and it is good only for the key it was given to.',
  },
  'breaker-open': {
    status: 503,
    title: 'Breaker open',
    todo: 'Wait: what is called has failed again and again, and is tried again within a minute.',
  },
  'wrong-state': {
    status: 409,
    title: 'The job’s state does not allow it',
    todo: 'The detail says which state it is in, and what can be done.',
  },
  'unknown-event': {
    status: 404,
    title: 'No such event',
    todo: 'It may be older than INBOX_RETENTION, or beyond INBOX_LIMIT.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency-Key used for another payload',
    todo: 'Use a key of its own for each job, and the same one only to repeat it.',
  },
  'invalid-payload': {
    status: 422,
    title: 'Payload does not fit the queue’s schema',
    todo: 'Correct the fields that errors[] names.',
  },
  'invalid-message': {
    status: 422,
    title: 'Message cannot be published',
    todo: 'Correct topic or data as the detail says.',
  },

  // — in code: what waitFor() throws
  'job-failed': { status: 500, title: 'The job is dead', todo: 'Mend what the detail names, then retry the job.' },
  'wait-timeout': {
    status: 504,
    title: 'The job has not ended in time',
    todo: 'Wait longer, or look at it later: it goes on all the same.',
  },

  // — in code: what the services of a handler throw
  'never-cached': {
    status: 500,
    title: 'Not to be cached',
    todo: 'Ask where the truth is, each time: docs/cache.md lists the namespaces that are refused, and why.',
  },
  'database-unavailable': {
    status: 503,
    title: 'The database does not answer',
    todo: 'Correct DATABASE_URL, or start the database; a job that failed because of it is retried.',
  },
  'session-contended': {
    status: 503,
    title: 'The session was changed by others all the time',
    todo: 'Try it again; many jobs of one session belong in one order (docs/fairness.md).',
  },
  'secret-unavailable': {
    status: 500,
    title: 'The secret is not where the organization has it',
    todo: 'Set the variable, or mend the file, that the detail names.',
  },

  internal: { status: 500, title: 'Internal error', todo: 'Search the logs for the request id.' },

  // — the boot; the status is what an operator would see if it were served
  'invalid-setting': { status: 500, title: 'Wrong setting', todo: 'Correct the variable that is named.' },
  'invalid-definition': { status: 500, title: 'Wrong definition', todo: 'Correct the file that is named.' },
  'port-in-use': { status: 500, title: 'Port in use', todo: 'Stop the other process, or set PORT to another or to 0.' },
  'store-unreachable': {
    status: 500,
    title: 'Redis cannot be reached',
    todo: 'Start it, or correct REDIS_URL or, for the cache store, CACHE_REDIS_URL.',
  },
  'store-refused': {
    status: 500,
    title: 'Redis refused the credentials',
    todo: 'Correct REDIS_USERNAME and REDIS_PASSWORD.',
  },
  'store-too-old': { status: 500, title: 'Redis too old', todo: 'Use Redis 6.2 or newer.' },
  'store-evicts': {
    status: 500,
    title: 'The queue store may evict jobs',
    todo: 'redis-cli CONFIG SET maxmemory-policy noeviction',
  },
  'store-not-durable': {
    status: 500,
    title: 'The queue store cannot keep the promised durability',
    todo: 'Change DURABILITY, or the server.',
  },
  'store-not-started': {
    status: 500,
    title: 'The managed Redis did not start',
    todo: 'Read the log that is named, or set REDIS_URL to a Redis of your own.',
  },
} as const satisfies Record<string, { status: number; title: string; todo: string }>

export type ErrorCode = keyof typeof errorTable

/** One wrong field of a payload: where it is and what is wrong with it. */
export type FieldError = { path: string; message: string }

/**
 * An error from the table. `message` says what happened with the offending value; `todo` what to do about it.
 * Anything else that is thrown is a bug or a fault of something outside, and is answered as `internal`.
 */
export class MillraceError extends Error {
  readonly code: ErrorCode
  /** Seconds until another try makes sense; sent as Retry-After. */
  readonly retryAfter: number | undefined
  readonly fields: readonly FieldError[]
  /** More headers of the answer. */
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ErrorCode,
    detail?: string,
    more: { cause?: unknown; retryAfter?: number; fields?: FieldError[]; headers?: Record<string, string> } = {},
  ) {
    super(detail ?? errorTable[code].title, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'MillraceError'
    this.code = code
    this.retryAfter = more.retryAfter
    this.fields = more.fields ?? []
    this.headers = more.headers ?? {}
  }

  get status(): number {
    return errorTable[this.code].status
  }

  get todo(): string {
    return errorTable[this.code].todo
  }
}

/** The text of anything that was thrown, for one line of output. */
export function messageOf(thrown: unknown): string {
  // A name with two addresses that both refuse comes as this; its own message is empty.
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return thrown.errors.map(messageOf).join('; ')
  if (thrown instanceof Error) return thrown.message || thrown.name
  try {
    return String(thrown)
  } catch {
    return 'something that has no text' // Object.create(null)
  }
}
