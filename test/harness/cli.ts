import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type MillraceProcess, runMillrace, startMillrace } from './process.ts'

export type Ran = { readonly code: number | string; readonly output: string }

/** A running server with managed stores and nothing configured, and the command line beside it. */
export type CommandLine = {
  readonly dataDir: string
  readonly server: MillraceProcess
  run(...args: string[]): Promise<Ran>
  /** What it prints with --json. */
  json<T = unknown>(...args: string[]): Promise<T>
  end(): Promise<void>
}

export async function startCommandLine(): Promise<CommandLine> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
  const server = await startMillrace({ DATA_DIR: dataDir })
  const run = async (...args: string[]): Promise<Ran> => {
    const started = runMillrace({ DATA_DIR: dataDir, PORT: '' }, args, 'cli.js')
    return { code: await started.ended, output: started.output() }
  }
  return {
    dataDir,
    server,
    run,
    json: async <T>(...args: string[]) => JSON.parse((await run(...args, '--json')).output) as T,
    end: async () => {
      await server.kill('SIGTERM')
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}
