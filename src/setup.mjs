import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

/*
 * The step before `npm start`, `npm test` and the others. It makes a fresh clone ready, and when everything is there it
 * takes a moment and says nothing. Plain JavaScript with Node's own modules only: it runs before anything is installed.
 */

const usage = 'Usage: node src/setup.mjs [--for start|tools|test|check|build] [--quiet]'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Millrace needs Node.js 20.19 or newer, this is ${process.versions.node}; type: nvm install 24`)
  process.exit(1)
}

// Not at the top: an older Node would fail on their syntax before it could say which one is needed.
const { parseArgs } = await import('node:util')
const { installPackages, missingPackages } = await import('./setup/packages.mjs')
const { build, hasBuild, isStale } = await import('./setup/build.mjs')
const { installBrowser, installRedis, lacksBrowser, lacksRedis } = await import('./setup/system.mjs')
const { lock } = await import('./setup/lock.mjs')
const { createSteps, Refusal } = await import('./setup/steps.mjs')

const steps = {
  packages: { isNeeded: ({ root }) => missingPackages(root).length > 0, run: installPackages },
  build: { isNeeded: ({ root }) => isStale(root), run: build },
  redis: { isNeeded: lacksRedis, run: installRedis },
  browser: { isNeeded: lacksBrowser, run: installBrowser },
}

/** What each purpose needs, in this order. */
function stepsFor(purpose, env) {
  if (purpose === 'check') return [steps.packages]
  if (purpose === 'build') return [steps.packages, steps.build]
  // Tests start real processes from dist, hence the build.
  if (purpose === 'test') return [steps.packages, steps.build, steps.redis, steps.browser]
  const isManaged = !env.REDIS_URL && !env.REDIS_HOST
  return [steps.packages, steps.build, ...(isManaged ? [steps.redis] : [])]
}

async function main() {
  const { purpose, quiet } = readArguments()
  const root = fileURLToPath(new URL('..', import.meta.url))
  const { env } = process
  const needed = stepsFor(purpose, env)
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => abort.abort(signal))

  const stream = quiet ? process.stderr : process.stdout
  const context = { root, env, ...createSteps({ root, stream, signal: abort.signal }) }
  try {
    // Asked without the lock, so that a start with nothing to do waits for nobody.
    if (!needed.some((step) => step.isNeeded(context))) return
    const unlock = await lock(join(root, '.setup.lock'), context)
    try {
      // Asked again: another start may have done it while this one waited.
      for (const step of needed)
        if (step.isNeeded(context))
          await step.run(context).catch((error) => orLastBuild(error, { step, purpose, root }))
    } finally {
      unlock()
    }
  } catch (error) {
    // Ended by the same signal, so that whoever started this sees what happened.
    if (abort.signal.aborted) process.kill(process.pid, abort.signal.reason)
    else console.error(error instanceof Refusal ? error.message : error)
    process.exitCode = 1
  }
}

/** At 3 a.m. the tools have to work, also in a folder where somebody is in the middle of a change. */
function orLastBuild(error, { step, purpose, root }) {
  if (!(purpose === 'tools' && step === steps.build && error instanceof Refusal && hasBuild(root))) throw error
  console.error(`${error.message}\nUntil then the tools are those of the last build that did not fail.`)
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { for: { type: 'string', default: 'start' }, quiet: { type: 'boolean', default: false } },
    })
    if (['start', 'tools', 'test', 'check', 'build'].includes(values.for))
      return { purpose: values.for, quiet: values.quiet }
  } catch {
    // An unknown option: the usage line says which there are.
  }
  console.error(usage)
  process.exit(2)
}

await main()
