import { type ErrorCode, errorTable, MillraceError } from '../errors.ts'

export type Problem = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Any error as application/problem+json (RFC 9457). What is not of our table shows nothing of itself. */
export function problemOf(
  thrown: unknown,
  more: { requestId?: string; headers?: Record<string, string> } = {},
): Problem {
  const error = thrown instanceof MillraceError ? thrown : fromLibrary(thrown)
  const { title, status, todo } = errorTable[error.code]
  return {
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      // RFC 9110 wants a 401 to name a scheme.
      ...(status === 401 ? { 'WWW-Authenticate': error.code === 'unauthorized' ? 'Bearer' : 'Signature' } : {}),
      ...(error.retryAfter === undefined && status !== 503 ? {} : { 'Retry-After': String(error.retryAfter ?? 2) }),
      ...error.headers,
      ...more.headers,
    },
    body: JSON.stringify({
      type: `https://millrace.invalid/errors#${error.code}`,
      title,
      status,
      code: error.code,
      ...(error.message === title ? {} : { detail: error.message }),
      todo,
      ...(error.fields.length > 0 ? { errors: error.fields } : {}),
      ...(more.requestId === undefined ? {} : { instance: `urn:millrace:request:${more.requestId}` }),
    }),
  }
}

/** Errors of body-parser and of Express' router carry a status; everything else is ours to mend. */
function fromLibrary(thrown: unknown): MillraceError {
  const { type, status } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    type?: unknown
    status?: unknown
  }
  const known: Record<string, ErrorCode> = {
    'entity.too.large': 'too-large',
    'entity.parse.failed': 'not-json',
    'encoding.unsupported': 'content-encoding',
    'charset.unsupported': 'not-json',
    'request.aborted': 'bad-request',
    'request.size.invalid': 'bad-request',
  }
  if (typeof type === 'string' && known[type]) return new MillraceError(known[type])
  if (isStoreFault(thrown))
    return new MillraceError('store-unavailable', 'the store does not answer', { cause: thrown, retryAfter: 2 })
  if (status === 400) return new MillraceError('bad-request', 'the path cannot be decoded')
  return new MillraceError('internal', undefined, { cause: thrown })
}

/** What ioredis and Redis throw when the store is away, hangs, loads, or refuses writes: no fault of ours. */
function isStoreFault(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  return (
    thrown.name === 'MaxRetriesPerRequestError' ||
    /^(Connection is closed|Stream isn't writeable|Command timed out|LOADING|OOM|MISCONF|READONLY|NOREPLICAS|connect E)/.test(
      thrown.message,
    )
  )
}
