import { createHash } from 'node:crypto'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { execPath } from 'node:process'
import { Refusal } from './steps.mjs'

const folders = ['src', 'queues', 'workers', 'test']
const stamp = '.built'

/** True when dist is not of the sources as they are. */
export function isStale(root) {
  try {
    return readFileSync(join(root, 'dist', stamp), 'utf8') !== fingerprint(root)
  } catch {
    return true
  }
}

/** True when dist is the result of a build, of whichever sources. */
export function hasBuild(root) {
  return exists(join(root, 'dist', stamp))
}

export async function build({ root, env, show, run }) {
  await show('Building', () => compile(root, (args) => run(execPath, args, env)))
}

/**
 * Into a folder of its own that then takes dist's place: nothing of a removed source stays, and until it is complete,
 * running processes keep what they have. It lies beside dist because source maps name the sources relative to themselves.
 */
async function compile(root, node) {
  const [dist, fresh, old] = ['dist', '.setup.dist', '.setup.old'].map((name) => join(root, name))
  // Before the compiler reads: what is edited while it runs makes the result stale.
  const inputs = fingerprint(root)
  remove(fresh)
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { code, output } = await node([tsc, '-p', '.', '--outDir', fresh])
    if (code !== 0) throw new Refusal(`The build failed; mend this, then type the same again.\n${output.trimEnd()}`)
    for (const file of filesOf(root, ['src'], ['.lua'])) {
      mkdirSync(dirname(join(fresh, file)), { recursive: true })
      copyFileSync(join(root, file), join(fresh, file))
    }
    writeFileSync(join(fresh, stamp), inputs)
    remove(old)
    if (exists(dist)) renameSync(dist, old)
    renameSync(fresh, dist)
    remove(old)
  } finally {
    remove(fresh)
  }
}

/** Path, size and time of every input. Reading them all would take longer than many a build. */
function fingerprint(root) {
  const files = [...filesOf(root, folders, ['.ts', '.lua']), 'tsconfig.json', 'package-lock.json']
  const hash = createHash('sha256')
  for (const file of files.sort()) {
    const { size, mtimeMs } = statSync(join(root, file))
    hash.update(`${file}\0${size}\0${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

/** Relative to the root. A folder may be missing: the image is built without test/. */
function filesOf(root, parents, extensions) {
  return parents
    .filter((parent) => exists(join(root, parent)))
    .flatMap((parent) => readdirSync(join(root, parent), { recursive: true }).map((name) => join(parent, name)))
    .filter((file) => extensions.includes(extname(file)))
}

function exists(path) {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

function remove(path) {
  rmSync(path, { recursive: true, force: true })
}
