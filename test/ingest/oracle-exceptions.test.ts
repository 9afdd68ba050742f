import { sign as octokitSign, verify as octokitVerify } from '@octokit/webhooks-methods'
import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { github } from '../../src/ingest/github.ts'
import type { Provider } from '../../src/ingest/request.ts'
import { standard } from '../../src/ingest/standard.ts'
import type { HookHeaders } from '../harness/hook-request.ts'
import { holds, now, ours } from '../harness/oracle.ts'

/* Where the providers' own libraries and we differ in ways that the made-up requests of oracles.test.ts do not show. */

describe('we differ', () => {
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  const sent = Buffer.from('{}')
  const signing = (provider: Provider, id = 'msg_1', at = now) => ({
    key: provider.prepare(secret),
    id,
    now: at * 1_000,
    type: 'a',
  })
  const lower = (headers: Record<string, string>): HookHeaders =>
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

  it('bytes that are not UTF-8 are the same to them, and not to us', async () => {
    const [one, two] = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])]
    const text = '\ufffd\ufffd'
    const signature = await octokitSign(secret, text)
    expect(await octokitVerify(secret, one.toString(), signature)).toBe(true)
    for (const bytes of [one, two])
      expect(ours(github)({ body: bytes, secret, headers: { 'x-hub-signature-256': signature } })).toBe(false)
    // And what is signed over such bytes is genuine to us only.
    const genuine = lower(github.sign(one, signing(github))) as Record<string, string>
    expect(ours(github)({ body: one, secret, headers: genuine })).toBe(true)
    expect(await octokitVerify(secret, one.toString(), genuine['x-hub-signature-256'] ?? '')).toBe(false)
  })

  it('an empty body has a signature as every other', async () => {
    const headers = lower(github.sign(Buffer.alloc(0), signing(github))) as Record<string, string>
    expect(ours(github)({ body: Buffer.alloc(0), secret, headers })).toBe(true)
    await expect(octokitVerify(secret, '', headers['x-hub-signature-256'] ?? '')).rejects.toThrow('required')
  })

  it('a secret of Standard Webhooks has 24 to 64 bytes', () => {
    for (const length of [1, 23, 65]) {
      const odd = `whsec_${Buffer.alloc(length, 1).toString('base64')}`
      expect(holds(() => new Webhook(odd))).toBe(true)
      expect(() => standard.prepare(odd)).toThrow('24 to 64 bytes')
    }
  })

  it('a public key verifies v1a, which theirs does not know', () => {
    const seed = Buffer.alloc(64, 1)
    const headers = standard.sign(sent, {
      ...signing(standard),
      key: standard.prepare(`whsk_${seed.toString('base64')}`),
    })
    expect(headers['webhook-signature']).toMatch(/^v1a,/)
    expect(holds(() => new Webhook(secret).verify(sent, headers))).toBe(false)
  })
})
