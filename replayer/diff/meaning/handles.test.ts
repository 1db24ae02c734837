/** Numbers that one file of the kernel's gives and takes: what they stand for is compared, not they. */
import { expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { encodeFrame, FileKind, FrameCursor, Kind, MmioHow, makeArgs, Rw } from '../../../store/frame.ts';
import { longs, Script } from '../../script.ts';
import type { Side } from '../compare.ts';
import { compareStreams } from '../stream/differ.ts';
import { NearSide } from '../stream/side.ts';
import { compared, differencesOf } from '../testing.ts';

const table = uapiTable('linux-7.2');
const [FAULT_BYTES, RESPONSE_BYTES] = [table.record('FAULT', 'read')!.size, table.record('FAULT', 'write')!.size];

/** Both engines find the same rows. → what differs */
async function differences(a: Script, b: Script): Promise<string[]> {
  const [x, y]: Side[] = [a, b].map((s) => ({ source: s.source(), table })) as [Side, Side];
  const found = differencesOf(compared(x!, y!));
  const near = (s: Side): NearSide => new NearSide(s.source, s.table, { interval: 8 });
  const streamed = await compareStreams(near(x!), near(y!));
  expect(streamed.differences).toHaveLength(found.length);
  return found;
}

function faults(cookies: readonly number[], answered: readonly number[]): Script {
  const s = new Script(table, 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: 1, out_fault_fd: 4 });
  s.found(4, FileKind.FAULT, 3);
  const at = table.record('FAULT', 'read')!.byName.get('cookie')!.offset;
  const told = Buffer.alloc(FAULT_BYTES * cookies.length);
  cookies.forEach((c, i) => {
    told.writeUInt32LE(c, i * FAULT_BYTES + at);
  });
  s.read(4, told);
  for (const c of answered) {
    const response = Buffer.alloc(RESPONSE_BYTES);
    response.writeUInt32LE(c, table.record('FAULT', 'write')!.byName.get('cookie')!.offset);
    s.write(4, response);
  }
  return s;
}

test('cookies of faults: which fault is answered', async () => {
  expect(await differences(faults([1, 2, 3], [2, 1]), faults([7, 8, 9], [8, 7]))).toEqual([]);
  expect(await differences(faults([1, 2, 3], [2]), faults([1, 2, 3], [3]))).toHaveLength(1);
  // that is nobody's is what it is
  expect(await differences(faults([1], [5]), faults([2], [5]))).toEqual([]);
  expect(await differences(faults([1], [5]), faults([1], [6]))).toHaveLength(1);
  // once answered it is gone
  expect(await differences(faults([1, 2], [1, 1]), faults([1, 2], [1, 2]))).toHaveLength(1);
});

function pins(first: number, unpinned: number): Script {
  const s = new Script(table, 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x7000_0000, length: 0x2_0000, iova: 0x10_0000 });
  s.test(3, 'CREATE_ACCESS', 1, {}, { out_access_fd: 5 });
  s.found(5, FileKind.ACCESS, 3);
  for (let i = 0; i < 2; i++)
    s.test(3, 'ACCESS_PAGES', 5, { iova: 0x10_0000, length: 0x1000, uptr: 0x7000_0000 }, { out_access_pages_id: first + i });
  s.test(3, 'DESTROY_ACCESS_PAGES', 5, { access_pages_id: unpinned });
  return s;
}

test('numbers of pinned pages: which ones are let go', async () => {
  expect(await differences(pins(0, 1), pins(40, 41))).toEqual([]);
  expect(await differences(pins(0, 0), pins(40, 41))).toHaveLength(1);
  expect(await differences(pins(0, 9), pins(0, 9))).toEqual([]);
});

const PER_REGION = 40;

/** Where the regions of a device are in its file, and what is done there. */
function device(shift: number, place: number, irqs: readonly number[]): Script {
  const s = new Script(table, 100);
  s.start();
  s.found(6, FileKind.VFIO_DEVICE, 1);
  const begin = (index: number): number => (index + shift) * 2 ** PER_REGION;
  for (const index of [0, 2]) s.ioctl(6, 'VFIO_DEVICE_GET_REGION_INFO', { index }, { flags: 7, size: 0x4000, offset: begin(index) });
  s.mmap(6, 0x7100_0000, 0x4000, begin(2));
  const file = { ...s.behind(6) };
  s.add({
    kind: Kind.READ,
    request: Rw.POSITION,
    ...file,
    ret: 4n,
    parts: [makeArgs(4, begin(0) + place), { ...partOf(longs(7).subarray(0, 4)) }],
  });
  s.add({ kind: Kind.MMIO, request: MmioHow.LOAD, ...file, parts: [makeArgs(0x7100_0000 + place, begin(2) + place, 4, 0, 0, 0)] });
  s.ioctl(6, 'VFIO_DEVICE_IOEVENTFD', { flags: 4, offset: begin(0) + place, data: 1, fd: 20 + shift });
  const fds = Buffer.alloc(4 * irqs.length);
  irqs.forEach((fd, i) => {
    fds.writeInt32LE(fd, 4 * i);
  });
  // EVENTFD | TRIGGER
  s.ioctl(6, 'VFIO_DEVICE_SET_IRQS', { flags: 0x24, index: 2, count: irqs.length }, {}, { tail: fds });
  return s;
}
const partOf = (bytes: Uint8Array) => ({ kind: 2, flags: 0, slot: 0, wanted: BigInt(bytes.length), address: 0n, bytes }) as const;

test('places in a device: by region, and how far into it', async () => {
  expect(await differences(device(0, 0x10, [9, 10]), device(5, 0x10, [9, 10]))).toEqual([]);
  // read, access, ioeventfd
  expect(await differences(device(0, 0x10, [9, 10]), device(0, 0x14, [9, 10]))).toHaveLength(3);
});

test('descriptors that nobody follows: which are the same, and which are none', async () => {
  const of = (...irqs: number[]): Script => device(0, 0, irqs);
  expect(await differences(of(9, 10, -1, 9), of(31, 12, -1, 31))).toEqual([]);
  expect(await differences(of(9, 10, -1, 9), of(9, 10, -1, 10))).toHaveLength(1);
  expect(await differences(of(9, 10), of(9, -1))).toHaveLength(1);
  expect(await differences(of(9, 10), of(9))).toHaveLength(1);
});

test('a log that knows of more faults than a queue has is read to its end', async () => {
  const many = Array.from({ length: 5000 }, (_, i) => i + 1);
  expect(await differences(faults(many, [5000]), faults(many, [5000]))).toEqual([]);
  // a frame of no length
  const s = faults([1], [1]);
  const cut = new FrameCursor().at(s.frames.at(-2)!, 0).frame();
  s.frames.splice(-2, 1, encodeFrame({ ...cut, parts: cut.parts.map((p) => ({ ...p, bytes: p.bytes.subarray(0, 3) })) }));
  expect(await differences(s, s)).toEqual([]);
});
