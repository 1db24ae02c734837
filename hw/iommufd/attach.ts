/** Devices and what they are attached to. drivers/iommu/iommufd/device.c. */
import { overlaps, PAGE, TOP } from './areas.ts';
import type { Call, Refusal } from './call.ts';
import { type Driver, unknownDriver } from './driver.ts';
import { misaligned } from './ioas.ts';
import { isKnown } from './machine.ts';
import { mockDriver } from './mock.ts';
import { destroy, insert } from './objects.ts';
import { noMemory, registersIn } from './pages.ts';
import { plainDriver } from './plain.ts';
import { MEMORY, PRESSURE } from './reasons.ts';
import { smmuDriver } from './smmu.ts';
import type { Device, DomainTraits, FaultGroup, Hwpt, HwptPaging, Ioas, KObject, Range } from './state.ts';
import { hex, nameOf } from './words.ts';

const PASID_FLAG = 8;

export function driverOf(device: Device): Driver {
  const { name } = device.driver;
  if (name === 'mock') return mockDriver;
  if (name === 'plain') return plainDriver;
  return name === 'smmuv3' ? smmuDriver : unknownDriver;
}

/** Are two devices behind the same IOMMU? undefined where the log does not tell. */
export function sameIommu(a: Device, b: Device): boolean | undefined {
  if (a === b) return true;
  const [x, y] = [a.driver.name, b.driver.name];
  if (x === 'mock' || y === 'mock') return x === y;
  if (x === y && isKnown(a.context.kernel)) return true;
  return x === 'unknown' || y === 'unknown' || x === y ? undefined : false;
}

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
  return unpinnable(c, ioas) || c.mayRefuse('ENOMEM', PRESSURE, 'join.memory');
}

/** Everything that is mapped is pinned for a domain. → true where the call ends */
function unpinnable(c: Call, ioas: Ioas): boolean {
  if (ioas.areas.length === 0) return false;
  if (ioas.areas.some((a) => registersIn(c, undefined, a.pages, a.offset, a.last - a.start + 1n))) return true;
  if (c.mayRefuse('EFAULT', MEMORY, 'join.pin')) return true;
  const files = ioas.areas.filter((a) => a.pages.kind === 'file');
  if (files.length === 0) return false;
  const area = files.find((a) => noMemory(a.pages));
  if (area === undefined) return c.mayRefuse('EINVAL', MEMORY, 'join.pin');
  const text = `${hex(area.start)} to ${hex(area.last)} of ${nameOf(ioas)} is a file without pages of memory (${area.pages.fileKind})`;
  return c.refuse('EINVAL', 'join.file', { text, wanted: 'areas of a memfd', because: [ioas] });
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

type Obstacle = Omit<Refusal, 'field'>;

/** What of PASIDs speaks against attaching this HWPT beside what is attached. */
function* incompatible(device: Device, hwpt: Hwpt, pasid: number): Generator<Obstacle> {
  const flagged = (h: Hwpt): boolean => (h.flags & PASID_FLAG) !== 0;
  const wanted = 'a HWPT made with IOMMU_HWPT_ALLOC_PASID';
  const errno = 'EINVAL';
  if (pasid === 0) {
    if (flagged(hwpt) || ![...device.group.attached.keys()].some((p) => p !== 0)) return;
    const text = `PASIDs are attached, and ${nameOf(hwpt)} was made without PASID`;
    yield { errno, rule: 'attach.pasids-beside', text, wanted, because: [hwpt] };
    return;
  }
  if (!flagged(hwpt)) {
    if (hwpt.type === 'HWPT_PAGING' && hwpt.automatic) {
      const text = `a HWPT that is made for ${nameOf(hwpt.ioas)} as needed never is made with PASID`;
      yield { errno, rule: 'attach.pasid-ioas', text, wanted, because: [hwpt.ioas] };
    } else yield { errno, rule: 'attach.pasid-flag', text: `${nameOf(hwpt)} was made without PASID`, wanted, because: [hwpt] };
  }
  const without = device.group.attached.get(0)?.hwpt;
  if (without === undefined || flagged(without)) return;
  const text = `${nameOf(without)}, attached without a PASID, was made without PASID`;
  yield { errno, rule: 'attach.pasid-beside', text, wanted, because: [without] };
}

/** What of the attachments that there are speaks against this one, in the kernel's order. */
function* obstacles(device: Device, hwpt: Hwpt, pasid: number, replace: boolean): Generator<Obstacle> {
  const old = attachedTo(device, pasid);
  const how = pasid === 0 ? '' : ` with PASID ${pasid}`;
  if (replace) {
    if (old === undefined)
      yield { errno: 'EINVAL', rule: 'replace.not-attached', text: `${nameOf(device)} is not attached${how}`, because: [device] };
    if (old === hwpt) return;
  } else {
    if (old !== undefined) {
      const text = `${nameOf(device)} is attached to ${nameOf(old)} already${how}`;
      yield { errno: 'EBUSY', rule: 'attach.attached', text, because: [device, old] };
    }
    const other = device.group.attached.get(pasid)?.hwpt;
    if (other !== undefined && other !== hwpt) {
      const text = `the group of ${nameOf(device)} is attached to ${nameOf(other)}${how}`;
      yield { errno: 'EINVAL', rule: 'attach.group', text, because: [device, other] };
    }
  }
  yield* incompatible(device, hwpt, pasid);
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
  for (const { errno, rule, ...detail } of obstacles(device, hwpt, pasid, replace))
    if (c.refuse(errno, rule, { field, ...detail })) return false;
  if (replace && attachedTo(device, pasid) === hwpt) return true;
  if (driverOf(device).attach(c, device, hwpt, pasid)) return false;
  c.then(() => set(device, pasid, hwpt));
  return true;
}

function set(device: Device, pasid: number, hwpt: Hwpt): void {
  const { attached } = device.group;
  const there = attached.get(pasid);
  if (there === undefined || there.hwpt === hwpt) {
    hwpt.users++;
    if (there === undefined) attached.set(pasid, { hwpt, devices: [device] });
    else there.devices.push(device);
    return;
  }
  // a replacement moves every device of the group
  const { hwpt: old, devices } = there;
  hwpt.users += devices.length;
  attached.set(pasid, { hwpt, devices });
  for (const d of devices) {
    forgetFaults(old, d, pasid);
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

/**
 * An IOAS stands for the HWPTs that are made for it as needed: the first that does takes the device. Where one is refused
 * with EINVAL the next is tried, and at last a new one is made.
 */
function attachIoas(c: Call, device: Device, ioas: Ioas, pasid: number, replace: boolean, field: string): Hwpt | undefined {
  for (const h of ioas.hwpts) {
    if (!h.automatic || sameIommu(h.device, device) === false) continue;
    const [first] = obstacles(device, h, pasid, replace);
    if (first?.errno === 'EINVAL') continue;
    return attachHwpt(c, device, h, pasid, replace, field) ? h : undefined;
  }
  const driver = driverOf(device).paging(c, device, 0, { type: 0, length: 0, field: '' });
  if (driver === undefined) return undefined;
  const hwpt: HwptPaging = {
    type: 'HWPT_PAGING',
    id: c.newId(c.autoField),
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
  // a new HWPT is attached before it joins the IOAS, but replaces another only afterwards
  if (replace && join(c, ioas, driver)) return undefined;
  c.then(() => enter(hwpt));
  if (!attachHwpt(c, device, hwpt, pasid, replace, field)) return undefined;
  return !replace && join(c, ioas, driver) ? undefined : hwpt;
}
