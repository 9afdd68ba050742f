/** A command to copy. */
export function cli(...words: readonly string[]): string {
  return `npm run cli -- ${words.join(' ')}`
}

/** As one word of a shell. */
export function word(text: string): string {
  return /^[\w.@:/-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", "'\\''")}'`
}
