import { afterAll, expect, test } from 'vitest';
import { makeTheme } from '../term/theme.ts';
import { styledText, testModel } from '../testing.ts';
import { changeLines, effectOf } from './effects.ts';

const { model, dispose } = testModel();
afterAll(dispose);
const changes = (seq: number) => model.timeline.changesOf(seq);

test('what an event created and ended, from the longest words to the shortest', () => {
  expect(effectOf(changes(8))).toEqual({ mark: 'created', words: ['creates VIOMMU 6', 'VIOMMU 6', 'creates 1 object'], fault: false });
  expect(effectOf(changes(6))).toEqual({
    mark: 'created',
    words: ['creates SELFTEST 2, DEVICE 3, HWPT_PAGING 4', 'SELFTEST 2, DEVICE 3, HWPT_PAGING 4', 'creates 3 objects'],
    fault: false,
  });
  expect(effectOf(changes(2))?.words[0]).toBe('creates context 1');
  expect(effectOf(changes(33))).toMatchObject({
    mark: 'destroyed',
    words: [expect.stringMatching(/^ends .*context 1/), expect.anything(), 'ends 10 objects'],
  });
});

test('other changes have a mark and no words; no change is no effect', () => {
  expect(effectOf(changes(5))).toEqual({ mark: 'changed', words: [], fault: false });
  expect(effectOf(changes(13))).toBeUndefined();
});

test('changes as lines, each with its mark', () => {
  const lines = (seq: number): string[] => {
    model.approach(seq, Infinity);
    return changeLines(model.changes, model.names, makeTheme(true, false).glyphs).map(styledText);
  };
  expect(lines(8)).toMatchInlineSnapshot(`
    [
      "  created(+ )creates VIOMMU 6",
    ]
  `);
  expect(lines(27)).toMatchInlineSnapshot(`
    [
      "  changed(~ )process 4711 unmaps VIOMMU 6 at 0x7f1234560000+0x2000",
    ]
  `);
  expect(lines(5)).toMatchInlineSnapshot(`
    [
      "  created(+ )maps IOAS 1 0x1000000+0x200000",
    ]
  `);
});
