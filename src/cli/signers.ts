import type { SourceConfig } from '../config.ts'
import { MillraceError } from '../errors.ts'
import { providerOf } from '../ingest/providers.ts'
import type { SampleProvider } from '../ops/samples.ts'
import type { SendOptions } from '../ops/send.ts'

/**
 * Signs with the first of the source's secrets: the one place of the command line that knows both ingest/, which has the
 * schemes, and ops/, which sends. Throws `unknown-source` when there is no source that it could sign for.
 */
export function signerOf(type: SampleProvider, sources: readonly SourceConfig[], name: string): SendOptions['sign'] {
  const source = sources.find((candidate) => candidate.name === name)
  const secret = source?.secrets[0]
  if (!source || secret === undefined) {
    const known = sources.map((one) => `${one.name} (${one.type})`).join(', ')
    throw new MillraceError(
      'unknown-source',
      `there is no source '${name}'; there are ${known}. Choose one with --source`,
    )
  }
  if (source.type !== type)
    throw new MillraceError('unknown-source', `source '${name}' is of type ${source.type}, not ${type}`)
  const provider = providerOf(source)
  const key = provider.prepare(secret)
  return (body, request) => provider.sign(body, { key, ...request })
}
