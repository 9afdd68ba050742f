import type { InboxEvent, InboxOutcome } from '../jobs/inbox-find.ts'
import type { Caller } from './auth.ts'
import { banner } from './dashboard-pages.ts'
import { type Html, html, page } from './page.ts'

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
    html`${banner(caller)}
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
  return html`<table>
<thead><tr><th>Event</th><th>Source</th><th>Type</th><th>Tenant</th><th>Stored</th><th>Outcome</th></tr></thead>
<tbody>${found.map(
    ({ event, outcomes }) => html`<tr>
<td><a href="/dashboard/inbox/${encodeURIComponent(event.event)}">${event.event}</a></td>
<td>${event.source}</td><td>${event.type}</td><td>${event.tenant ?? '–'}</td><td>${event.storedAt}</td><td>${outcomes.map(outcome)}</td>
</tr>`,
  )}</tbody>
</table>`
}

export function eventPage({ event, outcomes }: Shown, caller: Caller): string {
  const { source, type, tenant, receivedAt, storedAt, isReadable, raw, data } = event
  return page(
    event.event,
    html`${banner(caller)}
<main>
<section><h1>${event.event}</h1>
<dl><dt>Source</dt><dd>${source}</dd><dt>Type</dt><dd>${isReadable ? type : 'not understood; in quarantine'}</dd>
<dt>Tenant</dt><dd>${tenant ?? '–'}</dd><dt>Received</dt><dd>${receivedAt}</dd><dt>Stored</dt><dd>${storedAt}</dd>
<dt>Outcome</dt><dd>${outcomes.map(outcome)}</dd></dl>
<p class="soft">Again: npm run cli -- replay ${event.event}</p></section>
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
  return html`<div>${name} <span class="${tone}">${state}</span></div>`
}
