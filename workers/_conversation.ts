import type { Message, Session, SessionChange, Sessions, ToolRun } from '../src/index.ts'

/** What an attempt has done, or at least begun, that must not be done twice. */
type Deed = { readonly begunAt: number; readonly result?: unknown }
/** What has become of one job in this conversation: what a repeated attempt goes on from. */
type Turn = {
  readonly job: string
  /** What is to be said. */
  readonly answer?: string
  readonly deeds: Readonly<Record<string, Deed>>
}

/** So many jobs back a repeated attempt is still known. Attempts at one job are minutes apart, and not twenty questions. */
const mostTurns = 20
/** Half of what a session's data may have: a turn holds an answer, and what tools have made. */
const mostTurnBytes = 32 * 1_024

/** The session of a thread, as one job uses it. */
export class Conversation {
  readonly #sessions: Sessions
  readonly #id: string
  readonly #job: string
  readonly #user: string | undefined
  #session: Session | undefined
  /** What this attempt itself has begun. */
  readonly #begun = new Set<string>()
  /** Not written yet. */
  #toolRuns: Omit<ToolRun, 'at'>[] = []

  private constructor(sessions: Sessions, { id, job, user }: { id: string; job: string; user: string | undefined }) {
    this.#sessions = sessions
    this.#id = id
    this.#job = job
    this.#user = user
  }

  static async open(
    sessions: Sessions,
    about: { id: string; job: string; user: string | undefined },
  ): Promise<Conversation> {
    const opened = new Conversation(sessions, about)
    opened.#session = await sessions.get(about.id)
    return opened
  }

  get messages(): readonly Message[] {
    return this.#session?.messages ?? []
  }

  /** What this job has found to say, in this attempt or an earlier one. */
  get answer(): string | undefined {
    return this.#turn.answer
  }

  ran(run: Omit<ToolRun, 'at'>): void {
    this.#toolRuns.push(run)
  }

  /**
   * Notes question and answer together, so that two questions at once do not get mixed up; with it that `next` is begun, which saves
   * `once` a write.
   */
  async answered(question: string, answer: string, next?: string): Promise<void> {
    const messages = [
      { role: 'user', text: question },
      { role: 'assistant', text: answer },
    ] as const
    const deeds = next === undefined ? {} : { [next]: { begunAt: Date.now() } }
    await this.#update((turn) => ({ ...turn, answer, deeds: { ...turn.deeds, ...deeds } }), messages)
    if (next !== undefined) this.#begun.add(next)
  }

  /**
   * Does it once, in all attempts at this job together. What an earlier attempt has begun and not noted the end of is looked for
   * with `find` before it is done again.
   */
  async once<Result>(
    name: string,
    run: () => Promise<Result>,
    find: () => Promise<Result | undefined>,
    surelyUndone: (error: unknown) => boolean,
  ): Promise<Result> {
    const before = this.#turn.deeds[name]
    if (before && 'result' in before) return before.result as Result
    const found = before && !this.#begun.has(name) ? await find() : undefined
    if (!before) await this.#begin(name)
    try {
      const result = found ?? (await run())
      await this.#noteDeed(name, { begunAt: Date.now(), result })
      return result
    } catch (error) {
      if (surelyUndone(error)) await this.#noteDeed(name, undefined)
      throw error
    }
  }

  /** Writes what has not been written with something else. */
  async flush(): Promise<void> {
    if (this.#toolRuns.length > 0) await this.#update((turn) => turn)
  }

  get #turn(): Turn {
    return turnsOf(this.#session).find(({ job }) => job === this.#job) ?? { job: this.#job, deeds: {} }
  }

  #begin(name: string): Promise<void> {
    return this.#update((turn) => {
      // Taken for dead, and alive: whoever was first goes on.
      if (turn.deeds[name]) throw new Error(`another attempt at this job has begun ${name}`)
      return { ...turn, deeds: { ...turn.deeds, [name]: { begunAt: Date.now() } } }
    })
  }

  #noteDeed(name: string, deed: Deed | undefined): Promise<void> {
    return this.#update((turn) => {
      const { [name]: _before, ...others } = turn.deeds
      return { ...turn, deeds: deed ? { ...others, [name]: deed } : others }
    })
  }

  async #update(change: (turn: Turn) => Turn, messages: SessionChange['messages'] = []): Promise<void> {
    const toolRuns = this.#toolRuns
    this.#toolRuns = []
    const user = this.#user === undefined ? {} : { user: this.#user }
    this.#session = await this.#sessions.update(
      this.#id,
      (newest) => {
        const turn = turnsOf(newest).find(({ job }) => job === this.#job) ?? { job: this.#job, deeds: {} }
        const others = turnsOf(newest).filter(({ job }) => job !== this.#job)
        return { messages, toolRuns, data: { turns: trimmed([...others, change(turn)]) } }
      },
      user,
    )
  }
}

function trimmed(turns: readonly Turn[]): readonly Turn[] {
  const kept = turns.slice(-mostTurns)
  while (kept.length > 1 && Buffer.byteLength(JSON.stringify(kept)) > mostTurnBytes) kept.shift()
  return kept
}

function turnsOf(session: Session | undefined): readonly Turn[] {
  return (session?.data.turns as readonly Turn[] | undefined) ?? []
}
