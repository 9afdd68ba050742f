import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLineOutput } from '../../src/observe/stdout.ts'
import { built } from '../harness/process.ts'

/* Whoever reads a process's lines must not be able to stop it. */

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-lines-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const lostLine = (lines: number) => `${lines} lost\n`

it('writes the lines of a turn together, when it is over', async () => {
  const writes: string[] = []
  const out = createLineOutput(1, { write: (_fd, bytes) => writes.push(String(bytes)) && bytes.length, lostLine })
  out.write('a\n')
  out.write('b\n')
  expect(writes).toEqual([])
  await new Promise((resolve) => setImmediate(resolve))
  expect(writes).toEqual(['a\nb\n'])
})

it('goes on when a pipe is full, waits for its reader once, and tells what was lost', () => {
  const fifo = join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  const out = createLineOutput(fd, { lostLine })
  const line = `${'x'.repeat(999)}\n`
  for (let i = 0; i < 200; i += 1) out.write(line)
  out.flush()
  const began = performance.now()
  out.write('second\n')
  out.flush()
  // Far less than the patience of the first time.
  expect(performance.now() - began).toBeLessThan(250)
  const pipe = Buffer.alloc(1_000_000)
  const first = pipe.toString('latin1', 0, readSync(fd, pipe))
  expect(first.length).toBeGreaterThan(10_000)
  out.write('third\n')
  out.flush()
  const rest = pipe.toString('latin1', 0, readSync(fd, pipe))
  expect(rest.trimStart()).toBe('201 lost\nthird\n')
  // What was cut is not continued by another line.
  expect(first.endsWith('\n') || rest.startsWith('\n')).toBe(true)
  out.write('fourth\n')
  out.flush()
  expect(pipe.toString('latin1', 0, readSync(fd, pipe))).toBe('fourth\n')
  closeSync(fd)
})

it.each(['a pipe whose reader has gone', 'a full disk'])('lets a process go on and stop: %s', async (where) => {
  const program = join(folder, 'program.mjs')
  writeFileSync(
    program,
    `import { createLogger } from ${JSON.stringify(built('observe/log.js'))}
const log = createLogger({ logLevel: 'info', logFormat: 'json' })
process.on('SIGTERM', () => { log.info('stopping'); process.exit(7) })
let n = 0
setInterval(() => {
  log.info('line')
  n += 1
  if (n === 20) process.stderr.write('still here')
}, 5)
`,
  )
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [program], {
    stdio: ['ignore', where === 'a full disk' ? full : 'pipe', 'pipe'],
  })
  closeSync(full)
  child.stdout?.destroy()
  const [said] = await once(child.stderr as NonNullable<typeof child.stderr>, 'data')
  expect(String(said)).toBe('still here')
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([7, null])
})
