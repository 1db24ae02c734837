/** The frames before Ink is there, while it is loaded, and by it: always those of the blocks. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { composed } from './frame.ts';
import { type GrowingView, REST } from './growing-view.ts';
import type { Block } from './picture.ts';
import type { FrameProps } from './program.ts';
import type { Screen } from './term/screen.ts';

/** What was asked of Ink. */
let log: string[] = [];
let frames: string[] = [];
const screen = { write: (frame: string) => frames.push(frame) } as unknown as Screen;
/** Ink may be there from now on */
let go = (): void => {};
let view: () => GrowingView;

beforeEach(async () => {
  frames = [];
  const own: string[] = [];
  log = own;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  vi.resetModules();
  vi.doMock('./view.tsx', async (original) => {
    const real = await original<typeof import('./view.tsx')>();
    await gate;
    const mountInk: typeof real.mountInk = (...args) => {
      own.push('mounted');
      const made = real.mountInk(...args);
      return {
        layOut: (props) => {
          own.push(`laid out ${props.columns}x${props.rows}`);
          made.layOut(props);
        },
        unmount: () => {
          own.push('unmounted');
          made.unmount();
        },
      };
    };
    return { ...real, mountInk };
  });
  const made = await import('./growing-view.ts');
  view = () => new made.GrowingView(screen, process.stdin, () => own.push('grown'));
});
afterEach(() => {
  vi.useRealTimers();
  go();
  vi.doUnmock('./view.tsx');
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** The hands rest. */
const rest = (): void => void vi.advanceTimersByTime(REST);

/** Two boxes beside each other over a bar. */
function props(text: string, columns = 20, split = 8): FrameProps {
  const block = (key: string, x: number, y: number, width: number, height: number): Block => ({
    key,
    x,
    y,
    width,
    height,
    rows: Array.from({ length: height }, (_, n) => `\x1b[1m${`${text}${key}${n}`.padEnd(width).slice(0, width)}\x1b[0m`),
  });
  return {
    columns,
    rows: 5,
    blocks: [block('bar', 0, 4, columns, 1), block('left', 0, 0, split, 4), block('right', split, 0, columns - split, 4)],
  };
}

/** Shows blocks, and tells whether the frame is theirs. */
function shows(shown: GrowingView, given: FrameProps): void {
  const before = frames.length;
  shown.update(given);
  expect(frames.length).toBe(before + 1);
  expect(frames.at(-1)).toBe(composed(given.blocks, given.columns, given.rows));
}

async function loaded(): Promise<void> {
  go();
  await vi.waitFor(() => expect(log).toContain('grown'), { timeout: 10_000, interval: 5 });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
}

test('a key before, while and after Ink is loaded shows its own frame, once', async () => {
  const shown = view();
  shows(shown, props('first '));
  for (let n = 0; n < 20; n++) {
    await turn();
    // places change, too
    shows(shown, props(`loading ${n} `, 20 + (n % 3), 5 + (n % 4)));
  }
  expect([log, shown.settled]).toEqual([[], false]);
  const before = frames.length;
  await loaded();
  expect(shown.settled).toBe(true);
  // its coming is no news for the terminal
  expect(frames.length).toBe(before);
  for (let n = 0; n < 40; n++) {
    shows(shown, props(`then ${n} `, 20 + (n % 3), 5 + (n % 4)));
    // now and then Ink has the time to lay it out, and the next key finds the same places
    if (n % 3 === 0) rest();
    if (n % 2 === 0) shows(shown, props(`again ${n} `, 20 + (n % 3), 5 + (n % 4)));
  }
  expect(log.filter((l) => l.startsWith('laid out')).length).toBeGreaterThan(5);
  shown.unmount();
});

test('Ink is asked when places change, once the hands rest, and not when only what is in them does', async () => {
  const shown = view();
  shows(shown, props('a'));
  await loaded();
  for (const text of ['b', 'c', 'd']) {
    shows(shown, props(text));
    rest();
  }
  expect(log).toEqual(['mounted', 'grown']);
  shows(shown, props('d', 20, 9));
  shows(shown, props('e', 20, 9));
  shows(shown, props('e', 24, 9));
  expect(log).toEqual(['mounted', 'grown']);
  rest();
  // of several changes the last one counts
  expect(log.slice(2)).toEqual(['laid out 24x5']);
  shows(shown, props('f', 24, 9));
  rest();
  expect(log.slice(2)).toEqual(['laid out 24x5']);
  shown.unmount();
  expect(log.at(-1)).toBe('unmounted');
});

test('what changed while Ink was loaded is what it lays out', async () => {
  const shown = view();
  shows(shown, props('a'));
  await turn();
  shows(shown, props('b', 24, 11));
  await loaded();
  shows(shown, props('c', 24, 11));
  rest();
  expect(log).toEqual(['mounted', 'grown']);
  shown.unmount();
});

test('ended with a layout outstanding, Ink is not asked any more', async () => {
  const shown = view();
  shows(shown, props('a'));
  await loaded();
  shows(shown, props('a', 24, 11));
  shown.unmount();
  rest();
  await turn();
  expect(log).toEqual(['mounted', 'grown', 'unmounted']);
});

test.each([0, 1, 2, 3, 8])('ended after %i turns of loading, Ink does not come any more', async (turns) => {
  const shown = view();
  shows(shown, props('a'));
  for (let n = 0; n < turns; n++) await turn();
  shown.unmount();
  go();
  // as long as it takes to load it
  await import('./view.tsx');
  for (let n = 0; n < 20; n++) await turn();
  expect([log, frames.length, shown.settled]).toEqual([[], 1, false]);
});
