import { readFile } from 'node:fs/promises'
import type { Secrets } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import type { Organizations } from './organizations.ts'

/**
 * What an organization's references lead to. Looked up each time: a file that an orchestrator replaces is the new secret at
 * once. Messages name the secret and its place, never what is there.
 */
export function secretsOf(
  organizations: Pick<Organizations, 'get'>,
  env: Readonly<Record<string, string>>,
  tenant: string | undefined,
): Secrets {
  return {
    get: async (name) => {
      const secrets = tenant === undefined ? undefined : organizations.get(tenant)?.secrets
      const reference = secrets && Object.hasOwn(secrets, name) ? secrets[name] : undefined
      if (reference === undefined) return undefined
      const where = `${reference.from}:${reference.name}`
      const value = reference.from === 'env' ? env[reference.name] : await contentOf(reference.name, name, where)
      if (value === undefined || value === '') throw notThere(name, where, 'it is not set, or empty')
      return value
    },
  }
}

/** Without the newline that every editor adds. */
async function contentOf(path: string, name: string, where: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '')
  } catch (error) {
    throw notThere(name, where, `it cannot be read (${(error as NodeJS.ErrnoException).code ?? 'no code'})`)
  }
}

function notThere(name: string, where: string, why: string): MillraceError {
  return new MillraceError('secret-unavailable', `the secret ${name} is said to be in ${where}, but ${why}`)
}
