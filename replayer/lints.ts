/**
 * What is legal and still a sign of trouble: objects that nobody took down, things done twice or in the wrong order, events
 * that were lost or never read. Found on the way of a check.
 */
import { BATCH_COMMANDS } from '../hw/smmuv3/invalidate.ts';
import type { FrameCursor } from '../store/frame.ts';
import { Kind, PartKind } from '../store/frame.ts';
import type { Area } from './areas.ts';
import type { Change } from './change.ts';
import { placeOf } from './cmdqv.ts';
import { type QueueWhy, queueWhy, toldOf } from './cmdqv-why.ts';
import type { HwQueue, KernelObject, Uid, Veventq } from './object-types.ts';
import type { SessionState } from './state.ts';
import { objectName } from './words.ts';

export interface Lint {
  readonly seq: number;
  /** 'leak' … : stable */
  readonly rule: string;
  readonly text: string;
}

/** Every lint, and what it is about. */
export const LINTS: Readonly<Record<string, string>> = {
  leak: 'objects or mappings that were still there when the context ended',
  'double-destroy': 'an object destroyed again after its end',
  'destroy-order': 'an object destroyed before what stands on it',
  tombstone: 'a vDEVICE whose device went first: its id is lost',
  'events-lost': 'a vEVENTQ that was full: events that the guest will never hear of',
  'sequence-gap': 'numbers missing in the sequence of a vEVENTQ, and no LOST_EVENTS record that says so',
  'queue-memory': 'memory for a HW queue that does not lie together: huge pages under the guest avoid it',
  'commands-dropped':
    'commands for an SMMUv3 that count as done and were not sent, as one behind them was refused: they are to be sent again',
  'queue-unmapped': 'memory unmapped under a HW queue, which the guest goes on driving',
  'faults-unanswered': 'a fault queue that ended with page faults that were read and not answered',
  'events-unread': 'a queue that ended with events nobody had read',
  'queue-stuck': 'a HW queue that ended, or was left, with an error pending, off, or behind its program',
  'queue-unrecovered': 'a vEVENT named a queue, and its error was never acknowledged',
  'mapping-outlives': 'a mapping of a region that outlived the descriptors of its context',
};

const EBUSY = 16;
const ENOENT = 2;

/** Objects that a program makes and is to destroy; the others end with these. */
const OWNED = new Set<KernelObject['type']>(['IOAS', 'HWPT_PAGING', 'HWPT_NESTED', 'VIOMMU', 'VDEVICE', 'VEVENTQ', 'HW_QUEUE', 'FAULT']);

const DESTROY = 0x3b80;

/** The id that a frame asks to destroy. */
export function destroyedBy(f: FrameCursor): number | undefined {
  if (f.kind !== Kind.IOCTL || f.request !== DESTROY || !f.part(PartKind.IN) || f.partBytes < 8) return undefined;
  return f.buffer.readUInt32LE(f.partStart + 4);
}

export class Linter {
  readonly found: Lint[] = [];
  /** what is in the way of the hardware queues, as of the last event that touched them */
  readonly #queues = new Map<Uid, { readonly why: QueueWhy; readonly told: number }>();

  /** Looks at an event and what it changed. `destroyed`: the id that a DESTROY names. `state`: the one after it. */
  take(f: FrameCursor, seq: number, changes: readonly Change[], state: SessionState, destroyed: number | undefined): void {
    if (f.kind === Kind.IOCTL && destroyed !== undefined && f.error !== 0) this.#destroy(f, seq, state, destroyed);
    if (changes.length > 0) this.#changes(seq, changes, state);
    if (state.cmdqv.queues.size > 0 || this.#queues.size > 0) this.#hardware(seq, changes, state);
  }

  /** The log ends: queues that are still there. */
  finish(seq: number): void {
    for (const { why, told } of this.#queues.values()) this.#stuck(seq, why, told, 'is left');
    this.#queues.clear();
  }

  /** Hardware queues that an event touched or ended. */
  #hardware(seq: number, changes: readonly Change[], state: SessionState): void {
    if (!changes.some((c) => c.op.startsWith('cmdqv.'))) return;
    for (const c of changes) {
      if (c.op !== 'object.end' || c.object.type !== 'HW_QUEUE') continue;
      const last = this.#queues.get(c.object.uid);
      this.#queues.delete(c.object.uid);
      if (last !== undefined) this.#stuck(seq, last.why, last.told, 'ends');
    }
    for (const notes of state.cmdqv.queues.values()) {
      const at = placeOf(state.cmdqv, notes.queue);
      const why = queueWhy(state, notes.queue);
      if (at === undefined || why === undefined) continue;
      this.#queues.set(notes.queue, { why, told: why.troubles[0]?.kind === 'error' ? toldOf(state, at, notes) : 0 });
    }
  }

  #stuck(seq: number, why: QueueWhy, told: number, how: string): void {
    const [worst] = why.troubles;
    if (worst === undefined || worst.kind === 'no-sync') return;
    const queue = why.object === 0 ? why.name : `HW_QUEUE ${why.object}`;
    this.add(seq, 'queue-stuck', `${queue} ${how}: ${worst.text}`);
    if (told > 0)
      this.add(
        seq,
        'queue-unrecovered',
        `${queue} ${how}, and the error that the vEVENT read at event ${told} told of was never acknowledged`,
      );
  }

  /** A HW queue is refused with EFAULT: `length` bytes of memory that do not lie together. */
  queueRefused(seq: number, length: bigint): void {
    this.add(seq, 'queue-memory', `the ${length} bytes of the queue are not one piece of physical memory`);
  }

  /** A command for an SMMUv3 is refused with EIO, when `done` before it count as done. */
  commandsRefused(seq: number, done: number): void {
    const dropped = done % BATCH_COMMANDS;
    if (dropped > 0) this.add(seq, 'commands-dropped', `${dropped} of the ${done} commands that count as done were not sent`);
  }

  add(seq: number, rule: keyof typeof LINTS & string, text: string): void {
    this.found.push({ seq, rule, text });
  }

  #destroy(f: FrameCursor, seq: number, state: SessionState, id: number): void {
    const context = [...state.contexts.values()].find((c) => c.file === f.file);
    if (context === undefined) return;
    if (f.error === ENOENT) {
      const ended = context.ended.get(id);
      if (ended !== undefined) this.add(seq, 'double-destroy', `${ended.type} ${id} ended at event ${ended.seq}, and is destroyed again`);
    } else if (f.error === EBUSY) {
      const uid = context.ids.get(id);
      const object = uid === undefined ? undefined : context.objects.get(uid);
      if (object !== undefined && OWNED.has(object.type))
        this.add(seq, 'destroy-order', `${objectName(object)} is destroyed while it is in use`);
    }
  }

  #changes(seq: number, changes: readonly Change[], state: SessionState): void {
    const left: string[] = [];
    for (const c of changes) {
      if (c.op === 'object.end') this.#end(seq, c, left);
      else if (c.op === 'object.set' && c.to.type === 'VEVENTQ' && c.from.type === 'VEVENTQ') this.#events(seq, c.from, c.to);
      else if (c.op === 'area.remove') this.#unmapped(seq, c, state);
      else if (c.op === 'mapping.remove' && c.mapping.viommu !== 0 && !descriptor(state, c.mapping.file)) {
        const text = `the mapping at 0x${c.mapping.address.toString(16)} was the last that kept context ${c.mapping.context}`;
        this.add(seq, 'mapping-outlives', text);
      }
    }
    if (left.length > 0) this.add(seq, 'leak', `the context ends with ${left.join(', ')} still there`);
  }

  #end(seq: number, c: Extract<Change, { readonly op: 'object.end' }>, left: string[]): void {
    if (c.how === 'tombstone')
      this.add(seq, 'tombstone', `the device of ${objectName(c.object)} ends before it; id ${c.object.id} is never used again`);
    if ((c.how === 'release' || c.how === 'close') && OWNED.has(c.object.type) && !automatic(c.object)) {
      const mapped = c.areas?.count ?? 0;
      left.push(`${objectName(c.object)}${mapped === 0 ? '' : ` with ${counted(mapped, 'mapping')}`}`);
    }
    const open = unanswered(c.object);
    if (open > 0) this.add(seq, 'faults-unanswered', `${objectName(c.object)} ends with ${counted(open, 'page fault')} unanswered`);
  }

  #events(seq: number, from: Veventq, to: Veventq): void {
    const [lost, untold] = [to.lost - from.lost, to.untold - from.untold];
    if (lost > untold) this.add(seq, 'events-lost', `${objectName(to)} has lost ${counted(lost - untold, 'event')}`);
    if (untold > 0)
      this.add(
        seq,
        'sequence-gap',
        `${objectName(to)}: ${counted(untold, 'number')} missing before ${to.sequence}, and none was told as lost`,
      );
  }

  /** An IOVA range goes while a queue has its memory there. */
  #unmapped(seq: number, c: Extract<Change, { readonly op: 'area.add' | 'area.remove' }>, state: SessionState): void {
    const context = state.contexts.get(c.context);
    if (context === undefined) return;
    for (const queue of context.objects.values()) {
      if (queue.type !== 'HW_QUEUE' || !under(queue, c.area)) continue;
      const viommu = context.objects.get(queue.viommu);
      const parent = viommu?.type === 'VIOMMU' ? context.objects.get(viommu.hwpt) : undefined;
      if (parent?.type !== 'HWPT_PAGING' || parent.ioas !== c.ioas) continue;
      this.add(seq, 'queue-unmapped', `IOVA 0x${c.area.start.toString(16)} is unmapped under ${objectName(queue)}`);
    }
  }
}

/** Does the queue lie in the area, or a part of it? */
const under = (queue: HwQueue, area: Area): boolean =>
  queue.length > 0 && queue.iova <= area.last && BigInt(queue.iova) + BigInt(queue.length) > BigInt(area.start);

const counted = (n: number, one: string): string => `${n} ${one}${n === 1 ? '' : 's'}`;

const automatic = (o: KernelObject): boolean => o.type === 'HWPT_PAGING' && o.auto;

/** Groups of page faults that were read and never answered. */
const unanswered = (o: KernelObject): number => (o.type === 'FAULT' ? o.cookies.length : 0);

function descriptor(state: SessionState, file: number): boolean {
  return [...state.fds.values()].some((fds) => [...fds.values()].includes(file));
}
