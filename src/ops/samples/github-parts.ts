import { hex, isoTime, nulls, serial } from './sample.ts'

/* What many of GitHub's payloads hold: people, the repository, a pull request, an issue. */

const api = 'https://api.github.com'
const owner = 'millrace-example'
const name = 'water-wheel'
export const repoUrl = `${api}/repos/${owner}/${name}`
export const webUrl = `https://github.com/${owner}/${name}`

/** `urls(base, 'keys{/key_id} tags')` → keys_url, tags_url. */
function urls(base: string, paths: string): Record<string, string> {
  return Object.fromEntries(
    paths.split(' ').map((path) => {
      const [field = '', rest = field] = path.split('=')
      return [`${/^\w+/.exec(field)?.[0]}_url`, `${base}/${rest}`]
    }),
  )
}

export function account(login = owner, id = 90_000_001) {
  const url = `${api}/users/${login}`
  return {
    login,
    id,
    node_id: nodeId('User', id),
    avatar_url: `https://avatars.githubusercontent.com/u/${id}?v=4`,
    gravatar_id: '',
    url,
    html_url: `https://github.com/${login}`,
    ...urls(url, 'followers following{/other_user} gists{/gist_id} starred{/owner}{/repo} subscriptions'),
    ...urls(url, 'organizations=orgs repos events{/privacy} received_events'),
    type: 'User',
    site_admin: false,
  }
}

export const sender = account('miller-example', 90_000_002)

/** What a repository has wherever it is shown; other places show more. */
export function shortRepository() {
  return {
    id: 900_000_001,
    node_id: nodeId('Repository', 900_000_001),
    name,
    full_name: `${owner}/${name}`,
    private: false,
    owner: account(),
    html_url: webUrl,
    description: 'Turns water into work',
    fork: false,
    url: repoUrl,
    ...urls(
      repoUrl,
      'forks keys{/key_id} collaborators{/collaborator} teams hooks issue_events=issues/events{/number}',
    ),
    ...urls(repoUrl, 'events assignees{/user} branches{/branch} tags blobs=git/blobs{/sha} git_tags=git/tags{/sha}'),
    ...urls(repoUrl, 'git_refs=git/refs{/sha} trees=git/trees{/sha} statuses=statuses/{sha} languages stargazers'),
    ...urls(repoUrl, 'contributors subscribers subscription commits{/sha} git_commits=git/commits{/sha}'),
    ...urls(repoUrl, 'comments{/number} issue_comment=issues/comments{/number} contents=contents/{+path}'),
    ...urls(repoUrl, 'compare=compare/{base}...{head} merges archive={archive_format}{/ref} downloads issues{/number}'),
    ...urls(repoUrl, 'pulls{/number} milestones{/number} notifications{?since,all,participating} labels{/name}'),
    ...urls(repoUrl, 'releases{/id} deployments'),
  }
}

export function repository(now: number) {
  return {
    ...shortRepository(),
    created_at: isoTime(now - 86_400_000) as string | number,
    updated_at: isoTime(now),
    pushed_at: isoTime(now) as string | number,
    git_url: `git://github.com/${owner}/${name}.git`,
    ssh_url: `git@github.com:${owner}/${name}.git`,
    clone_url: `${webUrl}.git`,
    svn_url: webUrl,
    ...nulls('homepage mirror_url license'),
    size: 108,
    stargazers_count: 1,
    watchers_count: 1,
    language: 'TypeScript',
    has_issues: true,
    has_projects: true,
    has_downloads: true,
    has_wiki: true,
    has_pages: false,
    has_discussions: false,
    forks_count: 0,
    archived: false,
    disabled: false,
    open_issues_count: 2,
    allow_forking: true,
    is_template: false,
    web_commit_signoff_required: false,
    topics: [],
    custom_properties: {},
    visibility: 'public',
    forks: 0,
    open_issues: 2,
    watchers: 1,
    default_branch: 'main',
  }
}

export function pullRequest(now: number, number: number, isMerged: boolean) {
  const id = serial()
  const url = `${repoUrl}/pulls/${number}`
  const issue = `${repoUrl}/issues/${number}`
  const web = `${webUrl}/pull/${number}`
  const sha = hex(20)
  const statuses = `${repoUrl}/statuses/${sha}`
  const comment = `${repoUrl}/pulls/comments{/number}`
  const href = (to: string) => ({ href: to })
  const repo = {
    ...repository(now),
    ...{ allow_squash_merge: true, allow_merge_commit: true, allow_rebase_merge: true },
    ...{ delete_branch_on_merge: false, allow_auto_merge: false, allow_update_branch: false },
  }
  return {
    url,
    id,
    node_id: nodeId('PullRequest', id),
    html_url: web,
    diff_url: `${web}.diff`,
    patch_url: `${web}.patch`,
    issue_url: issue,
    number,
    state: isMerged ? 'closed' : 'open',
    locked: false,
    title: 'Let the wheel turn both ways',
    user: sender,
    body: 'The tide comes in as well as out.',
    created_at: isoTime(now - (isMerged ? 3_600_000 : 0)),
    updated_at: isoTime(now),
    closed_at: isMerged ? isoTime(now) : null,
    merged_at: isMerged ? isoTime(now) : null,
    merge_commit_sha: isMerged ? hex(20) : null,
    assignees: [],
    requested_reviewers: [],
    requested_teams: [],
    labels: [],
    ...nulls('assignee milestone auto_merge active_lock_reason'),
    commits_url: `${url}/commits`,
    review_comments_url: `${url}/comments`,
    review_comment_url: comment,
    comments_url: `${issue}/comments`,
    statuses_url: statuses,
    head: { label: `${owner}:tide`, ref: 'tide', sha, user: account(), repo },
    base: { label: `${owner}:main`, ref: 'main', sha: hex(20), user: account(), repo },
    _links: {
      self: href(url),
      html: href(web),
      issue: href(issue),
      comments: href(`${issue}/comments`),
      review_comments: href(`${url}/comments`),
      review_comment: href(comment),
      commits: href(`${url}/commits`),
      statuses: href(statuses),
    },
    author_association: 'OWNER',
    draft: false,
    merged: isMerged,
    mergeable: isMerged ? true : null,
    rebaseable: isMerged ? true : null,
    mergeable_state: isMerged ? 'clean' : 'unknown',
    merged_by: isMerged ? sender : null,
    comments: 0,
    review_comments: 0,
    maintainer_can_modify: false,
    commits: 1,
    additions: 12,
    deletions: 3,
    changed_files: 2,
  }
}

export function issue(now: number, number: number) {
  const id = serial()
  const url = `${repoUrl}/issues/${number}`
  return {
    url,
    repository_url: repoUrl,
    ...urls(url, 'labels{/name} comments events timeline'),
    html_url: `${webUrl}/issues/${number}`,
    id,
    node_id: nodeId('Issue', id),
    number,
    title: 'The wheel squeaks at night',
    user: sender,
    labels: [
      {
        id: 900_000_002,
        node_id: nodeId('Label', 900_000_002),
        url: `${repoUrl}/labels/bug`,
        name: 'bug',
        color: 'd73a4a',
        default: true,
        description: "Something isn't working",
      },
    ],
    state: 'open',
    locked: false,
    draft: false,
    assignees: [],
    ...nulls('assignee milestone closed_at active_lock_reason performed_via_github_app state_reason'),
    comments: 0,
    created_at: isoTime(now),
    updated_at: isoTime(now),
    author_association: 'OWNER',
    body: 'Neighbours have written to us.',
    reactions: reactions(url),
  }
}

export function reactions(url: string) {
  const none = Object.fromEntries('+1 -1 laugh hooray confused heart rocket eyes'.split(' ').map((kind) => [kind, 0]))
  return { url: `${url}/reactions`, total_count: 0, ...none }
}

/** GitHub's other id of everything. */
export function nodeId(kind: string, id: number): string {
  return Buffer.from(`0${kind.length}:${kind}${id}`).toString('base64')
}
