import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

/** dist/src/<file>, as built by the pre-step of `npm test`; seen from the sources, or from dist itself. */
export function built(file: string): string {
  if (isAbsolute(file)) return file
  const base = import.meta.url.endsWith('.ts') ? '../../dist/src/' : '../../src/'
  return fileURLToPath(new URL(base + file, import.meta.url))
}

export type MillraceProcess = {
  readonly child: ChildProcess
  readonly url: string
  /** Everything written so far, both streams. */
  output(): string
  /** The lines written since the last time, which are forgotten; for processes that write more than one wants to keep. */
  take(): string
  /** Resolves with the exit code, or the signal's name. */
  readonly ended: Promise<number | string>
  kill(signal: NodeJS.Signals): Promise<number | string>
}

/** A real process, ready. `env` is all it gets beside PATH and HOME. */
export async function startMillrace(
  env: Record<string, string>,
  args: string[] = [],
  file?: string,
): Promise<MillraceProcess> {
  const started = runMillrace(env, args, file)
  // The log goes to one stream and what is for people to the other: either may come first.
  const isReady = () => {
    const line = /.*"msg":"ready".*/.exec(started.output())?.[0]
    return line !== undefined && (!/"roles":"[^"]*http/.test(line) || /Try it .*\n/.test(started.output()))
  }
  const ready = until(isReady, 'the process is ready').then(() => true)
  const early = started.ended.then((code) => {
    throw new Error(`ended with ${code} before it was ready:\n${started.output()}`)
  })
  try {
    await Promise.race([ready, early])
  } catch (error) {
    await started.kill('SIGKILL') // nobody else knows of it
    throw error
  }
  const url = /Dashboard +(\S+)\/dashboard/.exec(started.output())?.[1] ?? ''
  return { ...started, url }
}

/** A real process, whatever becomes of it. */
export function runMillrace(
  env: Record<string, string>,
  args: string[] = [],
  file = 'main.js',
  stdin: 'ignore' | 'pipe' = 'ignore',
): Omit<MillraceProcess, 'url'> {
  const child = spawn(process.execPath, [built(file), ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', LOG_FORMAT: 'json', PORT: '0', ...env },
    stdio: [stdin, 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk
    })
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return {
    child,
    output: () => output,
    take: () => {
      const end = output.lastIndexOf('\n') + 1
      const lines = output.slice(0, end)
      output = output.slice(end)
      return lines
    },
    ended,
    kill: (signal) => {
      child.kill(signal)
      return ended
    },
  }
}
