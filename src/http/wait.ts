import type { Request, Response } from 'express'
import { z } from 'zod'
import { formatDuration, parseDuration } from '../define/duration.ts'
import type { BullQueue } from '../jobs/bull.ts'
import type { JobEnd, Waits } from '../jobs/wait-for.ts'
import { parse } from './parse.ts'

/** Load balancers usually end a request after 60 s. */
const longestMs = 60_000

const waitQuery = z.object({
  wait: z
    .string()
    .transform((text, context) => {
      const ms = parseDuration(text)
      if (ms !== undefined && ms <= longestMs) return ms
      context.addIssue({
        code: 'custom',
        message: `write a duration such as 10s, at most ${formatDuration(longestMs)}`,
      })
      return z.NEVER
    })
    .optional(),
})

/** How long the request asks to wait, `?wait=10s`; undefined when it does not. Throws `bad-request`. */
export function askedToWait(request: Request): number | undefined {
  return parse(waitQuery, request.query).wait
}

/** Waits for the job's end for as long as the client does. */
export async function waitWith(
  response: Response,
  waits: Waits,
  { queue, id, ms }: { queue: BullQueue; id: string; ms: number },
): Promise<JobEnd | undefined> {
  const gone = new AbortController()
  const leave = () => gone.abort()
  response.once('close', leave)
  try {
    return await waits.end(queue, id, ms, gone.signal)
  } finally {
    response.off('close', leave)
  }
}
