import { adminKey, type TestApp } from './app.ts'

/** Asks an App's API with a key. */
export function apiOf(app: () => TestApp) {
  const ask = (path: string, { key = adminKey, ...init }: RequestInit & { key?: string } = {}): Promise<Response> =>
    fetch(`${app().url}/api${path}`, {
      ...init,
      headers: { authorization: `Bearer ${key}`, ...(init.headers as Record<string, string> | undefined) },
    })
  return {
    ask,
    /** The answer as JSON, whatever its status. */
    read: async <T = Record<string, unknown>>(path: string, init?: Parameters<typeof ask>[1]): Promise<T> =>
      (await (await ask(path, init)).json()) as T,
    add: (queue: string, payload: unknown, init: Parameters<typeof ask>[1] = {}) =>
      ask(`/queues/${queue}/jobs`, { method: 'POST', body: JSON.stringify(payload), ...init }),
  }
}
