/*
 * Every Redis key that Millrace itself makes, with type, owner and lifetime. BullMQ's keys share the prefix:
 * <prefix>:<queue>:{wait,active,…} and <prefix>:<queue>:<job id>.
 */
export const keys = {
  /** Stream, http role, INBOX_RETENTION. Queue store. Every accepted event, with its payload. */
  inbox: (prefix: string) => `${prefix}:inbox`,
  /** String, http role, the session's lifetime. Cache store. One for each signed-in browser. */
  session: (prefix: string) => `${prefix}:session:`,
}
