import { createSecretKey } from 'node:crypto'
import type { SourceConfig } from '../config.ts'
import { MillraceError } from '../errors.ts'
import { sign as slackSignature } from '../ingest/slack.ts'
import type { SampleProvider } from '../ops/samples.ts'
import type { SendOptions } from '../ops/send.ts'

/*
 * Who signs for which provider: the one place of the command line that knows both ingest/, which has the schemes, and
 * ops/, which sends. A provider is plugged in with one line here.
 */

type Signer = (source: SourceConfig, secret: string) => SendOptions['sign']

const signers: Partial<Record<SampleProvider, Signer>> = {
  slack: (_source, secret) => {
    const key = createSecretKey(secret, 'utf8')
    return (body, { now }) => {
      const timestamp = String(Math.floor(now / 1_000))
      return {
        'X-Slack-Request-Timestamp': timestamp,
        'X-Slack-Signature': `v0=${slackSignature(key, timestamp, body).toString('hex')}`,
      }
    }
  },
}

/** Signs with the first of the source's secrets. Throws `unknown-source` when there is no source that it could sign for. */
export function signerOf(
  provider: SampleProvider,
  sources: readonly SourceConfig[],
  name: string,
): SendOptions['sign'] {
  const signer = signers[provider]
  if (!signer) throw new Error(`not yet: nobody here can sign for ${provider}`)
  const source = sources.find((candidate) => candidate.name === name)
  const secret = source?.secrets[0]
  if (!source || secret === undefined) throw new MillraceError('unknown-source', `there is no source '${name}'`)
  if (source.type !== provider)
    throw new MillraceError('unknown-source', `source '${name}' is of type ${source.type}, not ${provider}`)
  return signer(source, secret)
}
