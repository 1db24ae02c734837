/** Read and write of fault and event queues. drivers/iommu/iommufd/eventq.c. */
import type { Refusal, RefusalDetail } from './call.ts';
import type { Fault, FaultGroup, KObject, Veventq } from './state.ts';
import type { Traits } from './traits.ts';

/** What a call that is no ioctl is answered. */
export interface Reply {
  /** '' for success */
  readonly errno: string;
  readonly refusal: Refusal | undefined;
  /** of a success: the check that let it pass, in words */
  readonly allowed?: string;
  /** objects that the success rests on */
  readonly because?: readonly KObject[];
  /** any other answer may come as well, for this reason */
  readonly unsure?: string;
  /** bytes read or written; undefined: not determined (an address) */
  readonly ret: bigint | undefined;
  /** what a read brings */
  readonly bytes: Uint8Array | undefined;
  commit(): void;
}

const nothing = (): void => {};
export const refuse = (errno: string, rule: string, detail: RefusalDetail & { readonly text: string }): Reply => ({
  errno,
  refusal: { ...detail, errno, rule },
  ret: -1n,
  bytes: undefined,
  commit: nothing,
});

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

/** write(2) of a fault queue: answers to groups. `bytes`: what can be read of the `count` bytes. */
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
  if (refusal === undefined && done < count)
    refusal = refuse('EFAULT', 'fault-write.memory', { text: `only ${bytes.length} bytes can be read` });
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
