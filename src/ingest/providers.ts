import type { SourceConfig } from '../config.ts'
import { github } from './github.ts'
import { createHmacProvider } from './hmac.ts'
import type { Provider } from './request.ts'
import { slack } from './slack.ts'
import { standard } from './standard.ts'
import { stripe } from './stripe.ts'

/** The rules by which a source's requests are judged. */
export function providerOf({ type, hmac }: SourceConfig): Provider {
  switch (type) {
    case 'slack':
      return slack
    case 'github':
      return github
    case 'stripe':
      return stripe
    case 'standard':
      return standard
    case 'hmac':
      if (!hmac) throw new Error('a source of type hmac without its scheme')
      return createHmacProvider(hmac)
  }
}
