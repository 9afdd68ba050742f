import { randomUUID } from 'node:crypto'
import type { Message, Session, SessionChange, Sessions, ToolRun } from '../src/index.ts'

/** Something that must not be done twice. Without a result nobody has noted yet that it is done. */
type Deed = {
  /** The attempt that began it. */
  readonly by: string
  readonly at: number
  /** That attempt has ended, and does not know whether it is done. */
  readonly isOver?: boolean
  readonly result?: unknown
}
/** What has become of one job in this conversation: what a repeated attempt goes on from. */
type Turn = {
  readonly job: string
  /** What is to be said. */
  readonly answer?: string
  readonly deeds: Readonly<Record<string, Deed>>
}
type Change = { readonly turn: Turn; readonly messages?: SessionChange['messages'] }

/** So many jobs back a repeated attempt is still known. Attempts at one job are minutes apart, and not twenty questions. */
const mostTurns = 20
/** Half of what a session's data may have: a turn holds an answer, and what tools have made. */
const mostTurnBytes = 32 * 1_024
/** An attempt that was taken for dead may be at it still, for as long as one answer of a provider is waited for. */
const maybeAliveMs = 10_000

/** The session of a thread, as one attempt at one job uses it. */
export class Conversation {
  readonly #sessions: Sessions
  readonly #id: string
  readonly #job: string
  readonly #user: string | undefined
  readonly #attempt = randomUUID()
  #session: Session | undefined
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
   * `once` a write. Gives the answer that holds: that of an earlier attempt, if there is one after all.
   */
  async answered(question: string, answer: string, next?: string): Promise<string> {
    await this.#update((turn) => {
      const deeds = next === undefined ? {} : { [next]: this.#begun() }
      if (turn.answer !== undefined) return { turn }
      const messages = [
        { role: 'user', text: question },
        { role: 'assistant', text: answer },
      ] as const
      return { turn: { ...turn, answer, deeds: { ...deeds, ...turn.deeds } }, messages }
    })
    return this.#turn.answer ?? answer
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
    if (!this.#turn.deeds[name]) await this.#note(name, (before) => before ?? this.#begun())
    const deed = this.#turn.deeds[name] ?? this.#begun()
    if ('result' in deed) return deed.result as Result
    const isOurs = deed.by === this.#attempt
    if (!isOurs && !deed.isOver && Date.now() < deed.at + maybeAliveMs)
      throw new Error(`another attempt at this job may be at ${name} still`)
    const found = isOurs ? undefined : await find()
    try {
      const result = found ?? (await run())
      await this.#note(name, () => ({ ...this.#begun(), result }))
      return result
    } catch (error) {
      await this.#note(name, () => (surelyUndone(error) ? undefined : { ...this.#begun(), isOver: true }))
      throw error
    }
  }

  /** Writes what has not been written with something else. */
  async flush(): Promise<void> {
    if (this.#toolRuns.length > 0) await this.#update((turn) => ({ turn }))
  }

  get #turn(): Turn {
    return this.#turnIn(this.#session)
  }

  #turnIn(session: Session | undefined): Turn {
    return turnsOf(session).find(({ job }) => job === this.#job) ?? { job: this.#job, deeds: {} }
  }

  #begun(): Deed {
    return { by: this.#attempt, at: Date.now() }
  }

  #note(name: string, change: (before: Deed | undefined) => Deed | undefined): Promise<void> {
    return this.#update((turn) => {
      const { [name]: before, ...others } = turn.deeds
      const deed = change(before)
      return { turn: { ...turn, deeds: deed ? { ...others, [name]: deed } : others } }
    })
  }

  /** `change` sees the newest state, which may be newer than what was read. */
  async #update(change: (turn: Turn) => Change): Promise<void> {
    const toolRuns = this.#toolRuns
    this.#toolRuns = []
    const user = this.#user === undefined ? {} : { user: this.#user }
    this.#session = await this.#sessions.update(
      this.#id,
      (newest) => {
        const { turn, messages = [] } = change(this.#turnIn(newest))
        const others = turnsOf(newest).filter(({ job }) => job !== this.#job)
        return { messages, toolRuns, data: { turns: trimmed([...others, turn]) } }
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
