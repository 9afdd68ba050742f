import { createRequire } from 'node:module'
import { expect, it } from 'vitest'
import githubEvents from '../../queues/github-events.ts'
import { samples } from '../../src/ops/samples.ts'
import { takes } from '../../src/policy/route.ts'

type Webhook = { name: string; examples: { action?: string }[] }
const published = createRequire(import.meta.url)('@octokit/webhooks-examples') as Webhook[]
const examples = published.flatMap(({ name, examples }) =>
  examples.map((payload) => ({ type: payload.action ? `${name}.${payload.action}` : name, payload })),
)

it('takes every payload that GitHub has published', () => {
  expect(examples).toHaveLength(329)
  const refused = examples.flatMap(({ type, payload }) => {
    const { error } = githubEvents.payload.safeParse(payload)
    return error ? [`${type}: ${error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join()}`] : []
  })
  expect(refused).toEqual([])
})

it('leaves a payload as it is', () => {
  for (const { payload } of examples) expect(githubEvents.payload.parse(payload)).toEqual(payload)
})

it.each(Object.entries(samples.github))('takes the sample %s', (type, make) => {
  const sample = make(Date.now())
  expect(githubEvents.payload.safeParse(JSON.parse(sample.body)).error).toBeUndefined()
  expect(takes(githubEvents.on, { source: 'github', sourceType: 'github', type })).toBe(true)
  expect(takes(githubEvents.on, { source: 'slack', sourceType: 'slack', type })).toBe(false)
})

it('refuses what the worker could not read', () => {
  for (const payload of [null, 'push', { pull_request: { number: '7' } }, { commits: [{}] }])
    expect(githubEvents.payload.safeParse(payload).success).toBe(false)
})
