import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminKey } from '../harness/app.ts'
import { chromiumPath, launchBrowser } from '../harness/browser.ts'
import { type LiveStage, startLive } from '../harness/live.ts'
import { until } from '../harness/until.ts'

let stage: LiveStage
beforeAll(async () => {
  stage = await startLive()
})
afterAll(() => stage.end())

/** A network between browser and server, which can be cut. */
async function startNetwork(target: string) {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(target).port), '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    }
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    end: () => new Promise((resolve) => server.close(resolve)),
  }
}

describe.runIf(chromiumPath)("a browser's own EventSource", () => {
  it('listens with its session, and comes back by itself without missing anything', async () => {
    const network = await startNetwork(stage.apps[0]?.url ?? '')
    const browser = await launchBrowser()
    const page = await browser.newPage()
    await page.goto(`${network.url}/dashboard/sign-in`)
    await page.fill('input[name=key]', adminKey)
    await page.click('button')
    await page.waitForURL(/dashboard$/)
    // The overview loads itself anew now and then.
    await page.goto(`${network.url}/healthz`)
    await page.evaluate(`
      window.heard = []; window.opened = 0
      const stream = new EventSource('/api/stream?topic=page.*')
      stream.onopen = () => { window.opened += 1 }
      stream.onmessage = ({ data, lastEventId }) => window.heard.push([JSON.parse(data).data, lastEventId !== ''])
    `)
    const read = <T>(name: string) => page.evaluate(`window.${name}`) as Promise<T>
    await until(async () => (await read<number>('opened')) === 1, 'the page listens')
    await until(() => stage.metric('millrace_stream_clients'), 'the server knows')
    for (const n of [1, 2]) {
      await stage.publish(undefined, 'page.x', `before ${n}`)
      await until(async () => (await read<unknown[]>('heard')).length === 2 * n - 1, 'it hears')
      network.cut()
      await stage.publish(undefined, 'page.x', `away ${n}`)
      await until(async () => (await read<unknown[]>('heard')).length === 2 * n, 'it is told what it missed')
    }
    expect(await read('heard')).toEqual(['before 1', 'away 1', 'before 2', 'away 2'].map((text) => [text, true]))
    await browser.close()
    network.cut()
    await network.end()
  })
})
