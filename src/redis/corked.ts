import { Redis } from 'ioredis'

type Command = Parameters<Redis['sendCommand']>[0]
type Stream = Parameters<Redis['sendCommand']>[1]

/**
 * ioredis hands each command to the socket by itself, and each is a system call. A worker ends many jobs in one turn, because
 * their answers arrive together: what is sent in a turn goes out in one piece here, as soon as the turn is over. (ioredis'
 * own automatic pipelines save the same calls, at a price for each command that is higher than the gain: measured.)
 */
export class CorkedRedis extends Redis {
  #isCorked = false

  override sendCommand(command: Command, stream?: Stream): unknown {
    const socket = (this as unknown as { stream?: NodeJS.WritableStream & { cork(): void; uncork(): void } }).stream
    if (socket && !this.#isCorked) {
      this.#isCorked = true
      socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        socket.uncork()
      })
    }
    return super.sendCommand(command, stream)
  }
}
