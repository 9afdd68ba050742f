import express, { Router } from 'express'
import { z } from 'zod'
import type { Desk } from '../jobs/desk.ts'
import type { DeadGroup, DeadSummary } from '../jobs/groups.ts'
import type { RedriveProgress } from '../jobs/redrive.ts'
import { defaultRate } from '../policy/rate.ts'
import { type Caller, requireRole } from './auth.ts'
import { banner } from './dashboard-pages.ts'
import { type Html, html, page, shortTime } from './page.ts'
import { parse } from './parse.ts'
import { ownerOf } from './redrive.ts'
import { whyPath } from './why-pages.ts'

const pageQuery = z.object({ redrive: z.string().optional() })
const redriveForm = z.object({ queue: z.string(), group: z.string().regex(/^[0-9a-f]{12}$/) })

/** Groups of a queue on the page: the API has them all. */
const mostShown = 50
/** While a redrive runs. */
const refreshSeconds = 5

/** /dashboard/dead: dead letters by cause, with a button that runs a whole group again. */
export function deadPages({ desk, queues }: { desk: Desk; queues: readonly string[] }): Router {
  const router = Router()

  router.get('/', async (request, response) => {
    const { redrive } = parse(pageQuery, request.query)
    const summaries = await Promise.all(queues.map((queue) => desk.dead(queue)))
    const progress = redrive === undefined ? undefined : await desk.progress(redrive)
    response.send(deadPage({ summaries, progress, caller: response.locals.caller as Caller }))
  })

  router.post('/redrive', express.urlencoded({ extended: false, limit: '4kb' }), async (request, response) => {
    const caller = response.locals.caller as Caller
    requireRole(caller, 'operator')
    const { queue, group } = parse(redriveForm, request.body)
    const owner = ownerOf(caller)
    const { token } = await desk.preview(queue, { group }, { owner, ratePerSecond: defaultRate })
    await desk.redrive(token, owner)
    response.redirect(303, `/dashboard/dead?redrive=${token}`)
  })

  return router
}

function deadPage({
  summaries,
  progress,
  caller,
}: {
  summaries: readonly DeadSummary[]
  progress: RedriveProgress | undefined
  caller: Caller
}): string {
  const withDead = summaries.filter(({ groups }) => groups.length > 0)
  return page(
    'Dead letters',
    html`${banner(caller, '/dashboard/dead')}
<main>
<section><h1>Dead letters</h1>
<p class="soft">Jobs that will not be tried again, by cause. To choose among them: npm run cli -- redrive QUEUE --help</p>
${progress ? progressLine(progress) : html``}</section>
${withDead.length > 0 ? withDead.map((summary) => queueSection(summary, caller)) : html`<section><p>No job is dead.</p></section>`}
</main>`,
    progress?.state === 'running' ? { refreshSeconds } : {},
  )
}

function progressLine({ queue, state, done, matched, skipped, left }: RedriveProgress): Html {
  const not = skipped > 0 ? `, ${skipped} were not dead any more` : ''
  return html`<p role="status"><span class="${state === 'done' ? 'ok' : 'warn'}">${queue}: ${done} of ${matched} run again${not}; ${state === 'running' ? `${left} to go` : state}</span></p>`
}

function queueSection({ queue, dead, looked, causes, groups }: DeadSummary, caller: Caller): Html {
  const part = dead !== null && looked < dead ? `counted among the newest ${looked}` : 'all of them counted'
  return html`<section><h2><a href="/dashboard/queues/queue/${encodeURIComponent(queue)}?status=failed">${queue}</a></h2>
<p class="soft">${dead ?? looked} dead, ${causes} ${causes === 1 ? 'cause' : 'causes'}, ${part}.</p>
<table class="stack">
<thead><tr><th>Cause</th><th class="n">Jobs</th><th>First seen (UTC)</th><th>Last seen</th><th>Sample</th><th></th></tr></thead>
<tbody>${groups.slice(0, mostShown).map((group) => groupRow(queue, group, caller))}</tbody>
</table></section>`
}

function groupRow(
  queue: string,
  { group, title, count, firstSeen, lastSeen, sample, regression }: DeadGroup,
  caller: Caller,
): Html {
  const back = regression
    ? html` <span class="warn">came back ${regression.after === 'redriven' ? 'after a redrive' : 'after a quiet time'}, ${shortTime(regression.at)}</span>`
    : html``
  const button =
    caller.role === 'viewer'
      ? html``
      : html`<form method="post" action="/dashboard/dead/redrive"><input type="hidden" name="queue" value="${queue}"><input type="hidden" name="group" value="${group}"><button class="plain">Run again</button></form>`
  return html`<tr>
<td class="words" data-label="Cause">${title}${back}<br><span class="soft">${group}</span></td><td class="n" data-label="Jobs">${count}</td><td data-label="First seen">${shortTime(firstSeen)}</td><td data-label="Last seen">${shortTime(lastSeen)}</td>
<td data-label="Sample"><a class="whole" href="/dashboard/queues/queue/${encodeURIComponent(queue)}/${encodeURIComponent(sample)}">${sample}</a> <a href="${whyPath(queue, sample)}">why</a></td><td class="whole">${button}</td>
</tr>`
}
