const quote = 0x22
const backslash = 0x5c

/** Whether JSON text has more than `max` levels of arrays and objects. Looks at brackets outside of strings only. */
export function isDeeperThan(max: number, text: string): boolean {
  // Nearly all texts have fewer brackets than that, and counting them is ten times as fast.
  if (!hasMoreThan(max, text)) return false
  let depth = 0
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i)
    if (char === quote) i = endOfString(text, i)
    else if (char === 0x7b || char === 0x5b) {
      depth += 1
      if (depth > max) return true
    } else if (char === 0x7d || char === 0x5d) depth -= 1
  }
  return false
}

/** Whether it has more opening brackets than `max`, wherever they stand. */
function hasMoreThan(max: number, text: string): boolean {
  let count = 0
  for (const bracket of ['{', '['])
    for (let i = text.indexOf(bracket); i >= 0; i = text.indexOf(bracket, i + 1)) {
      count += 1
      if (count > max) return true
    }
  return false
}

/** Where the string that opens at `start` ends; the text's end when it never does. */
function endOfString(text: string, start: number): number {
  let end = start
  for (;;) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return text.length
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === backslash) escapes += 1
    if (escapes % 2 === 0) return end
  }
}
