/**
 * The CMDQV of a Tegra241 as iommufd's calls see it: a vIOMMU is a VINTF, a HW queue a command queue of it, a vDEVICE one of
 * its stream ids. drivers/iommu/arm/arm-smmu-v3/tegra241-cmdqv.c, and the series before it.
 */
import { PAGE } from './areas.ts';
import type { Call } from './call.ts';
import { type QueueRequest, userData } from './driver.ts';
import { learnCmdqv } from './hardware.ts';
import { isKnown } from './machine.ts';
import { DRIVER, MACHINE, PHYSICAL, PRESSURE } from './reasons.ts';
import { allocateRegion } from './regions.ts';
import type { Range, Viommu } from './state.ts';
import { queueTraits } from './traits.ts';
import { hex, nameOf } from './words.ts';

/** enum iommu_viommu_type */
export const VIOMMU = { smmuv3: 1, cmdqv: 2 } as const;
/** IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV and what it was called before */
const QUEUE = 1;
/** struct iommu_viommu_tegra241_cmdqv: offset and length of page 0, bytes */
const DATA_BYTES = 16;
const LENGTH_AT = 8;
/** page 0 of a VINTF */
const PAGE0 = 0x1_0000n;
/** bytes of a command */
const COMMAND = 16n;
const LEAST = 2n * COMMAND;
/** VCMDQ_BASE.ADDR */
const ADDRESS = 0x0000_ffff_ffff_ffe0n;

export const isCmdqv = (viommu: Viommu): boolean => viommu.kind === VIOMMU.cmdqv;

/** VIOMMU_ALLOC: takes a VINTF and shows its page 0. → true where the call ends */
export function cmdqvViommu(c: Call, viommu: Viommu): boolean {
  const length = c.u32('data_len');
  const data = { type: viommu.kind, length, field: 'data_uptr' };
  if (length === 0 && c.refuse('EINVAL', 'tegra.data', { field: 'data_len', text: 'data_len is 0', wanted: `${DATA_BYTES}` })) return true;
  if (userData(c, data, DATA_BYTES, DATA_BYTES) === undefined) return true;
  if (noVintf(c, viommu)) return true;
  if (c.mayRefuse('ENOMEM', PRESSURE, 'tegra.memory')) return true;
  const region = allocateRegion(c, viommu, c.observedNested('data_uptr', LENGTH_AT) ?? PAGE0, 'data_uptr', 0);
  const view = new DataView(new ArrayBuffer(DATA_BYTES));
  view.setBigUint64(0, region.offset, true);
  view.setBigUint64(LENGTH_AT, PAGE0, true);
  c.writeNested('data_uptr', new Uint8Array(view.buffer));
  c.then(() => learnCmdqv(viommu.device, true));
  return false;
}

/** Are all VINTFs taken? → true where the call ends */
function noVintf(c: Call, viommu: Viommu): boolean {
  const { log2Vintfs } = viommu.device.driver;
  // how many of them other programs hold nobody sees
  if (!isKnown(c.kernel) || log2Vintfs === undefined)
    return c.mayRefuse('ENOSPC', MACHINE, 'tegra.vintf') || c.mayRefuse('ETIMEDOUT', DRIVER, 'tegra.vintf');
  const taken = [...c.kernel.contexts.values()].flatMap((x) => [...x.objects.values()]).filter((o) => o.type === 'VIOMMU' && isCmdqv(o));
  // the first one is the kernel's own
  const all = 2 ** log2Vintfs - 1;
  const text = `all of ${all} VINTFs are taken`;
  return taken.length >= all && c.refuse('ENOSPC', 'tegra.vintf', { text, wanted: 'a vIOMMU destroyed first', because: taken.slice(0, 8) });
}

/** VDEVICE_ALLOC: takes one of the VINTF's stream ids. → true where the call ends */
export function cmdqvVdevice(c: Call, viommu: Viommu, virtId: bigint): boolean {
  const { vsidBits, oneStream } = c.traits;
  const most = 2n ** BigInt(vsidBits) - 1n;
  if (
    virtId > most &&
    c.refuse('EINVAL', 'tegra.vsid', { field: 'virt_id', text: `virtual stream id ${hex(virtId)}`, wanted: `${hex(most)} at most` })
  )
    return true;
  if (oneStream && !isKnown(c.kernel) && c.mayRefuse('EOPNOTSUPP', MACHINE, 'smmu.streams')) return true;
  const { log2Sids } = viommu.device.driver;
  if (log2Sids === undefined) return c.mayRefuse('ENOSPC', DRIVER, 'tegra.sids');
  if (viommu.vdevices.size < 2 ** log2Sids) return false;
  const text = `${nameOf(viommu)} has ${2 ** log2Sids} stream ids, and all of them are taken`;
  return c.refuse('ENOSPC', 'tegra.sids', {
    field: 'virt_id',
    text,
    wanted: 'a vDEVICE destroyed first',
    because: [viommu, ...viommu.vdevices.values()],
  });
}

export function cmdqvQueueType(c: Call, viommu: Viommu, kind: number): boolean {
  const text = `${nameOf(viommu)} has no queues of type ${hex(kind)}`;
  return kind !== QUEUE && c.refuse('EOPNOTSUPP', 'tegra.queue-type', { field: 'type', text, wanted: `${QUEUE}`, because: [viommu] });
}

/** HW_QUEUE_ALLOC: index, length, address. → true where the call ends */
export function cmdqvQueue(c: Call, viommu: Viommu, queue: QueueRequest): boolean {
  return wrongIndex(c, viommu, queue.index) || wrongLength(c, viommu, queue.length) || wrongBase(c, viommu, queue);
}

/** Does a VINTF have a queue of this number? → true where the call ends */
function noSuchIndex(c: Call, viommu: Viommu, index: number, field: string): boolean {
  const { log2Queues } = viommu.device.driver;
  if (log2Queues === undefined) return index > 0 && c.mayRefuse('EINVAL', DRIVER, 'tegra.queue-index');
  const text = `index ${index}; a VINTF has ${2 ** log2Queues} queues`;
  const wanted = log2Queues === 0 ? '0' : `0 to ${2 ** log2Queues - 1}`;
  return index >= 2 ** log2Queues && c.refuse('EINVAL', 'tegra.queue-index', { field, text, wanted, because: [viommu] });
}

function wrongIndex(c: Call, viommu: Viommu, index: number): boolean {
  if (noSuchIndex(c, viommu, index, 'index')) return true;
  const there = viommu.queues.get(index);
  if (there !== undefined) {
    const text = `index ${index} is ${nameOf(there)}`;
    const detail = { field: 'index', text, wanted: 'an index that is free', because: [viommu, there] };
    if (c.refuse('EEXIST', 'tegra.queue-exists', detail)) return true;
  }
  if (index === 0 || viommu.queues.has(index - 1)) return false;
  const text = `there is no queue ${index - 1} yet`;
  return c.refuse('EIO', 'tegra.queue-order', {
    field: 'index',
    text,
    wanted: 'queues made in the order of their indexes',
    because: [viommu],
  });
}

function wrongLength(c: Call, viommu: Viommu, length: bigint): boolean {
  const { log2Commands } = viommu.device.driver;
  const most = log2Commands === undefined ? undefined : COMMAND << BigInt(log2Commands);
  const power = (length & (length - 1n)) === 0n;
  if (!power || length < LEAST || (most !== undefined && length > most)) {
    const text = `length ${hex(length)} is no length of a command queue`;
    const wanted = `a power of two, ${hex(LEAST)} to ${most === undefined ? '16 times the entries of IDR1.CMDQS' : hex(most)}`;
    if (c.refuse('EINVAL', 'tegra.queue-length', { field: 'length', text, wanted, because: [viommu] })) return true;
  }
  return most === undefined && length > LEAST && c.mayRefuse('EINVAL', DRIVER, 'tegra.queue-length');
}

/** The address is aligned to the length: the IOVA in the series, the physical one later. */
function wrongBase(c: Call, viommu: Viommu, queue: QueueRequest): boolean {
  const { base, length, memory, baseField } = queue;
  const refuse = (text: string, wanted: string): boolean =>
    c.refuse('EINVAL', 'tegra.queue-base', { field: baseField, text, wanted, because: [viommu] });
  if (queueTraits(c.traits.queueRules).aligns === 'iova') {
    if ((base & ~ADDRESS) !== 0n && refuse(`${hex(base)} has bits outside of ${hex(ADDRESS)}`, 'bits 5 to 47')) return true;
    const off = base & (length - 1n);
    return off !== 0n && refuse(`${hex(base)} is no multiple of the length, ${hex(length)}`, `a multiple of ${hex(length)}`);
  }
  if (length > PAGE || memory === undefined) return c.mayRefuse('EINVAL', PHYSICAL, 'tegra.queue-base');
  // within a page, physical addresses are those of the program's memory
  const off = memory & (length - 1n);
  const text = `the memory under ${hex(base)} begins ${hex(off)} bytes after a multiple of the length, ${hex(length)}`;
  return off !== 0n && refuse(text, `memory aligned to ${hex(length)}`);
}

/** struct iommu_vcmdq_tegra241_cmdqv: number, log2 of entries, address */
const VCMDQ_BYTES = 16;
const LOG2_MOST = 31;

/** vcmdq-v1: what the data of VCMDQ_ALLOC ask for; undefined where the call was refused. */
export function cmdqvVcmdq(c: Call, viommu: Viommu): { readonly index: number; readonly range: Range } | undefined {
  const refuse = (rule: string, text: string, wanted: string, field = 'data_uptr'): boolean =>
    c.refuse('EINVAL', rule, { field, text, wanted, because: [viommu] });
  const type = c.u32('type');
  if (type !== QUEUE && refuse('tegra.queue-type', `type ${hex(type)}`, `${QUEUE}`, 'type')) return undefined;
  const view = userData(c, { type, length: c.u32('data_len'), field: 'data_uptr' }, VCMDQ_BYTES, VCMDQ_BYTES);
  if (view === undefined) return undefined;
  const [index, log2, base] = [view.getUint32(0, true), view.getUint32(4, true), view.getBigUint64(8, true)];
  const unfit = base === 0n || (base & ~ADDRESS) !== 0n;
  if (unfit && refuse('tegra.queue-base', `base ${hex(base)}`, `an address of bits 5 to 47`)) return undefined;
  if ((log2 === 0 || log2 > LOG2_MOST) && refuse('tegra.queue-length', `log2size ${log2}`, `1 to ${LOG2_MOST}`)) return undefined;
  if (noSuchIndex(c, viommu, index, 'data_uptr')) return undefined;
  const { ioas } = viommu.parent;
  if (!ioas.areas.some((a) => a.start <= base && a.last >= base)) {
    const text = `${hex(base)} is not mapped in ${nameOf(ioas)}`;
    if (refuse('tegra.queue-hole', text, 'memory that is mapped')) return undefined;
  }
  return { index, range: { start: base, last: base + (COMMAND << BigInt(log2)) - 1n } };
}
