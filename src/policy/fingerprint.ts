import { createHash } from 'node:crypto'

/** What failures have in common: `group` names it, `title` shows it to people. */
export type Fingerprint = { readonly group: string; readonly title: string }

/** Longer messages differ in what they quote, not in what they say. */
const longestReason = 400
const longestTitle = 160
/** The handler's own place and its caller: more would tell apart ways to the same fault. */
const framesThatTell = 2

/**
 * The same for failures of one cause: the error's class, its message without what differs from job to job, and the first
 * frames of our own code without line numbers, which every deployment moves.
 */
export function fingerprint(reason: string, stack = ''): Fingerprint {
  const name = /^([A-Za-z_$][\w$]*(?:Error|Exception))\b/.exec(stack)?.[1] ?? ''
  const said = normalize(reason)
  const title = name === '' || said.startsWith(name) ? said : `${name}: ${said}`
  const group = createHash('sha256')
    .update([title, ...ownFrames(stack)].join('\n'))
    .digest('hex')
    .slice(0, 12)
  return { group, title: title.length > longestTitle ? `${title.slice(0, longestTitle - 1)}…` : title }
}

/** The message with a placeholder for everything that is some job's own. The order matters: long shapes before short. */
export function normalize(reason: string): string {
  const said = reason
    .slice(0, longestReason)
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '<uuid>')
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s/?#"'`]+)[^\s"'`),]*/gi, '$1<path>')
    .replace(/"[^"\n]*"|`[^`\n]*`|(?<!\w)'[^'\n]*'(?!\w)/g, '<text>')
    .replace(/(?<![\w>])(?:[A-Za-z]:)?(?:[\\/][\w.@~+-]+){2,}/g, '<path>')
    .replace(/[\w.+-]+@[\w-]+\.[\w.-]+/g, '<email>')
    .replace(/\b0x[0-9a-f]+\b/gi, '<hex>')
    .replace(/\b(?=[a-f]*\d)[0-9a-f]{8,}\b/gi, (hex) => (/^\d+$/.test(hex) ? '<n>' : '<hex>'))
    .replace(/\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}\b/g, '<id>')
    .replace(/\d+(?:[.,:]\d+)*/g, (number, at: number, whole: string) =>
      isStatus(number, whole.slice(0, at)) ? number : '<n>',
    )
    .replace(/\s+/g, ' ')
    .trim()
  return said === '' ? 'no reason given' : said
}

/** A 404 and a 503 are two causes. */
function isStatus(number: string, before: string): boolean {
  return (
    /^[1-5]\d\d$/.test(number) &&
    /\b(?:status(?: code)?|code|https?|answered|responded(?: with)?)\W{0,3}$/i.test(before)
  )
}

function ownFrames(stack: string): string[] {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && !/node_modules|[( ]node:|<anonymous>/.test(line))
    .slice(0, framesThatTell)
    .map((line) =>
      line
        .trim()
        .replace(/^at (?:async )?/, '')
        .replace(/:\d+:\d+\)?$/, '')
        .replace(/\(?(?:file:\/\/)?\S*[\\/]/, ''),
    )
}
