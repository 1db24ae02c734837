/** The ioctls of an iommufd that make, change and destroy objects: what each does to the state when the kernel has said yes. */
import type { ObjectType } from '../hw/uapi/types.ts';
import { FileKind, PartKind } from '../store/frame.ts';
import { outU64, setContext } from './calls-ioas.ts';
import { hwInfo as cmdqvInfo } from './cmdqv-fold.ts';
import { createdFd } from './files.ts';
import type { KernelObject } from './object-types.ts';
import { born, endObject, ensure, ensureObject, setObject } from './objects.ts';
import type { ContextCall, Plan } from './plan.ts';
import type { Context } from './state.ts';
import type { Step } from './step.ts';

const option: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_OPTION;
  const value = Number(outU64(s, at.val64));
  switch (e.u32(e.in, at.option_id)) {
    case s.plan.k.IOMMU_OPTION_RLIMIT_MODE:
      setContext(s, c, 'rlimitMode', value);
      break;
    case s.plan.k.IOMMU_OPTION_HUGE_PAGES: {
      const ioas = ensure(s, c, e.u32(e.in, at.object_id), 'IOAS');
      if (ioas && ioas.hugePages !== (value !== 0)) setObject(s, c, ioas, { hugePages: value !== 0 });
      break;
    }
  }
};

const vfioIoas: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VFIO_IOAS;
  switch (e.u16(e.in, at.op)) {
    case s.plan.k.IOMMU_VFIO_IOAS_GET: {
      const id = e.u32(e.out, at.ioas_id);
      const compat = c.objects.get(c.compat);
      // the kernel made it when a group was attached, and tells its id only now
      if (compat && compat.id === 0 && id !== 0 && !c.ids.has(id)) setObject(s, c, compat, { id });
      else setContext(s, c, 'compat', ensure(s, c, id, 'IOAS')?.uid ?? c.compat);
      break;
    }
    case s.plan.k.IOMMU_VFIO_IOAS_SET:
      setContext(s, c, 'compat', ensure(s, c, e.u32(e.in, at.ioas_id), 'IOAS')?.uid ?? 0);
      break;
    case s.plan.k.IOMMU_VFIO_IOAS_CLEAR:
      setContext(s, c, 'compat', 0);
      break;
  }
};

const changeProcess: ContextCall = (s, c) => setContext(s, c, 'accountedTo', s.e.pid);

const destroy: ContextCall = (s, c) => {
  const { e } = s;
  const object = ensureObject(s, c, e.u32(e.in, s.plan.at.IOMMU_DESTROY.id), []);
  if (!object) return;
  // its id was taken from another object by a call that was under way: this call destroyed that one
  if (object.overlap !== 0 && object.overlap > e.tEnter) setObject(s, c, object, { overlap: 0 });
  else endObject(s, c, object, 'destroy');
};

const ioasAlloc: ContextCall = (s, c) => {
  born(s, c, 'IOAS', s.e.u32(s.e.out, s.plan.at.IOMMU_IOAS_ALLOC.out_ioas_id), {});
};

/** What a HWPT stands on, where the state does not know the id: what its data and flags allow. */
function parentTypes({ k }: Plan, dataType: number, flags: number): readonly ObjectType[] {
  if (dataType === k.IOMMU_HWPT_DATA_NONE) return ['IOAS', 'HWPT_PAGING', 'VIOMMU'];
  if (dataType === k.IOMMU_HWPT_DATA_VTD_S1) return ['HWPT_PAGING', 'VIOMMU', 'IOAS'];
  if (dataType === k.IOMMU_HWPT_DATA_SELFTEST)
    return flags & k.IOMMU_HWPT_ALLOC_NEST_PARENT ? ['IOAS', 'HWPT_PAGING', 'VIOMMU'] : ['HWPT_PAGING', 'VIOMMU', 'IOAS'];
  return ['VIOMMU', 'HWPT_PAGING', 'IOAS'];
}

const hwptAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_HWPT_ALLOC;
  const flags = e.u32(e.in, at.flags);
  const dataType = e.u32(e.in, at.data_type);
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE')?.uid ?? 0;
  const parent = ensureObject(s, c, e.u32(e.in, at.pt_id), parentTypes(s.plan, dataType, flags));
  const fault = flags & s.plan.k.IOMMU_HWPT_FAULT_ID_VALID ? (ensure(s, c, e.u32(e.in, at.fault_id), 'FAULT')?.uid ?? 0) : 0;
  const id = e.u32(e.out, at.out_hwpt_id);
  const common = { device, fault, flags, dataType };
  if (parent?.type === 'HWPT_PAGING' || parent?.type === 'VIOMMU') born(s, c, 'HWPT_NESTED', id, { ...common, parent: parent.uid });
  else born(s, c, 'HWPT_PAGING', id, { ...common, ioas: parent?.uid ?? 0 });
};

const hwInfo: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_GET_HW_INFO;
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE');
  if (!device || e.out.bytes < 0) return;
  const type = e.u32(e.out, at.out_data_type);
  const capabilities = e.u64(e.out, at.out_capabilities);
  const pasidBits = e.u8(e.out, at.out_max_pasid_log2);
  cmdqvInfo(s, type, at.data_uptr, e.u32(e.out, at.data_len));
  const h = device.hardware;
  if (h && h.type === type && h.capabilities === capabilities && h.pasidBits === pasidBits) return;
  setObject(s, c, device, { hardware: { type, capabilities, pasidBits } });
};

const setDirtyTracking: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_HWPT_SET_DIRTY_TRACKING;
  const hwpt = ensure(s, c, e.u32(e.in, at.hwpt_id), 'HWPT_PAGING');
  const dirtyTracking = (e.u32(e.in, at.flags) & s.plan.k.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0;
  if (hwpt && hwpt.dirtyTracking !== dirtyTracking) setObject(s, c, hwpt, { dirtyTracking });
};

const getDirtyBitmap: ContextCall = (s, c) => {
  ensure(s, c, s.e.u32(s.e.in, s.plan.at.IOMMU_HWPT_GET_DIRTY_BITMAP.hwpt_id), 'HWPT_PAGING');
};

const invalidate: ContextCall = (s, c) => {
  ensureObject(s, c, s.e.u32(s.e.in, s.plan.at.IOMMU_HWPT_INVALIDATE.hwpt_id), ['HWPT_NESTED', 'VIOMMU']);
};

/** An object with a file of its own: the file has no number yet, and keeps the iommufd open. */
export function withFile(s: Step, c: Context, fd: number, kind: number, make: (file: number) => KernelObject): void {
  const file = fd >= 0 ? s.state.nextUnnumbered : 0;
  const object = make(file);
  if (file !== 0) createdFd(s, fd, kind, { context: c.context, object: object.uid, holds: [c.file] });
}

/** A descriptor that the call wrote, -1 where the recorder has no bytes of it. */
const fdOut = (s: Step, at: number): number => (s.e.out.bytes >= at + 4 ? s.e.s32(s.e.out, at) : -1);

const faultQueueAlloc: ContextCall = (s, c) => {
  const at = s.plan.at.IOMMU_FAULT_QUEUE_ALLOC;
  const id = s.e.u32(s.e.out, at.out_fault_id);
  withFile(s, c, fdOut(s, at.out_fault_fd), FileKind.FAULT, (file) => born(s, c, 'FAULT', id, { file }));
};

const viommuAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VIOMMU_ALLOC;
  const kind = e.u32(e.in, at.type);
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE')?.uid ?? 0;
  const hwpt = ensure(s, c, e.u32(e.in, at.hwpt_id), 'HWPT_PAGING')?.uid ?? 0;
  const data = e.part(PartKind.NESTED_OUT, at.data_uptr);
  const where = s.plan.regionOf(kind);
  const region = data && where && data.bytes >= where[1] + 8 ? { offset: e.u64(data, where[0]), length: e.u64(data, where[1]) } : undefined;
  born(s, c, 'VIOMMU', e.u32(e.out, at.out_viommu_id), { kind, device, hwpt, region: region?.length === 0 ? undefined : region });
};

const vdeviceAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VDEVICE_ALLOC;
  const viommu = ensure(s, c, e.u32(e.in, at.viommu_id), 'VIOMMU')?.uid ?? 0;
  const device = ensure(s, c, e.u32(e.in, at.dev_id), 'DEVICE')?.uid ?? 0;
  born(s, c, 'VDEVICE', e.u32(e.out, at.out_vdevice_id), { viommu, device, virtId: e.u64(e.in, at.virt_id) });
};

const veventqAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const at = s.plan.at.IOMMU_VEVENTQ_ALLOC;
  const viommu = ensure(s, c, e.u32(e.in, at.viommu_id), 'VIOMMU')?.uid ?? 0;
  const id = e.u32(e.out, at.out_veventq_id);
  const known = { viommu, kind: e.u32(e.in, at.type), depth: e.u32(e.in, at.veventq_depth) };
  withFile(s, c, fdOut(s, at.out_veventq_fd), FileKind.VEVENTQ, (file) => born(s, c, 'VEVENTQ', id, { ...known, file }));
};

/** IOMMU_HW_QUEUE_ALLOC, and what its number meant before it was that. */
const hwQueueAlloc: ContextCall = (s, c) => {
  const { e } = s;
  const q = s.plan.queue;
  const viommu = ensure(s, c, e.u32(e.in, q.viommu), 'VIOMMU')?.uid ?? 0;
  const data = e.part(PartKind.NESTED_IN, q.nested);
  const known = data
    ? { index: e.u32(data, q.nestedIndex), iova: e.u64(data, q.nestedBase), length: 16 * 2 ** (e.u32(data, q.nestedLog2) & 31) }
    : { index: e.u32(e.in, q.index), iova: e.u64(e.in, q.iova), length: e.u64(e.in, q.length) };
  const { pins, ordered } = q;
  born(s, c, 'HW_QUEUE', e.u32(e.out, q.id), { viommu, kind: e.u32(e.in, q.type), ...known, pins, ordered });
};

const testCommand: ContextCall = (s, c, f) => {
  s.plan.ops[s.e.u32(s.e.in, s.plan.at.IOMMU_TEST_CMD.op)]?.(s, c, f);
};

/** By the command's name; names that a dialect does not have are left out. */
export const IOMMUFD_CALLS: Readonly<Record<string, ContextCall>> = {
  IOMMU_DESTROY: destroy,
  IOMMU_IOAS_ALLOC: ioasAlloc,
  IOMMU_OPTION: option,
  IOMMU_VFIO_IOAS: vfioIoas,
  IOMMU_HWPT_ALLOC: hwptAlloc,
  IOMMU_GET_HW_INFO: hwInfo,
  IOMMU_HWPT_SET_DIRTY_TRACKING: setDirtyTracking,
  IOMMU_HWPT_GET_DIRTY_BITMAP: getDirtyBitmap,
  IOMMU_HWPT_INVALIDATE: invalidate,
  IOMMU_FAULT_QUEUE_ALLOC: faultQueueAlloc,
  IOMMU_VIOMMU_ALLOC: viommuAlloc,
  IOMMU_VDEVICE_ALLOC: vdeviceAlloc,
  IOMMU_IOAS_CHANGE_PROCESS: changeProcess,
  IOMMU_VEVENTQ_ALLOC: veventqAlloc,
  IOMMU_HW_QUEUE_ALLOC: hwQueueAlloc,
  IOMMU_VQUEUE_ALLOC: hwQueueAlloc,
  IOMMU_VCMDQ_ALLOC: hwQueueAlloc,
  IOMMU_TEST_CMD: testCommand,
};
