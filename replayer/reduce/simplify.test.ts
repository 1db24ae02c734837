import { expect, test } from 'vitest';
import { eventText } from '../../hw/event-text.ts';
import { uapiTable } from '../../hw/uapi/table.ts';
import { FrameCursor, Kind } from '../../store/frame.ts';
import { longs, Script } from '../script.ts';
import { plainer } from './simplify.ts';
import { reduction } from './testing.ts';

const table = uapiTable('linux-7.2');
const meta = { dialect: 'linux-7.2', kernel: '', source: 'preload' };
const sourceOf = (s: Script) => ({ ...s.source(), meta });

const textsOf = (frames: readonly Buffer[]): string[] =>
  frames.map((f) => eventText(new FrameCursor().at(f, 0).frame(), { table, style: 'abbrev', start: 0n }).call);

/** A session of two processes: the child maps and fails. */
function twoProcesses(): Script {
  const s = new Script(table, 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.fork(101);
  s.pid = 101;
  s.start(2, 100);
  s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x7000_0000, length: 0x25000, iova: 0x1234_5000 });
  s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x7000_0000, length: 0x25000, iova: 0x1234_5000 }, {}, { error: 17 });
  return s;
}

test('what one process can do, one does; numbers that belong together become plainer together', () => {
  const s = twoProcesses();
  const { found } = reduction(sourceOf(s), s.seq, 'errno == EEXIST');
  const { frames } = found!.attempt.run;
  expect(textsOf(frames)).toMatchInlineSnapshot(`
    [
      "start(exec, ppid=1, exe="/bin/vmm", argv=?)",
      "open("/dev/iommu", O_RDWR)",
      "ioctl(3, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=1})",
      "ioctl(3, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|READABLE ioas_id=1 user_va=0x70000000 length=0x1000 iova=0})",
      "ioctl(3, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|READABLE ioas_id=1 user_va=0x70000000 length=0x1000 iova=0})",
    ]
  `);
  expect(new Set(frames.map((f) => new FrameCursor().at(f, 0).pid))).toEqual(new Set([100]));
});

test('of an array the entries that matter', () => {
  const s = new Script(table, 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  const ranges = longs(0x1000, 0x1fff, 0x8000, 0x7fff, 0x10_0000, 0x1f_ffff);
  s.ioctl(
    3,
    'IOMMU_IOAS_ALLOW_IOVAS',
    { ioas_id: 1, num_iovas: 3, allowed_iovas: 0x7000_0000 },
    {},
    { error: 22, nestedIn: { allowed_iovas: ranges } },
  );
  const { found } = reduction(sourceOf(s), s.seq, 'errno == EINVAL');
  expect(textsOf(found!.attempt.run.frames).at(-1)).toMatchInlineSnapshot(
    `"ioctl(3, IOMMU_IOAS_ALLOW_IOVAS, {ioas_id=1 num_iovas=1 allowed_iovas=[{start=0x8000 last=0}]})"`,
  );
});

test('a call that was stored before it returned is one event again', () => {
  const s = twoProcesses();
  const call = s.ioctl(3, 'IOMMU_DESTROY', { id: 1 }, {}, { entered: true });
  s.returns(call, 'IOMMU_DESTROY', {}, 0);
  s.ioctl(3, 'IOMMU_DESTROY', { id: 1 }, {}, { error: 2 });
  const { found } = reduction(sourceOf(s), s.seq, 'errno == ENOENT');
  const { frames } = found!.attempt.run;
  expect(textsOf(frames).filter((t) => t.includes('DESTROY'))).toHaveLength(2);
  expect(frames.some((f) => new FrameCursor().at(f, 0).kind === Kind.RETURN)).toBe(false);
});

test('what a number could be instead is smaller, and comes to an end', () => {
  for (const value of [1n, 2n, 0xfffn, 0x1000n, 0x1001n, 0x8001_0000n, 0xffff_ffff_ffff_ffffn]) {
    for (const is of ['amount', 'flags', 'id'] as const) {
      for (const n of plainer(value, { is, fixed: 0n })) expect(n).toBeLessThan(value);
      expect(plainer(value, { is, fixed: 0n })[0]).toBe(0n);
    }
  }
  expect(plainer(0n, { is: 'amount', fixed: 0n })).toEqual([]);
  expect(plainer(7n, { is: 'flags', fixed: 1n })).toEqual([5n, 3n]);
});
