/**
 * What a log tells of the IOMMU that a device is behind: the answers of GET_HW_INFO, and what a vIOMMU showed. Nothing is
 * known of a device before the log says it.
 */
import type { Call } from './call.ts';
import type { Device, DriverTraits } from './state.ts';

/** enum iommu_hw_info_type */
export const HW_INFO = { vtd: 1, smmuv3: 2, cmdqv: 3, amd: 4 } as const;

const NAMES: Readonly<Record<number, DriverTraits['name']>> = {
  [HW_INFO.vtd]: 'intel',
  [HW_INFO.smmuv3]: 'smmuv3',
  [HW_INFO.cmdqv]: 'smmuv3',
  [HW_INFO.amd]: 'amd',
};

const COMMAND = 'IOMMU_GET_HW_INFO';

/** The field of the type that comes back. */
export const typeOut = (c: Call): string => (c.table.has(COMMAND, 'out_data_type') ? 'out_data_type' : 'data_type');
/** The field of the type that is asked for; the same one in one of the series. */
export const typeIn = (c: Call): string => (c.table.has(COMMAND, 'in_data_type') ? 'in_data_type' : 'data_type');

/** The type that is asked for; 0: what the device has. */
export const askedType = (c: Call): number => (c.traits.hwInfoInputType && (c.u32('flags') & 1) !== 0 ? c.u32(typeIn(c)) : 0);

/** Takes a known answer of GET_HW_INFO. */
export function learn(c: Call, device: Device): void {
  const out = c.observed?.out;
  if (out === undefined) return;
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  // the program's struct, and the log's copy of it, may end anywhere
  const has = (field: string, bytes: number): boolean => c.table.has(COMMAND, field) && c.at(field) + bytes <= out.length;
  if (!has(typeOut(c), 4) || !has('data_len', 4)) return;
  const type = view.getUint32(c.at(typeOut(c)), true);
  const name = NAMES[type] ?? 'unknown';
  if (name === 'unknown') return;
  const bytes = c.observedBytes('data_uptr')?.slice(0, view.getUint32(c.at('data_len'), true)) ?? new Uint8Array(0);
  const info = new Map(device.driver.info);
  if (bytes.length >= (info.get(type)?.length ?? 0)) info.set(type, bytes);
  const pasid = has('out_max_pasid_log2', 1) ? view.getUint8(c.at('out_max_pasid_log2')) : 0;
  const capabilities = has('out_capabilities', 8) ? ([view.getBigUint64(c.at('out_capabilities'), true), pasid] as const) : undefined;
  const facts = Object.fromEntries(Object.entries(factsOf(c, type, bytes)).filter(([, value]) => value !== undefined));
  device.driver = { ...device.driver, name, info, capabilities, ...facts };
}

/** Registers, as the structs of the kinds of information have them. */
function factsOf(c: Call, type: number, bytes: Uint8Array): Partial<DriverTraits> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const field = (struct: string, name: string): number => c.table.struct(struct)?.byName.get(name)?.offset ?? Number.POSITIVE_INFINITY;
  const u8 = (struct: string, name: string): number | undefined => {
    const at = field(struct, name);
    return at + 1 <= bytes.length ? view.getUint8(at) : undefined;
  };
  const u32 = (struct: string, name: string, index = 0): number | undefined => {
    const at = field(struct, name) + 4 * index;
    return at + 4 <= bytes.length ? view.getUint32(at, true) : undefined;
  };
  if (type === HW_INFO.cmdqv) {
    const struct = 'iommu_hw_info_tegra241_cmdqv';
    return { cmdqv: true, log2Queues: u8(struct, 'log2vcmdqs'), log2Sids: u8(struct, 'log2vsids') };
  }
  if (type !== HW_INFO.smmuv3) return {};
  const struct = 'iommu_hw_info_arm_smmuv3';
  const idr1 = u32(struct, 'idr', 1);
  const commands = idr1 === undefined ? {} : { log2Commands: (idr1 >>> 21) & 31 };
  const impl = u32(struct, 'impl');
  const flags = u32(struct, 'flags');
  // some of the series tell of the CMDQV here, others nowhere or by a type of its own
  if (impl === undefined || flags === undefined) return commands;
  if ((flags & 1) === 0) return { ...commands, cmdqv: false };
  return { ...commands, cmdqv: true, log2Queues: (impl >>> 4) & 15, log2Sids: (impl >>> 12) & 15 };
}

/** The hardware has no CMDQV, or has one. */
export function learnCmdqv(device: Device, cmdqv: boolean): void {
  device.driver = { ...device.driver, cmdqv };
}
