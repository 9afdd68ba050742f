import { totalmem } from 'node:os'
import type { Durability } from '../config.ts'
import type { Place, StoreName } from './place.ts'

const mb = 1024 ** 2

/**
 * The redis.conf of a managed store. The two differ where it matters: the queue store never evicts and writes each
 * command to disk before it answers; the cache store evicts and keeps nothing.
 */
export function renderConf(store: StoreName, place: Place, durability: Durability): string {
  const own = store === 'queue' ? queueLines(durability) : cacheLines()
  const lines = [
    'port 0',
    `unixsocket ${quote(place.socket(store))}`,
    'unixsocketperm 700',
    `dir ${quote(place.data(store))}`,
    `logfile ${quote(place.log(store))}`,
    `pidfile ${quote(place.pid(store))}`,
    'daemonize no',
    'databases 1',
    'loglevel notice',
    'enable-debug-command no',
    'enable-module-command no',
    'lazyfree-lazy-eviction yes',
    'lazyfree-lazy-expire yes',
    'lazyfree-lazy-server-del yes',
    'lazyfree-lazy-user-del yes',
    'slowlog-log-slower-than 10000',
    ...own,
  ]
  return `${lines.join('\n')}\n`
}

function queueLines(durability: Durability): string[] {
  return [
    'appendonly yes',
    // With waitaof the server may write behind: each batch of adds then waits for its own fsync.
    `appendfsync ${durability === 'always' ? 'always' : 'everysec'}`,
    'no-appendfsync-on-rewrite no',
    // A torn last command after kill -9 was never acknowledged; refusing to start because of it would lose the rest.
    'aof-load-truncated yes',
    'aof-use-rdb-preamble yes',
    'auto-aof-rewrite-percentage 100',
    'auto-aof-rewrite-min-size 64mb',
    'save ""',
    // An AOF rewrite under load needs up to 1.9 times the data (measured), hence a quarter of the machine at most.
    `maxmemory ${clamp(memory() / 4, 64 * mb, 4096 * mb)}`,
    'maxmemory-policy noeviction',
  ]
}

function cacheLines(): string[] {
  return [
    'appendonly no',
    'save ""',
    // 10,000 conversations of 50 KB are 574 MB (measured), and others want room as well.
    `maxmemory ${clamp(memory() / 20, 32 * mb, 1024 * mb)}`,
    'maxmemory-policy allkeys-lru',
  ]
}

/** Bytes this process may use: the container's limit where there is one. */
function memory(): number {
  const limit = process.constrainedMemory?.() ?? 0
  return limit > 0 && limit < totalmem() ? limit : totalmem()
}

function clamp(value: number, min: number, max: number): number {
  return Math.round(Math.min(max, Math.max(min, value)))
}

function quote(path: string): string {
  return `"${path.replace(/[\\"]/g, '\\$&')}"`
}
