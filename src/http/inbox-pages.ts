import { z } from 'zod'
import type { InboxEvent, InboxOutcome } from '../jobs/inbox-find.ts'
import type { Caller } from './auth.ts'
import { banner } from './dashboard-pages.ts'
import { type Html, html, page, shortTime } from './page.ts'
import { whyPath } from './why-pages.ts'

/** What the queue `quarantine` keeps of an event, as far as the page shows it. */
const quarantined = z.object({ reason: z.string(), body: z.string() })

export type Shown = { readonly event: InboxEvent; readonly outcomes: readonly InboxOutcome[] }

/** What the form asks for, by the names of the API's query. */
export type InboxQuery = { readonly [name in (typeof fields)[number][0]]?: string | undefined }

const fields = [
  ['event', 'Event id'],
  ['source', 'Source'],
  ['type', 'Type (message.*)'],
  ['tenant', 'Tenant'],
  ['queue', 'Queue'],
] as const

export function inboxPage({
  found,
  query,
  next,
  caller,
}: {
  found: readonly Shown[]
  query: InboxQuery
  /** Where the next page begins; undefined on the last. */
  next: string | undefined
  caller: Caller
}): string {
  const more = new URLSearchParams({ cursor: next ?? '' })
  for (const [name, value] of Object.entries(query)) if (value) more.set(name, value)
  return page(
    'Inbox',
    html`${banner(caller, '/dashboard/inbox')}
<main>
<section><h1>Inbox</h1>
<p class="soft">Every accepted event, newest first, for as long as INBOX_RETENTION and INBOX_LIMIT keep it.</p>
<form class="filter" method="get" action="/dashboard/inbox">
${fields.map(([name, label]) => html`<label>${label} <input name="${name}" value="${query[name] ?? ''}"></label>`)}
<button>Find</button>
</form></section>
<section>${found.length > 0 ? table(found) : html`<p>No such events.</p>`}
${next === undefined ? html`` : html`<p><a href="/dashboard/inbox?${more.toString()}">Older</a></p>`}</section>
</main>`,
  )
}

function table(found: readonly Shown[]): Html {
  return html`<table class="stack">
<thead><tr><th>Event</th><th>Source</th><th>Type</th><th>Tenant</th><th>Stored (UTC)</th><th>Outcome</th></tr></thead>
<tbody>${found.map(
    ({ event, outcomes }) => html`<tr>
<td data-label="Event"><a href="/dashboard/inbox/${encodeURIComponent(event.event)}">${event.event}</a></td>
<td data-label="Source">${event.source}</td><td data-label="Type">${event.type}</td><td data-label="Tenant">${event.tenant ?? '–'}</td><td data-label="Stored">${shortTime(event.storedAt)}</td><td data-label="Outcome">${outcomes.map(outcome)}</td>
</tr>`,
  )}</tbody>
</table>`
}

export function eventPage({ event, outcomes }: Shown, caller: Caller): string {
  const { source, type, tenant, receivedAt, storedAt, isReadable, data } = event
  const held = isReadable || data === null ? undefined : quarantined.safeParse(JSON.parse(data)).data
  const raw = event.raw ?? (held ? Buffer.from(held.body, 'base64') : null)
  return page(
    event.event,
    html`${banner(caller, '/dashboard/inbox')}
<main>
<section><h1>${event.event}</h1>
<dl><dt>Source</dt><dd>${source}</dd><dt>Type</dt><dd>${isReadable ? type : html`not understood; in quarantine${held ? html`: ${held.reason}` : html``}`}</dd>
<dt>Tenant</dt><dd>${tenant ?? '–'}</dd><dt>Received</dt><dd>${receivedAt}</dd><dt>Stored</dt><dd>${storedAt}</dd>
<dt>Outcome</dt><dd>${outcomes.map(outcome)}</dd></dl>
<p class="soft">${isReadable ? html`Again: npm run cli -- replay ${event.event}` : html`It can be looked at, but not replayed: no queue’s jobs can be made of it.`}</p></section>
<section><h2>Payload</h2><pre>${data === null ? 'too large for the inbox; its job shows it' : JSON.stringify(JSON.parse(data), null, 2)}</pre></section>
${raw ? html`<section><h2>As it came</h2><pre>${raw.toString()}</pre></section>` : html``}
</main>`,
  )
}

function outcome({ queue, job, state }: InboxOutcome): Html {
  const tone =
    state === 'dead' || state === 'absent' ? 'fail' : state === 'completed' || state === 'removed' ? 'ok' : ''
  const isKept = job !== null && state !== 'removed'
  const name = isKept
    ? html`<a href="/dashboard/queues/queue/${encodeURIComponent(queue)}/${encodeURIComponent(job)}">${queue}</a>`
    : html`${queue}`
  const why = isKept && state !== 'completed' ? html` <a href="${whyPath(queue, job)}">why</a>` : html``
  return html`<div>${name} <span class="${tone}">${state}</span>${why}</div>`
}
