import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { createLogger } from '../observe/log.ts'
import { Stores } from '../redis/stores.ts'
import { openSessions } from '../sessions/open.ts'
import type { SessionStore } from '../sessions/sessions.ts'
import { json, named } from './options.ts'
import { counted, print } from './print.ts'

/* Conversations: what is asked for when somebody leaves, and wants to be forgotten. */

/** Opens sessions for one command, and closes them whatever becomes of it. */
export async function withSessions(use: (sessions: SessionStore) => Promise<void>): Promise<void> {
  const config = loadConfig()
  const stores = new Stores(config)
  await stores.start()
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  const { sessions, stop } = openSessions({ config, cacheStore: stores.address('cache'), log })
  try {
    await use(sessions)
  } finally {
    await stop()
    await stores.stop()
  }
}

export function addSessions(program: Command): void {
  program
    .command('sessions')
    .description('conversations that handlers keep')
    .command('delete')
    .description("delete a tenant's, or those of one of its users; without --yes only tells how many")
    .requiredOption('--tenant <tenant>', 'whose; organizations have their id, other Slack teams theirs', named)
    .option('--user <user>', 'only those of this user', named)
    .option('--yes', 'do it')
    .addOption(json())
    .action(({ tenant, user, yes, json }: { tenant: string; user?: string; yes?: true; json?: true }) =>
      withSessions(async (sessions) => {
        const whose = user === undefined ? `of ${tenant}` : `of ${user} in ${tenant}`
        if (!yes) {
          const found = await sessions.count(tenant, user)
          if (json) print({ dryRun: true, tenant, user: user ?? null, sessions: found })
          else console.log(`${counted(found, 'session')} ${whose} would be deleted; do it with --yes`)
          return
        }
        const deleted = await (user === undefined ? sessions.deleteTenant(tenant) : sessions.deleteUser(tenant, user))
        if (json) print({ dryRun: false, tenant, user: user ?? null, sessions: deleted })
        else console.log(`${counted(deleted, 'session')} ${whose} ${deleted === 1 ? 'is' : 'are'} gone`)
      }),
    )
}
