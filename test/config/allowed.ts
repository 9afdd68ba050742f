/* What each kind of setting says is allowed. */

export const forms = 'must be redis://host:port, rediss://host:port or unix:///path/to/socket'
export const port = (from: number) => `must be a whole number from ${from} to 65535`
export const time = (from: string, to: string) => `must be a duration from ${from} to ${to}, such as 1500ms, 30s or 5m`
export const size = 'must be a size from 1kb to 256mb, such as 512kb or 1mb'
export const sizeOrNone = 'must be a size from 1mb on, such as 256mb or 2gb, or 0 for none'
export const letters = 'must be 1 to 64 letters, digits, dots, dashes or underscores'
export const perTime = 'must be so many in so long, up to 100000 in 1s to 1d, such as 600/1m, or off'
