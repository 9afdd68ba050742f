import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'

/* Where the embedded database of one DATA_DIR lives. Its process and everybody who looks for it compute the same paths. */

export type EmbeddedPlace = {
  readonly dir: string
  /** PGlite's own folder. */
  readonly data: string
  readonly socket: string
  /** An address that only one process can hold. It serves nothing: anybody on the machine may connect to it. */
  readonly lockAddress: string
  /** Who has the folder, and by its time that it lives: for machines that do not see each other's addresses. */
  readonly owner: string
  readonly log: string
}

/** Exit code of a process that leaves the folder to another machine's. */
export const folderInUse = 4

export function embeddedPlace(dataDir: string): EmbeddedPlace {
  const dir = join(dataDir, 'database')
  const hash = createHash('sha256').update(dir).digest('hex').slice(0, 16)
  // sun_path holds 108 bytes on Linux and 104 on macOS; a deeper DATA_DIR gets a short home for its socket.
  const sockets = dir.length <= 80 ? dir : join(tmpdir(), `millrace-db-${userInfo().uid}-${hash}`)
  return {
    dir,
    data: join(dir, 'pglite'),
    socket: join(sockets, 'sql.sock'),
    lockAddress: process.platform === 'linux' ? `\0millrace-db-${userInfo().uid}-${hash}` : join(sockets, 'lock.sock'),
    owner: join(dir, 'owner'),
    log: join(dir, 'database.log'),
  }
}

/** Makes the folders, for the owner only. */
export function prepareEmbeddedPlace({ dir, socket }: EmbeddedPlace): void {
  for (const folder of [dir, dirname(socket)]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    chmodSync(folder, 0o700)
  }
}
