import { createHash } from 'node:crypto'
import type { Cache } from '../src/index.ts'

/* What a request is about, decided by the rules in this file. Another router, a model perhaps, is another `Route`. */

export type Request = { readonly text: string }
export type Decision = {
  readonly category: string
  /** What answers it, by their names in _skills.ts; what they find stands in the answer in this order. */
  readonly skills: readonly string[]
  /** Why, for those who look at it later. */
  readonly reasoning: string
}

/** The whole seam. */
export type Route = (request: Request) => Promise<Decision> | Decision

type Rule = Decision & { readonly says: RegExp }

/** The first that fits holds. */
const rules: readonly Rule[] = [
  {
    says: /^(help|\?|what can you do)/i,
    category: 'help',
    skills: ['help'],
    reasoning: 'asks what there is to ask',
  },
  {
    says: /^(create|add|new)\s+(a\s+)?task\b/i,
    category: 'write',
    skills: ['createTask'],
    reasoning: 'begins with the making of a task',
  },
  {
    says: /^(create|add|new|file)\s+(an?\s+)?(issue|bug)\b/i,
    category: 'write',
    skills: ['createIssue'],
    reasoning: 'begins with the making of an issue',
  },
  {
    says: /^(my\s+day|overview|status)\b/i,
    category: 'overview',
    skills: ['tasks', 'issues'],
    reasoning: 'wants all there is to do',
  },
  {
    says: /^((list|show|my|the|open|what are)\s+)*(tasks|to-?dos)\b/i,
    category: 'tasks',
    skills: ['tasks'],
    reasoning: 'names tasks',
  },
  {
    says: /^((list|show|my|the|open|what are)\s+)*(issues|bugs)\b/i,
    category: 'issues',
    skills: ['issues'],
    reasoning: 'names issues',
  },
  {
    says: /^((list|show|the|which|what)\s+)*channels\b/i,
    category: 'channels',
    skills: ['channels'],
    reasoning: 'names channels',
  },
  {
    says: /^(what (did|have) (i|we) ask(ed)?|recap)\b/i,
    category: 'recap',
    skills: ['recap'],
    reasoning: 'asks about the conversation itself',
  },
]

const smallTalk: Decision = { category: 'small-talk', skills: ['listen'], reasoning: 'fits none of the rules' }

export const byRules: Route = ({ text }) => {
  const rule = rules.find(({ says }) => says.test(text))
  return rule ? { category: rule.category, skills: rule.skills, reasoning: rule.reasoning } : smallTalk
}

/** The same request of the same tenant has the same answer for an hour: a router may be slow, or cost money. */
export function decide(route: Route, request: Request, cache: Cache): Promise<Decision> {
  const hash = createHash('sha256').update(request.text.trim().toLowerCase()).digest('base64url')
  return cache.namespace('router').getOrCompute(`decision:${hash}`, () => route(request), { ttl: 'hour' })
}
