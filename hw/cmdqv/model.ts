/**
 * The CMDQV of a Tegra241 as a machine: what the driver sets up when iommufd is called (kernel.ts), loads and stores (access.ts),
 * the hardware's own work (queue.ts). `step` is a function of state, input and memory and changes nothing; `apply` and
 * `revert` (change.ts) bring the state forth and back. Time is an input: nothing happens in a queue but by `run`.
 */
import { type Access, disturb, load, sample, store, told, unseen } from './access.ts';
import { type Effect, Pad, type Words } from './change.ts';
import { raise } from './errors.ts';
import { allocQueue, allocVdevice, allocViommu, destroyQueue, destroyVdevice, destroyViommu, type QueueMade, reset } from './kernel.ts';
import { type Memory, run } from './queue.ts';
import type { CmdqvState, Provenance } from './state.ts';

/** Names of iommufd's objects are the caller's: any string that is one object's own. */
export type Input =
  /** the driver starts: before that nothing is known */
  | { readonly kind: 'reset' }
  | { readonly kind: 'viommu-alloc'; readonly viommu: string; readonly vmid?: number | undefined }
  | { readonly kind: 'viommu-destroy'; readonly viommu: string }
  | {
      readonly kind: 'vdevice-alloc';
      readonly viommu: string;
      readonly vdevice: string;
      readonly vsid: number;
      readonly psid?: number | undefined;
    }
  | { readonly kind: 'vdevice-destroy'; readonly viommu: string; readonly vdevice: string }
  | ({ readonly kind: 'queue-alloc'; readonly viommu: string } & QueueMade)
  | { readonly kind: 'queue-destroy'; readonly viommu: string; readonly lvcmdq: number }
  | ({ readonly kind: 'store'; readonly from?: Provenance } & Access)
  | ({ readonly kind: 'load' } & Access)
  /** a store whose value is not known */
  | ({ readonly kind: 'disturb' } & Omit<Access, 'value'>)
  /** from here on stores in page 0 of a queue may go unseen */
  | { readonly kind: 'unseen'; readonly vintf: number; readonly lvcmdq: number }
  /** a vEVENT was read: struct iommu_vevent_tegra241_cmdqv */
  | { readonly kind: 'vevent-read'; readonly viommu: string; readonly map: Words }
  /** page 0 of a queue, 0x20 bytes or fewer, read beside the program */
  | { readonly kind: 'sample'; readonly vintf: number; readonly lvcmdq: number; readonly page0: Uint8Array }
  /** the hardware works: all queues, of the lowest VINTF first, or one; `commands`: at most, of each */
  | { readonly kind: 'run'; readonly vintf?: number; readonly lvcmdq?: number; readonly commands?: number }
  /** the hardware fails */
  | { readonly kind: 'fault'; readonly vintf: number; readonly lvcmdq: number; readonly fault: Fault };

export type Fault =
  /** a device does not answer: the next CMD_SYNC fails */
  | 'atc-timeout'
  /** CONS cannot be written to memory */
  | 'cons-write'
  /** CONFIG is not answered to any more, while the VINTF is there */
  | 'deaf';

const NO_MEMORY: Memory = () => undefined;

/** What an input does. The state stays as it is. */
export function step(state: CmdqvState, input: Input, memory: Memory = NO_MEMORY): readonly Effect[] {
  const p = new Pad(state);
  switch (input.kind) {
    case 'reset':
      reset(p);
      break;
    case 'store':
      store(p, input, input.from ?? 'seen');
      break;
    case 'load':
      load(p, input, memory);
      break;
    case 'disturb':
      disturb(p, input);
      break;
    case 'unseen':
      unseen(p, input.vintf, input.lvcmdq);
      break;
    case 'sample':
      sample(p, input.vintf, input.lvcmdq, input.page0, memory);
      break;
    case 'run':
      runAll(p, input, memory);
      break;
    case 'fault':
      fail(p, input.vintf, input.lvcmdq, input.fault);
      break;
    case 'viommu-alloc':
      allocViommu(p, input.viommu, input.vmid);
      break;
    default:
      onVintf(p, input);
  }
  return p.effects;
}

type OnVintf = Extract<Input, { viommu: string }>;

/** Calls on a vIOMMU that there is. */
function onVintf(p: Pad, input: Exclude<OnVintf, { kind: 'viommu-alloc' }>): void {
  const vintf = p.vintfs().find((v) => v.key === input.viommu);
  if (vintf === undefined) {
    p.add({ kind: 'ignored', what: input.viommu, why: 'no VINTF is known for it' });
    return;
  }
  switch (input.kind) {
    case 'viommu-destroy':
      destroyViommu(p, vintf);
      break;
    case 'vdevice-alloc':
      allocVdevice(p, vintf, input.vdevice, input.vsid, input.psid);
      break;
    case 'vdevice-destroy':
      destroyVdevice(p, vintf, input.vdevice);
      break;
    case 'queue-alloc':
      allocQueue(p, vintf, input);
      break;
    case 'queue-destroy':
      destroyQueue(p, vintf, input.lvcmdq);
      break;
    case 'vevent-read':
      told(p, vintf, input.map);
      break;
    default:
      input satisfies never;
  }
}

function runAll(p: Pad, input: Extract<Input, { kind: 'run' }>, memory: Memory): void {
  for (const { index } of p.vintfs()) {
    if (input.vintf !== undefined && input.vintf !== index) continue;
    for (const q of p.vintf(index)?.queues ?? []) {
      if (input.lvcmdq !== undefined && input.lvcmdq !== q.lvcmdq) continue;
      // a queue before this one may have changed the VINTF
      run(p, p.vintf(index)!, q.lvcmdq, memory, input.commands);
    }
  }
}

function fail(p: Pad, vintf: number, lvcmdq: number, fault: Fault): void {
  const there = p.vintf(vintf);
  const queue = there?.queues.find((q) => q.lvcmdq === lvcmdq);
  if (there === undefined || (queue === undefined && fault !== 'deaf')) {
    p.add({ kind: 'ignored', what: `VINTF${vintf}.LVCMDQ${lvcmdq}`, why: 'there is no queue' });
    return;
  }
  if (fault === 'cons-write') raise(p, vintf, lvcmdq, 'CONS_DRAM_WR_ABT_ERR');
  else if (fault === 'deaf') p.put(vintf, { ...there, deaf: [...there.deaf, lvcmdq] });
  else p.put(vintf, { ...there, queues: there.queues.map((q) => (q === queue ? { ...q, atcTimeout: true } : q)) });
}
