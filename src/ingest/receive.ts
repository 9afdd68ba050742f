import { createSecretKey } from 'node:crypto'
import type { SourceConfig } from '../config.ts'
import type { SourceEvent } from '../define/event.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Enqueued } from '../define/worker.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { takes } from '../policy/route.ts'
import type { HookReply, HookRequest, Parsed, Provider, SecretKey } from './request.ts'
import { slack } from './slack.ts'

export type EnqueueEvent = (queue: AnyQueue, event: SourceEvent, windowMs: number) => Promise<Enqueued>

export type Receiver = {
  /** Whether there is such a source: asked before a body is read for it. */
  readonly knows: (source: string) => boolean
  /** Throws `unknown-source`, `not-authentic`, `store-unavailable`. */
  readonly receive: (request: HookRequest) => Promise<HookReply>
}

const providers: Readonly<Record<SourceConfig['type'], Provider>> = { slack }

type Source = SourceConfig & { readonly provider: Provider; readonly keys: readonly SecretKey[] }

/**
 * The whole way of a request through the edge: source → proof → meaning → queues → store → 2xx. The promise of the 2xx
 * is made in the last line of `store`, after every queue that takes the event has it durably.
 */
export function createReceiver({
  sources: configs,
  queues,
  quarantine,
  enqueueEvent,
  metrics,
}: {
  sources: readonly SourceConfig[]
  queues: readonly AnyQueue[]
  /** Where genuine requests go that no queue takes. */
  quarantine: AnyQueue
  enqueueEvent: EnqueueEvent
  metrics: Metrics
}): Receiver {
  const sources = new Map<string, Source>(
    configs.map((config) => [
      config.name,
      {
        ...config,
        provider: providers[config.type],
        keys: config.secrets.map((secret) => createSecretKey(secret, 'utf8')),
      },
    ]),
  )
  const routes = new Map<string, readonly AnyQueue[]>()

  return { knows: (source) => sources.has(source), receive }

  async function receive(request: HookRequest): Promise<HookReply> {
    const source = sources.get(request.source)
    if (!source)
      throw new MillraceError('unknown-source', `there is no source ${JSON.stringify(request.source.slice(0, 64))}`)
    const { provider } = source
    const handshake = provider.unsigned?.(request)
    if (handshake?.kind === 'answer') return answer(handshake)
    const skew = provider.verify(request, source.keys)
    // One message for all causes: which part was wrong is nobody's business who could not sign it.
    if (skew === undefined) throw new MillraceError('not-authentic')
    metrics.clockSkew.set({ source: source.name }, skew)

    const parsed = provider.parse(request)
    if (parsed.kind === 'answer') return answer(parsed)
    return store(source, request, parsed)
  }

  async function store(
    source: Source,
    request: HookRequest,
    parsed: Exclude<Parsed, { kind: 'answer' }>,
  ): Promise<HookReply> {
    const windowMs = source.provider.dedupeWindowMs
    const jobs: Promise<Enqueued>[] = []
    let reason: string | undefined
    if (parsed.kind === 'unreadable') reason = parsed.reason
    else {
      const event = eventOf(source, parsed)
      const { fitting, misfit } = await check(queuesFor(event), event)
      for (const queue of fitting) jobs.push(enqueueEvent(queue, event, windowMs))
      reason = misfit ?? (fitting.length === 0 ? `no queue takes ${event.type}` : undefined)
    }
    // A queue whose schema does not fit keeps the event from nobody else, but somebody has to see it.
    if (reason !== undefined)
      jobs.push(enqueueEvent(quarantine, quarantined(source, request, parsed, reason), windowMs))
    // All or nothing: with one queue failing the sender tries again, and the others recognise the repetition.
    const stored = await Promise.all(jobs)
    const reply = accepted(
      source,
      parsed.id,
      stored.every((job) => job.duplicate),
    )
    return reason === undefined ? reply : { ...reply, outcome: 'quarantined' }
  }

  function queuesFor(event: SourceEvent): readonly AnyQueue[] {
    const key = `${event.source}:${event.type}`
    let taking = routes.get(key)
    if (!taking) {
      taking = queues.filter((queue) => takes(queue.on, event))
      // Types come from outside (a slash command's name, say); the cache must not grow with them.
      if (routes.size < 10_000) routes.set(key, taking)
    }
    return taking
  }
}

/** The queues that can take the event, and why the first one that cannot does not. */
async function check(
  queues: readonly AnyQueue[],
  event: SourceEvent,
): Promise<{ fitting: AnyQueue[]; misfit: string | undefined }> {
  const fitting: AnyQueue[] = []
  let misfit: string | undefined
  for (const queue of queues) {
    try {
      const checked = validate(queue.payload, event.payload, `${event.type} for '${queue.name}'`)
      if (checked instanceof Promise) await checked
      fitting.push(queue)
    } catch (error) {
      misfit ??= messageOf(error)
    }
  }
  return { fitting, misfit }
}

function eventOf(source: Source, { type, id, tenant, json, payload }: Extract<Parsed, { kind: 'event' }>): SourceEvent {
  return { source: source.name, sourceType: source.type, type, id, tenant: source.tenant ?? tenant, json, payload }
}

/** Headers are kept only where they help to read the body: others may carry credentials. */
function quarantined(
  source: Source,
  request: HookRequest,
  parsed: Exclude<Parsed, { kind: 'answer' }>,
  reason: string,
): SourceEvent {
  const payload = {
    source: source.name,
    event: parsed.id,
    reason,
    contentType: request.header('content-type') ?? null,
    receivedAt: new Date(request.now).toISOString(),
    body: request.body.toString('base64'),
  }
  const type = parsed.kind === 'event' ? parsed.type : 'unreadable'
  const tenant = source.tenant ?? (parsed.kind === 'event' ? parsed.tenant : undefined)
  return {
    source: source.name,
    sourceType: source.type,
    type,
    id: parsed.id,
    tenant,
    json: JSON.stringify(payload),
    payload,
  }
}

function accepted(source: Source, id: string, duplicate: boolean): HookReply {
  const headers = { 'Millrace-Event': id, 'Millrace-Duplicate': String(duplicate), 'Millrace-Stored': 'queue' }
  const outcome = duplicate ? 'duplicate' : 'stored'
  return source.provider.isSilent
    ? { status: 200, headers, body: '', outcome }
    : {
        status: 202,
        headers: { ...headers, 'Content-Type': 'application/json' },
        body: JSON.stringify({ id, duplicate }),
        outcome,
      }
}

function answer({ contentType, body }: Extract<Parsed, { kind: 'answer' }>): HookReply {
  const headers: Record<string, string> =
    body === '' ? {} : { 'Content-Type': `${contentType}; charset=utf-8`, 'X-Content-Type-Options': 'nosniff' }
  return { status: 200, headers, body, outcome: 'handshake' }
}
