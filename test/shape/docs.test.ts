import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { settings } from '../../src/config.ts'
import { errorTable } from '../../src/errors.ts'
import { loadDefinitions } from '../../src/load.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { explainCodes } from '../../src/policy/explanation.ts'

/* The documents say what the code says: whoever changes one of the two is told about the other. */

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')

/** The cells of each table row whose first cell is code that fits. Backticks are for the eye only. */
function rows(text: string, first: RegExp): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim().replace(/^`([^`]*)`$/, '$1')))
    .filter(([name = '']) => first.test(name))
}

const byName = (a: string[], b: string[]) => String(a[0]).localeCompare(String(b[0]))

describe('docs/errors.md', () => {
  it('lists every code of the table once, as the table has it, and no other', () => {
    const table = Object.entries(errorTable).map(([code, { status, title, todo }]) => [
      code,
      String(status),
      title,
      todo,
    ])
    expect(rows(read('docs/errors.md'), /^[a-z][a-z-]*$/).sort(byName)).toEqual(table.sort(byName))
  })
})

describe('docs/explain.md', () => {
  it('lists every code once, and no other', () => {
    const documented = rows(read('docs/explain.md'), /^[a-z][a-z-]*$/).map(([code]) => code)
    expect(documented).toEqual([...explainCodes])
  })
})

describe('docs/settings.md', () => {
  const documented = rows(read('docs/settings.md'), /^[A-Z][A-Z_]*$/).map(([name, fallback]) => [name, fallback])

  it('lists every setting with its default, those of the workers too, and no other', async () => {
    const { workers } = await loadDefinitions()
    const declared = workers.flatMap(({ settings: schema }) => {
      const { shape } = (schema ?? { shape: {} }) as z.ZodObject
      return Object.entries(shape).map(([name, field]) => [name, (field as z.ZodType).safeParse(undefined).data])
    })
    const all = [...Object.entries(settings).map(([name, { fallback }]) => [name, fallback]), ...declared]
    // Several workers may need the same variable; then with the same default, or it is listed twice and found here.
    const once = new Map(all.map(([name, fallback]) => [`${name} ${fallback}`, [name, fallback ?? '—']]))
    expect(documented.sort()).toEqual([...once.values()].sort())
  })

  it('names the alias', () => {
    expect(read('docs/settings.md')).toContain('`REDIS_KEY_PREFIX`')
  })
})

describe('docs/metrics.md', () => {
  it('lists every metric of ours with its labels and type, and no other', () => {
    const { registry } = createMetrics()
    const ours = registry.getMetricsAsArray().filter(({ name }) => name.startsWith('millrace_'))
    const registered = ours.map((metric) => {
      const { labelNames } = metric as unknown as { labelNames: readonly string[] }
      const labels = labelNames.length > 0 ? `{${labelNames.join()}}` : ''
      return [`${metric.name}${labels}`, metric.constructor.name.toLowerCase()]
    })
    const documented = rows(read('docs/metrics.md'), /^millrace_/).map(([name = '', type = '']) => [name, type])
    expect(documented.sort(byName)).toEqual(registered.sort(byName))
  })
})

describe('the package', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Record<string, unknown>> }

  it('names exact versions', () => {
    const named = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  })

  it('has a lock file of the same versions, bound to no registry', () => {
    const { dependencies, devDependencies } = lock.packages[''] ?? {}
    expect({ dependencies, devDependencies }).toEqual({
      dependencies: manifest.dependencies,
      devDependencies: manifest.devDependencies,
    })
    expect(Object.entries(lock.packages).filter(([, locked]) => 'resolved' in locked)).toEqual([])
  })

  it.each(['LICENSE', 'CHANGELOG.md', 'README.md'])('has a %s', (file) => {
    expect(read(file).trim()).not.toBe('')
  })

  it("has the whole thing working on the README's first screen", () => {
    const screen = read('README.md').split('\n').slice(0, 40).join('\n')
    expect(screen).toContain('npm start')
    expect(screen).toContain('npm run cli -- send slack app_mention')
  })
})
