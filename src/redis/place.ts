import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/*
 * Where the managed stores of one DATA_DIR live. The keeper and everyone who looks for it compute the same paths.
 */

export const storeNames = ['queue', 'cache'] as const
export type StoreName = (typeof storeNames)[number]

export type Place = {
  readonly dir: string
  /** The keeper's own socket: a connection to it is the claim "I am using these stores". */
  readonly keeperSocket: string
  /** An address that only one process can hold; see keeper.ts. */
  readonly lockAddress: string
  readonly keeperLog: string
  socket(store: StoreName): string
  conf(store: StoreName): string
  data(store: StoreName): string
  log(store: StoreName): string
  pid(store: StoreName): string
}

export function placeOf(dataDir: string): Place {
  const dir = join(dataDir, 'redis')
  const hash = createHash('sha256').update(dir).digest('hex').slice(0, 16)
  // sun_path holds 108 bytes on Linux and 104 on macOS; a deeper DATA_DIR gets a short home for its sockets.
  const sockets = dir.length <= 80 ? dir : join(tmpdir(), `millrace-${userInfo().uid}-${hash}`)
  return {
    dir,
    keeperSocket: join(sockets, 'keeper.sock'),
    lockAddress: process.platform === 'linux' ? `\0millrace-${userInfo().uid}-${hash}` : join(sockets, 'lock.sock'),
    keeperLog: join(dir, 'keeper.log'),
    socket: (store) => join(sockets, `${store}.sock`),
    conf: (store) => join(dir, `${store}.conf`),
    data: (store) => join(dir, store),
    log: (store) => join(dir, `${store}.log`),
    pid: (store) => join(dir, `${store}.pid`),
  }
}

/** Makes the folders, for the owner only. */
export function preparePlace(place: Place): void {
  for (const dir of [place.dir, place.data('queue'), place.data('cache'), join(place.keeperSocket, '..')]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    chmodSync(dir, 0o700)
  }
}
