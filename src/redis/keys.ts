import { keyPart, room } from './room.ts'

/*
 * Every Redis key that Millrace itself makes, with type, owner and lifetime. BullMQ's keys share the prefix:
 * <prefix>:<queue>:{wait,active,…} and <prefix>:<queue>:<job id>.
 */
export const keys = {
  /** Stream, http role, INBOX_RETENTION. Queue store. Every accepted event, with its payload. */
  inbox: (prefix: string) => `${prefix}:inbox`,
  /** Channel. Tells the workers that a job was cancelled: `<queue> <job id>`. Queue store. */
  cancel: (prefix: string) => `${prefix}:cancel`,
  /**
   * Hash, scheduler role and whoever reads dead letters, bounded. Queue store, among the queue's own keys:
   * <prefix>:<queue>:dead-groups. What is remembered of each group of failures.
   */
  deadGroups: 'dead-groups',
  /** Set. Queue store. Tokens of the redrives under way. */
  redrives: (prefix: string) => `${prefix}:redrives`,
  /** Hash, with `:jobs` a list, with `:lock` a string. Queue store. 10 min; once it runs, a day after its last step. */
  redrive: (prefix: string, token: string) => `${prefix}:redrive:${token}`,
  /** Stream, whoever publishes, bounded; a day after the last message. Cache store. What is shown to listeners, of all tenants. */
  live: (prefix: string) => `${prefix}:live`,
  /** String, http role, the session's lifetime. Cache store. One for each signed-in browser. */
  session: (prefix: string) => `${prefix}:session:`,

  // — the cache; `room` stands for the tenant. Cache store, all with a time to live.
  /** Strings, whoever asks, the entry's time. `<room>:<name>`: one entry. */
  cacheEntry: (prefix: string) => `${prefix}:cache:v:`,
  /** Strings, whoever computes, seconds. `<room>:<name>`: the token of who computes that entry. */
  cacheLock: (prefix: string) => `${prefix}:cache:l:`,
  /** Strings, a year. `<room>`: another text after each invalidation by pattern. */
  cacheEpoch: (prefix: string) => `${prefix}:cache:e:`,
  /** Strings, as long as what is under it. `<room>:<tag>`: another text after each invalidation. */
  cacheTag: (prefix: string) => `${prefix}:cache:t:`,
  /** Sorted sets, as long as what is in it. `<room>:<tag>`: keys of entries by when they will be gone. */
  cacheTagged: (prefix: string) => `${prefix}:cache:g:`,
  /** Sorted sets, a day and an hour. `<hour>:<room>`: what was asked for, by how often, of those that can be computed again. */
  cacheUsed: (prefix: string) => `${prefix}:cache:u:`,
  /** Hashes, a day after the last use. `<room>`, and `*` for all: how requests were answered. */
  cacheStats: (prefix: string) => `${prefix}:cache:s:`,
  /** Channel. What every process is to forget, and which breakers to close. */
  cacheTold: (prefix: string) => `${prefix}:cache:told`,

  /** String, whoever counts, its window or until the bucket is full, and a second. Cache store. `rule` is part of it: another rule counts anew. */
  limit: (prefix: string, scope: string, tenant: string | undefined, name: string, rule: string) =>
    `${prefix}:limit:${scope}:${room(tenant)}:${keyPart(name)}:${rule}`,
  /** Hash, whoever uses `sessions`, SESSION_TTL from its last use. Cache store. A copy of a conversation; the original is in the database. */
  conversation: (prefix: string, room: string, id: string) => `${prefix}:conversation:${room}:${id}`,
}
