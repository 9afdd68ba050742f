import { defineConfig } from 'vitest/config'

const source = (file: string) => new URL(`../src/${file}`, import.meta.url).pathname

export default defineConfig({
  // By its own name it is the same code as by its path: two copies would not know each other's outcomes.
  resolve: {
    alias: [
      { find: /^millrace$/, replacement: source('index.ts') },
      { find: /^millrace\/testing$/, replacement: source('testing.ts') },
    ],
  },
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: ['dist/**', 'node_modules/**'],
    // Real servers and processes: generous for a busy machine, and never what a test measures.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    typecheck: { enabled: false },
  },
})
