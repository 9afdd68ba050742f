/** A size in bytes, e.g. '512kb', '64mb', '2gb'. */
export type Size = `${number}${'b' | 'kb' | 'mb' | 'gb'}`

/** Bytes; undefined when the text is no size. Units are powers of 1,024, in either case. */
export function sizeOf(text: string): number | undefined {
  const [, digits, unit = 'b'] = /^(\d+)(b|kb|mb|gb)?$/i.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits) * 1024 ** ['b', 'kb', 'mb', 'gb'].indexOf(unit.toLowerCase())
}
