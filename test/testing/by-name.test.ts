import { drop } from 'millrace'
import { runWorker } from 'millrace/testing'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue, defineWorker } from '../../src/index.ts'

/* Tests may ask for Millrace by its own name: the same code, with its types. */

it('millrace and millrace/testing are what src is', async () => {
  const queue = defineQueue({ name: 'named', payload: z.object({ n: z.number() }) })
  const ran = await runWorker(
    defineWorker(queue, () => drop('of no use')),
    { n: 1 },
  )
  expect(ran.outcome).toBe('dropped')
  expect(ran.reason).toBe('of no use')
})
