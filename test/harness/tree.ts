import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { AnyQueue } from '../../src/define/queue.ts'
import type { AnyWorker } from '../../src/define/worker.ts'
import type { Definitions } from '../../src/load.ts'
import { built } from './process.ts'

/** A built checkout with queues and workers of the test's own: what real processes load, child processes included. */
export type Tree = {
  readonly dir: string
  /** Its main.js, for startMillrace. */
  readonly main: string
  /** The entry of isolated workers' processes. */
  readonly isolateEntry: string
  definitions(): Promise<Definitions>
  remove(): void
}

/** Text of the files by name: `{ work: '…' }`. They are JavaScript, and import `../src/index.js` and zod. */
export function makeTree(files: { queues: Record<string, string>; workers: Record<string, string> }): Tree {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-tree-'))
  const src = dirname(built('main.js'))
  const file = (folder: 'queues' | 'workers', name: string) => join(dir, folder, `${name}.js`)
  cpSync(src, join(dir, 'src'), { recursive: true, filter: (file) => !file.endsWith('.map') })
  // Vitest would complain of each map that it does not find.
  for (const name of readdirSync(join(dir, 'src'), { recursive: true, encoding: 'utf8' }))
    if (name.endsWith('.js')) dropMap(join(dir, 'src', name))
  const root = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../' : '../../../', import.meta.url))
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
  writeFileSync(join(dir, 'package.json'), '{ "type": "module" }')
  for (const folder of ['queues', 'workers'] as const) {
    mkdirSync(join(dir, folder))
    if (folder === 'queues') cpSync(join(src, '../queues/quarantine.js'), file(folder, 'quarantine'))
    if (folder === 'queues') dropMap(file(folder, 'quarantine'))
    for (const [name, text] of Object.entries(files[folder])) writeFileSync(join(dir, folder, `${name}.js`), text)
  }
  const load = async (folder: 'queues' | 'workers') =>
    Promise.all(
      [...Object.keys(files[folder]), ...(folder === 'queues' ? ['quarantine'] : [])].map(
        async (name) => (await import(pathToFileURL(file(folder, name)).href)).default,
      ),
    )
  return {
    dir,
    main: join(dir, 'src', 'main.js'),
    isolateEntry: join(dir, 'src', 'jobs', 'isolate-child.js'),
    definitions: async () => ({
      queues: (await load('queues')) as AnyQueue[],
      workers: (await load('workers')) as AnyWorker[],
      ignored: [],
      workerFile: (queue) => file('workers', queue),
    }),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

function dropMap(file: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, ''))
}
