/** What the same thing is called in the dialects of the series, and the answers of a machine's GET_HW_INFO in each. */
import type { Size } from '../cmdqv/state.ts';
import type { UapiTable } from '../uapi/table.ts';

const QUEUE_CALLS = ['IOMMU_HW_QUEUE_ALLOC', 'IOMMU_VQUEUE_ALLOC', 'IOMMU_VCMDQ_ALLOC'] as const;
const OUTS = ['out_hw_queue_id', 'out_vqueue_id', 'out_vcmdq_id'] as const;
const BASES = ['nesting_parent_iova', 'base_addr', 'addr'] as const;
/** IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV and what it was called before */
const CMDQV = 1;

export const u32s = (...values: readonly number[]): Uint8Array => {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((v, i) => {
    new DataView(bytes.buffer).setUint32(4 * i, v, true);
  });
  return bytes;
};

export interface QueueCall {
  readonly name: string;
  readonly values: Readonly<Record<string, number | bigint>>;
  readonly nested: Readonly<Record<string, Uint8Array>>;
  /** the field with the id */
  readonly out: string;
  readonly asked: { readonly base: bigint; readonly length: bigint };
}

/** The call that makes a queue. Throws for a dialect that has none. */
export function queueCall(table: UapiTable, viommu: number, index: number, base: bigint, log2: number): QueueCall {
  const name = QUEUE_CALLS.find((n) => table.byName(n) !== undefined);
  if (name === undefined) throw new Error(`${table.dialect} has no queues of hardware`);
  const out = OUTS.find((f) => table.has(name, f))!;
  const field = BASES.find((f) => table.has(name, f));
  const common = { viommu_id: viommu, type: CMDQV };
  const asked = { base, length: 16n << BigInt(log2) };
  // the first series had it all in data for the driver
  if (field === undefined) {
    const data = new Uint8Array([...u32s(index, log2), ...u32s(Number(base & 0xffff_ffffn), Number(base >> 32n))]);
    return { name, values: { ...common, data_len: data.length }, nested: { data_uptr: data }, out, asked };
  }
  return { name, values: { ...common, index, [field]: base, length: asked.length }, nested: {}, out, asked };
}

/** enum iommu_hw_info_type */
const INFO = { smmuv3: 2, cmdqv: 3 } as const;

export interface InfoCall {
  readonly values: Readonly<Record<string, number>>;
  readonly told: { readonly values: Readonly<Record<string, number>>; readonly nested: Readonly<Record<string, Uint8Array>> };
}

/** GET_HW_INFO of the SMMUv3, and where there is such a type, of the CMDQV. */
export function infoCalls(table: UapiTable, device: number, size: Size): InfoCall[] {
  const call = 'IOMMU_GET_HW_INFO';
  const out = table.has(call, 'out_data_type') ? 'out_data_type' : 'data_type';
  const asked = table.has(call, 'in_data_type') ? 'in_data_type' : undefined;
  const ask = (type: number, bytes: Uint8Array, values: Readonly<Record<string, number>>): InfoCall => ({
    values: { dev_id: device, data_len: bytes.length, data_uptr: 0x5000, ...values },
    told: { values: { [out]: type, data_len: bytes.length, out_capabilities: 1 }, nested: { data_uptr: bytes } },
  });
  const calls = [ask(INFO.smmuv3, smmuInfo(table, size), {})];
  const cmdqv = new Uint8Array([0, 0, 0, 0, 1, size.log2Queues ?? 0, size.log2Sids ?? 0, 0]);
  const named = table.struct('iommu_hw_info_tegra241_cmdqv') !== undefined;
  if (named && (asked !== undefined || out === 'data_type'))
    calls.push(ask(INFO.cmdqv, cmdqv, { flags: 1, [asked ?? 'data_type']: INFO.cmdqv }));
  return calls;
}

/** struct iommu_hw_info_arm_smmuv3: IDR1.CMDQS; some series tell of the CMDQV in it. */
function smmuInfo(table: UapiTable, size: Size): Uint8Array {
  const words = new Array<number>(10).fill(0);
  if (table.struct('iommu_hw_info_arm_smmuv3')?.byName.has('impl') === true) {
    words[0] = 1;
    words[1] = ((size.log2Sids ?? 0) << 12) | ((size.log2Queues ?? 0) << 4) | 1;
  }
  words[3] = (size.log2Commands ?? 0) << 21;
  return u32s(...words);
}
