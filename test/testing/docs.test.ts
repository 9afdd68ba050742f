import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import quarantine from '../../queues/quarantine.ts'
import type { AnyQueue, AnyWorker } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'

/* The examples of docs/testing.md and docs/queues.md, written to disk as a reader would and run as they are. */

const here = dirname(fileURLToPath(import.meta.url))
const examples = (doc: string) => [
  ...readFileSync(join(here, '../../docs', doc), 'utf8').matchAll(/^## (.+)$|```ts\n([\s\S]*?)```/gm),
]
const globals = globalThis as { docsApp?: TestApp }

/** Title → code; those in front of the first title by the name in their first line. */
function codeOf(doc: string): [title: string, code: string][] {
  let title = ''
  return examples(doc).flatMap(([, heading, code]) => {
    title = heading ?? title
    return code === undefined ? [] : [[/^\/\/ (\S+\.ts)\n/.exec(code)?.[1] ?? title, code] as [string, string]]
  })
}

let root: string
let folder: string
let redis: TestRedis
beforeAll(async () => {
  // Inside the checkout, so that the examples find zod and src.
  root = mkdtempSync(join(here, '.docs-'))
  symlinkSync(join(here, '../../src'), join(root, 'src'))
  folder = join(root, 'test')
  mkdirSync(folder)
  const [shop = ['', '']] = codeOf('testing.md')
  expect(shop[0]).toBe('shop.ts')
  writeFileSync(join(folder, 'shop.ts'), shop[1])
  writeFileSync(join(folder, 'app.ts'), 'export const app = globalThis.docsApp\n')
  const { orders, receipts, fulfil } = (await import(pathToFileURL(join(folder, 'shop.ts')).href)) as {
    orders: AnyQueue
    receipts: AnyQueue
    fulfil: AnyWorker
  }
  redis = await startRedis()
  const definitions = { queues: [orders, receipts, quarantine], workers: [fulfil], ignored: [] }
  globals.docsApp = await startTestApp(redis.url, { definitions })
  // Nobody works on receipts here, and the example waits for everything.
  const bull = globals.docsApp.bull as Map<string, unknown>
  bull.delete('receipts')
})
afterAll(async () => {
  await globals.docsApp?.close()
  await redis.stop()
  rmSync(root, { recursive: true, force: true })
})

let serial = 0
const [prelude = ['', ''], ...options] = codeOf('queues.md')
const wholes = options.map(([title, code]): [string, string] => [`option ${title}`, `${prelude[1]}\n${code}`])

it.each([...codeOf('testing.md').slice(1), ...wholes])('%s', async (_title, code) => {
  serial += 1
  const file = join(folder, `example-${serial}.ts`)
  writeFileSync(file, code)
  await import(pathToFileURL(file).href)
})

it('has an example for each part', () => {
  expect(codeOf('testing.md')).toHaveLength(6)
  expect(prelude[0]).toBe('prelude.ts')
  expect(options).toHaveLength(12)
})
