import type { Redis } from 'ioredis'
import type { Config } from '../config.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { createDesk, type Desk } from '../jobs/desk.ts'
import { Redriver } from '../jobs/redriver.ts'
import { createWaitFor, type WaitFor, Waits } from '../jobs/wait-for.ts'
import type { Logger } from '../observe/log.ts'
import type { Run } from './life.ts'

/** What engineers do, and those who wait for a job: in processes that serve http, and for `waitFor` in every other. */
export async function startDesk(
  run: Run,
  {
    config,
    bull,
    redis,
    open,
    log,
  }: {
    config: Config
    bull: ReadonlyMap<string, BullQueue>
    redis: Redis
    /** Opens a connection on which commands may block; called when somebody first waits. */
    open: () => Redis
    log: Logger
  },
): Promise<{ desk: Desk; waits: Waits; waitFor: WaitFor }> {
  const prefix = config.keyPrefix
  const redriver = new Redriver({ redis, bull, prefix, log })
  if (config.roles.includes('scheduler') || config.roles.includes('http')) await run(redriver)
  const waits = await run(new Waits(open))
  return {
    desk: createDesk({ ...config, prefix, bull, log, run: (token) => void redriver.run(token) }),
    waits,
    waitFor: createWaitFor(bull, waits),
  }
}
