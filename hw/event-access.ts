/**
 * Loads and stores of registers, and hardware queues that were read beside the program, as text: the part of event-calls.ts that
 * knows registers. Whose registers an access is to, the state says: {@link AccessPlace} is what a printer is told of it.
 */
import { hexText } from './bits.ts';
import { accessText, type Geometry, type Piece, pieces, pieceValue, type View } from './cmdqv/places.ts';
import { decodeRegister, REGISTERS, type Register, registerText } from './cmdqv/registers.ts';
import type { Printing } from './event-calls.ts';
import type { EventLike } from './event-text.ts';
import { FILE_NAMES, FRAME_NUMBERS, MMIO_FLAG, MMIO_HOW, QUEUE, REGION } from './event-words.ts';
import { bytesText } from './quote.ts';
import { COMMAND_BYTES, type Command, commandText, decodeCommands } from './smmuv3/commands.ts';

/** What an access is to. */
export type AccessPlace =
  /** registers of a CMDQV; `offset` in the view, bytes; `of`: whose view it is, where that is not the host's: `guest` */
  | { readonly kind: 'cmdqv'; readonly view: View; readonly offset: bigint; readonly geometry: Geometry; readonly of?: string | undefined }
  /** a part of something that has a name: `vfio-device#3 BAR0`, and the offset in it */
  | { readonly kind: 'named'; readonly name: string; readonly offset: bigint };

const { part: PART } = FRAME_NUMBERS;
/** Wider accesses are no accesses of registers. */
const WIDEST = 64;
const ITEMS_CUT = 8;

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const howOf = (e: EventLike): number => e.request & 15;

/** Where registers are known: the access as they see it. `value`: undefined where nothing tells it. */
export interface RegisterAccess {
  readonly pieces: readonly Piece[];
  readonly place: Extract<AccessPlace, { kind: 'cmdqv' }>;
  readonly width: number;
  readonly loaded: bigint | undefined;
  readonly stored: bigint | undefined;
}

function bigOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

/** An access of known registers; undefined for any other, and for one whose width nobody knows. */
export function registerAccess(e: EventLike, words: readonly bigint[], place: AccessPlace | undefined): RegisterAccess | undefined {
  const width = Number(words[2] ?? 0n);
  if (place?.kind !== 'cmdqv' || width < 1 || width > WIDEST) return undefined;
  const bytes = (kind: number): bigint | undefined => {
    const part = e.parts.find((p) => p.kind === kind && p.slot === 0);
    return part === undefined ? undefined : bigOf(part.bytes);
  };
  const how = howOf(e);
  const known = ((words[4] ?? 0n) & BigInt(MMIO_FLAG.STEPPED)) === 0n && e.error === 0;
  const ret = BigInt.asUintN(64, e.ret);
  const loaded = how === MMIO_HOW.STORE || !known || e.state === FRAME_NUMBERS.state.ENTERED ? undefined : (bytes(PART.OUT) ?? ret);
  const stored = how === MMIO_HOW.LOAD || !known ? undefined : (bytes(PART.IN) ?? (how === MMIO_HOW.BOTH ? words[5] : ret));
  return { pieces: pieces(place.offset, width, place.view, place.geometry), place, width, loaded, stored };
}

const prefix = (a: RegisterAccess): string => (a.place.of === undefined ? '' : `${a.place.of} `);
const namesText = (a: RegisterAccess): string => prefix(a) + a.pieces.map((p) => p.place.name).join(', ');
/** `VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18)` */
const assignText = (a: RegisterAccess, value: bigint): string =>
  prefix(a) + accessText(a.place.offset, a.width, value, a.place.view, a.place.geometry);

/** What a load brought: `0x12 (WR 18)`. */
function loadedText(a: RegisterAccess, value: bigint): string {
  const [piece, more] = a.pieces;
  const register = piece?.place.register;
  if (register !== undefined && more === undefined && piece!.bytes === register.bytes)
    return registerText(register, piece!.place.index, value);
  return `${hexText(value)} (${accessText(a.place.offset, a.width, value, a.place.view, a.place.geometry)})`;
}

/** Of a file: `iommufd#1`; '' where nothing is known of it. */
function fileText({ file, fileKind }: EventLike): string {
  if (file === 0 && fileKind === 0) return '';
  return `${FILE_NAMES[fileKind] ?? `file${fileKind}`}${file === 0 ? '' : `#${file}`}`;
}

const placeOf = (p: Printing): AccessPlace | undefined => (p.o.style === 'raw' ? undefined : p.o.place?.(p.e));

/**
 * `mmio_write32(VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18))`, `mmio_read32(vfio-device#2 BAR0+0x14)`; where the place is not known
 * `mmio_write32(iommufd#1+0x1004, 0x12)`, which is what style full says in any case, with the address, and where in the program it was.
 */
export function printMmio(p: Printing): string {
  const how = howOf(p.e);
  const width = p.word(2, (w) => (w === 0n ? '' : String(w * 8n)));
  p.toldFd = p.e.fd === -1;
  const place = p.whole ? undefined : placeOf(p);
  const access = registerAccess(p.e, p.words, place);
  if (access !== undefined) return `${p.name}${width}(${abbreviated(p, access)})`;
  const file = fileText(p.e);
  // what is not the program's own has an address and no offset in a file
  const bare = file === '' || (!p.whole && p.e.request >>> 4 !== 0);
  const where = place?.kind === 'named' ? `${place.name}+${hex(place.offset)}` : bare ? p.word(0, hex) : `${file}+${p.word(1, hex)}`;
  const words = [where];
  if (how !== MMIO_HOW.LOAD) words.push(isStepped(p) ? '?' : stored(p, how));
  if (p.whole) words.push(`at ${p.word(0, hex)}`, `ip=${p.word(3, hex)}`);
  return `${p.name}${width}(${words.join(', ')})`;
}

const isStepped = (p: Printing): boolean => ((p.words[4] ?? 0n) & BigInt(MMIO_FLAG.STEPPED)) !== 0n;

function abbreviated(p: Printing, a: RegisterAccess): string {
  for (const kind of [PART.IN, PART.OUT]) p.part(kind);
  p.toldRet = true;
  if (howOf(p.e) === MMIO_HOW.LOAD) return namesText(a);
  return a.stored === undefined ? `${namesText(a)} = ?` : assignText(a, a.stored);
}

function stored(p: Printing, how: number): string {
  const wide = p.part(PART.IN);
  if (wide !== undefined) return p.bytes(wide);
  if (how === MMIO_HOW.BOTH) return p.word(5, hex);
  p.toldRet = true;
  return hex(BigInt.asUintN(64, p.e.ret));
}

/** What registers say to what was loaded: undefined where there are none, or in style full, which says it in {@link accessNote}. */
export function loadedWords(p: Printing): string | undefined {
  if (p.whole) return undefined;
  const access = registerAccess(p.e, p.words, placeOf(p));
  return access?.loaded === undefined ? undefined : loadedText(access, access.loaded);
}

/** Style full: the access in words, beside the numbers. */
export function accessNote(p: Printing): string[] {
  if (!p.whole) return [];
  const place = placeOf(p);
  if (place?.kind === 'named') return [`${place.name}+${hex(place.offset)}`];
  const a = registerAccess(p.e, p.words, place);
  if (a === undefined) return [];
  const said = [a.loaded === undefined ? '' : assignText(a, a.loaded), a.stored === undefined ? '' : assignText(a, a.stored)].filter(
    (t) => t !== '',
  );
  return said.length === 0 ? [namesText(a)] : said;
}

/** Words of page 0 of a queue as it was read: registers by name, others `@offset`. Zeros but of the indexes are left out unless `all`. */
function page0Words(
  page0: Uint8Array,
  all: boolean,
): { readonly name: string; readonly register: Register | undefined; readonly value: bigint }[] {
  const view = new DataView(page0.buffer, page0.byteOffset, page0.byteLength);
  return Array.from({ length: page0.length >> 2 }, (_, i) => {
    const register = REGISTERS.find((r) => r.block === 'PAGE0' && r.offset === 4 * i);
    return { name: register?.name ?? `@${4 * i}`, register, value: BigInt(view.getUint32(4 * i, true)) };
  }).filter((w) => all || w.value !== 0n || w.name.endsWith('_INDX'));
}

function page0Text(page0: Uint8Array, all: boolean): string {
  const items = page0Words(page0, all).map(
    (w) => `${w.name}=${w.register === undefined ? hexText(w.value) : registerText(w.register, 0, w.value)}`,
  );
  const rest = page0.subarray(page0.length & ~3);
  if (rest.length > 0) items.push(`@${page0.length & ~3}=${bytesText(rest, Number.POSITIVE_INFINITY)}`);
  return `{${items.join(' ')}}`;
}

/** Zeros behind the last command are no commands. */
function commandsIn(entries: Uint8Array): Command[] {
  let end = entries.length;
  while (end > 0 && entries[end - 1] === 0) end--;
  return decodeCommands(entries.subarray(0, Math.min(entries.length, Math.ceil(end / COMMAND_BYTES) * COMMAND_BYTES)));
}

/** Commands with their places in the queue. */
function entriesText(entries: Uint8Array, first: number, log2: number, all: boolean): string {
  const commands = commandsIn(entries);
  const shown = all ? commands : commands.slice(0, ITEMS_CUT);
  const items = shown.map((c, i) => `${(first + i) % 2 ** log2}: ${commandText(c)}`);
  if (shown.length < commands.length) items.push(`…+${commands.length - shown.length}`);
  const zeros = entries.length - COMMAND_BYTES * commands.length;
  if (all && zeros > 0) items.push(`${zeros} bytes of zeros`);
  return `[${items.join(', ')}]`;
}

/** Entries of a queue of a stranger's trace: no index is longer than that. */
const LOG2_MOST = 20n;

/** `queue_read(HW_QUEUE 7<VINTF1.LVCMDQ0>, prod, {CONS_INDX=0x1 (RD 1) …}, [0: TLBI_NH_ASID asid 3, 1: CMD_SYNC])` */
export function printQueue(p: Printing): string {
  const { e, words } = p;
  const raw = p.o.style === 'raw';
  const place = placeOf(p);
  const vintf = place?.kind === 'cmdqv' && place.view.kind === 'vintf' ? `VINTF${place.view.vintf}.` : '';
  const id = p.word(0, String);
  const index = p.word(1, String);
  const log2 = words[2] !== undefined && words[2] <= LOG2_MOST ? Number(words[2]) : Number(LOG2_MOST);
  const first = Number(BigInt.asUintN(32, words[3] ?? 0n));
  const items = p.whole || raw ? [fileText(e), `HW_QUEUE ${id}`, `index ${index}`] : [`HW_QUEUE ${id}<${vintf}LVCMDQ${index}>`];
  items.push(raw ? String(e.request) : (QUEUE[e.request] ?? String(e.request)));
  if (p.whole || raw) items.push(`log2size ${p.word(2, String)}`, `first ${p.word(3, hex)}`);
  else for (const word of [2, 3]) p.toldWords.add(word);
  const page0 = p.part(PART.OUT, 1);
  const entries = p.part(PART.OUT, 0);
  items.push(page0 === undefined ? '?' : raw ? p.bytes(page0) : page0Text(page0, p.whole));
  items.push(entries === undefined ? '?' : raw ? p.bytes(entries) : entriesText(entries, first, log2, p.whole));
  if (p.whole || raw) p.toldFd = e.fd === -1;
  return `${p.name}(${items.filter((t) => t !== '').join(', ')})`;
}

/** `region(cmdqv, 0x24200000+0x850000, "NVDA200C:00")`; where the kernel has it, in style full. */
export function printRegion(p: Printing): string {
  const items = [p.o.style === 'raw' ? String(p.e.request) : (REGION[p.e.request] ?? String(p.e.request))];
  items.push(`${p.word(0, hex)}+${p.word(1, hex)}`);
  const virtual = p.word(2, hex);
  if (p.whole || (p.words[2] ?? 0n) !== 0n) items.push(`virtual ${virtual}`);
  items.push(p.text(0));
  return `${p.name}(${items.join(', ')})`;
}

export type RegisterJson = {
  readonly register: string;
  readonly value?: string;
  readonly fields?: Readonly<Record<string, string | number>>;
};

/** Registers of an access with what was stored there, or loaded: fields of whole registers; `?` says nothing. */
export function registersJson(a: RegisterAccess): RegisterJson[] {
  const value = a.stored ?? a.loaded;
  return a.pieces.map((piece) => {
    const { register, name, byte } = piece.place;
    const whole = register !== undefined && piece.bytes === register.bytes;
    const at = register === undefined || whole ? name : `${name}[${8 * (byte + piece.bytes) - 1}:${8 * byte}]`;
    if (value === undefined) return { register: prefix(a) + at };
    const v = pieceValue(piece, value);
    const fields = whole ? Object.fromEntries(decodeRegister(register, v).map((f) => [f.field.name, wide(f.value)])) : undefined;
    return { register: prefix(a) + at, value: hexText(v), ...(fields === undefined ? {} : { fields }) };
  });
}

const wide = (value: bigint): string | number => (value > 0xffff_ffffn ? hexText(value) : Number(value));

export interface QueueJson {
  /** registers by name, and other words by `@offset`, that are not 0; the indexes always */
  readonly page0: Readonly<Record<string, string>> | undefined;
  readonly entries: readonly { readonly index: number; readonly command: string; readonly words: readonly string[] }[] | undefined;
}

/** What a QUEUE event has; entries of zeros behind the last command are left out. */
export function queueContent(e: EventLike, words: readonly bigint[]): QueueJson {
  const find = (slot: number): Uint8Array | undefined => e.parts.find((p) => p.kind === PART.OUT && p.slot === slot)?.bytes;
  const [entries, page0] = [find(0), find(1)];
  const log2 = words[2] !== undefined && words[2] <= LOG2_MOST ? Number(words[2]) : Number(LOG2_MOST);
  const first = Number(BigInt.asUintN(32, words[3] ?? 0n));
  return {
    page0: page0 === undefined ? undefined : Object.fromEntries(page0Words(page0, false).map((w) => [w.name, hexText(w.value)])),
    entries:
      entries === undefined
        ? undefined
        : commandsIn(entries).map((c, i) => ({
            index: (first + i) % 2 ** log2,
            command: commandText(c),
            words: c.words.map(hexText),
          })),
  };
}
