/** A tenant that takes this many times the average takes more than its part. */
const heavyFactor = 1.5

/**
 * Who has been sending how much lately: bytes for each tenant, of which half is forgotten every `halfLifeMs`. Pure but
 * for what it remembers; time is an argument.
 */
export class TenantLoad {
  readonly #halfLifeMs: number
  readonly #bytes = new Map<string, number>()
  #at = 0

  constructor(halfLifeMs: number) {
    this.#halfLifeMs = halfLifeMs
  }

  add(tenant: string, bytes: number, now: number): void {
    this.#fade(now)
    this.#bytes.set(tenant, (this.#bytes.get(tenant) ?? 0) + bytes)
  }

  /** Whether the tenant sends well above the average of all that send. One alone never does. */
  isHeavy(tenant: string, now: number): boolean {
    this.#fade(now)
    const own = this.#bytes.get(tenant) ?? 0
    let total = 0
    for (const bytes of this.#bytes.values()) total += bytes
    return this.#bytes.size > 1 && own > (total / this.#bytes.size) * heavyFactor
  }

  /** In steps of a sixteenth of the half-life: fading all of them at each event would cost more than the event. */
  #fade(now: number): void {
    const passed = now - this.#at
    if (passed < this.#halfLifeMs / 16) return
    this.#at = now
    const share = 0.5 ** (passed / this.#halfLifeMs)
    for (const [tenant, bytes] of this.#bytes) {
      // Less than a byte is nobody.
      if (bytes * share < 1) this.#bytes.delete(tenant)
      else this.#bytes.set(tenant, bytes * share)
    }
  }
}
