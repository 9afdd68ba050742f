import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'

/** A name that is not this machine's own, so that nothing a browser allows to loopback addresses helps. */
export const foreignHost = 'millrace.test'

/** The system's Chromium; playwright-core brings none. */
export const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)

export function launchBrowser(): Promise<Browser> {
  if (!chromiumPath) throw new Error('there is no Chromium; apt-get install chromium')
  return chromium.launch({
    executablePath: chromiumPath,
    args: ['--no-sandbox', `--host-resolver-rules=MAP ${foreignHost} 127.0.0.1`],
  })
}

/** Chromium says of two headers that they are of no use without TLS, which is so and does no harm. */
const remarks = /Cross-Origin-Opener-Policy header has been ignored|origin-keyed agent cluster/

/** Everything that a page should not do: errors, warnings, violations of its policy, requests to other hosts. */
export async function watch(page: Page, origin: string): Promise<string[]> {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !remarks.test(message.text()))
      complaints.push(`console: ${message.text()}`)
  })
  page.on('request', (request) => {
    const { protocol, origin: to } = new URL(request.url())
    if (protocol !== 'data:' && to !== origin) complaints.push(`request to ${request.url()}`)
  })
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} for ${response.url()}`)
  })
  await page.exposeFunction('reportViolation', (what: string) => complaints.push(`policy: ${what}`))
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    window.reportViolation(event.violatedDirective + ' ' + event.blockedURI))`)
  return complaints
}
