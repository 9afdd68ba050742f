import { InvalidArgumentError, Option } from 'commander'
import { type Duration, parseDuration } from '../define/duration.ts'

/* Options that several commands have. */

export const json = () => new Option('--json', 'print JSON for programs')

export function whole(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1 to 9999999.')
  return Number(text)
}

/** A variable of a shell that is not set must not become “of nobody”, or “of all”. */
export function named(text: string): string {
  if (text === '') throw new InvalidArgumentError('It must not be empty.')
  return text
}

/** A time that long ago, or a date. */
export function moment(text: string): number {
  const ago = parseDuration(text)
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago
  if (Number.isNaN(time)) throw new InvalidArgumentError('It must be a duration such as 30m, or a date.')
  return time
}

export function duration(text: string): Duration {
  if (parseDuration(text) === undefined) throw new InvalidArgumentError('It must be a duration such as 30s or 10m.')
  return text as Duration
}
