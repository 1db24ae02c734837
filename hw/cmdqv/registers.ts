/**
 * The registers of Tegra241's CMDQV as rows: where each lies in its block, how wide it is, its fields. Blocks repeat: VINTF i
 * is 0x100 bytes of the CONFIG page, queue q is 0x80 bytes of each of its pages. drivers/iommu/arm/arm-smmu-v3/tegra241-cmdqv.c;
 * what only QEMU's device shows is marked so. Places of the blocks: places.ts.
 */
import { type BitField, field, getField, hexText, setField, unknownBits, valueText } from '../bits.ts';

/** CMDQV: global, in the CONFIG page. VINTF: one virtual interface, in the same page. PAGE0, PAGE1: of a queue. */
export type Block = 'CMDQV' | 'VINTF' | 'PAGE0' | 'PAGE1';

export interface Register {
  readonly name: string;
  readonly block: Block;
  /** in its block, bytes; of an array: of its first element */
  readonly offset: number;
  /** of one element, and from one to the next */
  readonly bytes: 4 | 8;
  /** elements; 1: no array */
  readonly count: number;
  /** ro: stores change nothing */
  readonly access: 'rw' | 'ro';
  readonly note: string;
  readonly fields: readonly BitField[];
}

/** Bytes of a block, and how many of it there may be. */
export const BLOCKS = {
  CMDQV: { bytes: 0x1000, most: 1 },
  VINTF: { bytes: 0x100, most: 64 },
  PAGE0: { bytes: 0x80, most: 128 },
  PAGE1: { bytes: 0x80, most: 128 },
} as const satisfies Record<Block, { readonly bytes: number; readonly most: number }>;

type Row = Omit<Register, 'block' | 'name' | 'count' | 'bytes' | 'access'> & Partial<Pick<Register, 'count' | 'bytes' | 'access'>>;

const block = (name: Block, rows: Readonly<Record<string, Row>>): Register[] =>
  Object.entries(rows).map(([register, row]) => ({ name: register, block: name, bytes: 4, count: 1, access: 'rw', ...row }));

const map = (name: string, high: number, note: string): BitField => field(name, [high, 0], note, 'linux', { format: 'set' });

/** CONS_INDX.ERR. Linux knows 0 to 3; 4 is QEMU's, for a command that the owner of the VINTF may not send. */
export const ERR = { none: 0, illegal: 1, abort: 2, atcTimeout: 3, access: 4 } as const;
const ERRORS = { 0: 'NONE', 1: 'ILLEGAL', 2: 'ABORT', 3: 'ATC_INV', 4: 'ACCESS' };
const VINTF_STATES = { 0: 'OK', 1: 'VCMDQ_ERROR' };

const gerror = (note: string): BitField[] => [
  field('CMDQ_ERR', 0, `${note}: a command failed, CONS_INDX.ERR says how`, 'qemu'),
  field('CONS_DRAM_WR_ABT_ERR', 1, `${note}: CONS could not be written to memory`, 'qemu'),
  field('CMDQ_INIT_ERR', 2, `${note}: the queue could not be set up`, 'qemu'),
];

export const REGISTERS: readonly Register[] = [
  ...block('CMDQV', {
    CONFIG: {
      offset: 0x0,
      note: 'switches the whole on',
      fields: [
        field('CMDQV_EN', 0, 'enable; STATUS.ENABLED follows'),
        field('PER_CMD_OFFSET', [3, 1], 'how often CONS is written to memory', 'qemu'),
        field('MAX_CLK_BATCH', [11, 4], 'clocks of a batch at most', 'qemu'),
        field('MAX_CMD_BATCH', [19, 12], 'commands of a batch at most', 'qemu'),
        field('CONS_DRAM_EN', 20, 'CONS is written to memory at CONS_INDX_BASE_DRAM', 'qemu'),
      ],
    },
    PARAM: {
      offset: 0x4,
      access: 'ro',
      note: 'what the hardware has',
      fields: [
        field('VER', [3, 0], 'version'),
        field('NUM_VCMDQ_LOG2', [7, 4], 'log2 of queues, all VINTFs together'),
        field('NUM_VINTF_LOG2', [11, 8], 'log2 of VINTFs'),
        field('NUM_SID_PER_VINTF_LOG2', [15, 12], 'log2 of SID_MATCH and SID_REPLACE pairs of a VINTF'),
      ],
    },
    STATUS: { offset: 0x8, access: 'ro', note: 'answer to CONFIG', fields: [field('ENABLED', 0, 'CMDQV_EN has taken effect')] },
    VI_ERR_MAP: {
      offset: 0x14,
      count: 2,
      access: 'ro',
      note: 'VINTFs that have an error',
      fields: [map('VINTF', 31, 'one bit for each VINTF')],
    },
    VI_INT_MASK: { offset: 0x1c, count: 2, note: 'VINTFs that raise no interrupt', fields: [map('VINTF', 31, 'one bit for each VINTF')] },
    CMDQ_ERR_MAP: {
      offset: 0x24,
      count: 4,
      access: 'ro',
      note: 'queues that have an error',
      fields: [map('VCMDQ', 31, 'one bit for each queue')],
    },
    CMDQ_ALLOC: {
      offset: 0x200,
      count: BLOCKS.PAGE0.most,
      note: 'which logical queue of which VINTF a queue is',
      fields: [
        field('ALLOC', 0, 'the mapping is in effect'),
        field('LVCMDQ', [7, 1], 'number inside of the VINTF'),
        field('VINTF', [20, 15], 'the VINTF that has it'),
      ],
    },
  }),
  ...block('VINTF', {
    CONFIG: {
      offset: 0x0,
      note: 'switches the VINTF on',
      fields: [
        field('EN', 0, 'enable; STATUS.ENABLED follows'),
        field('VMID', [16, 1], 'put into TLBI commands of its queues'),
        field('HYP_OWN', 17, 'owned by the hypervisor: any command may be sent; reads 0 in a guest'),
      ],
    },
    STATUS: {
      offset: 0x4,
      access: 'ro',
      note: 'answer to CONFIG',
      fields: [
        field('ENABLED', 0, 'EN has taken effect'),
        field('STATUS', [3, 1], 'what is wrong', 'linux', { values: VINTF_STATES }),
        field('NUM_LVCMDQ', [23, 16], 'logical queues that it has', 'qemu'),
      ],
    },
    GLB_FILT_CFG: { offset: 0xc, note: 'filter', fields: [field('CFG', [31, 0], 'not used by Linux or QEMU', 'qemu', { format: 'hex' })] },
    GLB_FILT_DATA: {
      offset: 0x10,
      note: 'filter',
      fields: [field('DATA', [31, 0], 'not used by Linux or QEMU', 'qemu', { format: 'hex' })],
    },
    SID_MATCH: {
      offset: 0x40,
      count: 16,
      note: 'a stream id that the guest uses',
      fields: [field('ENABLE', 0, 'the pair is in effect'), field('VIRT_SID', [20, 1], 'virtual stream id', 'linux', { format: 'hex' })],
    },
    SID_REPLACE: {
      offset: 0x80,
      count: 16,
      note: 'the stream id that is put in its place',
      fields: [field('PHYS_SID', [19, 0], 'physical stream id', 'linux', { format: 'hex' })],
    },
    LVCMDQ_ERR_MAP: {
      offset: 0xc0,
      bytes: 8,
      count: 2,
      access: 'ro',
      note: 'its queues that have an error',
      fields: [map('LVCMDQ', 63, 'one bit for each queue')],
    },
  }),
  ...block('PAGE0', {
    CONS_INDX: {
      offset: 0x0,
      note: 'where the hardware reads',
      fields: [
        field('RD', [19, 0], 'next entry to be read, and the wrap bit above it'),
        field('ERR', [30, 24], 'why it stopped', 'linux', { values: ERRORS }),
      ],
    },
    PROD_INDX: {
      offset: 0x4,
      note: 'where the program writes',
      fields: [field('WR', [19, 0], 'next entry to be written, and the wrap bit above it')],
    },
    CONFIG: { offset: 0x8, note: 'switches the queue on', fields: [field('CMDQ_EN', 0, 'enable; STATUS.CMDQ_EN_OK follows')] },
    STATUS: { offset: 0xc, access: 'ro', note: 'answer to CONFIG', fields: [field('CMDQ_EN_OK', 0, 'CMDQ_EN has taken effect')] },
    GERROR: {
      offset: 0x10,
      access: 'ro',
      note: 'errors: a bit that differs from GERRORN is pending',
      fields: gerror('toggles when it comes up'),
    },
    GERRORN: { offset: 0x14, note: 'errors that the program has seen: made equal to GERROR', fields: gerror('acknowledged') },
  }),
  ...block('PAGE1', {
    BASE: {
      offset: 0x0,
      bytes: 8,
      note: 'where the queue lies',
      fields: [
        field('LOG2SIZE', [4, 0], 'log2 of its entries, 16 bytes each'),
        field('ADDR', [47, 5], 'physical address; in a guest, of the guest', 'linux', { format: 'address' }),
      ],
    },
    CONS_INDX_BASE_DRAM: {
      offset: 0x8,
      bytes: 8,
      note: 'where CONS is written to as well',
      fields: [field('ADDR', [47, 0], 'address of 4 bytes', 'linux', { format: 'address' })],
    },
  }),
];

const BY_NAME = Object.fromEntries(
  Object.keys(BLOCKS).map((name) => [name, new Map(REGISTERS.filter((r) => r.block === name).map((r) => [r.name, r]))]),
) as Record<Block, Map<string, Register>>;

/** The row of a register. Throws for one that is not in the table. */
export function register(name: string, of: Block): Register {
  const found = BY_NAME[of].get(name);
  if (found === undefined) throw new Error(`no register ${of}.${name}`);
  return found;
}

export interface Element {
  readonly register: Register;
  readonly index: number;
}

/** By block, then by offset */
const BY_OFFSET = Object.fromEntries(
  Object.entries(BLOCKS).map(([name, b]) => [name, new Array<Element | undefined>(b.bytes).fill(undefined)]),
) as Record<Block, (Element | undefined)[]>;
for (const r of REGISTERS)
  for (let index = 0; index < r.count; index++) {
    const element = { register: r, index };
    BY_OFFSET[r.block].fill(element, r.offset + index * r.bytes, r.offset + (index + 1) * r.bytes);
  }

/** The register of a block at this offset (bytes) and which of its elements; undefined in a hole. */
export const registerAt = (of: Block, offset: number): Element | undefined => BY_OFFSET[of][offset];

/** Fields of a value, in the order of the rows. */
export const decodeRegister = (r: Register, value: bigint): { readonly field: BitField; readonly value: bigint }[] =>
  r.fields.map((f) => ({ field: f, value: getField([value], f) }));

/** A value out of fields; the rest is 0. Throws for a field that the register does not have. */
export function encodeRegister(r: Register, fields: Readonly<Record<string, number | bigint>>): bigint {
  let value = 0n;
  for (const [name, v] of Object.entries(fields)) value = setField(value, fieldOf(r, name), BigInt(v));
  return value;
}

export function fieldOf(r: Register, name: string): BitField {
  const found = r.fields.find((f) => f.name === name);
  if (found === undefined) throw new Error(`${r.name} has no field ${name}`);
  return found;
}

/** Bits that a register keeps. */
export const implemented = (r: Register): bigint => r.fields.reduce((mask, f) => mask | f.mask, 0n);

/** Its fields in words, one by one; `known`: bits whose value is known, of the others `?` is said. Fields of 0 are left out where there are others. */
export function fieldParts(r: Register, index: number, value: bigint, known: bigint = -1n): string[] {
  const first = BigInt(index * r.bytes * 8);
  return r.fields.flatMap((f) => {
    const mask = f.mask;
    const v = getField([value & known], f);
    if (f.format === 'set' && (known & mask) !== 0n) return v === 0n ? [] : [`${f.name} ${valueText(f, v << first)}`];
    if ((known & mask) !== mask) return [`${f.name} ?`];
    if (f.bits[0] === f.bits[1]) return v === 0n ? [] : [f.name];
    return v === 0n && r.fields.length > 1 ? [] : [`${f.name} ${valueText(f, v)}`];
  });
}

/** `WR 18`, `EN VMID 3`, and bits that no field takes. */
export function fieldsText(r: Register, index: number, value: bigint, known: bigint = -1n): string {
  const rest = unknownBits([value], r.fields)[0]! & known;
  const parts = fieldParts(r, index, value, known);
  return [...parts, ...(rest === 0n ? [] : [`unknown bits ${hexText(rest)}`])].join(' ');
}

/** `0x12 (WR 18)`; `known` as above. */
export function registerText(r: Register, index: number, value: bigint, known: bigint = -1n): string {
  if ((known & implemented(r)) === 0n) return '?';
  const fields = fieldsText(r, index, value, known);
  const whole = (known & implemented(r)) === implemented(r);
  const number = whole ? hexText(value) : `${hexText(value)}?`;
  return fields === '' || (whole && r.fields.length === 1 && fields === hexText(value)) ? number : `${number} (${fields})`;
}
