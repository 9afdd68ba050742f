import type { App } from '../app.ts'
import { type Duration, durationMs } from '../define/duration.ts'

export type DrainOptions = {
  /** Default: '10s'. */
  timeout?: Duration
}

const lookMs = 10

/**
 * Resolves when no queue of the App has a job that waits, runs, or is due. Jobs for later are left: those with a delay, those
 * between two attempts, the next runs of schedules. Rejects after `timeout`, saying what is left.
 */
export async function drain(app: Pick<App, 'bull'>, { timeout = '10s' }: DrainOptions = {}): Promise<void> {
  const deadline = Date.now() + durationMs(timeout, 'drain() timeout')
  for (;;) {
    const left = await leftIn(app)
    if (left.length === 0) return
    if (Date.now() >= deadline) throw new Error(`not drained within ${timeout}: ${left.join('; ')}`)
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

const parts = ['waiting', 'prioritized', 'active', 'due'] as const

/** In one transaction: a worker may just be passing a job from a queue that was looked at to one that was not yet. */
async function leftIn({ bull }: Pick<App, 'bull'>): Promise<string[]> {
  const queues = [...bull.values()]
  const [any] = queues
  if (!any) return []
  const look = any.redis.multi()
  // BullMQ keeps times in the upper bits of a score.
  const due = (Date.now() + 1) * 0x1000 - 1
  for (const queue of queues)
    look
      .llen(queue.toKey('wait'))
      .zcard(queue.toKey('prioritized'))
      .llen(queue.toKey('active'))
      .zcount(queue.toKey('delayed'), '-inf', due)
  const answers = (await look.exec()) ?? []
  return queues.flatMap((queue, i) => {
    const counts = parts.map((part, j) => ({ part, count: Number(answers[i * parts.length + j]?.[1]) }))
    const left = counts.filter(({ count }) => count > 0).map(({ part, count }) => `${count} ${part}`)
    return left.length > 0 ? [`'${queue.name}' has ${left.join(', ')}`] : []
  })
}
