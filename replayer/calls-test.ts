/** IOMMU_TEST_CMD: the operations of the kernel's selftest that change what there is (drivers/iommu/iommufd/selftest.c). */
import type { ObjectType } from '../hw/uapi/types.ts';
import { FileKind } from '../store/frame.ts';
import { nthArea } from './calls-ioas.ts';
import { withFile } from './calls-iommufd.ts';
import { createdFd, setFile } from './files.ts';
import type { Access } from './object-types.ts';
import { attach, born, dropPins, ensure, ensureObject, hwptOfAttach, setObject } from './objects.ts';
import type { ContextCall } from './plan.ts';
import type { Context, OpenFile } from './state.ts';
import type { Step } from './step.ts';
import { lastOf } from './u64.ts';

const idOf = (s: Step): number => s.e.u32(s.e.in, s.plan.at.IOMMU_TEST_CMD.id);

/** Sees to it that the object which `id` names is there; for operations that change nothing. */
const uses =
  (...types: ObjectType[]): ContextCall =>
  (s, c) => {
    ensureObject(s, c, idOf(s), types);
  };

const addReserved: ContextCall = (s, c) => {
  const at = s.plan.test.ADD_RESERVED;
  const ioas = ensure(s, c, idOf(s), 'IOAS');
  const start = s.e.u64(s.e.in, at.start);
  const length = s.e.u64(s.e.in, at.length);
  if (ioas) setObject(s, c, ioas, { reserved: [...ioas.reserved, { start, last: lastOf(start, length) }] });
};

/** A mock device, bound and attached: SELFTEST, DEVICE and, where the IOAS needs one, an automatic HWPT. */
const mockDomain: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.test.MOCK_DOMAIN;
  const pt = idOf(s);
  const told = e.u32(e.out, at.out_hwpt_id);
  ensureObject(s, c, pt, told === pt || told === 0 ? ['HWPT_PAGING', 'HWPT_NESTED', 'IOAS'] : ['IOAS']);
  const selftest = born(s, c, 'SELFTEST', e.u32(e.out, at.out_stdev_id), {});
  const device = born(s, c, 'DEVICE', e.u32(e.out, at.out_idev_id), { selftest: selftest.uid });
  setObject(s, c, selftest, { device: device.uid });
  const hwpt = hwptOfAttach(s, c, pt, told);
  if (hwpt) attach(s, c, device.uid, 0, hwpt.uid);
};

/** The DEVICE of the mock device that `id` names. */
function mockDevice(s: Step, c: Context): number {
  const selftest = ensure(s, c, idOf(s), 'SELFTEST');
  if (!selftest) return 0;
  if (selftest.device !== 0 || selftest.origin === 'observed') return selftest.device;
  // made before the log began: it has a DEVICE, whose id no call has told
  const device = born(s, c, 'DEVICE', 0, { selftest: selftest.uid });
  setObject(s, c, selftest, { device: device.uid });
  return device.uid;
}

/** Attaches (or moves) a mock device; `pt_id` says where to and, afterwards, to which HWPT. */
function mockAttach(s: Step, c: Context, pasid: number, pt: number): void {
  const device = mockDevice(s, c);
  const hwpt = hwptOfAttach(s, c, s.e.u32(s.e.in, pt), s.e.u32(s.e.out, pt));
  if (hwpt) attach(s, c, device, pasid, hwpt.uid);
}

const mockDomainReplace: ContextCall = (s, c) => mockAttach(s, c, 0, s.plan.test.MOCK_DOMAIN_REPLACE.pt_id);

const pasidAttach: ContextCall = (s, c) => {
  const at = s.plan.test.PASID_ATTACH;
  mockAttach(s, c, s.e.u32(s.e.in, at.pasid), at.pt_id);
};

const pasidReplace: ContextCall = (s, c) => {
  const at = s.plan.test.PASID_REPLACE;
  mockAttach(s, c, s.e.u32(s.e.in, at.pasid), at.pt_id);
};

const pasidDetach: ContextCall = (s, c) => {
  attach(s, c, mockDevice(s, c), s.e.u32(s.e.in, s.plan.test.PASID_DETACH.pasid), 0);
};

/** The ACCESS gets an id that the call does not tell. */
const createAccess: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.test.CREATE_ACCESS;
  const ioas = ensure(s, c, idOf(s), 'IOAS')?.uid ?? 0;
  const flags = e.u32(e.in, at.flags);
  const fd = e.out.bytes >= at.out_access_fd + 4 ? e.s32(e.out, at.out_access_fd) : -1;
  withFile(s, c, fd, FileKind.ACCESS, (file) => born(s, c, 'ACCESS', 0, { file, ioas, flags }));
};

const fileOfFd = (s: Step, fd: number): OpenFile | undefined => s.state.files.get(s.state.fds.get(s.e.pid)?.get(fd) ?? 0);

/** The ACCESS behind the access fd that `id` names; it may belong to another context than the one of the call. */
function accessOf(s: Step): { readonly c: Context; readonly access: Access } | undefined {
  const f = fileOfFd(s, idOf(s));
  const c = f && s.state.contexts.get(f.context);
  const access = c?.objects.get(f?.object ?? 0);
  return c && access?.type === 'ACCESS' ? { c, access } : undefined;
}

const accessPages: ContextCall = (s) => {
  const { e } = s;
  const at = s.plan.test.ACCESS_PAGES;
  const found = accessOf(s);
  if (!found) return;
  const { c, access } = found;
  const given = e.u64(e.in, at.iova);
  const iova = e.u32(e.in, at.flags) & s.plan.k.MOCK_FLAGS_ACCESS_SYZ ? nthArea(c, access.ioas, given) : given;
  const item = e.u32(e.out, at.out_access_pages_id);
  const old = c.pins.get(`${access.uid}/${item}`);
  if (old) s.emit({ op: 'pin.remove', context: c.context, pin: old });
  const pin = { access: access.uid, item, iova, length: e.u64(e.in, at.length), seq: e.seq };
  s.emit({ op: 'pin.add', context: c.context, pin });
};

const destroyAccessPages: ContextCall = (s) => {
  const found = accessOf(s);
  const pin = found?.c.pins.get(`${found.access.uid}/${s.e.u32(s.e.in, s.plan.test.DESTROY_ACCESS_PAGES.access_pages_id)}`);
  if (found && pin) s.emit({ op: 'pin.remove', context: found.c.context, pin });
};

/** Pinned items are released before the access moves. */
const accessReplaceIoas: ContextCall = (s) => {
  const found = accessOf(s);
  if (!found) return;
  const { c, access } = found;
  const ioas = ensure(s, c, s.e.u32(s.e.in, s.plan.test.ACCESS_REPLACE_IOAS.ioas_id), 'IOAS')?.uid ?? 0;
  if (ioas === access.ioas) return;
  dropPins(s, c, access.uid);
  setObject(s, c, access, { ioas });
};

/** The descriptor comes back as the ioctl's result. */
const dmabufGet: ContextCall = (s, c) => createdFd(s, s.e.ret, FileKind.DMABUF, { context: c.context });

const dmabufRevoke: ContextCall = (s) => {
  const at = s.plan.test.DMABUF_REVOKE;
  const f = fileOfFd(s, s.e.s32(s.e.in, at.dmabuf_fd));
  const revoked = s.e.u32(s.e.in, at.revoked) !== 0;
  if (f && f.revoked !== revoked) setFile(s, f, { revoked });
};

const pasidCheck: ContextCall = (s, c) => {
  mockDevice(s, c);
  ensureObject(s, c, s.e.u32(s.e.in, s.plan.test.PASID_CHECK_HWPT.hwpt_id), ['HWPT_PAGING', 'HWPT_NESTED']);
};

const triggerIopf: ContextCall = (s, c) => {
  ensure(s, c, s.e.u32(s.e.in, s.plan.test.TRIGGER_IOPF.dev_id), 'DEVICE');
};

const triggerVevent: ContextCall = (s, c) => {
  ensure(s, c, s.e.u32(s.e.in, s.plan.test.TRIGGER_VEVENT.dev_id), 'DEVICE');
};

/** By name, without IOMMU_TEST_OP_. What is not here neither changes nor names an object. */
export const TEST_OPS: Readonly<Record<string, ContextCall>> = {
  ADD_RESERVED: addReserved,
  MOCK_DOMAIN: mockDomain,
  MOCK_DOMAIN_FLAGS: mockDomain,
  MOCK_DOMAIN_REPLACE: mockDomainReplace,
  MD_CHECK_MAP: uses('HWPT_PAGING'),
  CREATE_ACCESS: createAccess,
  DESTROY_ACCESS_PAGES: destroyAccessPages,
  ACCESS_PAGES: accessPages,
  ACCESS_REPLACE_IOAS: accessReplaceIoas,
  DIRTY: uses('HWPT_PAGING'),
  MD_CHECK_IOTLB: uses('HWPT_NESTED'),
  TRIGGER_IOPF: triggerIopf,
  DEV_CHECK_CACHE: uses('DEVICE'),
  TRIGGER_VEVENT: triggerVevent,
  PASID_ATTACH: pasidAttach,
  PASID_REPLACE: pasidReplace,
  PASID_DETACH: pasidDetach,
  PASID_CHECK_HWPT: pasidCheck,
  DMABUF_GET: dmabufGet,
  DMABUF_REVOKE: dmabufRevoke,
};
