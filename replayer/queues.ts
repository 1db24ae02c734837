/** Reads and writes of fault queues and vEVENTQs. */

import { isCmdqvEvents, told } from './cmdqv-fold.ts';
import type { Cookie, Fault, Veventq } from './object-types.ts';
import { setObject } from './objects.ts';
import type { Context, OpenFile } from './state.ts';
import type { Step } from './step.ts';

/** sequence numbers wrap to 0 after INT_MAX */
const SEQUENCES = 0x8000_0000;

/** READ, returned, on a file with an object. */
export function readQueue(s: Step, c: Context, f: OpenFile): void {
  const object = c.objects.get(f.object);
  if (s.e.ret <= 0) return;
  if (object?.type === 'FAULT') readFaults(s, c, object);
  else if (object?.type === 'VEVENTQ') readEvents(s, c, object);
}

/** Records of the read: as many as the call returned, as far as they were taken. */
const taken = (s: Step): number => Math.min(s.e.ret, Math.max(s.e.out.bytes, 0));

function readFaults(s: Step, c: Context, fault: Fault): void {
  const { e } = s;
  const field = s.plan.records.iommu_hwpt_pgfault;
  const bytes = s.plan.bytesOf('iommu_hwpt_pgfault');
  const cookies = new Map<number, Cookie>(fault.cookies.map((k) => [k.cookie, k]));
  const read = new Set<number>();
  for (let at = 0; bytes > 0 && at + bytes <= taken(s); at += bytes) {
    const cookie = e.u32(e.out, at + field.cookie);
    const more = read.has(cookie) ? cookies.get(cookie) : undefined;
    read.add(cookie);
    cookies.set(cookie, {
      cookie,
      device: e.u32(e.out, at + field.dev_id),
      pasid: e.u32(e.out, at + field.pasid),
      group: e.u32(e.out, at + field.grpid),
      faults: (more?.faults ?? 0) + 1,
      seq: e.seq,
    });
  }
  setObject(s, c, fault, {
    reads: fault.reads + 1,
    faults: fault.faults + Math.floor(e.ret / Math.max(bytes, 1)),
    cookies: [...cookies.values()].sort((a, b) => a.cookie - b.cookie),
  });
}

function readEvents(s: Step, c: Context, queue: Veventq): void {
  const { e } = s;
  const header = s.plan.records.iommufd_vevent_header;
  const bytes = s.plan.bytesOf('iommufd_vevent_header');
  const payload = s.plan.payloadOf(queue.kind);
  let { events, lost, untold, sequence } = queue;
  for (let at = 0; bytes > 0 && at + bytes <= taken(s); ) {
    const isLost = (e.u32(e.out, at + header.flags) & s.plan.k.IOMMU_VEVENTQ_FLAG_LOST_EVENTS) !== 0;
    const next = e.u32(e.out, at + header.sequence);
    // a queue that was there before the log began has an unknown past
    const known = sequence >= 0 || queue.origin === 'observed';
    const missed = (((next - sequence) % SEQUENCES) + SEQUENCES) % SEQUENCES;
    const missing = isLost ? missed : Math.max(missed - 1, 0);
    if (known) lost += missing;
    if (known && !isLost) untold += missing;
    if (!isLost) events++;
    if (!isLost && isCmdqvEvents(queue.kind) && at + bytes + 16 <= taken(s)) told(s, queue.viommu, at + bytes);
    sequence = next;
    if (isLost) at += bytes;
    else if (payload === undefined) break;
    else at += bytes + payload;
  }
  setObject(s, c, queue, { reads: queue.reads + 1, events, lost, untold, sequence });
}

/** WRITE, returned: responses to faults, as many as the call says it has handled. */
export function writeQueue(s: Step, c: Context, f: OpenFile): void {
  const { e } = s;
  const fault = c.objects.get(f.object);
  if (fault?.type !== 'FAULT' || e.ret <= 0) return;
  const field = s.plan.records.iommu_hwpt_page_response;
  const bytes = s.plan.bytesOf('iommu_hwpt_page_response');
  const answered = new Set<number>();
  for (let at = 0; bytes > 0 && at + bytes <= Math.min(e.ret, Math.max(e.in.bytes, 0)); at += bytes) {
    answered.add(e.u32(e.in, at + field.cookie));
  }
  setObject(s, c, fault, {
    responses: fault.responses + Math.floor(e.ret / Math.max(bytes, 1)),
    cookies: fault.cookies.filter((k) => !answered.has(k.cookie)),
  });
}
