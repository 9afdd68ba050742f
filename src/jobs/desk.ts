import type { Durability } from '../config.ts'
import type { RatePolicy } from '../define/queue/rate.ts'
import type { TenantTerms } from '../define/queue/tenant.ts'
import type { AnyQueue } from '../define/queue.ts'
import { MillraceError } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import * as actions from './actions.ts'
import type { BullQueue } from './bull.ts'
import type { DeadFilter } from './dead.ts'
import { fsynced } from './fsynced.ts'
import { resetLimit, setLimit, setTerms } from './gate/settings.ts'
import { freeKey } from './gate/view.ts'
import { type DeadSummary, deadGroups } from './groups.ts'
import * as redrives from './redrive.ts'

/** What an engineer asks for: which job, and who asks. */
export type JobRequest = { readonly queue: string; readonly id: string; readonly actor: actions.Actor }

/** Everything engineers do, for the API, the pages and the command line alike. Each resolves when it is durable, and is logged. */
export type Desk = {
  /** Throws `unknown-queue`. */
  queue(name: string): BullQueue
  retry(request: JobRequest & { readonly again?: boolean }): Promise<actions.Acted>
  cancel(request: JobRequest & { readonly reason?: string | undefined }): Promise<actions.Acted>
  remove(request: JobRequest): Promise<actions.Acted>
  pause(queue: string, by: string): Promise<actions.Paused>
  resume(queue: string, by: string): Promise<actions.Paused>
  /** Undefined takes back what was set at run time. */
  limit(queue: AnyQueue, rate: RatePolicy | undefined, by: string): Promise<void>
  /** As {@link limit}, for one tenant. Throws `bad-request` for a queue without turns. */
  tenant(queue: AnyQueue, tenant: string, terms: TenantTerms | undefined, by: string): Promise<void>
  /** The id of the job that held the key. Throws `not-found` when none does. */
  freeKey(queue: string, lane: { readonly tenant: string; readonly key: string }, by: string): Promise<string>
  dead(queue: string, tenant?: string): Promise<DeadSummary>
  preview(
    queue: string,
    filter: DeadFilter,
    options: { readonly owner: redrives.Owner; readonly ratePerSecond: number },
  ): Promise<redrives.RedrivePreview>
  redrive(token: string, owner: redrives.Owner): Promise<redrives.RedriveProgress>
  stopRedrive(token: string, owner: redrives.Owner): Promise<redrives.RedriveProgress>
  progress(token: string, owner?: redrives.Owner): Promise<redrives.RedriveProgress>
}

export function createDesk({
  bull,
  prefix,
  durability,
  ackDeadlineMs,
  log,
  run,
}: {
  bull: ReadonlyMap<string, BullQueue>
  prefix: string
  durability: Durability
  ackDeadlineMs: number
  log: Logger
  /** Carries out a redrive that has been started; its end is not waited for. */
  run: (token: string) => void
}): Desk {
  const queueOf = (name: string): BullQueue => {
    const queue = bull.get(name)
    if (!queue)
      throw new MillraceError(
        'unknown-queue',
        `there is no queue ${JSON.stringify(name.slice(0, 100))}; there are ${[...bull.keys()].join(', ')}`,
      )
    return queue
  }
  const act = async <T>(name: string, line: object, does: (queue: BullQueue) => Promise<T>): Promise<T> => {
    const queue = queueOf(name)
    const result = await does(queue)
    await fsynced(queue.redis, durability, ackDeadlineMs)
    log.info({ queue: name, ...line }, 'operator action')
    return result
  }
  return {
    queue: queueOf,
    retry: ({ queue: name, id, ...how }) =>
      act(name, { action: 'retry', job: id, by: how.actor.name }, (queue) => actions.retryJob(queue, id, how)),
    cancel: ({ queue: name, id, ...how }) =>
      act(name, { action: 'cancel', job: id, by: how.actor.name }, (queue) =>
        actions.cancelJob(queue, id, { ...how, prefix }),
      ),
    remove: ({ queue: name, id, actor }) =>
      act(name, { action: 'remove', job: id, by: actor.name }, (queue) => actions.removeJob(queue, id, { actor })),
    pause: (name, by) => act(name, { action: 'pause', by }, (queue) => actions.pauseQueue(queue, by)),
    resume: (name, by) => act(name, { action: 'resume', by }, (queue) => actions.resumeQueue(queue)),
    limit: (queue, rate, by) =>
      act(queue.name, { action: 'limit', ...rate, by }, (bull) =>
        rate ? setLimit(bull, queue, rate) : resetLimit(bull, queue),
      ),
    tenant: async (queue, tenant, terms, by) => {
      if (!queue.tenant)
        throw new MillraceError('bad-request', `'${queue.name}' has no turns between tenants: its file says no tenant`)
      await act(queue.name, { action: 'tenant', tenant, ...terms, by }, (bull) => setTerms(bull, tenant, terms))
    },
    freeKey: (name, { tenant, key }, by) =>
      act(name, { action: 'free key', tenant, key, by }, async (queue) => {
        const job = await freeKey(queue, tenant, key)
        if (job === null)
          throw new MillraceError('not-found', `no job holds the key ${JSON.stringify(key.slice(0, 100))}`)
        return job
      }),
    dead: async (name, tenant) => deadGroups(queueOf(name), tenant),
    preview: async (name, filter, options) => redrives.previewRedrive(queueOf(name), filter, { prefix, ...options }),
    redrive: async (token, owner) => {
      const progress = await redrives.startRedrive(bull, token, { prefix, owner })
      await fsynced(queueOf(progress.queue).redis, durability, ackDeadlineMs)
      log.info({ action: 'redrive', queue: progress.queue, jobs: progress.matched, by: owner.name }, 'operator action')
      if (progress.state === 'running') run(token)
      return progress
    },
    stopRedrive: async (token, owner) => {
      const progress = await redrives.stopRedrive(bull, token, { prefix, owner })
      log.info({ action: 'stop redrive', queue: progress.queue, by: owner.name }, 'operator action')
      return progress
    },
    progress: (token, owner) => redrives.redriveProgress(bull, token, owner ? { prefix, owner } : { prefix }),
  }
}
