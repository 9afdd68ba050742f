import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/* setup.mjs in a checkout that belongs to somebody else. Only root can be another user for a moment. */

const nobody = 65_534

test.runIf(process.getuid?.() === 0)(
  'a checkout that may not be written is said, with what to type, and no stack',
  () => {
    const root = mkdtempSync(join(tmpdir(), 'millrace-rights-'))
    try {
      const source = fileURLToPath(new URL('../src', import.meta.url))
      for (const file of ['setup.mjs', 'setup'])
        cpSync(join(source, file), join(root, 'src', file), { recursive: true })
      writeFileSync(
        join(root, 'package-lock.json'),
        JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }),
      )
      chmodSync(root, 0o755)
      const { status, stderr } = spawnSync(process.execPath, [join(root, 'src/setup.mjs')], {
        encoding: 'utf8',
        uid: nobody,
        gid: nobody,
        env: { PATH: '/nowhere' },
      })
      expect(stderr.trim().split('\n')).toEqual([
        expect.stringContaining(`${root} cannot be written by this user (EACCES)`),
      ])
      expect(stderr).toContain(`type: sudo chown -R "$USER" ${root}`)
      expect(status).toBe(1)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  },
)
