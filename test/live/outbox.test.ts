import { describe, expect, it } from 'vitest'
import type { Client } from '../../src/live/channel.ts'
import { Outbox } from '../../src/live/outbox.ts'

const clients = Array.from({ length: 1_000 }, (_, i) => ({ i })) as unknown as Client[]
const messages = ['one', 'two', 'three'].map((text) => Buffer.from(text))

describe('what is written to many', () => {
  it('comes to each in its order, and lets others have their turn in between', async () => {
    const got = new Map<Client, string[]>()
    const outbox = new Outbox((client, bytes) => got.set(client, [...(got.get(client) ?? []), bytes.toString()]))
    let turns = 0
    let isOver = false
    const count = () => {
      turns += 1
      if (!isOver) setImmediate(count)
    }
    setImmediate(count)
    outbox.add(clients, messages[0] as Buffer)
    expect(outbox.isEmpty).toBe(false)
    expect(got.size).toBeLessThan(clients.length)
    outbox.add(clients, messages[1] as Buffer)
    outbox.add(clients.slice(0, 1), messages[2] as Buffer)
    await outbox.drained()
    isOver = true
    expect(outbox.isEmpty).toBe(true)
    expect(turns).toBeGreaterThan(5)
    expect([...got.values()]).toEqual(clients.map((_, i) => (i === 0 ? ['one', 'two', 'three'] : ['one', 'two'])))
  })

  it('goes out at once when they are few', () => {
    let written = 0
    const outbox = new Outbox(() => {
      written += 1
    })
    outbox.add(clients.slice(0, 50), messages[0] as Buffer)
    outbox.add([], messages[0] as Buffer)
    expect([written, outbox.isEmpty]).toEqual([50, true])
  })
})
