/** The mouse, held against the picture: what is under the pointer is what is drawn there. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Controller } from './controller.ts';
import { composed } from './frame.ts';
import { PANE_TITLES } from './layout.ts';
import { makeTheme } from './term/theme.ts';
import { keysOf, longSession, type TestModel, testModel } from './testing.ts';
import { layoutOf } from './ui.ts';
import { targetAt } from './ui-mouse.ts';

let made: TestModel;
beforeAll(() => {
  made = testModel(longSession(400));
});
afterAll(() => made.dispose());

interface Running {
  readonly controller: Controller;
  press(typed: string): void;
  screen(): Promise<string[]>;
}

function open(columns: number, rows: number): Running {
  const controller = new Controller(made.model, makeTheme(false, false), columns, rows, {
    changed: () => {},
    redraw: () => {},
    suspend: () => {},
    quit: () => {},
    failed: (error) => {
      throw error;
    },
  });
  controller.options(true, false);
  return {
    controller,
    press: (typed) => {
      for (const key of keysOf(typed)) controller.key(key);
    },
    screen: async () => {
      while (!controller.idle) await new Promise((resolve) => setImmediate(resolve));
      const { ui } = controller;
      return composed(controller.screenful(false).blocks, ui.columns, ui.rows)
        .replace(/\x1b\[[0-9;]*m/g, '')
        .split('\n');
    },
  };
}

const click = (x: number, y: number): string => `\x1b[<0;${x + 1};${y + 1}M`;
const sizes = fc.constantFrom([140, 40], [80, 24], [60, 20], [45, 11], [210, 50]);
const ways = fc.array(fc.constantFrom('7j', '50%', 'G', 'gg', '\t', '\t', 'z', '&\x15errno != 0\r', '&\x15IOAS_MAP\r', '20\x04', '\x1b'), {
  maxLength: 5,
});

test('a click does what is written under the pointer', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, ways, fc.nat(209), fc.nat(49), async ([columns = 0, rows = 0], keys, px, py) => {
      const { controller, press, screen } = open(columns, rows);
      for (const k of keys) press(k);
      const shown = await screen();
      const before = controller.ui;
      const [x, y] = [px % columns, py % rows];
      press(click(x, y));
      await screen();
      const after = controller.ui;
      const box = layoutOf(before).boxes.find((b) => x >= b.x && x < b.x + b.width && y >= b.y && y < b.y + b.height);
      // the number in the row: of an event where that is a row of the list
      const number = /^[┃│][► ]. *(\d+) /.exec(shown[y]!.slice(box?.x ?? 0))?.[1];
      if (box?.pane === 'events' && number !== undefined) expect(after.cursor).toBe(Number(number));
      else if (y !== layoutOf(before).strip.y && y !== layoutOf(before).strip.y + 1) expect(after.cursor).toBe(before.cursor);
      if (box === undefined) expect(after.focus).toBe(before.focus);
      // the focus is on a pane of the box that was clicked at
      else expect(box.tabs).toContain(after.focus);
      controller.close();
    }),
    { numRuns: 60 },
  );
});

test('on the names at the edge a pane comes to the front, each by its own name', async () => {
  for (const [columns, rows] of [
    [140, 40],
    [80, 24],
    [45, 11],
    [210, 50],
  ] as const) {
    const { controller, screen, press } = open(columns, rows);
    const edge = await screen();
    const named = new Set<string>();
    for (const box of layoutOf(controller.ui).boxes) {
      for (let x = box.x; x < box.x + box.width; x++) {
        const target = targetAt(layoutOf(controller.ui), { x, y: box.y });
        if (target.kind !== 'pane') throw new Error(target.kind);
        if (target.tab === undefined) continue;
        named.add(target.tab);
        // the cell belongs to a name, or to what is around it
        const around =
          edge[box.y]!.slice(0, x + 1)
            .split(/[━─]/)
            .at(-1)! + edge[box.y]!.slice(x + 1).split(/[━─]/)[0]!;
        expect(around).toMatch(new RegExp(`${PANE_TITLES[target.tab]}|\\d`));
      }
    }
    expect([...named].sort()).toEqual(['changed', 'detail', 'events', 'objects']);
    for (const name of ['Objects', 'Changed', 'Detail', 'Events'] as const) {
      const now = await screen();
      const y = now.findIndex((row) => row.includes(` ${name}`) && /[┏┌]/.test(row));
      if (y < 0) continue;
      press(click(now[y]!.indexOf(` ${name}`) + 2, y));
      expect(PANE_TITLES[controller.ui.focus]).toBe(name);
    }
    controller.close();
  }
});

test('the wheel moves what is under the pointer and leaves the focus where it is', async () => {
  const { controller, press, screen } = open(80, 24);
  press('100G3');
  await screen();
  press('\x1b');
  await screen();
  const wheel = (way: 'up' | 'down', x: number, y: number): void => press(`\x1b[<${way === 'up' ? 64 : 65};${x + 1};${y + 1}M`);
  press('\t');
  wheel('down', 5, 5);
  expect([controller.ui.cursor, controller.ui.focus]).toEqual([103, 'detail']);
  wheel('up', 5, 5);
  wheel('up', 5, 5);
  expect(controller.ui.cursor).toBe(97);
  press('3');
  await screen();
  press('?');
  wheel('down', 5, 5);
  expect(controller.ui.scroll.help.top).toBe(3);
  wheel('up', 5, 5);
  expect(controller.ui.scroll.help.top).toBe(0);
  press('\x1b');
  const { cursor, scroll } = controller.ui;
  // the header and the row of hints are nobody's
  wheel('down', 5, 0);
  wheel('down', 5, 23);
  expect([controller.ui.cursor, controller.ui.scroll]).toEqual([cursor, scroll]);
  controller.close();
});

test('a click in the overview goes to the first event of that stretch, whichever events the list shows', async () => {
  const { controller, press, screen } = open(80, 24);
  await screen();
  const { y } = layoutOf(controller.ui).strip;
  press(click(79, y));
  expect(controller.ui.cursor).toBeGreaterThan(390);
  press(click(0, y));
  expect(controller.ui.cursor).toBe(1);
  press('&errno != 0\r');
  await screen();
  press(click(40, y));
  await screen();
  expect((await screen()).find((row) => row.includes('►'))).toContain('ENOENT');
  controller.close();
});

test('with the prompt open a click is nothing; with the help open as well', async () => {
  const { controller, press, screen } = open(80, 24);
  await screen();
  for (const keys of ['/IOAS', '?']) {
    press(keys);
    await screen();
    const before = controller.ui;
    press(click(10, 5));
    expect(controller.ui).toMatchObject({ mode: before.mode, cursor: before.cursor, focus: before.focus, prompt: before.prompt });
    press('\x1b');
  }
  controller.close();
});
