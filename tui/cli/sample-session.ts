/** A short VMM session on the mock driver, as frames: what tests of the command line show. */
import { type UapiTable, uapiTable } from '../../hw/uapi/table.ts';
import { longs, Script, words } from '../../replayer/script.ts';
import { FileKind, Fork, Found, Gap, Kind, makeArgs, makePart, PartFlag, PartKind, Start, State } from '../../store/frame.ts';

const EIO = 5;
const EBUSY = 16;
const ENOTTY = 25;

export interface Session {
  readonly table: UapiTable;
  readonly frames: readonly Buffer[];
}

/** Objects 1 … 9 of one iommufd, some refused calls, a fork, every kind of event, and text that a terminal must not obey. */
export function sampleSession(): Session {
  const table = uapiTable('linux-7.2');
  const s = new Script(table, 4711);
  s.start(Start.EXEC, 4000, '/usr/bin/vmm');
  s.open(8);
  s.ioctl(8, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.ioctl(
    8,
    'IOMMU_IOAS_IOVA_RANGES',
    { ioas_id: 1, num_iovas: 2, allowed_iovas: 0x7ffc0000 },
    { num_iovas: 1, out_iova_alignment: 1 },
    { nestedOut: { allowed_iovas: longs(0, 0xffff_ffff_ffff_ffffn, 0, 0) } },
  );
  s.ioctl(8, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x7f0000000000n, length: 0x200000, iova: 0x1000000 });
  s.test(8, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_idev_id: 3, out_hwpt_id: 4 });
  s.ioctl(8, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
  s.ioctl(
    8,
    'IOMMU_VIOMMU_ALLOC',
    { type: 0xdeadbeef, dev_id: 3, hwpt_id: 5, data_len: 24, data_uptr: 0x7ffc1000 },
    { out_viommu_id: 6 },
    { nestedIn: { data_uptr: Buffer.alloc(24) }, nestedOut: { data_uptr: Buffer.concat([words(0, 0), longs(0x1000, 0x2000)]) } },
  );
  s.mmap(8, 0x7f1234560000, 0x2000, 0x1000);
  s.ioctl(
    8,
    'IOMMU_HW_QUEUE_ALLOC',
    { viommu_id: 6, type: 0xdeadbeef, index: 1, nesting_parent_iova: 0x1000000, length: 0x1000 },
    {},
    { error: EIO },
  );
  s.ioctl(
    8,
    'IOMMU_HW_QUEUE_ALLOC',
    { viommu_id: 6, type: 0xdeadbeef, index: 0, nesting_parent_iova: 0x1000000, length: 0x1000 },
    { out_hw_queue_id: 7 },
  );
  s.ioctl(8, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 }, { out_vdevice_id: 9 });
  s.ioctl(8, 'IOMMU_DESTROY', { id: 5 }, {}, { error: EBUSY });
  s.ioctl(8, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: 0xbeefbeef, veventq_depth: 2 }, { out_veventq_id: 10, out_veventq_fd: 9 });
  s.found(9, FileKind.VEVENTQ, Found.CREATED);
  s.read(9, words(0, 0, 0x99, 1, 2));
  otherKinds(s);
  return { table, frames: s.frames };
}

/** Events of the other kinds, and the odd ones. */
function otherKinds(s: Script): void {
  s.dup(8, 12);
  s.fork(4712, Fork.FORK);
  s.pid = 4712;
  s.start(Start.FORK, 4711);
  const entered = s.ioctl(8, 'IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: 0x1000000, length: 0x200000 }, {}, { entered: true });
  s.pid = 4711;
  s.add({ kind: Kind.SENDFD, request: 1, ...s.behind(8), ret: 1n, parts: [makeArgs(5, 7777)] });
  s.add({
    kind: Kind.EXEC,
    error: 2,
    ret: -1n,
    parts: [makePart(PartKind.TEXT, Buffer.from('/bin/\x1b[2Jevil\u202e')), makePart(PartKind.TEXT, Buffer.from('evil\0--now\0'), 1)],
  });
  s.pid = 4712;
  s.returns(entered, 'IOMMU_IOAS_UNMAP', { length: 0x200000 }, EBUSY);
  s.exit(3);
  s.pid = 4711;
  s.add({
    kind: Kind.IOCTL,
    ...s.behind(8),
    request: 0x3bff,
    error: ENOTTY,
    ret: -1n,
    parts: [makePart(PartKind.IN, words(8, 0x1c)), makePart(PartKind.OUT, words(8, 0x1c))],
  });
  s.add({
    kind: Kind.WRITE,
    request: 1,
    ...s.behind(9),
    error: 22,
    ret: -1n,
    parts: [makeArgs(5000), { ...makePart(PartKind.IN, Buffer.alloc(48, 0xab)), flags: PartFlag.TRUNCATED, wanted: 5000n }],
  });
  s.munmap(0x7f1234560000, 0x2000);
  s.add({ kind: Kind.GAP, request: Gap.FULL, ret: 12n, parts: [makePart(PartKind.TEXT, Buffer.from('the spool was full'))] });
  s.add({ kind: 99, fd: 3, request: 5, ret: -7n, state: State.RETURNED, parts: [makeArgs(1, 2)] });
  s.close(12);
  s.close(9);
  s.close(8);
  s.exit(0);
}
