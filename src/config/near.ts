/*
 * Names in the environment that are almost those of settings: a slip of the finger in SLACK_SIGNING_SECRET would otherwise
 * be noticed when Slack's events are refused.
 */

/** Shorter names are near to too many that others use. */
const shortestName = 6
/** From this length on two slips are taken for a slip as well. */
const longName = 12

/** A line for each name that is probably meant to be one of `known`. Values are not looked at: they may be secrets. */
export function nearMisses(env: Readonly<Record<string, string>>, known: readonly string[]): string[] {
  const isKnown = new Set(known)
  return Object.keys(env).flatMap((name) => {
    if (isKnown.has(name) || name.length < shortestName) return []
    const most = name.length < longName ? 1 : 2
    const meant = known.find((other) => env[other] === undefined && slips(name, other, most) <= most)
    return meant === undefined ? [] : [`${name} is no setting; did you mean ${meant}?`]
  })
}

/** How many letters were left out, added, replaced, or swapped with the next one; beyond `most` any larger number. */
function slips(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let [before, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, i) => i)]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1]
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(
        Math.min(
          at(last, j) + 1,
          at(row, j - 1) + 1,
          at(last, j - 1) + (isSame ? 0 : 1),
          isSwapped ? at(before, j - 2) + 1 : most + 1,
        ),
      )
    }
    ;[before, last] = [last, row]
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
