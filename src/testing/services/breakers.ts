import { MillraceError } from '../../errors.ts'

/** `refused`: the breaker was open, and the call was not made. */
export type FakeCall = {
  readonly tenant: string | undefined
  readonly name: string
  readonly outcome: 'ok' | 'failed' | 'refused'
}

/** Failures in a row that open it, how long it stays open, successes that close it again. */
const failuresToOpen = 5
const openMs = 60_000
const successesToClose = 2

type State = { failures: number; successes: number; openUntil: number | undefined }

export function fakeBreakers(now: () => number, log: FakeCall[]) {
  const states = new Map<string, State>()

  return async <Value>(
    tenant: string | undefined,
    name: string,
    call: (given: { signal: AbortSignal }) => Promise<Value>,
  ): Promise<Value> => {
    const state = states.get(name) ?? { failures: 0, successes: 0, openUntil: undefined }
    states.set(name, state)
    const note = (outcome: FakeCall['outcome']) => log.push({ tenant, name, outcome })
    if (state.openUntil !== undefined && now() < state.openUntil) {
      note('refused')
      throw new MillraceError('breaker-open', `${name} has failed ${failuresToOpen} times in a row; it rests`)
    }
    try {
      const value = await call({ signal: new AbortController().signal })
      note('ok')
      state.failures = 0
      if (state.openUntil !== undefined) {
        state.successes += 1
        if (state.successes >= successesToClose) states.delete(name)
      }
      return value
    } catch (error) {
      note('failed')
      state.failures += 1
      state.successes = 0
      if (state.openUntil !== undefined || state.failures >= failuresToOpen) state.openUntil = now() + openMs
      throw error
    }
  }
}
