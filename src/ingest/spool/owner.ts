import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, rename, rm, rmdir, stat, symlink } from 'node:fs/promises'
import { createConnection, createServer, type Server } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { codeOf, fsyncDir, ignoreMissing, makeDir } from './folder.ts'

/*
 * Whose folder is whose. Every process has its own in the shared one, named by a random id that is never used again, and
 * listens on a socket in it for as long as it lives. The kernel closes that whichever way the process ends; pids would say
 * nothing about a process in another container. So:
 *
 *   — Nobody answers in a folder: its owner is dead, and stays dead. Any doubt counts as life.
 *   — Who renames a dead one's folder into its own has adopted it; the kernel lets only one succeed.
 *   — The folder gets its name when the socket listens already, or a new process would be taken for a dead one.
 *
 * All this holds on one machine. On a network file system another machine's sockets refuse, and its folders would be taken
 * from under it.
 */

const ownerName = /^[0-9a-f]{12}$/
const newPrefix = '.new-'
const segmentName = /^\d{15}-[0-9a-f]{12}\.segment$/
const socketName = 's'
/** A process gets from making its folder to naming it in far less. */
const unnamedMs = 60_000
const probeMs = 1_000

export class Owner {
  readonly #root: string
  readonly #id = randomBytes(6).toString('hex')
  #server: Server | undefined
  #last = 0

  constructor(root: string) {
    this.#root = root
  }

  get dir(): string {
    return join(this.#root, this.#id)
  }

  /** Names grow even when the clock goes back: their order is the order of the records. */
  nextSegment(now: number): string {
    this.#last = Math.max(this.#last + 1, Math.trunc(now))
    return join(this.dir, `${String(this.#last).padStart(15, '0')}-${this.#id}.segment`)
  }

  /** Makes this process's folder, and again when somebody has removed it. Resolves with whether it is new. */
  async claim(): Promise<boolean> {
    if (this.#server && (await isThere(this.dir))) return false
    await this.release()
    await makeDir(this.#root)
    const unnamed = join(this.#root, newPrefix + this.#id)
    await makeDir(unnamed)
    this.#server = await listen(join(await reachable(this.#root), newPrefix + this.#id, socketName))
    await rename(unnamed, this.dir)
    await fsyncDir(this.#root)
    return true
  }

  /** Takes over what dead processes have left; resolves with the paths of all segments that are not our own. */
  async adopt(): Promise<string[]> {
    for (const name of await readdir(this.#root)) {
      if (name === this.#id || !(await this.#isDead(name))) continue
      if (name.startsWith(newPrefix)) await this.#discard(name)
      // Missing: another was faster.
      else await rename(join(this.#root, name), join(this.dir, name)).catch(ignoreMissing)
    }
    return this.#collect()
  }

  /** From here on others may adopt what is left. An empty folder is removed. */
  async release(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    await new Promise((resolve) => server.close(resolve))
    await rm(join(this.dir, socketName), { force: true })
    await rmdir(this.dir).catch(() => {}) // holds segments, or has been adopted already
  }

  async #isDead(name: string): Promise<boolean> {
    const isNew = name.startsWith(newPrefix)
    if (!ownerName.test(isNew ? name.slice(newPrefix.length) : name)) return false
    if (isNew) {
      const made = await stat(join(this.#root, name)).catch(() => undefined)
      if (!made || Date.now() - made.mtimeMs < unnamedMs) return false
    }
    const answer = await ask(join(await reachable(this.#root), name, socketName))
    // Missing may also be the link that led there.
    return answer === 'refused' || (answer === 'missing' && !(await isThere(join(this.#root, name, socketName))))
  }

  /** A process died before it had a folder: it has written nothing. */
  async #discard(name: string): Promise<void> {
    await rm(join(this.#root, name, socketName), { force: true })
    await rmdir(join(this.#root, name)).catch(() => {})
  }

  /** Segments from adopted folders, out of these into our own: otherwise each generation would nest one deeper. */
  async #collect(): Promise<string[]> {
    for (const entry of await readdir(this.dir, { withFileTypes: true }))
      if (entry.isDirectory()) {
        await this.#flatten(join(this.dir, entry.name))
        await fsyncDir(this.dir)
      }
    const names = await readdir(this.dir)
    return names
      .filter((name) => segmentName.test(name) && !name.includes(this.#id))
      .map((name) => join(this.dir, name))
  }

  async #flatten(dir: string): Promise<void> {
    for (const entry of await readdir(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name)
      if (entry.isDirectory()) await this.#flatten(path)
      else if (segmentName.test(entry.name)) await rename(path, join(this.dir, entry.name))
      else if (entry.name === socketName) await rm(path, { force: true })
    }
    await rmdir(dir).catch(() => {}) // somebody's own file is in it
  }
}

/** A queue that is full, a right that one has not, and silence are no sign of death. */
function ask(path: string): Promise<'alive' | 'refused' | 'missing'> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    const settle = (answer: 'alive' | 'refused' | 'missing') => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => settle('alive'), probeMs)
    socket.once('connect', () => settle('alive'))
    socket.on('error', (error) => {
      const code = codeOf(error)
      settle(code === 'ECONNREFUSED' ? 'refused' : code === 'ENOENT' ? 'missing' : 'alive')
    })
  })
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.destroy()
    })
    server.once('error', reject)
    server.listen(path, () => {
      // A failed accept (no descriptors left, say) is no reason to die; who connects has its answer without it.
      server.on('error', () => {}).unref()
      resolve(server)
    })
  })
}

/**
 * The folder by a path that leaves room for a socket's name: sun_path holds 108 bytes on Linux and 104 on macOS. A deeper
 * one gets a short link, made anew each time because tidy systems remove what lies in /tmp. The socket itself stays in the
 * folder, so that containers which share that, and not /tmp, see it.
 */
async function reachable(root: string): Promise<string> {
  if (Buffer.byteLength(root) <= 80) return root
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 12)
  const home = join(tmpdir(), `millrace-${userInfo().uid}-${hash}`)
  await mkdir(home, { recursive: true, mode: 0o700 })
  // In a folder that is somebody else's the link would be too; chmod fails there.
  await chmod(home, 0o700)
  await symlink(root, join(home, 'd')).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
  return join(home, 'd')
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error) => codeOf(error) !== 'ENOENT',
  )
}
