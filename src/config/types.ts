export const roles = ['http', 'worker', 'scheduler'] as const
export type Role = (typeof roles)[number]
export type Durability = 'always' | 'waitaof' | 'everysec'

/** How to reach a Redis that somebody else runs. */
export type StoreAddress = {
  readonly host: string
  readonly port: number
  /** A unix socket; host and port are then not used. */
  readonly path?: string
  readonly username?: string
  readonly password?: string
  readonly db: number
  readonly tls?: { readonly ca?: string }
}

export const sourceTypes = ['slack', 'github', 'stripe', 'standard', 'hmac'] as const
export type SourceType = (typeof sourceTypes)[number]

/** How many events are taken. Undefined is no limit. */
export type Quota = {
  readonly perSecond?: number
  readonly perHour?: number
  /** How many more than `perSecond` may come at once. */
  readonly burst?: number
}

/** How a sender of type `hmac` signs. */
export type HmacScheme = {
  /** Header with the signature. */
  readonly header: string
  readonly algorithm: 'sha1' | 'sha256' | 'sha512'
  readonly encoding: 'hex' | 'base64'
  /** What stands in front of the signature, e.g. `sha256=`. */
  readonly prefix: string
  /** Header with Unix seconds, which are then signed as `<timestamp>.<body>`. */
  readonly timestampHeader?: string
  readonly toleranceSeconds: number
  readonly idHeader?: string
  readonly typeHeader?: string
  /** Field of the body that names the type, where no header does. */
  readonly typeField: string
}

export type SourceConfig = {
  readonly name: string
  readonly type: SourceType
  /** All are live at once, for rotation. */
  readonly secrets: readonly string[]
  readonly tenant: string | undefined
  /** Largest body in bytes; the provider's own, or BODY_LIMIT, when undefined. */
  readonly limit?: number
  /** Keeps the bytes of each request as they came, for as long as the inbox keeps the event. */
  readonly keepRaw?: boolean
  /** For the source as a whole. */
  readonly quota?: Quota
  /** For each tenant of it. */
  readonly tenantQuota?: Quota
  /** For type hmac, and only for that. */
  readonly hmac?: HmacScheme
}

/** Where a secret is: in the variable or the file of that name. Never the secret itself. */
export type SecretRef = { readonly from: 'env' | 'file'; readonly name: string }

/** A tenant that has a name, and what belongs to it. */
export type Organization = {
  /** The tenant. */
  readonly id: string
  readonly name: string
  readonly slackTeams: readonly string[]
  /** For all that its sources send, on top of their own quotas. */
  readonly quota?: Quota
  readonly secrets: Readonly<Record<string, SecretRef>>
}

export type ApiRole = 'viewer' | 'operator' | 'admin'
export type ApiKeyConfig = {
  /** sha256 of the key, lower hex. The key itself is not kept. */
  readonly hash: string
  readonly name: string
  readonly role: ApiRole
  readonly tenant: string
}
