import { openSessions, type Where } from './rig.ts'

/* Appends to one session side by side, in a process of its own: `append-child.js WHERE ID NAME COUNT`. */

const [where = '', id = '', name = '', count = ''] = process.argv.slice(2)
const rig = await openSessions(JSON.parse(where) as Where)
const sessions = rig.of('T1')
await Promise.all(
  Array.from({ length: Number(count) }, (_, i) =>
    sessions.update(id, () => ({ messages: [{ role: 'user', text: `${name}-${i}` }] })),
  ),
)
await rig.close()
