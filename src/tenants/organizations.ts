import type { Config, Organization, Quota } from '../config.ts'
import { FileBacked } from '../observe/file-backed.ts'
import type { Logger } from '../observe/log.ts'

/** The tenants that have a name, as they are at this moment. ORGANIZATIONS_FILE is read again when it changes. */
export class Organizations {
  readonly name = 'organizations'
  readonly #backing: FileBacked<readonly Organization[]>
  #byId: ReadonlyMap<string, Organization> = new Map()
  #byTeam: ReadonlyMap<string, string> = new Map()

  constructor({ config, log }: { config: Pick<Config, 'organizations' | 'organizationsFile'>; log: Logger }) {
    this.#backing = new FileBacked({
      setting: 'ORGANIZATIONS_FILE',
      what: 'organizations',
      initial: config.organizations,
      file: config.organizationsFile,
      use: (all) => {
        this.#byId = new Map(all.map((one) => [one.id, one]))
        this.#byTeam = new Map(all.flatMap(({ id, slackTeams }) => slackTeams.map((team) => [team, id] as const)))
      },
      namesOf: (all) => all.map(({ id }) => id),
      log,
    })
  }

  start(): Promise<void> {
    this.#backing.start()
    return Promise.resolve()
  }

  stop(): Promise<void> {
    this.#backing.stop()
    return Promise.resolve()
  }

  all(): readonly Organization[] {
    return [...this.#byId.values()]
  }

  get(id: string): Organization | undefined {
    return this.#byId.get(id)
  }

  /** The tenant of what comes from a Slack team: its organization's id, or its own where it belongs to none. */
  tenantOfTeam = (team: string): string => this.#byTeam.get(team) ?? team

  quotaOf = (tenant: string): Quota | undefined => this.#byId.get(tenant)?.quota

  /** Why the file as it is now is not in force; undefined when it is. */
  get trouble(): string | undefined {
    return this.#backing.trouble
  }

  reload(): void {
    this.#backing.reload()
  }
}
