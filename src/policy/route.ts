/** The part of an event that routing looks at. */
type Routable = { readonly source: string; readonly sourceType: string; readonly type: string }

/**
 * Whether a queue with these `on` patterns takes the event: some pattern matches, and none of those with a leading `!`
 * does. A pattern's left side is a source's name or type; `x.*` takes `x` itself and everything below it.
 */
export function takes(on: readonly string[], event: Routable): boolean {
  let taken = false
  for (const pattern of on) {
    if (pattern.startsWith('!')) {
      if (matches(pattern.slice(1), event)) return false
    } else taken ||= matches(pattern, event)
  }
  return taken
}

function matches(pattern: string, event: Routable): boolean {
  const colon = pattern.indexOf(':')
  const from = pattern.slice(0, colon)
  if (from !== event.source && from !== event.sourceType) return false
  const type = pattern.slice(colon + 1)
  if (type === '*' || type === event.type) return true
  if (!type.endsWith('.*')) return false
  const stem = type.slice(0, -2)
  return event.type === stem || event.type.startsWith(`${stem}.`)
}
