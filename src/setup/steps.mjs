import { spawn } from 'node:child_process'

/** A step that cannot be done here. The first line of the message ends in what to type. */
export class Refusal extends Error {}

/** A step shorter than this says nothing. */
const shortMs = 1_000

/** How steps show themselves and run other programs. `signal` ends the program that is running, and the step. */
export function createSteps({ root, stream, signal }) {
  /** Shows `label … 9.2 s` around some work: at once when it is known to be slow, else when it has become so. */
  async function show(label, work, { isSlow = false } = {}) {
    const started = performance.now()
    let isShown = false
    const begin = () => {
      isShown = true
      stream.write(`${label} … `)
    }
    const timer = isSlow ? begin() : setTimeout(begin, shortMs)
    let outcome = 'failed'
    try {
      const result = await work()
      outcome = `${((performance.now() - started) / 1_000).toFixed(1)} s`
      return result
    } finally {
      clearTimeout(timer)
      if (isShown) stream.write(`${signal.aborted ? 'stopped' : outcome}\n`)
    }
  }

  /** Runs a program without input; resolves with its exit code and everything it wrote. */
  function run(command, args, env) {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
      const end = () => child.kill(signal.reason)
      signal.addEventListener('abort', end)
      let output = ''
      for (const pipe of [child.stdout, child.stderr])
        pipe.on('data', (chunk) => {
          output += chunk
        })
      // Waited for even when it was told to end: the lock must not be free while it still writes.
      child.once('error', (error) => resolve({ code: 127, output: error.message }))
      child.once('close', (code) => {
        signal.removeEventListener('abort', end)
        if (signal.aborted) reject(signal.reason)
        else resolve({ code: code ?? 1, output })
      })
    })
  }

  return { show, run, signal }
}

/** The last lines of what a program wrote, where it says why it failed. */
export function tail(output, lines = 15) {
  return output.trim().split('\n').slice(-lines).join('\n')
}
