import { z } from 'zod'
import { slackSettings } from './_slack.ts'

/** What the assistant needs from the environment. Everything outside has its address here, so that a test can play it. */
export const assistantSettings = slackSettings.extend({
  NOTION_TOKEN: z.string().min(1).optional(),
  NOTION_API_URL: z.url('must be a URL').default('https://api.notion.com'),
  LINEAR_API_KEY: z.string().min(1).optional(),
  LINEAR_API_URL: z.url('must be a URL').default('https://api.linear.app'),
  TOOL_TIMEOUT: z
    .string()
    .regex(/^[1-9]\d{0,4}(ms|s)$/, 'must be a duration such as 8s or 500ms')
    .default('8s'),
  TOOL_LIMIT: z
    .string()
    .regex(/^[1-9]\d{0,5}$/, 'must be a whole number from 1')
    .default('100'),
})

export type AssistantSettings = z.infer<typeof assistantSettings>

/** Longest wait for one answer of a provider. */
export function toolTimeoutMs({ TOOL_TIMEOUT }: AssistantSettings): number {
  return Number.parseInt(TOOL_TIMEOUT, 10) * (TOOL_TIMEOUT.endsWith('ms') ? 1 : 1_000)
}
