import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** Runs a script by its hash: the text goes over the wire only to a store that does not have it yet. */
export function scriptCall(
  script: string,
): (redis: Redis, keys: readonly string[], args: readonly (string | number | Buffer)[]) => Promise<unknown> {
  const sha = createHash('sha1').update(script).digest('hex')
  return (redis, keys, args) =>
    redis.evalsha(sha, keys.length, ...keys, ...args).catch((error: Error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error
      return redis.eval(script, keys.length, ...keys, ...args)
    })
}
