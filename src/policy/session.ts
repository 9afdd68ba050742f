import type { Message, Session, SessionChange, ToolRun } from '../define/services.ts'

/* What a conversation becomes by a change, and how much of it is kept. Pure; the time is an argument. */

/** As much as a model, or a person who reads up, makes use of. */
export const maxMessages = 50
export const maxToolRuns = 20
/** Slack cuts a message at 40,000 characters, and hardly anybody writes a tenth of it; a pasted log is not a conversation. */
export const maxTextBytes = 16 * 1024
/** A note is a word on how it went. */
export const maxNoteBytes = 1024
const maxToolBytes = 128
/** "Anything small": state, not documents. */
export const maxDataBytes = 64 * 1024
/** Five times a usual one (50 messages of 1 KB). It is read and written whole with each message. */
export const maxSessionBytes = 256 * 1024

const roles: readonly unknown[] = ['user', 'assistant', 'system']

/** A session before its first change. */
export function emptySession(id: string, tenant: string, user: string | undefined, now: number): Session {
  return { id, tenant, user, messages: [], toolRuns: [], data: {}, version: 0, createdAt: now, lastActivityAt: now }
}

/**
 * The session after the change. Texts that are too long are cut, with a mark; what is too much goes, oldest first. Throws a
 * TypeError for what no session can hold, and a RangeError when `data` is too large, because nobody can say which half matters.
 */
export function changedSession(
  session: Session,
  change: SessionChange,
  { now, user }: { now: number; user?: string | undefined },
): Session {
  if (typeof change !== 'object' || change === null || 'then' in change)
    throw new TypeError('what changes a session must give the change at once, as an object: ask others before update()')
  const added = listOf<Omit<Message, 'at'>>(change.messages, 'messages').map((one) => messageOf(one, now))
  const runs = listOf<Omit<ToolRun, 'at'>>(change.toolRuns, 'toolRuns').map((one) => toolRunOf(one, now))
  return fitted({
    ...session,
    user: session.user ?? user,
    messages: [...session.messages, ...added].slice(-maxMessages),
    toolRuns: [...session.toolRuns, ...runs].slice(-maxToolRuns),
    data: dataOf(session.data, change.data),
    version: session.version + 1,
    // A clock that was set back must not make it look older than it is.
    lastActivityAt: Math.max(now, session.lastActivityAt),
  })
}

function messageOf(given: Omit<Message, 'at'>, at: number): Message {
  if (!roles.includes(given?.role) || typeof given.text !== 'string')
    throw new TypeError('a message has a role (user, assistant or system) and a text')
  return { role: given.role, text: cut(given.text, maxTextBytes), at }
}

function toolRunOf(given: Omit<ToolRun, 'at'>, at: number): ToolRun {
  if (typeof given?.tool !== 'string' || typeof given.ok !== 'boolean' || !Number.isFinite(given.ms))
    throw new TypeError('a tool run has a tool (its name), ok (true or false) and ms (a number)')
  const { tool, ok, ms, note } = given
  return {
    tool: cut(tool, maxToolBytes),
    ok,
    ms,
    at,
    ...(note === undefined ? {} : { note: cut(String(note), maxNoteBytes) }),
  }
}

/** As it will be after storing: through JSON, where undefined takes a field away. */
function dataOf(before: Session['data'], more: SessionChange['data']): Session['data'] {
  if (more === undefined) return before
  if (typeof more !== 'object' || more === null || Array.isArray(more))
    throw new TypeError("a session's data is an object")
  const json = JSON.stringify({ ...before, ...more })
  const bytes = Buffer.byteLength(json)
  if (bytes > maxDataBytes)
    throw new RangeError(`a session's data may have ${maxDataBytes} bytes as JSON; this has ${bytes}`)
  return JSON.parse(json) as Session['data']
}

/** Without its oldest messages, until it is small enough. */
function fitted(session: Session): Session {
  let excess = Buffer.byteLength(JSON.stringify(session)) - maxSessionBytes
  let from = 0
  for (; excess > 0 && from < session.messages.length; from += 1)
    excess -= Buffer.byteLength(JSON.stringify(session.messages[from])) + 1
  return from === 0 ? session : { ...session, messages: session.messages.slice(from) }
}

/** By bytes, at the border of a character. */
function cut(text: string, bytes: number): string {
  const size = Buffer.byteLength(text)
  if (size <= bytes) return text
  const mark = ` […${size - bytes} bytes and a little more were cut]`
  const head = Buffer.from(text).subarray(0, bytes - Buffer.byteLength(mark))
  // Half a character decodes to U+FFFD, at most one.
  return head.toString('utf8').replace(/\uFFFD$/, '') + mark
}

function listOf<T>(given: readonly T[] | undefined, name: string): readonly T[] {
  if (given !== undefined && !Array.isArray(given)) throw new TypeError(`${name} is a list`)
  return given ?? []
}
