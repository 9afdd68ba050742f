/** Marks BullMQ's schedulers that came from a queue file: others are nobody's business. No colon: an old kind of key has them. */
export const schedulePrefix = 'millrace.'

export const schedulerId = (id: string) => schedulePrefix + id
