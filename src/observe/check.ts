/** One thing that must be right for this process to do its work. `warn` works, but not as promised. */
export type Check = { readonly name: string; readonly state: 'ok' | 'warn' | 'fail'; readonly detail: string }
