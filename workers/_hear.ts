/** A question that the assistant is to answer, and where. */
export type Question = {
  readonly channel: string
  /** The thread's first message; of a question that begins one, the question itself. */
  readonly thread: string
  /** The question itself. */
  readonly ts: string
  readonly user: string | undefined
  /** As it was typed, without the mention of the assistant. */
  readonly text: string
}

/**
 * Mentions anywhere and messages in direct conversations. Messages of bots are left alone, our own among them, or two
 * bots would talk for ever; so are edits and joins, which carry a subtype.
 */
export function hear(event: Readonly<Record<string, unknown>>): Question | undefined {
  const { type, channel, ts, thread_ts: thread, user, text } = event
  const isDirect = type === 'message' && event.channel_type === 'im'
  if (type !== 'app_mention' && !isDirect) return undefined
  if (event.bot_id !== undefined || event.subtype !== undefined) return undefined
  const first = thread ?? ts
  const time = /^\d{1,20}\.\d{1,20}$/
  // They become parts of keys and topics: what is not as Slack makes them is nobody's question.
  if (!isMatch(channel, /^\w{1,64}$/) || !isMatch(first, time) || !isMatch(ts, time)) return undefined
  return {
    channel,
    thread: first,
    ts,
    user: isMatch(user, /^\w{1,64}$/) ? user : undefined,
    text: plain(typeof text === 'string' ? text : ''),
  }
}

function isMatch(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value)
}

/**
 * Slack's marks as people see them: `<#C1|general>` → `#general`, `<!channel>` → `@channel`, `&lt;` → `<`. Said again without
 * this, somebody's `<!channel>` would call the channel together in our name.
 */
function plain(text: string): string {
  return text
    .replace(/<@[\w|.-]+>/g, '')
    .replace(/<([#!@]?)([^|<>]*)(?:\|([^<>]*))?>/g, (_all, mark: string, what: string, shown?: string) => {
      return (mark === '!' ? '@' : mark) + (shown ?? what)
    })
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&amp;/g, '&')
    .trim()
}
