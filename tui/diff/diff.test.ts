import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { framesOf, splitCalls } from '../../replayer/diff/testing.ts';
import { sampleTrace } from '../cli/sample.ts';
import { composed } from '../frame.ts';
import { ACTIONS, help } from '../keymap.ts';
import { TraceModel } from '../model.ts';
import { InputParser } from '../term/input.ts';
import { cells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { DiffController } from './controller.ts';
import { type DiffUi, diffLayout, reduceDiff } from './ui.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url));

let a: TraceModel;
let b: TraceModel;
beforeAll(() => {
  a = TraceModel.open(fixture('vmm-6.12.irr'), { wholeCalls: true });
  b = TraceModel.open(fixture('vmm-7.2.irr'), { wholeCalls: true });
});
afterAll(() => {
  a.close();
  b.close();
});

/** The first letter behind "Both" of the name of a lower pane at a cell of its edge; '' where none is. */
function nameAt(edge: string, x: number): string {
  const begin = edge.search(/[[ ]Both/);
  const name = x < begin ? undefined : edge.slice(begin + 13 * Math.floor((x - begin) / 13)).slice(0, 13);
  return /^[[ ]Both (.)/.exec(name ?? '')?.[1] ?? '';
}

interface Running {
  readonly controller: DiffController;
  press(typed: string): void;
  /** when all is done */
  screen(): Promise<string>;
}

function open(columns: number, rows: number, sides = { a, b }, ascii = false): Running {
  const controller = new DiffController(sides, makeTheme(false, ascii), columns, rows, {
    changed: () => {},
    redraw: () => {},
    suspend: () => {},
    quit: () => {},
    failed: (error) => {
      throw error;
    },
  });
  const screen = async (): Promise<string> => {
    while (!controller.idle) await new Promise((resolve) => setImmediate(resolve));
    const { ui } = controller;
    return composed(controller.screenful(false).blocks, ui.columns, ui.rows).replace(/\x1b\[[0-9;]*m/g, '');
  };
  const press = (typed: string): void => {
    const parser = new InputParser();
    for (const key of [...parser.push(typed), ...parser.flush()]) controller.key(key);
  };
  return { controller, press, screen };
}

describe('the diff view', () => {
  test('opens at the first difference, and says which values differ', async () => {
    const { screen } = open(140, 40);
    const shown = await screen();
    expect(shown).toMatch(/difference 1 of 3/);
    expect(shown).toMatch(/►~ +3 0x3b90 .* = ENOTTY │ +3 VIOMMU_ALLOC .* = EOPNOTSUPP/);
    expect(shown).toMatch(/~ errno +→ ENOTTY {2}\| {2}EOPNOTSUPP/);
  });

  test('n and N go from difference to difference, and say where there is none', async () => {
    const { press, screen, controller } = open(140, 40);
    await screen();
    const rows = [controller.ui.cursor];
    press('n');
    rows.push(controller.ui.cursor);
    press(']c');
    rows.push(controller.ui.cursor);
    expect(rows).toEqual([...controller.comparison!.runs]);
    press('n');
    expect(await screen()).toContain('no later difference');
    press('2N');
    expect(controller.ui.cursor).toBe(rows[0]);
    press('N');
    expect(await screen()).toContain('no earlier difference');
  });

  test('events are reached by their numbers on both sides', async () => {
    const { press, screen } = open(140, 40);
    await screen();
    press('20G');
    expect(await screen()).toMatch(/► +20 .* │ +20 /);
    press(':b 164\r');
    expect(await screen()).toMatch(/►\+ +│ +164 TEST_CMD/);
    press(':9999\r');
    expect(await screen()).toContain('the left trace has no event 9999');
  });

  test('both states are those at the cursor', async () => {
    const { press, screen } = open(140, 40);
    await screen();
    press('nn\t');
    const shown = await screen();
    expect(shown).toMatch(/after event 57 +│ +after event 164/);
    expect(shown).toContain('VIOMMU 5  type SELFTEST');
  });

  test('calls that were stored before they returned are shown as if they had returned in time', async () => {
    const returnsAtTheEnd = splitCalls(framesOf(a.reader), (i) => (i % 3 === 1 ? 0 : a.last)).frames;
    const path = sampleTrace(returnsAtTheEnd, a.table, a.meta, a.name);
    const split = TraceModel.open(path, { wholeCalls: true });
    const [x, y] = [open(140, 40, { a: split, b }), open(140, 40)];
    for (const keys of ['', 'n', '\t', '3G', '20G', '\t', '30G', ':57\r', '\t']) {
      for (const { press } of [x, y]) press(keys);
      expect(await x.screen()).toBe(await y.screen());
    }
    // the number of a RETURN leads to its call
    for (const [{ press }, keys] of [
      [x, `${a.last + 1}G`],
      [y, '1G'],
    ] as const)
      press(keys);
    expect(await x.screen()).toBe(await y.screen());
    split.close();
    rmSync(dirname(path), { recursive: true });
  });

  test('where it is narrow, one stands above the other', async () => {
    const { screen } = open(60, 24);
    const shown = (await screen()).split('\n');
    const left = shown.findIndex((row) => /^┃►~ +3 0x3b90/.test(row));
    const right = shown.findIndex((row) => /^┃►~ +3 VIOMMU_ALLOC/.test(row));
    expect(left).toBeGreaterThan(0);
    expect(right).toBeGreaterThan(left);
  });

  test('a trace beside itself has no difference', async () => {
    const { screen } = open(140, 40, { a, b: a });
    expect(await screen()).toMatch(/no difference: \d+ events on both sides/);
  });

  test('in ASCII there is nothing else', async () => {
    const { press, screen } = open(120, 30, { a, b }, true);
    for (const keys of ['', 'n', 'n\t', '?']) {
      press(keys);
      expect(await screen()).toMatch(/^[\n\x20-\x7e]*$/);
    }
  });

  test('the mouse: the row that is pointed at, the names of the lower pane, the wheel', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom([140, 40], [80, 24], [40, 12], [99, 17]),
        fc.integer({ min: 0, max: 200 }),
        fc.nat(139),
        fc.nat(39),
        fc.constantFrom(0, 64, 65),
        async ([columns = 0, rows = 0], row, x, y, button) => {
          const { press, screen, controller } = open(columns, rows);
          await screen();
          press(`${row}%`);
          const before = (await screen()).split('\n');
          const { ui } = controller;
          press(`\x1b[<${button};${x + 1};${y + 1}M`);
          const after = controller.ui;
          const l = diffLayout(ui);
          const list = l.lists.find((box) => y > box.y && y < box.y + box.height - 1);
          const { rows: most } = controller.comparison!;
          if (x < columns && list !== undefined) {
            const first = ui.cursor - ui.cursorRow;
            const wanted = button === 0 ? first + y - list.y - 1 : ui.cursor + (button === 64 ? -3 : 3);
            // below the last row there is nothing to point at
            const shown = button !== 0 || (wanted < most && /\S/.test(before[y]!.slice(1, -1)));
            expect(after.cursor).toBe(shown ? Math.max(0, Math.min(most - 1, wanted)) : ui.cursor);
          } else if (!l.lists.some((box) => y >= box.y && y < box.y + box.height)) expect(after.cursor).toBe(ui.cursor);
          const tab = x < columns && y === l.lower?.y && button === 0 ? { e: 'detail', s: 'state' }[nameAt(before[y]!, x)] : undefined;
          expect(after.lower).toBe(tab ?? ui.lower);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('a click on the edge of the lower pane brings the one whose name is there', async () => {
    for (const first of ['', '\t']) {
      const { press, screen, controller } = open(80, 24);
      await screen();
      for (let x = 0; x < 80; x++) {
        press(`\x1b${first}`);
        const { lower } = controller.ui;
        const y = diffLayout(controller.ui).lower!.y;
        const wanted = { e: 'detail', s: 'state' }[nameAt((await screen()).split('\n')[y]!, x)] ?? lower;
        press(`\x1b[<0;${x + 1};${y + 1}M`);
        expect([x, controller.ui.lower]).toEqual([x, wanted]);
      }
    }
  });

  test('every key that the help names does something, and what does nothing is not named', async () => {
    const { press, screen, controller } = open(80, 24);
    await screen();
    press('nd');
    const before = controller.ui;
    const same = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b);
    const facts = {
      rows: 187,
      nextRun: (row: number, by: 1 | -1) => row + 9 * by,
      rowOf: () => 9,
      extent: () => ({ lines: 99, cells: 9 }),
    };
    const rows = help('diff').flatMap((group) => group.rows);
    expect(rows.map((r) => r.name)).not.toContain('prompt.complete');
    for (const { name } of rows) {
      // from somewhere in the middle, with the text 'ab c' in a prompt where it is about that
      const at = name.startsWith('prompt.')
        ? { ...before, mode: 'prompt' as const, prompt: { kind: 'command' as const, text: 'ab c', cursor: 2 } }
        : { ...before, zoom: 'lower' as const };
      const { keys } = ACTIONS.find((a) => a.name === name)!;
      for (const sequence of [...(keys.diff ?? []), ...(keys.prompt ?? []), ...(keys.any ?? [])]) {
        const mouse = /click|wheel/.test(sequence);
        const from = mouse ? { ...before, zoom: 'both' as const } : at;
        let ui: DiffUi = { ...from, cursor: 60, cursorRow: 3, scroll: { ...from.scroll, detail: { top: 5, left: 0 } } };
        const start = ui;
        for (const key of sequence.split(' '))
          ui = reduceDiff(ui, { type: 'key', key: { name: key, ...(mouse ? { at: { x: 4, y: 3 } } : {}) } }, facts);
        expect(same(start, { ...ui, pointer: start.pointer }), `${name}: ${sequence}`).toBe(false);
      }
    }
  });

  test('Esc and a key in one read are two keys', async () => {
    const { press, screen, controller } = open(80, 24);
    await screen();
    const { cursor } = controller.ui;
    press(':12\x1bj');
    expect(controller.ui).toMatchObject({ mode: 'main', cursor: cursor + 1 });
    press('s\x1b');
    expect(controller.ui.lower).toBe('detail');
  });

  test('an event of the left trace to begin at, given before the traces are compared', async () => {
    for (const [seq, row] of [
      [20, 20],
      [57, 163],
      [9999, 1],
    ] as const) {
      const { screen, controller } = open(140, 40);
      controller.goto(seq);
      expect(await screen()).toContain(`row ${row} of 187`);
    }
  });

  test('whatever is pressed at whatever size, the screen is whole', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 150 }),
        fc.integer({ min: 1, max: 45 }),
        fc.array(fc.constantFrom('j', 'k', 'n', 'N', 'G', 'gg', 'z', '\t', ' ', 'b', 'd', 'u', '?', 'q?', '50%', ':7\r', '3j'), {
          maxLength: 8,
        }),
        async (columns, rows, keys) => {
          const { press, screen, controller } = open(80, 24);
          await screen();
          controller.resize(columns, rows);
          for (const key of keys) if (!controller.ui.quit && key !== 'q?') press(key);
          const shown = (await screen()).split('\n');
          expect(shown.length).toBe(rows);
          for (const row of shown) expect(cells(row)).toBe(columns);
          const l = diffLayout(controller.ui);
          const used = [...l.lists, ...(l.lower === undefined ? [] : [l.lower])].reduce((n, box) => n + box.height, 0);
          if (l.plan !== 'small') expect(used).toBe(rows - 3);
        },
      ),
      { numRuns: 60 },
    );
  });
});
