/** The lines of an event but for its id. `data` is JSON, which has no line breaks of its own. */
export function eventBody({
  topic,
  time,
  tenant,
  data,
}: {
  topic: string
  time: number
  tenant: string | null
  data: string
}): Buffer {
  const head = JSON.stringify({ topic, at: new Date(time).toISOString(), tenant })
  return Buffer.from(`data: ${head.slice(0, -1)},"data":${data}}\n\n`)
}

/** Something between the last event and the next is lost: whoever shows a state has to load it anew. */
export function gapBody(of: string): Buffer {
  return Buffer.from(`event: gap\ndata: ${JSON.stringify({ of })}\n\n`)
}
