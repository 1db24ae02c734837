/** The ioctls of VFIO devices and groups, as far as they touch an iommufd or tell what a device has. */
import { FileKind } from '../store/frame.ts';
import { compatIoas } from './calls-ioas.ts';
import { contextOf, createdFd, fileBehind, setFile, setHolds } from './files.ts';
import type { Access, Device } from './object-types.ts';
import { attach, born, endObject, hwptOfAttach, setObject } from './objects.ts';
import type { FileCall } from './plan.ts';
import type { Context, Irq, OpenFile, Region, Trigger } from './state.ts';
import type { Step } from './step.ts';

/** Interrupts of one kind that an event may name; PCI has at most 2048 MSI-X vectors. */
const MAX_VECTORS = 4096;
/** The open iommufd behind a descriptor of the calling process; one that came unseen is inferred. */
function iommufdBehind(s: Step, fd: number): OpenFile | undefined {
  if (fd < 0) return undefined;
  const f = s.state.files.get(s.state.fds.get(s.e.pid)?.get(fd) ?? 0);
  if (f) return f.kind === FileKind.IOMMUFD || f.kind === FileKind.VFIO_CONTAINER ? f : undefined;
  return fileBehind(s, s.e.pid, fd, 0, FileKind.IOMMUFD, { origin: 'inferred' });
}

const bind: FileCall = (s, f) => {
  const { e } = s;
  const at = s.plan.at.VFIO_DEVICE_BIND_IOMMUFD;
  const iommufd = iommufdBehind(s, e.in.bytes >= at.iommufd + 4 ? e.s32(e.in, at.iommufd) : -1);
  const c = contextOf(s, iommufd);
  if (!iommufd || !c) return;
  const before = bound(s, f);
  if (before) endObject(s, before.c, before.object, 'displaced');
  const device = born(s, c, 'DEVICE', e.u32(e.out, at.out_devid), { file: f.file });
  setHolds(s, f, { context: c.context, object: device.uid, holds: [iommufd.file] });
};

/** The object that a VFIO device file stands for in its context; a binding that the log does not show is inferred. */
function bound(s: Step, f: OpenFile): { readonly c: Context; readonly object: Device | Access } | undefined {
  const c = contextOf(s, f);
  const object = c?.objects.get(f.object);
  return c && (object?.type === 'DEVICE' || object?.type === 'ACCESS') ? { c, object } : undefined;
}

const attachPt: FileCall = (s, f) => {
  const { e } = s;
  const at = s.plan.at.VFIO_DEVICE_ATTACH_IOMMUFD_PT;
  const found = bound(s, f);
  if (!found) return;
  const { c, object } = found;
  const given = e.u32(e.in, at.pt_id);
  const target = hwptOfAttach(s, c, given, e.u32(e.out, at.pt_id));
  if (!target) return;
  const pasid = e.u32(e.in, at.flags) & s.plan.k.VFIO_DEVICE_ATTACH_PASID ? e.u32(e.in, at.pasid) : 0;
  if (target.type !== 'IOAS') attach(s, c, object.uid, pasid, target.uid);
  else emulated(s, c, object, target.uid);
};

/** Only an emulated device is attached to an IOAS itself; then what BIND made is an ACCESS, not a DEVICE. */
function emulated(s: Step, c: Context, object: Device | Access, ioas: number): void {
  if (object.type === 'ACCESS') setObject(s, c, object, { ioas });
  else {
    const { uid, id, origin, birth, call, overlap, file } = object;
    const to: Access = { uid, id, origin, birth, call, overlap, file, type: 'ACCESS', ioas, flags: 0 };
    s.emit({ op: 'object.set', context: c.context, from: object, to });
  }
}

const detachPt: FileCall = (s, f) => {
  const { e } = s;
  const at = s.plan.at.VFIO_DEVICE_DETACH_IOMMUFD_PT;
  const found = bound(s, f);
  if (!found) return;
  const { c, object } = found;
  if (object.type === 'ACCESS') setObject(s, c, object, { ioas: 0 });
  else attach(s, c, object.uid, e.u32(e.in, at.flags) & s.plan.k.VFIO_DEVICE_DETACH_PASID ? e.u32(e.in, at.pasid) : 0, 0);
};

/** A list with the element of its key replaced or added, in order of the key. */
function replaced<T extends { readonly index: number }>(list: readonly T[], element: T): readonly T[] {
  return [...list.filter((x) => x.index !== element.index), element].sort((a, b) => a.index - b.index);
}

const regionInfo: FileCall = (s, f) => {
  const { e } = s;
  const at = s.plan.at.VFIO_DEVICE_GET_REGION_INFO;
  if (e.out.bytes < at.offset + 8) return;
  const index = e.u32(e.out, at.index);
  const region: Region = { index, flags: e.u32(e.out, at.flags), size: e.u64(e.out, at.size), offset: e.u64(e.out, at.offset) };
  const old = f.regions.find((r) => r.index === index);
  if (old && old.flags === region.flags && old.size === region.size && old.offset === region.offset) return;
  setFile(s, f, { regions: replaced(f.regions, region) });
};

const irqInfo: FileCall = (s, f) => {
  const { e } = s;
  const at = s.plan.at.VFIO_DEVICE_GET_IRQ_INFO;
  if (e.out.bytes < at.count + 4) return;
  const irq: Irq = { index: e.u32(e.out, at.index), flags: e.u32(e.out, at.flags), count: e.u32(e.out, at.count) };
  const old = f.irqs.find((i) => i.index === irq.index);
  if (old && old.flags === irq.flags && old.count === irq.count) return;
  setFile(s, f, { irqs: replaced(f.irqs, irq) });
};

/** EVENTFD ties eventfds to interrupts (-1 unties one); NONE with TRIGGER and count 0 disables all of the index. */
const setIrqs: FileCall = (s, f) => {
  const { e } = s;
  const at = s.plan.at.VFIO_DEVICE_SET_IRQS;
  const flags = e.u32(e.in, at.flags);
  const { k } = s.plan;
  const action = flags & (k.VFIO_IRQ_SET_ACTION_MASK | k.VFIO_IRQ_SET_ACTION_UNMASK | k.VFIO_IRQ_SET_ACTION_TRIGGER);
  const index = e.u32(e.in, at.index);
  const start = e.u32(e.in, at.start);
  const count = Math.min(e.u32(e.in, at.count), MAX_VECTORS);
  let triggers: Trigger[];
  if (flags & k.VFIO_IRQ_SET_DATA_NONE && action === k.VFIO_IRQ_SET_ACTION_TRIGGER && count === 0)
    triggers = f.triggers.filter((t) => t.index !== index);
  else if (flags & k.VFIO_IRQ_SET_DATA_EVENTFD) {
    const within = (t: Trigger): boolean => t.index === index && t.action === action && t.sub >= start && t.sub < start + count;
    triggers = f.triggers.filter((t) => !within(t));
    // the descriptors follow the struct, whose last field is count
    const data = at.count + 4;
    for (let i = 0; i < count && data + 4 * i + 4 <= e.in.bytes; i++) {
      const fd = e.s32(e.in, data + 4 * i);
      if (fd >= 0) triggers.push({ index, sub: start + i, action, fd, pid: e.pid });
    }
  } else return;
  triggers.sort((a, b) => a.index - b.index || a.action - b.action || a.sub - b.sub);
  setFile(s, f, { triggers });
};

// ---- groups ----

/** A group is tied to an iommufd (or container); iommufd makes the IOAS for the type1 calls now, if it has none. */
const setContainer: FileCall = (s, f) => {
  const { e } = s;
  const container = iommufdBehind(s, e.in.bytes >= 4 ? e.s32(e.in, 0) : -1);
  const c = contextOf(s, container);
  if (!container || !c) return;
  setHolds(s, f, { context: c.context, holds: [container.file] });
  compatIoas(s, c);
};

const unsetContainer: FileCall = (s, f) => {
  setHolds(s, f, { context: 0, holds: [] });
};

/**
 * A device opened through its group: bound to the group's iommufd, with a DEVICE and an automatic HWPT whose ids no call
 * tells. The device keeps the group open, the group the iommufd.
 */
const getDeviceFd: FileCall = (s, f) => {
  const c = contextOf(s, f);
  const file = s.state.nextUnnumbered;
  if (!c || s.e.ret < 0) return createdFd(s, s.e.ret, FileKind.VFIO_DEVICE, { holds: [f.file] });
  const device = born(s, c, 'DEVICE', 0, { file });
  createdFd(s, s.e.ret, FileKind.VFIO_DEVICE, { context: c.context, object: device.uid, holds: [f.file, c.file] });
  const ioas = compatIoas(s, c).uid;
  const uid = autoHwpt(c, ioas) ?? born(s, c, 'HWPT_PAGING', 0, { auto: true, ioas }).uid;
  attach(s, c, device.uid, 0, uid);
};

/** The first automatic HWPT of an IOAS: which the kernel tries first. */
function autoHwpt(c: Context, ioas: number): number | undefined {
  let first: number | undefined;
  for (const o of c.objects.values()) {
    if (o.type === 'HWPT_PAGING' && o.auto && o.ioas === ioas && (first === undefined || o.uid < first)) first = o.uid;
  }
  return first;
}

export const DEVICE_CALLS: Readonly<Record<string, FileCall>> = {
  VFIO_DEVICE_BIND_IOMMUFD: bind,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: attachPt,
  VFIO_DEVICE_DETACH_IOMMUFD_PT: detachPt,
  VFIO_DEVICE_GET_REGION_INFO: regionInfo,
  VFIO_DEVICE_GET_IRQ_INFO: irqInfo,
  VFIO_DEVICE_SET_IRQS: setIrqs,
};

export const GROUP_CALLS: Readonly<Record<string, FileCall>> = {
  VFIO_GROUP_SET_CONTAINER: setContainer,
  VFIO_GROUP_UNSET_CONTAINER: unsetContainer,
  VFIO_GROUP_GET_DEVICE_FD: getDeviceFd,
};
