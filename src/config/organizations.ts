import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { quota } from './schemas.ts'
import type { Organization, SecretRef } from './types.ts'

/* ORGANIZATIONS: who the tenants are. */

/** Team and enterprise ids of Slack. */
const slackTeam = /^[TE][A-Z0-9]{2,}$/

const secretRule = 'must be env:NAME or file:/path; a secret itself has no place here'

const reference = z.string(secretRule).transform((text, context): SecretRef => {
  const [, from, name = ''] = /^(env|file):(.+)$/s.exec(text) ?? []
  if (from === 'env' && /^[A-Za-z_]\w*$/.test(name)) return { from, name }
  if (from === 'file' && isAbsolute(name) && !name.includes('\0')) return { from, name }
  // Nothing of it is repeated: it may be the secret.
  context.addIssue(secretRule)
  return z.NEVER
})

export function organizationsSchema(): z.ZodType<Organization[]> {
  return z
    .array(
      z.strictObject({
        id: z
          .string()
          .min(1)
          .max(200)
          .refine((id) => id !== '*', '* stands for all tenants in API keys, and can be none of them'),
        name: z.string().min(1).max(200).optional(),
        slackTeams: z.array(z.string().regex(slackTeam, 'must be an id of Slack, such as T061EG9R6')).default([]),
        quota: quota.optional(),
        secrets: z
          .record(z.string().regex(/^[A-Za-z_][\w.-]{0,99}$/, 'a secret has a name such as NOTION_TOKEN'), reference)
          .default({}),
      }),
    )
    .transform((all) =>
      all.map(({ quota, name, ...one }) => ({
        ...one,
        name: name ?? one.id,
        ...(quota === undefined ? {} : { quota: definedOf(quota) }),
      })),
    )
}

/** What can only be seen when all of them are known. */
export function organizationMistakes(all: readonly Organization[]): string[] {
  const teams = all.flatMap(({ id, slackTeams }) => [...new Set(slackTeams)].map((team) => ({ id, team })))
  return [
    ...all
      .filter(({ id }, index) => all.findIndex((other) => other.id === id) !== index)
      .map(({ id }) => `ORGANIZATIONS: the organization ${JSON.stringify(id)} is given twice`),
    ...teams
      .filter(({ team }, index) => teams.findIndex((other) => other.team === team) !== index)
      .map(({ team }) => `ORGANIZATIONS: the Slack team ${team} belongs to two organizations; it can have one tenant`),
    // Real ids are longer than the words that look like one. An unknown team's tenant is its own id: whoever installed the app there would be inside the organization.
    ...all
      .filter(({ id, slackTeams }) => /^[TE][A-Z0-9]{8,}$/.test(id) && !slackTeams.includes(id))
      .map(
        ({ id }) =>
          `ORGANIZATIONS: ${JSON.stringify(id)} looks like a Slack team; list it in slackTeams, or choose another id`,
      ),
  ]
}

/** What was not given is not there: that is how the rest of the code asks. */
function definedOf<T extends object>(given: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
