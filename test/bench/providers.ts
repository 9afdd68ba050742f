import { type Behaviour, startProviders } from '../harness/providers.ts'

/* Notion, Slack and Linear for the assistant, in a process of their own. */

export type Told = { readonly behave: Behaviour } | 'well' | 'posted'

const outside = await startProviders()
process.on('message', (told: Told) => {
  if (told === 'well') {
    outside.behave('notion')
    outside.release()
  } else if (told !== 'posted') outside.behave('notion', told.behave)
  process.send?.(outside.posted.length)
})
process.on('disconnect', () => process.exit(0))
process.send?.(outside.env)
