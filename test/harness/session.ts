/** What a browser does with the sign-in form, without a browser. `cookie` is what it would send from then on. */
export type SignIn = {
  readonly status: number
  readonly location: string | null
  readonly setCookie: string | undefined
  readonly cookie: string
  readonly page: string
  readonly headers: Headers
}

export async function signIn(
  url: string,
  key: string,
  { to, headers = {} }: { to?: string; headers?: Record<string, string> } = {},
): Promise<SignIn> {
  const response = await fetch(`${url}/dashboard/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: url, ...headers },
    body: new URLSearchParams({ key, ...(to === undefined ? {} : { to }) }),
  })
  const setCookie = response.headers.getSetCookie()[0]
  return {
    status: response.status,
    location: response.headers.get('location'),
    setCookie,
    cookie: setCookie?.split(';')[0] ?? '',
    page: await response.text(),
    headers: response.headers,
  }
}
