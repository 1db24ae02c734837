/**
 * Which events have to do with which things: what an event changed, and what it only named or was made by. A thing is a
 * process, a descriptor, an open file, an object, an area … of one life: what has its number later is another.
 */

import { testOpOf } from '../../hw/uapi/codec.ts';
import { targetOfFileKind, type UapiTable } from '../../hw/uapi/table.ts';
import type { Command, Field } from '../../hw/uapi/types.ts';
import { FrameCursor, Kind, PartKind } from '../../store/frame.ts';
import type { Area } from '../areas.ts';
import type { Change } from '../change.ts';
import type { EndedObject } from '../object-types.ts';
import { type Context, contextOfFile, type Mapping, type SessionState } from '../state.ts';
import { minus, plus, type U64 } from '../u64.ts';

/** Numbers that grow. */
class Numbers {
  values = new Int32Array(1 << 16);
  count = 0;
  push(n: number): void {
    if (this.count === this.values.length) {
      const larger = new Int32Array(this.values.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.count++] = n;
  }
}

/** Calls whose effects show in later answers alone: events that are raised, dirty pages, limits. */
const ACTS = /_TRIGGER_|DIRTY_TRACKING|_OP_DIRTY$|MEMORY_LIMIT/;

/** Of whom it does not matter what they are: all that touched them stays. */
const ALWAYS = 'always';

const fdKey = (pid: number, fd: number, file: number): string => `d ${pid} ${fd} ${file}`;
const objectKey = (context: number, uid: number): string => `o ${context} ${uid}`;
const areaKey = (context: number, ioas: number, a: Area): string => `a ${context} ${ioas} ${a.start} ${a.seq}`;
const mappingKey = (m: Mapping): string => `m ${m.memory} ${m.address} ${m.seq}`;

export class Needs {
  readonly #table: UapiTable;
  readonly #things = new Map<string, number>();
  /** of each event, in order: how many things it changed and named, and these; changed things as n, named ones as -1 - n */
  readonly #edges = new Numbers();
  readonly #starts = new Numbers();
  readonly #cursor = new FrameCursor();
  readonly #wanted = new Set<number>();
  readonly #named: string[] = [];
  /** the kernel does something to the objects that the call names, of which the state here knows nothing */
  #acts = false;
  readonly #fields = new Map<Command, readonly Field[]>();

  constructor(table: UapiTable) {
    this.#table = table;
    this.#starts.push(0);
  }

  #thing(key: string): number {
    let n = this.#things.get(key);
    if (n === undefined) {
      n = this.#things.size;
      this.#things.set(key, n);
    }
    return n;
  }

  /** Looks at an event before it is folded: what it names is what has these numbers now. */
  before(buffer: Buffer, offset: number, state: SessionState): void {
    const named = this.#named;
    named.length = 0;
    this.#acts = false;
    const f = this.#cursor.at(buffer, offset);
    const { pid, fd, file } = f;
    const process = state.processes.get(pid);
    if (process !== undefined) named.push(`p ${pid} ${process.birth}`);
    const behind = fd < 0 ? undefined : state.fds.get(pid)?.get(fd);
    if (behind !== undefined) named.push(fdKey(pid, fd, behind), `f ${behind}`);
    if (file !== 0) named.push(`f ${file}`);
    if (f.kind === Kind.IOCTL) this.#calls(f, state);
    if (f.kind === Kind.MUNMAP || f.kind === Kind.MREMAP || f.kind === Kind.MMIO) this.#memory(f, state);
  }

  #calls(f: FrameCursor, state: SessionState): void {
    const target = targetOfFileKind(f.fileKind);
    const command = target === undefined ? undefined : this.#table.command(target, f.request);
    if (command?.struct === undefined || !f.part(PartKind.IN)) return;
    const bytes = f.buffer.subarray(f.partStart, f.partStart + f.partBytes);
    const context = contextOfFile(state, f.file);
    const op = testOpOf(this.#table, command, bytes);
    const arm = op?.arm;
    this.#acts = f.error === 0 && ACTS.test(op?.name ?? command.name);
    for (const field of this.#links(command)) {
      if (field.offset + 4 > bytes.length || (field.arm !== undefined && field.arm !== arm)) continue;
      const n = bytes.readUInt32LE(field.offset);
      if (field.fd !== undefined || (field.name === 'id' && op?.id === 'access-fd')) this.#descriptor(f.pid, n | 0, state);
      const uid = context?.ids.get(n);
      if (context !== undefined && uid !== undefined) this.#named.push(objectKey(context.context, uid));
    }
    if (command.name === 'IOMMU_IOAS_COPY' && context !== undefined) this.#copied(command, bytes, context);
  }

  #descriptor(pid: number, fd: number, state: SessionState): void {
    const file = state.fds.get(pid)?.get(fd);
    if (file !== undefined) this.#named.push(fdKey(pid, fd, file), `f ${file}`);
  }

  /** Ids and descriptors that the caller gives. */
  #links(command: Command): readonly Field[] {
    let fields = this.#fields.get(command);
    if (fields === undefined) {
      fields = command.struct!.fields.filter(
        (x) => x.size === 4 && x.dir !== 'out' && (x.ref !== undefined || x.destroys === true || x.fd !== undefined),
      );
      this.#fields.set(command, fields);
    }
    return fields;
  }

  /** A copy is of what the areas that it is made from show. */
  #copied(command: Command, bytes: Buffer, context: Context): void {
    const at = (name: string): number => command.struct?.byName.get(name)?.offset ?? bytes.length;
    const long = (name: string): bigint => (at(name) + 8 <= bytes.length ? bytes.readBigUInt64LE(at(name)) : 0n);
    const ioas = at('src_ioas_id') + 4 <= bytes.length ? context.ids.get(bytes.readUInt32LE(at('src_ioas_id'))) : undefined;
    const tree = ioas === undefined ? undefined : context.areas.get(ioas);
    if (ioas === undefined || tree === undefined) return;
    const [from, length] = [long('src_iova'), long('length')];
    const last = length === 0n ? from : from + length - 1n;
    for (const a of tree) if (BigInt(a.start) <= last && BigInt(a.last) >= from) this.#named.push(areaKey(context.context, ioas, a));
  }

  /** Mappings that a range of addresses meets. */
  #memory(f: FrameCursor, state: SessionState): void {
    const memory = state.processes.get(f.pid)?.memory ?? f.pid;
    const address = f.arg(0);
    for (const m of state.mappings.get(memory)?.values() ?? []) {
      const end = plus(m.address, minus(m.length, 1 as U64));
      if (BigInt(m.address) <= address && address <= BigInt(end)) this.#named.push(mappingKey(m), `f ${m.file}`);
    }
  }

  /** What the event changed. `state`: the one after it. */
  after(pid: number, changes: readonly Change[], state: SessionState): void {
    for (const change of changes) for (const key of keysOf(change)) this.#edges.push(this.#thing(key));
    for (const key of this.#named) this.#edges.push(this.#acts && key.startsWith('o ') ? this.#thing(key) : -1 - this.#thing(key));
    const process = state.processes.get(pid);
    if (process !== undefined && changes.length > 0) this.#edges.push(-1 - this.#thing(`p ${pid} ${process.birth}`));
    this.#starts.push(this.#edges.count);
  }

  /** Whether an event (from 1) changed anything. */
  changed(seq: number): boolean {
    for (let i = this.#starts.values[seq - 1]!; i < this.#starts.values[seq]!; i++) if (this.#edges.values[i]! >= 0) return true;
    return false;
  }

  /** Everything that a state has is wanted. */
  want(state: SessionState): void {
    for (const key of livingOf(state)) this.#reach(key);
  }

  /** What an event names that has ended is wanted: what was wrong with the call may be just that. */
  recall(buffer: Buffer, offset: number, state: SessionState): void {
    const f = this.#cursor.at(buffer, offset);
    const target = targetOfFileKind(f.fileKind);
    const command = f.kind !== Kind.IOCTL || target === undefined ? undefined : this.#table.command(target, f.request);
    const context = command?.struct === undefined ? undefined : contextOfFile(state, f.file);
    if (command === undefined || context === undefined || !f.part(PartKind.IN)) return;
    const bytes = f.buffer.subarray(f.partStart, f.partStart + f.partBytes);
    for (const field of this.#links(command)) {
      const ended = field.offset + 4 > bytes.length ? undefined : context.ended.get(bytes.readUInt32LE(field.offset));
      if (ended !== undefined && !context.ids.has(ended.id)) this.#reach(objectKey(context.context, ended.uid));
    }
  }

  #reach(key: string): void {
    const thing = this.#things.get(key);
    if (thing !== undefined) this.#wanted.add(thing);
  }

  /** The events (from 1) without which what is wanted would not be as it was; ascending. */
  needed(): number[] {
    const events = this.#starts.count - 1;
    const [starts, edges] = [this.#starts.values, this.#edges.values];
    const { first, by } = this.#changers(events);
    const kept = new Uint8Array(events + 1);
    const known = new Uint8Array(this.#things.size);
    const open: number[] = [];
    const reach = (thing: number): void => {
      if (known[thing] === 1) return;
      known[thing] = 1;
      open.push(thing);
    };
    for (const thing of this.#wanted) reach(thing);
    for (let thing = open.pop(); thing !== undefined; thing = open.pop()) {
      for (let i = first[thing]!; i < first[thing + 1]!; i++) {
        const seq = by[i]!;
        if (kept[seq] === 1) continue;
        kept[seq] = 1;
        for (let k = starts[seq - 1]!; k < starts[seq]!; k++) reach(edges[k]! < 0 ? -1 - edges[k]! : edges[k]!);
      }
    }
    return Array.from(kept.keys()).filter((seq) => kept[seq] === 1);
  }

  /** By thing: the events that changed it. */
  #changers(events: number): { readonly first: Uint32Array; readonly by: Uint32Array } {
    const [starts, edges] = [this.#starts.values, this.#edges.values];
    const first = new Uint32Array(this.#things.size + 1);
    for (let i = 0; i < this.#edges.count; i++) if (edges[i]! >= 0) first[edges[i]! + 1]!++;
    for (let n = 0; n < this.#things.size; n++) first[n + 1]! += first[n]!;
    const next = first.slice();
    const by = new Uint32Array(first.at(-1)!);
    for (let seq = 1; seq <= events; seq++) {
      for (let i = starts[seq - 1]!; i < starts[seq]!; i++) if (edges[i]! >= 0) by[next[edges[i]!]!++] = seq;
    }
    return { first, by };
  }
}

/** What a change is of. */
function keysOf(c: Change): string[] {
  switch (c.op) {
    case 'process':
      return [`p ${c.pid} ${c.to.birth}`];
    case 'fd':
      return [c.from, c.to].filter((file) => file !== 0).map((file) => fdKey(c.pid, c.fd, file));
    case 'file':
      return [`f ${c.file}`];
    case 'context.begin':
    case 'context.end':
      return [`c ${c.context.context}`];
    case 'context.set':
      return [`s ${c.context} ${c.field}`];
    case 'object.create':
      return [objectKey(c.context, c.object.uid)];
    case 'object.end':
      return [objectKey(c.context, c.object.uid)];
    case 'object.set':
      return [objectKey(c.context, c.to.uid)];
    case 'area.add':
    case 'area.remove':
      return [areaKey(c.context, c.ioas, c.area)];
    case 'pin.add':
    case 'pin.remove':
      return [`n ${c.context} ${c.pin.access} ${c.pin.item} ${c.pin.seq}`];
    case 'mapping.add':
    case 'mapping.remove':
      return [mappingKey(c.mapping)];
    case 'call.enter':
    case 'call.return':
      return [`k ${c.call.seq}`];
    case 'sent':
      return [`f ${c.file}`];
    default:
      // what was lost, and the registers of the CMDQV, one of which follows from many
      return [ALWAYS];
  }
}

const isTombstone = (c: Context, e: EndedObject): boolean => e.how === 'tombstone' && !c.ids.has(e.id);

/** Everything that a state has. */
function* livingOf(s: SessionState): Generator<string> {
  yield ALWAYS;
  for (const p of s.processes.values()) yield `p ${p.pid} ${p.birth}`;
  for (const tables of [s.fds, s.before]) for (const [pid, fds] of tables) for (const [fd, file] of fds) yield fdKey(pid, fd, file);
  for (const file of s.files.keys()) yield `f ${file}`;
  for (const file of s.sent.keys()) yield `f ${file}`;
  for (const maps of s.mappings.values()) for (const m of maps.values()) yield mappingKey(m);
  for (const seq of s.calls.keys()) yield `k ${seq}`;
  for (const c of s.contexts.values()) {
    yield `c ${c.context}`;
    for (const field of ['compat', 'rlimitMode', 'accountedTo']) yield `s ${c.context} ${field}`;
    for (const uid of c.objects.keys()) yield objectKey(c.context, uid);
    for (const [ioas, tree] of c.areas) for (const a of tree) yield areaKey(c.context, ioas, a);
    for (const pin of c.pins.values()) yield `n ${c.context} ${pin.access} ${pin.item} ${pin.seq}`;
    for (const e of c.ended.values()) if (isTombstone(c, e)) yield objectKey(c.context, e.uid);
  }
}
