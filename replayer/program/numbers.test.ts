/** Numbers that stand for something only since, or only as long as, the recording says. */
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { Close, FileKind, Kind, MmioHow, makeArgs, makePart, PartKind } from '../../store/frame.ts';
import { drained } from '../diff/align/align.ts';
import { longs, Script, words } from '../script.ts';
import { type Program, type Step, symbolAt } from './program.ts';
import { programOf } from './program-of.ts';

const table = uapiTable('linux-7.2');
const LAST = 0xffff_ffff;

function session(): Script {
  const s = new Script(table);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  return s;
}

const programIn = (s: Script): Program => drained(programOf({ ...s.source(), meta: { dialect: 'linux-7.2' } }, table));

describe('a descriptor that nobody follows', () => {
  const maps = (s: Script, fd = 7): number => s.ioctl(3, 'IOMMU_IOAS_MAP_FILE', { flags: 6, ioas_id: 1, fd, length: 4096 }, { iova: 4096 });
  const FD = table.byName('IOMMU_IOAS_MAP_FILE')!.struct!.byName.get('fd')!.offset;
  const files = ({ steps }: Program): number[] =>
    steps.flatMap((step: Step) => (step.kind === Kind.IOCTL ? [symbolAt(step, PartKind.IN, 0, FD)?.symbol ?? -1] : [])).slice(1);
  const closes = (s: Script, first: number, last: number, flags = 0, error = 0): number =>
    s.add({ kind: Kind.CLOSE, request: Close.RANGE, error, parts: [makeArgs(first, last, flags)] });

  test.each<[string, (s: Script) => void, boolean]>([
    ['is the same from call to call', () => undefined, true],
    ['behind close_range over it another', (s) => void closes(s, 4, LAST), false],
    ['not behind one beside it', (s) => void closes(s, 8, LAST), true],
    ['nor one that only marks it', (s) => void closes(s, 4, LAST, 4), true],
    ['nor one that failed', (s) => void closes(s, 4, LAST, 0, 22), true],
    ['behind a file that had its number another', (s) => [s.open(7), s.close(7)], false],
  ])('%s', (_, between, same) => {
    const s = session();
    maps(s);
    between(s);
    maps(s);
    const [first, second] = files(programIn(s));
    expect(first).toBeGreaterThanOrEqual(0);
    expect(first === second).toBe(same);
  });
});

test('an access is at an offset of the region that it is in', () => {
  const s = session();
  const OFFSET = 0x5000;
  s.test(3, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_hwpt_id: 3, out_idev_id: 4 });
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 4, pt_id: 1 }, { out_hwpt_id: 5 });
  const data = Buffer.concat([words(0, 0), longs(OFFSET, 0x2000)]);
  const buffers = { nestedIn: { data_uptr: words(0, 0, 0, 0, 0, 0) }, nestedOut: { data_uptr: data } };
  s.ioctl(
    3,
    'IOMMU_VIOMMU_ALLOC',
    { type: 0xdeadbeef, dev_id: 4, hwpt_id: 5, data_len: 24, data_uptr: 0x7f00_0000 },
    { out_viommu_id: 6 },
    buffers,
  );
  s.mmap(3, 0x7e00_0000_0000, 0x2000, OFFSET);
  const part = makePart(PartKind.ARGS, longs(0x7e00_0000_1010, OFFSET + 0x1010, 4, 0, 0));
  s.add({ kind: Kind.MMIO, request: MmioHow.STORE, file: s.behind(3).file, fileKind: FileKind.IOMMUFD, ret: 1n, parts: [part] });
  const program = programIn(s);
  const access = program.steps.at(-1)!;
  const at = (offset: number): unknown => {
    const use = symbolAt(access, PartKind.ARGS, 0, offset);
    return use === undefined ? undefined : [program.symbols[use.symbol]!.sort, use.addend];
  };
  expect(at(0)).toEqual(['mapping', 0x1010n]);
  expect(at(8)).toEqual(['offset', 0x1010n]);
});
