import { z } from 'zod'
import type { Provider } from './_provider.ts'
import type { Read, Write } from './_tools.ts'

/* Notion's API, as of the version that is named with each request (https://developers.notion.com/reference). */

const version = '2022-06-28'

export const notion: Provider = {
  name: 'notion',
  title: 'Notion',
  secret: 'NOTION_TOKEN',
  url: ({ NOTION_API_URL }) => NOTION_API_URL,
  headers: (token) => ({ Authorization: `Bearer ${token}`, 'Notion-Version': version }),
  refusal: (body) => {
    const { object, code } = (body ?? {}) as { object?: unknown; code?: unknown }
    return object === 'error' ? String(code) : undefined
  },
}

const words = z.array(z.looseObject({ plain_text: z.string() })).transform((parts) =>
  parts
    .map((part) => part.plain_text)
    .join('')
    .trim(),
)
const property = z.looseObject({ type: z.string(), title: z.unknown().optional() })
const database = z.looseObject({ id: z.string(), title: words, properties: z.record(z.string(), property) })
const page = z.looseObject({ url: z.string(), properties: z.record(z.string(), property) })
const listOf = <T extends z.ZodType>(item: T) => z.looseObject({ results: z.array(item) })

export type Database = {
  readonly id: string
  readonly title: string
  /** The name of the property that holds a page's title: people rename it. */
  readonly titleProperty: string
}
export type Task = { readonly title: string; readonly url: string }

export const getDatabases: Read<object, Database[]> = {
  name: 'notion__getDatabases',
  kind: 'read',
  provider: notion,
  run: async (_args, ask) => {
    const body = { filter: { property: 'object', value: 'database' }, page_size: 50 }
    const { results } = listOf(database).parse(await ask({ path: '/v1/search', body }))
    return results.map(({ id, title, properties }) => ({ id, title, titleProperty: titleOf(properties) ?? 'Name' }))
  },
}

export const getTasks: Read<{ database: string }, Task[]> = {
  name: 'notion__getTasks',
  kind: 'read',
  provider: notion,
  run: async ({ database: id }, ask) => {
    const body = { page_size: 10, sorts: [{ timestamp: 'created_time', direction: 'descending' }] }
    return tasksIn(await ask({ path: `/v1/databases/${encodeURIComponent(id)}/query`, body }))
  },
}

/** `since`: when it was asked for, as ISO 8601. */
export const createTask: Write<{ in: Database; title: string; since: string }, Task> = {
  name: 'notion__createTask',
  kind: 'write',
  provider: notion,
  changesReads: true,
  run: async ({ in: { id, titleProperty }, title }, ask) => {
    const properties = { [titleProperty]: { title: [{ text: { content: title } }] } }
    const made = page.parse(await ask({ path: '/v1/pages', body: { parent: { database_id: id }, properties } }))
    return { title, url: made.url }
  },
  // Notion takes no key by which it would know a repetition. A page of this title that is no older than the request is ours.
  find: async ({ in: { id, titleProperty }, title, since }, ask) => {
    const filter = {
      and: [
        { property: titleProperty, title: { equals: title } },
        { timestamp: 'created_time', created_time: { on_or_after: since } },
      ],
    }
    const [found] = tasksIn(
      await ask({ path: `/v1/databases/${encodeURIComponent(id)}/query`, body: { filter, page_size: 1 } }),
    )
    return found
  },
}

function tasksIn(body: unknown): Task[] {
  return listOf(page)
    .parse(body)
    .results.map(({ url, properties }) => {
      const title = words.safeParse(Object.values(properties).find(({ type }) => type === 'title')?.title)
      return { title: title.data || 'untitled', url }
    })
}

function titleOf(properties: Readonly<Record<string, { type: string }>>): string | undefined {
  return Object.keys(properties).find((name) => properties[name]?.type === 'title')
}
