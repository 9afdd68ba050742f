import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'

/** A way to a store on which connections can go dead without being closed: what is said is heard, the answers are swallowed. */
export type Swallow = {
  readonly url: string
  /** From now on, on those that are open. New ones are fine. Gives how many. */
  deafen(): number
  close(): void
}

export function swallowBefore(redis: { readonly path: string; readonly dir: string }): Promise<Swallow> {
  const path = join(redis.dir, 'swallow')
  const sockets = new Set<{ readonly client: Socket; readonly store: Socket; isDeaf: boolean }>()
  const server = createServer((client) => {
    const pair = { client, store: createConnection(redis.path), isDeaf: false }
    sockets.add(pair)
    const end = () => {
      client.destroy()
      pair.store.destroy()
      sockets.delete(pair)
    }
    for (const socket of [client, pair.store]) socket.on('error', end).on('close', end)
    client.on('data', (chunk) => pair.store.write(chunk))
    pair.store.on('data', (chunk) => void (pair.isDeaf || client.write(chunk)))
  })
  return new Promise((resolve) => {
    server.listen(path, () =>
      resolve({
        url: `unix://${path}`,
        deafen: () => {
          for (const pair of sockets) pair.isDeaf = true
          return sockets.size
        },
        close: () => {
          server.close()
          for (const { client } of sockets) client.destroy()
        },
      }),
    )
  })
}
