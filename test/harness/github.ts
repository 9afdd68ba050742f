import { createRequire } from 'node:module'

type Definition = { readonly name: string; readonly examples: readonly object[] }
// A JSON file that Node would import only with an attribute, and whose types are of the events, not of this list.
const definitions = createRequire(import.meta.url)('@octokit/webhooks-examples') as readonly Definition[]

/** All payloads that GitHub's own examples hold, 10 KB each on average, as the text that a webhook brings. */
export const githubPayloads: readonly { readonly name: string; readonly json: string }[] = definitions.flatMap(
  ({ name, examples }) => examples.map((example) => ({ name, json: JSON.stringify(example) })),
)
