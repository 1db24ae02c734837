/**
 * One call while its answer is worked out. A rule reads the request through it, refuses where the kernel would, sets outputs,
 * takes ids, and says what will change; nothing changes before `commit`.
 *
 * A rule is written as the kernel's function is: check after check, in its order.
 *
 *     if (flags !== 0 && c.refuse('EOPNOTSUPP', 'ioas-alloc.flags', { field: 'flags' })) return;
 *     const id = c.newId('out_ioas_id');
 *     c.then(() => insert(…));
 *
 * `refuse` is true where the call ends there. It is false where the rule is run along an answer that is known already (a
 * recorded one that the rules did not foresee): then the checks that the recorded kernel passed are passed, and ids and
 * addresses are those that it gave.
 */
import type { UapiTable } from '../uapi/table.ts';
import type { Command, Field, Target } from '../uapi/types.ts';
import { MEMORY } from './reasons.ts';
import type { Context, Kernel, KObject, OpenFile, Pages } from './state.ts';
import { queueTraits, type Traits } from './traits.ts';

/** Memory of the program at the time of the call. */
export interface Memory {
  /** what could be read, from the start on */
  readonly bytes: Uint8Array;
  /** bytes that the kernel may touch */
  readonly wanted: bigint;
  /** what comes after `bytes` cannot be read */
  readonly fault: boolean;
}

/** A call as the kernel gets it. */
export interface Request {
  readonly target: Target;
  readonly file: OpenFile;
  readonly request: number;
  /** the argument word; of calls whose argument is a number or a descriptor */
  readonly arg: bigint;
  /** the struct, as long as its own size says; `wanted` is that size */
  readonly struct: Memory;
  /** event number of the call; new objects are born there */
  readonly seq: number;
  /** pid of the address space */
  readonly process: number;
  /** what the pointer field at this offset of the struct points to; undefined: not known */
  nested(offset: number): Memory | undefined;
  /** an open file by a descriptor of the process; undefined: no such descriptor, 'unknown': not known */
  fileOf(fd: number): OpenFile | undefined | 'unknown';
  /** An eventfd by a descriptor of the process; 'none': no such descriptor, 'other': it is none. Without it nobody knows. */
  eventfdOf?(fd: number): Eventfd | 'none' | 'other';
  /** Registers that are mapped somewhere in a range of the caller's addresses; undefined: none is known of. */
  registersAt?(address: bigint, length: bigint): Registers | undefined;
  /**
   * Do these bytes (offset and length in the pages) lie together in physical memory, the first at a multiple of the length?
   * Without it nobody knows.
   */
  together?(pages: Pages, offset: bigint, length: bigint): boolean;
}

/** An eventfd of a program, which it may close while the kernel keeps it. */
export interface Eventfd {
  /** tells eventfds apart; '' where that is not known */
  readonly id: string;
  /** where it was found: pid and descriptor */
  readonly process: number;
  readonly fd: number;
}

/** A mapping of a device's BAR or a vIOMMU's region in a program: it has no pages of memory. */
export interface Registers {
  readonly address: bigint;
  /** event of the mmap(2), 0 not known */
  readonly seq: number;
  /** whose they are */
  readonly object: KObject | undefined;
}

/** An answer that is known. */
export interface Observed {
  readonly errno: string;
  readonly ret: bigint;
  /** the struct after the call */
  readonly out: Uint8Array | undefined;
  /** what the kernel wrote where the pointer field at this offset of the struct points to */
  nested?(offset: number): Uint8Array | undefined;
}

/** Why a call ends with an error. */
export interface Refusal {
  /** 'EBUSY' … */
  readonly errno: string;
  /** name of the rule: stable, for tests and JSON: 'ioas-map.alignment' */
  readonly rule: string;
  /** the check in words, about this call: "length 0x800 is not a multiple of the alignment of IOAS 1, 0x1000" */
  readonly text: string;
  /** field of the struct that broke it */
  readonly field?: string | undefined;
  /** what would have passed, in words */
  readonly wanted?: string | undefined;
  /** objects in the way, or whose state decided */
  readonly because?: readonly KObject[] | undefined;
}

export type RefusalDetail = Partial<Omit<Refusal, 'errno' | 'rule'>>;

/** What the kernel answers, as far as it is determined. */
export interface Answer {
  /** '' for success */
  readonly errno: string;
  readonly refusal: Refusal | undefined;
  readonly ret: bigint;
  /** the struct as it is written back; undefined where nothing is */
  readonly out: Uint8Array | undefined;
  /** `out` differs from what came in */
  readonly changed: boolean;
  /** 1 for bytes of `out` that are not determined */
  readonly open: Uint8Array | undefined;
  /** buffers written, by offset of their pointer; undefined: written, with what is not determined */
  readonly nestedOut: ReadonlyMap<number, Uint8Array | undefined>;
  /** Why the kernel may give this error ('': success) instead, for a reason that the state does not know; undefined: it may not. */
  mayBe(errno: string): string | undefined;
  /** outputs that are not determined, and why: field → reason; '' for the return value */
  readonly undeterminedOutputs: ReadonlyMap<string, string>;
  /** descriptors that come into being: field → what they are; '' for the return value */
  readonly files: ReadonlyMap<string, Omit<OpenFile, 'file'>>;
  /** memory that the kernel copies between programs and mapped memory, in order; what comes before a failure stays copied */
  readonly moves: readonly Move[];
  /** eventfds that are signalled by the call, once each */
  readonly signals: readonly Eventfd[];
  /** applies what changes; once */
  commit(): void;
}

/** A place in memory: of a process, or in a file (memfd, dma-buf). */
export interface Place {
  /** pid of the address space; undefined where the memory is a file's */
  readonly process: number | undefined;
  /** number of the open file, where it is known */
  readonly file: number | undefined;
  /** user address, or offset in the file */
  readonly address: bigint;
}

export interface Move {
  readonly from: Place;
  readonly to: Place;
  /** bytes */
  readonly length: bigint;
}

export interface CallOptions {
  readonly kernel: Kernel;
  readonly table: UapiTable;
  readonly traits: Traits;
  readonly command: Command;
  readonly request: Request;
  readonly observed?: Observed | undefined;
}

const NO_FIELDS: ReadonlyMap<string, Field> = new Map();
const NONE: ReadonlyMap<never, never> = new Map<never, never>();
const NO_MOVES: readonly Move[] = [];
const NO_SIGNALS: readonly Eventfd[] = [];

export class Call implements Answer {
  readonly kernel: Kernel;
  readonly table: UapiTable;
  readonly traits: Traits;
  readonly command: Command;
  readonly request: Request;
  /** context of the file; rules of iommufd commands may rely on it */
  context: Context;
  readonly observed: Observed | undefined;
  readonly #in: DataView;
  /** the kernel's copy as it is written back; made with the first output */
  #changed: Uint8Array | undefined;
  #open: Uint8Array | undefined;
  #fields: ReadonlyMap<string, Field> = NO_FIELDS;
  #ret = 0n;
  /** the output that tells the id of a HWPT that an attachment makes; '' where none does */
  autoField = '';
  #refusal: Refusal | undefined;
  #taken: number[] | undefined;
  #nested: Map<number, Uint8Array | undefined> | undefined;
  /** errno, reason, errno, reason … */
  #maybe: string[] | undefined;
  #undetermined: Map<string, string> | undefined;
  #files: Map<string, Omit<OpenFile, 'file'>> | undefined;
  #moves: (() => readonly Move[]) | undefined;
  #signals: Eventfd[] | undefined;
  #effects: (() => void)[] | undefined;
  #always: (() => void)[] | undefined;
  /** bytes that are written back at most */
  #extent: number;
  #writesBack = true;
  #writesOnFailure = false;
  #staysUnanswered = false;

  constructor(options: CallOptions) {
    this.kernel = options.kernel;
    this.table = options.table;
    this.traits = options.traits;
    this.command = options.command;
    this.request = options.request;
    this.observed = options.observed;
    this.context = options.request.file.context as Context;
    // the kernel's own copy: its size, what the program left out being zero
    const size = options.command.struct?.size ?? 0;
    this.#extent = size;
    const { bytes } = options.request.struct;
    if (size >= 8 && bytes.length >= size) this.#in = new DataView(bytes.buffer, bytes.byteOffset, size);
    else {
      const whole = new Uint8Array(Math.max(size, 8));
      whole.set(bytes.subarray(0, size));
      this.#in = new DataView(whole.buffer);
    }
    const fields = options.command.struct?.byName;
    if (fields !== undefined) this.#fields = fields;
  }

  /** The struct as it came in. */
  get #before(): Uint8Array {
    return new Uint8Array(this.#in.buffer, this.#in.byteOffset, this.#in.byteLength);
  }
  get #out(): Uint8Array {
    this.#changed ??= this.#before.slice();
    return this.#changed;
  }

  /** The call is about another context from here on: a device's, that it is bound to. */
  enter(context: Context): void {
    this.context = context;
  }

  /** Offset of a field. Throws for a name that the command does not have: a mistake in a rule. */
  at(field: string): number {
    const found = this.#fields.get(field);
    if (found === undefined) throw new Error(`${this.command.name} has no ${field}`);
    return found.offset;
  }
  u8(field: string): number {
    return this.#in.getUint8(this.at(field));
  }
  u16(field: string): number {
    return this.#in.getUint16(this.at(field), true);
  }
  u32(field: string): number {
    return this.#in.getUint32(this.at(field), true);
  }
  s32(field: string): number {
    return this.#in.getInt32(this.at(field), true);
  }
  u64(field: string): bigint {
    return this.#in.getBigUint64(this.at(field), true);
  }
  /** Has the program's struct room for this field? What it left out counts as zero and is not written back. */
  has(field: string): boolean {
    return this.request.struct.wanted >= BigInt(this.at(field) + 1);
  }

  /** The call ends with an error here: true. See the head of this file. */
  refuse(errno: string, rule: string, detail: RefusalDetail = {}): boolean {
    if (this.observed !== undefined && this.observed.errno !== errno) {
      // what the call says of its failure is written too, and that can fail
      if (this.observed.errno !== 'EFAULT' || !this.#writesOnFailure) return false;
      this.unanswered();
      return true;
    }
    this.#refusal = { text: '', ...detail, errno, rule };
    this.#effects = undefined;
    return true;
  }

  /** The known answer is EFAULT, for no reason but that it could not be written. */
  unanswered(): void {
    this.#refusal = { errno: 'EFAULT', rule: 'call.response', text: 'the struct cannot be written' };
    if (!this.#staysUnanswered) this.#effects = undefined;
  }

  get refused(): boolean {
    return this.#refusal !== undefined;
  }

  /** The kernel may end the call with this error here, for a reason that the state does not know: "memory of the program". True where it is known to have. */
  mayRefuse(errno: string, reason: string, rule: string): boolean {
    if (this.observed?.errno === errno) {
      this.#refusal = { errno, rule, text: reason };
      this.#effects = undefined;
      return true;
    }
    if (this.#maybe === undefined) this.#maybe = [errno, reason];
    else this.#maybe.push(errno, reason);
    return false;
  }

  /** The known answer is an error that no rule gave. Nothing changes, as far as can be told. */
  unforeseen(errno: string, reason: string): void {
    this.#refusal = { errno, rule: '', text: reason };
    this.#effects = undefined;
    this.#always = undefined;
  }

  /** The check that comes next refuses as far as the state tells, but the kernel looks at something that the state does not show. */
  mayPass(reason: string): void {
    if (this.#maybe === undefined) this.#maybe = ['', reason];
    else this.#maybe.push('', reason);
  }

  /** The kernel copies memory. */
  copies(moves: () => readonly Move[]): void {
    this.#moves = moves;
  }

  /** The kernel signals an eventfd. */
  signal(eventfd: Eventfd): void {
    this.#signals ??= [];
    this.#signals.push(eventfd);
  }

  /** Lowest free id, or what the known answer says in `field`; '' for one that is not told. Published with the call's success. */
  newId(field: string): number {
    const known = this.observed?.out;
    let id = 0;
    if (this.observed?.errno === '' && known !== undefined && field !== '') {
      const at = this.at(field);
      if (known.length >= at + 4) id = new DataView(known.buffer, known.byteOffset).getUint32(at, true);
    }
    if (id === 0) id = this.#lowestFree();
    this.#taken ??= [];
    this.#taken.push(id);
    if (field !== '') this.set(field, id);
    return id;
  }

  #lowestFree(): number {
    const { objects, tombstones, lowestFree, queues } = this.context;
    let id = lowestFree;
    if (queues.length === 0 || this.traits.queueRules === 'none') {
      while (objects.has(id) || tombstones.has(id) || this.#taken?.includes(id) === true) id++;
      return id;
    }
    // these rules may take more or fewer ids for a queue than the kernel that made it
    const { ids } = queueTraits(this.traits.queueRules);
    const free =
      ids !== 'queue' ? [] : queues.map((q) => (q.access === undefined || q.access.passed ? 0 : q.access.id)).filter((n) => n > 0);
    const spare = ids === 'queue, access' ? queues.map((q) => q.spare) : [];
    id = Math.min(id, ...free);
    const taken = (n: number): boolean => (objects.has(n) && !free.includes(n)) || tombstones.has(n) || spare.includes(n);
    while (taken(id) || this.#taken?.includes(id) === true) id++;
    return id;
  }

  /** An output. A field beyond the program's struct is not written. */
  set(field: string, value: number | bigint): void {
    this.setAt(this.at(field), this.#width(field), value);
  }
  setAt(offset: number, width: number, value: number | bigint): void {
    const out = this.#out;
    // byte by byte: a view would cost more than all the rest of a call
    if (width === 8) {
      const whole = BigInt.asUintN(64, BigInt(value));
      put32(out, offset, Number(whole & 0xffff_ffffn));
      put32(out, offset + 4, Number(whole >> 32n));
    } else if (width === 4) put32(out, offset, typeof value === 'number' ? value : Number(BigInt.asUintN(32, value)));
    else {
      const low = Number(value);
      out[offset] = low;
      if (width === 2) out[offset + 1] = low >> 8;
    }
  }

  /** An output that is not determined by the state: `reason` says why. Where the answer is known, its value. */
  undetermined(field: string, reason: string): bigint | undefined {
    const at = this.at(field);
    const width = this.#width(field);
    this.#undetermined ??= new Map();
    this.#undetermined.set(field, reason);
    this.#open ??= new Uint8Array(this.#out.length);
    this.#open.fill(1, at, at + width);
    const known = this.observed?.out;
    if (known === undefined || known.length < at + width) return undefined;
    const view = new DataView(known.buffer, known.byteOffset);
    const value = width === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
    this.set(field, value);
    return value;
  }

  /** A 64-bit output of the known answer. */
  observedU64(field: string): bigint | undefined {
    const known = this.observed?.out;
    const at = this.at(field);
    return known === undefined || known.length < at + 8 ? undefined : new DataView(known.buffer, known.byteOffset).getBigUint64(at, true);
  }

  /** What the known answer has in the buffer of a pointer field. */
  observedBytes(field: string): Uint8Array | undefined {
    return this.observed?.nested?.(this.at(field));
  }
  /** A 64-bit number of it. */
  observedNested(field: string, byte: number): bigint | undefined {
    const bytes = this.observedBytes(field);
    if (bytes === undefined || bytes.length < byte + 8) return undefined;
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(byte, true);
  }

  /** What is written to the buffer that a pointer field points to; undefined: not determined. */
  writeNested(field: string, bytes: Uint8Array | undefined): void {
    this.#nested ??= new Map();
    this.#nested.set(this.at(field), bytes);
  }

  /** What is probably written to the buffer of a pointer field; `reason` keeps it from being known. */
  guessNested(field: string, bytes: Uint8Array, reason: string): void {
    this.unknownNested(field, reason);
    this.writeNested(field, bytes);
  }

  /** The buffer of a pointer field is written, with what `reason` keeps from being known. */
  unknownNested(field: string, reason: string): void {
    this.writeNested(field, undefined);
    this.#undetermined ??= new Map();
    this.#undetermined.set(field, reason);
  }

  /** What the buffer of a pointer field has before the call. */
  nested(field: string): Memory | undefined {
    return this.request.nested(this.at(field));
  }

  /** A descriptor comes into being in this field. Its number is not determined. */
  newFile(field: string, file: Omit<OpenFile, 'file'>): void {
    this.#files ??= new Map();
    this.#files.set(field, file);
    this.undetermined(field, 'descriptor number');
  }

  /** The call returns a new descriptor. */
  returnsFile(file: Omit<OpenFile, 'file'>): void {
    this.#files ??= new Map();
    this.#files.set('', file);
    this.mayReturn('descriptor number');
  }

  /** What a successful call returns is not determined. */
  mayReturn(reason: string): void {
    this.#undetermined ??= new Map();
    this.#undetermined.set('', reason);
    if (this.observed !== undefined) this.#ret = this.observed.ret;
  }

  /** What a successful call returns. */
  returns(value: bigint): void {
    this.#ret = value;
  }
  /** The kernel writes more than the struct that the table knows: up to this many bytes of what the program's size has room for. */
  extend(bytes: number): void {
    const whole = new Uint8Array(Math.max(bytes, this.#in.byteLength));
    whole.set(this.request.struct.bytes.subarray(0, bytes));
    this.#changed = whole;
    this.#extent = bytes;
  }
  /** The struct is not written back, even on success. */
  keepStruct(): void {
    this.#writesBack = false;
  }
  /** The struct is written back even where the call fails from here on (IOVA_RANGES, HWPT_INVALIDATE). */
  writeAnyway(): void {
    this.#writesOnFailure = true;
  }
  /** What changes stays changed even where the answer cannot be written. Most calls take it back then. */
  stayUnanswered(): void {
    this.#staysUnanswered = true;
  }

  /** What changes when the call succeeds, in order. */
  // biome-ignore lint/suspicious/noThenProperty: it is what a rule says, and nobody awaits a call
  then(effect: () => void): void {
    this.#effects ??= [];
    this.#effects.push(effect);
  }
  /** What changes even if the call fails after this point (UNMAP removes areas one by one). */
  already(effect: () => void): void {
    this.#always ??= [];
    this.#always.push(effect);
  }

  // What follows is the answer, once the rule has run.

  get errno(): string {
    return this.#refusal?.errno ?? '';
  }
  get refusal(): Refusal | undefined {
    return this.#refusal;
  }
  get ret(): bigint {
    return this.#refusal === undefined ? this.#ret : -1n;
  }
  get #length(): number {
    return Math.min(Number(this.request.struct.wanted), this.#extent);
  }
  get out(): Uint8Array | undefined {
    const writes = this.#writesBack && (this.#refusal === undefined || this.#writesOnFailure);
    return writes ? upTo(this.#changed ?? this.#before, this.#length) : undefined;
  }
  get changed(): boolean {
    return this.#changed !== undefined;
  }
  get open(): Uint8Array | undefined {
    return this.#open === undefined ? undefined : upTo(this.#open, this.#length);
  }
  get nestedOut(): ReadonlyMap<number, Uint8Array | undefined> {
    return this.#nested ?? NONE;
  }
  mayBe(errno: string): string | undefined {
    const all = this.#maybe;
    if (all !== undefined) for (let i = 0; i < all.length; i += 2) if (all[i] === errno) return all[i + 1];
    return errno === 'EFAULT' && (this.#refusal === undefined || this.#writesOnFailure) ? MEMORY : undefined;
  }
  get undeterminedOutputs(): ReadonlyMap<string, string> {
    return this.#undetermined ?? NONE;
  }
  get files(): ReadonlyMap<string, Omit<OpenFile, 'file'>> {
    return this.#files ?? NONE;
  }
  get moves(): readonly Move[] {
    return this.#moves?.() ?? NO_MOVES;
  }
  get signals(): readonly Eventfd[] {
    return this.#signals ?? NO_SIGNALS;
  }
  commit(): void {
    for (const effect of this.#always ?? []) effect();
    for (const effect of this.#effects ?? []) effect();
  }

  #width(field: string): number {
    return this.table.widthOf(this.command.name, field);
  }
}

/** The first bytes; nearly always they are all. */
const upTo = (bytes: Uint8Array, length: number): Uint8Array => (bytes.length <= length ? bytes : bytes.subarray(0, length));

/** Writes the low 32 bits of a number, little-endian. */
function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** A rule of a command: works out the answer through the call. */
export type Rule = (call: Call) => void;
