/** How a job stands in its queue's gate. */
export type Standing = {
  readonly tenant: string
  /** The key whose order it keeps, or that it is limited by. */
  readonly key: string | undefined
  /** The job that its successors wait for, and that one's state. */
  readonly holder: { readonly id: string; readonly state: string } | undefined
  /** Epoch milliseconds until which its key may start no job. */
  readonly keyDueAt: number | undefined
  readonly tenantDueAt: number | undefined
  readonly running: number
  readonly concurrency: number | undefined
  /** Jobs before it in its lane. */
  readonly ahead: number
  /** Tenants whose turn comes before; undefined when its tenant has none. */
  readonly tenantsBefore: number | undefined
}
