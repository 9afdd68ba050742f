import { z } from 'zod'
import { httpUrl, slackSettings } from './_slack.ts'

/** An attempt has 45 s, and something is to be left of them for telling people. */
const mostTimeoutMs = 40_000
/** A sliding window counts no further. */
const mostCalls = 100_000
const wholeNumber = `must be a whole number from 1 to ${mostCalls}`

/** What the assistant needs from the environment. Everything outside has its address here, so that a test can play it. */
export const assistantSettings = slackSettings.extend({
  NOTION_TOKEN: z.string().min(1).optional(),
  NOTION_API_URL: httpUrl.default('https://api.notion.com'),
  LINEAR_API_KEY: z.string().min(1).optional(),
  LINEAR_API_URL: httpUrl.default('https://api.linear.app'),
  TOOL_TIMEOUT: z
    .string()
    .regex(/^[1-9]\d{0,4}(ms|s)$/, 'must be a duration such as 8s or 500ms')
    .refine((text) => msOf(text) <= mostTimeoutMs, `must be at most ${mostTimeoutMs / 1_000}s`)
    .default('8s'),
  TOOL_LIMIT: z
    .string()
    .regex(/^[1-9]\d{0,5}$/, wholeNumber)
    .refine((text) => Number(text) <= mostCalls, wholeNumber)
    .default('100'),
})

export type AssistantSettings = z.infer<typeof assistantSettings>

/** Longest wait for one answer of a provider. */
export function toolTimeoutMs({ TOOL_TIMEOUT }: AssistantSettings): number {
  return msOf(TOOL_TIMEOUT)
}

function msOf(text: string): number {
  return Number.parseInt(text, 10) * (text.endsWith('ms') ? 1 : 1_000)
}
