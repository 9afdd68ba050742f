import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { MillraceError } from '../src/errors.ts'
import { type Definitions, loadDefinitions } from '../src/load.ts'

/* Folders as somebody would write them, loaded as the product loads its own. */

const index = new URL('../src/index.ts', import.meta.url).href
const made: string[] = []
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
})

function queue(name: string): string {
  return `import { defineQueue } from '${index}'
const payload = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }
export default defineQueue({ name: '${name}', payload })`
}

function worker(name: string): string {
  return `import { defineWorker } from '${index}'
import queue from '../queues/${name}.ts'
export default defineWorker(queue, () => 'done')`
}

/** Writes `queues/a.ts` → text into a folder of its own. */
function folders(files: Record<string, string>): { queues: string; workers: string } {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-load-'))
  made.push(dir)
  for (const folder of ['queues', 'workers']) mkdirSync(join(dir, folder))
  for (const [path, text] of Object.entries(files)) writeFileSync(join(dir, path), text)
  return { queues: join(dir, 'queues'), workers: join(dir, 'workers') }
}

const load = (files: Record<string, string>): Promise<Definitions> => loadDefinitions(folders(files))

async function mistakes(files: Record<string, string>): Promise<string[]> {
  const refusal = await load(files).then(
    () => new Error('it was accepted'),
    (error) => error,
  )
  if (!(refusal instanceof MillraceError)) throw refusal
  expect(refusal.code).toBe('invalid-definition')
  return refusal.message.split('\n')
}

describe('loadDefinitions', () => {
  it('loads the product’s own folders, all of them', async () => {
    const { queues, workers, ignored } = await loadDefinitions()
    const own = expect.arrayContaining([
      'github-events',
      'quarantine',
      'slack-commands',
      'slack-events',
      'stripe-events',
    ])
    expect(queues.map(({ name }) => name)).toEqual(own)
    expect(workers.map((one) => one.queue.name)).toEqual(own)
    expect(ignored).toEqual([])
  })

  it('loads queues and their workers, in the order of their names', async () => {
    const { queues, workers } = await load({
      'queues/send-email.ts': queue('send-email'),
      'queues/a.ts': queue('a'),
      'workers/send-email.ts': worker('send-email'),
    })
    expect(queues.map(({ name }) => name)).toEqual(['a', 'send-email'])
    // The import is the link: the worker has the very queue, and not one of the same name.
    expect(workers.map((one) => one.queue)).toEqual([queues[1]])
    expect(workers[0]?.queue).toBe(queues[1])
  })

  it('never loads private files, tests and what is no TypeScript', async () => {
    const bomb = "throw new Error('it was loaded')"
    const { queues, ignored } = await load({
      'queues/a.ts': queue('a'),
      'queues/_shared.ts': bomb,
      'queues/a.test.ts': bomb,
      'queues/a.d.ts': bomb,
      'queues/README.md': bomb,
      'workers/_slack.ts': bomb,
    })
    expect([queues.length, ignored]).toEqual([1, []])
  })

  it('says what it left aside for its name', async () => {
    const { queues, ignored } = await load({ 'queues/a.ts': queue('a'), 'queues/Order_Paid.ts': queue('order-paid') })
    expect(queues).toHaveLength(1)
    expect(ignored).toEqual([expect.stringMatching(/Order_Paid\.ts is not a queue's name .*; it was not loaded/)])
  })

  it('refuses a queue in the file of another', async () => {
    expect(await mistakes({ 'queues/send-email.ts': queue('send-mail') })).toEqual([
      "queues/send-email.ts is for queue 'send-mail'; rename one so that they agree",
    ])
  })

  it('refuses a worker in the file of another', async () => {
    expect(await mistakes({ 'queues/a.ts': queue('a'), 'workers/b.ts': worker('a') })).toEqual([
      "workers/b.ts works on queue 'a'; rename one so that they agree",
    ])
  })

  it('refuses two queues of one name, because one of the files disagrees', async () => {
    expect(await mistakes({ 'queues/a.ts': queue('a'), 'queues/b.ts': queue('a') })).toEqual([
      "queues/b.ts is for queue 'a'; rename one so that they agree",
    ])
  })

  it.each([
    ['nothing', 'export const a = 1'],
    ['something else', 'export default { kind: "worker" }'],
    ['a text', 'export default "queue"'],
    ['null', 'export default null'],
  ])('refuses a file that has %s as its default export', async (_what, text) => {
    expect(await mistakes({ 'queues/a.ts': text })).toEqual(['queues/a.ts has no default export made by defineQueue()'])
  })

  it('refuses a worker’s file that has no worker', async () => {
    expect(await mistakes({ 'queues/a.ts': queue('a'), 'workers/a.ts': queue('a') })).toEqual([
      'workers/a.ts has no default export made by defineWorker()',
    ])
  })

  it('refuses a worker whose queue is not in queues/', async () => {
    const own = worker('x').replace("import queue from '../queues/x.ts'", queueInline('a'))
    expect(await mistakes({ 'queues/b.ts': queue('b'), 'workers/a.ts': own })).toEqual([
      'workers/a.ts works on a queue that queues/ does not hold; add queues/a.ts',
    ])
  })

  it('refuses a file that cannot be imported, and says why', async () => {
    const [line] = await mistakes({ 'queues/a.ts': "import './gone.ts'\nexport default 1" })
    expect(line).toMatch(/a\.ts cannot be loaded: .*gone\.ts/)
  })

  // Both folders hold files of the same names, so the name alone does not say which.
  it('says in which folder', async () => {
    const broken = "throw new Error('broken')"
    expect(await mistakes({ 'queues/a.ts': broken })).toEqual(['queues/a.ts cannot be loaded: broken'])
    expect(await mistakes({ 'queues/a.ts': queue('a'), 'workers/a.ts': broken })).toEqual([
      'workers/a.ts cannot be loaded: broken',
    ])
  })

  // The worker imports the queue and fails for the same reason, in the same words.
  it('tells of a queue’s mistake once, and not again for its worker', async () => {
    const text = queue('a').replace('payload })', 'payload, on: ["x"] })')
    expect(await mistakes({ 'queues/a.ts': text, 'workers/a.ts': worker('a') })).toHaveLength(1)
  })

  // TypeError: Cannot read properties of undefined. With several folders of several people, that names no file.
  it('refuses what only looks like a worker', async () => {
    expect(await mistakes({ 'queues/a.ts': queue('a'), 'workers/a.ts': "export default { kind: 'worker' }" })).toEqual([
      'workers/a.ts has no default export made by defineWorker()',
    ])
  })

  it('passes on what a definition itself refuses', async () => {
    const text = queue('a').replace('payload })', 'payload, retry: { attempts: 0 } })')
    expect(await mistakes({ 'queues/a.ts': text })).toEqual([
      expect.stringContaining("a.ts cannot be loaded: queue 'a': retry.attempts 0 is not a whole number from 1"),
    ])
  })

  it('tells of all mistakes at once', async () => {
    const lines = await mistakes({
      'queues/a.ts': queue('b'),
      'queues/c.ts': 'export {}',
      'queues/d.ts': "throw new Error('broken')",
      'queues/e.ts': queue('e'),
      'workers/e.ts': 'export {}',
      'workers/f.ts': worker('e'),
    })
    expect(lines.map((line) => /([a-f]\.ts)/.exec(line)?.[1])).toEqual(['a.ts', 'c.ts', 'd.ts', 'e.ts', 'f.ts'])
  })

  it('refuses a folder without a queue', async () => {
    expect(await mistakes({ 'queues/_only-private.ts': '' })).toEqual([expect.stringMatching(/^there is no queue in /)])
  })

  it('refuses a folder that is not there', async () => {
    const { queues } = folders({ 'queues/a.ts': queue('a') })
    const gone = join(queues, '..', 'gone')
    await expect(loadDefinitions({ queues, workers: gone })).rejects.toThrow(`${gone} cannot be read: ENOENT`)
  })
})

function queueInline(name: string): string {
  return `import { defineQueue } from '${index}'
const queue = defineQueue({ name: '${name}', payload: { '~standard': { version: 1, validate: (value) => ({ value }) } } })`
}
