/*
 * Stripe's amounts are whole numbers of a currency's least unit (https://docs.stripe.com/currencies). These are its own
 * lists and not the world's: ISK and UGX have no smaller unit any more, but are still sent in hundredths.
 */

const none = new Set('BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF'.split(' '))
const thousandths = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND'])

/** `2000`, `eur` → `20.00 EUR`; `2000`, `jpy` → `2,000 JPY`. */
export function money(amount: number, currency: string): string {
  const code = currency.toUpperCase()
  const digits = none.has(code) ? 0 : thousandths.has(code) ? 3 : 2
  const format = new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return `${format.format(amount / 10 ** digits)} ${code}`
}
