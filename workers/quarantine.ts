import quarantine from '../queues/quarantine.ts'
import { defineWorker, drop } from '../src/index.ts'

/** Files each request among the dead letters with its reason: bounded there by age and count, and seen by alerts. */
export default defineWorker(quarantine, ({ payload }) => drop(payload.reason))
