/**
 * Where the registers of a CMDQV are found: addresses to registers and back. A queue is seen twice, in the direct view by its
 * number in the CMDQV (VCMDQ) and in the logical view by its number in its VINTF (LVCMDQ): both lead to one name.
 */
import { hexText } from '../bits.ts';
import { BLOCKS, type Block, fieldParts, REGISTERS, type Register, registerAt, registerText } from './registers.ts';

const PAGE = 0x1_0000;
const FIRST_VINTF = 0x1000;
const LOGICAL = 0x3_0000;
/** page 0 and page 1 of a VINTF */
const PER_VINTF = 2 * PAGE;

/** What a log or a person knows of the hardware's size. */
export interface Geometry {
  /** log2 of the queues of a VINTF: GET_HW_INFO's log2vcmdqs. undefined: not known; then queues of the direct view keep its names */
  readonly log2Queues?: number | undefined;
}

/** What the first byte of a mapping is. */
export type View =
  /** the CMDQV from its CONFIG page on, as the host or (0x50000 bytes of it) a guest sees it */
  | { readonly kind: 'aperture' }
  /** page 0 or 1 of a VINTF: what mmap of an iommufd shows is page 0 */
  | { readonly kind: 'vintf'; readonly vintf: number; readonly page: 0 | 1 };

export interface Place {
  /** `VINTF1.LVCMDQ0.PROD_INDX`, `CMDQV.CMDQ_ALLOC_3`, `VCMDQ2.BASE`; in a hole `VINTF1.LVCMDQ0.PAGE0+0x18` */
  readonly name: string;
  /** undefined: no register is known there */
  readonly register: Register | undefined;
  /** element of an array */
  readonly index: number;
  readonly view: 'config' | 'direct' | 'logical' | 'outside';
  readonly vintf: number | undefined;
  readonly lvcmdq: number | undefined;
  /** number in the CMDQV */
  readonly vcmdq: number | undefined;
  /** of the register, or of the hole: bytes before this one */
  readonly byte: number;
}

/** Of the thing that a block belongs to. */
export interface Owner {
  readonly vintf?: number | undefined;
  readonly lvcmdq?: number | undefined;
  readonly vcmdq?: number | undefined;
}

/** The name of what has the block: `CMDQV`, `VINTF1`, `VINTF1.LVCMDQ0`, `VCMDQ2`. */
export function ownerName(of: Owner): string {
  if (of.vintf !== undefined) return of.lvcmdq === undefined ? `VINTF${of.vintf}` : `VINTF${of.vintf}.LVCMDQ${of.lvcmdq}`;
  return of.vcmdq === undefined ? 'CMDQV' : `VCMDQ${of.vcmdq}`;
}

/** Names of queues' registers: asked for with every access, and looked up by, so each is one string. */
const queueNames = new Map<Register, string[]>();

/** `VINTF1.LVCMDQ0.PROD_INDX` */
export function queueRegisterName(r: Register, vintf: number, lvcmdq: number): string {
  let names = queueNames.get(r);
  if (names === undefined) {
    names = [];
    queueNames.set(r, names);
  }
  const key = vintf * BLOCKS.PAGE0.most + lvcmdq;
  names[key] ??= `${ownerName({ vintf, lvcmdq })}.${r.name}`;
  return names[key];
}

export const elementName = (r: Register, index: number): string => (r.count === 1 ? r.name : `${r.name}_${index}`);

function inBlock(block: Block, offset: number, view: Place['view'], of: Owner): Place {
  const found = registerAt(block, offset);
  const { vintf, lvcmdq, vcmdq } = of;
  const common = { view, vintf, lvcmdq, vcmdq };
  if (found === undefined) {
    const owner = ownerName(of);
    const where = block === 'PAGE0' || block === 'PAGE1' ? `${owner}.${block}` : owner;
    return { ...common, name: `${where}+0x${offset.toString(16)}`, register: undefined, index: 0, byte: 0 };
  }
  const { register, index } = found;
  const byte = offset - register.offset - index * register.bytes;
  const known = vintf !== undefined && vintf < BLOCKS.VINTF.most && lvcmdq !== undefined && lvcmdq < BLOCKS.PAGE0.most;
  const name = known ? queueRegisterName(register, vintf, lvcmdq) : `${ownerName(of)}.${elementName(register, index)}`;
  return { ...common, name, register, index, byte };
}

/** VINTF and number in it of a queue of the CMDQV, as the driver lays them out at reset. */
function ownerOf(vcmdq: number, geometry: Geometry): Owner {
  if (geometry.log2Queues === undefined) return { vcmdq };
  const each = 2 ** geometry.log2Queues;
  return { vcmdq, vintf: Math.floor(vcmdq / each), lvcmdq: vcmdq % each };
}

function ownerIn(vintf: number, lvcmdq: number, geometry: Geometry): Owner {
  return { vintf, lvcmdq, vcmdq: geometry.log2Queues === undefined ? undefined : vintf * 2 ** geometry.log2Queues + lvcmdq };
}

const outside = (offset: bigint): Place => ({
  name: `CMDQV+${hexText(offset)}`,
  register: undefined,
  index: 0,
  view: 'outside',
  vintf: undefined,
  lvcmdq: undefined,
  vcmdq: undefined,
  byte: 0,
});

/** What lies at an offset (bytes) of a mapping. Total: an offset where nothing is known has a name too. */
export function locate(offset: bigint, view: View = { kind: 'aperture' }, geometry: Geometry = {}): Place {
  if (view.kind === 'vintf') {
    const { vintf, page } = view;
    if (offset < 0n || offset >= BigInt(PAGE)) return { ...outside(offset), name: `VINTF${vintf}.page${page}+${hexText(offset)}`, vintf };
    return inQueuePage(Number(offset), page, 'logical', (q) => ownerIn(vintf, q, geometry));
  }
  const last = LOGICAL + BLOCKS.VINTF.most * PER_VINTF;
  if (offset < 0n || offset >= BigInt(last)) return outside(offset);
  const at = Number(offset);
  if (at < PAGE) return inConfig(at);
  if (at < LOGICAL) return inQueuePage(at % PAGE, at < 2 * PAGE ? 0 : 1, 'direct', (q) => ownerOf(q, geometry));
  const vintf = Math.floor((at - LOGICAL) / PER_VINTF);
  const page = (at - LOGICAL) % PER_VINTF < PAGE ? 0 : 1;
  return inQueuePage(at % PAGE, page, 'logical', (q) => ownerIn(vintf, q, geometry));
}

function inConfig(at: number): Place {
  const vintf = Math.floor((at - FIRST_VINTF) / BLOCKS.VINTF.bytes);
  if (vintf < 0 || vintf >= BLOCKS.VINTF.most) return inBlock('CMDQV', at, 'config', {});
  return inBlock('VINTF', (at - FIRST_VINTF) % BLOCKS.VINTF.bytes, 'config', { vintf });
}

const inQueuePage = (at: number, page: 0 | 1, view: 'direct' | 'logical', owner: (queue: number) => Owner): Place =>
  inBlock(page === 0 ? 'PAGE0' : 'PAGE1', at % BLOCKS.PAGE0.bytes, view, owner(Math.floor(at / BLOCKS.PAGE0.bytes)));

/** Offsets from the CONFIG page at which a register is found: of a queue's in the logical view, then in the direct one. */
export function offsetsOf(r: Register, index: number, of: Owner): number[] {
  const inside = r.offset + index * r.bytes;
  if (r.block === 'CMDQV') return [inside];
  if (r.block === 'VINTF') return of.vintf === undefined ? [] : [FIRST_VINTF + of.vintf * BLOCKS.VINTF.bytes + inside];
  const page = r.block === 'PAGE0' ? 0 : PAGE;
  const offsets: number[] = [];
  if (of.vintf !== undefined && of.lvcmdq !== undefined)
    offsets.push(LOGICAL + of.vintf * PER_VINTF + page + of.lvcmdq * BLOCKS.PAGE0.bytes + inside);
  if (of.vcmdq !== undefined) offsets.push(PAGE + page + of.vcmdq * BLOCKS.PAGE0.bytes + inside);
  return offsets;
}

const NAME = /^(?:CMDQV|VINTF(\d{1,2})(?:\.LVCMDQ(\d{1,3}))?|VCMDQ(\d{1,3}))\.([A-Z0-9_]+?)(?:_(\d{1,3}))?$/;

/** The register of a name that `locate` gives; undefined where there is none. */
export function named(name: string, geometry: Geometry = {}): Place | undefined {
  const m = NAME.exec(name);
  if (m === null) return undefined;
  const [vintf, lvcmdq, vcmdq] = [m[1], m[2], m[3]].map((n) => (n === undefined ? undefined : Number(n)));
  const blocks: readonly Block[] =
    lvcmdq !== undefined || vcmdq !== undefined ? ['PAGE0', 'PAGE1'] : [vintf === undefined ? 'CMDQV' : 'VINTF'];
  const register = REGISTERS.find((r) => blocks.includes(r.block) && r.name === m[4] && r.count > 1 === (m[5] !== undefined));
  const index = Number(m[5] ?? 0);
  if (register === undefined || index >= register.count) return undefined;
  const of = vcmdq !== undefined ? ownerOf(vcmdq, geometry) : lvcmdq === undefined ? { vintf } : ownerIn(vintf ?? 0, lvcmdq, geometry);
  const offset = offsetsOf(register, index, of)[0];
  return offset === undefined ? undefined : locate(BigInt(offset), { kind: 'aperture' }, geometry);
}

/** A part of an access that lies in one register, or in a hole. */
export interface Piece {
  readonly place: Place;
  /** bytes of the register that it touches */
  readonly bytes: number;
  /** where they are in the access, bytes */
  readonly at: number;
}

/** Accesses that are wider than this are no accesses of registers. */
const WIDEST = 64;

/** An access of `width` bytes, cut at the ends of registers. Never empty for a width over 0. */
export function pieces(offset: bigint, width: number, view?: View, geometry?: Geometry): Piece[] {
  const found: Piece[] = [];
  const end = Math.min(Math.max(0, Math.trunc(width)), WIDEST);
  for (let at = 0; at < end; ) {
    const place = locate(offset + BigInt(at), view, geometry);
    const room = place.register === undefined ? 4 - Number(BigInt.asUintN(2, offset + BigInt(at))) : place.register.bytes - place.byte;
    const bytes = Math.min(room, end - at);
    found.push({ place, bytes, at });
    at += bytes;
  }
  return found;
}

/** The bits of an access's value that belong to a piece. */
export const pieceValue = (p: Piece, value: bigint): bigint =>
  BigInt.asUintN(8 * p.bytes, BigInt.asUintN(8 * WIDEST, value) >> BigInt(8 * p.at));

/** One piece: `VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18)`; of a part of a register the bits are said: `BASE[31:0] = 0x8000000a`. */
function pieceText(p: Piece, value: bigint): string {
  const v = pieceValue(p, value);
  const { register, byte, index, name } = p.place;
  if (register === undefined) return `${name} = ${hexText(v)}`;
  if (p.bytes === register.bytes) return `${name} = ${registerText(register, index, v)}`;
  const [low, high] = [8 * byte, 8 * (byte + p.bytes) - 1];
  const known = ((1n << BigInt(8 * p.bytes)) - 1n) << BigInt(low);
  // of a set any part says something, of a number only the whole
  const fields = register.fields.filter((f) => f.format === 'set' || (f.bits[1] >= low && f.bits[0] <= high));
  const text = fieldParts({ ...register, fields }, index, v << BigInt(low), known).join(' ');
  return `${name}[${high}:${low}] = ${hexText(v)}${text === '' ? '' : ` (${text})`}`;
}

/** A load or store in words; several registers are joined by `, `. */
export function accessText(offset: bigint, width: number, value: bigint, view?: View, geometry?: Geometry): string {
  const parts = pieces(offset, width, view, geometry).map((p) => pieceText(p, value));
  if (width > WIDEST) parts.push(`… of ${width} bytes`);
  return parts.join(', ');
}
