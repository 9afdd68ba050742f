import { randomBytes } from 'node:crypto'

/**
 * Makes ids that sort by time, are unique across processes, and that BullMQ accepts (no integer, no colon):
 * `j` + milliseconds (base 36) + 6 random characters of this process + a counter.
 */
export function createJobIds(now: () => number = Date.now): () => string {
  const own = randomBytes(8).toString('base64url').replace(/[-_]/g, '0').slice(0, 6)
  let count = 0
  let [at, begun] = [0, '']
  return () => {
    count = (count + 1) % 1_679_616 // 36^4: four digits, and no process makes that many jobs in one millisecond
    const time = now()
    if (time !== at) [at, begun] = [time, `j${time.toString(36)}${own}`]
    return begun + count.toString(36).padStart(4, '0')
  }
}
