import { Socket } from 'node:net'
import { parentPort } from 'node:worker_threads'

/*
 * A thread inside the child process of an isolated worker, which ends the process when its parent has gone. The main
 * thread cannot see to that: it may compute without a pause, which is what isolation is for. The other end of this pipe is
 * the parent's alone, and the kernel closes it whichever way the parent ends, kill -9 included.
 */

/** The file descriptor of the pipe; 0 to 3 are the standard streams and Node's own channel. */
const leash = 4

const end = () => {
  try {
    // What the handler has started goes with it.
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    process.kill(process.pid, 'SIGKILL')
  }
}
const socket = new Socket({ fd: leash, readable: true, writable: false })
socket.on('error', end)
socket.on('end', end)
socket.on('close', end)
socket.resume()
parentPort?.postMessage('on')
