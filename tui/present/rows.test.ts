import { describe, expect, test } from 'vitest';
import { secondsText } from '../../hw/time-text.ts';
import { lineCells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { styledText, textOf } from '../testing.ts';
import type { Effect } from './effects.ts';
import type { ListedEvent } from './event.ts';
import { columnsOf, eventRows, type ListInput } from './rows.ts';

const event = (seq: number, call: string, args: string, result = '= 0'): ListedEvent => ({
  seq,
  at: BigInt(1_000_000_000 + 1000 * seq),
  pid: 4711,
  tid: 4711 + (seq % 2),
  call,
  args,
  outcome: /^= /.test(result) || result === '' ? (result === '= ?' ? 'open' : 'ok') : 'error',
  result,
});

const EVENTS = [
  event(1, 'IOAS_ALLOC', ''),
  event(2, 'IOAS_MAP', 'ioas 1  iova 0x1000000  length 0x200000  FIXED_IOVA|WRITEABLE|READABLE  user_va 0x7f0000000000'),
  event(3, 'HW_QUEUE_ALLOC', 'viommu 6  SELFTEST  index 1', 'EIO'),
  event(4, 'a_call_with_a_name_that_is_long', 'x → y…', '= ?'),
  event(5, 'close', '8'),
  event(6, 'exit', '0', ''),
];
const EFFECTS: Readonly<Record<number, Effect>> = {
  1: { mark: 'created', words: ['creates IOAS 1', 'IOAS 1', 'creates 1 object'], fault: false },
  2: { mark: 'changed', words: [], fault: false },
  5: { mark: 'destroyed', words: ['ends HWPT_PAGING 4, HWPT_PAGING 5', 'HWPT_PAGING 4, HWPT_PAGING 5', 'ends 2 objects'], fault: false },
};

const input = (more: Partial<ListInput> = {}): ListInput => ({
  events: EVENTS,
  effects: (seq) => EFFECTS[seq],
  cursor: 3,
  focused: true,
  last: 6,
  lane: (e) => ({ letter: e.tid % 2 === 0 ? 'B' : 'A', token: 'lane1', number: e.tid }),
  time: (e) => secondsText(e.at ?? 0n, 6),
  width: 78,
  theme: makeTheme(true, false),
  ...more,
});

describe('the event list', () => {
  test('at 58, 78 and 110 columns', () => {
    expect(textOf(eventRows(input({ width: 58 })))).toMatchInlineSnapshot(`
      " +    1 B IOAS_ALLOC                      creates IOAS 1
       ~    2 A IOAS_MAP         ioas 1  iova 0x1000000  le… = 0
      ►!    3 B HW_QUEUE_ALLOC   viommu 6  SELFTEST  inde… = EIO
            4 A a_call_with_a_n… x → y…         = ?
       -    5 B close            8              ends 2 objects
            6 A exit             0              "
    `);
    expect(textOf(eventRows(input()))).toMatchInlineSnapshot(`
      " +    1 1.000001 B IOAS_ALLOC                           creates IOAS 1
       ~    2 1.000002 A IOAS_MAP           ioas 1  iova 0x1000000  length 0x20… = 0
      ►!    3 1.000003 B HW_QUEUE_ALLOC     viommu 6  SELFTEST  index 1        = EIO
            4 1.000004 A a_call_with_a_nam… x → y…            = ?
       -    5 1.000005 B close              8                 ends 2 objects
            6 1.000006 A exit               0                 "
    `);
    expect(textOf(eventRows(input({ width: 110 })))).toMatchInlineSnapshot(`
      " +    1 1.000001 B 4712 IOAS_ALLOC                                                    creates IOAS 1
       ~    2 1.000002 A 4711 IOAS_MAP                   ioas 1  iova 0x1000000  length 0x200000  FIXED_IOVA|WR… = 0
      ►!    3 1.000003 B 4712 HW_QUEUE_ALLOC             viommu 6  SELFTEST  index 1        = EIO
            4 1.000004 A 4711 a_call_with_a_name_that_i… x → y…                             = ?
       -    5 1.000005 B 4712 close                      8                                  ends 2 objects
            6 1.000006 A 4711 exit                       0                                  "
    `);
  });

  test('in ASCII', () => {
    expect(textOf(eventRows(input({ theme: makeTheme(true, true) })))).toMatchInlineSnapshot(`
      " +    1 1.000001 B IOAS_ALLOC                           creates IOAS 1
       ~    2 1.000002 A IOAS_MAP           ioas 1  iova 0x1000000  length 0x20> = 0
      >!    3 1.000003 B HW_QUEUE_ALLOC     viommu 6  SELFTEST  index 1        = EIO
            4 1.000004 A a_call_with_a_nam> x -> y...         = ?
       -    5 1.000005 B close              8                 ends 2 objects
            6 1.000006 A exit               0                 "
    `);
  });

  test('no row is wider than the pane, whatever the width', () => {
    for (let width = 38; width < 220; width++) {
      for (const row of eventRows(input({ width }))) expect(lineCells(row), `${width}`).toBeLessThanOrEqual(width);
    }
  });

  test('marks carry colours, but for the row under the cursor, which is one bar', () => {
    const rows = eventRows(input()).map(styledText);
    expect(rows[0]).toMatch(/^ created\(\+\) {4}1 .*call\(IOAS_ALLOC +\).*created\(creates IOAS 1\)$/);
    expect(rows[1]).toMatch(/^ changed\(~\)/);
    expect(rows[2]).toMatch(/^►! {4}3 .*= EIO$/);
    expect(rows[4]).toMatch(/^ destroyed\(-\).*destroyed\(ends 2 objects\)$/);
    expect(eventRows(input()).map((row) => row.fill)).toEqual([undefined, undefined, 'cursor', undefined, undefined, undefined]);
    expect(eventRows(input({ focused: false }))[2]!.fill).toBe('cursorPassive');
  });

  test('one thread alone is not named, and numbers are as wide as the longest', () => {
    expect(columnsOf(input({ lane: undefined, width: 110 }))).toMatchObject({ lane: 0, who: 0, seq: 4 });
    expect(columnsOf(input({ width: 110, last: 1_000_000 }))).toMatchObject({ lane: 1, who: 4, seq: 7 });
  });

  test('what the hardware has to do with it is marked beside the call, a failed queue before all else', () => {
    const marks = (['event', 'access', 'sample', undefined] as const).map((hardware, i) => ({
      ...event(i + 1, 'read', ''),
      ...(hardware === undefined ? {} : { hardware }),
    }));
    const drawn = (effects: ListInput['effects']): string[] =>
      eventRows(input({ events: marks, effects, cursor: 9, lane: undefined })).map((l) => styledText({ spans: l.spans.slice(1, 3) }));
    expect(drawn(() => undefined)).toEqual([' hardware(◆)', ' hardware(◦)', ' hardware(◇)', '  ']);
    const failed: Effect = { mark: 'changed', words: [], fault: true };
    expect(drawn(() => failed)).toEqual(Array(4).fill('changed(~)error(✗)'));
  });
});
