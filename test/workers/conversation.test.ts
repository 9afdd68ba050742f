import { expect, it } from 'vitest'
import type { Session, Sessions } from '../../src/index.ts'
import { fakeServices } from '../../src/testing.ts'
import { Conversation } from '../../workers/_conversation.ts'

/* What one attempt does with what another one has noted, or is noting at the same time. */

const about = { id: 's', job: 'j', user: 'U1' }
const never = async () => {
  throw new Error('not to be called')
}
const broken = async () => {
  throw new Error('broken')
}

it('does it once, in whatever attempt', async () => {
  const { sessions } = fakeServices().of('T')
  const first = await Conversation.open(sessions, about)
  await expect(first.once('x', broken, never, () => false)).rejects.toThrow('broken')
  const second = await Conversation.open(sessions, about)
  expect(
    await second.once(
      'x',
      never,
      async () => 'found',
      () => false,
    ),
  ).toBe('found')
  const third = await Conversation.open(sessions, about)
  expect(await third.once('x', never, never, () => false)).toBe('found')
  expect(
    await third.once(
      'y',
      async () => 'done',
      never,
      () => false,
    ),
  ).toBe('done')
})

it('does it again when it was surely not done, or is not found', async () => {
  const { sessions } = fakeServices().of('T')
  const first = await Conversation.open(sessions, about)
  await expect(first.once('x', broken, never, () => true)).rejects.toThrow('broken')
  await expect(first.once('y', broken, never, () => false)).rejects.toThrow('broken')
  const second = await Conversation.open(sessions, about)
  expect(
    await second.once(
      'x',
      async () => 1,
      never,
      () => false,
    ),
  ).toBe(1)
  expect(
    await second.once(
      'y',
      async () => 2,
      async () => undefined,
      () => false,
    ),
  ).toBe(2)
})

it('leaves alone for a while what another attempt may be at still', async () => {
  const { sessions } = fakeServices().of('T')
  const first = await Conversation.open(sessions, about)
  await first.answered('q', 'a', 'x')
  const second = await Conversation.open(sessions, about)
  expect(second.answer).toBe('a')
  await expect(second.once('x', never, never, () => false)).rejects.toThrow('may be at x still')
  expect(
    await first.once(
      'x',
      async () => 'done',
      never,
      () => false,
    ),
  ).toBe('done')
})

it('goes by what is noted, when what it has read is old', async () => {
  const { sessions } = fakeServices().of('T')
  const first = await Conversation.open(sessions, about)
  await first.answered('q', 'the first answer', 'x')
  await first.once(
    'x',
    async () => 'done',
    never,
    () => false,
  )
  // As after the death of a process between the database and the copy.
  const stale: Sessions = { ...sessions, get: async () => undefined as Session | undefined }
  const second = await Conversation.open(stale, about)
  expect(second.answer).toBeUndefined()
  expect(await second.answered('q', 'another answer', 'x')).toBe('the first answer')
  expect(await second.once('x', never, never, () => false)).toBe('done')
  expect((await sessions.get('s'))?.messages.map(({ text }) => text)).toEqual(['q', 'the first answer'])
})
