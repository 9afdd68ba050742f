import { z } from 'zod'
import { type Provider, ToolRefused } from './_provider.ts'
import type { Ask, Read, Write } from './_tools.ts'

/* Linear's GraphQL API (https://linear.app/developers/graphql). */

export const linear: Provider = {
  name: 'linear',
  title: 'Linear',
  secret: 'LINEAR_API_KEY',
  url: ({ LINEAR_API_URL }) => LINEAR_API_URL,
  headers: (token) => ({ Authorization: token }),
  // GraphQL answers 200 or 400 with what went wrong in the body.
  refusal: (body) => {
    const failed = errors.safeParse(body).data?.errors[0]
    if (!failed) return undefined
    const code = failed.extensions?.code ?? 'unknown'
    return code === 'RATELIMITED' ? 'rate-limited' : code
  },
}

const errors = z.looseObject({
  errors: z.tuple([z.looseObject({ extensions: z.looseObject({ code: z.string() }).optional() })], z.unknown()),
})
const issue = z.object({ identifier: z.string(), title: z.string(), url: z.string() })
const issueFields = 'identifier title url'

export type Issue = z.infer<typeof issue>
export type Team = { readonly id: string; readonly name: string }

/** The newest, with these words in their title if there are any. */
export const getIssues: Read<{ words: string }, Issue[]> = {
  name: 'linear__getIssues',
  kind: 'read',
  provider: linear,
  run: async ({ words }, ask) => {
    const query = `query($filter: IssueFilter) { issues(first: 10, filter: $filter) { nodes { ${issueFields} } } }`
    const filter = words === '' ? {} : { title: { containsIgnoreCase: words } }
    const data = await graphql(ask, query, { filter })
    return z.object({ issues: z.object({ nodes: z.array(issue) }) }).parse(data).issues.nodes
  },
}

export const getTeams: Read<object, Team[]> = {
  name: 'linear__getTeams',
  kind: 'read',
  provider: linear,
  run: async (_args, ask) => {
    const data = await graphql(ask, 'query { teams(first: 20) { nodes { id name } } }', {})
    const team = z.object({ id: z.string(), name: z.string() })
    return z.object({ teams: z.object({ nodes: z.array(team) }) }).parse(data).teams.nodes
  },
}

/** `id`: ours, a UUID. Linear makes one issue of it, however often it is asked. */
export const createIssue: Write<{ id: string; team: string; title: string }, Issue> = {
  name: 'linear__createIssue',
  kind: 'write',
  provider: linear,
  changesReads: true,
  run: async ({ id, team, title }, ask) => {
    const query = `mutation($input: IssueCreateInput!) { issueCreate(input: $input) { issue { ${issueFields} } } }`
    const data = await graphql(ask, query, { input: { id, teamId: team, title } })
    return z.object({ issueCreate: z.object({ issue }) }).parse(data).issueCreate.issue
  },
  find: async ({ id }, ask) => {
    try {
      const data = await graphql(ask, `query($id: String!) { issue(id: $id) { ${issueFields} } }`, { id })
      return z.object({ issue }).safeParse(data).data?.issue
    } catch (error) {
      // How Linear says that there is none.
      if (error instanceof ToolRefused) return undefined
      throw error
    }
  },
}

async function graphql(ask: Ask, query: string, variables: object): Promise<unknown> {
  const answer = await ask({ path: '/graphql', body: { query, variables } })
  return (answer as { data?: unknown } | undefined)?.data
}
