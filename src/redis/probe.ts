import { createConnection } from 'node:net'

/** What a redis-server behind a unix socket says of itself, with nothing but node:net. */
export type Probe =
  | { readonly state: 'ready' | 'loading'; readonly pid: number; readonly detail: string }
  | { readonly state: 'absent' | 'silent' }

/** Asks for INFO, which answers during loading too. `silent` is a server that accepts but does not answer in time. */
export function probe(socketPath: string, timeoutMs = 1_000): Promise<Probe> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath)
    let text = ''
    const finish = (result: Probe) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(() => finish({ state: 'silent' }), timeoutMs)
    socket.on('error', () => finish({ state: 'absent' }))
    socket.on('close', () => finish({ state: 'absent' }))
    socket.on('connect', () => socket.write('INFO server\r\nINFO persistence\r\nPING\r\n'))
    socket.on('data', (chunk: Buffer) => {
      text += chunk
      const last = /(\+PONG|-LOADING[^\r]*|-MISCONF[^\r]*)\r\n$/.exec(text)
      if (!last) return
      const pid = Number(/process_id:(\d+)/.exec(text)?.[1] ?? 0)
      const percent = /loading_loaded_perc:([\d.]+)/.exec(text)?.[1]
      finish(
        last[1]?.startsWith('-LOADING')
          ? { state: 'loading', pid, detail: `loading its data${percent ? `, ${Math.round(Number(percent))} %` : ''}` }
          : { state: 'ready', pid, detail: 'ready' },
      )
    })
  })
}
