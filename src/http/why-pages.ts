import { Router } from 'express'
import { z } from 'zod'
import { MillraceError } from '../errors.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { explainJob, type JobExplanation } from '../jobs/explain.ts'
import type { Caller } from './auth.ts'
import { banner } from './dashboard-pages.ts'
import { type Html, html, page, shortTime } from './page.ts'
import { parse } from './parse.ts'

const whyQuery = z.object({ queue: z.string().optional(), id: z.string().trim().optional() })

/** /dashboard/why: why a job is where it is, and what to do. */
export function whyPages(bull: ReadonlyMap<string, BullQueue>): Router {
  const router = Router()
  router.get('/', async (request, response) => {
    const { queue: name, id } = parse(whyQuery, request.query)
    const queue = name === undefined ? undefined : bull.get(name)
    const found = queue && id ? await explainJob(queue, id).catch(unknown) : undefined
    const isNoQueue = name !== undefined && !queue
    if (found === 'unknown' || isNoQueue) response.status(404)
    const answer = isNoQueue
      ? missing(`There is no queue ${name}.`)
      : found === undefined
        ? html``
        : found === 'unknown'
          ? missing(`There is no job ${id} in ${name}. It may have been removed by the queue’s keep policy.`)
          : told(found)
    const caller = response.locals.caller as Caller
    response.send(
      page(
        'Why',
        html`${banner(caller, '/dashboard/why')}
<main><section><h1>Why is a job where it is?</h1>${whyForm([...bull.keys()], { queue: name, id })}</section>${answer}</main>`,
      ),
    )
  })
  return router
}

/** Where the answer for a job is. */
export function whyPath(queue: string, id: string): string {
  return `/dashboard/why?${new URLSearchParams({ queue, id })}`
}

function whyForm(
  queues: readonly string[],
  { queue, id = '' }: { queue: string | undefined; id: string | undefined },
): Html {
  const option = (name: string) =>
    name === queue ? html`<option selected>${name}</option>` : html`<option>${name}</option>`
  return html`<form class="filter" method="get" action="/dashboard/why">
<label>Queue <select name="queue">${queues.map(option)}</select></label>
<label>Job id <input name="id" value="${id}" required></label>
<button>Explain</button>
</form>`
}

function told({ id, queue, state, code, words, todo, until }: JobExplanation): Html {
  return html`<section><h2><a href="/dashboard/queues/queue/${encodeURIComponent(queue)}/${encodeURIComponent(id)}">${id}</a></h2>
<dl><dt>State</dt><dd>${state === 'failed' ? 'dead' : state}</dd><dt>Code</dt><dd>${code}</dd><dt>Why</dt><dd>${words}</dd><dt>To do</dt><dd>${todo}</dd>
${until === null ? html`` : html`<dt>Until</dt><dd>${shortTime(until)} UTC</dd>`}</dl></section>`
}

function missing(what: string): Html {
  return html`<section><p class="warn">${what}</p></section>`
}

function unknown(error: unknown): 'unknown' {
  if (error instanceof MillraceError && error.code === 'unknown-job') return 'unknown'
  throw error
}
