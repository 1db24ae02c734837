/**
 * Ink's part: the same blocks give the same frame by Ink as they do without it. By ink-testing-library, whose terminal has
 * 100 columns, and for wider ones by Ink itself into a stand-in for the terminal.
 */
import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Terminal } from '@xterm/headless';
import fc from 'fast-check';
import { render as inkRender } from 'ink';
import { cleanup, render } from 'ink-testing-library';
import { createElement } from 'react';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Controller, type ControllerHooks } from './controller.ts';
import { DiffController } from './diff/controller.ts';
import { composed, filled } from './frame.ts';
import { TraceModel } from './model.ts';
import type { Block } from './picture.ts';
import type { Answering, FrameProps } from './program.ts';
import { makeTheme } from './term/theme.ts';
import { keysOf } from './testing.ts';
import { App } from './view.tsx';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/traces/${name}`, import.meta.url));
let older: TraceModel;
let newer: TraceModel;
beforeAll(() => {
  older = TraceModel.open(fixture('vmm-6.12.irr'), { wholeCalls: true });
  newer = TraceModel.open(fixture('vmm-7.2.irr'));
});
afterAll(() => {
  older.close();
  newer.close();
});
afterEach(() => cleanup());

const hooks: ControllerHooks = {
  changed: () => {},
  redraw: () => {},
  suspend: () => {},
  quit: () => {},
  failed: (error) => {
    throw error;
  },
};
const propsOf = (a: Answering): FrameProps => ({ columns: a.ui.columns, rows: a.ui.rows, blocks: a.screenful(false).blocks });
const direct = ({ blocks, columns, rows }: FrameProps): string => composed(blocks, columns, rows);

async function settled(a: Answering & { readonly idle: boolean }): Promise<void> {
  while (!a.idle) await new Promise((resolve) => setImmediate(resolve));
}

/** What a terminal shows of a frame: each cell with what is switched on. Ink writes other sequences for the same. */
async function onTerminal(frame: string | undefined, { columns, rows }: FrameProps): Promise<string[]> {
  const terminal = new Terminal({ cols: columns, rows: rows + 1, allowProposedApi: true });
  await new Promise<void>((resolve) => terminal.write((frame ?? '').replaceAll('\n', '\r\n'), resolve));
  const { active } = terminal.buffer;
  const shown = Array.from({ length: rows }, (_, y) =>
    Array.from({ length: columns }, (_, x) => {
      const cell = active.getLine(y)?.getCell(x);
      if (cell === undefined) return '';
      const on = [cell.isBold(), cell.isDim(), cell.isUnderline(), cell.isInverse()].map((flag) => (flag ? 1 : 0)).join('');
      return `${cell.getChars() || ' '}/${on}/${cell.getFgColor()}`;
    }).join(' '),
  );
  terminal.dispose();
  return shown;
}

/** `layout`: what Ink has made of the blocks. */
async function expectSame(layout: string | undefined, props: FrameProps, what: string): Promise<void> {
  const frame = filled(layout ?? '', props.blocks, props.columns);
  expect(await onTerminal(frame, props), what).toEqual(await onTerminal(direct(props), props));
}

/** By Ink on a terminal of any width. */
function byInk(props: FrameProps): string {
  let last = '';
  const write = (text: string): boolean => {
    last = text;
    return true;
  };
  const stdout = Object.assign(new EventEmitter(), { columns: props.columns, rows: props.rows, write });
  const ink = inkRender(createElement(App, props), {
    stdout: stdout as unknown as NodeJS.WriteStream,
    debug: true,
    exitOnCtrlC: false,
    patchConsole: false,
  });
  // before the end, at which Ink writes more where CI is set
  const frame = last;
  ink.unmount();
  return frame;
}

describe.each([
  ['with colours', makeTheme(true, false)],
  ['without colours', makeTheme(false, false)],
  ['in ASCII', makeTheme(false, true)],
])('%s', (_, theme) => {
  test.each([
    [80, 24],
    [60, 15],
    [100, 30],
    [40, 10],
    [30, 8],
  ])('a trace at %ix%i', async (columns, rows) => {
    const controller = new Controller(newer, theme, columns, rows, hooks);
    await settled(controller);
    const shown = render(createElement(App, propsOf(controller)));
    await expectSame(shown.lastFrame(), propsOf(controller), 'at first');
    for (const keys of ['jjj', ']e', '\t', 'z', '3', '?', 'q', '/x', '\r', 'G']) {
      for (const key of keysOf(keys)) controller.key(key);
      await settled(controller);
      const props = propsOf(controller);
      shown.rerender(createElement(App, props));
      await expectSame(shown.lastFrame(), props, keys);
    }
    controller.close();
  });

  test.each([
    [140, 40],
    [200, 60],
  ])('a trace at %ix%i', async (columns, rows) => {
    const controller = new Controller(newer, theme, columns, rows, hooks);
    for (const keys of ['', ']e', '?']) {
      for (const key of keysOf(keys)) controller.key(key);
      await settled(controller);
      await expectSame(byInk(propsOf(controller)), propsOf(controller), keys);
    }
    controller.close();
  });

  test.each([
    [80, 24],
    [140, 40],
  ])('two traces at %ix%i', async (columns, rows) => {
    const controller = new DiffController({ a: older, b: newer }, theme, columns, rows, hooks);
    for (const keys of ['', 'n', '\t', 'z', '?']) {
      for (const key of keysOf(keys)) controller.key(key);
      await settled(controller);
      await expectSame(byInk(propsOf(controller)), propsOf(controller), keys);
    }
    controller.close();
  });
});

/** Blocks that cover a screen: bands one below the other, each cut into columns. */
const screens = fc
  .array(
    fc.record({
      height: fc.integer({ min: 1, max: 4 }),
      widths: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .chain((bands) => {
    const columns = Math.max(...bands.map((b) => b.widths.reduce((n, w) => n + w, 0)));
    const rows = bands.reduce((n, b) => n + b.height, 0);
    const text = fc.array(fc.constantFrom('a', 'x', '│', '…', '\x1b[31mr\x1b[0m', '\x1b[1;4mb\x1b[0m'), { minLength: 80, maxLength: 80 });
    return text.map((cells): FrameProps => {
      let y = 0;
      const blocks: Block[] = bands.flatMap(({ height, widths }, band) => {
        let x = 0;
        const made = widths.map((given, i): Block => {
          const width = i === widths.length - 1 ? columns - x : given;
          const row = (n: number): string => Array.from({ length: width }, (_, c) => cells[(7 * n + c + 3 * i) % cells.length]!).join('');
          const block = { key: `${band} ${i}`, x, y, width, height, rows: Array.from({ length: height }, (_, n) => row(n)) };
          x += width;
          return block;
        });
        y += height;
        return made;
      });
      return { columns, rows, blocks };
    });
  });

test('any blocks give the same cells', async () => {
  await fc.assert(
    fc.asyncProperty(screens, async (props) => {
      await expectSame(byInk(props), props, 'blocks');
    }),
    { numRuns: 60 },
  );
});

test('a block that is gone leaves nothing behind', () => {
  const block = (key: string, x: number): Block => ({ key, x, y: 0, width: 5, height: 1, rows: [key.repeat(5)] });
  const shown = render(createElement(App, { columns: 10, rows: 1, blocks: [block('a', 0), block('b', 5)] }));
  const frame = (blocks: readonly Block[]): string => filled(shown.lastFrame() ?? '', blocks, 10);
  expect(frame([block('a', 0), block('b', 5)])).toBe('aaaaabbbbb');
  shown.rerender(createElement(App, { columns: 10, rows: 1, blocks: [block('c', 5)] }));
  expect(frame([block('c', 5)])).toBe('     ccccc');
});
