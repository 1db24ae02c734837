/**
 * Calls on an iommufd's files that are no ioctls: mmap of a region, read and write of fault and event queues.
 * drivers/iommu/iommufd/main.c, iommufd_fops_mmap(), and eventq.c.
 */
import { PAGE } from './areas.ts';
import type { Refusal, RefusalDetail } from './call.ts';
import type { Context, Fault, FaultGroup, KObject, Veventq } from './state.ts';
import type { Traits } from './traits.ts';
import { hex, nameOf } from './words.ts';

/** What such a call is answered. */
export interface Reply {
  /** '' for success */
  readonly errno: string;
  readonly refusal: Refusal | undefined;
  /** bytes read or written; undefined: not determined (an address) */
  readonly ret: bigint | undefined;
  /** what a read brings */
  readonly bytes: Uint8Array | undefined;
  commit(): void;
}

const nothing = (): void => {};
const refuse = (errno: string, rule: string, detail: RefusalDetail & { readonly text: string }): Reply => ({
  errno,
  refusal: { ...detail, errno, rule },
  ret: -1n,
  bytes: undefined,
  commit: nothing,
});

const MAP_SHARED = 1;
const MAP_TYPE = 0xf;
const PROT_EXEC = 4;

/** mmap(2) of an iommufd: what `offset` and `length` must be, bytes. */
export function mmap(
  context: Context,
  traits: Traits,
  m: { readonly length: bigint; readonly prot: number; readonly flags: number; readonly offset: bigint },
): Reply {
  if (traits.mmap === 'none') return refuse('ENODEV', 'mmap.none', { text: 'this kernel maps nothing of an iommufd' });
  const type = m.flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== 3)
    return refuse('EINVAL', 'mmap.private', { field: 'flags', text: 'not MAP_SHARED', wanted: 'MAP_SHARED' });
  if ((m.prot & PROT_EXEC) !== 0) return refuse('EPERM', 'mmap.exec', { field: 'prot', text: 'PROT_EXEC' });
  const length = ((m.length + PAGE - 1n) / PAGE) * PAGE;
  const region = context.regions.find((r) => m.offset >= r.offset && m.offset < r.offset + r.length);
  const known = context.regions.map((r) => `${hex(r.offset)}+${hex(r.length)} of ${nameOf(r.owner)}`).join(', ');
  if (region === undefined)
    return refuse('ENXIO', 'mmap.no-region', {
      field: 'offset',
      text: `no region is at ${hex(m.offset)}${known === '' ? '' : `; there are ${known}`}`,
      wanted: 'the offset that the kernel handed out',
    });
  const because: KObject[] = [region.owner];
  const wanted = `offset ${hex(region.offset)} and length ${hex(region.length)}`;
  const shorter = traits.mmap !== 'exact';
  if (!shorter && m.offset !== region.offset)
    return refuse('ENXIO', 'mmap.offset', {
      field: 'offset',
      text: `${hex(m.offset)} is inside the region of ${nameOf(region.owner)}, not at its start`,
      wanted,
      because,
    });
  if (shorter ? length > region.length : length !== region.length)
    return refuse(traits.mmap === 'v1' ? 'EINVAL' : 'ENXIO', 'mmap.length', {
      field: 'length',
      text: `length ${hex(m.length)}, and the region of ${nameOf(region.owner)} has ${hex(region.length)}`,
      wanted,
      because,
    });
  return { errno: '', refusal: undefined, ret: undefined, bytes: undefined, commit: nothing };
}

const HEADER = 8;
const LOST = 1;

/** read(2) of a vEVENTQ. Never blocks. */
export function readVeventq(queue: Veventq, traits: Traits, count: number): Reply {
  if (traits.veventqBounds && count < HEADER)
    return refuse('EINVAL', 'veventq-read.count', {
      text: `room for ${count} bytes`,
      wanted: `${HEADER} bytes at least`,
      because: [queue],
    });
  const parts: Uint8Array[] = [];
  let done = 0;
  let taken = 0;
  for (const event of queue.waiting) {
    const bytes = HEADER + (event.data?.length ?? 0);
    if (done + bytes > count) {
      if (taken === 0)
        return refuse('EINVAL', 'veventq-read.room', {
          text: `the first event has ${bytes} bytes, and there is room for ${count}`,
          wanted: `${bytes} bytes at least`,
          because: [queue],
        });
      break;
    }
    const record = new Uint8Array(bytes);
    const view = new DataView(record.buffer);
    view.setUint32(0, event.data === undefined ? LOST : 0, true);
    view.setUint32(4, event.sequence, true);
    if (event.data) record.set(event.data, HEADER);
    parts.push(record);
    done += bytes;
    taken++;
  }
  return {
    errno: '',
    refusal: undefined,
    ret: BigInt(done),
    bytes: joined(parts, done),
    commit: () => void queue.waiting.splice(0, taken),
  };
}

const FAULT_RECORD = 40;
const COOKIE_AT = 36;
const RESPONSE = 8;

/** read(2) of a fault queue: whole groups. Never blocks. */
export function readFault(fault: Fault, count: number): Reply {
  if (count % FAULT_RECORD !== 0)
    return refuse('ESPIPE', 'fault-read.count', { text: `${count} is no multiple of ${FAULT_RECORD}`, because: [fault] });
  const parts: Uint8Array[] = [];
  const taken: [number, FaultGroup][] = [];
  const used = new Set(fault.answered.keys());
  let done = 0;
  for (const group of fault.waiting) {
    const bytes = group.records.length * FAULT_RECORD;
    if (done + bytes > count) {
      if (taken.length === 0)
        return refuse('EINVAL', 'fault-read.room', {
          text: `the first group has ${bytes} bytes, and there is room for ${count}`,
          because: [fault],
        });
      break;
    }
    let cookie = 1;
    while (used.has(cookie)) cookie++;
    used.add(cookie);
    taken.push([cookie, group]);
    for (const r of group.records) {
      const record = r.slice();
      new DataView(record.buffer).setUint32(COOKIE_AT, cookie, true);
      parts.push(record);
    }
    done += bytes;
  }
  return {
    errno: '',
    refusal: undefined,
    ret: BigInt(done),
    bytes: joined(parts, done),
    commit: () => {
      fault.waiting.splice(0, taken.length);
      for (const [cookie, group] of taken) fault.answered.set(cookie, group);
    },
  };
}

/** write(2) of a fault queue: answers to groups. */
export function writeFault(fault: Fault, bytes: Uint8Array, count: number): Reply {
  if (count % RESPONSE !== 0)
    return refuse('ESPIPE', 'fault-write.count', { text: `${count} is no multiple of ${RESPONSE}`, because: [fault] });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cookies = new Set<number>();
  let done = 0;
  let refusal: Reply | undefined;
  for (; done < count && done + RESPONSE <= bytes.length; done += RESPONSE) {
    const [cookie, code] = [view.getUint32(done, true), view.getUint32(done + 4, true)];
    if (code > 1)
      refusal = refuse('EINVAL', 'fault-write.code', {
        text: `there is no answer ${code}`,
        wanted: '0 (done) or 1 (invalid)',
        because: [fault],
      });
    else if (!fault.answered.has(cookie) || cookies.has(cookie))
      refusal = refuse('EINVAL', 'fault-write.cookie', { text: `no group with cookie ${cookie} waits for an answer`, because: [fault] });
    if (refusal !== undefined) break;
    cookies.add(cookie);
  }
  const commit = (): void => {
    for (const cookie of cookies) fault.answered.delete(cookie);
  };
  if (refusal !== undefined && done === 0) return refusal;
  return { errno: '', refusal: undefined, ret: BigInt(done), bytes: undefined, commit };
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
