import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { composed } from '../frame.ts';
import { TraceModel } from '../model.ts';
import { InputParser } from '../term/input.ts';
import { cells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { DiffController } from './controller.ts';
import { diffLayout } from './ui.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url));

let a: TraceModel;
let b: TraceModel;
beforeAll(() => {
  a = TraceModel.open(fixture('vmm-6.12.irr'));
  b = TraceModel.open(fixture('vmm-7.2.irr'));
});
afterAll(() => {
  a.close();
  b.close();
});

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
