import type { Redis } from 'ioredis'
import { messageOf } from '../../src/errors.ts'
import { until } from '../harness/until.ts'

/** What one run of one side came to. Undefined where the machine does not tell. */
export type Figures = Readonly<Record<string, number | undefined>>
export type Outcome = Figures | { readonly failed: string }
export type Side = { readonly name: string; readonly run: () => Promise<Figures> }
export type Round = { readonly plain: Outcome; readonly ours: Outcome }

/**
 * Both sides in turn, so that whatever else the machine does hits both. The first run of each is thrown away: compilers
 * and allocators have not settled yet.
 */
export async function alternate(
  { plain, ours }: { plain: Side; ours: Side },
  rounds: number,
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Round[]> {
  const done: Round[] = []
  for (let round = 0; round <= rounds; round++) {
    const turn = async (side: Side): Promise<Outcome> => {
      const outcome = await side.run().catch((error: unknown) => ({ failed: messageOf(error) }))
      onRun(side.name, round, outcome)
      return outcome
    }
    const both = { plain: await turn(plain), ours: await turn(ours) }
    if (round > 0 || 'failed' in both.plain || 'failed' in both.ours) done.push(both)
  }
  return done
}

/** An empty store with an empty file, as it was at first. */
export async function empty(redis: Redis): Promise<void> {
  for await (const some of redis.scanStream({ count: 5_000 }))
    if ((some as string[]).length > 0) await redis.unlink(some as string[])
  await redis.bgrewriteaof()
  const settled = async () =>
    /aof_rewrite_in_progress:0[\s\S]*aof_rewrite_scheduled:0/.test(await redis.info('persistence'))
  await until(settled, 'the store has rewritten its file')
}
