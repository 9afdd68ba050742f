import { github } from './samples/github.ts'
import type { Sample, SampleMaker } from './samples/sample.ts'
import { slack } from './samples/slack.ts'
import { standard, standardOf } from './samples/standard.ts'
import { stripe } from './samples/stripe.ts'

export type { Sample, SampleMaker }

/*
 * Requests as providers send them, for trying things out: shapes as their documentation has them, ids of nobody, and new
 * ones each time.
 */

export const samples = { slack, github, stripe, standard, hmac: standard } as const

export type SampleProvider = keyof typeof samples

export const sampleProviders = Object.keys(samples) as readonly SampleProvider[]

/** Whether the provider's senders make up the types of their events themselves. */
export function takesAnyType(provider: SampleProvider): boolean {
  return samples[provider] === standard
}

/** Undefined when the provider has no such event. */
export function sampleMaker(provider: SampleProvider, event: string): SampleMaker | undefined {
  const known: Readonly<Record<string, SampleMaker>> = samples[provider]
  if (Object.hasOwn(known, event)) return known[event]
  return takesAnyType(provider) && /^[\w.-]{1,64}$/.test(event) ? standardOf(event) : undefined
}
