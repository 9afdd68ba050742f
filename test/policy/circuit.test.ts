import { describe, expect, it } from 'vitest'
import { Circuit, type CircuitState } from '../../src/policy/circuit.ts'

describe('a circuit', () => {
  const open = () => {
    const states: CircuitState[] = []
    const circuit = new Circuit(undefined, (state) => void states.push(state))
    for (let i = 0; i < 5; i++) circuit.failed(circuit.admit(0) ?? 'run', 0)
    return { circuit, states }
  }

  it('opens after five failures in a row, and no sooner', () => {
    const circuit = new Circuit()
    for (const ok of [false, false, false, false, true, false, false, false, false]) {
      const pass = circuit.admit(0) ?? 'probe'
      if (ok) circuit.succeeded(pass)
      else circuit.failed(pass, 0)
    }
    expect(circuit.stateAt(0)).toBe('closed')
    circuit.failed('run', 0)
    expect([circuit.stateAt(0), circuit.admit(59_999)]).toEqual(['open', undefined])
  })

  it('tries one at a time after 60 s, and closes after two successes', () => {
    const { circuit, states } = open()
    expect([circuit.admit(60_000), circuit.admit(60_000)]).toEqual(['probe', undefined])
    circuit.succeeded('probe')
    expect(circuit.stateAt(60_000)).toBe('half-open')
    expect(circuit.admit(60_001)).toBe('probe')
    circuit.succeeded('probe')
    expect([circuit.stateAt(60_001), circuit.admit(60_002), states]).toEqual([
      'closed',
      'run',
      ['open', 'half-open', 'closed'],
    ])
  })

  it('opens again for another 60 s when the one that tries fails', () => {
    const { circuit } = open()
    circuit.failed(circuit.admit(60_000) ?? 'run', 60_000)
    expect([circuit.admit(119_999), circuit.until, circuit.admit(120_000)]).toEqual([undefined, 120_000, 'probe'])
  })

  it('does not believe what began before it opened', () => {
    const { circuit } = open()
    circuit.succeeded('run')
    expect(circuit.stateAt(0)).toBe('open')
    circuit.admit(60_000)
    circuit.failed('run', 60_000)
    expect(circuit.stateAt(60_000)).toBe('half-open')
  })

  it('lets another try when one came to nothing', () => {
    const { circuit } = open()
    circuit.admit(60_000)
    circuit.gaveUp('probe')
    expect(circuit.admit(60_000)).toBe('probe')
  })

  it('tries at once on a sign, and closes by hand', () => {
    const { circuit } = open()
    circuit.hint()
    expect(circuit.admit(1)).toBe('probe')
    circuit.reset()
    expect([circuit.stateAt(1), circuit.admit(1), circuit.failures]).toEqual(['closed', 'run', 0])
  })
})
