import { expect, it } from 'vitest'
import { progress } from '../../src/cli/progress.ts'

function screen(columns: number, isTTY = true) {
  const written: string[] = []
  return { written, isTTY, columns, write: (text: string) => written.push(text) }
}

it('shows nothing of what is over within a second', () => {
  let at = 0
  const on = screen(80)
  const bar = progress(100, on, () => at)
  for (let done = 1; done <= 100; done++) {
    at += 9.99
    bar.advance(done)
  }
  bar.end()
  expect(on.written).toEqual([])
})

it('draws ten times a second at most, and clears up', () => {
  let at = 0
  const on = screen(80)
  const bar = progress(2_000, on, () => at)
  for (let done = 1; done <= 2_000; done++) {
    at += 1
    bar.advance(done)
  }
  bar.end()
  expect(on.written.length).toBe(12)
  expect(on.written[0]).toBe(`\r[${'█'.repeat(20)}${'·'.repeat(20)}] 1000 of 2000, 1000/s, 1 s left\u001b[K`)
  expect(on.written.at(-1)).toBe('\r\u001b[K')
})

it('fits into a narrow terminal', () => {
  let at = 0
  const on = screen(40)
  const bar = progress(10, on, () => at)
  at = 5_000
  bar.advance(5)
  const lines = on.written.map((text) => text.replace('\r', '').replace('\u001b[K', ''))
  expect(lines).toEqual([expect.stringMatching(/^\[█+·+\] 5 of 10, 1\/s, 5 s left$/)])
  expect(lines[0]?.length).toBeLessThan(40)
})

it('writes nothing where there is no terminal', () => {
  let at = 0
  const on = screen(80, false)
  const bar = progress(10, on, () => at)
  at = 5_000
  bar.advance(5)
  bar.end()
  expect(on.written).toEqual([])
})
