import { z } from 'zod'
import githubEvents from '../queues/github-events.ts'
import { defineWorker, type PayloadOutput } from '../src/index.ts'
import { notify, oneLine, type Summary } from './_notify.ts'
import { slackSettings } from './_slack.ts'

type Payload = PayloadOutput<typeof githubEvents>

const settings = slackSettings.extend({ GITHUB_NOTIFY_SLACK_CHANNEL: z.string().min(1).optional() })

/** Says in one line what has happened, in the log and, where a channel is named, in Slack. The rest is acknowledged. */
export default defineWorker(
  githubEvents,
  async ({ payload, name }, context) => {
    const what = Object.hasOwn(said, name) ? said[name]?.(payload) : undefined
    if (!what) return { ignored: name }
    const repository = payload.repository?.full_name ?? 'somewhere'
    const by = payload.sender?.login ?? 'somebody'
    const summary = { type: name, repository, by, text: `${repository}: ${by} ${what.text}`, url: what.url }
    return notify(context.settings.GITHUB_NOTIFY_SLACK_CHANNEL, summary, context)
  },
  { concurrency: 20, timeout: '30s', settings },
)

/** What to say after the name of whoever did it; nothing when it is not worth a line, or not what its type says. */
const said: Readonly<Record<string, (payload: Payload) => Summary | null | undefined>> = {
  'pull_request.opened': ({ pull_request: it }) =>
    it && { text: `opened pull request ${titleOf(it)}`, url: it.html_url },
  'pull_request.closed': ({ pull_request: it }) =>
    it && { text: `${it.merged ? 'merged' : 'closed'} pull request ${titleOf(it)}`, url: it.html_url },
  'issues.opened': ({ issue: it }) => it && { text: `opened issue ${titleOf(it)}`, url: it.html_url },
  'release.published': ({ release: it }) => it && { text: `published ${oneLine(it.tag_name)}`, url: it.html_url },
  'workflow_run.completed': ({ workflow_run: it }) => {
    if (!it || !['failure', 'timed_out', 'startup_failure'].includes(it.conclusion ?? '')) return undefined
    const where = it.head_branch ? ` on ${oneLine(it.head_branch)}` : ''
    const how = it.conclusion === 'timed_out' ? 'timed out' : 'failed'
    return {
      text: `started ${oneLine(it.name ?? 'a workflow')} #${it.run_number}${where}, which ${how}`,
      url: it.html_url,
    }
  },
  push,
}

function push({ ref, compare, commits, created, deleted, forced }: Payload): Summary | undefined {
  if (!ref || !compare) return undefined
  const target = oneLine(ref.replace(/^refs\/tags\//, 'tag ').replace(/^refs\/heads\//, ''))
  const summary = (text: string) => ({ text, url: compare })
  if (deleted) return summary(`deleted ${target}`)
  const last = commits?.at(-1)
  // A tag, or a branch of commits that are elsewhere already.
  if (!commits || !last) return created ? summary(`created ${target}`) : summary(`moved ${target}`)
  const count = commits.length === 1 ? '1 commit' : `${commits.length} commits`
  const subject = oneLine(last.message.split('\n')[0] ?? '')
  return summary(`${forced ? 'force-pushed' : 'pushed'} ${count} to ${target}: ${subject}`)
}

function titleOf({ number, title }: { number: number; title?: string | null | undefined }): string {
  return `#${number} “${oneLine(title ?? '')}”`
}
