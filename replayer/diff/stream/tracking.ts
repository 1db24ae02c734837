/**
 * What links need of a session's state, followed as an event stream and in memory that does not grow with it: live objects,
 * files and mappings, and for each the name of the event that made it. Areas that the program chose are not followed.
 */
import { Kind, MMIO_SOURCE_SHIFT, State } from '../../../store/frame.ts';
import type { AreaTree } from '../../areas.ts';
import type { Change } from '../../change.ts';
import { mappingAt } from '../../cmdqv-fold.ts';
import { Folder } from '../../decide.ts';
import type { EventBytes } from '../../event.ts';
import type { Plan } from '../../plan.ts';
import { copyState, emptyState, type Process, type SessionState } from '../../state.ts';
import { eventOf, LiveLinks, type Origin } from '../meaning/links.ts';
import { Exited } from './exited.ts';
import { type MakerName, NO_MAKER } from './lanes.ts';
import { typeHash } from './sums.ts';

/** A thing that a call names, as it is until the next change. */
export interface Thing {
  key: number;
  what: number;
  epoch: number;
  /** of a descriptor: its file */
  file: number;
  kind: number;
  origin: Origin;
  type: number;
  known: boolean;
  name: MakerName;
  /** its address space, where there are areas in it that are followed */
  areas: AreaTree | undefined;
}

/** A mapping of a vIOMMU's region that accesses are through, as it is until the next change. */
export interface Through {
  pid: number;
  epoch: number;
  /** of the program's addresses */
  start: number;
  end: number;
  /** the address where the region begins, or would */
  base: number;
  name: MakerName;
}
/** Distances up to which an access is told by its place in the region. */
const NEAR = 0x7fff_ffff;

const NONE = new Map<number, Process>();
const CACHE = 1 << 10;
const MAPPINGS = 1 << 6;
/** Names that are kept before the first search for those that nothing has any more. */
const FEW_NAMES = 1 << 14;

function things(): Thing[] {
  return Array.from({ length: CACHE }, () => ({
    key: -1,
    what: -1,
    epoch: 0,
    file: 0,
    kind: 0,
    origin: 0,
    type: 0,
    known: false,
    name: NO_MAKER,
    areas: undefined,
  }));
}
function mappings(): Through[] {
  return Array.from({ length: MAPPINGS }, () => ({ pid: -1, epoch: 0, start: 0, end: 0, base: 0, name: NO_MAKER }));
}

export class Tracking {
  readonly live: LiveLinks;
  readonly state: SessionState;
  readonly #folder: Folder;
  readonly #exited: Exited;
  readonly #names = new Map<number, MakerName>();
  #sweepAt = FEW_NAMES;
  #epoch = 1;
  // made when they are needed: most copies are kept and never go on
  #objects: Thing[] = [];
  #fds: Thing[] = [];
  #mappings: Through[] = [];

  constructor(plan: Plan, from?: Tracking) {
    if (from !== undefined) from.#sweep();
    this.#exited = from === undefined ? new Exited() : new Exited(from.#exited);
    this.state = { ...(from === undefined ? emptyState() : copyState({ ...from.state, exited: NONE })), exited: this.#exited };
    this.#folder = new Folder(plan, this.state, false);
    this.live = from === undefined ? new LiveLinks(this.state) : from.live.copy(this.state);
    if (from !== undefined) for (const [seq, name] of from.#names) this.#names.set(seq, name);
  }

  nameOf(origin: Origin): MakerName {
    return this.#names.get(eventOf(origin)) ?? NO_MAKER;
  }
  name(seq: number, name: MakerName): void {
    this.#names.set(seq, name);
    if (this.#names.size > this.#sweepAt) this.#sweep();
  }

  /** The object with an id in the context of a file. */
  object(e: EventBytes, file: number, id: number): Thing {
    if (this.#objects.length === 0) this.#objects = things();
    const thing = this.#objects[(Math.imul(id, 0x9e37_79b1) ^ file) & (CACHE - 1)]!;
    if (thing.epoch === this.#epoch && thing.key === file && thing.what === id) return thing;
    const { origin, type, live } = this.live.object(e, id);
    thing.areas = this.live.areasOfLast(e);
    this.live.begin();
    thing.key = file;
    thing.what = id;
    thing.epoch = this.#epoch;
    thing.origin = origin;
    thing.type = typeHash(type);
    thing.known = live;
    thing.name = this.nameOf(origin);
    return thing;
  }

  /** What a descriptor of a process stands for. */
  fd(e: EventBytes, pid: number, fd: number): Thing {
    if (this.#fds.length === 0) this.#fds = things();
    const thing = this.#fds[(Math.imul(fd, 0x9e37_79b1) ^ pid) & (CACHE - 1)]!;
    if (thing.epoch === this.#epoch && thing.key === pid && thing.what === fd) return thing;
    const file = this.state.fds.get(pid)?.get(fd) ?? 0;
    thing.key = pid;
    thing.what = fd;
    thing.epoch = this.#epoch;
    thing.origin = this.live.file(e, fd);
    thing.areas = this.live.areasOfLast(e);
    this.live.begin();
    thing.file = file;
    thing.kind = this.state.files.get(file)?.kind ?? -1;
    thing.name = this.nameOf(thing.origin);
    return thing;
  }

  /** What an access at an address is through; undefined: it is not known, null: ask {@link LiveLinks.access} */
  through(e: EventBytes, low: number, high: number): Through | undefined | null {
    const address = high * 0x1_0000_0000 + low;
    if (address > Number.MAX_SAFE_INTEGER) return null;
    if (this.#mappings.length === 0) this.#mappings = mappings();
    const kept = this.#mappings[(Math.imul(e.pid, 0x9e37_79b1) ^ (low >>> 12)) & (MAPPINGS - 1)]!;
    const fresh = kept.epoch === this.#epoch && kept.pid === e.pid;
    if (fresh && address >= kept.start && address < kept.end) return kept;
    const found = this.live.access(e, address);
    if (found === undefined) return undefined;
    const mapping = mappingAt(this.state, this.state.processes.get(e.pid)?.memory ?? e.pid, address);
    if (mapping === undefined) return null;
    const [start, length] = [Number(mapping.address), Number(mapping.length)];
    const base = address - found.offset;
    // where a distance is cut off it is no measure
    if (found.offset >= NEAR || base > start || start + length - base >= NEAR) return null;
    Object.assign(kept, { pid: e.pid, epoch: this.#epoch, start, end: start + length, base, name: this.nameOf(found.origin) });
    return kept;
  }

  /** Does an event that is no ioctl change nothing that links depend on? */
  calm(e: EventBytes): boolean {
    if (e.state !== State.RETURNED || this.state.before.size > 0) return false;
    if (e.kind === Kind.MMIO) return e.request >>> MMIO_SOURCE_SHIFT >= 2 || this.state.processes.has(e.pid);
    return e.kind === Kind.QUEUE || e.kind === Kind.REGION;
  }

  /** → changes */
  fold(e: EventBytes, seq: number, chose: boolean): readonly Change[] {
    const changes = this.#folder.fold(e.buffer, e.offset);
    this.state.seq = seq;
    if (changes.length === 0) return changes;
    this.#epoch++;
    this.live.learn(seq, changes, chose);
    return changes;
  }

  /** Forgets names that nothing refers to any more. Costs what lives, and is done when as much again has been made. */
  #sweep(): void {
    const { state } = this;
    const used = new Set<number>();
    this.live.keep((origin) => used.add(eventOf(origin)));
    for (const f of state.files.values()) used.add(f.birth);
    for (const maps of state.mappings.values()) for (const m of maps.values()) used.add(m.seq);
    for (const seq of state.calls.keys()) used.add(seq);
    for (const seq of this.#names.keys()) if (!used.has(seq)) this.#names.delete(seq);
    this.#sweepAt = Math.max(FEW_NAMES, 2 * this.#names.size);
  }
}

/** Has the event made something that later ones may refer to? */
export function makes(changes: readonly Change[], chose: boolean): boolean {
  for (const c of changes) {
    if (c.op === 'object.create' || c.op === 'pin.add' || c.op === 'mapping.add' || c.op === 'call.enter') return true;
    if (c.op === 'file' && c.from === undefined) return true;
    if (c.op === 'area.add' && chose) return true;
  }
  return false;
}
