/**
 * IOMMU_HW_QUEUE_ALLOC, and what it was called in the series before it was merged. drivers/iommu/iommufd/viommu.c,
 * iommufd_hw_queue_alloc_ioctl(); what the driver looks at is its own.
 */
import { addressOf, type Piece, pin, pinnable as pinnablePages } from './access.ts';
import { alignmentOf, PAGE, TOP, touching } from './areas.ts';
import { driverOf } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { misaligned } from './ioas.ts';
import { insert, object } from './objects.ts';
import { PHYSICAL, PRESSURE } from './reasons.ts';
import type { Access, HwQueue, Range, Viommu } from './state.ts';
import { type QueueTraits, queueTraits } from './traits.ts';
import { flagsOrType } from './viommu.ts';
import { hex, nameOf } from './words.ts';

/** Fields of the command that makes a queue, whose names differ between the series. */
const BASES = ['nesting_parent_iova', 'base_addr', 'addr'] as const;
const OUTS = ['out_hw_queue_id', 'out_vqueue_id', 'out_vcmdq_id'] as const;

/** The field that holds a queue's address. */
export const baseField = (c: { readonly command: Call['command'] }): string => fieldOf(c, BASES);

const fieldOf = (c: { readonly command: Call['command'] }, names: readonly string[]): string =>
  names.find((name) => c.command.struct?.byName.has(name) === true) ?? names[0]!;

/** The same checks in the order of each series. */
const allocQueue: Rule = (c) => {
  if (flagsOrType(c, 'hw-queue-alloc')) return;
  const q = queueTraits(c.traits.queueRules);
  const field = baseField(c);
  const [base, length] = [c.u64(field), c.u64('length')];
  if (wrongRange(c, q, field, base, length)) return;
  if (q.arrayFirst && tooLong(c, base, length)) return;
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined || noQueues(c, viommu)) return;
  const driver = driverOf(viommu.device);
  if (q.typeFirst && driver.queueType(c, viommu, c.u32('type'))) return;
  const ids = takeIds(c, q);
  if (!q.arrayFirst && tooLong(c, base, length)) return;
  const { ioas } = viommu.parent;
  const unaligned = q.pins === 'access' && alignmentOf(ioas) < PAGE ? misaligned(ioas, PAGE) : undefined;
  if (
    unaligned &&
    c.refuse('EADDRINUSE', 'hw-queue-alloc.alignment', {
      field,
      text: `${hex(unaligned.start)} to ${hex(unaligned.last)} of ${nameOf(ioas)} is not aligned to pages`,
      because: [ioas],
    })
  )
    return;
  const range = q.rounds
    ? { start: (base / PAGE) * PAGE, last: ((base + length + PAGE - 1n) / PAGE) * PAGE - 1n }
    : { start: base, last: base + length - 1n };
  const pieces = pinnable(c, q, viommu, field, range);
  if (pieces === undefined) return;
  if (!q.typeFirst && driver.queueType(c, viommu, c.u32('type'))) return;
  const index = c.u32('index');
  const first = pieces[0];
  const memory = first === undefined ? undefined : addressOf(first.area, first.start) + (base - first.start);
  if (driver.queue(c, viommu, { index, base, length, memory, baseField: field })) return;
  publish(c, q, { viommu, index, range, pieces, ...ids });
};

/** Base, length and their sum. → true where the call ends */
function wrongRange(c: Call, q: QueueTraits, field: string, base: bigint, length: bigint): boolean {
  if (q.baseZero && base === 0n && c.refuse('EINVAL', 'hw-queue-alloc.base', { field, text: 'the base is 0', wanted: 'another address' }))
    return true;
  if (length === 0n && c.refuse('EINVAL', 'hw-queue-alloc.length', { field: 'length', text: 'length is 0', wanted: 'more than 0' }))
    return true;
  return (
    q.overflow &&
    base + length - 1n > TOP &&
    c.refuse('EOVERFLOW', 'hw-queue-alloc.overflow', {
      field,
      text: `${hex(base)} + ${hex(length)} goes over the end of the address space`,
      wanted: 'an end below 2^64',
    })
  );
}

/** Bytes of one allocation of the kernel at most, whichever of its allocators it asks. */
const MOST = 2n ** 31n - 1n;
/** what every one of them gives where there is memory */
const SAFE = 2n ** 22n;

/** An array with a word for each page is made. → true where the call ends */
function tooLong(c: Call, base: bigint, length: bigint): boolean {
  const detail = (text: string) => ({ field: 'length', text, wanted: 'a length of a queue' });
  const { rounds } = queueTraits(c.traits.queueRules);
  if (rounds && (base % PAGE) + length > TOP) {
    const text = `${hex(length)} from the start of the page of ${hex(base)} on goes over 2^64`;
    if (c.refuse('ERANGE', 'hw-queue-alloc.range', detail(text))) return true;
  }
  const array = 8n * ((length + PAGE - 1n) / PAGE);
  if (array > MOST) {
    const text = `the pages of ${hex(length)} bytes would take an array of ${hex(array)} bytes`;
    return c.refuse('ENOMEM', 'hw-queue-alloc.array', detail(text));
  }
  return array > SAFE && c.mayRefuse('ENOMEM', PRESSURE, 'hw-queue-alloc.array');
}

/** Does the driver make queues at all? → true where the call ends */
function noQueues(c: Call, viommu: Viommu): boolean {
  if (driverOf(viommu.device).queues(c, viommu) !== false) return false;
  const text = `${nameOf(viommu)} has no queues`;
  return c.refuse('EOPNOTSUPP', 'hw-queue-alloc.unsupported', { field: 'viommu_id', text, because: [viommu] });
}

function takeIds(c: Call, q: QueueTraits): { readonly id: number; readonly accessId: number } {
  const out = fieldOf(c, OUTS);
  if (q.ids === 'queue') return { id: c.newId(out), accessId: 0 };
  if (q.ids === 'queue, access') {
    const id = c.newId(out);
    return { id, accessId: c.newId('') };
  }
  const accessId = c.newId('');
  return { id: c.newId(out), accessId };
}

/** What is pinned under the queue; undefined where the call was refused. */
function pinnable(c: Call, q: QueueTraits, viommu: Viommu, field: string, range: Range): readonly Piece[] | undefined {
  const { ioas } = viommu.parent;
  // the series that looked the base up first said so otherwise where the base itself is not mapped
  if (q.unmapped !== 'ENOENT' && touching(ioas, { start: range.start, last: range.start }).length === 0) {
    const text = `${hex(range.start)} is not mapped in ${nameOf(ioas)}`;
    if (c.refuse(q.unmapped, 'hw-queue-alloc.hole', { field, text, wanted: 'memory that is mapped', because: [ioas] })) return undefined;
  }
  const length = range.last - range.start + 1n;
  const pieces = pinnablePages(c, { ioas, iova: range.start, length, write: false, iovaField: field, lengthField: 'length' });
  if (pieces === undefined) return undefined;
  return q.contiguous && length > PAGE && c.mayRefuse('EFAULT', PHYSICAL, 'hw-queue-alloc.pages') ? undefined : pieces;
}

interface Made {
  readonly id: number;
  /** 0: there is no access */
  readonly accessId: number;
  readonly viommu: Viommu;
  readonly index: number;
  readonly range: Range;
  readonly pieces: readonly Piece[];
}

function publish(c: Call, q: QueueTraits, m: Made): void {
  const { viommu, index, range } = m;
  const { ioas } = viommu.parent;
  const common = { context: c.context, birth: c.request.seq };
  const access: Access | undefined =
    m.accessId === 0
      ? undefined
      : { type: 'ACCESS', id: m.accessId, ...common, users: 1, ioas, pins: true, nextItem: 0, owner: 'hw-queue' };
  const queue: HwQueue = {
    type: 'HW_QUEUE',
    id: m.id,
    ...common,
    users: 0,
    viommu,
    kind: c.u32('type'),
    index,
    base: range.start,
    length: range.last - range.start + 1n,
    access,
    before: q.ordered ? viommu.queues.get(index - 1) : undefined,
  };
  c.then(() => {
    insert(queue);
    if (access) {
      insert(access);
      ioas.users++;
      ioas.accesses.push(access);
      pin(m.pieces, access, -1);
    } else queue.spare = c.context.lowestFree;
    // of queues that were made at once the last decides
    if (access && queue.id > access.id) access.passed = true;
    ioas.queues.push(queue);
    c.context.queues.push(queue);
    viommu.users++;
    viommu.queues.set(index, queue);
    if (queue.before) queue.before.users++;
    if (viommu.device.driver.name === 'mock') viommu.mockSlots = (viommu.mockSlots ?? 0) | (1 << index);
  });
}

/** IOMMU_VCMDQ_ALLOC as the first series had it: everything about the queue lies in data for the driver. */
const allocVcmdq: Rule = (c) => {
  if (flagsOrType(c, 'hw-queue-alloc')) return;
  if (
    c.u32('data_len') === 0 &&
    c.refuse('EINVAL', 'vcmdq-alloc.data', { field: 'data_len', text: 'data_len is 0', wanted: 'the parameters of the queue' })
  )
    return;
  const viommu = object(c, 'viommu_id', 'VIOMMU');
  if (viommu === undefined || noQueues(c, viommu)) return;
  const asked = driverOf(viommu.device).vcmdq(c, viommu);
  if (asked === undefined) return;
  const { index, range } = asked;
  const there = viommu.queues.get(index);
  if (there !== undefined) {
    // the queue that there is gets the new memory, and a reference that nobody gives back
    c.set('out_vcmdq_id', there.id);
    c.then(() => {
      viommu.users++;
      viommu.leaked = (viommu.leaked ?? 0) + 1;
    });
    return;
  }
  publish(c, queueTraits('v1'), { id: c.newId('out_vcmdq_id'), accessId: 0, viommu, index, range, pieces: [] });
};

export const rules: Readonly<Record<string, Rule>> = {
  IOMMU_HW_QUEUE_ALLOC: allocQueue,
  IOMMU_VQUEUE_ALLOC: allocQueue,
  IOMMU_VCMDQ_ALLOC: (c) => (c.traits.queueRules === 'v1' ? allocVcmdq(c) : allocQueue(c)),
};
