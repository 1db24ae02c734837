import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runScenario } from '../../hw/scenario/script.ts';
import { uapiTable } from '../../hw/uapi/table.ts';
import { framesOf } from '../../recorder/simulate.ts';
import { emptyState } from '../../replayer/state.ts';
import { lineCells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { styledText, type TestModel, testModel, textOf } from '../testing.ts';
import { changedLines } from './changed.ts';
import { barSpans, cmdqvView } from './cmdqv.ts';
import { effectOf } from './effects.ts';

const { glyphs } = makeTheme(true, false);
const folder = join(import.meta.dirname, '../../fixtures/scenarios');
function scenario(name: string): TestModel {
  const session = runScenario(readFileSync(join(folder, `${name}.scn`), 'utf8'), 'linux-7.2');
  return testModel({ frames: framesOf(session), table: uapiTable('linux-7.2') });
}
const errors = scenario('error');
const other = scenario('order');
afterAll(() => {
  errors.dispose();
  other.dispose();
});
const { model } = errors;
function viewAt(seq: number, width = 78): ReturnType<typeof cmdqvView> {
  model.approach(seq, Infinity);
  return cmdqvView(model.state, model.changes, glyphs, width);
}

describe('the CMDQV', () => {
  test('a queue that has failed: bar, pointers with where they come from, the error, what waits', () => {
    const text = textOf(viewAt(84).lines);
    expect(text).toContain('▕█░░░░░░░▏ 2/16  PROD 5 store 83  CONS 3 sampled 84');
    expect(text).toMatch(/EN 1 store 69 {2}ack 1 load 70 {2}ERR ILLEGAL {2}GERROR CMDQ_ERR sampled/);
    expect(text).toMatch(/! GERROR and GERRORN differ \(CMDQ_ERR\), CONS_INDX.ERR is ILLEGAL at\s+entry 3: ATC_INV sid 0x99/);
    expect(text).toMatch(/waits {3}3 {2}ATC_INV sid 0x99\n.*waits {3}4 {2}CMD_SYNC/);
    expect(text).toMatch(/guest {2}of VM file 2 sees it at 0xc100000 {2}VIOMMU 4/);
    expect(text).toMatch(/0 {2}0x8 {6}VDEVICE 6 model 20/);
  });

  test('the first line that the event touched is told, and touched lines are marked', () => {
    const { lines, marked } = viewAt(84);
    expect(styledText(lines[marked]!)).toMatch(/^changed\(~ \).*LVCMDQ1/);
    expect(viewAt(83).lines.filter((l) => l.spans[0]!.text === '~ ')).toHaveLength(1);
    expect(viewAt(74).marked).toBe(-1);
  });

  test('what nobody has told is a question mark, and an empty bar', () => {
    const text = textOf(viewAt(60).lines);
    expect(text).toMatch(/LVCMDQ1 {2}no HW_QUEUE\n +▕ {8}▏ \?\/\? {2}PROD \? \? {2}CONS \? \?/);
    expect(textOf(cmdqvView(emptyState(), [], glyphs, 78).lines)).toBe('  no CMDQV is in use here');
  });

  test('at no event of a session does a line leave the pane, at any width', () => {
    for (const m of [model, other.model]) {
      for (let seq = 1; seq <= m.last; seq++) {
        m.approach(seq, Infinity);
        for (const width of [36, 58, 120]) {
          const { lines, marked } = cmdqvView(m.state, m.changes, glyphs, width);
          for (const l of lines) expect(lineCells(l)).toBeLessThanOrEqual(width);
          expect(marked).toBeLessThan(lines.length);
          expect(textOf(lines)).not.toMatch(/undefined|NaN|\[object/);
          const changed = changedLines(m.changes, m.names, glyphs, width, m.table);
          for (const l of changed) expect(lineCells(l)).toBeLessThanOrEqual(width);
          expect(textOf(changed)).not.toMatch(/undefined|NaN|\[object/);
        }
      }
    }
  });
});

test('bars: empty only where nothing waits, full only where all is full, the wrong ones say so', () => {
  const bar = (used: number | undefined, entries: number | undefined): string =>
    barSpans(used, entries, glyphs)
      .map((s) => s.text)
      .join('');
  expect(bar(0, 64)).toBe('▕░░░░░░░░▏');
  expect(bar(1, 65536)).toBe('▕▌░░░░░░░▏');
  expect(bar(18, 64)).toBe('▕██▌░░░░░▏');
  expect(bar(64, 64)).toBe('▕████████▏');
  expect(bar(100, 64)).toBe('▕████████▏');
  expect(barSpans(100, 64, glyphs)[1]?.token).toBe('error');
  expect(bar(undefined, 64)).toBe('▕        ▏');
  expect(bar(3, undefined)).toBe('▕        ▏');
});

test('before and after of registers, and the mark of a queue that fails', () => {
  model.approach(84, Infinity);
  const text = textOf(changedLines(model.changes, model.names, glyphs, 120, model.table));
  expect(text).toContain('~ VINTF1.LVCMDQ1.CONS_INDX\n    value          0x3 (RD 3)  load 82 → 0x1000003 (RD 3 ERR ILLEGAL)  sampled 84');
  expect(effectOf(model.changes)?.fault).toBe(true);
  expect(effectOf(model.timeline.changesOf(83))?.fault).toBe(false);
  // read again, it is no news
  expect(effectOf(model.timeline.changesOf(85))?.fault).toBe(false);
});
