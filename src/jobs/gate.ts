import type { AnyQueue } from '../define/queue.ts'
import { MillraceError } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import type { BullQueue } from './bull.ts'
import { adopt } from './gate/adopt.ts'
import { hasGate, shortKey } from './gate/place.ts'
import { reconcileScript } from './gate/reconcile.ts'
import { isSettled, writeSettings } from './gate/settings.ts'
import { type Rounds, startRounds } from './rounds.ts'

const everyMs = 5_000
/** One call looks at so many lanes, so that nobody else waits for it noticeably. */
const perCall = 500
/** A round stops here; the next one goes on. */
const maxCalls = 200

/** KEYS[1] the key's pause, ARGV[1] its length in ms. Of several that were asked for the longest holds, whichever was told last. */
const holdScript = `
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end`

/**
 * Upkeep of the gates. What a gate does it does inside the scripts (gate/lua.ts); here its settings are written at the start,
 * and what no script can see is set right: jobs that were removed by hand, lanes that nobody needs any more.
 */
export class Gate {
  readonly name = 'gate'
  readonly #queues: readonly AnyQueue[]
  readonly #bull: ReadonlyMap<string, BullQueue>
  readonly #log: Logger
  /** Queues whose settings are not written yet. */
  readonly #unsettled: Set<AnyQueue>
  #first: Promise<void> | undefined
  readonly #cursors = new Map<string, string>()
  #rounds: Rounds | undefined

  constructor({
    queues,
    bull,
    log,
  }: { queues: readonly AnyQueue[]; bull: ReadonlyMap<string, BullQueue>; log: Logger }) {
    this.#queues = queues
    this.#unsettled = new Set(queues)
    this.#bull = bull
    this.#log = log
  }

  /** A store that refuses writes is told later: it takes no jobs either, and a start need not wait for it. */
  async start(): Promise<void> {
    await this.#settle().catch((error) => this.#log.warn({ err: error }, 'could not write the gates; trying again'))
    const round = () =>
      this.reconcile().catch((error) => this.#log.warn({ err: error }, 'could not look after the gates; trying again'))
    // At once: jobs that waited before there was a gate are not handed out until they have their place.
    this.#first = round()
    this.#rounds = startRounds(everyMs, round)
  }

  async stop(): Promise<void> {
    await this.#rounds?.stop()
    await this.#first
  }

  /** Sets right what was changed behind a gate's back. Several processes may do it at once. */
  async reconcile(): Promise<void> {
    await this.#settle()
    for (const queue of this.#queues) {
      const bull = this.#bullOf(queue)
      if ((hasGate(queue) || queue.limit) && !(await isSettled(bull))) await writeSettings(bull, queue)
      if (!hasGate(queue)) continue
      await adopt(bull, queue)
      for (let call = 0; call < maxCalls; call++) {
        const cursor = this.#cursors.get(queue.name) ?? '0'
        const next = String(await bull.redis.eval(reconcileScript, 1, bull.toKey('gate'), cursor, perCall))
        this.#cursors.set(queue.name, next)
        if (next === '0') break
      }
    }
  }

  async #settle(): Promise<void> {
    for (const queue of this.#unsettled) {
      await writeSettings(this.#bullOf(queue), queue)
      this.#unsettled.delete(queue)
    }
  }

  /**
   * Holds back all jobs that are limited by `key` until `at`, in milliseconds. Those in hand go on. Nothing happens in a queue that is
   * not limited by key.
   */
  async holdBack(queue: AnyQueue, given: string, at: number): Promise<void> {
    if (queue.limit?.by === undefined) return
    const key = shortKey(given)
    const bull = this.#bullOf(queue)
    const ms = Math.ceil(at - Date.now())
    if (ms > 0) await bull.redis.eval(holdScript, 1, bull.toKey(`gate:hold:${key}`), ms)
  }

  #bullOf(queue: AnyQueue): BullQueue {
    const bull = this.#bull.get(queue.name)
    if (!bull) throw new MillraceError('unknown-queue', `there is no queue '${queue.name}'`)
    return bull
  }
}
