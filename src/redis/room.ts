import { createHash } from 'node:crypto'

/** More would not fit into an index row of PostgreSQL together with another one. */
const maxLength = 200
const plain = /^[\w.-]{1,200}$/

/**
 * A text from outside as part of a key: two texts never give the same one, nothing in it means something to Redis' patterns
 * or ends the part, and ordinary ids stay readable. What is very long becomes its beginning and its hash.
 */
export function keyPart(text: string): string {
  // Nearly all are plain, and come to themselves below as well.
  if (plain.test(text)) return text
  // JSON keeps even halves of characters apart, which no encoding of bytes does.
  const encoded = encodeURIComponent(JSON.stringify(text).slice(1, -1)).replace(
    /[*!'()~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  if (encoded.length <= maxLength) return encoded
  return `${encoded.slice(0, 100)}~${createHash('sha256').update(encoded).digest('base64url')}`
}

/** The part for a tenant. Jobs without one have a room of their own, which no tenant can be called. */
export function room(tenant: string | undefined): string {
  return tenant === undefined || tenant === '' ? '~' : keyPart(tenant)
}
