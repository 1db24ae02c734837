/**
 * The state of one CMDQV: its registers, each with what is known of it and from where, and what the kernel has set up on it.
 * Plain data. `apply` and `revert` (model.ts) are the only writers; records are immutable and replaced as a whole.
 */
import { getField, hexText } from '../bits.ts';
import { usedOf } from './indexes.ts';
import { elementName, named, type Owner, ownerName, queueRegisterName } from './places.ts';
import { BLOCKS, type Block, fieldOf, implemented, type Register, register, registerText } from './registers.ts';

/**
 * Where a value comes from. seen: a load or store that the log has. sampled: read beside the program at some time.
 * model: what the kernel or the hardware must have written. A register without a value is unknown.
 */
export type Provenance = 'seen' | 'sampled' | 'model' | 'unknown';

export interface Value {
  readonly value: bigint;
  /** bits that are known; the others of `value` are 0 */
  readonly known: bigint;
  readonly from: Provenance;
}

export const UNKNOWN: Value = { value: 0n, known: 0n, from: 'unknown' };

/** How large the hardware is; what is undefined nobody has told. Names as in hw/iommufd/state.ts, DriverTraits. */
export interface Size {
  /** log2 of the queues of a VINTF */
  readonly log2Queues?: number | undefined;
  /** log2 of the stream ids of a VINTF */
  readonly log2Sids?: number | undefined;
  /** log2 of VINTFs, the kernel's own one among them */
  readonly log2Vintfs?: number | undefined;
  /** log2 of the entries of a queue at most: IDR1.CMDQS */
  readonly log2Commands?: number | undefined;
}

/** A queue that HW_QUEUE_ALLOC has set up. */
export interface Queue {
  /** who made it, in the words of who asks */
  readonly key: string;
  readonly lvcmdq: number;
  /** where its entries are fetched from */
  readonly base: bigint;
  readonly log2: number;
  /** commands that the hardware was seen to execute, CMD_SYNC among them */
  readonly done: number;
  /** of these, after the last CMD_SYNC; undefined: what was executed is not known */
  readonly unsynced: number | undefined;
  /** CONS where it was last found to have failed: what is executed there is not what failed */
  readonly stopped?: number | undefined;
  /** the next CMD_SYNC finds that a device did not answer: a fault that was put in */
  readonly atcTimeout: boolean;
}

export interface Sid {
  readonly slot: number;
  readonly key: string;
}

/** A VINTF that VIOMMU_ALLOC has taken. */
export interface Vintf {
  readonly index: number;
  readonly key: string;
  /** by slot, ascending */
  readonly sids: readonly Sid[];
  /** by number, ascending */
  readonly queues: readonly Queue[];
  /** queues that do not answer to CONFIG: a fault that was put in */
  readonly deaf: readonly number[];
}

export interface CmdqvState {
  readonly size: Size;
  /** by name (places.ts) */
  readonly registers: Map<string, Value>;
  /** by number; not the kernel's own VINTF 0 */
  readonly vintfs: Map<number, Vintf>;
}

/** Nothing is known. `reset` (model.ts) is what the driver does first. */
export const makeState = (size: Size = {}): CmdqvState => ({ size, registers: new Map(), vintfs: new Map() });

/** What is known, read through changes that are not applied yet. */
export interface Reader {
  readonly size: Size;
  get(name: string): Value;
  vintf(index: number): Vintf | undefined;
}

export const readerOf = (state: CmdqvState): Reader => ({
  size: state.size,
  get: (name) => state.registers.get(name) ?? UNKNOWN,
  vintf: (index) => state.vintfs.get(index),
});

/** The name of an element of a register of some owner. */
export const nameOf = (of: Owner, name: string, block: Block, index = 0): string =>
  `${ownerName(of)}.${elementName(register(name, block), index)}`;

/** A HW queue's number comes out of a log: it may be any. */
const ofQueue = (r: Register, vintf: number, lvcmdq: number): string =>
  lvcmdq < BLOCKS.PAGE0.most && vintf < BLOCKS.VINTF.most
    ? queueRegisterName(r, vintf, lvcmdq)
    : nameOf({ vintf, lvcmdq }, r.name, r.block);

/** Registers by their short names. */
export const regs = {
  cmdqv: (name: string, index = 0): string => nameOf({}, name, 'CMDQV', index),
  vintf: (vintf: number, name: string, index = 0): string => nameOf({ vintf }, name, 'VINTF', index),
  page0: (vintf: number, lvcmdq: number, name: string): string => ofQueue(register(name, 'PAGE0'), vintf, lvcmdq),
  page1: (vintf: number, lvcmdq: number, name: string): string => ofQueue(register(name, 'PAGE1'), vintf, lvcmdq),
};

/** A field of a value; undefined where one of its bits is not known. */
export function fieldValue(v: Value, block: Block, name: string, key: string): number | undefined {
  const f = fieldOf(register(name, block), key);
  return (v.known & f.mask) === f.mask ? Number(getField([v.value], f)) : undefined;
}

/** What a queue looks like; undefined: not known. */
export interface QueueView {
  readonly enabled: boolean | undefined;
  readonly acknowledged: boolean | undefined;
  readonly prod: number | undefined;
  readonly cons: number | undefined;
  readonly err: number | undefined;
  readonly log2: number | undefined;
  /** commands that wait */
  readonly used: number | undefined;
  /** bits of errors that are pending */
  readonly errors: number | undefined;
}

export function viewQueue(from: Reader, vintf: number, lvcmdq: number): QueueView {
  const page0 = (name: string): Value => from.get(regs.page0(vintf, lvcmdq, name));
  const bit = (name: string, key: string): boolean | undefined => {
    const v = fieldValue(page0(name), 'PAGE0', name, key);
    return v === undefined ? undefined : v === 1;
  };
  const log2 = fieldValue(from.get(regs.page1(vintf, lvcmdq, 'BASE')), 'PAGE1', 'BASE', 'LOG2SIZE');
  const prod = fieldValue(page0('PROD_INDX'), 'PAGE0', 'PROD_INDX', 'WR');
  const cons = fieldValue(page0('CONS_INDX'), 'PAGE0', 'CONS_INDX', 'RD');
  const all = log2 !== undefined && prod !== undefined && cons !== undefined;
  return {
    enabled: bit('CONFIG', 'CMDQ_EN'),
    acknowledged: bit('STATUS', 'CMDQ_EN_OK'),
    prod,
    cons,
    err: fieldValue(page0('CONS_INDX'), 'PAGE0', 'CONS_INDX', 'ERR'),
    log2,
    used: all ? usedOf(prod, cons, log2) : undefined,
    errors: pendingErrors(page0('GERROR'), page0('GERRORN')),
  };
}

/** Bits in which GERROR and GERRORN differ; undefined where one of them is not known. */
export function pendingErrors(gerror: Value, gerrorn: Value): number | undefined {
  const bits = implemented(register('GERROR', 'PAGE0'));
  if ((gerror.known & gerrorn.known & bits) !== bits) return undefined;
  return Number((gerror.value ^ gerrorn.value) & bits);
}

/** `0x12 (WR 18)`, `?` */
export function valueText(name: string, v: Value): string {
  const place = named(name);
  return place?.register === undefined ? hexText(v.value) : registerText(place.register, place.index, v.value, v.known);
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const valueJson = (v: Value): Json => ({ value: hexText(v.value), ...(v.known === 0n ? {} : { known: hexText(v.known) }), from: v.from });

/** The whole state; keys in an order that does not depend on how it came about. */
export function stateJson(state: CmdqvState): { readonly [key: string]: Json } {
  const sorted = [...state.registers].sort(([a], [b]) => (a < b ? -1 : 1));
  const vintfs = [...state.vintfs.values()].sort((a, b) => a.index - b.index);
  return {
    size: Object.fromEntries(Object.entries(state.size).filter((e): e is [string, number] => e[1] !== undefined)),
    registers: Object.fromEntries(sorted.map(([name, v]) => [name, valueJson(v)])),
    vintfs: vintfs.map((v) => ({
      vintf: v.index,
      viommu: v.key,
      sids: v.sids.map((s) => ({ ...s })),
      lvcmdqs: v.queues.map((q) => queueJson(state, v.index, q)),
    })),
  };
}

function queueJson(state: CmdqvState, vintf: number, q: Queue): Json {
  const view = viewQueue(readerOf(state), vintf, q.lvcmdq);
  const known = Object.fromEntries(Object.entries(view).map(([key, v]) => [key, v ?? null])) as { [key: string]: Json };
  return { index: q.lvcmdq, queue: q.key, base: hexText(q.base), ...known, log2size: q.log2, done: q.done, unsynced: q.unsynced ?? null };
}

const FNV_PRIME = 0x0100_0193;
/** FNV-1a's start, and another one */
const STARTS = [0x811c_9dc5, 0x050c_5d1f] as const;

/** 16 hex digits over the whole state, the same on every machine (FNV-1a twice, 32 bits each): to compare, not to trust. */
export function digest(state: CmdqvState): string {
  let [a, b]: readonly number[] = STARTS;
  for (const c of JSON.stringify(stateJson(state))) {
    const code = c.codePointAt(0)!;
    a = Math.imul(a! ^ code, FNV_PRIME);
    b = Math.imul(b! ^ (code + 1), FNV_PRIME);
  }
  return [a!, b!].map((n) => (n >>> 0).toString(16).padStart(8, '0')).join('');
}

/** Registers whose known bits contradict each other, by name. What only one of them knows is no contradiction. */
export function contradictions(a: CmdqvState, b: CmdqvState): string[] {
  const names = new Set([...a.registers.keys(), ...b.registers.keys()]);
  return [...names].sort().filter((name) => {
    const [x, y] = [readerOf(a).get(name), readerOf(b).get(name)];
    const both = x.known & y.known;
    return (x.value & both) !== (y.value & both);
  });
}
