import { MillraceError } from '../errors.ts'

/*
 * A topic is words with dots between them: `orders.42.paid`. A pattern may have `*` for any one word, and `>` at its end for
 * one word or more, as NATS has them.
 */

/** Deeper or longer names would only be somebody's data in the wrong place. */
const mostWords = 8
const mostCharacters = 200
/** Each message is compared with all patterns of a listener. */
export const mostPatterns = 20
const word = /^[\w:@-]{1,64}$/

/** The first word of everything that queues tell; nobody else may publish there. */
export const jobsWord = 'jobs'

export type Pattern = readonly string[]

/** The words of a topic that somebody publishes to. Throws `invalid-message`. */
export function topicWords(topic: unknown): readonly string[] {
  const shown = JSON.stringify(String(topic).slice(0, mostCharacters))
  const refuse = (why: string) => new MillraceError('invalid-message', `topic ${shown}: ${why}`)
  if (typeof topic !== 'string') throw refuse('must be a text')
  const words = topic.split('.')
  const why = lengthMistake(topic, words)
  if (why !== undefined) throw refuse(why)
  if (!words.every((one) => word.test(one)))
    throw refuse('words of 1 to 64 letters, digits, _, -, : or @, with dots between')
  if (words[0] === jobsWord) throw refuse(`what begins with '${jobsWord}.' is told by the queues themselves`)
  return words
}

/** Throws `bad-request`. */
export function patternOf(text: string): Pattern {
  const words = text.split('.')
  const refuse = (why: string) =>
    new MillraceError('bad-request', `topic ${JSON.stringify(text.slice(0, mostCharacters))}: ${why}`)
  const why = lengthMistake(text, words)
  if (why !== undefined) throw refuse(why)
  if (words.slice(0, -1).includes('>')) throw refuse("'>' stands for all that follows, so nothing can follow it")
  if (!words.every((one) => one === '*' || one === '>' || word.test(one)))
    throw refuse("words of letters, digits, _, -, : or @ with dots between; '*' is any one word, '>' the rest")
  return words
}

/** Whether a topic is one that the pattern means. */
export function fits(words: readonly string[], pattern: Pattern): boolean {
  for (let i = 0; i < pattern.length; i += 1) {
    const wanted = pattern[i]
    if (wanted === '>') return words.length > i
    if (i >= words.length || (wanted !== '*' && wanted !== words[i])) return false
  }
  return words.length === pattern.length
}

/** Whether what the pattern means may be told by this queue. */
export function meansQueue(pattern: Pattern, queue: string): boolean {
  return mayFit(pattern, [jobsWord, queue, undefined])
}

/** Whether it may mean what somebody publishes. */
export function meansMessages(pattern: Pattern): boolean {
  return pattern[0] !== jobsWord
}

/** As {@link fits}, with words that may be anything. */
function mayFit(pattern: Pattern, words: readonly (string | undefined)[]): boolean {
  for (const [i, wanted] of pattern.entries()) {
    if (wanted === '>') return words.length > i
    if (i >= words.length) return false
    if (wanted !== '*' && words[i] !== undefined && wanted !== words[i]) return false
  }
  return pattern.length === words.length
}

function lengthMistake(text: string, words: readonly string[]): string | undefined {
  if (text.length > mostCharacters) return `at most ${mostCharacters} characters`
  return words.length > mostWords ? `at most ${mostWords} words` : undefined
}
