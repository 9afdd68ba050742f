import type { HookRequest, Parsed } from './request.ts'
import type { Source } from './sources.ts'

/**
 * A genuine request, with everything that routing and storing need: the form in which it waits on disk while the store
 * is away. What its source's configuration said when it came is part of it; the source may be gone by then.
 */
export type Accepted = {
  readonly source: string
  readonly sourceType: string
  readonly dedupeWindowMs: number
  readonly keepRaw: boolean
  readonly id: string
  readonly alias?: string | undefined
  readonly tenant: string | undefined
  readonly contentType: string | undefined
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  /** Undefined when it could not be understood. */
  readonly type: string | undefined
  /** Why it could not. */
  readonly reason: string | undefined
  /** The payload as it will be stored; undefined when it could not be understood. */
  readonly json: string | undefined
  readonly payload: unknown
  /** The request's body. */
  readonly body: Buffer
}

export function accept(
  source: Source,
  request: HookRequest,
  parsed: Exclude<Parsed, { kind: 'answer' }>,
  tenantOfTeam: (team: string) => string = (team) => team,
): Accepted {
  const isEvent = parsed.kind === 'event'
  return {
    source: source.name,
    sourceType: source.type,
    dedupeWindowMs: source.provider.dedupeWindowMs,
    keepRaw: source.keepRaw === true,
    id: parsed.id,
    ...(isEvent && parsed.alias !== undefined ? { alias: parsed.alias } : {}),
    tenant: source.tenant ?? tenantOf(source, isEvent ? parsed.tenant : undefined, tenantOfTeam),
    contentType: request.header('content-type'),
    receivedAt: request.now,
    type: isEvent ? parsed.type : undefined,
    reason: isEvent ? undefined : parsed.reason,
    json: isEvent ? parsed.json : undefined,
    payload: isEvent ? parsed.payload : undefined,
    body: request.body,
  }
}

/** What Slack names is a team; a team may belong to an organization. */
function tenantOf({ type }: Source, named: string | undefined, ofTeam: (team: string) => string): string | undefined {
  return named !== undefined && type === 'slack' ? ofTeam(named) : named
}

const lengthBytes = 4

/** Length and JSON of the small fields, length and bytes of the payload's text, then the body where it is another. */
export function pack({ json, payload: _payload, body, ...fields }: Accepted): Buffer {
  const text = json === undefined ? undefined : Buffer.from(json)
  const isSame = text?.equals(body) === true
  const head = Buffer.from(JSON.stringify({ ...fields, hasJson: text !== undefined, isSame, size: body.length }))
  const lengths = Buffer.alloc(2 * lengthBytes)
  lengths.writeUInt32BE(head.length, 0)
  lengths.writeUInt32BE(text?.length ?? 0, lengthBytes)
  return Buffer.concat([lengths, head, text ?? Buffer.alloc(0), isSame ? Buffer.alloc(0) : body])
}

/** The opposite of {@link pack}. Throws when the bytes are not its work. */
export function unpack(record: Buffer): Accepted {
  const headEnd = 2 * lengthBytes + record.readUInt32BE(0)
  const textEnd = headEnd + record.readUInt32BE(lengthBytes)
  const { hasJson, isSame, size, ...fields } = JSON.parse(record.toString('utf8', 2 * lengthBytes, headEnd)) as Omit<
    Accepted,
    'json' | 'payload' | 'body'
  > & { hasJson: boolean; isSame: boolean; size: number }
  const text = record.subarray(headEnd, textEnd)
  if (record.length !== textEnd + (isSame ? 0 : size)) throw new Error('the record is cut off, or too long')
  const json = hasJson ? text.toString('utf8') : undefined
  return {
    ...fields,
    json,
    payload: json === undefined ? undefined : JSON.parse(json),
    body: isSame ? text : record.subarray(textEnd),
  }
}
