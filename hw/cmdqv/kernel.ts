/**
 * What the driver does to a CMDQV when iommufd is called. drivers/iommu/arm/arm-smmu-v3/tegra241-cmdqv.c: *_hw_init(),
 * *_hw_deinit(), tegra241_vintf_alloc_lvcmdq_user(), tegra241_vintf_init_vsid(). Register writes come in the driver's order.
 */
import type { Pad } from './change.ts';
import { showErrors } from './errors.ts';
import { log2Of } from './indexes.ts';
import { encodeRegister, implemented, register } from './registers.ts';
import { pendingErrors, type Queue, regs, type Vintf } from './state.ts';

/** SID_MATCH and SID_REPLACE pairs that the page has room for */
const SIDS = 16;
const WORD = 2n ** 32n - 1n;
const LONG = 2n ** 64n - 1n;

/** What the driver does as it starts: everything off and on again, queues dealt out to VINTFs, the kernel's own VINTF. */
export function reset(p: Pad): void {
  const on = encodeRegister(register('CONFIG', 'CMDQV'), { CMDQV_EN: 1 });
  const enable = regs.cmdqv('CONFIG');
  for (const value of [0n, on]) {
    p.set(enable, value, 1n);
    p.set(regs.cmdqv('STATUS'), value, 1n);
  }
  const { log2Vintfs, log2Queues } = p.size;
  if (log2Vintfs !== undefined && log2Queues !== undefined) {
    for (let v = 0; v < 2 ** log2Vintfs; v++)
      for (let l = 0; l < 2 ** log2Queues; l++) {
        allocate(p, v, l, false);
        // an error of before is not told of, whatever it was
        for (const name of ['GERROR', 'GERRORN']) p.set(regs.page0(v, l, name), 0n, implemented(register(name, 'PAGE0')));
      }
  }
  vintfInit(p, 0, { HYP_OWN: 1 });
}

/** CMDQ_ALLOC: which VINTF and LVCMDQ a queue is was settled at reset; only its lowest bit changes. */
function allocate(p: Pad, vintf: number, lvcmdq: number, on: boolean): void {
  const { log2Queues } = p.size;
  if (log2Queues === undefined) return;
  const value = encodeRegister(register('CMDQ_ALLOC', 'CMDQV'), { ALLOC: on ? 1 : 0, LVCMDQ: lvcmdq, VINTF: vintf });
  p.set(regs.cmdqv('CMDQ_ALLOC', vintf * 2 ** log2Queues + lvcmdq), value, WORD);
}

/** Fields of VINTF CONFIG but for EN; those that are undefined are not known. */
type Config = { readonly HYP_OWN: number; readonly VMID?: number | undefined };

function vintfInit(p: Pad, vintf: number, config: Config): void {
  vintfOff(p, vintf);
  const row = register('CONFIG', 'VINTF');
  const { VMID } = config;
  const known = implemented(row) & (VMID === undefined && config.HYP_OWN === 0 ? ~encodeRegister(row, { VMID: 0xffff }) : -1n);
  const name = regs.vintf(vintf, 'CONFIG');
  if (known !== implemented(row)) p.forget(name);
  for (const EN of [0, 1]) p.set(name, encodeRegister(row, { HYP_OWN: config.HYP_OWN, VMID: VMID ?? 0, EN }), known);
  p.setField(regs.vintf(vintf, 'STATUS'), ['VINTF', 'STATUS', 'ENABLED'], 1);
}

/** CONFIG 0, and no stream ids. */
function vintfOff(p: Pad, vintf: number): void {
  p.set(regs.vintf(vintf, 'CONFIG'), 0n, implemented(register('CONFIG', 'VINTF')));
  p.setField(regs.vintf(vintf, 'STATUS'), ['VINTF', 'STATUS', 'ENABLED'], 0);
  const { log2Sids } = p.size;
  for (let s = 0; s < (log2Sids === undefined ? SIDS : 2 ** log2Sids); s++) clearSid(p, vintf, s);
}

function clearSid(p: Pad, vintf: number, slot: number): void {
  p.set(regs.vintf(vintf, 'SID_MATCH', slot), 0n, WORD);
  p.set(regs.vintf(vintf, 'SID_REPLACE', slot), 0n, WORD);
}

/** IOMMU_VIOMMU_ALLOC: the lowest VINTF that is free, without the rights of the hypervisor. `vmid`: of stage 2 of the parent. */
export function allocViommu(p: Pad, key: string, vmid: number | undefined): void {
  const taken = new Set(p.vintfs().map((v) => v.index));
  let index = 1;
  while (taken.has(index)) index++;
  const { log2Vintfs } = p.size;
  if (log2Vintfs !== undefined && index >= 2 ** log2Vintfs) {
    p.add({ kind: 'refused', errno: 'ENOSPC', why: `all of ${2 ** log2Vintfs - 1} VINTFs are taken` });
    return;
  }
  vintfInit(p, index, { HYP_OWN: 0, VMID: vmid });
  p.put(index, { index, key, sids: [], queues: [], deaf: [] });
}

/** DESTROY of the vIOMMU: its queues from the last on, then the VINTF. */
export function destroyViommu(p: Pad, vintf: Vintf): void {
  for (const q of [...vintf.queues].reverse()) {
    queueOff(p, vintf.index, q.lvcmdq);
    allocate(p, vintf.index, q.lvcmdq, false);
  }
  vintfOff(p, vintf.index);
  p.put(vintf.index, undefined);
}

/** IOMMU_VDEVICE_ALLOC: SID_REPLACE, then SID_MATCH, of the lowest slot that is free. `psid`: the hardware's stream, where it is known. */
export function allocVdevice(p: Pad, vintf: Vintf, key: string, vsid: number, psid: number | undefined): void {
  const taken = new Set(vintf.sids.map((s) => s.slot));
  let slot = 0;
  while (taken.has(slot)) slot++;
  const most = p.size.log2Sids === undefined ? SIDS : 2 ** p.size.log2Sids;
  if (slot >= most) {
    p.add({ kind: 'refused', errno: 'ENOSPC', why: `all of ${most} stream ids of VINTF${vintf.index} are taken` });
    return;
  }
  const replace = regs.vintf(vintf.index, 'SID_REPLACE', slot);
  if (psid === undefined) p.forget(replace);
  else p.set(replace, encodeRegister(register('SID_REPLACE', 'VINTF'), { PHYS_SID: psid }), WORD);
  const match = encodeRegister(register('SID_MATCH', 'VINTF'), { VIRT_SID: vsid, ENABLE: 1 });
  p.set(regs.vintf(vintf.index, 'SID_MATCH', slot), match, WORD);
  const sids = [...vintf.sids, { slot, key }].sort((a, b) => a.slot - b.slot);
  p.put(vintf.index, { ...vintf, sids });
}

export function destroyVdevice(p: Pad, vintf: Vintf, key: string): void {
  const found = vintf.sids.find((s) => s.key === key);
  if (found === undefined) {
    p.add({ kind: 'ignored', what: key, why: `VINTF${vintf.index} has no such vDEVICE` });
    return;
  }
  clearSid(p, vintf.index, found.slot);
  p.put(vintf.index, { ...vintf, sids: vintf.sids.filter((s) => s !== found) });
}

export interface QueueMade {
  readonly key: string;
  readonly lvcmdq: number;
  /** of its entries; `physical`: as the hardware sees it, so that BASE.ADDR is known */
  readonly base: bigint;
  readonly physical: boolean;
  /** bytes */
  readonly length: bigint;
}

/** IOMMU_HW_QUEUE_ALLOC: mapped, cleared, told where it lies. It stays off: the guest switches it on. */
export function allocQueue(p: Pad, vintf: Vintf, made: QueueMade): void {
  const { lvcmdq, base } = made;
  const log2 = log2Of(made.length);
  if (log2 === undefined) {
    p.add({ kind: 'ignored', what: made.key, why: `a queue has no ${made.length} bytes` });
    return;
  }
  allocate(p, vintf.index, lvcmdq, true);
  queueOff(p, vintf.index, lvcmdq);
  const row = register('BASE', 'PAGE1');
  const address = encodeRegister(row, { ADDR: made.physical ? base : 0n });
  const name = regs.page1(vintf.index, lvcmdq, 'BASE');
  if (!made.physical) p.forget(name);
  const size = encodeRegister(row, { LOG2SIZE: log2 });
  p.set(name, address | size, made.physical ? LONG : encodeRegister(row, { LOG2SIZE: 31 }));
  const queue: Queue = { key: made.key, lvcmdq, base, log2, done: 0, unsynced: 0, atcTimeout: false };
  const queues = [...vintf.queues.filter((q) => q.lvcmdq !== lvcmdq), queue].sort((a, b) => a.lvcmdq - b.lvcmdq);
  p.put(vintf.index, { ...vintf, queues });
}

export function destroyQueue(p: Pad, vintf: Vintf, lvcmdq: number): void {
  queueOff(p, vintf.index, lvcmdq);
  allocate(p, vintf.index, lvcmdq, false);
  p.put(vintf.index, { ...vintf, queues: vintf.queues.filter((q) => q.lvcmdq !== lvcmdq) });
}

/** Off, all registers 0, errors acknowledged. */
function queueOff(p: Pad, vintf: number, lvcmdq: number): void {
  const page0 = (name: string): string => regs.page0(vintf, lvcmdq, name);
  p.set(page0('CONFIG'), 0n, WORD);
  p.set(page0('STATUS'), 0n, implemented(register('STATUS', 'PAGE0')));
  for (const name of ['PROD_INDX', 'CONS_INDX']) p.set(page0(name), 0n, WORD);
  for (const name of ['BASE', 'CONS_INDX_BASE_DRAM']) p.set(regs.page1(vintf, lvcmdq, name), 0n, LONG);
  const gerror = p.get(page0('GERROR'));
  if (pendingErrors(gerror, p.get(page0('GERRORN'))) === 0) return;
  // nobody knows what it was: then both are the same, whatever they are
  if (gerror.known === 0n) p.forget(page0('GERRORN'));
  else p.set(page0('GERRORN'), gerror.value, gerror.known, gerror.from === 'sampled' ? 'sampled' : 'model');
  showErrors(p, vintf, lvcmdq, false);
}
