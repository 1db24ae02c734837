/**
 * What calls have done to the CMDQV, told from the kernel's objects: vIOMMUs with a VINTF, their vDEVICEs and queues that have
 * come and gone. However they went (DESTROY, the last close, the end of a device), the hardware is told the same.
 */

import type { Input } from '../cmdqv/model.ts';
import { addressOf } from '../iommufd/access.ts';
import type { HwQueue, Kernel, Vdevice, Viommu } from '../iommufd/state.ts';
import { isCmdqv } from '../iommufd/tegra.ts';

/** What was there the last time. */
export interface Known {
  readonly viommu: Viommu;
  readonly vdevices: readonly Vdevice[];
  readonly queues: readonly HwQueue[];
}

/** An object's own name: ids come back, births do not. */
export const keyOf = (o: { readonly context: { readonly file: number }; readonly id: number; readonly birth: number }): string =>
  `${o.context.file}/${o.id}@${o.birth}`;

/** Base (IOVA) and bytes that a call asked for: some kernels pin, and keep, whole pages. */
export interface Asked {
  readonly base: bigint;
  readonly length: bigint;
}

/** Differences of the kernel's objects from what was known, as what the driver does: what ends comes first, and last things first. `asked`: by the call that made the one queue that is new. */
export function changes(
  kernel: Kernel,
  known: ReadonlyMap<string, Known>,
  asked?: Asked,
): { readonly inputs: readonly Input[]; readonly known: ReadonlyMap<string, Known> } {
  const now = new Map<string, Known>();
  for (const context of kernel.contexts.values())
    for (const o of context.objects.values())
      if (o.type === 'VIOMMU' && isCmdqv(o))
        now.set(keyOf(o), { viommu: o, vdevices: [...o.vdevices.values()], queues: [...o.queues.values()] });
  const inputs: Input[] = [];
  for (const [viommu, k] of known) {
    const there = now.get(viommu);
    for (const q of [...k.queues].sort((a, b) => b.index - a.index))
      if (there?.queues.includes(q) !== true) inputs.push({ kind: 'queue-destroy', viommu, lvcmdq: q.index });
    for (const v of k.vdevices)
      if (there?.vdevices.includes(v) !== true) inputs.push({ kind: 'vdevice-destroy', viommu, vdevice: keyOf(v) });
    if (there === undefined) inputs.push({ kind: 'viommu-destroy', viommu });
  }
  for (const [viommu, k] of now) {
    const before = known.get(viommu);
    if (before === undefined) inputs.push({ kind: 'viommu-alloc', viommu, vmid: k.viommu.parent.id });
    for (const v of k.vdevices) if (before?.vdevices.includes(v) !== true) inputs.push(vdevice(viommu, v));
    for (const q of k.queues) if (before?.queues.includes(q) !== true) inputs.push(queue(viommu, q, asked ?? q));
  }
  return { inputs, known: now };
}

/** The physical stream is made up from the device; so is the VMID above from the parent: nothing else depends on either. */
const vdevice = (viommu: string, v: Vdevice): Input => ({
  kind: 'vdevice-alloc',
  viommu,
  vdevice: keyOf(v),
  vsid: Number(BigInt.asUintN(20, v.virtId)),
  psid: 0x100 * v.device.id,
});

/** Where its entries are: the program's memory under the address that the call gave. */
function queue(viommu: string, q: HwQueue, asked: Asked): Input {
  const area = q.viommu.parent.ioas.areas.find((a) => a.start <= asked.base && asked.base <= a.last);
  const base = area === undefined ? asked.base : addressOf(area, asked.base);
  return { kind: 'queue-alloc', viommu, key: keyOf(q), lvcmdq: q.index, base, physical: true, length: asked.length };
}
