/** Errors of queues: GERROR, the maps that lead to them, the interrupt and what the kernel makes of it. */
import type { Pad } from './change.ts';
import { encodeRegister, fieldOf, register } from './registers.ts';
import { fieldValue, type Provenance, pendingErrors, regs } from './state.ts';

const MAP = 32;

/** The bit of a map that stands for something: the register's name and the bit in it. */
type Bit = readonly [name: string, bit: bigint];

const bitOf = (name: (index: number) => string, width: number, n: number): Bit => [name(Math.floor(n / width)), 1n << BigInt(n % width)];

/** Of a queue, in the maps that say whether it has an error; the last one is of its VINTF. */
function bitsOf(p: Pad, vintf: number, lvcmdq: number): { readonly queue: readonly Bit[]; readonly whole: Bit } {
  const { log2Queues } = p.size;
  const queue = [bitOf((i) => regs.vintf(vintf, 'LVCMDQ_ERR_MAP', i), 2 * MAP, lvcmdq)];
  if (log2Queues !== undefined) queue.push(bitOf((i) => regs.cmdqv('CMDQ_ERR_MAP', i), MAP, vintf * 2 ** log2Queues + lvcmdq));
  return { queue, whole: bitOf((i) => regs.cmdqv('VI_ERR_MAP', i), MAP, vintf) };
}

/** Sets the bits of the maps that say whether a queue has an error. `from`: sampled, where that is how it is known. */
export function showErrors(p: Pad, vintf: number, lvcmdq: number, pending: boolean, from: Provenance = 'model'): void {
  const { queue, whole } = bitsOf(p, vintf, lvcmdq);
  for (const [name, bit] of queue) p.set(name, pending ? bit : 0n, bit, from);
  const any = errorMap(p, vintf).some((word) => word !== 0n);
  p.setField(regs.vintf(vintf, 'STATUS'), ['VINTF', 'STATUS', 'STATUS'], any ? 1 : 0, from);
  p.set(whole[0], any ? whole[1] : 0n, whole[1], from);
}

/** Whether a queue has an error is not known any more, nor where it stands. */
export function forgetErrors(p: Pad, vintf: number, lvcmdq: number): void {
  for (const name of ['GERROR', 'CONS_INDX']) p.forget(regs.page0(vintf, lvcmdq, name));
  const { queue, whole } = bitsOf(p, vintf, lvcmdq);
  for (const [name, bit] of [...queue, whole]) p.forget(name, bit);
  p.forget(regs.vintf(vintf, 'STATUS'), fieldOf(register('STATUS', 'VINTF'), 'STATUS').mask);
}

/** LVCMDQ_ERR_MAP of a VINTF: what the kernel hands on. */
export const errorMap = (p: Pad, vintf: number): readonly [bigint, bigint] => [
  p.get(regs.vintf(vintf, 'LVCMDQ_ERR_MAP', 0)).value,
  p.get(regs.vintf(vintf, 'LVCMDQ_ERR_MAP', 1)).value,
];

type ErrorBit = 'CMDQ_ERR' | 'CONS_DRAM_WR_ABT_ERR' | 'CMDQ_INIT_ERR';

/** An error comes up: its bit of GERROR toggles, unless it is pending already. */
export function raise(p: Pad, vintf: number, lvcmdq: number, error: ErrorBit): void {
  const bit = encodeRegister(register('GERROR', 'PAGE0'), { [error]: 1 });
  const name = regs.page0(vintf, lvcmdq, 'GERROR');
  const [gerror, gerrorn] = [p.get(name), p.get(regs.page0(vintf, lvcmdq, 'GERRORN'))];
  const pending = pendingErrors(gerror, gerrorn);
  if (pending !== undefined && (BigInt(pending) & bit) !== 0n) return;
  if (pending !== undefined) p.set(name, gerror.value ^ bit, bit);
  showErrors(p, vintf, lvcmdq, true);
  const masked = fieldBit(p, regs.cmdqv('VI_INT_MASK', Math.floor(vintf / MAP)), vintf % MAP);
  if (!masked) interrupt(p);
}

function fieldBit(p: Pad, name: string, bit: number): boolean {
  const v = p.get(name);
  return ((v.value & v.known) >> BigInt(bit)) % 2n === 1n;
}

/**
 * The kernel looks at every VINTF that has an error and tells each vIOMMU; it acknowledges nothing for them, so one that has
 * not recovered is told of again. tegra241-cmdqv.c, tegra241_cmdqv_isr().
 */
function interrupt(p: Pad): void {
  p.add({ kind: 'interrupt' });
  for (const v of p.vintfs()) {
    const map = errorMap(p, v.index);
    if (map.some((word) => word !== 0n)) p.add({ kind: 'vevent', vintf: v.index, viommu: v.key, map });
  }
}

/** GERRORN was written: of a command error that is no longer pending the reason goes as well. */
export function acknowledged(p: Pad, vintf: number, lvcmdq: number): void {
  const pending = pendingErrors(p.get(regs.page0(vintf, lvcmdq, 'GERROR')), p.get(regs.page0(vintf, lvcmdq, 'GERRORN')));
  if (pending === undefined) return;
  showErrors(p, vintf, lvcmdq, pending !== 0);
  const cons = regs.page0(vintf, lvcmdq, 'CONS_INDX');
  const err = fieldValue(p.get(cons), 'PAGE0', 'CONS_INDX', 'ERR');
  if ((pending & 1) === 0 && err !== undefined && err !== 0) p.setField(cons, ['PAGE0', 'CONS_INDX', 'ERR'], 0);
}
