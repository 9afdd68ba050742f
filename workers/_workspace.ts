import { z } from 'zod'
import type { Provider } from './_provider.ts'
import type { Read, Write } from './_tools.ts'

/* Slack's Web API as the assistant's tools use it (https://docs.slack.dev/apis/web-api). */

export const slack: Provider = {
  name: 'slack',
  title: 'Slack',
  secret: 'SLACK_BOT_TOKEN',
  url: ({ SLACK_API_URL }) => SLACK_API_URL,
  headers: (token) => ({ Authorization: `Bearer ${token}` }),
  refusal: (body) => {
    const { ok, error = 'unknown_error' } = answer.safeParse(body).data ?? { ok: true }
    if (ok) return undefined
    if (error === 'ratelimited' || error === 'rate_limited') return 'rate-limited'
    // With these Slack says of itself that part of it may have been done.
    return ['fatal_error', 'internal_error', 'service_unavailable', 'request_timeout'].includes(error) ? 'fault' : error
  },
}

const answer = z.looseObject({ ok: z.boolean(), error: z.string().optional() })
/** What a message of ours carries for us alone: by it we know it again. */
const eventType = 'millrace_reply'

export type Channel = { readonly id: string; readonly name: string }
export type Reply = {
  readonly channel: string
  readonly thread: string
  /** The time of the question, by which Slack calls it. */
  readonly after: string
  readonly text: string
  readonly job: string
}

export const getChannels: Read<object, Channel[]> = {
  name: 'slack__getChannels',
  kind: 'read',
  provider: slack,
  run: async (_args, ask) => {
    const path = '/conversations.list?types=public_channel&exclude_archived=true&limit=200'
    const channel = z.object({ id: z.string(), name: z.string() })
    return z.looseObject({ channels: z.array(channel) }).parse(await ask({ path, method: 'GET' })).channels
  },
}

/** Says it in the thread; the time by which Slack calls the message. */
export const postMessage: Write<Reply, string> = {
  name: 'slack__postMessage',
  kind: 'write',
  provider: slack,
  // No message makes another list of channels.
  changesReads: false,
  run: async ({ channel, thread, text, job }, ask) => {
    const metadata = { event_type: eventType, event_payload: { job } }
    const body = { channel, thread_ts: thread, text, unfurl_links: false, metadata }
    return z.looseObject({ ts: z.string() }).parse(await ask({ path: '/chat.postMessage', body })).ts
  },
  // chat.postMessage promises nothing about a message that is posted twice; so the thread is asked whether it is there.
  find: async ({ channel, thread, after, job }, ask) => {
    const query = new URLSearchParams({
      channel,
      ts: thread,
      oldest: after,
      include_all_metadata: 'true',
      limit: '200',
    })
    const message = z.looseObject({
      ts: z.string(),
      metadata: z.looseObject({ event_type: z.string(), event_payload: z.looseObject({}) }).optional(),
    })
    const thereIs = await ask({ path: `/conversations.replies?${query}`, method: 'GET' })
    const { messages } = z.looseObject({ messages: z.array(message) }).parse(thereIs)
    return messages.find(({ metadata }) => metadata?.event_type === eventType && metadata.event_payload.job === job)?.ts
  },
}
