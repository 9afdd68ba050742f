import { readFileSync } from 'node:fs'
import type { MillraceProcess } from '../harness/process.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'
import { median } from './report.ts'
import { Rig } from './rig.ts'
import { eventOf } from './senders.ts'

/*
 * Constant load for a long time: whether memory stays what it is. The store's grows by design: each event leaves its
 * deduplication keys for 25 hours. What is judged of it is what goes beyond these.
 */

const sampleMs = 30_000
const tickMs = 20
/** A sender that waits for more answers than these sends no more. */
const mostOpen = 500
const mb = 1024 ** 2
/** Of an event that is done: two keys, of its id and of who said what when, and their places in two tables (measured: 450). */
const storeBytesPerEvent = 600
/** Small, so that it is full before the first half is over. */
const inboxLimit = '4mb'

export type Sample = { readonly atMs: number; readonly sent: number } & Readonly<Record<Measure, number>>
export type Soak = {
  readonly samples: readonly Sample[]
  readonly acknowledged: number
  readonly refused: number
  readonly done: number
  readonly verdicts: readonly string[]
  readonly isGood: boolean
}

const measures = ['server', 'worker', 'store'] as const
type Measure = (typeof measures)[number]

export async function runSoak({
  ms,
  rate,
  say,
  onStart = () => {},
}: {
  ms: number
  rate: number
  say: (line: string) => void
  onStart?: (rig: Promise<Rig>) => void
}): Promise<Soak> {
  const starting = Rig.start({ INBOX_LIMIT: inboxLimit })
  onStart(starting)
  const rig = await starting
  try {
    const count = { sent: 0, acknowledged: 0, refused: 0, done: 0, open: 0 }
    const began = Date.now()
    const send = async () => {
      const id = freshId()
      const response = await post(rig.http.url, mention(id, { event: eventOf(id) })).catch(() => undefined)
      await response?.arrayBuffer()
      count.open -= 1
      if (response?.status === 200) count.acknowledged += 1
      else count.refused += 1
    }
    const pacer = setInterval(() => {
      const due = Math.floor(((Date.now() - began) * rate) / 1_000)
      for (; count.sent < due && count.open < mostOpen; count.sent += 1) {
        count.open += 1
        void send()
      }
    }, tickMs)

    const read = () => {
      rig.http.take()
      count.done += rig.worker.take().match(/"outcome":"done"/g)?.length ?? 0
    }
    const samples: Sample[] = []
    const every = Math.min(sampleMs, ms / 20)
    try {
      for (let n = 1; n * every <= ms; n += 1) {
        await new Promise((resolve) => setTimeout(resolve, began + n * every - Date.now()))
        read()
        const sample = await take(rig, Date.now() - began, count.sent)
        samples.push(sample)
        say(
          `${Math.round(sample.atMs / 1_000)} s, ${count.sent} sent: server ${inMb(sample.server)}, worker ${inMb(sample.worker)}, store ${inMb(sample.store)} MB`,
        )
      }
    } finally {
      clearInterval(pacer)
    }
    await until(() => count.open === 0, 'every answer is there')
    await rig.untilIdle()
    await rig.stop()
    read()

    const judged = measures.map((measure) => judge(measure, samples))
    const isComplete = count.done === count.acknowledged
    const verdicts = [
      ...judged.map(({ line }) => line),
      `${count.acknowledged} acknowledged, ${count.refused} refused, ${count.done} done${isComplete ? '' : ': NOT the same'}`,
    ]
    for (const line of verdicts) say(line)
    return { samples, ...count, verdicts, isGood: isComplete && judged.every(({ isFlat }) => isFlat) }
  } finally {
    await rig.end()
  }
}

async function take({ http, worker, redis }: Rig, atMs: number, sent: number): Promise<Sample> {
  const store = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  return { atMs, sent, server: rss(http), worker: rss(worker), store }
}

function rss({ child }: MillraceProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
}

/** Medians of the second and the last fifth: 10 % and 10 MB more are no growth. */
function judge(measure: Measure, samples: readonly Sample[]): { line: string; isFlat: boolean } {
  const size = Math.max(1, Math.floor(samples.length / 5))
  const [second, last] = [samples.slice(size, 2 * size), samples.slice(-size)]
  const middle = (of: keyof Sample, some: readonly Sample[]) => median(some.map((sample) => sample[of]))
  const [from, to] = [middle(measure, second), middle(measure, last)]
  const events = middle('sent', last) - middle('sent', second)
  const keys = measure === 'store' ? events * storeBytesPerEvent : 0
  const isFlat = to <= from * 1.1 + 10 * mb + keys
  const each = measure === 'store' ? `, ${Math.round((to - from) / events)} bytes an event` : ''
  return { line: `${measure}: ${inMb(from)} → ${inMb(to)} MB${each}: ${isFlat ? 'flat' : 'it GROWS'}`, isFlat }
}

function inMb(bytes: number): string {
  return (bytes / mb).toFixed(1)
}
