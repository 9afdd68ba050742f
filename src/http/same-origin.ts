import type { NextFunction, Request, Response } from 'express'
import { MillraceError } from '../errors.ts'
import { bearerOf } from './auth.ts'

/**
 * Refuses changes that another site makes a browser send. Requests with a bearer key pass: no browser adds one by itself.
 * Browsers tell where a request comes from by Sec-Fetch-Site on trustworthy origins and by Origin everywhere
 * (https://www.w3.org/TR/fetch-metadata/); a change that carries neither did not come from a page of ours.
 */
export function sameOrigin(request: Request, _response: Response, next: NextFunction): void {
  const isRead = ['GET', 'HEAD', 'OPTIONS'].includes(request.method)
  const site = request.headers['sec-fetch-site']
  const isSame = site === undefined ? hostOf(request.headers.origin) === request.headers.host : site === 'same-origin'
  if (!isRead && !isSame && bearerOf(request) === undefined) throw new MillraceError('cross-origin')
  next()
}

function hostOf(origin: string | undefined): string | undefined {
  try {
    return origin === undefined ? undefined : new URL(origin).host
  } catch {
    return undefined
  }
}
