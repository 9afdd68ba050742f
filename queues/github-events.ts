import { z } from 'zod'
import { defineQueue } from '../src/index.ts'

const linked = z.looseObject({ number: z.number(), title: z.string(), html_url: z.string() })

/**
 * Everything that GitHub sends. The payload is GitHub's own, unchanged. Only what the worker reads is checked, and only
 * where it is there: the events have next to nothing in common.
 */
export default defineQueue({
  name: 'github-events',
  payload: z.looseObject({
    repository: z.looseObject({ full_name: z.string() }).nullish(),
    sender: z.looseObject({ login: z.string() }).nullish(),
    pull_request: linked.extend({ title: z.string().nullish(), merged: z.boolean().nullish() }).nullish(),
    issue: linked.nullish(),
    release: z.looseObject({ tag_name: z.string(), html_url: z.string() }).nullish(),
    workflow_run: z
      .looseObject({
        name: z.string().nullish(),
        run_number: z.number(),
        head_branch: z.string().nullish(),
        conclusion: z.string().nullish(),
        html_url: z.string(),
      })
      .nullish(),
    // Of a push.
    ref: z.string().nullish(),
    compare: z.string().nullish(),
    commits: z.array(z.looseObject({ message: z.string() })).nullish(),
    created: z.boolean().nullish(),
    deleted: z.boolean().nullish(),
    forced: z.boolean().nullish(),
  }),
  on: ['github:*'],
  retry: { attempts: 8, base: '1s', max: '10m' },
  keep: { completed: { age: '1h', count: 1000 }, dead: { age: '14d', count: 50_000 } },
})
