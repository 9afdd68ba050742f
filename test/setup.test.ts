import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from './harness/until.ts'

/*
 * setup.mjs as a real process in a tiny checkout of its own, with a PATH that holds nothing but what a test puts there.
 * npm and the package managers are scripts that record how they were called: nothing is fetched or installed.
 */

const repository = fileURLToPath(new URL('..', import.meta.url))

let home: string
let root: string
let bin: string
let calls: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'millrace-setup-'))
  root = join(home, 'checkout')
  bin = join(home, 'bin')
  calls = join(home, 'calls')
  for (const file of ['setup.mjs', 'setup'])
    cpSync(join(repository, 'src', file), join(root, 'src', file), { recursive: true })
  mkdirSync(bin)
  // So that a mistake here never runs the real ones, on the real node_modules.
  program('npm', `echo "npm $*" >> ${calls}; exit 1`)
  program('redis-server', 'echo "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64"')
  program('chromium', '')
  write('package.json', JSON.stringify({ name: 'tiny', type: 'module' }))
  write('package-lock.json', JSON.stringify({ packages: { '': { name: 'tiny' } } }))
  const compilerOptions = { module: 'nodenext', target: 'es2023', rootDir: '.', outDir: 'dist', types: [] }
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }))
  write('src/one.ts', 'export const one: number = 1\n')
  write('src/store/add.lua', 'return 1\n')
  // The real compiler takes half a second; most tests only need something that can have been built.
  compiler("require('node:fs').mkdirSync(process.argv.at(-1))")
})

afterEach(() => rmSync(home, { recursive: true, force: true }))

describe('when everything is there', () => {
  test.each(['start', 'test', 'check', 'build'])('--for %s says nothing and does nothing', async (purpose) => {
    await setup('--for', 'build')
    const before = files()
    expect(before).toContain('dist/.built')
    expect(await setup('--for', purpose)).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(files()).toEqual(before)
    expect(called()).toEqual([])
  })

  test('an unknown purpose is answered with the usage', async () => {
    expect(await setup('--for', 'fun')).toMatchObject({ code: 2, stderr: expect.stringContaining('Usage:') })
  })
})

describe('the build', () => {
  const real = join(repository, 'node_modules/typescript/bin/tsc')
  beforeEach(() => compiler(`require('node:fs').appendFileSync('${calls}', 'tsc\\n')\nimport('${real}')`))

  test('follows the sources: added, changed and removed ones, and scripts for Redis', async () => {
    expect(await setup('--for', 'build')).toMatchObject({ code: 0 })
    expect(built()).toEqual(['.built', 'src/one.js', 'src/store/add.lua'])

    rmSync(join(root, 'src/one.ts'))
    write('src/two.ts', 'export const two: number = 2\n')
    write('src/store/add.lua', 'return 22\n')
    expect(await setup('--for', 'build')).toMatchObject({ code: 0 })
    expect(built()).toEqual(['.built', 'src/store/add.lua', 'src/two.js'])
    expect(read('dist/src/store/add.lua')).toBe('return 22\n')
  })

  test('leaves the last good one alone when it fails, and stays due', async () => {
    await setup('--for', 'build')
    const good = read('dist/src/one.js')
    write('src/one.ts', "export const one: number = 'one'\n")
    for (const time of ['first', 'again']) {
      const said = expect.stringContaining('src/one.ts(1,14): error TS2322')
      expect(await setup('--for', 'build'), time).toMatchObject({ code: 1, stderr: said })
    }
    expect(await setup('--for', 'tools')).toMatchObject({ code: 0, stderr: expect.stringContaining('the last build') })
    expect(read('dist/src/one.js')).toBe(good)
    expect(leftovers()).toEqual([])
  })

  test('is done once when two start at once', async () => {
    const both = await Promise.all([setup('--for', 'build'), setup('--for', 'build')])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(called()).toEqual(['tsc'])
    expect(built()).toContain('src/one.js')
    expect(leftovers()).toEqual([])
  })
})

describe('the lock', () => {
  test('of a process that is dead is taken over', async () => {
    const { child } = run(['--version'])
    await once(child, 'close')
    write(`.setup.lock/${child.pid}`, '')
    expect(await setup('--for', 'build')).toMatchObject({ code: 0 })
    expect(existsSync(join(root, '.setup.lock'))).toBe(false)
  })

  test('of a process that lives is waited for, and Ctrl-C ends the wait', async () => {
    write(`.setup.lock/${process.pid}`, '')
    const waiting = run(['--for', 'build'])
    await until(() => waiting.said.stdout.includes(`Waiting for process ${process.pid}`), 'it says that it waits')
    waiting.child.kill('SIGINT')
    expect(await waiting.ended).toBe('SIGINT')
    expect(leftovers()).toEqual([`.setup.lock/${process.pid}`])
  })

  test('is given up on Ctrl-C, after the program that runs has ended', async () => {
    needPackage()
    // Its last words take a moment: had setup not waited for it, they would be missing.
    program(
      'npm',
      `trap 'sleep 0.2; echo ended >> ${calls}; exit 1' INT\necho started >> ${calls}\nwhile :; do sleep 0.05; done`,
    )
    const installing = run(['--for', 'check'])
    await until(() => called().includes('started'), 'npm runs')
    expect(existsSync(join(root, '.setup.lock', String(installing.child.pid)))).toBe(true)
    installing.child.kill('SIGINT')
    expect(await installing.ended).toBe('SIGINT')
    expect(called()).toEqual(['started', 'ended'])
    expect(leftovers()).toEqual([])
  })
})

describe('the packages', () => {
  test('are installed when one is missing, by the npm that runs; --quiet keeps to stderr', async () => {
    needPackage()
    const npm = join(home, 'npm-cli.js')
    const [folder, lock] = [join(root, 'node_modules/left'), join(root, 'node_modules/.package-lock.json')]
    writeFileSync(
      npm,
      `const fs = require('node:fs')
      fs.appendFileSync(${JSON.stringify(calls)}, process.argv.slice(2).join(' ') + '\\n')
      fs.mkdirSync(${JSON.stringify(folder)})
      fs.copyFileSync('package-lock.json', ${JSON.stringify(lock)})`,
    )
    const said = expect.stringMatching(/^Installing packages … \d+\.\d s\n$/)
    const ended = await setupWith({ npm_execpath: npm }, '--for', 'check', '--quiet')
    expect(ended).toEqual({ code: 0, stdout: '', stderr: said })
    expect(await setup('--for', 'check')).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(called()).toEqual(['ci --include=dev --no-audit --no-fund'])
  })

  test('that cannot be installed: what to type, then the last words of npm', async () => {
    needPackage()
    program('npm', 'echo "npm error network no route" >&2; exit 1')
    const said = expect.stringMatching(/^npm could not .*type: npm ci --include=dev\nnpm error network no route\n$/)
    expect(await setup('--for', 'check')).toMatchObject({ code: 1, stderr: said })
  })
})

describe('redis-server', () => {
  beforeEach(async () => {
    await setup('--for', 'build')
    rmSync(join(bin, 'redis-server'))
  })

  test('may be a valkey-server', async () => {
    program('valkey-server', 'echo "Valkey server v=8.0.1 sha=00000000:0"')
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' })
  })

  test('is not needed when the store runs elsewhere, but tests need one all the same', async () => {
    const elsewhere = { REDIS_URL: 'redis://localhost:1' }
    expect(await setupWith(elsewhere)).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await setupWith(elsewhere, '--for', 'test')).toMatchObject({ code: 1 })
    expect(await setup('--for', 'check')).toMatchObject({ code: 0 })
  })

  test('without a package manager: one line that says what to type', async () => {
    const said = expect.stringMatching(/^[^\n]*redis-server 6\.2[^\n]*REDIS_URL=\S+ npm start\n$/)
    expect(await setup()).toEqual({ code: 1, stdout: '', stderr: said })
  })

  test('that is too old: one line that says so', async () => {
    program('redis-server', 'echo "Redis server v=6.0.16 sha=00000000:0"')
    expect(await setup()).toMatchObject({ code: 1, stderr: expect.stringMatching(/^\S+ is 6\.0\.16 .*REDIS_URL.*\n$/) })
  })

  test.each([
    ['apt-get', /^-o DPkg::Lock::Timeout=60 install -y --no-install-recommends redis-server$/],
    ['dnf', /^install -y .*redis$/],
    ['apk', /^add --no-cache redis$/],
    ['pacman', /^-S --noconfirm --needed valkey$/],
    ['brew', /^install redis$/],
  ])('comes from %s', async (manager, args) => {
    mayInstall()
    program(manager, `echo "$*" >> ${calls}; cp ${join(bin, 'chromium')} ${join(bin, 'redis-server')}`)
    expect(await setup()).toMatchObject({ code: 0, stdout: expect.stringContaining(`with ${manager} … `), stderr: '' })
    expect(called()).toEqual([expect.stringMatching(args)])
  })

  test('package lists are fetched only when they do not know the package', async () => {
    mayInstall()
    program(
      'apt-get',
      `echo "$1" >> ${calls}
      if [ "$1" = update ]; then touch ${home}/lists; exit; fi
      [ -f ${home}/lists ] && cp ${join(bin, 'chromium')} ${join(bin, 'redis-server')}`,
    )
    expect(await setup()).toMatchObject({ code: 0 })
    expect(called()).toEqual(['-o', 'update', '-o'])
  })

  test('that cannot be installed: what to type, then the last words of the manager', async () => {
    mayInstall()
    program('apt-get', 'echo "E: Unable to fetch some archives"; exit 100')
    const said = /type: (sudo )?apt-get install -y --no-install-recommends redis-server\nE: Unable to fetch/
    expect(await setup()).toMatchObject({ code: 1, stderr: expect.stringMatching(said) })
  })
})

test('without a Chromium the tests go on, and it is said how to have the browser tests too', async () => {
  await setup('--for', 'build')
  rmSync(join(bin, 'chromium'))
  mayInstall()
  program('apt-get', 'exit 100')
  const said = expect.stringMatching(/^The browser tests will be skipped: .*apt-get install .*chromium\n$/)
  expect(await setup('--for', 'test')).toMatchObject({ code: 0, stderr: said })
  expect(await setup('--for', 'start')).toEqual({ code: 0, stdout: '', stderr: '' })
})

function write(path: string, text: string): void {
  const file = join(root, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function files(): string[] {
  const all = readdirSync(root, { recursive: true, withFileTypes: true })
  return all
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name).slice(root.length + 1))
    .sort()
}

function built(): string[] {
  return files()
    .filter((file) => file.startsWith('dist/'))
    .map((file) => file.slice('dist/'.length))
}

/** What setup itself puts into a checkout while it works. */
const leftovers = (): string[] => files().filter((file) => file.startsWith('.setup'))

function called(): string[] {
  return existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []
}

/** A shell script on the PATH of setup. The shell's own tools are where they always are. */
function program(name: string, script: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`, { mode: 0o755 })
}

/** For those who are not root: a sudo that lets them. */
function mayInstall(): void {
  program('sudo', `shift; PATH=${bin}:$PATH; exec "$@"`)
}

function needPackage(): void {
  write('package-lock.json', JSON.stringify({ packages: { '': {}, 'node_modules/left': { version: '1.0.0' } } }))
}

function compiler(script: string): void {
  write('node_modules/typescript/bin/tsc', script)
}

const setup = (...args: string[]) => setupWith({}, ...args)

async function setupWith(env: Record<string, string>, ...args: string[]) {
  const { ended, said } = run(args, env)
  return { code: await ended, ...said }
}

function run(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(root, 'src/setup.mjs'), ...args], {
    env: { PATH: bin, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => {
      said[name] += chunk
    })
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return { child, ended, said }
}
