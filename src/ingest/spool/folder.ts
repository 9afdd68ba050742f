import { chmod, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

/** For the owner only, and on the disk. */
export async function makeDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
  await fsyncDir(dirname(path)).catch((error: unknown) => {
    if (codeOf(error) !== 'EACCES') throw error // a parent that may be entered, but not read
  })
}

/** New, renamed and removed names in it are on the disk afterwards. */
export async function fsyncDir(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

/** For what is as good when it has gone already. */
export function ignoreMissing(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error
}
