import { describe, expect, it } from 'vitest'
import { type DeadGroup, noteDead } from '../../src/jobs/groups.ts'
import { adminKey, operatorKey, tenantKey, viewerKey } from '../harness/app.ts'
import { type Chores, type Seen, useChores } from '../harness/operator.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

/* Dead letters by cause: over the API and on the page. */

let at: Chores
let seen: Seen
useChores((made) => {
  at = made.at
  seen = made.seen
})

type Summary = { dead: number | null; looked: number; causes: number; groups: DeadGroup[] }
const summary = (key = viewerKey) => at.read<Summary>('/queues/chores/dead', { key })
async function die(say: string, what: 'drop' | 'fail' = 'drop', tenant?: string): Promise<string> {
  const id = await at.add(what, say, tenant)
  await at.inState(id, 'failed')
  return id
}

describe('the groups', () => {
  it('are by cause, the most frequent first, with a sample', async () => {
    expect(await summary()).toMatchObject({ dead: 0, looked: 0, groups: [] })
    await die('no money')
    await die('order 1 is gone')
    const last = await die('order 22 is gone')
    await die('order 1 is gone', 'fail')
    const { dead, looked, groups } = await summary()
    expect([dead, looked]).toEqual([4, 4])
    expect(groups.map(({ title, count }) => [title, count])).toEqual([
      ['order <n> is gone', 2],
      // The same words from another place: what a handler throws is not what it decides.
      ['order <n> is gone', 1],
      ['no money', 1],
    ])
    expect(groups[0]).toMatchObject({ sample: last, regression: null })
    const { jobs } = await at.read<{ jobs: { id: string; reason: string; diedAt: string }[] }>(
      `/queues/chores/dead/${groups[0]?.group}?limit=1`,
    )
    expect(jobs).toMatchObject([{ id: last, reason: 'order 22 is gone', diedAt: groups[0]?.lastSeen }])
  })

  it('say what has come back after a redrive, and since when there has been any', async () => {
    const first = await die('flaky')
    const before = await summary()
    const { token } = (await (await at.post('/redrive', { queue: 'chores' }, operatorKey)).json()) as { token: string }
    await at.post('/redrive', { token }, operatorKey)
    await until(() => seen.ran.get(first) === 2, 'it has run again')
    await at.inState(first, 'failed')
    const [group] = (await summary()).groups
    expect(group).toMatchObject({ count: 1, firstSeen: before.groups[0]?.firstSeen, regression: { after: 'redriven' } })
    expect(group?.regression?.at).toBe(group?.lastSeen)
    expect(group?.lastSeen).not.toBe(group?.firstSeen)
  })

  it('remember the first failure when its job is gone, and take notice of each once', async () => {
    const id = await die('rare')
    await noteDead(at.bull)
    const first = (await summary()).groups[0]?.firstSeen
    await at.ask(`/queues/chores/jobs/${id}`, { method: 'DELETE' })
    expect((await summary()).groups).toEqual([])
    await die('rare')
    expect((await summary()).groups[0]).toMatchObject({ count: 1, firstSeen: first })
    await noteDead(at.bull)
    // One group, and where notice was taken up to.
    expect(await at.bull.redis.hlen(at.bull.toKey('dead-groups'))).toBe(2)
  })

  it('are bounded, however many causes there are', async () => {
    const many = at.bull.redis.pipeline()
    const word = (i: number) => [...String(i)].map((digit) => 'abcdefghij'[Number(digit)]).join('')
    for (let i = 0; i < 1_500; i += 1) {
      many.hset(at.bull.toKey(`x${i}`), { name: 'chores', failedReason: `cause ${word(i)}`, opts: '{}' })
      many.zadd(at.bull.toKey('failed'), 1_000 + (i % 7), `x${i}`)
    }
    await many.exec()
    await noteDead(at.bull)
    expect(await at.bull.redis.hlen(at.bull.toKey('dead-groups'))).toBeLessThanOrEqual(1_001)
    // Read page by page, each once, although a thousand share a millisecond.
    const { looked, causes, groups } = await summary()
    expect([looked, causes, groups.length]).toEqual([1_500, 1_500, 200])
  })

  it('of one tenant tell nothing of the others', async () => {
    await die('theirs', 'drop', 'T-TWO')
    const mine = await die('shared', 'drop', 'T-ONE')
    await die('shared', 'drop', 'T-TWO')
    const { dead, looked, groups } = await summary(tenantKey)
    expect(looked).toBe(1)
    expect(dead).toBeNull()
    expect(groups).toMatchObject([{ title: 'shared', count: 1, sample: mine }])
    const group = groups[0]?.group
    expect((await at.read<{ jobs: unknown[] }>(`/queues/chores/dead/${group}`, { key: tenantKey })).jobs).toHaveLength(
      1,
    )
    expect((await at.read<{ jobs: unknown[] }>(`/queues/chores/dead/${group}`)).jobs).toHaveLength(2)
  })

  it.each([
    ['/queues/nothing/dead', 404],
    ['/queues/chores/dead/everything', 400],
    ['/queues/chores/dead/0123456789ab?limit=0', 400],
    ['/queues/chores/dead/0123456789ab?since=once', 400],
    ['/queues/chores/dead/0123456789ab', 200],
  ])('GET %s is %i', async (path, status) => {
    expect((await at.ask(path)).status).toBe(status)
  })
})

describe('the page', () => {
  const page = async (key: string, path = '') => {
    const { cookie } = await signIn(at.app.url, key)
    return (await fetch(`${at.app.url}/dashboard/dead${path}`, { headers: { cookie } })).text()
  }

  it('shows them, escaped, with a button for operators only', async () => {
    expect(await page(viewerKey)).toContain('No job is dead')
    await die('<script>alert(1)</script>')
    const text = await page(viewerKey)
    expect(text).toContain('&#60;script&#62;')
    expect(text).not.toContain('<script>')
    expect(text).not.toContain('Run again')
    expect(await page(operatorKey)).toContain('Run again')
  })

  it('runs a group again, shows how far it is, and leaves others dead', async () => {
    const id = await die('broken link')
    const other = await die('no money')
    seen.mended = true
    const group = (await summary()).groups.find(({ title }) => title === 'broken link')?.group ?? ''
    const { cookie } = await signIn(at.app.url, operatorKey)
    const send = (headers: Record<string, string>) =>
      fetch(`${at.app.url}/dashboard/dead/redrive`, {
        method: 'POST',
        redirect: 'manual',
        headers: { cookie, ...headers },
        body: new URLSearchParams({ queue: 'chores', group }),
      })
    expect((await send({ origin: 'https://evil.example' })).status).toBe(403)
    expect((await at.job(id)).state).toBe('failed')
    const response = await send({ origin: at.app.url })
    expect(response.status).toBe(303)
    await at.inState(id, 'completed')
    expect((await at.job(other)).state).toBe('failed')
    const location = response.headers.get('location') ?? ''
    await until(
      async () => (await page(viewerKey, location.replace('/dashboard/dead', ''))).includes('1 of 1 run again; done'),
      'the page says so',
    )
  })

  it('lets a viewer run nothing', async () => {
    const id = await die('x')
    const group = (await summary()).groups[0]?.group ?? ''
    const { cookie } = await signIn(at.app.url, viewerKey)
    const response = await fetch(`${at.app.url}/dashboard/dead/redrive`, {
      method: 'POST',
      headers: { cookie, origin: at.app.url },
      body: new URLSearchParams({ queue: 'chores', group }),
    })
    expect(response.status).toBe(403)
    expect((await at.job(id)).state).toBe('failed')
  })
})

describe('Bull Board', () => {
  const put = async (path: string, key = operatorKey) => {
    const { cookie } = await signIn(at.app.url, key)
    return fetch(`${at.app.url}/dashboard/queues/api/queues/${path}`, {
      method: 'PUT',
      headers: { cookie, origin: at.app.url },
    })
  }

  it.each(['one', 'all'])('gives %s that it retries all attempts again', async (which) => {
    const id = await die('no luck', 'fail')
    expect((await put(which === 'one' ? `chores/${id}/retry` : 'chores/retry/failed')).status).toBeLessThan(300)
    await until(() => seen.ran.get(id) === 4, 'it has been tried twice more')
    expect((await at.inState(id, 'failed')).attemptsMade).toBe(2)
  })

  it('pauses in the name of whoever did', async () => {
    expect((await put('chores/pause')).status).toBe(200)
    expect(await at.read('/queues/chores')).toMatchObject({ paused: true, pausedBy: 'olga' })
    expect((await put('chores/resume')).status).toBe(200)
    expect((await put('pause', adminKey)).status).toBe(200)
    expect(await at.read('/queues/quarantine')).toMatchObject({ paused: true, pausedBy: 'ada' })
    expect((await put('resume')).status).toBe(200)
    expect(await at.read('/queues/chores')).toMatchObject({ paused: false, pausedBy: null, pausedAt: null })
  })
})
