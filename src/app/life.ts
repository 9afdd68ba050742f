import type { Logger } from '../observe/log.ts'

/** Anything with a life. stop() before start(), and twice, is fine. `deadline` is in milliseconds since the epoch. */
export type Service = {
  readonly name: string
  start?(): Promise<void>
  /** Take nothing new. Called on all before the first is stopped. */
  quiet?(deadline: number): void
  stop(deadline: number): Promise<void>
}

/** Starts a service, which from then on is stopped with the others. */
export type Run = <S extends Service>(service: S) => Promise<S>

/** What has started, in its order, and its end. */
export function createLife(log: Logger): {
  readonly run: Run
  readonly stop: (deadline: number) => Promise<void>
  readonly isStopping: () => boolean
} {
  const started: Service[] = []
  let stopping: Promise<void> | undefined
  return {
    run: async (service) => {
      // Registered first: a start that fails half-way has something to stop.
      started.push(service)
      await service.start?.()
      return service
    },
    stop: (deadline) => {
      stopping ??= stopAll(started, deadline, log)
      return stopping
    },
    isStopping: () => stopping !== undefined,
  }
}

/** Services that start and stop together. */
export function group(name: string, services: readonly Service[]): Service {
  return {
    name,
    start: async () => void (await Promise.all(services.map((service) => service.start?.()))),
    quiet: (deadline) => {
      for (const service of services) service.quiet?.(deadline)
    },
    stop: async (deadline) => void (await Promise.all(services.map((service) => service.stop(deadline)))),
  }
}

async function stopAll(services: readonly Service[], deadline: number, log: Logger): Promise<void> {
  for (const service of services) service.quiet?.(deadline)
  for (const service of [...services].reverse()) {
    try {
      await service.stop(deadline)
    } catch (error) {
      // The others must be stopped all the same.
      log.error({ err: error, service: service.name }, 'did not stop cleanly')
    }
  }
}
