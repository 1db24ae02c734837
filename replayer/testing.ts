/** For tests: random sessions, of a few numbers each, so that these meet; also what no kernel would answer. */
import fc from 'fast-check';
import { uapiTable } from '../hw/uapi/table.ts';
import { FileKind, Found, Kind, makeArgs } from '../store/frame.ts';
import { longs, Script, words } from './script.ts';

export const TESTED_TABLE = uapiTable('linux-7.2');

/** Numbers that a random session is made of: few of each, so that they meet. */
type Draw = readonly number[];
type Action = (s: Script, d: Draw) => void;

const at = (d: Draw, i: number, of: number): number => d[i]! % of;
const id = (d: Draw, i: number): number => 1 + at(d, i, 8);
const fd = (d: Draw): number => 3 + at(d, 0, 4);
const iova = (d: Draw, i: number): number => 0x1000 * at(d, i, 16);
const viommuData = (d: Draw): Buffer => Buffer.concat([words(1, 1), longs(0x1000 + 0x2000 * at(d, 5, 2), 0x2000)]);

/** Calls that succeed, whether or not the kernel would have let them: the fold must cope with every log. */
const ACTIONS: readonly Action[] = [
  (s, d) => s.open(fd(d)),
  (s, d) => s.open(fd(d), FileKind.VFIO_DEVICE, '/dev/vfio/devices/vfio0'),
  (s, d) => s.open(fd(d), FileKind.VFIO_GROUP, '/dev/vfio/1'),
  (s, d) => s.close(fd(d)),
  (s, d) => s.dup(fd(d), 3 + at(d, 1, 4)),
  (s, d) => s.found(fd(d), 1 + at(d, 1, 8), 1 + at(d, 2, 5), at(d, 3, 6)),
  (s, d) => s.add({ kind: Kind.SENDFD, ...s.behind(fd(d)), ret: 1n, parts: [makeArgs(7, 0)] }),
  (s, d) => s.add({ kind: Kind.CLOSE, request: 2, parts: [makeArgs(3 + at(d, 0, 3), 5, 0)] }),
  (s, d) => s.ioctl(fd(d), 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: id(d, 1) }),
  (s, d) => s.ioctl(fd(d), 'IOMMU_DESTROY', { id: id(d, 1) }, {}, at(d, 2, 3) === 0 ? { error: 16 } : {}),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_IOAS_MAP',
      { flags: 7, ioas_id: id(d, 1), user_va: iova(d, 3), length: 0x1000 * (1 + at(d, 2, 4)) },
      { iova: iova(d, 3) },
    ),
  (s, d) =>
    s.ioctl(fd(d), 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: id(d, 1), length: 0x1000, iova: 0xffff_ffff_ffff_0000n + BigInt(iova(d, 3)) }),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_IOAS_COPY',
      { flags: 7, dst_ioas_id: id(d, 1), src_ioas_id: id(d, 2), length: 0x3000, src_iova: iova(d, 3) },
      { dst_iova: iova(d, 4) },
    ),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_IOAS_UNMAP',
      { ioas_id: id(d, 1), iova: iova(d, 3), length: 0x1000 * (1 + at(d, 4, 8)) },
      {},
      at(d, 5, 4) === 0 ? { error: 16 } : {},
    ),
  (s, d) => s.ioctl(fd(d), 'IOMMU_IOAS_UNMAP', { ioas_id: id(d, 1), iova: 0, length: 0xffff_ffff_ffff_ffffn }),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_HWPT_ALLOC',
      { flags: at(d, 3, 16), dev_id: id(d, 1), pt_id: id(d, 2), fault_id: id(d, 5) },
      { out_hwpt_id: id(d, 4) },
    ),
  (s, d) => s.ioctl(fd(d), 'IOMMU_VFIO_IOAS', { op: at(d, 2, 3), ioas_id: id(d, 1) }, { ioas_id: id(d, 1) }),
  (s, d) => s.ioctl(fd(d), 'IOMMU_FAULT_QUEUE_ALLOC', {}, { out_fault_id: id(d, 1), out_fault_fd: 3 + at(d, 2, 4) }),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_VIOMMU_ALLOC',
      { type: 0xdead_beef, dev_id: id(d, 1), hwpt_id: id(d, 2), data_len: 24, data_uptr: 8 },
      { out_viommu_id: id(d, 3) },
      { nestedOut: { data_uptr: viommuData(d) } },
    ),
  (s, d) => s.ioctl(fd(d), 'IOMMU_VDEVICE_ALLOC', { viommu_id: id(d, 1), dev_id: id(d, 2), virt_id: d[3]! }, { out_vdevice_id: id(d, 4) }),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_VEVENTQ_ALLOC',
      { viommu_id: id(d, 1), type: 0xbeef_beef, veventq_depth: 2 },
      { out_veventq_id: id(d, 2), out_veventq_fd: 3 + at(d, 3, 4) },
    ),
  (s, d) =>
    s.ioctl(
      fd(d),
      'IOMMU_HW_QUEUE_ALLOC',
      { viommu_id: id(d, 1), type: 1, index: at(d, 2, 3), nesting_parent_iova: iova(d, 3), length: 0x1000 },
      { out_hw_queue_id: id(d, 4) },
    ),
  (s, d) => s.ioctl(fd(d), 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: id(d, 1) }, { entered: true }),
  (s, d) => s.returns(1 + at(d, 0, Math.max(1, s.seq)), 'IOMMU_IOAS_ALLOC', { out_ioas_id: id(d, 1) }),
  (s, d) => s.test(fd(d), 'MOCK_DOMAIN', id(d, 1), {}, { out_stdev_id: id(d, 2), out_idev_id: id(d, 3), out_hwpt_id: id(d, 4) }),
  (s, d) => s.test(fd(d), 'MOCK_DOMAIN_REPLACE', id(d, 1), { pt_id: id(d, 2) }, { pt_id: id(d, 3) }),
  (s, d) => s.test(fd(d), 'PASID_ATTACH', id(d, 1), { pasid: at(d, 2, 3), pt_id: id(d, 3) }, { pt_id: id(d, 4) }),
  (s, d) => s.test(fd(d), 'PASID_DETACH', id(d, 1), { pasid: at(d, 2, 3) }),
  (s, d) => s.test(fd(d), 'CREATE_ACCESS', id(d, 1), { flags: 1 }, { out_access_fd: 3 + at(d, 2, 4) }),
  (s, d) => s.test(fd(d), 'ACCESS_PAGES', 3 + at(d, 1, 4), { iova: iova(d, 2), length: 0x800 }, { out_access_pages_id: at(d, 3, 3) }),
  (s, d) => s.test(fd(d), 'ACCESS_REPLACE_IOAS', 3 + at(d, 1, 4), { ioas_id: id(d, 2) }),
  (s, d) => s.test(fd(d), 'ADD_RESERVED', id(d, 1), { start: iova(d, 2), length: 0x1000 }),
  (s, d) => s.ioctl(fd(d), 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 3 + at(d, 1, 4) }, { out_devid: id(d, 2) }),
  (s, d) =>
    s.ioctl(fd(d), 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: at(d, 1, 2), pt_id: id(d, 2), pasid: at(d, 3, 2) }, { pt_id: id(d, 4) }),
  (s, d) => s.ioctl(fd(d), 'VFIO_DEVICE_DETACH_IOMMUFD_PT', {}),
  (s, d) => s.ioctl(fd(d), 'VFIO_DEVICE_GET_REGION_INFO', {}, { index: at(d, 1, 3), size: 0x4000, offset: 0x1000 * at(d, 2, 3) }),
  (s, d) => s.ioctl(fd(d), 'VFIO_IOMMU_MAP_DMA', { flags: 3, iova: iova(d, 1), size: 0x4000 }),
  (s, d) => s.ioctl(fd(d), 'VFIO_IOMMU_UNMAP_DMA', { iova: iova(d, 1), size: 0x1000 }),
  (s, d) => s.mmap(fd(d), 0x10_0000 + iova(d, 1), 0x1000 * (1 + at(d, 2, 3)), 0x1000 * at(d, 3, 3)),
  (s, d) => s.munmap(0x10_0000 + iova(d, 1), 0x1000 * (1 + at(d, 2, 3))),
  (s, d) => s.mremap(0x10_0000 + iova(d, 1), 0x1000 * at(d, 2, 3), 0x1000 * (1 + at(d, 3, 3)), 0x10_0000 + iova(d, 4)),
  (s, d) => s.read(fd(d), words(...d.map((x) => x % 5))),
  (s, d) => s.write(fd(d), words(...d.map((x) => x % 5))),
  (s, d) => {
    s.fork(100 + at(d, 0, 3), 1 + at(d, 1, 3));
  },
  (s, d) => {
    s.pid = 100 + at(d, 0, 3);
  },
  (s, d) => s.start(1 + at(d, 0, 2), 100 + at(d, 1, 3), '/bin/x', at(d, 2, 3) === 0 ? undefined : at(d, 2, 3) - 1),
  (s) => s.exit(),
  (s, d) => s.vfork(at(d, 0, 4) === 0),
  (s, d) => s.found(fd(d), FileKind.IOMMUFD, Found.INHERITED, at(d, 1, 4)),
];

const draw = fc.tuple(fc.nat(ACTIONS.length - 1), fc.array(fc.nat(1000), { minLength: 6, maxLength: 6 }));
export type Plot = readonly (readonly [number, Draw])[];
export const plots = fc.array(draw, { maxLength: 120, size: 'max' });

export function session(plot: Plot): Script {
  const s = new Script(TESTED_TABLE);
  for (const [action, d] of plot) ACTIONS[action]!(s, d);
  return s;
}
