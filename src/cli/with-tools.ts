import { loadConfig } from '../config.ts'
import { type Definitions, loadDefinitions } from '../load.ts'
import { openTools, type Tools } from '../tools.ts'

/** Opens the stores for one command, and closes them whatever becomes of it. */
export async function withTools(
  use: (opened: { definitions: Definitions; tools: Tools }) => Promise<void> | void,
): Promise<void> {
  const definitions = await loadDefinitions()
  const tools = await openTools(loadConfig(), definitions)
  try {
    await use({ definitions, tools })
  } finally {
    await tools.close()
  }
}
