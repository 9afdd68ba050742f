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

export type SourceConfig = {
  readonly name: string
  readonly type: 'slack'
  /** All are live at once, for rotation. */
  readonly secrets: readonly string[]
  readonly tenant: string | undefined
}

export type ApiRole = 'viewer' | 'operator' | 'admin'
export type ApiKeyConfig = {
  /** sha256 of the key, lower hex. The key itself is not kept. */
  readonly hash: string
  readonly name: string
  readonly role: ApiRole
  readonly tenant: string
}
