/** What ids, descriptors and addresses in a call stand for: the event that made the thing, whatever number it got. */

import { Kind } from '../../../store/frame.ts';
import type { AreaTree } from '../../areas.ts';
import type { Change } from '../../change.ts';
import { mappingAt, regionOf } from '../../cmdqv-fold.ts';
import type { EventBytes } from '../../event.ts';
import type { KernelObject, Uid } from '../../object-types.ts';
import { type Context, contextOfFile, objectById, pinKey, type SessionState } from '../../state.ts';
import { minus, plus, type U64, U64_MAX } from '../../u64.ts';

/**
 * Who made a thing: 8 times the number of the event, and which of the things that it made: 0 … 5 objects in order of their
 * birth, 6 an area, 7 a file, a process, a mapping or the call itself. 0: not known.
 */
export type Origin = number;

export const originOf = (seq: number, which: number): Origin => seq * 8 + which;
export const eventOf = (origin: Origin): number => Math.floor(origin / 8);
export const whichOf = (origin: Origin): number => origin % 8;
export const AREA = 6;
export const OTHER = 7;

/** A chosen address: the area, and how far from its beginning. */
export interface Chosen {
  readonly origin: Origin;
  readonly offset: number;
}

/** A place in a file of a VFIO device: the region's index, and how far from its beginning. */
export interface Window {
  readonly index: number;
  readonly offset: number;
}

/** What the reader of an event asks for, always in the same order. */
export interface Links {
  /** `type`: '' for an id that nothing known ever had; of an object that has ended, what it was: that it has, its answer tells */
  object(e: EventBytes, id: number): { readonly origin: Origin; readonly type: string };
  file(e: EventBytes, fd: number): Origin;
  mapping(e: EventBytes, address: U64): Origin;
  /** undefined: nothing that the kernel chose */
  chosen(e: EventBytes, space: number, iova: U64): Chosen | undefined;
  /** the region of a vIOMMU that an offset in the iommufd is in, or behind; undefined: there is none at or before it */
  region(e: EventBytes, offset: U64): Chosen | undefined;
  /** the mapping of a vIOMMU's region that an access is through, and where in the region; undefined: not known */
  access(e: EventBytes, address: U64): Chosen | undefined;
  /** the read that told a fault's cookie, and with which of its records; undefined: it waits for no answer */
  cookie(e: EventBytes, cookie: number): Chosen | undefined;
  /** the call that pinned pages for the access that was named last; undefined: none that is known */
  item(e: EventBytes, item: number): Chosen | undefined;
  /** where in the event's file an offset is; undefined: nothing has said which regions it has */
  window(e: EventBytes, offset: U64): Window | undefined;
}

/** An object by its id. */
interface Found {
  readonly origin: Origin;
  readonly type: string;
  readonly live: boolean;
}

const NOBODY: Found = { origin: 0, type: '', live: false };

interface Region {
  readonly uid: Uid;
  readonly start: U64;
}

/** Those of a context, ascending; of several at one place the first. */
function regionsOf(context: Context): Region[] {
  const found = new Map<U64, Region>();
  for (const o of context.objects.values()) {
    const start = o.type === 'VIOMMU' ? o.region?.offset : undefined;
    if (start !== undefined && !found.has(start)) found.set(start, { uid: o.uid, start });
  }
  return [...found.values()].sort((x, y) => (x.start < y.start ? -1 : 1));
}

/** Faults of one queue that wait for an answer: beyond that the oldest is forgotten. */
const MOST_FAULTS = 1 << 12;

/** Links by the state while the log is folded. */
export class LiveLinks implements Links {
  state: SessionState;
  readonly #origins = new Map<Uid, Origin>();
  /** events whose areas are where the kernel chose */
  readonly #chosen = new Set<number>();
  /** where the regions of vIOMMUs begin, as long as there are no others; by context */
  #regions = new WeakMap<Context, Region[]>();
  /** faults that wait for an answer, by the file of their queue */
  readonly #faults = new Map<number, Map<number, Chosen>>();
  /** objects that the event has named so far */
  #named: (KernelObject | undefined)[] = [];
  /** what the file that it is made on stands for */
  #on: KernelObject | undefined;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** The same for a state of its own. */
  copy(state: SessionState): LiveLinks {
    const made = new LiveLinks(state);
    for (const [uid, origin] of this.#origins) made.#origins.set(uid, origin);
    for (const seq of this.#chosen) made.#chosen.add(seq);
    for (const [file, faults] of this.#faults) if (state.files.has(file)) made.#faults.set(file, new Map(faults));
    return made;
  }

  /** A new event is read. */
  begin(): void {
    if (this.#named.length > 0) this.#named = [];
    this.#on = undefined;
  }

  /** Takes what an event has made. `chose`: its areas are where the kernel wanted them. */
  learn(seq: number, changes: readonly Change[], chose: boolean): void {
    let made = 0;
    for (const c of changes) {
      if (c.op === 'object.create') this.#origins.set(c.object.uid, originOf(seq, Math.min(made++, AREA - 1)));
      else if (c.op === 'area.add' && chose) this.#chosen.add(c.area.seq);
      const object = c.op === 'object.set' ? c.to : c.op === 'object.create' || c.op === 'object.end' ? c.object : undefined;
      if (object?.type === 'VIOMMU') this.#regions = new WeakMap();
    }
  }

  /** Takes cookies that an event has told (a read) or answered. → whether there are new ones */
  hand(e: EventBytes, seq: number, cookies: readonly number[]): boolean {
    if (cookies.length === 0) return false;
    let faults = this.#faults.get(e.file);
    if (faults === undefined) {
      faults = new Map();
      this.#faults.set(e.file, faults);
    }
    for (const [nth, cookie] of cookies.entries()) {
      faults.delete(cookie);
      if (e.kind === Kind.READ) faults.set(cookie, { origin: originOf(seq, OTHER), offset: nth });
      if (faults.size > MOST_FAULTS) faults.delete(faults.keys().next().value!);
    }
    return e.kind === Kind.READ;
  }

  /** Who made an object, where that is known. */
  origin(uid: Uid): Origin | undefined {
    return this.#origins.get(uid);
  }

  /** Tells all origins that may still be asked for, and forgets the others. */
  keep(tell: (origin: Origin) => void): void {
    const uids = new Set<Uid>();
    const areas = new Set<number>();
    for (const c of this.state.contexts.values()) {
      for (const uid of c.objects.keys()) uids.add(uid);
      for (const ended of c.ended.values()) uids.add(ended.uid);
      for (const tree of c.areas.values()) for (const area of tree) areas.add(area.seq);
      for (const pin of c.pins.values()) tell(originOf(pin.seq, OTHER));
    }
    for (const [file, faults] of this.#faults) {
      if (!this.state.files.has(file)) this.#faults.delete(file);
      else for (const { origin } of faults.values()) tell(origin);
    }
    for (const [uid, origin] of this.#origins) {
      if (uids.has(uid)) tell(origin);
      else this.#origins.delete(uid);
    }
    for (const seq of this.#chosen) {
      if (areas.has(seq)) tell(originOf(seq, AREA));
      else this.#chosen.delete(seq);
    }
  }

  object(e: EventBytes, id: number): Found {
    if (id === 0) return NOBODY;
    const context = contextOfFile(this.state, e.file);
    if (context === undefined) return NOBODY;
    const object = objectById(context, id);
    this.#named.push(object);
    if (object !== undefined) return { origin: this.#origins.get(object.uid) ?? 0, type: object.type, live: true };
    const ended = context.ended.get(id);
    return ended === undefined ? NOBODY : { origin: this.#origins.get(ended.uid) ?? 0, type: ended.type, live: false };
  }

  file(e: EventBytes, fd: number): Origin {
    const number = this.state.fds.get(e.pid)?.get(fd);
    const file = number === undefined ? undefined : this.state.files.get(number);
    if (file === undefined) return 0;
    const context = this.state.contexts.get(file.context);
    const object = file.object === 0 ? undefined : context?.objects.get(file.object);
    // no field names it
    if (fd === e.fd && this.#named.length === 0) this.#on = object;
    else this.#named.push(object);
    return originOf(file.birth, OTHER);
  }

  #last(): KernelObject | undefined {
    return this.#named.length > 0 ? this.#named.at(-1) : this.#on;
  }

  mapping(e: EventBytes, address: U64): Origin {
    const memory = this.state.processes.get(e.pid)?.memory ?? e.pid;
    const mapping = this.state.mappings.get(memory)?.get(address);
    return mapping === undefined ? 0 : originOf(mapping.seq, OTHER);
  }

  chosen(e: EventBytes, space: number, iova: U64): Chosen | undefined {
    if (this.#chosen.size === 0) return undefined;
    const context = contextOfFile(this.state, e.file);
    const named = space < 0 ? this.#last() : this.#named[space];
    if (context === undefined || named === undefined) return undefined;
    const areas = context.areas.get(spaceOf(context, named, 0));
    return areas === undefined ? undefined : this.chosenIn(areas, iova);
  }

  /** The areas of the space of the object that was named last; undefined where there are none. */
  areasOfLast(e: EventBytes): AreaTree | undefined {
    const context = contextOfFile(this.state, e.file);
    const named = this.#last();
    if (this.#chosen.size === 0 || context === undefined || named === undefined) return undefined;
    const areas = context.areas.get(spaceOf(context, named, 0));
    return areas?.floor(U64_MAX) === undefined ? undefined : areas;
  }

  chosenIn(areas: AreaTree, iova: U64): Chosen | undefined {
    const area = areas.floor(iova);
    if (area === undefined || area.last < iova || !this.#chosen.has(area.seq)) return undefined;
    return { origin: originOf(area.seq, AREA), offset: Number(minus(iova, area.start)) & 0x7fff_ffff };
  }

  region(e: EventBytes, offset: U64): Chosen | undefined {
    const context = contextOfFile(this.state, e.file);
    if (context === undefined) return undefined;
    let regions = this.#regions.get(context);
    if (regions === undefined) {
      regions = regionsOf(context);
      this.#regions.set(context, regions);
    }
    let [low, high] = [0, regions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (regions[middle]!.start <= offset) low = middle + 1;
      else high = middle;
    }
    const best = regions[low - 1];
    return best === undefined ? undefined : { origin: this.#origins.get(best.uid) ?? 0, offset: within(minus(offset, best.start)) };
  }

  access(e: EventBytes, address: U64): Chosen | undefined {
    const mapping = mappingAt(this.state, this.state.processes.get(e.pid)?.memory ?? e.pid, address);
    const start = mapping === undefined ? undefined : regionOf(this.state, mapping);
    if (mapping === undefined || start === undefined) return undefined;
    const offset = minus(plus(minus(address, mapping.address), mapping.offset), start);
    return { origin: originOf(mapping.seq, OTHER), offset: within(offset) };
  }

  cookie(e: EventBytes, cookie: number): Chosen | undefined {
    return this.#faults.get(e.file)?.get(cookie);
  }

  item(e: EventBytes, item: number): Chosen | undefined {
    const access = this.#last();
    const pin = access === undefined ? undefined : contextOfFile(this.state, e.file)?.pins.get(pinKey(access.uid, item));
    return pin === undefined ? undefined : { origin: originOf(pin.seq, OTHER), offset: 0 };
  }

  window(e: EventBytes, offset: U64): Window | undefined {
    const region = this.state.files.get(e.file)?.regions.find((r) => offset >= r.offset && offset < plus(r.offset, r.size));
    return region === undefined ? undefined : { index: region.index & FAR, offset: within(minus(offset, region.offset)) };
  }
}

/** Far from the region that it is counted from: it is not told how far. */
const FAR = 0x7fff_ffff;

const within = (distance: U64): number => Math.min(FAR, Number(distance));

/** The IOAS that an object's addresses are in; 0 where that is not known. A hostile log may know of circles. */
export function spaceOf(context: Context, object: KernelObject, depth: number): Uid {
  const by = (uid: Uid): Uid => {
    const next = context.objects.get(uid);
    return next === undefined || depth > 4 ? 0 : spaceOf(context, next, depth + 1);
  };
  switch (object.type) {
    case 'IOAS':
      return object.uid;
    case 'HWPT_PAGING':
    case 'ACCESS':
      return object.ioas;
    case 'HWPT_NESTED':
      return by(object.parent);
    case 'VIOMMU':
      return by(object.hwpt);
    default:
      return 0;
  }
}
