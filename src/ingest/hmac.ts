import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { HmacScheme } from '../config.ts'
import { bodyId, decode, dottedTypeOf, parseObject, safeId, textOf, unreadable } from './read.ts'
import type { HookRequest, Provider } from './request.ts'

/** Whoever signs a body with an HMAC in a header, by what the source's configuration says of the scheme. */

const dedupeWindowMs = 4 * 86_400_000
const bytes = { sha1: 20, sha256: 32, sha512: 64 } as const

export function createHmacProvider(scheme: HmacScheme): Provider {
  const { algorithm, encoding, prefix, header, timestampHeader, toleranceSeconds, idHeader, typeHeader, typeField } =
    scheme
  const signatureHeader = header.toLowerCase()

  return {
    dedupeWindowMs,
    isSilent: false,
    isNeverRefused: false,
    prepare: (secret) => createSecretKey(secret, 'utf8'),

    verify(request, keys) {
      const claimed = readSignature(request.header(signatureHeader))
      if (!claimed) return undefined
      const timestamp = timestampOf(request)
      if (timestampHeader !== undefined && timestamp === undefined) return undefined
      const skew = timestamp === undefined ? 0 : Math.floor(request.now / 1_000) - Number(timestamp)
      let isGenuine = false
      for (const key of keys) isGenuine = timingSafeEqual(mac(key, timestamp, request.body), claimed) || isGenuine
      return isGenuine && Math.abs(skew) <= toleranceSeconds ? skew : undefined
    },

    parse(request) {
      const given = idHeader === undefined ? undefined : request.header(idHeader.toLowerCase())
      const id = safeId(given) ?? bodyId(timestampOf(request) ?? '', request.body)
      const text = decode(request.body)
      if (text === undefined) return unreadable(id, 'the body is not UTF-8')
      const parsed = parseObject(text)
      if ('reason' in parsed) return unreadable(id, parsed.reason)
      const named = typeHeader === undefined ? undefined : request.header(typeHeader.toLowerCase())
      return {
        kind: 'event',
        type: dottedTypeOf(textOf(named) ?? textOf(parsed.value[typeField]) ?? '') || 'event',
        id,
        tenant: undefined,
        json: text,
        payload: parsed.value,
      }
    },

    sign: (body, { key, id, now, type }) => {
      const timestamp = timestampHeader === undefined ? undefined : String(Math.floor(now / 1_000))
      return {
        [header]: `${prefix}${mac(key, timestamp, body).toString(encoding)}`,
        ...(timestampHeader === undefined || timestamp === undefined ? {} : { [timestampHeader]: timestamp }),
        ...(idHeader === undefined ? {} : { [idHeader]: id }),
        ...(typeHeader === undefined ? {} : { [typeHeader]: type }),
      }
    },
  }

  function timestampOf(request: HookRequest): string | undefined {
    const given = timestampHeader === undefined ? undefined : request.header(timestampHeader.toLowerCase())
    return given !== undefined && /^[1-9]\d{8,10}$/.test(given) ? given : undefined
  }

  /** With a timestamp, `<timestamp>.<body>` is signed, as most schemes have it; otherwise the body alone. */
  function mac(key: KeyObject, timestamp: string | undefined, body: Buffer): Buffer {
    const hmac = createHmac(algorithm, key)
    if (timestamp !== undefined) hmac.update(`${timestamp}.`)
    return hmac.update(body).digest()
  }

  function readSignature(value: string | undefined): Buffer | undefined {
    if (value === undefined || !value.startsWith(prefix)) return undefined
    const text = value.slice(prefix.length)
    const isWellFormed = encoding === 'hex' ? /^[0-9a-f]+$/.test(text) : /^[A-Za-z0-9+/]+={0,2}$/.test(text)
    const claimed = isWellFormed ? Buffer.from(text, encoding) : undefined
    // Encoded again, because Buffer.from passes over what it cannot decode.
    return claimed?.length === bytes[algorithm] && claimed.toString(encoding) === text ? claimed : undefined
  }
}
