import type { Session, Sessions } from '../../define/services.ts'
import { changedSession, emptySession } from '../../policy/session.ts'

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
      const before = shelf.get(tenant, id) ?? emptySession(id, tenant ?? '', user, now)
      const after = changedSession(before, change(before), { now, user })
      shelf.put(tenant, after)
      return after
    },
    delete: async (id) => shelf.delete(tenant, id),
  }
}

function keyOf(tenant: string | undefined, id: string): string {
  return JSON.stringify([tenant ?? null, id])
}
