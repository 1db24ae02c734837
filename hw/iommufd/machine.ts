/**
 * Machines that the model can be: what IOMMU its own VFIO devices are behind (hw/vfio/functions.ts), and all that the rules
 * must know of it. Of hardware that a log tells of nothing is known but what the log says (hardware.ts).
 */
import type { UapiTable } from '../uapi/table.ts';
import { HW_INFO } from './hardware.ts';
import type { DriverTraits, Kernel } from './state.ts';

/** plain: pages, and no more. grace: an SMMUv3 with the CMDQV of a Tegra241, as NVIDIA's Grace has them. */
export const MACHINES = ['plain', 'grace'] as const;
export type MachineName = (typeof MACHINES)[number];

export const machineNamed = (name: unknown): MachineName | undefined => MACHINES.find((m) => m === name);

/**
 * The CMDQV of `grace`, all log2: 64 VINTFs with 2 queues and 16 stream ids each, which is how the 128 queues of a Tegra241 are
 * dealt out; queues of 2^19 commands at most.
 */
export const GRACE_CMDQV = { log2Vintfs: 6, log2Queues: 1, log2Sids: 4, log2Commands: 19 } as const;

/** IOMMU_HW_CAP_DIRTY_TRACKING */
const DIRTY_TRACKING = 1n;
/** PARAM.VER */
const CMDQV_VERSION = 1;

/**
 * IDR0 to IDR5 of its SMMUv3, IIDR, AIDR. IDR0: both stages, AArch64 tables, coherent walks, dirty state by hardware, 16 bits of
 * ASID and VMID, ATS, two-level stream tables. IDR1: 32 bits of stream id, 20 of PASID, 2^19 commands and events. IDR3: ranges.
 * IDR5: 48 bits of address, pages of 4, 16 and 64 KiB. IIDR: an MMU-700 of Arm.
 */
const REGISTERS = [0x094c_749b, (19 << 21) | (19 << 16) | (20 << 6) | 32, 0, 0x0000_1400, 0, 0x0000_0075] as const;
const IIDR = 0x4870_043b;
const AIDR = 0x3;

/** What the driver of the model's own devices is; undefined: a plain IOMMU. */
export function iommuOf(machine: MachineName, table: UapiTable): DriverTraits | undefined {
  if (machine === 'plain') return undefined;
  const noAts = table.enum('iommufd_hw_capabilities')?.members.get('IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED') ?? 0;
  const info = new Map([[HW_INFO.smmuv3, smmuInfo(table)] as [number, Uint8Array]]);
  const own = cmdqvInfo(table);
  if (own !== undefined) info.set(HW_INFO.cmdqv, own);
  return { name: 'smmuv3', cmdqv: true, ...GRACE_CMDQV, info, capabilities: [DIRTY_TRACKING | BigInt(noAts), 0] };
}

/** struct iommu_hw_info_arm_smmuv3; some of the posted series tell of the CMDQV in it. */
function smmuInfo(table: UapiTable): Uint8Array {
  const struct = table.struct('iommu_hw_info_arm_smmuv3');
  const view = new DataView(new ArrayBuffer(struct?.size ?? 0));
  const put = (name: string, value: number, index = 0): void => {
    const field = struct?.byName.get(name);
    if (field !== undefined) view.setUint32(field.offset + 4 * index, value, true);
  };
  for (const [i, value] of REGISTERS.entries()) put('idr', value, i);
  put('iidr', IIDR);
  put('aidr', AIDR);
  if (struct?.byName.has('impl') === true) {
    put('flags', 1);
    put('impl', CMDQV_VERSION | (GRACE_CMDQV.log2Queues << 4) | (GRACE_CMDQV.log2Sids << 12));
  }
  return new Uint8Array(view.buffer);
}

/** struct iommu_hw_info_tegra241_cmdqv */
function cmdqvInfo(table: UapiTable): Uint8Array | undefined {
  const struct = table.struct('iommu_hw_info_tegra241_cmdqv');
  if (struct === undefined) return undefined;
  const bytes = new Uint8Array(struct.size);
  const put = (name: string, value: number): void => {
    const field = struct.byName.get(name);
    if (field !== undefined) bytes[field.offset] = value;
  };
  put('version', CMDQV_VERSION);
  put('log2vcmdqs', GRACE_CMDQV.log2Queues);
  put('log2vsids', GRACE_CMDQV.log2Sids);
  return bytes;
}

/** Is all known of the SMMUv3 that VFIO devices are behind? Then it is the model's own, and the only one. */
export const isKnown = (kernel: Kernel): boolean => kernel.iommu !== undefined;
