import { open, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fsyncDir, makeDir } from './folder.ts'
import type { Entry } from './reader.ts'
import { createSegmentHeader, encodeHeader, markerOf } from './record.ts'

/*
 * What could not be delivered, kept for a person to look at: whole segments, and single records as segments of one. It
 * counts against no limit, and nobody but a person removes anything.
 */

/** Resolves with where the segment lies now. */
export async function setSegmentAside(root: string, path: string): Promise<string> {
  const dir = join(root, 'damaged')
  await makeDir(dir)
  const to = join(dir, basename(path))
  await rename(path, to)
  await fsyncDir(dir)
  return to
}

/** A second time writes the same file again. Resolves with its path when it is on the disk. */
export async function setRecordAside(root: string, path: string, { record, time, at }: Entry): Promise<string> {
  const dir = join(root, 'damaged')
  await makeDir(dir)
  const to = join(dir, basename(path).replace('.segment', `-${at}.segment`))
  const header = createSegmentHeader()
  const handle = await open(to, 'w', 0o600)
  try {
    await handle.writeFile(Buffer.concat([header, encodeHeader(markerOf(header) as Buffer, record, time), record]))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await fsyncDir(dir)
  return to
}
