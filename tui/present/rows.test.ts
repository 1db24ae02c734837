import { describe, expect, test } from 'vitest';
import { lineCells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { styledText, textOf } from '../testing.ts';
import type { Effect } from './effects.ts';
import type { ListedEvent } from './event.ts';
import { columnsOf, eventRows, type ListInput } from './rows.ts';

const event = (seq: number, call: string, args: string, result = '= 0'): ListedEvent => ({
  seq,
  time: `1.00000${seq}`,
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
  1: { mark: 'created', words: ['creates IOAS 1', 'IOAS 1', 'creates 1 object'] },
  2: { mark: 'changed', words: [] },
  5: { mark: 'destroyed', words: ['ends HWPT_PAGING 4, HWPT_PAGING 5', 'HWPT_PAGING 4, HWPT_PAGING 5', 'ends 2 objects'] },
};

const input = (more: Partial<ListInput> = {}): ListInput => ({
  events: EVENTS,
  effects: (seq) => EFFECTS[seq],
  cursor: 3,
  focused: true,
  last: 6,
  threads: true,
  width: 78,
  theme: makeTheme(true, false),
  ...more,
});

describe('the event list', () => {
  test('at 58, 78 and 110 columns', () => {
    expect(textOf(eventRows(input({ width: 58 })))).toMatchInlineSnapshot(`
      " +    1 IOAS_ALLOC                        creates IOAS 1
       ~    2 IOAS_MAP         ioas 1  iova 0x1000000  leng… = 0
      ►!    3 HW_QUEUE_ALLOC   viommu 6  SELFTEST  index 1 = EIO
            4 a_call_with_a_n… x → y…           = ?
       -    5 close            8                ends 2 objects
            6 exit             0                "
    `);
    expect(textOf(eventRows(input()))).toMatchInlineSnapshot(`
      " +    1 1.000001 IOAS_ALLOC                             creates IOAS 1
       ~    2 1.000002 IOAS_MAP           ioas 1  iova 0x1000000  length 0x2000… = 0
      ►!    3 1.000003 HW_QUEUE_ALLOC     viommu 6  SELFTEST  index 1          = EIO
            4 1.000004 a_call_with_a_nam… x → y…              = ?
       -    5 1.000005 close              8                   ends 2 objects
            6 1.000006 exit               0                   "
    `);
    expect(textOf(eventRows(input({ width: 110 })))).toMatchInlineSnapshot(`
      " +    1 1.000001 4712 IOAS_ALLOC                                                      creates IOAS 1
       ~    2 1.000002 4711 IOAS_MAP                   ioas 1  iova 0x1000000  length 0x200000  FIXED_IOVA|WRIT… = 0
      ►!    3 1.000003 4712 HW_QUEUE_ALLOC             viommu 6  SELFTEST  index 1          = EIO
            4 1.000004 4711 a_call_with_a_name_that_i… x → y…                               = ?
       -    5 1.000005 4712 close                      8                                    ends 2 objects
            6 1.000006 4711 exit                       0                                    "
    `);
  });

  test('in ASCII', () => {
    expect(textOf(eventRows(input({ theme: makeTheme(true, true) })))).toMatchInlineSnapshot(`
      " +    1 1.000001 IOAS_ALLOC                             creates IOAS 1
       ~    2 1.000002 IOAS_MAP           ioas 1  iova 0x1000000  length 0x2000> = 0
      >!    3 1.000003 HW_QUEUE_ALLOC     viommu 6  SELFTEST  index 1          = EIO
            4 1.000004 a_call_with_a_nam> x -> y...           = ?
       -    5 1.000005 close              8                   ends 2 objects
            6 1.000006 exit               0                   "
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
    expect(columnsOf(input({ threads: false, width: 110 }))).toMatchObject({ tid: 0, seq: 4 });
    expect(columnsOf(input({ width: 110, last: 1_000_000 }))).toMatchObject({ tid: 4, seq: 7 });
  });
});
