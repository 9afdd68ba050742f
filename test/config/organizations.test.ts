import { describe, expect, it } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config.ts'

/* What can only be seen when all organizations are known. */

function linesOf(organizations: unknown): readonly string[] {
  try {
    loadConfig({ ORGANIZATIONS: JSON.stringify(organizations) })
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

describe('organizations', () => {
  it('have ids and Slack teams of their own', () => {
    const twice = [{ id: 'a', slackTeams: ['T1ONE'] }, { id: 'a' }, { id: 'b', slackTeams: ['T1ONE'] }]
    expect(linesOf(twice)).toEqual([
      'ORGANIZATIONS: the organization "a" is given twice',
      'ORGANIZATIONS: the Slack team T1ONE belongs to two organizations; it can have one tenant',
    ])
  })

  it('are not called like a Slack team that is not theirs, whose tenant would be the same', () => {
    const lines = ['ORGANIZATIONS: "T061EG9R6" looks like a Slack team; list it in slackTeams, or choose another id']
    expect(linesOf([{ id: 'T061EG9R6' }])).toEqual(lines)
    expect(linesOf([{ id: 'T061EG9R6', slackTeams: ['T061EG9R6'] }, { id: 'TESLA' }])).toEqual([])
  })

  it('never repeat what stands where a reference belongs', () => {
    const [line] = linesOf([{ id: 'a', secrets: { TOKEN: 'ntn_123456secret' } }])
    expect(line).toBe(
      'ORGANIZATIONS=***: 0.secrets.TOKEN: must be env:NAME or file:/path; a secret itself has no place here',
    )
  })
})
