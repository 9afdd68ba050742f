import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { operatorKey, startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { signIn } from '../harness/session.ts'
import { mention, post } from '../harness/slack.ts'

/* What a person reads on the pages of the dashboard, where it is not obvious. */

let redis: TestRedis
let app: TestApp
let cookie: string
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url)
  cookie = (await signIn(app.url, operatorKey)).cookie
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

async function open(path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${app.url}${path}`, { headers: { cookie, accept: 'text/html' } })
  return { status: response.status, text: await response.text() }
}

describe('every page', () => {
  it.each(['/dashboard', '/dashboard/dead', '/dashboard/inbox', '/dashboard/why'])('%s marks itself', async (path) => {
    const { status, text } = await open(path)
    expect(status).toBe(200)
    expect(text.match(/<a href="[^"]+" aria-current="true">/g)).toEqual([`<a href="${path}" aria-current="true">`])
  })
})

describe('an error', () => {
  it('is told in a sentence, with a way back', async () => {
    const { status, text } = await open('/dashboard/nowhere')
    expect(status).toBe(404)
    expect(text).toContain('<p>There is nothing at /dashboard/nowhere.</p>')
    expect(text).toContain('<a href="/dashboard">Overview</a>')
  })
})

describe('why', () => {
  it('says that there is no such queue', async () => {
    const { status, text } = await open('/dashboard/why?queue=nope%3Cb%3E&id=1')
    expect(status).toBe(404)
    expect(text).toContain('There is no queue nope&#60;b&#62;.')
  })
})

describe('an event that was not understood', () => {
  it('is shown with the reason and the bytes as they came, and no offer to replay it', async () => {
    const answer = await post(app.url, '{"type":"event_callback","text":"cut of')
    const { text } = await open(`/dashboard/inbox/${answer.headers.get('millrace-event')}`)
    expect(text).toContain('not understood; in quarantine: the body is not JSON')
    expect(text).toContain('<pre>{&#34;type&#34;:&#34;event_callback&#34;,&#34;text&#34;:&#34;cut of</pre>')
    expect(text).not.toContain('cli -- replay')
  })

  it('is not what an understood one is shown as', async () => {
    const answer = await post(app.url, mention('EvPAGESOK'))
    expect(answer.status).toBe(200)
    const { text } = await open('/dashboard/inbox/EvPAGESOK')
    expect(text).toContain('npm run cli -- replay EvPAGESOK')
    expect(text).not.toContain('As it came')
  })
})
