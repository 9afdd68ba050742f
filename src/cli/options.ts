import { InvalidArgumentError, Option } from 'commander'

/* Options that several commands have. */

export const json = () => new Option('--json', 'print JSON for programs')

export function whole(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1 to 9999999.')
  return Number(text)
}
