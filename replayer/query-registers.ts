/**
 * Registers of a CMDQV in queries: `reg == PROD_INDX`, `LVCMDQ0.GERROR != 0`, `VINTF1.LVCMDQ0.CONS_INDX.ERR == ILLEGAL`. They speak of
 * what an event brings: the value that it stores, loads or was read by it, and what it makes of a register otherwise.
 */
import { getField } from '../hw/bits.ts';
import { named, type Piece, pieceValue } from '../hw/cmdqv/places.ts';
import { BLOCKS, fieldOf, REGISTERS, type Register } from '../hw/cmdqv/registers.ts';
import { regs } from '../hw/cmdqv/state.ts';
import type { EventLike } from '../hw/event-text.ts';
import { Kind, PartKind } from '../store/frame.ts';
import { accessIn, queueIn } from './access-place.ts';
import type { Change } from './change.ts';
import type { SessionState } from './state.ts';

/** Which registers a word means; what is undefined may be any. */
export interface RegisterSubject {
  readonly vintf: number | undefined;
  readonly lvcmdq: number | undefined;
  readonly vcmdq: number | undefined;
  /** one of the CMDQV itself */
  readonly global: boolean;
  /** '' for any */
  readonly register: string;
  readonly index: number | undefined;
  readonly field: string | undefined;
}

const OWNER = /^(?:(CMDQV)|VINTF(\d{1,2})|LVCMDQ(\d{1,3})|VCMDQ(\d{1,3}))$/i;

/** `VINTF1.LVCMDQ0.GERROR`, `CONS_INDX.ERR`, `SID_MATCH_2`; undefined where it is none. */
export function registerSubject(word: string): RegisterSubject | undefined {
  const parts = word.split('.');
  const of: { vintf?: number; lvcmdq?: number; vcmdq?: number; global?: boolean } = {};
  for (let m = OWNER.exec(parts[0] ?? ''); m !== null; m = OWNER.exec(parts[0] ?? '')) {
    if (m[1] !== undefined) of.global = true;
    if (m[2] !== undefined) of.vintf = Number(m[2]);
    if (m[3] !== undefined) of.lvcmdq = Number(m[3]);
    if (m[4] !== undefined) of.vcmdq = Number(m[4]);
    parts.shift();
  }
  const owned = { vintf: of.vintf, lvcmdq: of.lvcmdq, vcmdq: of.vcmdq, global: of.global === true };
  const [name, field, ...more] = parts.map((p) => p.toUpperCase());
  if (more.length > 0) return undefined;
  if (name === undefined) return { ...owned, register: '', index: undefined, field: undefined };
  const [, stem, digits] = /^(.*?)(?:_(\d{1,3}))?$/.exec(name)!;
  const array = rowsNamed(stem!).some((r) => r.count > 1) && digits !== undefined;
  const register = array ? stem! : name;
  const rows = rowsNamed(register);
  if (rows.length === 0 || (field !== undefined && !rows.some((r) => r.fields.some((f) => f.name === field)))) return undefined;
  return { ...owned, register, index: array ? Number(digits) : undefined, field };
}

const rowsNamed = (name: string): readonly Register[] => REGISTERS.filter((r) => r.name === name);

/** The number of a name that a field's values have: `ILLEGAL`. */
export function registerConstant(s: RegisterSubject, word: string): bigint | undefined {
  for (const r of rowsNamed(s.register)) {
    if (s.field === undefined || !r.fields.some((f) => f.name === s.field)) continue;
    for (const [number, name] of Object.entries(fieldOf(r, s.field).values ?? {})) if (name === word.toUpperCase()) return BigInt(number);
  }
  return undefined;
}

/** Names of registers, for suggestions. */
export const registerWords = (): string[] => [...new Set(REGISTERS.map((r) => r.name))];

/** A value that an event brings for a register. */
export interface RegisterHit {
  readonly name: string;
  readonly value: bigint;
  /** bits of it that are known */
  readonly known: bigint;
}

/** Registers that an event touches or changes. */
export function registerHits(event: EventLike, before: () => SessionState | undefined, changes: () => readonly Change[]): RegisterHit[] {
  const hits: RegisterHit[] = [];
  if (event.kind === Kind.MMIO) {
    const access = accessIn(before(), event);
    for (const piece of access?.pieces ?? [])
      for (const value of [access!.loaded, access!.stored]) if (piece.place.register !== undefined) hits.push(hitOf(piece, value));
  } else if (event.kind === Kind.QUEUE) hits.push(...queueHits(event, before()));
  for (const c of changes())
    if (c.op === 'cmdqv.register' && c.to !== undefined) hits.push({ name: c.name, value: c.to.value, known: c.to.known });
  return hits;
}

function hitOf(piece: Piece, value: bigint | undefined): RegisterHit {
  const shift = BigInt(8 * piece.place.byte);
  const mask = ((1n << BigInt(8 * piece.bytes)) - 1n) << shift;
  const { name } = piece.place;
  return value === undefined ? { name, value: 0n, known: 0n } : { name, value: pieceValue(piece, value) << shift, known: mask };
}

function queueHits(event: EventLike, state: SessionState | undefined): RegisterHit[] {
  const found = state === undefined ? undefined : queueIn(state, event);
  const page0 = event.parts.find((p) => p.kind === PartKind.OUT && p.slot === 1)?.bytes;
  if (found === undefined || page0 === undefined) return [];
  const { vintf, queue } = found.at;
  const view = new DataView(page0.buffer, page0.byteOffset, page0.byteLength);
  return REGISTERS.filter((r) => r.block === 'PAGE0' && r.offset + r.bytes <= Math.min(page0.length, BLOCKS.PAGE0.bytes)).map((r) => ({
    name: regs.page0(vintf.index, queue.lvcmdq, r.name),
    value: BigInt(view.getUint32(r.offset, true)),
    known: 0xffff_ffffn,
  }));
}

/** Is it one of these registers? */
export function isRegister(s: RegisterSubject, name: string): boolean {
  const m = /^(?:CMDQV|VINTF(\d+)(?:\.LVCMDQ(\d+))?|VCMDQ(\d+))\.([A-Z0-9_]+)$/.exec(name);
  if (m === null) return false;
  const is = (want: number | undefined, text: string | undefined): boolean =>
    want === undefined || (text !== undefined && want === Number(text));
  if (!is(s.vintf, m[1]) || !is(s.lvcmdq, m[2]) || !is(s.vcmdq, m[3])) return false;
  if (s.global && !name.startsWith('CMDQV.')) return false;
  if (s.register === '') return true;
  const last = m[4]!;
  return s.index === undefined
    ? last === s.register || (last.startsWith(`${s.register}_`) && /^\d+$/.test(last.slice(s.register.length + 1)))
    : last === `${s.register}_${s.index}`;
}

/** The value of a hit, or of the field that is asked for; undefined where it is not known. */
export function hitValue(s: RegisterSubject, hit: RegisterHit): bigint | undefined {
  const row = named(hit.name)?.register;
  if (row === undefined) return undefined;
  const field = s.field === undefined ? undefined : row.fields.find((f) => f.name === s.field);
  if (s.field !== undefined && field === undefined) return undefined;
  const mask = field?.mask ?? row.fields.reduce((bits, f) => bits | f.mask, 0n);
  if ((hit.known & mask) !== mask) return undefined;
  return field === undefined ? hit.value : getField([hit.value], field);
}
