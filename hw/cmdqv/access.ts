/** Loads and stores of registers by a guest or its VMM, and registers read beside them: what each does to what is known. */
import { getField, hexText, wordsOf } from '../bits.ts';
import { COMMAND_BYTES, decodeWords } from '../smmuv3/commands.ts';
import type { Pad, Words } from './change.ts';
import { acknowledged, forgetErrors, showErrors } from './errors.ts';
import { addressOf, advance, usedOf } from './indexes.ts';
import { type Geometry, named, type Piece, type Place, pieces, pieceValue, type View } from './places.ts';
import { fieldOf, implemented, REGISTERS, register } from './registers.ts';
import { type Provenance, type Queue, regs, type Value, type Vintf, viewQueue } from './state.ts';

export interface Access {
  /** bytes, in the view */
  readonly offset: bigint;
  readonly view: View;
  /** bytes */
  readonly width: number;
  readonly value: bigint;
}

/** the VINTF that the kernel keeps for itself: nobody sets it up or takes it down */
const KERNELS = 0;

const geometry = (p: Pad): Geometry => ({ log2Queues: p.size.log2Queues });

/** Bits of its register that a part of an access brings: value and mask. */
function placed(piece: Piece, value: bigint): readonly [bigint, bigint] {
  const shift = BigInt(8 * piece.place.byte);
  return [pieceValue(piece, value) << shift, ((1n << BigInt(8 * piece.bytes)) - 1n) << shift];
}

/** A store. `from`: as the log has it, or as a model of a guest made it. */
export function store(p: Pad, access: Access, from: Provenance): void {
  for (const piece of pieces(access.offset, access.width, access.view, geometry(p))) {
    const { place } = piece;
    const [value, mask] = placed(piece, access.value);
    if (place.register === undefined) ignore(p, place.name, value, 'there is no register');
    else if (place.register.access === 'ro') ignore(p, place.name, value, 'it is read-only');
    else storeRegister(p, place, value, mask, from);
  }
}

const ignore = (p: Pad, what: string, value: bigint, why: string): void =>
  p.add({ kind: 'ignored', what: `${what} = ${hexText(value)}`, why });

function storeRegister(p: Pad, place: Place, value: bigint, mask: bigint, from: Provenance): void {
  const bits = implemented(place.register!);
  const write = (): void => p.set(place.name, value & bits, mask, from);
  const { vintf, lvcmdq } = place;
  const managed = vintf === undefined ? undefined : p.vintf(vintf);
  if (vintf === undefined || lvcmdq === undefined || managed === undefined) {
    // the kernel's own, or a CMDQV whose set-up is not followed: what was stored is all that is known
    write();
    if (vintf === KERNELS && lvcmdq !== undefined && place.register!.name === 'GERRORN') acknowledged(p, vintf, lvcmdq);
    return;
  }
  const queue = managed.queues.find((q) => q.lvcmdq === lvcmdq);
  if (queue === undefined) {
    ignore(p, place.name, value, 'there is no queue');
    return;
  }
  const why = refusal(p, vintf, queue, place.register!.name);
  if (why !== undefined) {
    ignore(p, place.name, value, why);
    return;
  }
  // why the hardware stopped is the hardware's to say: assumed as well
  if (place.register!.name === 'CONS_INDX') p.set(place.name, value & bits, mask & fieldOf(place.register!, 'RD').mask, from);
  else write();
  if (place.register!.name === 'GERRORN') acknowledged(p, vintf, lvcmdq);
  if (place.register!.name === 'PROD_INDX') contradiction(p, vintf, queue);
  if (place.register!.name === 'BASE') moveQueue(p, managed, queue, p.get(place.name));
}

/** A store whose value nobody knows: what it wrote is not known either. */
export function disturb(p: Pad, access: Omit<Access, 'value'>): void {
  for (const piece of pieces(access.offset, access.width, access.view, geometry(p))) {
    const { place } = piece;
    if (place.register === undefined || place.register.access === 'ro') continue;
    p.forget(place.name, placed(piece, 0n)[1]);
    if (place.register.name === 'GERRORN' && place.vintf !== undefined && place.lvcmdq !== undefined)
      forgetErrors(p, place.vintf, place.lvcmdq);
  }
}

/** Somebody can reach page 0 of a queue without being seen: what is in it now is not known. */
export function unseen(p: Pad, vintf: number, lvcmdq: number): void {
  for (const r of REGISTERS) if (r.block === 'PAGE0') p.forget(regs.page0(vintf, lvcmdq, r.name));
  forgetErrors(p, vintf, lvcmdq);
}

/** The queue lies elsewhere, or is of another size; of what the store leaves unknown the old is kept. */
function moveQueue(p: Pad, vintf: Vintf, queue: Queue, base: Value): void {
  const row = register('BASE', 'PAGE1');
  const get = (name: string): bigint | undefined => {
    const f = fieldOf(row, name);
    return (base.known & f.mask) === f.mask ? getField([base.value], f) : undefined;
  };
  const there: Queue = { ...queue, base: get('ADDR') ?? queue.base, log2: Number(get('LOG2SIZE') ?? queue.log2) };
  p.put(vintf.index, { ...vintf, queues: vintf.queues.map((q) => (q === queue ? there : q)) });
}

/** Registers that a running queue does not let itself be written: assumed, no source tells. */
function refusal(p: Pad, vintf: number, queue: Queue, name: string): string | undefined {
  const { acknowledged: on, errors } = viewQueue(p, vintf, queue.lvcmdq);
  if (on !== true) return undefined;
  if (name === 'CONS_INDX') return errors === 0 ? 'the queue runs' : undefined;
  return name === 'BASE' || name === 'CONS_INDX_BASE_DRAM' ? 'the queue is on' : undefined;
}

function contradiction(p: Pad, vintf: number, queue: Queue): void {
  const { prod, cons } = viewQueue(p, vintf, queue.lvcmdq);
  if (prod === undefined || cons === undefined) return;
  const used = usedOf(prod, cons, queue.log2);
  const name = regs.page0(vintf, queue.lvcmdq, 'PROD_INDX');
  if (used > 2 ** queue.log2)
    p.add({ kind: 'ignored', what: name, why: `${used} commands do not fit a queue of ${2 ** queue.log2}; the hardware reads round it` });
}

/** Memory as it is known: bytes at an address, undefined where they are not. */
type Known = (address: bigint, bytes: number) => Uint8Array | undefined;

/** A load and what it brought. `memory`: what is known of the queue's commands. */
export function load(p: Pad, access: Access, memory: Known): void {
  for (const piece of pieces(access.offset, access.width, access.view, geometry(p))) {
    if (piece.place.register === undefined) continue;
    const [value, mask] = placed(piece, access.value);
    observe(p, piece.place, value, mask, 'seen', memory);
  }
}

/** What a register was found to be. A load that brings something else than what is known says so. */
function observe(p: Pad, place: Place, value: bigint, mask: bigint, from: 'seen' | 'sampled', memory: Known): void {
  const known = p.get(place.name);
  const both = known.known & mask;
  const seen: Value = { value, known: mask, from };
  if (from === 'seen' && (known.value & both) !== (value & both)) p.add({ kind: 'differs', name: place.name, known, seen });
  const { vintf, lvcmdq } = place;
  const managed = vintf === undefined ? undefined : p.vintf(vintf);
  const queue = managed?.queues.find((q) => q.lvcmdq === lvcmdq);
  if (managed === undefined || queue === undefined) {
    p.set(place.name, value, mask, from);
    if (vintf === KERNELS && lvcmdq !== undefined) errorsSeen(p, place, vintf, lvcmdq, from);
    return;
  }
  const before = viewQueue(p, managed.index, queue.lvcmdq).cons;
  p.set(place.name, value, mask, from);
  if (place.register!.name === 'CONS_INDX') {
    moved(p, managed, queue, before, memory);
    stoppedAt(p, managed.index, queue.lvcmdq);
  }
  errorsSeen(p, place, managed.index, queue.lvcmdq, from);
}

/** CONS_INDX, GERROR or GERRORN was found to be something. */
function errorsSeen(p: Pad, place: Place, vintf: number, lvcmdq: number, from: 'seen' | 'sampled'): void {
  const { name } = place.register!;
  if (name === 'CONS_INDX') failed(p, vintf, lvcmdq, from);
  if (name === 'GERROR' || name === 'GERRORN') found(p, vintf, lvcmdq, from);
}

/** CONS is further on than it was: the hardware has executed what lies between. */
function moved(p: Pad, vintf: Vintf, queue: Queue, before: number | undefined, memory: Known): void {
  const { cons } = viewQueue(p, vintf.index, queue.lvcmdq);
  const count = before === undefined || cons === undefined ? 0 : usedOf(cons, before, queue.log2);
  // where it stood was not known: something may have been executed
  const unsynced = before === undefined ? undefined : count === 0 ? queue.unsynced : unsyncedAfter(queue, before, count, memory);
  if (count === 0 && unsynced === queue.unsynced) return;
  putQueue(p, vintf.index, { ...queue, done: queue.done + count, unsynced });
}

function putQueue(p: Pad, index: number, next: Queue): void {
  const vintf = p.vintf(index)!;
  p.put(index, { ...vintf, queues: vintf.queues.map((q) => (q.lvcmdq === next.lvcmdq ? next : q)) });
}

/** CONS says where a command failed. */
function stoppedAt(p: Pad, vintf: number, lvcmdq: number): void {
  const { err, cons } = viewQueue(p, vintf, lvcmdq);
  const queue = p.vintf(vintf)?.queues.find((q) => q.lvcmdq === lvcmdq);
  if (err !== undefined && err !== 0 && queue !== undefined && queue.stopped !== cons) putQueue(p, vintf, { ...queue, stopped: cons });
}

/** Commands since the last CMD_SYNC, when `count` from `at` on have been executed; undefined: what they were is not known. */
function unsyncedAfter(queue: Queue, at: number, count: number, memory: Known): number | undefined {
  for (let back = 1; back <= count; back++) {
    const pointer = advance(at, count - back, queue.log2);
    // its program has put another command there before the hardware went on
    const bytes = pointer === queue.stopped ? undefined : memory(addressOf(queue.base, pointer, queue.log2), COMMAND_BYTES);
    const [w0, w1] = bytes === undefined ? [] : wordsOf(bytes);
    if (w0 === undefined || w1 === undefined) return undefined;
    if (decodeWords(w0, w1).row?.name === 'CMD_SYNC') return back - 1;
  }
  return queue.unsynced === undefined ? undefined : queue.unsynced + count;
}

/** CONS_INDX says why the hardware stopped: then the error is pending, whether GERROR was read or not. */
function failed(p: Pad, vintf: number, lvcmdq: number, from: Provenance): void {
  const { err, errors } = viewQueue(p, vintf, lvcmdq);
  if (err === undefined || err === 0 || errors === undefined || (errors & 1) !== 0) return;
  const name = regs.page0(vintf, lvcmdq, 'GERROR');
  p.set(name, p.get(name).value ^ 1n, 1n, from === 'sampled' ? from : 'model');
  showErrors(p, vintf, lvcmdq, true, from === 'sampled' ? from : 'model');
}

/**
 * A vEVENT tells which queues had an error when it came up. It may have waited: of a queue that is not known to have one,
 * neither that nor where it stopped is known any more.
 */
export function told(p: Pad, vintf: Vintf, map: Words): void {
  for (const { lvcmdq } of vintf.queues) {
    const on = ((map[lvcmdq < 64 ? 0 : 1] >> BigInt(lvcmdq & 63)) & 1n) === 1n;
    if (on && (viewQueue(p, vintf.index, lvcmdq).errors ?? 0) === 0) forgetErrors(p, vintf.index, lvcmdq);
  }
}

/** GERROR or GERRORN was found to be something: the maps follow. */
function found(p: Pad, vintf: number, lvcmdq: number, from: Provenance): void {
  const { errors } = viewQueue(p, vintf, lvcmdq);
  if (errors !== undefined) showErrors(p, vintf, lvcmdq, errors !== 0, from === 'sampled' ? from : 'model');
}

/** Off, and at its start: its program has cleared it since, so CONS has not come here by executing anything. */
function cleared(page0: DataView): boolean {
  const word = (name: string): number | undefined => {
    const { offset } = register(name, 'PAGE0');
    return offset + 4 <= page0.byteLength ? page0.getUint32(offset, true) : undefined;
  };
  return word('CONFIG') === 0 && word('CONS_INDX') === 0 && word('PROD_INDX') === 0;
}

/** Page 0 of a queue as it was read beside the program: bytes from CONS_INDX on, any number of them. */
export function sample(p: Pad, vintf: number, lvcmdq: number, page0: Uint8Array, memory: Known): void {
  const view = new DataView(page0.buffer, page0.byteOffset, page0.byteLength);
  if (cleared(view) && viewQueue(p, vintf, lvcmdq).cons !== 0)
    for (const name of ['CONS_INDX', 'PROD_INDX']) p.forget(regs.page0(vintf, lvcmdq, name));
  for (const r of REGISTERS) {
    if (r.block !== 'PAGE0' || r.offset + r.bytes > page0.length) continue;
    const place = named(regs.page0(vintf, lvcmdq, r.name), geometry(p));
    if (place !== undefined) observe(p, place, BigInt(view.getUint32(r.offset, true)), 2n ** 32n - 1n, 'sampled', memory);
  }
}
