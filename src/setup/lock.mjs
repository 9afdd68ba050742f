import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pid } from 'node:process'
import { setTimeout } from 'node:timers/promises'
import { Refusal } from './steps.mjs'

/*
 * One setup at a time in a checkout. The lock is a folder that holds one file, named for the process that has it.
 *
 * It is taken by renaming a folder prepared beforehand: rename(2) puts a folder in the place of an empty one, or of none,
 * but never of one with a file in it. So a dead holder's file can be removed by anyone, however often and however late,
 * without ever taking the lock from a holder that lives: its file has another name.
 */

const pollMs = 50

/** Waits for its turn; gives the function that ends it. */
export async function lock(folder, { show, signal }) {
  const mine = `${folder}.${pid}`
  rmSync(mine, { recursive: true, force: true })
  try {
    mkdirSync(mine)
  } catch (error) {
    throw new Refusal(
      `${dirname(folder)} cannot be written by this user (${error.code}), and packages or the build are missing there; run this as its owner, or type: sudo chown -R "$USER" ${dirname(folder)}`,
    )
  }
  writeFileSync(join(mine, String(pid)), '')
  try {
    if (!take(mine, folder)) await show(waitingFor(folder), () => untilTaken(mine, folder, signal))
  } catch (error) {
    rmSync(mine, { recursive: true, force: true })
    throw error
  }
  removeLeftovers(folder)
  return () => release(folder)
}

async function untilTaken(mine, folder, signal) {
  while (!take(mine, folder)) {
    await setTimeout(pollMs)
    signal.throwIfAborted()
  }
}

function take(mine, folder) {
  // Our own number in there is a dead process's: the numbers of a container start again with each run of it.
  for (const holder of holders(folder))
    if (holder === pid || !isAlive(holder)) rmSync(join(folder, String(holder)), { force: true })
  try {
    renameSync(mine, folder)
    return true
  } catch (error) {
    if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false
    throw error
  }
}

function release(folder) {
  rmSync(join(folder, String(pid)), { force: true })
  try {
    rmdirSync(folder)
  } catch {
    // The next one has it already.
  }
}

function waitingFor(folder) {
  const [holder] = holders(folder)
  return `Waiting for process ${holder ?? ''}, which sets up this checkout (if it does not: rm -r ${folder})`
}

function holders(folder) {
  try {
    return readdirSync(folder).map(Number)
  } catch {
    return []
  }
}

/** Folders of processes that were killed while they waited. */
function removeLeftovers(folder) {
  const parent = dirname(folder)
  for (const name of readdirSync(parent)) {
    const path = join(parent, name)
    if (path.startsWith(`${folder}.`) && !isAlive(Number(path.slice(folder.length + 1))))
      rmSync(path, { recursive: true, force: true })
  }
}

function isAlive(holder) {
  try {
    return process.kill(holder, 0)
  } catch (error) {
    // Another user's process refuses the question, but it is there.
    return error.code === 'EPERM'
  }
}
