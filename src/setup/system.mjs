import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Refusal, tail } from './steps.mjs'

/*
 * Programs that npm does not have: a redis-server, and for the tests a Chromium. They come from the system's package
 * manager or not at all.
 */

const redisServers = ['redis-server', 'valkey-server']
const browsers = ['chromium', 'chromium-browser', 'google-chrome']

/** In order of preference. Where a system has renamed a package, the names are tried one after the other. */
const managers = {
  'apt-get': {
    // Another apt may be at work, e.g. the daily upgrade: wait for it.
    install: ['-o', 'DPkg::Lock::Timeout=60', 'install', '-y', '--no-install-recommends'],
    refresh: ['update'],
    redis: ['redis-server'],
    browser: ['chromium'],
  },
  dnf: {
    install: ['install', '-y', '--setopt=install_weak_deps=False'],
    redis: ['redis', 'valkey'],
    browser: ['chromium'],
  },
  yum: { install: ['install', '-y'], redis: ['redis', 'valkey'], browser: ['chromium'] },
  apk: { install: ['add', '--no-cache'], redis: ['redis', 'valkey'], browser: ['chromium'] },
  pacman: {
    install: ['-S', '--noconfirm', '--needed'],
    refresh: ['-Sy'],
    redis: ['valkey', 'redis'],
    browser: ['chromium'],
  },
  zypper: {
    install: ['--non-interactive', 'install', '--no-recommends'],
    redis: ['redis', 'valkey'],
    browser: ['chromium'],
  },
  brew: { install: ['install'], redis: ['redis'], browser: ['chromium'] },
}

/** True when there is no redis-server; throws when there is one that is too old. */
export function lacksRedis({ env }) {
  const file = find(redisServers, env)
  if (!file) return true
  const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8', env })
  const version = tooOld(stdout ?? '')
  if (!version) return false
  throw new Refusal(
    `${file} is ${version} and Millrace needs 6.2 or newer: put a newer one first on PATH, or use one that runs elsewhere: REDIS_URL=redis://host:6379 npm start`,
  )
}

/** The version, if it is one before 6.2. What cannot be read is left to the start, which asks the server itself. */
function tooOld(text) {
  const [, version, major, minor] = /\bv=((\d+)\.(\d+)\S*)/.exec(text) ?? []
  return Number(major) < 6 || (Number(major) === 6 && Number(minor) < 2) ? version : undefined
}

export async function installRedis(context) {
  const problem = await install('redis', 'redis-server', context)
  if (problem)
    throw new Refusal(
      problem.type
        ? `Millrace needs redis-server 6.2 or newer and ${problem.why}; type: ${problem.type}${problem.words}`
        : 'Millrace needs redis-server 6.2 or newer and this system has no package manager that is known here: put it on PATH, or use one that runs elsewhere: REDIS_URL=redis://host:6379 npm start',
    )
  if (lacksRedis(context))
    throw new Refusal(
      'redis-server was installed but is not on PATH; put its folder there, which this finds: find / -name redis-server',
    )
  await stopService(context)
}

export function lacksBrowser({ env }) {
  return !find(browsers, env)
}

/** The browser tests can be skipped, so a failure is said and forgiven. */
export async function installBrowser(context) {
  const problem = await install('browser', 'Chromium', context)
  if (!problem) return
  const todo = problem.type ? `type: ${problem.type}` : 'put a chromium on PATH'
  console.error(`The browser tests will be skipped: there is no Chromium and ${problem.why}; to run them ${todo}`)
}

/** Nothing when it was installed; else why not, and what a person with more rights should type. */
async function install(what, shown, { env, show, run }) {
  const found = Object.keys(managers).filter((name) => find([name], env))
  const isRoot = process.getuid?.() === 0
  const chosen = chooseManager(found, isRoot, () => spawnSync('sudo', ['-n', 'true'], { env }).status === 0)
  if (!chosen) {
    const [name] = found
    if (!name) return { why: 'no package manager was found', words: '' }
    return { why: 'this user may not install it', type: commandToType(name, what, isRoot), words: '' }
  }
  const { name, before } = chosen
  const type = commandToType(name, what, isRoot)
  const manager = (args) => {
    const [command, ...rest] = [...before, name, ...args]
    return run(command, rest, { ...env, DEBIAN_FRONTEND: 'noninteractive' })
  }
  return show(`Installing ${shown} with ${name}`, () => tryNames(manager, managers[name], managers[name][what], type), {
    isSlow: true,
  })
}

async function tryNames(manager, { install, refresh }, names, type) {
  // First with the package lists as they are: fetching them anew takes long and is seldom needed.
  let last = await tryEach(names, (name) => manager([...install, name]))
  if (last.code !== 0 && refresh) {
    await manager(refresh)
    last = await tryEach(names, (name) => manager([...install, name]))
  }
  return last.code === 0 ? undefined : { why: 'it could not be installed', type, words: `\n${tail(last.output)}` }
}

async function tryEach(names, attempt) {
  let last = { code: 1, output: '' }
  for (const name of names) if (last.code !== 0) last = await attempt(name)
  return last
}

/** The first manager that this user may use, and what goes in front of it. `hasSudo` is asked only when it matters. */
function chooseManager(found, isRoot, hasSudo) {
  for (const name of found) {
    if (isRoot || name === 'brew') return { name, before: [] }
    // sudo hands on no environment, hence env.
    if (hasSudo()) return { name, before: ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive'] }
  }
  return undefined
}

function commandToType(name, what, isRoot) {
  const { install, [what]: names } = managers[name]
  const args = install.filter((arg) => arg !== '-o' && !arg.includes('='))
  return [...(isRoot || name === 'brew' ? [] : ['sudo']), name, ...args, names[0]].join(' ')
}

/**
 * Debian's package starts a system-wide server on port 6379, which nobody asked for: ours are started by Millrace, on
 * sockets of their own. Without systemd Debian starts none. With it the service that has just come is turned off again:
 * to keep it from starting at all would take a file in /usr/sbin or /etc, and those are not ours to write.
 */
async function stopService({ env, run }) {
  if (!existsSync('/run/systemd/system') || !find(['apt-get'], env)) return
  const [command, ...args] = [
    ...(process.getuid?.() === 0 ? [] : ['sudo', '-n']),
    'systemctl',
    'disable',
    '--now',
    'redis-server',
  ]
  await run(command, args, env)
}

/** The first of these programs on PATH. */
function find(names, { PATH = '' }) {
  const files = names.flatMap((name) =>
    PATH.split(delimiter)
      .filter(Boolean)
      .map((folder) => join(folder, name)),
  )
  return files.find(isProgram)
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
