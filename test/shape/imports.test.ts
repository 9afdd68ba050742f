import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseAst } from 'vitest/node'

/*
 * The import rule and the house rules that no compiler option holds. `violations` is pure over path → text, so that each
 * rule is shown below to fail on a made-up tree: a checker that finds nothing looks just like one that looks at nothing.
 */

/** From the top shelf down. What stands on one line are siblings, who must not know each other. */
const shelves = [
  ['main', 'cli', 'testing'],
  ['app', 'tools'],
  ['http', 'ops'],
  ['jobs', 'ingest', 'limits', 'live', 'sessions', 'tenants', 'cache', 'outbound'],
  ['redis', 'observe', 'load'],
  ['policy', 'config'],
  ['define'],
  ['errors'],
]

const mayReadEnv = new Map([
  ['src/config.ts', 'turns it into the one frozen Config'],
  ['src/main.ts', 'hands it to loadConfig'],
  ['src/setup.mjs', 'runs before anything is installed, so it has no Config'],
])

const maxLines = 300

type Tree = Readonly<Record<string, string>>
type Node = { type: string; start: number; [field: string]: unknown }

/** One line for each broken rule: `file:line: what is wrong`. */
function violations(tree: Tree): string[] {
  return Object.entries(tree).flatMap(([path, text]) => {
    const program = parseAst(text, { lang: path.endsWith('.ts') ? 'ts' : 'js' }) as unknown as Node
    const found: string[] = []
    const report = (node: { start: number }, what: string) =>
      found.push(`${path}:${text.slice(0, node.start).split('\n').length}: ${what}`)
    const isProduct = /^(src|queues|workers)\//.test(path)
    walk(program, (node) => {
      if (isProduct) {
        const target = imported(node)
        const why = target === undefined ? undefined : refusedImport(path, target)
        if (why !== undefined) report(node, why)
        if (readsEnv(node) && !mayReadEnv.has(path)) report(node, 'reads process.env; settings come from src/config.ts')
        const syntax = refusedSyntax(node, text)
        if (syntax !== undefined) report(node, syntax)
      }
      if (isDefaultExport(node) && !/^(queues|workers)\/|\.config\.ts$/.test(path))
        report(node, 'has a default export; only queues/ and workers/ do')
    })
    const lines = text.replace(/\n$/, '').split('\n').length
    if (lines > maxLines) found.push(`${path}:${maxLines + 1}: has ${lines} lines; split it by subject`)
    return found
  })
}

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const value of Object.values(node))
    for (const child of Array.isArray(value) ? value : [value])
      if (typeof child === 'object' && child !== null && typeof child.type === 'string') walk(child as Node, visit)
}

/** What a node imports, types included; null when only the run will tell; undefined when it imports nothing. */
function imported(node: Node): string | null | undefined {
  const literal = (value: unknown) =>
    (value as Node | null)?.type === 'Literal' ? String((value as Node).value) : value ? null : undefined
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return literal(node.source)
    case 'TSExternalModuleReference':
      return literal(node.expression)
    case 'CallExpression': {
      const callee = node.callee as Node & { name?: string; callee?: Node & { name?: string } }
      const isRequire = callee.name === 'require' || callee.callee?.name === 'createRequire'
      return isRequire ? literal((node.arguments as Node[])[0]) : undefined
    }
    default:
      return undefined
  }
}

function refusedImport(from: string, target: string | null): string | undefined {
  if (target === null)
    return from === 'src/load.ts' ? undefined : 'imports what only the run will tell; src/load.ts alone may'
  if (unitOf(from) === 'setup' && !/^(node:|[./])/.test(target))
    return `imports '${target}', but runs before anything is installed`
  if (/^bullmq(\/|$)/.test(target))
    return from.startsWith('src/jobs/') ? undefined : `imports '${target}'; only src/jobs/ does`
  if (/^@bull-board\//.test(target))
    return from.startsWith('src/http/') ? undefined : `imports '${target}'; only src/http/ does`
  if (!/^[./]/.test(target)) return undefined
  const to = posix.join(posix.dirname(from), target)
  return mayImport(from, to) ? undefined : `imports ${to}, which is ${relation(from, to)}`
}

function mayImport(from: string, to: string): boolean {
  if (from.startsWith('queues/')) return to === 'src/index.ts' || to.startsWith('queues/')
  if (from.startsWith('workers/')) return to === 'src/index.ts' || /^(queues\/|workers\/_)/.test(to)
  const [mine, theirs] = [unitOf(from), unitOf(to)]
  if (mine === 'setup') return theirs === 'setup'
  if (mine === 'index') return theirs === 'define' || theirs === 'errors'
  if (mine === undefined || theirs === undefined) return false
  const height = shelfOf(mine)
  return mine === theirs ? height >= 0 : height >= 0 && shelfOf(theirs) > height
}

function relation(from: string, to: string): string {
  const [mine, theirs] = [shelfOf(unitOf(from) ?? ''), shelfOf(unitOf(to) ?? '')]
  if (!from.startsWith('src/') || /^src\/(index|setup)\b/.test(from) || theirs < 0) return 'not for it'
  if (mine < 0) return 'on a shelf, while the file itself is on none'
  return mine === theirs ? 'beside it' : 'above it'
}

/** `src/config.ts` and `src/config/parsers.ts` are both `config`. */
function unitOf(path: string): string | undefined {
  return /^src\/([^/.]+)(?:\/.+|\.ts|\.mjs)$/.exec(path)?.[1]
}

function shelfOf(unit: string): number {
  return shelves.findIndex((shelf) => shelf.includes(unit))
}

function readsEnv(node: Node): boolean {
  type Named = { name?: unknown; value?: unknown } | null | undefined
  const isProcess = (object: Node) => (object.name ?? (object.property as Named)?.name) === 'process'
  const isEnv = (key: Named) => (key?.name ?? key?.value) === 'env'
  if (node.type === 'MemberExpression') return isProcess(node.object as Node) && isEnv(node.property as Named)
  if (node.type === 'VariableDeclarator') {
    const { id, init } = node as unknown as { id: { properties?: { key?: Named }[] }; init: Node | null }
    return init !== null && isProcess(init) && Boolean(id.properties?.some((property) => isEnv(property.key)))
  }
  if (node.type !== 'ImportDeclaration' || !/^(node:)?process$/.test(String((node.source as Node).value))) return false
  return (node.specifiers as { imported?: Named }[]).some((specifier) => isEnv(specifier.imported))
}

function refusedSyntax(node: Node, text: string): string | undefined {
  if (node.type === 'TSAnyKeyword') {
    // The linter's own way to say "here it must be", with its reason, on the line above.
    const before = text.slice(0, node.start).split('\n').at(-2) ?? ''
    return /biome-ignore lint\/suspicious\/noExplicitAny: \S/.test(before) ? undefined : 'says any'
  }
  if (node.type === 'TSEnumDeclaration') return 'has an enum; a union of strings does as well'
  // `declare module 'x'` adds to a library's types and is not a namespace of ours.
  if (node.type === 'TSModuleDeclaration' && (node.id as Node).type === 'Identifier') return 'has a namespace'
  if (node.type === 'Decorator') return 'has a decorator'
  return node.type === 'TSParameterProperty' ? 'has a parameter property' : undefined
}

function isDefaultExport(node: Node): boolean {
  if (node.type === 'ExportDefaultDeclaration') return true
  return node.type === 'ExportSpecifier' && (node.exported as { name?: string }).name === 'default'
}

describe('the product', () => {
  const root = new URL('../../', import.meta.url)
  const read = (folder: string): [string, string][] =>
    readdirSync(new URL(`${folder}/`, root), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.[cm]?[jt]s$/.test(name))
      .map((name) => [`${folder}/${name}`, readFileSync(new URL(`${folder}/${name}`, root), 'utf8')])
  const tree = Object.fromEntries(['src', 'queues', 'workers', 'test'].flatMap(read))

  it('breaks no rule', () => {
    expect(violations(tree).join('\n')).toBe('')
  })

  it('has every folder and file of src/ on a shelf, and nothing on the shelves that has gone', () => {
    const units = Object.keys(tree).flatMap((path) => unitOf(path) ?? [])
    expect([...new Set(units)].sort()).toEqual(['index', 'setup', ...shelves.flat()].sort())
  })
})

describe('the checker', () => {
  const one = (path: string, text: string) => violations({ [path]: text })

  it.each([
    ['up', 'src/jobs/a.ts', "import { x } from '../http/b.ts'", 'src/http/b.ts, which is above it'],
    ['up, by a type', 'src/policy/a.ts', "import type { X } from '../jobs/b.ts'", 'src/jobs/b.ts, which is above it'],
    ['up, by a re-export', 'src/define/a.ts', "export * from '../config.ts'", 'src/config.ts, which is above it'],
    ['up, by a named one', 'src/errors.ts', "export { x } from './app.ts'", 'src/app.ts, which is above it'],
    ['up, when run', 'src/redis/a.ts', "await import('../jobs/b.ts')", 'src/jobs/b.ts, which is above it'],
    ['up, inside a type', 'src/redis/a.ts', "type X = import('../jobs/b.ts').X", 'src/jobs/b.ts, which is above it'],
    ['sideways', 'src/jobs/a.ts', "import '../ingest/b.ts'", 'src/ingest/b.ts, which is beside it'],
    ['sideways, from a file', 'src/load.ts', "import './observe/log.ts'", 'src/observe/log.ts, which is beside it'],
    ['sideways, into a file', 'src/redis/a.ts', "import '../load.ts'", 'src/load.ts, which is beside it'],
    ['of what is on no shelf', 'src/jobs/a.ts', "import '../utils/b.ts'", 'src/utils/b.ts, which is not for it'],
    ['from no shelf', 'src/utils/a.ts', "import '../errors.ts'", 'on a shelf, while the file itself is on none'],
    ['of queues/ in src/', 'src/app.ts', "import q from '../queues/q.ts'", 'queues/q.ts, which is not for it'],
    ['of workers/ in src/', 'src/load.ts', "import w from '../workers/w.ts'", 'workers/w.ts, which is not for it'],
    [
      'of test/ in src/',
      'src/cli.ts',
      "import '../test/harness/redis.ts'",
      'test/harness/redis.ts, which is not for it',
    ],
    ['of the index in src/', 'src/jobs/a.ts', "import '../index.ts'", 'src/index.ts, which is not for it'],
    ['of more by the index', 'src/index.ts', "export * from './load.ts'", 'src/load.ts, which is not for it'],
    [
      'of more by a queue',
      'queues/q.ts',
      "import '../src/define/queue.ts'",
      'src/define/queue.ts, which is not for it',
    ],
    ['of a worker by a queue', 'queues/q.ts', "import '../workers/_x.ts'", 'workers/_x.ts, which is not for it'],
    ['of more by a worker', 'workers/w.ts', "import '../src/app.ts'", 'src/app.ts, which is not for it'],
    ['of another worker', 'workers/w.ts', "import './v.ts'", 'workers/v.ts, which is not for it'],
    ['of bullmq', 'src/http/a.ts', "import type { Queue } from 'bullmq'", "'bullmq'; only src/jobs/ does"],
    ['of its depths', 'workers/w.ts', "import 'bullmq/dist/esm/x.js'", "'bullmq/dist/esm/x.js'; only src/jobs/ does"],
    ['by require', 'src/http/a.ts', "createRequire(import.meta.url)('bullmq')", "'bullmq'; only src/jobs/ does"],
    ['of bull-board', 'src/jobs/a.ts', "import '@bull-board/api'", "'@bull-board/api'; only src/http/ does"],
    ['of a package by setup', 'src/setup.mjs', "import 'zod'", "'zod', but runs before anything is installed"],
    ['of the product by setup', 'src/setup/a.mjs', "import '../errors.ts'", 'src/errors.ts, which is not for it'],
    ['of setup in src/', 'src/main.ts', "import './setup/a.mjs'", 'src/setup/a.mjs, which is not for it'],
    ['of what only the run tells', 'src/app.ts', 'await import(name)', 'what only the run will tell'],
  ])('finds an import %s', (_what, path, text, expected) => {
    const found = one(path, `// a first line\n${text}\n`)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(new RegExp(`^${path}:2: imports `))
    expect(found[0]).toContain(expected)
  })

  it.each([
    ['src/main.ts', "import './app.ts'\nimport './errors.ts'"],
    ['src/http/a.ts', "import './b.ts'\nimport '../ingest/c.ts'\nimport '@bull-board/api/x'"],
    ['src/jobs/a.ts', "import 'bullmq/dist/x.js'\nimport type { X } from '../config.ts'"],
    ['src/config.ts', "export type * from './config/types.ts'\nimport './define/duration.ts'"],
    ['src/config/schemas.ts', "import '../config.ts'"],
    ['src/load.ts', 'await import(url)'],
    ['src/setup.mjs', "import 'node:fs'\nawait import('./setup/a.mjs')"],
    ['src/index.ts', "export * from './define/queue.ts'\nexport * from './errors.ts'"],
    ['queues/q.ts', "import 'zod'\nimport '../src/index.ts'\nimport './_shared.ts'"],
    ['workers/_x.ts', "import '../src/index.ts'\nimport './_y.ts'\nimport q from '../queues/q.ts'"],
    ['src/jobs/b.ts', "// import '../http/b.ts'\nconst text = \"import '../http/b.ts'\""],
  ])('lets pass what may be: %s', (path, text) => {
    expect(one(path, text)).toEqual([])
  })

  it.each([
    ['src/app.ts', 'const port = process.env.PORT', 'reads process.env'],
    ['workers/w.ts', "globalThis.process['env']", 'reads process.env'],
    ['src/app.ts', 'const { env } = process', 'reads process.env'],
    ['src/app.ts', "import { env } from 'node:process'", 'reads process.env'],
    ['src/app.ts', 'export default 1', 'has a default export'],
    ['test/harness/a.ts', 'const a = 1; export { a as default }', 'has a default export'],
    ['src/app.ts', 'let a: Map<string, any>', 'says any'],
    ['src/app.ts', '// biome-ignore lint/suspicious/noExplicitAny:\nlet a: any', 'says any'],
    ['src/app.ts', 'enum Colour { Red }', 'has an enum'],
    ['src/app.ts', 'declare namespace N { type X = 1 }', 'has a namespace'],
    ['src/app.ts', '@sealed class A {}', 'has a decorator'],
    ['src/app.ts', 'class A { constructor(private b: string) {} }', 'has a parameter property'],
  ])('finds in %s: %s', (path, text, expected) => {
    expect(one(path, text).map((line) => line.replace(/^\S+:\d+: /, ''))).toEqual([expect.stringContaining(expected)])
  })

  it.each([
    ['src/config.ts', 'process.env'],
    ['src/app.ts', 'process.exitCode; config.env; import.meta.env'],
    ['test/vitest.config.ts', 'export default 1'],
    ['test/a.test.ts', "import { x } from '../src/app.ts'\nlet a: any = process.env"],
    ['src/app.ts', '// biome-ignore lint/suspicious/noExplicitAny: of unknown sides\nlet a: any'],
    ['src/app.ts', "declare module 'express-session' { interface SessionData { keyHash: string } }"],
  ])('lets pass in %s: %s', (path, text) => {
    expect(one(path, text)).toEqual([])
  })

  it('finds a file that is too long', () => {
    expect(one('src/app.ts', '\n'.repeat(maxLines))).toEqual([])
    expect(one('src/app.ts', '\n'.repeat(maxLines + 1))).toEqual(['src/app.ts:301: has 301 lines; split it by subject'])
  })

  it('counts lines as editors do, whatever characters come before', () => {
    expect(one('src/app.ts', "const a = '€ · 😀'\n\nexport default a\n")[0]).toMatch(/^src\/app\.ts:3: /)
  })
})
