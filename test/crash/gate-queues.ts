import { z } from 'zod'
import { defineQueue } from '../../src/index.ts'

const payload = z.object({ key: z.string(), n: z.number() })
/** Repeated soon, and never given up for what a test does to them. */
const retry = { attempts: 50, base: '1ms', max: '5ms' } as const
const by = (item: { key: string }) => item.key

/** Queues of the proofs: one with bounds for tenants, one with an order for keys. */
export const gateQueues = {
  tenants: defineQueue({ name: 'bounded', payload, retry, tenant: { by, concurrency: 3 } }),
  order: defineQueue({ name: 'ordered', payload, retry, order: { by } }),
} as const

export type GateQueue = keyof typeof gateQueues
