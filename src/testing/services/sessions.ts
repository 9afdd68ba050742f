import type { Session, SessionChange, Sessions } from '../../define/services.ts'

/** What a session keeps. */
const mostMessages = 50
const mostToolRuns = 20

/** The sessions of all tenants. */
export class SessionShelf {
  readonly now: () => number
  readonly #sessions = new Map<string, Session>()

  constructor(now: () => number) {
    this.now = now
  }

  get(tenant: string | undefined, id: string): Session | undefined {
    return this.#sessions.get(keyOf(tenant, id))
  }

  put(tenant: string | undefined, session: Session): void {
    this.#sessions.set(keyOf(tenant, session.id), session)
  }

  delete(tenant: string | undefined, id: string): boolean {
    return this.#sessions.delete(keyOf(tenant, id))
  }

  all(): Session[] {
    return [...this.#sessions.values()]
  }
}

export function sessionsOf(shelf: SessionShelf, tenant: string | undefined): Sessions {
  return {
    get: async (id) => shelf.get(tenant, id),
    update: async (id, change, { user } = {}) => {
      const now = shelf.now()
      const before = shelf.get(tenant, id) ?? empty(id, tenant, now)
      const after = changed({ ...before, user: before.user ?? user }, change(before), now)
      shelf.put(tenant, after)
      return after
    },
    delete: async (id) => shelf.delete(tenant, id),
  }
}

function empty(id: string, tenant: string | undefined, now: number): Session {
  return {
    id,
    tenant: tenant ?? '',
    user: undefined,
    messages: [],
    toolRuns: [],
    data: {},
    version: 0,
    createdAt: now,
    lastActivityAt: now,
  }
}

function changed(session: Session, { messages = [], toolRuns = [], data = {} }: SessionChange, at: number): Session {
  const after = {
    ...session,
    messages: [...session.messages, ...messages.map((message) => ({ ...message, at }))].slice(-mostMessages),
    toolRuns: [...session.toolRuns, ...toolRuns.map((run) => ({ ...run, at }))].slice(-mostToolRuns),
    data: { ...session.data, ...data },
    version: session.version + 1,
    lastActivityAt: at,
  }
  // As it comes out of a store: what JSON does not keep is lost here as well. `user` may be undefined.
  return { ...after, ...(JSON.parse(JSON.stringify(after)) as Session) }
}

function keyOf(tenant: string | undefined, id: string): string {
  return JSON.stringify([tenant ?? null, id])
}
