import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { slack as slackProvider } from '../../src/ingest/slack.ts'
import { sampleMaker, sampleProviders, samples, takesAnyType } from '../../src/ops/samples.ts'
import { hookRequest } from '../harness/hook-request.ts'

/*
 * Samples are right when those who know say so: Slack's own reader, GitHub's published payloads, and the fields that
 * Slack's and Stripe's packages declare for their types.
 */

const require = createRequire(import.meta.url)
const now = Date.UTC(2026, 10, 21, 12)
const seconds = Math.floor(now / 1_000)

type Json = Record<string, unknown>
const all = sampleProviders.flatMap((provider) =>
  Object.entries(samples[provider]).map(([event, make]) => ({ provider, event, make })),
)
const bodyOf = (body: string): Json => JSON.parse(body) as Json

describe('every sample', () => {
  it('is one of enough', () => {
    expect(Object.keys(samples.slack).length).toBeGreaterThanOrEqual(22)
    expect(Object.keys(samples.github).length).toBeGreaterThanOrEqual(10)
    expect(Object.keys(samples.stripe).length).toBeGreaterThanOrEqual(8)
  })

  it.each(all)('$provider $event has a fresh id each time, and a body of its own', ({ make }) => {
    const made = Array.from({ length: 50 }, () => make(now))
    const type = made[0]?.type ?? ''
    // There is one notice for a team and a minute, which is what it is about.
    expect(new Set(made.map(({ id }) => id)).size).toBe(type === 'app_rate_limited' ? 1 : 50)
    // What is without an id in its body, or of GitHub, which has it in a header, may say the same twice.
    const isAlike = ['ssl_check', 'app_rate_limited', 'star.created', 'star.deleted'].includes(type)
    if (!isAlike) expect(new Set(made.map(({ body }) => body)).size).toBe(50)
    expect(made.filter(({ type, id }) => !/^[\w.-]+$/.test(type) || !/^[\w.:-]{4,}$/.test(id))).toEqual([])
  })

  it('is made for any type where types are the sender’s own, and for none elsewhere', () => {
    expect(sampleProviders.filter(takesAnyType)).toEqual(['standard', 'hmac'])
    expect(bodyOf(sampleMaker('standard', 'ship.sunk')?.(now).body ?? '')).toMatchObject({ type: 'ship.sunk' })
    expect(sampleMaker('standard', 'no spaces')).toBeUndefined()
    expect(sampleMaker('github', 'ship.sunk')).toBeUndefined()
    expect(sampleMaker('slack', 'constructor')).toBeUndefined()
  })
})

describe('a Slack sample', () => {
  const slack = all.filter(({ provider }) => provider === 'slack')

  it.each(slack)('$event is to Slack’s reader what it says', ({ make }) => {
    const sample = make(now)
    const request = hookRequest(sample.body, { 'content-type': sample.contentType }, seconds)
    const parsed = sample.isUnsigned ? slackProvider.unsigned?.(request) : slackProvider.parse(request)
    if (['url_verification', 'ssl_check'].includes(sample.type)) return expect(parsed?.kind).toBe('answer')
    expect(parsed).toMatchObject({ kind: 'event', type: sample.type, tenant: 'T0MILLRACE' })
    const hasOwnId = !['app_rate_limited', 'interaction.view_closed'].includes(sample.type)
    if (hasOwnId) expect(parsed).toMatchObject({ id: sample.id })
  })

  it('has an event_ts that no other has, within one millisecond and over all events', () => {
    const makers = slack.filter(({ make }) => make(now).body.includes('"event_ts"'))
    const times = Array.from({ length: 5_000 }, (_, i) => {
      const { event } = bodyOf(makers[i % makers.length]?.make(now).body ?? '') as { event: { event_ts: string } }
      return event.event_ts
    })
    expect(new Set(times).size).toBe(5_000)
    expect(times.filter((time) => !/^\d{10}\.\d{6}$/.test(time))).toEqual([])
  })

  const events = 'node_modules/@slack/types/dist/events'
  const bolt = 'node_modules/@slack/bolt/dist/types'
  it.each([
    ['app_mention', `${events}/app.d.ts`, 'AppMentionEvent'],
    ['message', `${events}/message.d.ts`, 'GenericMessageEvent'],
    ['message.im', `${events}/message.d.ts`, 'GenericMessageEvent'],
    ['message.thread', `${events}/message.d.ts`, 'GenericMessageEvent'],
    ['message_changed', `${events}/message.d.ts`, 'MessageChangedEvent'],
    ['message_deleted', `${events}/message.d.ts`, 'MessageDeletedEvent'],
    ['reaction_added', `${events}/reaction.d.ts`, 'ReactionAddedEvent'],
    ['reaction_removed', `${events}/reaction.d.ts`, 'ReactionRemovedEvent'],
    ['member_joined_channel', `${events}/member.d.ts`, 'MemberJoinedChannelEvent'],
    ['channel_created', `${events}/channel.d.ts`, 'ChannelCreatedEvent'],
    ['team_join', `${events}/team.d.ts`, 'TeamJoinEvent'],
    ['app_home_opened', `${events}/app.d.ts`, 'AppHomeOpenedEvent'],
    ['file_shared', `${events}/file.d.ts`, 'FileSharedEvent'],
    ['link_shared', `${events}/link-shared.d.ts`, 'LinkSharedEvent'],
    ['app_uninstalled', `${events}/app.d.ts`, 'AppUninstalledEvent'],
    ['command', `${bolt}/command/index.d.ts`, 'SlashCommand'],
    ['block_actions', `${bolt}/actions/block-action.d.ts`, 'BlockAction'],
    ['view_submission', `${bolt}/view/index.d.ts`, 'ViewSubmitAction'],
    ['view_closed', `${bolt}/view/index.d.ts`, 'ViewClosedAction'],
    ['shortcut', `${bolt}/shortcuts/global-shortcut.d.ts`, 'GlobalShortcut'],
    ['message_action', `${bolt}/shortcuts/message-shortcut.d.ts`, 'MessageShortcut'],
  ] as const)('%s has every field of %s that %s requires', (name, file, type) => {
    const { body, contentType } = sampleMaker('slack', name)?.(now) ?? { body: '', contentType: '' }
    const form = new URLSearchParams(body)
    const sent = contentType === 'application/json' ? (bodyOf(body).event as Json) : bodyOfForm(form)
    expect(missing(sent, declared(file, type))).toEqual([])
  })
})

function bodyOfForm(form: URLSearchParams): Json {
  const payload = form.get('payload')
  return payload === null ? Object.fromEntries(form) : bodyOf(payload)
}

describe('a GitHub sample', () => {
  type Webhook = { name: string; examples: Json[] }
  const published = require('@octokit/webhooks-examples') as Webhook[]

  it.each(Object.keys(samples.github))('%s has what all published payloads of its kind have', (type) => {
    const body = bodyOf(sampleMaker('github', type)?.(now).body ?? '')
    const [name, action] = type.split('.')
    expect(body.action).toBe(action)
    const examples = (published.find((webhook) => webhook.name === name)?.examples ?? []).filter(
      (example) => example.action === action && (type !== 'ping' || 'repository' in example),
    )
    expect(examples.length).toBeGreaterThan(0)
    const [first = new Map<string, string>(), ...others] = examples.map((example) => shapeOf(example))
    const ours = shapeOf(body)
    const inAll = [...first.keys()].filter((path) => others.every((other) => other.has(path)))
    // Whose organization and app it is, is the example's affair, and so are the permissions of an app.
    const required = inAll.filter((path) => !/^(organization|installation)\b|\.permissions\.|owner\.name$/.test(path))
    // What is null in ours, such as a milestone, has nothing in it.
    const isInNull = (path: string) =>
      path.split('.').some((_, i, all) => ours.get(all.slice(0, i).join('.')) === 'null')
    expect(required.filter((path) => !ours.has(path) && !isInNull(path))).toEqual([])
    // Where the field is not null in both, it is of the same type.
    const kinds = (path: string) => new Set([first, ...others].map((other) => other.get(path)))
    const differing = [...ours].filter(([path, kind]) => {
      const theirs = kinds(path)
      theirs.delete(undefined)
      return kind !== 'null' && theirs.size > 0 && !theirs.has('null') && !theirs.has(kind)
    })
    expect(differing).toEqual([])
  })
})

/** Every path in it with its type; what is in lists is left out, because lists may be empty. */
function shapeOf(value: unknown, path = '', found = new Map<string, string>()): Map<string, string> {
  if (path) found.set(path, value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value)
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    for (const [key, inner] of Object.entries(value)) shapeOf(inner, path ? `${path}.${key}` : key, found)
  return found
}

describe('a Stripe sample', () => {
  const objects: Record<string, [file: string, type: string]> = {
    payment_intent: ['PaymentIntents', 'PaymentIntent'],
    charge: ['Charges', 'Charge'],
    'checkout.session': ['Checkout/Sessions', 'Session'],
    customer: ['Customers', 'Customer'],
    subscription: ['Subscriptions', 'Subscription'],
    invoice: ['Invoices', 'Invoice'],
  }

  it.each(Object.keys(samples.stripe))('%s is an event around an object with every field of its type', (type) => {
    const body = bodyOf(sampleMaker('stripe', type)?.(now).body ?? '')
    expect(body).toMatchObject({
      object: 'event',
      type,
      id: expect.stringMatching(/^evt_[A-Za-z0-9]{24}$/),
      livemode: false,
    })
    expect(missing(body, declared('node_modules/stripe/esm/resources/Events.d.ts', 'EventBase'))).toEqual([])
    const { object } = body.data as { object: Json }
    const [file, name] = objects[String(object.object)] ?? ['', '']
    expect(missing(object, declared(`node_modules/stripe/esm/resources/${file}.d.ts`, name))).toEqual([])
    if (object.object === 'subscription') {
      const item = (object.items as { data: Json[] }).data[0] ?? {}
      expect(
        missing(item, declared('node_modules/stripe/esm/resources/SubscriptionItems.d.ts', 'SubscriptionItem')),
      ).toEqual([])
      expect(missing(item.price as Json, declared('node_modules/stripe/esm/resources/Prices.d.ts', 'Price'))).toEqual(
        [],
      )
      expect(missing(item.plan as Json, declared('node_modules/stripe/esm/resources/Plans.d.ts', 'Plan'))).toEqual([])
    }
    if (object.object === 'invoice') {
      const line = (object.lines as { data: Json[] }).data[0] ?? {}
      expect(
        missing(line, declared('node_modules/stripe/esm/resources/InvoiceLineItems.d.ts', 'InvoiceLineItem')),
      ).toEqual([])
    }
  })
})

type Declared = Map<string, string>

/** The required fields of an interface in a package's declarations, each with its type, as the file's indentation has them. */
function declared(file: string, name: string): Declared {
  const text = readFileSync(file, 'utf8')
  const start = new RegExp(`^(?:export )?interface ${name}\\b[^\\n]*\\{\\n`, 'm').exec(text)
  if (!start) throw new Error(`${file} has no ${name}`)
  const rest = text.slice(start.index + start[0].length)
  const lines = rest.slice(0, rest.search(/^\}/m)).split('\n')
  const fields = lines.flatMap((line) => {
    const field = /^ {4}(\w+): (.*)$/.exec(line)
    return field ? [[field[1] ?? '', field[2] ?? ''] as const] : []
  })
  if (fields.length === 0) throw new Error(`${name} in ${file} has no fields that can be read`)
  return new Map(fields)
}

/** The fields that are not there, or are plainly of another type. */
function missing(value: Json, fields: Declared): string[] {
  return [...fields].flatMap(([name, type]) => {
    // Slack's types say so of a field that is not there.
    if (type === 'undefined;') return []
    if (!(name in value)) return [name]
    const literal = /^'([^']*)';/.exec(type)?.[1]
    if (literal !== undefined) return value[name] === literal ? [] : [`${name} is not ${literal}`]
    const plain = /^(string|number|boolean);/.exec(type)?.[1]
    return plain === undefined || typeof value[name] === plain ? [] : [`${name} is no ${plain}`]
  })
}
