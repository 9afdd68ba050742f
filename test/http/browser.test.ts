import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { chromiumPath, foreignHost, launchBrowser, watch } from '../harness/browser.ts'
import { jobIn } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'

/* The pages in a real browser. SCREENSHOTS=<folder> keeps pictures of them, to be looked at by a person. */

const pictures = process.env.SCREENSHOTS
const canSkip = chromiumPath === undefined && process.env.CI === undefined
if (canSkip) console.warn('test/http/browser.test.ts is skipped: there is no Chromium; apt-get install chromium')

describe.skipIf(canSkip)('in a browser', () => {
  let redis: TestRedis
  let app: TestApp
  let browser: Browser
  beforeAll(async () => {
    redis = await startRedis({ maxmemory: '256mb' })
    app = await startTestApp(redis.url)
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await app?.close()
    await redis?.stop()
  })

  const origins = {
    'this machine': () => app.url,
    'another name, without TLS': () => `http://${foreignHost}:${new URL(app.url).port}`,
  }

  async function open(origin: string): Promise<{ page: Page; complaints: string[] }> {
    const page = await browser.newPage({ viewport: { width: 1_280, height: 800 } })
    return { page, complaints: await watch(page, origin) }
  }

  async function signIn(page: Page, origin: string, to: string): Promise<void> {
    await page.goto(`${origin}${to}`)
    await page.getByLabel('API key').fill(adminKey)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${origin}${to}`)
  }

  it.each(Object.entries(origins))(
    'on %s: sign in, find a job, change something, sign out',
    async (_name, originOf) => {
      const origin = originOf()
      const { page, complaints } = await open(origin)
      const event = freshId()
      await post(app.url, mention(event, { team_id: '<img src=x onerror=alert(1)>' }))
      const job = await jobIn(app, 'slack-events', event, 'completed')

      await signIn(page, origin, '/dashboard')
      expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Ready')
      await page.getByRole('link', { name: 'Queues and jobs' }).click()
      await page.getByRole('link', { name: 'slack-events' }).first().click()
      await page.goto(`${origin}/dashboard/queues/queue/slack-events?status=completed`)
      await page.getByText(job.id).first().waitFor()
      await page.goto(`${origin}/dashboard/queues/queue/slack-events/${job.id}`)
      await page.getByText(event).first().waitFor()

      // As the board's own buttons do it: the browser has to say where the change comes from, with and without TLS.
      const path = '/dashboard/queues/api/queues/slack-events'
      const change = (what: string) =>
        page.evaluate(`fetch('${path}/${what}', { method: 'PUT' }).then((response) => response.status)`)
      expect(await change('pause')).toBeLessThan(300)
      expect(await app.bull.get('slack-events')?.isPaused()).toBe(true)
      expect(await change('resume')).toBeLessThan(300)

      await page.goto(`${origin}/dashboard`)
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.waitForURL(`${origin}/dashboard/sign-in`)
      await page.goto(`${origin}/dashboard/queues`)
      await page.waitForURL(/\/dashboard\/sign-in\?to=/)
      expect(complaints).toEqual([])
      await page.close()
    },
  )

  it('says that a key is wrong, and keeps where one wanted to go', async () => {
    const { page } = await open(app.url)
    await page.goto(`${app.url}/dashboard/queues`)
    const key = page.getByLabel('API key')
    await key.fill('nobody-knows-this-key')
    await key.press('Enter')
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('alert').textContent()).toBe('This key is not known.')
    await page.getByLabel('API key').fill(adminKey)
    await page.getByRole('button').click()
    await page.waitForURL(`${app.url}/dashboard/queues`)
    await page.close()
  })

  it('another site cannot make it change anything', async () => {
    const page = await browser.newPage()
    await signIn(page, app.url, '/dashboard')
    const form = `<form method="post" action="${app.url}/dashboard/queues/api/queues/slack-events/add" enctype="text/plain">
      <input name="a" value="b"><button>Win a prize</button></form>`
    await page.route('http://evil.example/', (route) => route.fulfill({ contentType: 'text/html', body: form }))
    await page.goto('http://evil.example/')
    const before = await app.bull.get('slack-events')?.getJobCounts()
    const answer = page.waitForResponse(/\/add$/)
    await page.getByRole('button').click()
    expect((await answer).status()).toBe(403)
    expect(await app.bull.get('slack-events')?.getJobCounts()).toEqual(before)
    await page.close()
  })

  it.each([1_280, 390])('the own pages fit a window of %i pixels', async (width) => {
    const page = await browser.newPage({ viewport: { width, height: 800 } })
    const event = freshId()
    await post(app.url, mention(event))
    await post(app.url, '{"type":"new_thing"}')
    const { id } = await jobIn(app, 'slack-events', event, 'completed')
    const takesPicture = async (name: string) => {
      if (!pictures) return
      mkdirSync(pictures, { recursive: true })
      await page.screenshot({ path: join(pictures, `${name}-${width}.png`), fullPage: true })
    }
    const overflow = () => page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

    await page.goto(`${app.url}/dashboard`)
    expect(await overflow()).toBe(0)
    await takesPicture('sign-in')
    await page.getByLabel('API key').fill('nobody-knows-this-key')
    await page.getByRole('button').click()
    await takesPicture('sign-in-wrong')
    await signIn(page, app.url, '/dashboard')
    expect(await overflow()).toBe(0)
    await takesPicture('overview')
    await page.getByRole('link', { name: 'Why', exact: true }).click()
    await page.getByLabel('Queue').selectOption('slack-events')
    await page.getByLabel('Job id').fill(id)
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('It was done').waitFor()
    expect(await overflow()).toBe(0)
    await takesPicture('why')
    await page.getByLabel('Job id').fill('<b>nope')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('There is no job <b>nope in slack-events').waitFor()
    await page.getByRole('link', { name: 'Inbox' }).click()
    await page.getByLabel('Type').fill('app_mention')
    await page.getByRole('button', { name: 'Find' }).click()
    expect(await overflow()).toBe(0)
    await takesPicture('inbox')
    // On a narrow screen too: nobody scrolls a table sideways that does not look as if it went on.
    const state = await page.getByText('completed', { exact: true }).first().boundingBox()
    expect((state?.x ?? width) + (state?.width ?? 0)).toBeLessThan(width)
    await page.getByRole('link', { name: event }).click()
    await page.getByText('<@U0LAN0Z89> is it lunch yet?').waitFor()
    expect(await overflow()).toBe(0)
    const isCut = 'document.querySelector("h1").scrollWidth > document.querySelector("h1").clientWidth'
    await page.evaluate(`document.querySelector('h1').textContent = '${'x'.repeat(100)}'`)
    expect(await page.evaluate(isCut)).toBe(false)
    await takesPicture('inbox-event')
    await page.goto(`${app.url}/dashboard/queues`)
    await page
      .getByText(/\d+ Jobs?$/i)
      .first()
      .waitFor()
    await takesPicture('board')
    await page.goto(`${app.url}/dashboard/queues/queue/slack-events?status=completed`)
    await page.getByText(id).first().waitFor()
    await takesPicture('board-queue')
    await page.goto(`${app.url}/dashboard/queues/queue/slack-events/${id}`)
    await page.getByText(event).first().waitFor()
    await takesPicture('board-job')
    await page.close()
  })
})
