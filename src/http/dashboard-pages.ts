import { formatDuration } from '../define/duration.ts'
import type { QueueSummary } from '../jobs/inspect.ts'
import { boundsOf, warningsOf } from '../jobs/notes.ts'
import { type ScheduleSummary, whenOf } from '../jobs/schedules.ts'
import type { Check } from '../observe/check.ts'
import type { Caller } from './auth.ts'
import { type Html, html, page, shortTime } from './page.ts'

const refreshSeconds = 5
/** Every page takes seconds while the store hangs, and a refresh in between would call back who has just left for another. */
const hangingRefreshSeconds = 20

export function signInPage({ to, wrong = false }: { to: string; wrong?: boolean }): string {
  return page(
    'Sign in',
    html`<main class="sign-in"><section>
<h1>Millrace</h1>
<p class="soft">Sign in with an API key. Without API_KEYS there is one in DATA_DIR, in the file admin-key.</p>
<form method="post" action="/dashboard/sign-in">
<input type="hidden" name="to" value="${to}">
<label>API key <input type="password" name="key" autocomplete="current-password" required autofocus></label>
${wrong ? html`<p class="fail" role="alert">This key is not known.</p>` : html``}
<button>Sign in</button>
</form>
</section></main>`,
  )
}

type QueueOverview = QueueSummary & { readonly schedules: readonly ScheduleSummary[] }

export function overviewPage({
  queues,
  checks,
  caller,
}: {
  queues: readonly QueueOverview[] | undefined
  checks: readonly Check[]
  caller: Caller
}): string {
  return page(
    'Overview',
    html`${banner(caller, '/dashboard')}
<main>
<section>${verdict(checks)}</section>
<section><h2>Queues</h2>${queues ? queueTable(queues) : html`<p class="fail">The queue store does not answer.</p>`}</section>
${scheduleSection(queues ?? [])}
<section><h2>Checks of this process</h2>${checkTable(checks)}</section>
</main>`,
    { refreshSeconds: queues ? refreshSeconds : hangingRefreshSeconds },
  )
}

const places = [
  ['/dashboard', 'Overview'],
  ['/dashboard/queues', 'Queues and jobs'],
  ['/dashboard/dead', 'Dead letters'],
  ['/dashboard/inbox', 'Inbox'],
  ['/dashboard/why', 'Why'],
  ['/metrics', 'Metrics'],
  ['/readyz', 'Readiness'],
] as const

/** The head of every page behind the sign-in. */
export function banner({ name, role }: Caller, here: (typeof places)[number][0]): Html {
  const link = ([path, text]: (typeof places)[number]) =>
    path === here ? html`<a href="${path}" aria-current="true">${text}</a>` : html`<a href="${path}">${text}</a>`
  return html`<header>
<strong><a href="/dashboard">Millrace</a></strong>
<nav>${places.map(link)}</nav>
<form method="post" action="/dashboard/sign-out"><span class="soft">${name} (${role})</span> <button class="plain">Sign out</button></form>
</header>`
}

function verdict(checks: readonly Check[]): Html {
  const failed = checks.filter((check) => check.state === 'fail')
  const warned = checks.filter((check) => check.state === 'warn')
  if (failed.length > 0)
    return html`<div class="banner"><h1 class="fail">Not ready</h1> <span>${failed.map((check) => check.name).join(', ')}</span></div>`
  if (warned.length > 0)
    return html`<div class="banner"><h1 class="warn">Ready, with warnings</h1> <span>${warned.map((check) => check.name).join(', ')}</span></div>`
  return html`<div class="banner"><h1 class="ok">Ready</h1> <span class="soft">every check passes</span></div>`
}

function queueTable(queues: readonly QueueOverview[]): Html {
  return html`<table>
<thead><tr><th>Queue</th><th class="n">Dead</th><th class="n">Waiting</th><th class="n">Active</th><th class="n">Delayed</th><th class="n">Completed</th><th class="n">Oldest waiting</th><th class="n">Done / min</th></tr></thead>
<tbody>${queues.map(queueRow)}</tbody>
</table>`
}

function queueRow(queue: QueueSummary): Html {
  const { waiting, active, delayed, completed, failed } = queue.counts
  const oldest = queue.oldestWaitingSeconds > 0 ? formatDuration(queue.oldestWaitingSeconds * 1_000) : '–'
  return html`<tr>
<td><a href="/dashboard/queues/queue/${encodeURIComponent(queue.name)}">${queue.name}</a>${notes(queue)}</td>
${number(failed, 'fail')}${number(waiting)}${number(active)}${number(delayed)}${number(completed)}
<td class="n">${oldest}</td>${number(queue.throughputPerMinute.completed)}
</tr>`
}

/** Below the name, so that a narrow screen shows them first as well. */
function notes(queue: QueueSummary): Html {
  const [warnings, bounds] = [warningsOf(queue), boundsOf(queue)]
  const told = [
    ...warnings.map((warning) => html`<span class="warn">${warning}</span>`),
    ...bounds.map((bound) => html`<span class="soft">${bound}</span>`),
  ]
  return told.length === 0
    ? html``
    : html`<br><small>${told.flatMap((part, i) => (i === 0 ? [part] : [html` · `, part]))}</small>`
}

function scheduleSection(queues: readonly QueueOverview[]): Html {
  const rows = queues.flatMap(({ name, schedules }) => schedules.map((schedule) => ({ name, ...schedule })))
  if (rows.length === 0) return html``
  const time = (text: string | null | undefined) => (text ? shortTime(text) : html`–`)
  return html`<section><h2>Schedules</h2><table class="stack">
<thead><tr><th>Queue</th><th>Schedule</th><th>When</th><th>Next (UTC)</th><th>Last</th></tr></thead>
<tbody>${rows.map((row) => html`<tr><td data-label="Queue">${row.name}</td><td data-label="Schedule">${row.id}</td><td data-label="When">${whenOf(row)}</td><td data-label="Next (UTC)">${time(row.next)}</td><td data-label="Last">${time(row.last)}</td></tr>`)}</tbody>
</table></section>`
}

function number(value: number, tone = ''): Html {
  return html`<td class="n ${value === 0 ? 'zero' : tone}">${value}</td>`
}

function checkTable(checks: readonly Check[]): Html {
  return html`<table><tbody>${checks.map((check) => html`<tr><td>${check.name}</td><td class="state ${check.state}">${check.state}</td><td>${check.detail}</td></tr>`)}</tbody></table>`
}
