import type { Log, Outcome } from '../src/index.ts'
import { escapeForSlack, type SlackSettings, sayInSlack } from './_slack.ts'

/** What is to be said about an event, in one line. */
export type Summary = { readonly text: string; readonly url: string }

/** The summary with whether anybody was told; or what is to become of the job, because Slack could not take it. */
export async function notify<S extends Summary>(
  channel: string | undefined,
  summary: S,
  { settings, log, signal }: { settings: SlackSettings; log: Log; signal: AbortSignal },
): Promise<Outcome | (S & { notified: boolean })> {
  log.info({ ...summary }, summary.text)
  if (!channel || !settings.SLACK_BOT_TOKEN) return { ...summary, notified: false }
  // An address with one of the four could end the link early; none that we are sent has any.
  const link = /^https:\/\/[^\s<>|]+$/.test(summary.url) ? ` (<${summary.url.replace(/&/g, '&amp;')}|open>)` : ''
  const message = { channel, text: escapeForSlack(summary.text) + link, unfurl_links: false }
  return (await sayInSlack(settings, message, signal)) ?? { ...summary, notified: true }
}

/** Somebody else's words, on one line and not too long a one. */
export function oneLine(text: string, most = 120): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ').trim()
  // By code points: half of an emoji is no text.
  const points = [...line]
  return points.length > most ? `${points.slice(0, most - 1).join('')}…` : line
}
