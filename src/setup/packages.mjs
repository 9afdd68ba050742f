import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { Refusal, tail } from './steps.mjs'

const npmArguments = ['ci', '--include=dev', '--no-audit', '--no-fund']

/** Packages of the lock file that are not there in that version. Optional ones are a matter of the platform. */
export function missingPackages(root) {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages ?? {}
  // npm writes it last, so after an installation that was cut short it is missing.
  const installed = readJson(join(root, 'node_modules/.package-lock.json'))?.packages ?? {}
  return Object.keys(wanted).filter(
    (path) =>
      path !== '' &&
      !wanted[path].optional &&
      (installed[path]?.version !== wanted[path].version || !existsSync(join(root, path))),
  )
}

export async function installPackages({ env, show, run }) {
  await show('Installing packages', () => npmCi(env, run), { isSlow: true })
}

async function npmCi(env, run) {
  // `npm test --silent` must not make the npm within silent: its words are the only ones there are about a failure.
  const [command, args] = npmCommand(env)
  const { code, output } = await run(command, [...args, ...npmArguments], { ...env, npm_config_loglevel: 'error' })
  if (code === 0) return
  throw new Refusal(
    `npm could not install the packages (its words are below); type: npm ci --include=dev\n${reason(output)}`,
  )
}

/** The npm that runs this script, where it is one: another may be of another version, or not on PATH. */
function npmCommand({ npm_execpath: running }) {
  return running?.endsWith('npm-cli.js') ? [execPath, [running]] : ['npm', []]
}

/** npm says why first; then come stack traces, advice and lists of options. */
function reason(output) {
  const lines = output.split('\n').filter((line) => /^npm (error|ERR!) \S/.test(line) && !/ at .+:\d+\)?$/.test(line))
  return lines.length > 0 ? lines.slice(0, 10).join('\n') : tail(output)
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
