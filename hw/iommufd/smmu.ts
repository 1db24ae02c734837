/**
 * Arm SMMUv3, and the CMDQV of NVIDIA's Tegra241 beside it. drivers/iommu/arm/arm-smmu-v3: arm-smmu-v3-iommufd.c,
 * tegra241-cmdqv.c. A device is known to be behind one when the log says so (hardware.ts); what the registers decide and the
 * log does not show is declared as not determined.
 */

import { commandByOpcode } from '../smmuv3/commands.ts';
import { BATCH_COMMANDS } from '../smmuv3/invalidate.ts';
import { GUEST_STE_MASKS } from '../smmuv3/ste.ts';
import type { Call } from './call.ts';
import { type Driver, type UserData, unknownDriver, userData } from './driver.ts';
import { askedType, HW_INFO, learn, learnCmdqv, typeIn, typeOut } from './hardware.ts';
import { invalidation } from './invalidate.ts';
import { isKnown } from './machine.ts';
import { closeWindow, reserveWindow } from './plain.ts';
import { DRIVER, MACHINE, MEMORY, PRESSURE } from './reasons.ts';
import type { Device, HwptNested, Range, Viommu } from './state.ts';
import { cmdqvQueue, cmdqvQueueType, cmdqvVcmdq, cmdqvVdevice, cmdqvViommu, isCmdqv, VIOMMU } from './tegra.ts';
import { hex, nameOf } from './words.ts';

const NEST_PARENT = 1;
const DIRTY = 2;
const PASID = 8;
/** IOMMU_HWPT_DATA_ARM_SMMUV3 */
const STE_DATA = 2;
const STE_BYTES = 16;
/** IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 */
const COMMANDS = 1;
/** STE.Config: what the guest's entry makes of a transaction */
const CONFIG = { abort: 0, bypass: 4, stage1: 5 } as const;

/** 6.12 has neither nesting nor hardware information of an SMMUv3. */
const early = (c: Call): boolean => !c.traits.viommuParent;

/** What hardware that is known does not do. */
const HARDWARE: readonly string[] = [MACHINE, DRIVER];
const any = (c: Call, rule: string, reason: string, ...errnos: readonly string[]): boolean =>
  !(HARDWARE.includes(reason) && isKnown(c.kernel)) && errnos.some((errno) => c.mayRefuse(errno, reason, rule));

const PAGE_SIZES = 0x4020_1000n;
const APERTURE: Range = { start: 0n, last: 2n ** 48n - 1n };
/** where Linux puts the page of message signalled interrupts: MSI_IOVA_BASE, MSI_IOVA_LENGTH of arm-smmu-v3.c */
const INTERRUPTS: Range = { start: 0x800_0000n, last: 0x80f_ffffn };

/** Flags that go together in a paging domain. */
const COMBINATIONS: readonly number[] = [0, NEST_PARENT, DIRTY, PASID, DIRTY | PASID];

export const smmuDriver: Driver = {
  ...unknownDriver,
  nestsOnHwpt: false,

  paging(c, device, flags, data) {
    const known = early(c) ? [0, DIRTY] : COMBINATIONS;
    if (!known.includes(flags)) {
      const text = `flags ${hex(flags)} do not go together in a domain of an SMMUv3`;
      const wanted = known.map(hex).join(', ');
      if (c.refuse('EOPNOTSUPP', 'smmu.paging-flags', { field: 'flags', text, wanted })) return undefined;
    }
    if (data.length > 0) {
      const text = 'an SMMUv3 takes no data for a paging HWPT';
      if (c.refuse('EOPNOTSUPP', 'smmu.paging-data', { field: 'data_len', text, wanted: '0' })) return undefined;
    }
    if (isKnown(c.kernel)) return { name: 'smmuv3', pageSize: 4096n, pageSizes: PAGE_SIZES, aperture: APERTURE };
    return unknownDriver.paging(c, device, flags, data);
  },

  nested(c, _device, flags, data, viommu) {
    if (viommu === undefined) return undefined;
    if (flags !== 0 && c.refuse('EOPNOTSUPP', 'smmu.nested-flags', { field: 'flags', text: `flags ${hex(flags)}`, wanted: '0' }))
      return undefined;
    if (data.type !== STE_DATA) {
      const text = `data of type ${hex(data.type)} on ${nameOf(viommu)}`;
      if (c.refuse('EINVAL', 'smmu.nested-data', { field: 'data_type', text, wanted: hex(STE_DATA), because: [viommu] })) return undefined;
    }
    const view = userData(c, data, STE_BYTES, STE_BYTES);
    if (view === undefined) return undefined;
    if ((c.nested(data.field)?.bytes.length ?? 0) < STE_BYTES)
      return any(c, 'smmu.ste', MEMORY, 'EIO') || any(c, 'smmu.memory', PRESSURE, 'ENOMEM') ? undefined : [];
    const config = steConfig(c, data, view);
    return config === undefined || any(c, 'smmu.memory', PRESSURE, 'ENOMEM') ? undefined : [config];
  },

  attach(c, device, hwpt, pasid) {
    const known = isKnown(c.kernel);
    if (known && pasid !== 0) {
      const text = `PASID ${pasid}, and ${nameOf(device)} has none`;
      if (c.refuse('EINVAL', 'smmu.pasid', { field: 'pasid', text, wanted: 'no PASID', because: [device] })) return true;
    }
    if (known && reserveWindow(c, device, hwpt, INTERRUPTS)) return true;
    if (hwpt.type === 'HWPT_NESTED' && noVdevice(c, device, hwpt)) return true;
    return !known && unknownDriver.attach(c, device, hwpt, pasid);
  },

  detached(device, pasid) {
    if (pasid === 0 && isKnown(device.context.kernel)) closeWindow(device);
  },

  readDirty(c, hwpt, range, unit, clear) {
    // devices of the model do no DMA
    if (!isKnown(c.kernel)) unknownDriver.readDirty(c, hwpt, range, unit, clear);
  },

  viommuType(c, device, type) {
    if (type !== VIOMMU.smmuv3 && type !== VIOMMU.cmdqv) {
      const text = `an SMMUv3 has no vIOMMU of type ${hex(type)}`;
      return c.refuse('EOPNOTSUPP', 'smmu.viommu-type', { field: 'type', text, wanted: '1 or 2' });
    }
    if (type === VIOMMU.cmdqv && device.driver.cmdqv === false) {
      const text = `the SMMUv3 of ${nameOf(device)} has no CMDQV`;
      if (c.refuse('EOPNOTSUPP', 'tegra.absent', { field: 'type', text, wanted: '1', because: [device] })) return true;
    }
    // nesting, and a coherence that cannot be undone by a guest, are features of the hardware
    return any(c, 'smmu.viommu', MACHINE, 'EOPNOTSUPP');
  },

  viommu(c, viommu) {
    if (viommu.parent.device !== viommu.device && any(c, 'smmu.parent', MACHINE, 'EINVAL')) return true;
    return viommu.kind === VIOMMU.cmdqv ? cmdqvViommu(c, viommu) : any(c, 'smmu.memory', PRESSURE, 'ENOMEM');
  },

  vdevice(c, viommu, _device, virtId) {
    if (isCmdqv(viommu)) return cmdqvVdevice(c, viommu, virtId);
    return c.traits.oneStream && any(c, 'smmu.streams', MACHINE, 'EOPNOTSUPP');
  },

  queues: (_, viommu) => isCmdqv(viommu),
  queueType: cmdqvQueueType,
  queue: cmdqvQueue,
  vcmdq: cmdqvVcmdq,
  hwInfo,
  invalidate,
};

/** What the guest's stream table entry asks for; undefined where the call was refused. */
function steConfig(c: Call, data: UserData, view: DataView): number | undefined {
  const words = [view.getBigUint64(0, true), view.getBigUint64(8, true)] as const;
  // without its valid bit the rest of it is not looked at
  if ((words[0] & 1n) === 0n) return CONFIG.abort;
  const refuse = (text: string, wanted: string): boolean => c.refuse('EIO', 'smmu.ste', { field: data.field, text, wanted });
  for (const [i, word] of words.entries()) {
    const beyond = word & ~GUEST_STE_MASKS[i]!;
    if (beyond !== 0n && refuse(`word ${i} of the STE has bits ${hex(beyond)}`, `bits of ${hex(GUEST_STE_MASKS[i]!)}`)) return undefined;
  }
  const config = Number((words[0] >> 1n) & 7n);
  if (!Object.values(CONFIG).includes(config as 0) && refuse(`Config of the STE is ${config}`, '0, 4 or 5')) return undefined;
  const eats = Number((words[1] >> 28n) & 3n);
  if (eats > 1 && refuse(`EATS of the STE is ${eats}`, '0 or 1')) return undefined;
  return config;
}

/** A nested HWPT finds the device's stream by its vDEVICE. → true where the call ends */
function noVdevice(c: Call, device: Device, hwpt: HwptNested): boolean {
  const { viommu, iotlb } = hwpt;
  if (viommu === undefined || [...viommu.vdevices.values()].some((v) => v.device === device)) return false;
  const text = `${nameOf(device)} has no vDEVICE on ${nameOf(viommu)}`;
  const detail = { text, wanted: 'IOMMU_VDEVICE_ALLOC first', because: [device, hwpt, viommu] };
  const [config] = iotlb;
  if (c.traits.nestedVdevice === 'always' || config === CONFIG.stage1) return c.refuse('ENOENT', 'smmu.attach-vdevice', detail);
  return config === undefined && any(c, 'smmu.attach-vdevice', MEMORY, 'ENOENT');
}

/** Bytes of what the driver tells, by type. */
const INFO_BYTES: Readonly<Record<number, number>> = { [HW_INFO.smmuv3]: 40, [HW_INFO.cmdqv]: 8 };

function hwInfo(c: Call, device: Device): void {
  if (early(c)) {
    noInfo(c);
    return;
  }
  const asked = askedType(c);
  const type = asked === 0 ? HW_INFO.smmuv3 : asked;
  const { driver } = device;
  const absent = type === HW_INFO.cmdqv && driver.cmdqv === false;
  if (absent || (type !== HW_INFO.smmuv3 && type !== HW_INFO.cmdqv)) {
    const text = absent ? `the SMMUv3 of ${nameOf(device)} has no CMDQV` : `an SMMUv3 has no information of type ${hex(asked)}`;
    // a log in which it succeeds tells of something else
    if (!c.refuse('EOPNOTSUPP', 'hw-info.type', { field: typeIn(c), text, because: [device] })) unknownDriver.hwInfo(c, device);
    return;
  }
  if (type === HW_INFO.cmdqv && driver.cmdqv === undefined && any(c, 'hw-info.type', DRIVER, 'EOPNOTSUPP')) {
    c.already(() => learnCmdqv(device, false));
    return;
  }
  const bytes = INFO_BYTES[type]!;
  const room = c.u32('data_len');
  if (room > 0) {
    if (c.u64('data_uptr') === 0n && c.refuse('EFAULT', 'hw-info.data', { field: 'data_uptr', text: 'data_uptr is NULL' })) return;
    if (any(c, 'hw-info.data', MEMORY, 'EFAULT')) return;
    writeInfo(c, driver.info?.get(type), bytes, room);
  }
  c.set('data_len', bytes);
  c.set(typeOut(c), type);
  if (driver.capabilities === undefined) {
    for (const field of ['out_capabilities', 'out_max_pasid_log2']) if (c.table.has(c.command.name, field)) c.undetermined(field, DRIVER);
  } else {
    c.set('out_capabilities', driver.capabilities[0]);
    if (c.table.has(c.command.name, 'out_max_pasid_log2')) c.set('out_max_pasid_log2', driver.capabilities[1]);
  }
  c.then(() => learn(c, device));
}

/** Registers are the same each time; what was not asked for yet is not known. */
function writeInfo(c: Call, known: Uint8Array | undefined, bytes: number, room: number): void {
  if (known === undefined || known.length < Math.min(bytes, room)) {
    c.unknownNested('data_uptr', DRIVER);
    return;
  }
  const all = new Uint8Array(Math.min(room, 65536));
  all.set(known.subarray(0, Math.min(bytes, all.length)));
  c.writeNested('data_uptr', all);
}

/** A driver without information: type 0 and no data, what the program gave being filled with zeros. */
function noInfo(c: Call): void {
  const room = Math.min(c.u32('data_len'), 65536);
  if (room > 0 && any(c, 'hw-info.data', MEMORY, 'EFAULT')) return;
  if (room > 0) c.writeNested('data_uptr', new Uint8Array(room));
  c.set('data_len', 0);
  c.set(typeOut(c), 0);
  if (isKnown(c.kernel)) c.set('out_capabilities', c.kernel.iommu?.capabilities?.[0] ?? 0n);
  else c.undetermined('out_capabilities', DRIVER);
}

function invalidate(c: Call, target: HwptNested | Viommu, count: number, size: number): number | undefined {
  if (target.type !== 'VIOMMU') {
    if (!isKnown(c.kernel)) return unknownDriver.invalidate(c, target, count, size);
    const text = `the caches of ${nameOf(target)} are those of its vIOMMU`;
    c.refuse('EOPNOTSUPP', 'smmu.invalidate-nested', { field: 'hwpt_id', text, wanted: 'the VIOMMU', because: [target] });
    return 0;
  }
  const refuse = (errno: string, rule: string, field: string, text: string, wanted?: string): boolean =>
    c.refuse(errno, rule, { field, text, wanted, because: [target] });
  const type = c.u32('data_type');
  if (type !== COMMANDS && refuse('EINVAL', 'smmu.invalidate-type', 'data_type', `data of type ${hex(type)}`, hex(COMMANDS))) return 0;
  if (count === 0 && refuse('EINVAL', 'smmu.invalidate-none', 'entry_num', 'no command', 'one command at least')) return 0;
  // all are copied before the first is looked at
  const views: DataView[] = [];
  for (let i = 0; i < count; i++) {
    const view = invalidation(c, i, size, 0, STE_BYTES);
    if (view === undefined) return c.refused ? 0 : undefined;
    views.push(view);
  }
  for (const [i, view] of views.entries()) {
    const opcode = view.getUint8(0);
    const row = commandByOpcode(opcode);
    const name = row?.name ?? `opcode ${hex(opcode)}`;
    if (row?.invalidate === undefined && refuse('EIO', 'smmu.opcode', 'data_uptr', `command ${i} is ${name}${unsent(i)}`)) return i;
    const stream = view.getUint32(4, true);
    if (row?.invalidate === 'SID replaced' && !target.vdevices.has(BigInt(stream))) {
      const text = `command ${i}, ${name}: ${nameOf(target)} has no vDEVICE with virtual id ${hex(stream)}${unsent(i)}`;
      if (refuse('EIO', 'smmu.stream', 'data_uptr', text, 'the virt_id of a vDEVICE')) return i;
    }
  }
  return any(c, 'smmu.invalidate', DRIVER, 'ETIMEDOUT') ? undefined : count;
}

/** What becomes of the commands before number `i`, which is refused: those of its batch are counted, not sent. */
function unsent(i: number): string {
  const dropped = i % BATCH_COMMANDS;
  if (dropped === 0) return '';
  return dropped === 1
    ? '; the one before it counts as done, but was not sent'
    : `; the ${dropped} before it count as done, but were not sent`;
}
