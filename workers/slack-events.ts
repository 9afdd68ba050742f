import slackEvents from '../queues/slack-events.ts'
import { defineWorker } from '../src/index.ts'
import { answer, reply, tell } from './_assistant.ts'
import { Conversation } from './_conversation.ts'
import { hear } from './_hear.ts'
import { tokenFor } from './_provider.ts'
import { byRules } from './_route.ts'
import { assistantSettings } from './_settings.ts'
import { postMessage, slack } from './_workspace.ts'

/** The assistant: answers mentions, and direct messages, in their thread. Everything else is acknowledged and noted. */
export default defineWorker(
  slackEvents,
  async (job, context) => {
    const { payload, name } = job
    const { log, sessions } = context
    const question = hear(payload.event ?? {})
    if (!question) {
      log.debug({ type: name }, 'nothing to answer')
      return { answered: false }
    }
    const { channel, thread, user } = question
    const conversation = await Conversation.open(sessions, { id: `slack:${channel}:${thread}`, job: job.id, user })
    const given = { question, job, conversation, context }
    const maySpeak = (await tokenFor(slack, context)) !== undefined

    let text = conversation.answer // what an earlier attempt has found
    if (text === undefined) {
      await tell(given, { step: 'heard' })
      text = await answer(given, byRules) // another router goes here
      text = await conversation.answered(question.text, text, maySpeak ? postMessage.name : undefined)
    }
    if (!maySpeak) {
      log.info({ channel, thread_ts: thread, text }, 'would say this in Slack; set SLACK_BOT_TOKEN to have it said')
      return { answered: false, wouldSay: text }
    }
    return (await reply(given, text)) ?? { answered: true }
  },
  { concurrency: 20, timeout: '45s', settings: assistantSettings },
)
