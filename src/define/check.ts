import { MillraceError } from '../errors.ts'

/** The mistake in a definition: what is not what it has to be. */
export function wrong(what: string, allowed: string): MillraceError {
  return new MillraceError('invalid-definition', `${what} is not ${allowed}`)
}

export function noUnknown(options: object | undefined, allowed: readonly string[], at: string): void {
  for (const key of Object.keys(options ?? {}))
    if (!allowed.includes(key)) throw wrong(`${at}: ${key}`, `an option: it is none of ${allowed.join(', ')}`)
}

export function aFunction(value: unknown, at: string): void {
  if (typeof value !== 'function') throw wrong(at, 'a function of the payload')
}

export function wholeFrom(least: number, value: unknown, at: string): number {
  if (!Number.isInteger(value) || (value as number) < least)
    throw wrong(`${at} ${String(value)}`, `a whole number from ${least}`)
  return value as number
}
