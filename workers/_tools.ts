import { z } from 'zod'
import { type Context, type ToolRun, toolTtl } from '../src/index.ts'
import { type Asking, ask, type Provider, type Request, ToolBusy, ToolFault } from './_provider.ts'
import type { AssistantSettings } from './_settings.ts'

/* What the assistant can do with a provider, and what every tool has around it: cache, limit, one quick second try. */

export type Ask = (request: Request) => Promise<unknown>

type Common = {
  /** `provider__what`, as in limits, cache keys and the session. */
  readonly name: string
  readonly provider: Provider
}
/** Changes nothing, so that its answer can be kept and it can be asked twice. */
export type Read<Args, Result> = Common & {
  readonly kind: 'read'
  readonly run: (args: Args, ask: Ask) => Promise<Result>
}
export type Write<Args, Result> = Common & {
  readonly kind: 'write'
  readonly run: (args: Args, ask: Ask) => Promise<Result>
  /** What an earlier attempt has made of the same arguments, for when nobody knows whether it got that far. */
  readonly find: (args: Args, ask: Ask) => Promise<Result | undefined>
  /** Whether answers of this provider's reads may be different now. */
  readonly changesReads: boolean
}

/** Between a fault and the second try of a read: long enough for a restart of one of many servers, short for a person. */
const secondTry = { leastMs: 150, jitterMs: 150 }

export type ToolContext = Asking & {
  readonly limits: Context['limits']
  /** Told when a tool begins, and what came of it. */
  readonly onBegin: (tool: string) => Promise<void>
  readonly onRun: (run: Omit<ToolRun, 'at'>) => Promise<void>
}

export async function read<Args, Result>(tool: Read<Args, Result>, args: Args, context: ToolContext): Promise<Result> {
  let isCached = true
  const get = context.cache.namespace('tools').cached(
    (given: Args) => {
      isCached = false
      return withinLimit(tool, context, () => twice(() => run(tool, given, context), context.signal))
    },
    { name: tool.name, ttl: toolTtl[tool.name] ?? 'medium', tags: [tool.provider.name] },
  )
  return noted(
    tool,
    context,
    () => get(args),
    () => (isCached ? 'cached' : undefined),
  )
}

export async function write<Args, Result>(
  tool: Write<Args, Result>,
  args: Args,
  context: ToolContext,
): Promise<Result> {
  try {
    return await noted(tool, context, () => withinLimit(tool, context, () => run(tool, args, context)))
  } finally {
    // Also after a failure: it may have been done all the same.
    if (tool.changesReads) await context.cache.namespace('tools').invalidate({ tag: tool.provider.name })
  }
}

/** What an earlier attempt has left behind. */
export function find<Args, Result>(tool: Write<Args, Result>, args: Args, context: ToolContext) {
  return twice(() => run({ provider: tool.provider, run: tool.find }, args, context), context.signal)
}

async function run<Args, Result>(
  { provider, run }: { provider: Provider; run: (args: Args, ask: Ask) => Promise<Result> },
  args: Args,
  context: ToolContext,
): Promise<Result> {
  try {
    return await run(args, (request) => ask(provider, request, context))
  } catch (error) {
    // What fits no schema of ours is a fault of theirs, as far as people are concerned.
    if (error instanceof z.ZodError) throw new ToolFault(provider, 'broken', 'an answer of another shape')
    throw error
  }
}

/** Every organization has so many calls of a tool a minute; what comes from the cache is none. */
async function withinLimit<Result>(
  { name, provider }: { name: string; provider: Provider },
  { limits, settings }: { limits: Context['limits']; settings: AssistantSettings },
  run: () => Promise<Result>,
): Promise<Result> {
  const { ok, retryAfterMs } = await limits.take(name, { max: Number(settings.TOOL_LIMIT), per: '60s' })
  if (!ok) throw new ToolBusy(provider, retryAfterMs / 1_000)
  return run()
}

/** The queue tries again in seconds; what one more request mends need not wait for that. */
async function twice<Result>(run: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof ToolFault) || error.kind === 'slow' || error.kind === 'open') throw error
    await new Promise((resolve) => setTimeout(resolve, secondTry.leastMs + Math.random() * secondTry.jitterMs))
    signal.throwIfAborted()
    return run()
  }
}

async function noted<Result>(
  { name }: { name: string },
  { onBegin, onRun }: ToolContext,
  run: () => Promise<Result>,
  noteOf: () => string | undefined = () => undefined,
): Promise<Result> {
  const began = performance.now()
  const told = (ok: boolean, note: string | undefined) =>
    onRun({ tool: name, ok, ms: Math.round(performance.now() - began), ...(note === undefined ? {} : { note }) })
  await onBegin(name)
  try {
    const result = await run()
    await told(true, noteOf())
    return result
  } catch (error) {
    await told(false, (error as Error).message)
    throw error
  }
}
