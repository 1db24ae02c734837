/**
 * What is legal and still a sign of trouble: objects that nobody took down, things done twice or in the wrong order, events
 * that were lost or never read. Found on the way of a check.
 */
import type { FrameCursor } from '../store/frame.ts';
import { Kind } from '../store/frame.ts';
import type { Change } from './change.ts';
import type { KernelObject } from './object-types.ts';
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
  'events-lost': 'a vEVENTQ that was full',
  'faults-unanswered': 'a fault queue that ended with page faults that were read and not answered',
  'events-unread': 'a queue that ended with events nobody had read',
  'mapping-outlives': 'a mapping of a region that outlived the descriptors of its context',
};

const EBUSY = 16;
const ENOENT = 2;

/** Objects that a program makes and is to destroy; the others end with these. */
const OWNED = new Set<KernelObject['type']>(['IOAS', 'HWPT_PAGING', 'HWPT_NESTED', 'VIOMMU', 'VDEVICE', 'VEVENTQ', 'HW_QUEUE', 'FAULT']);

export class Linter {
  readonly found: Lint[] = [];

  /** Looks at an event and what it changed. `destroyed`: the id that a DESTROY names. `state`: the one after it. */
  take(f: FrameCursor, seq: number, changes: readonly Change[], state: SessionState, destroyed: number | undefined): void {
    if (f.kind === Kind.IOCTL && destroyed !== undefined && f.error !== 0) this.#destroy(f, seq, state, destroyed);
    if (changes.length > 0) this.#changes(seq, changes, state);
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
      if (c.op === 'object.end') {
        if (c.how === 'tombstone')
          this.add(seq, 'tombstone', `the device of ${objectName(c.object)} ends before it; id ${c.object.id} is never used again`);
        if ((c.how === 'release' || c.how === 'close') && OWNED.has(c.object.type) && !automatic(c.object)) left.push(objectName(c.object));
        const open = unanswered(c.object);
        if (open > 0)
          this.add(seq, 'faults-unanswered', `${objectName(c.object)} ends with ${open} page fault${open === 1 ? '' : 's'} unanswered`);
      } else if (c.op === 'object.set' && c.to.type === 'VEVENTQ' && c.from.type === 'VEVENTQ' && c.to.lost > c.from.lost) {
        this.add(
          seq,
          'events-lost',
          `${objectName(c.to)} has lost ${c.to.lost - c.from.lost} event${c.to.lost - c.from.lost === 1 ? '' : 's'}`,
        );
      } else if (c.op === 'mapping.remove' && c.mapping.viommu !== 0 && !descriptor(state, c.mapping.file)) {
        this.add(
          seq,
          'mapping-outlives',
          `the mapping at 0x${c.mapping.address.toString(16)} was the last that kept context ${c.mapping.context}`,
        );
      }
    }
    if (left.length > 0) this.add(seq, 'leak', `the context ends with ${left.join(', ')} still there`);
  }
}

const automatic = (o: KernelObject): boolean => o.type === 'HWPT_PAGING' && o.auto;

/** Groups of page faults that were read and never answered. */
const unanswered = (o: KernelObject): number => (o.type === 'FAULT' ? o.cookies.length : 0);

function descriptor(state: SessionState, file: number): boolean {
  return [...state.fds.values()].some((fds) => [...fds.values()].includes(file));
}
