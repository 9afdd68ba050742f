import { createHash } from 'node:crypto'
import type { Message } from '../src/index.ts'
import { createIssue, getIssues, getTeams } from './_linear.ts'
import { oneLine } from './_notify.ts'
import { createTask, getDatabases, getTasks } from './_notion.ts'
import { escapeForSlack } from './_slack.ts'
import type { Read, Write } from './_tools.ts'
import { getChannels } from './_workspace.ts'

/* What the assistant can answer, by name. A skill says what goes into the answer, in Slack's own marks. */

export type Asked = {
  /** Without the mention. */
  readonly text: string
  /** What was said in this thread before, both sides. */
  readonly earlier: readonly Message[]
  readonly job: string
  readonly at: Date
  readonly read: <Args, Result>(tool: Read<Args, Result>, args: Args) => Promise<Result>
  /** Once, however often the job is attempted. */
  readonly write: <Args, Result>(tool: Write<Args, Result>, args: Args) => Promise<Result>
}

export type Skill = (asked: Asked) => Promise<string> | string

export const skills: Readonly<Record<string, Skill>> = {
  help: () =>
    [
      'Ask me for:',
      '• `my tasks`, or `create task <title>`',
      '• `issues`, `issues <words>`, or `create issue <title>`',
      '• `my day`: tasks and issues',
      '• `channels`',
      '• `again`: the last question of this thread; `recap`: all of them',
    ].join('\n'),

  tasks: async ({ read }) => {
    const database = tasksAmong(await read(getDatabases, {}))
    if (!database) return 'There is no database in Notion that I may see.'
    return list('Tasks', await read(getTasks, { database: database.id }), 'There is no task.')
  },

  createTask: async ({ text, at, read, write }) => {
    const title = titleIn(text, /^\S+\s+(a\s+)?task\b/i)
    if (title === '') return 'What is to be done? `create task <title>`'
    const database = tasksAmong(await read(getDatabases, {}))
    if (!database) return 'There is no database in Notion that I may see.'
    const task = await write(createTask, { in: database, title, since: minuteBefore(at) })
    return `Created the task ${link(task)}.`
  },

  issues: async ({ text, read }) => {
    const words = oneLine(/\b(?:issues|bugs)\b(.*)$/is.exec(text)?.[1] ?? '').replace(/^(about|with|for)\s+/i, '')
    const issues = await read(getIssues, { words })
    const heading = words === '' ? 'Issues' : `Issues with “${escapeForSlack(words)}”`
    return list(heading, issues.map(titled), words === '' ? 'There is no issue.' : `${heading}: none.`)
  },

  createIssue: async ({ text, job, read, write }) => {
    const title = titleIn(text, /^\S+\s+(an?\s+)?(issue|bug)\b/i)
    if (title === '') return 'What is wrong? `create issue <title>`'
    const [team] = await read(getTeams, {})
    if (!team) return 'There is no team in Linear that I may see.'
    const issue = await write(createIssue, { id: uuidOf(job), team: team.id, title })
    return `Created the issue ${link(titled(issue))}.`
  },

  channels: async ({ read }) => {
    const channels = await read(getChannels, {})
    const most = 20
    const more = channels.length > most ? ` and ${channels.length - most} more` : ''
    if (channels.length === 0) return 'There is no channel that I may see.'
    return `Channels: ${channels
      .slice(0, most)
      .map(({ id }) => `<#${id}>`)
      .join(', ')}${more}`
  },

  recap: ({ earlier }) => {
    const asked = earlier.filter(({ role, text }) => role === 'user' && text !== '')
    const lines = asked.map(({ text }, index) => `${index + 1}. ${escapeForSlack(oneLine(text))}`)
    return lines.length === 0 ? 'You have asked nothing in this thread yet.' : ['You asked:', ...lines].join('\n')
  },

  listen: ({ text }) => (text === '' ? 'How can I help?' : `I heard you: ${escapeForSlack(text.slice(0, 500))}`),
}

type Titled = { readonly title: string; readonly url: string }

function list(heading: string, items: readonly Titled[], none: string): string {
  return items.length === 0 ? none : [`${heading}:`, ...items.map((item) => `• ${link(item)}`)].join('\n')
}

/** Titles are other people's words, and addresses may end a link early. */
function link({ title, url }: Titled): string {
  const shown = escapeForSlack(oneLine(title))
  return /^https?:\/\/[^\s<>|]+$/.test(url) ? `<${escapeForSlack(url)}|${shown}>` : shown
}

function titled({ identifier, title, url }: { identifier: string; title: string; url: string }): Titled {
  return { title: `${identifier} ${title}`, url }
}

/** The one that is called so, or else the first. */
function tasksAmong<D extends { readonly title: string }>(databases: readonly D[]): D | undefined {
  return databases.find(({ title }) => /task|to-?do/i.test(title)) ?? databases[0]
}

function titleIn(text: string, command: RegExp): string {
  return oneLine(text.replace(command, '').replace(/^\s*[:,-]\s*/, ''), 200)
}

/** Notion's times are whole minutes, and its clock need not be ours. */
function minuteBefore(at: Date): string {
  const minuteMs = 60_000
  return new Date(Math.floor(at.getTime() / minuteMs - 1) * minuteMs).toISOString()
}

/** The same for each attempt at a job. Linear takes ids of version 4 only, so a digest is dressed as one. */
function uuidOf(job: string): string {
  const hex = createHash('sha256').update(job).digest('hex')
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
