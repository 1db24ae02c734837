import { afterAll, expect, test } from 'vitest';
import { makeTheme } from '../term/theme.ts';
import { styledText, testModel, textOf } from '../testing.ts';
import { changedLines } from './changed.ts';
import { devicesView } from './devices.ts';

const { model, dispose } = testModel();
afterAll(dispose);
const { glyphs } = makeTheme(true, false);
function at(seq: number): string {
  model.approach(seq, Infinity);
  return textOf(changedLines(model.changes, model.names, glyphs, 78, model.table));
}

test('what comes, with what is known of it', () => {
  expect(at(8)).toMatchInlineSnapshot(`
    "+ VIOMMU 6
        id             none → 6
        hwpt           none → HWPT_PAGING 5
        device         none → DEVICE 3
        kind           none → SELFTEST
        region         none → offset 0x1000 length 0x2000"
  `);
  expect(at(5)).toMatchInlineSnapshot(`"+ IOAS 1  0x1000000+0x200000  2 MiB  RWF  memory 0x7f0000000000, event 5"`);
});

test('what changes, before and after', () => {
  expect(at(16)).toMatchInlineSnapshot(`
    "~ VEVENTQ 10
        reads          0 → 1
        events         0 → 1
        lost           0 → 2
        sequence       -1 → 2"
  `);
  expect(at(6)).toContain('attachments    none → HWPT_PAGING 4');
  expect(styledText(changedLines(model.changes, model.names, glyphs, 78, model.table)[0]!)).toMatch(/^created\(\+ \)created\(SELFTEST 2\)/);
});

test('what goes, and nothing', () => {
  expect(at(33)).toMatch(/^- ends VIOMMU 6 \(the iommufd is released\)\n {4}id {13}6 → none\n {4}hwpt {11}HWPT_PAGING 5 → none/m);
  expect(at(13)).toBe('  the event changes nothing in the state');
});

test('at no event is there a value that is none', () => {
  for (let seq = 1; seq <= model.last; seq++) expect(at(seq)).not.toMatch(/undefined|NaN|\[object/);
});

test('no VFIO device is said', () => {
  model.approach(8, Infinity);
  expect(textOf(devicesView(model.state, model.changes, glyphs, 78).lines)).toBe('  no VFIO device is open here');
});
