import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { longs, Script } from '../../replayer/script.ts';
import { lineCells } from '../term/text.ts';
import { makeTheme } from '../term/theme.ts';
import { testModel, textOf } from '../testing.ts';
import { detailLines, sizeText } from './detail.ts';
import { changeLines } from './effects.ts';

const { model, dispose } = testModel();
afterAll(dispose);
const { glyphs } = makeTheme(true, false);

/** The detail of an event with the state at it, as the screen asks for it. */
function detail(seq: number, width = 78): string {
  model.approach(seq, Infinity);
  const event = model.event(seq)!;
  const lines = detailLines({
    event,
    context: model.context,
    resolve: (field, id) => model.resolve(event, field, id),
    changes: changeLines(model.changes, model.names, glyphs),
    why: [],
    width,
    glyphs,
  });
  for (const l of lines) expect(lineCells(l)).toBeLessThanOrEqual(width);
  return textOf(lines);
}

describe('an event in full', () => {
  test('nested data, names of ids, what came out', () => {
    expect(detail(8)).toMatchInlineSnapshot(`
      " IOMMU_VIOMMU_ALLOC  = 0
        + creates VIOMMU 6
        type              u32   SELFTEST  0xdeadbeef
        dev_id            u32   3         DEVICE 3, since 6
        hwpt_id           u32   5         HWPT_PAGING 5, since 7
        data_len          u32   24
        data_uptr         u64   0x7ffc1000 →
          in_data         u32   0
          out_data        u32   0
          out_mmap_offset u64   0
          out_mmap_length u64   0
      → out_viommu_id     u32   6         VIOMMU 6, new
      → data_uptr         u64   0x7ffc1000 →
      →   in_data         u32   0
      →   out_data        u32   0
      →   out_mmap_offset u64   0x1000
      →   out_mmap_length u64   0x2000    8 KiB
        0.000008000 s  took 500ns  process 4711  fd 8 iommufd#1  request 0x3b90"
    `);
  });
  test('a call that failed', () => {
    expect(detail(10)).toMatchInlineSnapshot(`
      " IOMMU_HW_QUEUE_ALLOC  = -1 EIO  Input/output error
        viommu_id           u32   6         VIOMMU 6, since 8
        type                u32   SELFTEST  0xdeadbeef
        index               u32   1
        nesting_parent_iova u64   0x1000000
        length              u64   0x1000    4 KiB
        changes nothing in the state
        0.000010000 s  took 500ns  process 4711  fd 8 iommufd#1  request 0x3b94"
    `);
  });
  test('an array of structs, and lengths in words', () => {
    expect(detail(4)).toMatchInlineSnapshot(`
      " IOMMU_IOAS_IOVA_RANGES  = 0
        ~ IOAS 1: usable learnt
        ioas_id            u32   1  IOAS 1, since 3
        num_iovas          u32   2
        allowed_iovas      u64   0x7ffc0000
      → num_iovas          u32   1
      → allowed_iovas      u64   0x7ffc0000 →
      →   [0]                    {start=0 last=0xffffffffffffffff}
      → out_iova_alignment u64   0x1
        0.000004000 s  took 500ns  process 4711  fd 8 iommufd#1  request 0x3b84"
    `);
    expect(detail(5, 60)).toMatchInlineSnapshot(`
      " IOMMU_IOAS_MAP  = 0
        + maps IOAS 1 0x1000000+0x200000
        flags   u32   FIXED_IOVA|WRITEABLE|READABLE  0x7
        ioas_id u32   1                         IOAS 1, since 3
        user_va u64   0x7f0000000000
        length  u64   0x200000                  2 MiB
        iova    u64   0x1000000
        0.000005000 s  took 500ns  process 4711  fd 8 iommufd#1  
          request 0x3b85"
    `);
  });
  test('a call that had not returned, and its return', () => {
    expect(detail(20)).toMatchInlineSnapshot(`
      " IOMMU_IOAS_UNMAP  = ?  not returned when it was recorded
        ~ call 20 is under way
        ioas_id u32   1         IOAS 1, since 3
        iova    u64   0x1000000
        length  u64   0x200000  2 MiB
      → after         not recorded
        0.000020000 s  process 4712  fd 8 iommufd#1  request 0x3b86"
    `);
    expect(detail(23)).toMatchInlineSnapshot(`
      " return of IOMMU_IOAS_UNMAP  = -1 EBUSY  Device or resource busy
        ~ call 20 is over
        ioas_id u32   1
        iova    u64   0x1000000
        length  u64   0x200000  2 MiB
      → size    u32   0
      → ioas_id u32   0
      → iova    u64   0
        0.000023000 s  took 500ns  process 4712"
    `);
  });
  test('events that are no ioctls; hostile strings are escaped', () => {
    expect(detail(22)).toMatchInlineSnapshot(`
      " execve("/bin/\\x1b[2Jevil\\xe2\\x80\\xae", ["evil", "--now", ""])  = -1 ENOENT  
          No such file or directory
        changes nothing in the state
        0.000022000 s  took 500ns  process 4711"
    `);
    expect(detail(26, 60)).toMatchInlineSnapshot(`
      " write(9, [bytes:abababababababababababababababababababababa
          babababababababababab…+16], 5000)  = -1 EINVAL  Invalid 
          argument
        /* in: 48 of 5000 bytes, over the capture limit */
        changes nothing in the state
        0.000026000 s  took 500ns  process 4711  fd 9 veventq#2"
    `);
    expect(detail(28)).toMatchInlineSnapshot(`
      " gap(full, 12 events lost, "the spool was full")
        ~ 12 events are missing
        0.000028000 s  took 500ns  process 4711"
    `);
    expect(detail(29)).toMatchInlineSnapshot(`
      " kind_99(fd=3, request=0x5, args=[0x1, 0x2]) = -7
        changes nothing in the state
        0.000029000 s  took 500ns  process 4711  fd 3"
    `);
  });
  test('an unknown ioctl is shown raw', () => {
    expect(detail(25)).toMatchInlineSnapshot(`
      " 0x3bff  = -1 ENOTTY  Inappropriate ioctl for device
        argument       bytes:080000001c000000
        changes nothing in the state
        0.000025000 s  took 500ns  process 4711  fd 8 iommufd#1  request 0x3bff"
    `);
  });
  test('without the state: no names, and the changes are still to come', () => {
    const lines = detailLines({
      event: model.event(13)!,
      context: model.context,
      resolve: () => undefined,
      changes: undefined,
      why: [],
      width: 78,
      glyphs,
    });
    expect(textOf(lines)).toMatchInlineSnapshot(`
      " IOMMU_DESTROY  = -1 EBUSY  Device or resource busy
        …
        id u32   5
        0.000013000 s  took 500ns  process 4711  fd 8 iommufd#1  request 0x3b80"
    `);
  });
});

test('of a long array the first elements are shown, and how many there are more', () => {
  const s = new Script(uapiTable('linux-7.2'));
  s.start();
  s.open(3);
  const ranges = longs(...Array.from({ length: 200 }, (_, i) => i));
  const out = { nestedOut: { allowed_iovas: ranges } };
  s.ioctl(3, 'IOMMU_IOAS_IOVA_RANGES', { ioas_id: 1, num_iovas: 100, allowed_iovas: 0x1000 }, { num_iovas: 100 }, out);
  const long = testModel({ table: s.table, frames: s.frames });
  const event = long.model.event(3)!;
  const text = textOf(
    detailLines({ event, context: long.model.context, resolve: () => undefined, changes: [], why: [], width: 78, glyphs }),
  );
  long.dispose();
  expect(text.match(/\[\d+\] .*start=/g)).toHaveLength(64);
  expect(text).toMatch(/\[63\] +\{start=0x7e last=0x7f\}\n.*… +36 more\n/);
});

test('lengths in the greatest unit that divides them', () => {
  expect([0n, 1n, 1023n, 1024n, 1536n, 4096n, 0x200000n, 1n << 40n, 3n << 62n].map(sizeText)).toEqual([
    '',
    '',
    '',
    '1 KiB',
    '',
    '4 KiB',
    '2 MiB',
    '1 TiB',
    '12 EiB',
  ]);
});
