/** HTML that has been escaped. Only `html` makes it, so that no text from outside gets into a page unescaped. */
export type Html = { readonly html: string }

/** A tagged template that escapes everything but Html. */
export function html(parts: TemplateStringsArray, ...values: (string | number | Html | readonly Html[])[]): Html {
  let text = parts[0] ?? ''
  values.forEach((value, i) => {
    const list = Array.isArray(value) ? value : [value]
    for (const item of list as (string | number | Html)[])
      text += typeof item === 'object' ? item.html : escapeHtml(String(item))
    text += parts[i + 1] ?? ''
  })
  return { html: text }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** A whole page. Styles are inline and small; there is no script, so that nothing but HTML has to work at 3 a.m. */
export function page(title: string, body: Html, { refreshSeconds }: { refreshSeconds?: number } = {}): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${refreshSeconds === undefined ? html`` : html`<meta http-equiv="refresh" content="${refreshSeconds}">`}
<title>${title} · Millrace</title>
<link rel="icon" href="data:,">
<style>${{ html: style }}</style>
</head>
<body>${body}</body>
</html>
`.html
}

/** UTC, to the second: enough to look it up in the log. */
export function shortTime(time: string): Html {
  return html`<time datetime="${time}">${time.slice(0, 19).replace('T', ' ')}</time>`
}

/** What went wrong, for a person. */
export function errorPage({ title, text, todo }: { title: string; text: string; todo: string }): string {
  return page(
    title,
    html`<main class="sign-in"><section><h1>${title}</h1><p>${asSentence(text)}</p><p class="soft">${todo}</p><p><a href="/dashboard">Overview</a></p></section></main>`,
  )
}

/** Problems for programs begin small and end without a full stop. */
function asSentence(text: string): string {
  return text === '' ? '' : `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}

const style = `
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5d6b7a; --line: #d9dfe6; --ground: #f5f7f9; --card: #fff; --accent: #0b6bcb; --ok: #15803d; --warn: #b45309; --fail: #c01c28; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf0; --soft: #97a5b4; --line: #2c3947; --ground: #12181f; --card: #1a222b; --accent: #6cb2ff; --ok: #4ade80; --warn: #fbbf24; --fail: #ff8087; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; padding: .8rem 1.2rem; background: var(--card); border-bottom: 1px solid var(--line); }
header strong { font-size: 1.1rem; } header strong a { color: inherit; text-decoration: none; } header nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; flex: 1; } header nav a { white-space: nowrap; } header nav a[aria-current] { color: inherit; font-weight: 600; text-decoration: none; } header form { margin: 0; }
main { max-width: 72rem; margin: 0 auto; padding: 1.2rem; display: grid; gap: 1.2rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; overflow-x: auto; }
section > :last-child { margin-bottom: 0; } section > p:first-child { margin-top: 0; }
h1, h2 { overflow-wrap: anywhere; } h1 { font-size: 1.25rem; margin: 0; } h1 + dl, h1 + form { margin-top: .6rem; } h2 { font-size: 1rem; margin: 0 0 .6rem; }
a { color: var(--accent); text-underline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td:first-child, time, .whole { white-space: nowrap; } td.words { white-space: normal; overflow-wrap: anywhere; } th { text-align: left; font-weight: 500; color: var(--soft); font-size: .85rem; } th, td { padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; } .n { text-align: right; } .zero { color: var(--soft); }
.ok { color: var(--ok); } .warn { color: var(--warn); } .fail { color: var(--fail); } .state { font-weight: 600; white-space: nowrap; } .soft { color: var(--soft); }
.banner { display: flex; gap: .8rem; align-items: baseline; }
input, select { font: inherit; width: 100%; min-height: 2.7rem; padding: .55rem .7rem; border: 1px solid var(--line); border-radius: 8px; background: var(--ground); color: inherit; }
.filter { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; align-items: end; } .filter button { min-height: 2.7rem; } .filter label { display: grid; gap: .2rem; font-size: .85rem; color: var(--soft); }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
button { font: inherit; padding: .5rem 1rem; border: 1px solid var(--accent); border-radius: 8px; background: var(--accent); color: var(--card); cursor: pointer; }
button.plain { background: none; border: 0; color: var(--accent); padding: 0; text-decoration: underline; }
.sign-in { max-width: 24rem; margin: 12vh auto 0; } .sign-in form { display: grid; gap: .8rem; margin-top: .8rem; } .sign-in p { margin: .5rem 0 0; } .sign-in label { display: grid; gap: .35rem; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 40rem) { header nav { flex: 1 1 100%; } main { padding: .8rem; } section { padding: .8rem; } th, td { padding-right: .5rem; } td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
  .stack thead { display: none; } .stack tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); } .stack tr:last-child { border-bottom: 0; }
  .stack td { display: block; position: relative; min-height: 1.5em; padding: .1rem 0 .1rem 6rem; border: 0; text-align: left; overflow-wrap: anywhere; } .stack td:empty { display: none; }
  .stack td::before { content: attr(data-label); position: absolute; left: 0; color: var(--soft); font-size: .85rem; } }
`
