import type { Quota } from '../config.ts'
import { MillraceError } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { accept, pack } from './accepted.ts'
import type { Deliver } from './deliver.ts'
import type { Quotas } from './quota.ts'
import type { HookReply, HookRequest, Parsed } from './request.ts'
import type { Source, Sources } from './sources.ts'

export type Receiver = {
  /** The largest body that the source may send, in bytes; undefined when there is no such source. Asked before a body is read. */
  readonly limitOf: (source: string) => number | undefined
  /** Throws `unknown-source`, `not-authentic`, `over-quota`, `store-unavailable`, `spool-unavailable`. */
  readonly receive: (request: HookRequest) => Promise<HookReply>
}

/** What is known of tenants. */
export type Tenants = {
  readonly tenantOfTeam: (slackTeam: string) => string
  readonly quotaOf: (tenant: string) => Quota | undefined
}

/** Where accepted requests wait while the store is away. Throws `spool-unavailable`. */
export type Overflow = { append(record: Buffer): Promise<void> }

/**
 * The whole way of a request through the edge: source → proof → meaning → quota → queues → store → 2xx. The promise of
 * the 2xx is made at the end of `receive`, after every queue that takes the event has it durably, or the disk has it for them.
 */
export function createReceiver({
  sources,
  deliver,
  overflow,
  quotas,
  tenants,
  bodyLimit,
  metrics,
}: {
  sources: Sources
  deliver: Deliver
  /** Undefined when the spool is off. */
  overflow: Overflow | undefined
  quotas: Quotas
  tenants: Tenants
  bodyLimit: number
  metrics: Metrics
}): Receiver {
  return {
    limitOf: (name) => {
      const source = sources.get(name)
      return source && (source.limit ?? Math.max(bodyLimit, source.provider.limit ?? 0))
    },

    async receive(request) {
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
      const accepted = accept(source, request, parsed, tenants.tenantOfTeam)
      const { tenant } = accepted
      const ofTenant = tenant === undefined ? undefined : tenants.quotaOf(tenant)
      if (source.quota || source.tenantQuota || ofTenant) await quotas.take(source, tenant, ofTenant)
      try {
        const { duplicate, quarantined } = await deliver(accepted, { isPromised: provider.isNeverRefused })
        const outcome = quarantined !== undefined ? 'quarantined' : duplicate ? 'duplicate' : 'stored'
        metrics.countEventOf(tenant, source.name, outcome)
        return reply(source, accepted.id, duplicate, 'queue', outcome)
      } catch (error) {
        if (!overflow || !(error instanceof MillraceError) || error.code !== 'store-unavailable') throw error
        // Whether some of it was stored is not known; the drain's deduplication sorts that out.
        await overflow.append(pack(accepted))
        metrics.countEventOf(tenant, source.name, 'spooled')
        return reply(source, accepted.id, false, 'spool', 'spooled')
      }
    },
  }
}

function reply(source: Source, id: string, duplicate: boolean, stored: 'queue' | 'spool', outcome: string): HookReply {
  const headers: Record<string, string> = {
    'Millrace-Event': id,
    'Millrace-Duplicate': String(duplicate),
    'Millrace-Stored': stored,
  }
  if (outcome === 'quarantined') headers['Millrace-Quarantined'] = 'true'
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
