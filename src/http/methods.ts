import type { RequestHandler, Router } from 'express'
import { MillraceError } from '../errors.ts'

/** What a router of Express 5 keeps of each route and of each router inside it. */
type Layer = {
  readonly route?: { readonly methods: Readonly<Record<string, boolean>> }
  readonly handle: { readonly stack?: readonly Layer[] }
  match(path: string): boolean
}

/** For the end of a router: a path that exists, asked with another method, gets 405 with the methods that it has. */
export function otherMethods(router: Router): RequestHandler {
  return (request, _response, next) => {
    const allowed = new Set(methodsFor(router.stack as unknown as readonly Layer[], request.path))
    if (allowed.size === 0) return next()
    if (allowed.has('GET')) allowed.add('HEAD')
    throw new MillraceError('method-not-allowed', undefined, { headers: { Allow: [...allowed].sort().join(', ') } })
  }
}

function methodsFor(stack: readonly Layer[], path: string): string[] {
  return stack.flatMap((layer) => {
    if (layer.handle.stack && !layer.route) return methodsFor(layer.handle.stack, path)
    return layer.route && layer.match(path) ? Object.keys(layer.route.methods).map((name) => name.toUpperCase()) : []
  })
}
