import { type FieldError, MillraceError } from '../errors.ts'

/**
 * The part of the Standard Schema interface (https://standardschema.dev, version 1) that Millrace uses. Zod, Valibot,
 * ArkType and others implement it. A schema has two sides: producers write its input, workers read its output, and
 * what is stored is the input.
 */
export interface Schema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<SchemaIssue> }

type SchemaIssue = {
  readonly message: string
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

// biome-ignore lint/suspicious/noExplicitAny: a schema of unknown sides, for code that carries definitions about
export type AnySchema = Schema<any, any>

export type InputOf<S extends AnySchema> = NonNullable<S['~standard']['types']>['input']
export type OutputOf<S extends AnySchema> = NonNullable<S['~standard']['types']>['output']

/**
 * The schema's output for `value`. Synchronous unless the schema itself is asynchronous, so that the hot path pays for
 * no promise. Throws (or rejects with) `invalid-payload`, with the path of each wrong field.
 */
export function validate<S extends AnySchema>(
  schema: S,
  value: unknown,
  what: string,
): OutputOf<S> | Promise<OutputOf<S>> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then((settled) => accept(settled, what)) : accept(result, what)
}

function accept<Output>(result: SchemaResult<Output>, what: string): Output {
  if (result.issues === undefined) return result.value
  const fields = result.issues.map(fieldError)
  const listed = fields.slice(0, 5).map((field) => `${field.path || '(payload)'}: ${field.message}`)
  const more = fields.length > 5 ? `; and ${fields.length - 5} more` : ''
  throw new MillraceError('invalid-payload', `${what}: ${listed.join('; ')}${more}`, { fields })
}

function fieldError(issue: SchemaIssue): FieldError {
  const keys = (issue.path ?? []).map((segment) => (typeof segment === 'object' ? segment.key : segment))
  const path = keys.reduce<string>(
    (at, key) => (typeof key === 'number' ? `${at}[${key}]` : at ? `${at}.${String(key)}` : String(key)),
    '',
  )
  return { path, message: issue.message }
}
