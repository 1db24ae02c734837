/** Devices and what they are attached to. drivers/iommu/iommufd/device.c. */
import { overlaps, PAGE, TOP } from './areas.ts';
import type { Call } from './call.ts';
import { type Driver, unknownDriver } from './driver.ts';
import { misaligned } from './ioas.ts';
import { mockDriver } from './mock.ts';
import { destroy, insert } from './objects.ts';
import { MEMORY, PRESSURE } from './reasons.ts';
import type { Device, DomainTraits, FaultGroup, Hwpt, HwptPaging, Ioas, KObject, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

const PASID_FLAG = 8;

export const driverOf = (device: Device): Driver => (device.driver.name === 'mock' ? mockDriver : unknownDriver);

/** What a device is attached to with a PASID; 0: without. */
export const attachedTo = (device: Device, pasid = 0): Hwpt | undefined => {
  const a = device.group.attached.get(pasid);
  return a?.devices.includes(device) === true ? a.hwpt : undefined;
};

/** A domain joins an IOAS: alignment, aperture, then every mapping goes into it. → true where the call ends */
export function join(c: Call, ioas: Ioas, driver: DomainTraits): boolean {
  const area = misaligned(ioas, driver.pageSize);
  if (
    area &&
    c.refuse('EADDRINUSE', 'join.alignment', {
      text: `${hex(area.start)} to ${hex(area.last)} is not aligned to the domain's pages, ${hex(driver.pageSize)}`,
      because: [ioas],
    })
  )
    return true;
  if (driver.pageSize > PAGE && c.refuse('EINVAL', 'join.page-size', { text: 'the smallest page of the domain is bigger than a page' }))
    return true;
  for (const r of outside(driver.aperture)) {
    const clash = ioas.areas.find((a) => overlaps(a, r)) ?? ioas.allowed.find((a) => overlaps(a, r));
    if (
      clash &&
      c.refuse('EADDRINUSE', 'join.aperture', {
        text: `${hex(clash.start)} to ${hex(clash.last)} of ${nameOf(ioas)} is outside of the domain's aperture`,
        because: [ioas],
      })
    )
      return true;
  }
  if (ioas.areas.length > 0 && (c.mayRefuse('EFAULT', MEMORY, 'join.pin') || c.mayRefuse('ENODEV', MEMORY, 'join.pin'))) return true;
  return c.mayRefuse('ENOMEM', PRESSURE, 'join.memory');
}

function outside(aperture: Range): Range[] {
  return [
    ...(aperture.start > 0n ? [{ start: 0n, last: aperture.start - 1n }] : []),
    ...(aperture.last < TOP ? [{ start: aperture.last + 1n, last: TOP }] : []),
  ];
}

/** What a paging HWPT changes when it comes into being. */
export function enter(hwpt: HwptPaging): void {
  insert(hwpt);
  const { ioas } = hwpt;
  ioas.users++;
  ioas.hwpts.push(hwpt);
  for (const r of outside(hwpt.driver.aperture)) ioas.reserved.push({ ...r, owner: hwpt });
}

/** May this HWPT be attached beside what is? → true where the call ends */
function compatible(c: Call, device: Device, hwpt: Hwpt, pasid: number, field: string): boolean {
  const flagged = (h: Hwpt): boolean => (h.flags & PASID_FLAG) !== 0;
  const without = device.group.attached.get(0)?.hwpt;
  if (pasid !== 0) {
    if (
      !flagged(hwpt) &&
      c.refuse('EINVAL', 'attach.pasid-flag', {
        field,
        text: `${nameOf(hwpt)} was made without PASID`,
        wanted: 'a HWPT made with IOMMU_HWPT_ALLOC_PASID',
        because: [hwpt],
      })
    )
      return true;
    return (
      without !== undefined &&
      !flagged(without) &&
      c.refuse('EINVAL', 'attach.pasid-beside', {
        field,
        text: `${nameOf(without)}, attached without a PASID, was made without PASID`,
        because: [without],
      })
    );
  }
  const beside = [...device.group.attached].some(([p]) => p !== 0);
  return (
    beside &&
    !flagged(hwpt) &&
    c.refuse('EINVAL', 'attach.pasids-beside', {
      field,
      text: `PASIDs are attached, and ${nameOf(hwpt)} was made without PASID`,
      because: [hwpt],
    })
  );
}

/** Attaches or replaces. Gives the HWPT that is attached then; undefined where the call was refused. */
export function attach(c: Call, device: Device, target: KObject, pasid: number, replace: boolean, field: string): Hwpt | undefined {
  if (target.type === 'IOAS') return attachIoas(c, device, target, pasid, replace, field);
  if (target.type !== 'HWPT_PAGING' && target.type !== 'HWPT_NESTED') {
    c.refuse('EINVAL', 'attach.type', {
      field,
      text: `${nameOf(target)} is nothing to attach to`,
      wanted: 'an IOAS or a HWPT',
      because: [target],
    });
    return undefined;
  }
  return attachHwpt(c, device, target, pasid, replace, field) ? target : undefined;
}

/** → false where the call was refused */
function attachHwpt(c: Call, device: Device, hwpt: Hwpt, pasid: number, replace: boolean, field: string): boolean {
  const old = attachedTo(device, pasid);
  if (replace) {
    if (
      old === undefined &&
      c.refuse('EINVAL', 'replace.not-attached', {
        field,
        text: `${nameOf(device)} is not attached${pasid === 0 ? '' : ` with PASID ${pasid}`}`,
        because: [device],
      })
    )
      return false;
    if (old === hwpt) return true;
  } else {
    if (
      old !== undefined &&
      c.refuse('EBUSY', 'attach.attached', {
        field,
        text: `${nameOf(device)} is attached to ${nameOf(old)} already`,
        because: [device, old],
      })
    )
      return false;
    const other = device.group.attached.get(pasid)?.hwpt;
    if (
      other !== undefined &&
      other !== hwpt &&
      c.refuse('EINVAL', 'attach.group', {
        field,
        text: `the group of ${nameOf(device)} is attached to ${nameOf(other)}`,
        because: [device, other],
      })
    )
      return false;
  }
  if (compatible(c, device, hwpt, pasid, field)) return false;
  if (driverOf(device).attach(c, device, hwpt, pasid)) return false;
  c.then(() => set(device, pasid, hwpt));
  return true;
}

function set(device: Device, pasid: number, hwpt: Hwpt): void {
  const old = attachedTo(device, pasid);
  hwpt.users++;
  const there = device.group.attached.get(pasid);
  if (there?.hwpt === hwpt) there.devices.push(device);
  else device.group.attached.set(pasid, { hwpt, devices: [device] });
  if (old !== undefined) {
    forgetFaults(old, device, pasid);
    letGo(old);
  }
}

/** Page faults of an attachment that ends are answered for the program. */
function forgetFaults(hwpt: Hwpt, device: Device, pasid: number): void {
  const { fault } = hwpt;
  if (fault === undefined) return;
  const ours = (g: FaultGroup): boolean => g.device === device && g.hwpt === hwpt && g.pasid === pasid;
  for (let i = fault.waiting.length - 1; i >= 0; i--) if (ours(fault.waiting[i]!)) fault.waiting.splice(i, 1);
  for (const [cookie, group] of fault.answered) if (ours(group)) fault.answered.delete(cookie);
}

function letGo(hwpt: Hwpt): void {
  hwpt.users--;
  if (hwpt.type === 'HWPT_PAGING' && hwpt.automatic && hwpt.users === 0) destroy(hwpt);
}

/** Never fails. */
export function detach(device: Device, pasid: number): void {
  const a = device.group.attached.get(pasid);
  if (a === undefined || !a.devices.includes(device)) return;
  a.devices.splice(a.devices.indexOf(device), 1);
  if (a.devices.length === 0) device.group.attached.delete(pasid);
  forgetFaults(a.hwpt, device, pasid);
  driverOf(device).detached(device, pasid);
  letGo(a.hwpt);
}

export function detachAll(device: Device): void {
  for (const pasid of [...device.group.attached.keys()]) detach(device, pasid);
}

function attachIoas(c: Call, device: Device, ioas: Ioas, pasid: number, replace: boolean, field: string): Hwpt | undefined {
  const old = attachedTo(device, pasid);
  if (
    replace &&
    old === undefined &&
    c.refuse('EINVAL', 'replace.not-attached', { field, text: `${nameOf(device)} is not attached`, because: [device] })
  )
    return undefined;
  if (pasid !== 0) {
    if (
      old !== undefined &&
      !replace &&
      c.refuse('EBUSY', 'attach.attached', { field, text: `PASID ${pasid} is attached to ${nameOf(old)} already`, because: [device, old] })
    )
      return undefined;
    c.refuse('EINVAL', 'attach.pasid-ioas', {
      field,
      text: `the HWPT that is made for ${nameOf(ioas)} never is made with PASID`,
      wanted: 'a HWPT made with IOMMU_HWPT_ALLOC_PASID',
      because: [ioas],
    });
    return undefined;
  }
  const usable = ioas.hwpts.find((h) => h.automatic && h.device.driver.name === device.driver.name);
  if (usable !== undefined) return attachHwpt(c, device, usable, pasid, replace, field) ? usable : undefined;
  const driver = driverOf(device).paging(c, device, 0, { type: 0, length: 0, field: '' });
  if (driver === undefined) return undefined;
  const id = c.newId(c.autoField);
  const hwpt: HwptPaging = {
    type: 'HWPT_PAGING',
    id,
    context: c.context,
    birth: c.request.seq,
    users: 0,
    ioas,
    device,
    automatic: true,
    flags: 0,
    fault: undefined,
    dirtyTracking: false,
    driver,
    dirty: new Set(),
  };
  if (join(c, ioas, driver)) return undefined;
  c.then(() => enter(hwpt));
  return attachHwpt(c, device, hwpt, pasid, replace, field) ? hwpt : undefined;
}
