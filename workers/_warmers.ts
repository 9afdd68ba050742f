import type { AnyWarmer } from '../src/index.ts'

/**
 * What `cache-warm` knows how to compute, also after a restart: warmers made by defineWarmer(). A handler asks for the same
 * entry with `cache.cached(warmer.compute, warmer)`.
 */
export const warmers: readonly AnyWarmer[] = []
