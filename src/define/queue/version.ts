import { aFunction, wholeFrom, wrong } from '../check.ts'

/** Turns a stored payload of the version that is its key into one of the next. */
export type Migrations = Readonly<Record<number, (payload: never) => unknown>>

export type VersionPolicy = {
  /** What producers write now; 1 where the queue says nothing. */
  readonly current: number
  /** Brings a payload of an older version to the current one. Throws what a migration throws. */
  readonly migrate: (payload: unknown, from: number) => unknown
}

export function versionOf(
  { version = 1, migrate = {} }: { version?: number | undefined; migrate?: Migrations | undefined },
  at: string,
): VersionPolicy {
  wholeFrom(1, version, `${at}: version`)
  for (const [from, step] of Object.entries(migrate)) {
    if (!(Number(from) >= 1 && Number(from) < version))
      throw wrong(`${at}: migrate.${from}`, `a version before the current ${version}`)
    aFunction(step, `${at}: migrate.${from}`)
  }
  for (let from = 1; from < version; from++)
    if (!migrate[from]) throw wrong(`${at}: migrate`, `complete: there is none from version ${from}`)
  return Object.freeze({
    current: version,
    migrate: (payload: unknown, from: number) => {
      let migrated = payload
      for (let at = from; at < version; at++) migrated = migrate[at]?.(migrated as never)
      return migrated
    },
  })
}
