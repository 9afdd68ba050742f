/** What JSON writes as it is. */
const plain = /^[\w.~-]*$/

/**
 * A text as JSON. With it, the few small objects that every event needs are written by hand: JSON.stringify of an object takes
 * 2 to 3 µs, of an id that needs no escape this a tenth of one.
 */
export function quote(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** `,"name":"text"`, or nothing where there is none. */
export function member(name: string, value: string | number | undefined): string {
  if (value === undefined) return ''
  return `,"${name}":${typeof value === 'number' ? value : quote(value)}`
}
