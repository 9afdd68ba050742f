import { type Context, defer, drop, type Job, type Outcome } from '../src/index.ts'
import type { Conversation } from './_conversation.ts'
import type { Question } from './_hear.ts'
import { isSurelyUndone, notConnected, ToolBusy, ToolFault, ToolRefused } from './_provider.ts'
import { decide, type Route } from './_route.ts'
import type { AssistantSettings } from './_settings.ts'
import { type Asked, type Skill, skills } from './_skills.ts'
import { isFinalForSlack } from './_slack.ts'
import { find, read, type ToolContext, write } from './_tools.ts'
import { postMessage } from './_workspace.ts'

/* From a question to what is said: decide, run the skills, say it in the thread. Each step is published as it happens. */

type Given = {
  readonly question: Question
  readonly job: Pick<Job<unknown>, 'id' | 'attempt' | 'enqueuedAt'>
  readonly conversation: Conversation
  readonly context: Context<AssistantSettings>
}

/** After so many attempts at what does not work, or so long, people are told that it does not. The queue alone would go on for minutes. */
const patience = { attempts: 3, ms: 5 * 60_000 }

/** Slack shows no more than 4,000 characters of a text well, and the session is to stay small. */
const mostCharacters = 4_000

/** What to say. Throws what another attempt may mend, and RateLimited for when it may. */
export async function answer(given: Given, route: Route): Promise<string> {
  const { question, job, conversation, context } = given
  const text = isAgain(question.text) ? lastQuestion(conversation) : question.text
  const decision = await decide(route, { text }, context.cache)
  await tell(given, { step: 'routed', ...decision })

  const tools = toolsOf(given)
  const asked: Asked = {
    text,
    earlier: conversation.messages,
    job: job.id,
    at: job.enqueuedAt,
    read: (tool, args) => read(tool, args, tools),
    write: (tool, args) =>
      conversation.once(
        tool.name,
        () => write(tool, args, tools),
        () => find(tool, args, tools),
        isSurelyUndone,
      ),
  }
  const parts = await Promise.allSettled(skillsOf(decision.skills, context).map(async (skill) => skill(asked)))
  const texts = parts.map((part) => (part.status === 'fulfilled' ? part.value : excuse(part.reason, job)))
  // Another attempt finds in the cache what this one has read.
  const worthAnother = texts.find((one) => one instanceof Error)
  if (worthAnother) {
    await conversation.flush()
    await tell(given, { step: 'waiting', why: worthAnother.message })
    throw worthAnother
  }
  const greeting = question.user === undefined ? '' : `<@${question.user}> `
  return (greeting + texts.join('\n')).slice(0, mostCharacters)
}

/** Says it in the thread, once. Undefined when it is said, otherwise what is to become of the job. */
export async function reply(given: Given, text: string): Promise<Outcome | undefined> {
  const { question, job, conversation } = given
  const { channel, thread, ts } = question
  const message = { channel, thread, after: ts, text, job: job.id }
  const tools = toolsOf(given)
  let mayNotLook: string | undefined
  const look = async () => {
    try {
      return await find(postMessage, message, tools)
    } catch (error) {
      if (error instanceof ToolRefused) mayNotLook = error.reason
      throw error
    }
  }
  try {
    await conversation.once(postMessage.name, () => write(postMessage, message, tools), look, isSurelyUndone)
  } catch (error) {
    await conversation.flush()
    if (mayNotLook !== undefined)
      return drop(`an attempt broke off while it was being said, and Slack does not let us look (${mayNotLook})`)
    if (error instanceof ToolRefused && isFinalForSlack(error.reason)) return drop(error.message)
    // Slack itself is out of order, and was not asked: that costs nobody an attempt.
    if (error instanceof ToolFault && error.kind === 'open') return defer(`${error.retryAfter}s`, error.message)
    throw error
  }
  await tell(given, { step: 'said', text })
  return undefined
}

type Step = { readonly step: string; readonly [field: string]: unknown }

/** To whoever follows the thread at /api/stream. */
export function tell({ question, job, context }: Omit<Given, 'conversation'>, what: Step): Promise<void> {
  return context.publish(`assistant.${question.channel}.${question.thread}`, { job: job.id, ...what })
}

function toolsOf(given: Given): ToolContext {
  const { cache, limits, breakers, secrets, signal, settings } = given.context
  return {
    cache,
    limits,
    breakers,
    secrets,
    signal,
    settings,
    onBegin: (tool) => tell(given, { step: 'tool', tool, state: 'running' }),
    onRun: (run) => {
      given.conversation.ran(run)
      return tell(given, { step: 'tool', state: run.ok ? 'done' : 'failed', ...run })
    },
  }
}

function skillsOf(names: readonly string[], { log }: Given['context']): Skill[] {
  const known = names.flatMap((name) => (Object.hasOwn(skills, name) ? [skills[name] as Skill] : []))
  if (known.length < names.length) log.warn({ skills: names }, 'the router names a skill that there is not')
  return known.length > 0 ? known : [skills.listen as Skill]
}

/** In words, what does not work; or the error itself when another attempt is worth its while. */
function excuse(error: unknown, { attempt, enqueuedAt }: Given['job']): string | Error {
  if (error instanceof ToolBusy) {
    const isTooLong = Date.now() + error.ms > enqueuedAt.getTime() + patience.ms
    return isTooLong ? `${error.provider.title} wants to be asked less often. Try again later.` : error
  }
  if (error instanceof ToolRefused)
    return error.reason === notConnected
      ? `${error.provider.title} is not connected.`
      : `${error.provider.title} says no: ${error.reason}.`
  if (error instanceof ToolFault && (error.kind === 'open' || attempt >= patience.attempts))
    return `${error.provider.title} does not answer. Try again in a minute.`
  return error instanceof Error ? error : new Error(String(error))
}

function isAgain(text: string): boolean {
  return /^(again|once more|refresh|and now\??)$/i.test(text)
}

function lastQuestion({ messages }: Conversation): string {
  return messages.findLast(({ role, text }) => role === 'user' && !isAgain(text))?.text ?? ''
}
