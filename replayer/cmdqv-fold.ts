/**
 * How events move the CMDQV (cmdqv.ts): what calls make the driver do, loads and stores that were seen, queues that were read
 * beside the program, vEVENTs. The rules are hw/cmdqv's; what they do to registers becomes changes that carry old and new.
 */
import type { Effect } from '../hw/cmdqv/change.ts';
import { entryOf } from '../hw/cmdqv/indexes.ts';
import { type Input, step } from '../hw/cmdqv/model.ts';
import { named, type Piece, pieces, pieceValue, type View } from '../hw/cmdqv/places.ts';
import type { Queue, Size, Value } from '../hw/cmdqv/state.ts';
import { readerOf, viewQueue } from '../hw/cmdqv/state.ts';
import { COMMAND_BYTES } from '../hw/smmuv3/commands.ts';
import { FileKind, MMIO_SOURCE_SHIFT, MmioFlag, MmioHow, MmioSource, PartKind, RegionKind } from '../store/frame.ts';
import { type Chunk, type Cmdqv, type Known, keyOf, memoryOf, placeOf, type QueueNotes, uidOf, vintfOf } from './cmdqv.ts';
import { mappingsOf } from './mappings.ts';
import type { HwQueue, KernelObject, Uid, Vdevice, Viommu } from './object-types.ts';
import type { Context, Mapping, Process, SessionState } from './state.ts';
import { contextOfFile, objectById } from './state.ts';
import type { Step } from './step.ts';
import { minus, plus, type U64 } from './u64.ts';

/** IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV */
const CMDQV = 2;
/** IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV, and what it was called before */
const QUEUE = 1;
/** page 0 of VINTF 0, in what a guest sees */
const LOGICAL = 0x3_0000;
const WINDOW_BYTES = 0x5_0000;
/** a guest has one VINTF: every queue of the direct view is one of its */
export const GUEST = { log2Queues: 7 } as const;
/** of a queue that takes no commands any more */
const MOST_CHUNKS = 64;

const sameValue = (a: Value | undefined, b: Value | undefined): boolean => a?.value === b?.value && a?.known === b?.known;

/** An input of the hardware's model, and what it does. */
function follow(s: Step, input: Input, memory?: (address: bigint, bytes: number) => Uint8Array | undefined): readonly Effect[] {
  const effects = step(s.state.cmdqv, input, memory);
  for (const e of effects) {
    if (e.kind === 'register') setRegister(s, e.name, e.after, input.kind);
    else if (e.kind === 'vintf') s.emit({ op: 'cmdqv.vintf', vintf: e.vintf, from: e.before, to: e.after });
  }
  return effects;
}

function setRegister(s: Step, name: string, after: Value, kind: Input['kind']): void {
  const from = s.state.cmdqv.registers.get(name);
  if (after.from === 'unknown') {
    if (from !== undefined) s.emit({ op: 'cmdqv.register', name, from, to: undefined });
    return;
  }
  const same = sameValue(from, after);
  // a sample that shows what an access showed before says nothing new
  if (same && (from!.from === after.from || (from!.from === 'seen' && after.from === 'sampled'))) return;
  const { value, known } = after;
  const by = after.from === 'seen' && (kind === 'store' || kind === 'load') ? kind : undefined;
  const to: Known = { value, known, from: after.from, since: same ? from!.since : s.e.seq, by: same ? from!.by : by };
  s.emit({ op: 'cmdqv.register', name, from, to });
}

function setNotes(s: Step, queue: Uid, to: QueueNotes | undefined): void {
  const from = s.state.cmdqv.queues.get(queue);
  if (from !== to) s.emit({ op: 'cmdqv.queue', queue, from, to });
}

// ---- what calls make the driver do ----

/** An object has come, or is known better. */
export function born(s: Step, c: Context, o: KernelObject): void {
  if (!s.registers) return;
  if (o.type === 'VIOMMU') viommuBorn(s, o);
  else if (o.type === 'VDEVICE') vdeviceBorn(s, o);
  else if (o.type === 'HW_QUEUE') queueBorn(s, c, o);
}

function viommuBorn(s: Step, o: Viommu): void {
  const { cmdqv } = s.state;
  if (o.kind !== CMDQV || vintfOf(cmdqv, o.uid) !== undefined) return;
  // the driver has started, before anything that the log shows
  if (cmdqv.registers.size === 0 && cmdqv.vintfs.size === 0) follow(s, { kind: 'reset' });
  follow(s, { kind: 'viommu-alloc', viommu: keyOf(o.uid) });
  // a kernel that has given more than the hardware is said to have
  if (vintfOf(cmdqv, o.uid) === undefined) adopt(s, o.uid);
}

/** A VINTF of which nothing is known but that it is there. */
function adopt(s: Step, viommu: Uid): void {
  let index = 1;
  while (s.state.cmdqv.vintfs.has(index)) index++;
  const to = { index, key: keyOf(viommu), sids: [], queues: [], deaf: [] };
  s.emit({ op: 'cmdqv.vintf', vintf: index, from: undefined, to });
}

function vdeviceBorn(s: Step, o: Vdevice): void {
  const vintf = vintfOf(s.state.cmdqv, o.viommu);
  if (vintf === undefined || vintf.sids.some((x) => x.key === keyOf(o.uid))) return;
  const vsid = Number(BigInt.asUintN(20, BigInt(o.virtId)));
  follow(s, { kind: 'vdevice-alloc', viommu: vintf.key, vdevice: keyOf(o.uid), vsid });
}

function queueBorn(s: Step, c: Context, o: HwQueue): void {
  const { cmdqv } = s.state;
  const viommu = c.objects.get(o.viommu);
  // one that was there before the log, whose type nothing said
  if (o.kind === QUEUE && viommu?.type === 'VIOMMU' && viommu.kind === 0 && viommu.origin === 'inferred') {
    if (vintfOf(cmdqv, viommu.uid) === undefined) adopt(s, viommu.uid);
  }
  const vintf = vintfOf(cmdqv, o.viommu);
  if (vintf === undefined || placeOf(cmdqv, o.uid) !== undefined) return;
  const key = keyOf(o.uid);
  follow(s, {
    kind: 'queue-alloc',
    viommu: vintf.key,
    key,
    lvcmdq: o.index,
    base: BigInt(o.iova),
    physical: false,
    length: BigInt(o.length),
  });
  if (placeOf(cmdqv, o.uid) === undefined) return;
  setNotes(s, o.uid, { queue: o.uid, context: c.context, chunks: [], sampled: 0, told: 0 });
  if (isReachedUnseen(s, o.viommu)) follow(s, { kind: 'unseen', vintf: vintf.index, lvcmdq: o.index });
}

/** An object has ended, however. */
export function ended(s: Step, o: KernelObject): void {
  const { cmdqv } = s.state;
  if (cmdqv.vintfs.size === 0) return;
  if (o.type === 'VIOMMU') {
    const vintf = vintfOf(cmdqv, o.uid);
    if (vintf === undefined) return;
    for (const q of vintf.queues) setNotes(s, uidOf(q.key), undefined);
    follow(s, { kind: 'viommu-destroy', viommu: vintf.key });
  } else if (o.type === 'VDEVICE') {
    const vintf = vintfOf(cmdqv, o.viommu);
    if (vintf?.sids.some((x) => x.key === keyOf(o.uid))) follow(s, { kind: 'vdevice-destroy', viommu: vintf.key, vdevice: keyOf(o.uid) });
  } else if (o.type === 'HW_QUEUE') {
    setNotes(s, o.uid, undefined);
    const at = placeOf(cmdqv, o.uid);
    if (at !== undefined) follow(s, { kind: 'queue-destroy', viommu: at.vintf.key, lvcmdq: at.queue.lvcmdq });
  }
}

function setSize(s: Step, facts: Size): void {
  const from = s.state.cmdqv.size;
  const to: Size = { ...from, ...Object.fromEntries(Object.entries(facts).filter(([, v]) => v !== undefined)) };
  if ((Object.keys(to) as (keyof Size)[]).every((key) => to[key] === from[key])) return;
  s.emit({ op: 'cmdqv.size', from, to });
  if (from.log2Queues !== to.log2Queues) rename(s);
}

/** Queues of the direct view are named by their VINTF as soon as it is known which they are. */
function rename(s: Step): void {
  const { registers, size } = s.state.cmdqv;
  for (const [old, value] of [...registers].sort()) {
    if (!old.startsWith('VCMDQ')) continue;
    const { name } = named(old, { log2Queues: size.log2Queues }) ?? { name: old };
    if (name === old) continue;
    s.emit({ op: 'cmdqv.register', name: old, from: value, to: undefined });
    if (!registers.has(name)) s.emit({ op: 'cmdqv.register', name, from: undefined, to: value });
  }
}

/** GET_HW_INFO, returned: what it says of the CMDQV, and IDR1.CMDQS. `type`: of the data. */
export function hwInfo(s: Step, type: number, slot: number, length: number): void {
  if (!s.registers) return;
  const data = s.e.part(PartKind.NESTED_OUT, slot);
  if (data === undefined) return;
  const bytes = Math.min(data.bytes, length);
  const facts = s.plan.sizeIn(type, new DataView(s.e.view.buffer, s.e.view.byteOffset + data.start, bytes));
  if (facts !== undefined) setSize(s, facts);
}

// ---- who reaches page 0 ----

/** Does a mapping show the region of this VIOMMU whose loads and stores are not in the log? */
function isReachedUnseen(s: Step, viommu: Uid): boolean {
  for (const maps of s.state.mappings.values()) for (const m of maps.values()) if (m.viommu === viommu && !m.trapped) return true;
  return false;
}

/** A region was mapped, or is not trapped any more: of its queues nothing is sure from here on. */
export function reached(s: Step, m: Mapping): void {
  if (!s.registers) return;
  if (m.viommu === 0 || m.trapped) return;
  const vintf = vintfOf(s.state.cmdqv, m.viommu);
  for (const q of vintf?.queues ?? []) follow(s, { kind: 'unseen', vintf: vintf!.index, lvcmdq: q.lvcmdq });
}

// ---- loads and stores ----

const bytesIn = (s: Step, kind: number): bigint | undefined => {
  const part = s.e.part(kind, 0);
  if (part === undefined) return undefined;
  let value = 0n;
  for (let i = Math.min(part.bytes, 64) - 1; i >= 0; i--) value = (value << 8n) | BigInt(s.e.view.getUint8(part.start + i));
  return value;
};

/** A load or store, as the frame has it. A value that is not there is not known. */
interface Access {
  readonly width: number;
  readonly load: boolean;
  readonly store: boolean;
  readonly loaded: bigint | undefined;
  readonly stored: bigint | undefined;
}

/** Bytes of the widest instruction */
const WIDEST = 64;

export function accessOf(s: Step): Access | undefined {
  const { e } = s;
  const how = e.request & (2 ** MMIO_SOURCE_SHIFT - 1);
  const width = Number(e.arg(2));
  if (e.error !== 0 || !(width >= 1 && width <= WIDEST) || how > MmioHow.BOTH) return undefined;
  const stepped = (e.arg32(4) & MmioFlag.STEPPED) !== 0;
  const load = how !== MmioHow.STORE;
  const store = how !== MmioHow.LOAD;
  const value = BigInt.asUintN(8 * Math.min(width, 8), BigInt(e.ret64));
  const wide = width > 8;
  const loaded = wide ? bytesIn(s, PartKind.OUT) : value;
  const stored = wide ? bytesIn(s, PartKind.IN) : how === MmioHow.BOTH ? BigInt(e.arg(5)) : value;
  return { width, load, store, loaded: stepped ? undefined : loaded, stored: stepped ? undefined : stored };
}

/** Loads and stores of the hardware's registers. */
function access(s: Step, a: Access, view: View, offset: bigint): void {
  const { cmdqv } = s.state;
  const at = { view, offset, width: a.width };
  const memory = memoryOf(cmdqv, view.kind === 'vintf' ? cmdqv.vintfs.get(view.vintf) : undefined);
  if (a.load && a.loaded !== undefined) follow(s, { kind: 'load', ...at, value: a.loaded }, memory);
  if (a.store) follow(s, a.stored === undefined ? { kind: 'disturb', ...at } : { kind: 'store', ...at, value: a.stored });
  if (view.kind === 'vintf') for (const q of cmdqv.vintfs.get(view.vintf)?.queues ?? []) prune(s, q, view.vintf);
}

/** MMIO of a process: through a mapping of a vIOMMU's region, or a guest's that left it to the program. */
export function mmio(s: Step, process: Process): void {
  if (!s.registers) return;
  const { e } = s;
  const source = e.request >>> MMIO_SOURCE_SHIFT;
  if (source === MmioSource.KVM) {
    guestAccess(s);
    return;
  }
  if (source !== MmioSource.TRAPPED) return;
  const m = mappingAt(s.state, process.memory, e.arg(0));
  if (m === undefined) return;
  const region = regionOf(s.state, m);
  const vintf = region === undefined ? undefined : vintfOf(s.state.cmdqv, m.viommu);
  const a = accessOf(s);
  if (a !== undefined && vintf !== undefined && region !== undefined) {
    const offset = BigInt(plus(m.offset, minus(e.arg(0), m.address))) - BigInt(region);
    access(s, a, { kind: 'vintf', vintf: vintf.index, page: 0 }, offset);
  }
  if ((e.arg32(4) & MmioFlag.RELEASED) !== 0 && m.trapped) {
    const to = { ...m, trapped: false };
    s.emit({ op: 'mapping.remove', mapping: m });
    s.emit({ op: 'mapping.add', mapping: to });
    reached(s, to);
  }
}

/** The mapping of a vIOMMU's region at an address. */
export function mappingAt(s: SessionState, memory: number, address: U64): Mapping | undefined {
  for (const m of s.mappings.get(memory)?.values() ?? []) {
    if (m.viommu !== 0 && m.address <= address && address < plus(m.address, m.length)) return m;
  }
  return undefined;
}

/** Offset in the iommufd of the region that a mapping shows; undefined where its vIOMMU has ended. */
export function regionOf(s: SessionState, m: Mapping): U64 | undefined {
  const o = s.contexts.get(m.context)?.objects.get(m.viommu);
  return o?.type === 'VIOMMU' ? o.region?.offset : undefined;
}

// ---- the host's driver ----

/** REGION: what an importer found out of physical addresses. The first CMDQV is the one that is followed. */
export function region(s: Step): void {
  if (!s.registers) return;
  const { e } = s;
  if (e.request !== RegionKind.CMDQV || s.state.cmdqv.aperture !== undefined) return;
  const to = { physical: e.arg(0), length: e.arg(1), virtual: e.arg(2) };
  if (to.length !== 0) s.emit({ op: 'cmdqv.aperture', from: undefined, to });
}

/** MMIO of the kernel: it has the whole of the CMDQV. */
export function hostAccess(s: Step): void {
  if (!s.registers) return;
  const { e } = s;
  const { aperture } = s.state.cmdqv;
  if (aperture === undefined) return;
  const start = e.request >>> MMIO_SOURCE_SHIFT === MmioSource.MMIOTRACE ? aperture.physical : aperture.virtual;
  const address = e.arg(0);
  const a = accessOf(s);
  if (a === undefined || start === 0 || address < start || address >= plus(start, aperture.length)) return;
  access(s, a, { kind: 'aperture' }, BigInt(minus(address, start)));
  const param = s.state.cmdqv.registers.get('CMDQV.PARAM');
  if (param?.since === e.seq) setSize(s, sizeInParam(param));
}

/** What PARAM says of the size. */
function sizeInParam(param: Value): Size {
  if ((param.known & 0xffffn) !== 0xffffn) return {};
  const field = (shift: bigint): number => Number((param.value >> shift) & 15n);
  const [queues, vintfs, sids] = [field(4n), field(8n), field(12n)];
  return { log2Vintfs: vintfs, log2Sids: sids, ...(queues < vintfs ? {} : { log2Queues: queues - vintfs }) };
}

// ---- guests ----

/** KVM_SET_USER_MEMORY_REGION(2), returned: page 0 of a VINTF in a guest's memory tells where its CMDQV is. */
export function slotSet(s: Step, vm: number): void {
  if (!s.registers) return;
  const { e } = s;
  const memory = s.state.processes.get(e.pid)?.memory ?? e.pid;
  const [guest, size, address] = [e.u64(e.in, 8), e.u64(e.in, 16), e.u64(e.in, 24)];
  if (size === 0) return;
  const end = plus(address, size);
  for (const m of mappingsOf(s, memory)) {
    const offset = m.viommu === 0 || vintfOf(s.state.cmdqv, m.viommu) === undefined ? undefined : regionOf(s.state, m);
    if (offset === undefined || m.address >= end || plus(m.address, m.length) <= address) continue;
    const page0 = BigInt(guest) + BigInt(m.address) + BigInt(offset) - BigInt(m.offset) - BigInt(address);
    const at = page0 - BigInt(LOGICAL);
    if (at < 0n) continue;
    const from = s.state.cmdqv.windows.get(vm);
    const to = { vm, context: m.context, viommu: m.viommu, address: plus(0, at <= Number.MAX_SAFE_INTEGER ? Number(at) : at) };
    if (from?.address !== to.address || from.viommu !== to.viommu) s.emit({ op: 'cmdqv.window', vm, from, to });
    return;
  }
}

/** A VM has gone. */
export function vmReleased(s: Step, vm: number): void {
  const { cmdqv } = s.state;
  for (const [name, from] of [...(cmdqv.guests.get(vm) ?? [])]) s.emit({ op: 'cmdqv.seen', vm, name, from, to: undefined });
  const from = cmdqv.windows.get(vm);
  if (from !== undefined) s.emit({ op: 'cmdqv.window', vm, from, to: undefined });
}

/** The VM of a vCPU's file; stores that KVM collected are the VM's itself. */
export function vmOf(s: SessionState, file: number): number | undefined {
  const f = s.files.get(file);
  return f?.kind === FileKind.KVM_VM ? f.file : f?.holds[0];
}

/** The window in which a guest's access lies, and where in it. `file`: of the vCPU, 0 not known. */
export function windowAt(cmdqv: Cmdqv, vm: number | undefined, address: U64): { readonly vm: number; readonly offset: bigint } | undefined {
  for (const w of cmdqv.windows.values()) {
    if ((vm !== undefined && w.vm !== vm) || address < w.address || address >= plus(w.address, WINDOW_BYTES)) continue;
    return { vm: w.vm, offset: BigInt(minus(address, w.address)) };
  }
  return undefined;
}

/** What a guest sees: what it stored or loaded last, whatever the program made of it. */
function guestAccess(s: Step): void {
  const { e } = s;
  const { cmdqv } = s.state;
  if (cmdqv.windows.size === 0) return;
  const found = windowAt(cmdqv, vmOf(s.state, e.file), e.arg(0));
  const a = found === undefined ? undefined : accessOf(s);
  if (found === undefined || a === undefined) return;
  const [value, store] = a.store ? [a.stored, true] : [a.loaded, false];
  for (const piece of pieces(found.offset, a.width, { kind: 'aperture' }, GUEST)) {
    if (piece.place.register === undefined || value === undefined) continue;
    see(s, found.vm, piece, pieceValue(piece, value), store);
  }
}

function see(s: Step, vm: number, piece: Piece, value: bigint, store: boolean): void {
  const shift = BigInt(8 * piece.place.byte);
  const mask = ((1n << BigInt(8 * piece.bytes)) - 1n) << shift;
  const { name } = piece.place;
  const from = s.state.cmdqv.guests.get(vm)?.get(name);
  const to: Known = {
    value: ((from?.value ?? 0n) & ~mask) | (value << shift),
    known: (from?.known ?? 0n) | mask,
    from: 'seen',
    since: s.e.seq,
    by: store ? 'store' : 'load',
  };
  if (sameValue(from, to) && from?.by === to.by) return;
  s.emit({ op: 'cmdqv.seen', vm, name, from, to });
}

// ---- queues read beside the program, and what the kernel tells ----

/** QUEUE: commands and page 0 of a HW queue. */
export function queueRead(s: Step): void {
  if (!s.registers) return;
  const { e, state } = s;
  const c = contextOfFile(state, e.file);
  const o = c === undefined ? undefined : objectById(c, e.arg32(0) >>> 0);
  const notes = o === undefined ? undefined : state.cmdqv.queues.get(o.uid);
  const at = o === undefined ? undefined : placeOf(state.cmdqv, o.uid);
  if (o === undefined || notes === undefined || at === undefined) return;
  const chunk = chunkIn(s);
  setNotes(s, o.uid, {
    ...notes,
    sampled: e.seq,
    chunks: chunk === undefined ? notes.chunks : [...notes.chunks, chunk].slice(-MOST_CHUNKS),
  });
  const page0 = e.part(PartKind.OUT, 1);
  if (page0 !== undefined) {
    const bytes = new Uint8Array(e.view.buffer, e.view.byteOffset + page0.start, Math.min(page0.bytes, 0x20));
    const { index } = at.vintf;
    follow(s, { kind: 'sample', vintf: index, lvcmdq: at.queue.lvcmdq, page0: bytes }, memoryOf(state.cmdqv, at.vintf));
  }
  prune(s, at.queue, at.vintf.index);
}

function chunkIn(s: Step): Chunk | undefined {
  const { e } = s;
  const part = e.part(PartKind.OUT, 0);
  const log2 = Number(e.arg(2));
  if (part === undefined || part.bytes < COMMAND_BYTES || !(log2 <= 31)) return undefined;
  const bytes = Math.min(part.bytes - (part.bytes % COMMAND_BYTES), COMMAND_BYTES * 2 ** log2);
  const entries = Uint8Array.from(new Uint8Array(e.view.buffer, e.view.byteOffset + part.start, bytes));
  return { first: e.arg32(3) >>> 0, log2, entries, seq: e.seq };
}

/** Commands that have been executed are not kept, nor those that a newer sample has. */
function prune(s: Step, queue: Queue, vintf: number): void {
  const uid = uidOf(queue.key);
  const notes = s.state.cmdqv.queues.get(uid);
  if (notes === undefined || notes.chunks.length === 0) return;
  const { prod, cons, used, log2 } = viewQueue(readerOf(s.state.cmdqv), vintf, queue.lvcmdq);
  const whole = prod === undefined || cons === undefined || used === undefined || log2 === undefined || used >= 2 ** log2;
  const ahead = (from: number, to: number, size: number): number => (((to - from) % size) + size) % size;
  const waits = (c: Chunk): boolean => {
    if (whole) return true;
    const size = 2 ** c.log2;
    const [first, next] = [entryOf(c.first, c.log2), entryOf(cons, c.log2)];
    return ahead(next, first, size) < used || (used > 0 && ahead(first, next, size) < c.entries.length / COMMAND_BYTES);
  };
  const covered = (c: Chunk, by: Chunk): boolean =>
    by.log2 === c.log2 &&
    ahead(entryOf(by.first, by.log2), entryOf(c.first, c.log2), 2 ** c.log2) * COMMAND_BYTES + c.entries.length <= by.entries.length;
  const chunks = notes.chunks.filter((c, i) => waits(c) && !notes.chunks.slice(i + 1).some((by) => covered(c, by)));
  if (chunks.length < notes.chunks.length) setNotes(s, uid, { ...notes, chunks });
}

/** A vEVENT was read from the queue of a VIOMMU. `at`: of its 16 bytes in the OUT part. */
export function told(s: Step, viommu: Uid, at: number): void {
  if (!s.registers) return;
  const vintf = vintfOf(s.state.cmdqv, viommu);
  if (vintf === undefined) return;
  const map = [BigInt(s.e.u64(s.e.out, at)), BigInt(s.e.u64(s.e.out, at + 8))] as const;
  follow(s, { kind: 'vevent-read', viommu: vintf.key, map });
  for (const q of vintf.queues) {
    const notes = s.state.cmdqv.queues.get(uidOf(q.key));
    if (notes !== undefined && ((map[q.lvcmdq < 64 ? 0 : 1] >> BigInt(q.lvcmdq & 63)) & 1n) === 1n)
      setNotes(s, notes.queue, { ...notes, told: s.e.seq });
  }
}

/** Is it the vEVENTQ of a CMDQV? */
export const isCmdqvEvents = (kind: number): boolean => kind === CMDQV;
