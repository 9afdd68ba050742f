import { randomInt, randomUUID } from 'node:crypto'
import {
  issue,
  nodeId,
  pullRequest,
  reactions,
  repository,
  repoUrl,
  sender,
  shortRepository,
  webUrl,
} from './github-parts.ts'
import { hex, isoTime, nulls, type SampleMaker, serial } from './sample.ts'

/*
 * Webhooks as GitHub sends them, after docs.github.com/webhooks/webhook-events-and-payloads. The event's name and its id,
 * the delivery, are in headers; the action is in the body. The type is both, as in `pull_request.opened`.
 */

const number = () => randomInt(1, 10_000)

const events: Readonly<Record<string, (now: number) => object>> = {
  push: (now) => {
    const [before, after] = [hex(20), hex(20)]
    const author = { name: 'Miller Example', email: 'miller@example.com', username: sender.login }
    const commit = {
      id: after,
      tree_id: hex(20),
      distinct: true,
      message: 'Oil the axle',
      timestamp: isoTime(now),
      url: `${webUrl}/commit/${after}`,
      author,
      committer: author,
      added: [],
      removed: [],
      modified: ['axle.md'],
    }
    const whole = repository(now)
    // In a push, and there alone, these two are numbers, and the owner has a name.
    const owner = { ...whole.owner, name: whole.owner.login, email: null }
    return {
      ref: 'refs/heads/main',
      before,
      after,
      repository: {
        ...whole,
        owner,
        url: webUrl,
        created_at: Math.floor(now / 1_000) - 86_400,
        pushed_at: Math.floor(now / 1_000),
        stargazers: 1,
        master_branch: 'main',
      },
      pusher: { name: sender.login, email: 'miller@example.com' },
      sender,
      created: false,
      deleted: false,
      forced: false,
      base_ref: null,
      compare: `${webUrl}/compare/${before.slice(0, 12)}...${after.slice(0, 12)}`,
      commits: [commit],
      head_commit: commit,
    }
  },
  'pull_request.opened': (now) => {
    const pull_request = pullRequest(now, number(), false)
    return { number: pull_request.number, pull_request, repository: repository(now), sender }
  },
  'pull_request.closed': (now) => {
    const pull_request = pullRequest(now, number(), true)
    return { number: pull_request.number, pull_request, repository: repository(now), sender }
  },
  'issues.opened': (now) => ({ issue: issue(now, number()), repository: repository(now), sender }),
  'issue_comment.created': (now) => {
    const about = issue(now - 60_000, number())
    const id = serial()
    const url = `${repoUrl}/issues/comments/${id}`
    const comment = {
      url,
      html_url: `${about.html_url}#issuecomment-${id}`,
      issue_url: about.url,
      id,
      node_id: nodeId('IssueComment', id),
      user: sender,
      created_at: isoTime(now),
      updated_at: isoTime(now),
      author_association: 'OWNER',
      body: 'I can hear it, too.',
      reactions: reactions(url),
      performed_via_github_app: null,
    }
    return { issue: { ...about, comments: 1 }, comment, repository: repository(now), sender }
  },
  'release.published': (now) => {
    const id = serial()
    const tag = `v1.${randomInt(100)}.${randomInt(100)}`
    const url = `${repoUrl}/releases/${id}`
    const release = {
      url,
      assets_url: `${url}/assets`,
      upload_url: `https://uploads.github.com/repos/${shortRepository().full_name}/releases/${id}/assets{?name,label}`,
      html_url: `${webUrl}/releases/tag/${tag}`,
      id,
      node_id: nodeId('Release', id),
      tag_name: tag,
      target_commitish: 'main',
      name: `Water Wheel ${tag}`,
      draft: false,
      author: sender,
      prerelease: false,
      created_at: isoTime(now - 60_000),
      published_at: isoTime(now),
      assets: [],
      tarball_url: `${repoUrl}/tarball/${tag}`,
      zipball_url: `${repoUrl}/zipball/${tag}`,
      body: 'It turns both ways now.',
    }
    return { release, repository: repository(now), sender }
  },
  'workflow_run.completed': (now) => ({
    workflow: {
      id: 90_000_003,
      node_id: nodeId('Workflow', 90_000_003),
      name: 'Build',
      path: '.github/workflows/build.yml',
      state: 'active',
      created_at: isoTime(now - 86_400_000),
      updated_at: isoTime(now - 86_400_000),
      url: `${repoUrl}/actions/workflows/90000003`,
      html_url: `${webUrl}/blob/main/.github/workflows/build.yml`,
      badge_url: `${webUrl}/workflows/Build/badge.svg`,
    },
    workflow_run: workflowRun(now),
    repository: repository(now),
    sender,
  }),
  'check_run.completed': (now) => ({ check_run: checkRun(now), repository: repository(now), sender }),
  'star.created': (now) => ({ starred_at: isoTime(now), repository: repository(now), sender }),
  'star.deleted': (now) => ({ starred_at: null, repository: repository(now), sender }),
  ping: (now) => {
    const id = serial()
    const url = `${repoUrl}/hooks/${id}`
    const hook = {
      type: 'Repository',
      id,
      name: 'web',
      active: true,
      events: ['*'],
      config: { content_type: 'json', insecure_ssl: '0', url: 'https://example.com/hooks/github' },
      updated_at: isoTime(now),
      created_at: isoTime(now),
      url,
      test_url: `${url}/test`,
      ping_url: `${url}/pings`,
      deliveries_url: `${url}/deliveries`,
      last_response: { code: null, status: 'unused', message: null },
    }
    return { zen: 'Keep it logically awesome.', hook_id: id, hook, repository: repository(now), sender }
  },
}

/** One that has failed: there is something to be said about it. */
function workflowRun(now: number) {
  const id = serial()
  const suite = serial()
  const url = `${repoUrl}/actions/runs/${id}`
  const sha = hex(20)
  const author = { name: 'Miller Example', email: 'miller@example.com' }
  return {
    id,
    node_id: nodeId('WorkflowRun', id),
    name: 'Build',
    display_title: 'Oil the axle',
    path: '.github/workflows/build.yml',
    head_branch: 'main',
    head_sha: sha,
    run_number: randomInt(1, 1_000),
    run_attempt: 1,
    event: 'push',
    status: 'completed',
    conclusion: 'failure',
    workflow_id: 90_000_003,
    workflow_url: `${repoUrl}/actions/workflows/90000003`,
    check_suite_id: suite,
    check_suite_node_id: nodeId('CheckSuite', suite),
    check_suite_url: `${repoUrl}/check-suites/${suite}`,
    url,
    html_url: `${webUrl}/actions/runs/${id}`,
    jobs_url: `${url}/jobs`,
    logs_url: `${url}/logs`,
    artifacts_url: `${url}/artifacts`,
    cancel_url: `${url}/cancel`,
    rerun_url: `${url}/rerun`,
    previous_attempt_url: null,
    pull_requests: [],
    referenced_workflows: [],
    created_at: isoTime(now - 90_000),
    run_started_at: isoTime(now - 90_000),
    updated_at: isoTime(now),
    actor: sender,
    triggering_actor: sender,
    head_commit: {
      id: sha,
      tree_id: hex(20),
      message: 'Oil the axle',
      timestamp: isoTime(now - 120_000),
      author,
      committer: author,
    },
    repository: shortRepository(),
    head_repository: shortRepository(),
  }
}

function checkRun(now: number) {
  const id = serial()
  const suite = serial()
  const sha = hex(20)
  const url = `${repoUrl}/check-runs/${id}`
  const app = {
    id: 90_001,
    slug: 'wheel-inspector',
    node_id: nodeId('App', 90_001),
    owner: sender,
    name: 'Wheel Inspector',
    description: '',
    external_url: 'https://example.com/inspector',
    html_url: 'https://github.com/apps/wheel-inspector',
    created_at: isoTime(now - 86_400_000),
    updated_at: isoTime(now - 86_400_000),
    permissions: { checks: 'write', contents: 'read', metadata: 'read' },
    events: ['check_run'],
  }
  return {
    id,
    node_id: nodeId('CheckRun', id),
    name: 'inspection',
    head_sha: sha,
    external_id: '',
    url,
    html_url: `${webUrl}/runs/${id}`,
    details_url: 'https://example.com/inspector',
    status: 'completed',
    conclusion: 'success',
    started_at: isoTime(now - 30_000),
    completed_at: isoTime(now),
    output: { ...nulls('title summary text'), annotations_count: 0, annotations_url: `${url}/annotations` },
    check_suite: {
      id: suite,
      node_id: nodeId('CheckSuite', suite),
      head_branch: 'main',
      head_sha: sha,
      status: 'completed',
      conclusion: 'success',
      url: `${repoUrl}/check-suites/${suite}`,
      before: hex(20),
      after: sha,
      pull_requests: [],
      app,
      created_at: isoTime(now - 30_000),
      updated_at: isoTime(now),
    },
    app,
    pull_requests: [],
  }
}

export const github: Readonly<Record<string, SampleMaker>> = Object.fromEntries(
  Object.entries(events).map(([type, make]): [string, SampleMaker] => {
    const action = type.split('.')[1]
    return [
      type,
      (now) => ({
        id: randomUUID(),
        type,
        contentType: 'application/json',
        body: JSON.stringify({ ...(action ? { action } : {}), ...make(now) }),
      }),
    ]
  }),
)
