import { alphanumerics, type SampleMaker } from './sample.ts'

/*
 * The body that the Standard Webhooks specification recommends: type, timestamp, data. Its id is in a header. The same
 * does for a source that has only a signature of its own.
 */

const examples: Readonly<Record<string, () => object>> = {
  'contact.created': () => contact(),
  'contact.updated': () => ({ ...contact(), previous: { first_name: 'Augusta' } }),
  'invoice.paid': () => ({ id: `in_${alphanumerics(16)}`, amount: 2000, currency: 'eur', status: 'paid' }),
  'user.deleted': () => ({ id: `usr_${alphanumerics(16)}` }),
}

export const standard: Readonly<Record<string, SampleMaker>> = Object.fromEntries(
  Object.keys(examples).map((type) => [type, standardOf(type)]),
)

/** Everybody's types are their own: any will do. */
export function standardOf(type: string): SampleMaker {
  const data = Object.hasOwn(examples, type) ? examples[type] : undefined
  return (now) => ({
    id: `msg_${alphanumerics(27)}`,
    type,
    contentType: 'application/json',
    body: JSON.stringify({ type, timestamp: new Date(now).toISOString(), data: data?.() ?? { id: alphanumerics(16) } }),
  })
}

function contact() {
  return { id: `con_${alphanumerics(16)}`, first_name: 'Ada', last_name: 'Example', email: 'ada@example.com' }
}
