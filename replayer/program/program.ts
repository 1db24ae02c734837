/**
 * A session as a program that can be issued again: what every step asks, with a symbol in place of each number that the kernel
 * or the program's surroundings chose (ids, descriptors, addresses, IOVAs, mmap offsets, pids, cookies). One form for running
 * again, reducing, slicing and exporting. It is made by program-of.ts, turned into bytes again by instantiate.ts.
 *
 * A step keeps the frame of its event as it was recorded; symbols say which bytes of it are to be replaced. So nothing of a
 * call that this program does not understand is lost, and with the recorded values the frames come out as they were.
 */
import type { DialectName } from '../../hw/uapi/table.ts';
import { decodeParts, FRAME_AT, type Part, PartKind } from '../../store/frame.ts';

/**
 * What a number stands for.
 *
 * - object: id of an iommufd object, in its context
 * - fd: a descriptor; a forked process has its parent's under the same symbols
 * - memory: an address of the program's own memory; the symbol is the beginning of a region
 * - mapping: an address that mmap(2) or mremap(2) of a followed file gave; the symbol is its beginning
 * - iova: where the kernel put an area that was to be mapped anywhere
 * - offset: what mmap(2), pread(2) and pwrite(2) take, as a call has told it (a vIOMMU's region, a region of a VFIO device)
 * - length: of such a region, in bytes
 * - process: a pid
 * - cookie: of a group of faults, as read(2) of a fault queue brought it
 * - item: pages that a mock access holds (out_access_pages_id)
 * - nothing: an id, a descriptor or a cookie that stood for nothing when it was given. A step that is issued again must take
 *   care that it still stands for nothing: the recorded number is kept where nothing has it then; else another that nothing has
 *   (see `free` in values.ts).
 */
export type SymbolSort = 'object' | 'fd' | 'memory' | 'mapping' | 'iova' | 'offset' | 'length' | 'process' | 'cookie' | 'item' | 'nothing';

/** A number that stands for something. */
export interface ProgramSymbol {
  /** its place in {@link Program.symbols} */
  readonly index: number;
  readonly sort: SymbolSort;
  /**
   * object: its type (ObjectType of hw/uapi). fd: its kind of file (FILE_KINDS of ../state.ts), or where the recorder does not
   * follow it the role that it was given in (FileRole: FILE, EVENTFD …), '' not known. nothing: 'object', 'fd' or 'cookie'.
   * offset, length: 'vIOMMU region' or 'device region' (of a VFIO device). Else ''.
   */
  readonly type: string;
  /** readable and unique in the program, fit for a name in C: ioas1, hwpt2, iommufd1, mem1 … */
  readonly name: string;
  /** the number that it was in the recording; of a negative one the two's complement of its width */
  readonly recorded: bigint;
  /** the step that makes it; -1: it was there before the recording, or is none that a recorded call makes */
  readonly step: number;
  /** object, nothing of type object, iova, offset: the iommufd context (1, 2, … in order of birth), 0 none or not known */
  readonly context: number;
  /** fd, mapping, nothing of type fd: the process that got it first; memory: the image. index in the program */
  readonly process: number;
  /** the step after which it stands for nothing any more (as far as the recording shows); -1: to the end */
  readonly ended: number;
  /** memory: index in {@link Program.regions}; else -1 */
  readonly region: number;
  /** fd that no step makes: bytes that the file must have at least, as far as calls tell (MAP_FILE); else 0 */
  readonly bytes: bigint;
}

/** Where a number is in a step's frame. */
export interface Place {
  /** bytes from the beginning of the frame */
  readonly at: number;
  /** bytes, little-endian */
  readonly width: 1 | 2 | 4 | 8;
}

/** A number in a step that is a symbol's value plus `addend`. */
export interface Use extends Place {
  readonly symbol: number;
  readonly addend: bigint;
  /** the symbol stood for nothing any more: the call is to fail on it, or names what it believes to be there */
  readonly ended: boolean;
}

/** A number in a step's answer by which a symbol becomes known; it is the symbol's value itself. */
export interface Define extends Place {
  readonly symbol: number;
}

/**
 * call: the program asked for something; it can be issued again. access: a load or store of a mapped region, issued on request.
 * receipt: a descriptor came by a message (SENDFD is its other end) or by pidfd_getfd(2). fact: something that the recorder tells and that comes of itself when the
 * other steps are issued (START, FD of a created or inherited descriptor, QUEUE), or that nobody can issue (GAP, REGION, accesses
 * of a guest or of the kernel). `why` of a fact says which.
 */
export type Role = 'call' | 'access' | 'receipt' | 'fact';

/** A call that was stored before it had returned: how its two frames become one, and come apart again. */
export interface Split {
  /** number of the RETURN event, 0 where the recording has none: the call never returned, or not while it was recorded */
  readonly seq: number;
  /** the two frames as they were; `back` is empty where there is none */
  readonly entered: Buffer;
  readonly back: Buffer;
}

/** What a step is made of. */
export interface StepContent {
  /** number of the original event, from 1 */
  readonly seq: number;
  readonly role: Role;
  /** why it is a fact, in words; '' else */
  readonly why: string;
  /** index in {@link Program.processes} and in its `threads` */
  readonly process: number;
  readonly thread: number;
  /**
   * The whole frame. Of a call that was split: both frames as one, numbered as the call, with the parts, the result and the time of
   * its return behind those of its beginning.
   */
  readonly frame: Buffer;
  /** numbers that are asked with, in the order of the frame */
  readonly uses: readonly Use[];
  readonly defines: readonly Define[];
  /**
   * Numbers of the answer that stand for what was there before, and numbers of a fact. What part OUT repeats of part IN is not
   * among them: see `repeats` in values.ts. Where parts were in the program's memory (the address of a part) is not told by symbols.
   */
  readonly echoes: readonly Use[];
  /** symbols that stand for nothing any more after it: objects and files that it ended; of descriptors in its own process */
  readonly ends: readonly number[];
  /** steps of other threads that had been entered and had not returned when it was entered, ascending */
  readonly overlaps: readonly number[];
  readonly split: Split | undefined;
}

const NO_PARTS: readonly Part[] = [];
/** What steps have that have nothing: shared, never to be written to. */
export const NONE: readonly never[] = Object.freeze([]) as readonly never[];

/** One event of the session. */
export class Step implements StepContent {
  readonly seq: number;
  readonly role: Role;
  readonly why: string;
  readonly process: number = 0;
  readonly thread: number = 0;
  readonly uses: readonly Use[] = NONE;
  readonly defines: readonly Define[] = NONE;
  readonly echoes: readonly Use[] = NONE;
  readonly ends: readonly number[] = NONE;
  readonly overlaps: readonly number[] = NONE;
  readonly split: Split | undefined = undefined;
  /** where the frame is: `frame` makes a view of it, which costs more than all else here */
  readonly buffer: Buffer;
  readonly offset: number;

  constructor(seq: number, role: Role, why: string, buffer: Buffer, offset = 0) {
    this.seq = seq;
    this.role = role;
    this.why = why;
    this.buffer = buffer;
    this.offset = offset;
  }

  /** The frame's bytes, a view. */
  get frame(): Buffer {
    const bytes = this.buffer.readUInt32LE(this.offset + FRAME_AT.bytes);
    return this.offset === 0 && bytes >= this.buffer.length ? this.buffer : this.buffer.subarray(this.offset, this.offset + bytes);
  }
  /** store/frame.ts Kind */
  get kind(): number {
    return this.buffer[this.offset + FRAME_AT.kind]!;
  }
  /** ioctl number, or what irr_frame.h says beside the kind */
  get request(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.request);
  }
  /** store/frame.ts FileKind of the descriptor that it is made on */
  get fileKind(): number {
    return this.buffer[this.offset + FRAME_AT.flags + 1]!;
  }
  /** low byte: FrameFlag bits */
  get flags(): number {
    return this.buffer[this.offset + FRAME_AT.flags]!;
  }
  /** as it was recorded; -1 none */
  get fd(): number {
    return this.buffer.readInt32LE(this.offset + FRAME_AT.fd);
  }
  /** number of the open file description in the recording, 0 not known */
  get file(): number {
    return this.buffer.readUInt32LE(this.offset + FRAME_AT.file);
  }
  /** errno that was answered, 0 success */
  get error(): number {
    return this.buffer.readInt32LE(this.offset + FRAME_AT.error);
  }
  get ret(): bigint {
    return this.buffer.readBigInt64LE(this.offset + FRAME_AT.ret);
  }
  /** Has the call returned, so that its answer is known? */
  get returned(): boolean {
    return this.split === undefined || this.split.seq > 0;
  }
  /** All parts; their bytes are views into the frame. */
  get parts(): readonly Part[] {
    return decodeParts(this.buffer, this.offset);
  }
  /** Its first text, raw bytes of a stranger: the path of an open or an exec; empty where it has none. */
  get text(): Buffer {
    return Buffer.from(this.parts.find((p) => p.kind === PartKind.TEXT && p.slot === 0)?.bytes ?? []);
  }
  /** What it asks: parts IN, NESTED_IN, ARGS and TEXT. */
  get asks(): readonly Part[] {
    return this.parts.filter((p) => p.kind !== PartKind.OUT && p.kind !== PartKind.NESTED_OUT);
  }
  /** What was answered: parts OUT and NESTED_OUT. */
  get answers(): readonly Part[] {
    return this.error === 0 || this.returned
      ? this.parts.filter((p) => p.kind === PartKind.OUT || p.kind === PartKind.NESTED_OUT)
      : NO_PARTS;
  }

  /** The same step with some things changed. */
  with(changed: Partial<StepContent>): Step {
    const { frame, ...rest } = changed;
    const step = new Step(this.seq, this.role, this.why, frame ?? this.buffer, frame === undefined ? this.offset : 0);
    const { process, thread, uses, defines, echoes, ends, overlaps, split } = this;
    return Object.assign(step, { process, thread, uses, defines, echoes, ends, overlaps, split }, rest);
  }
}

export interface ProgramThread {
  /** in the recording */
  readonly tid: number;
}

/** A process from its first event to its last; a pid that is used again is another one. */
export interface ProgramProcess {
  readonly index: number;
  /** in the recording */
  readonly pid: number;
  /** its pid as a symbol */
  readonly symbol: number;
  /** index of the process that forked it; -1 not known */
  readonly parent: number;
  /** the step that forked it; -1 not known */
  readonly forkStep: number;
  /** vfork child: lives in its parent's memory until it execs */
  readonly shares: boolean;
  /** raw bytes of a stranger's program name: escape before a terminal sees it; '' not known */
  readonly exe: string;
  /**
   * Processes that were forked from each other and have not executed another program have one image: the same layout of memory.
   * An exec begins another one; this is the first. index, from 0
   */
  readonly image: number;
  readonly threads: readonly ProgramThread[];
}

/** A part of a region, bytes. */
export interface Extent {
  readonly offset: bigint;
  readonly bytes: bigint;
}

/**
 * Memory that calls point to: whole pages of 4 KiB that were next to each other in the recording. What the recording does not
 * show: whether pages are private or shared, huge or not, and what was in them; `backing` says what calls tell all the same.
 */
export interface Region {
  readonly index: number;
  readonly symbol: number;
  readonly image: number;
  /** address in the recording, a multiple of 4096 */
  readonly start: bigint;
  /** a multiple of 4096 */
  readonly bytes: bigint;
  /**
   * A power of two, 4 KiB to 1 GiB: the greatest alignment that an address of it had as far as it can matter (not above the
   * length that was asked for there). A copy lies as the original did: at an address that is `start` modulo this.
   */
  readonly align: bigint;
  /**
   * memory: something could be read, written or pinned there. nothing: all that is known is that the kernel or the recorder could not
   * (EFAULT): nothing is to be mapped there. unknown: calls were refused before anybody looked; memory does no harm.
   */
  readonly backing: 'memory' | 'nothing' | 'unknown';
  /** pages in it where nothing is to be mapped, ascending: what was there could not be read, and no other call says otherwise */
  readonly holes: readonly Extent[];
  /** the kernel mapped it for DMA (MAP and its kin succeeded), so its pages can be pinned */
  readonly pinned: boolean;
  /** a call asks for 2 MiB or more at a multiple of 2 MiB, as one does with huge pages */
  readonly mayBeHuge: boolean;
}

/** What the recording does not say, or a step does not do again as it was. */
export interface Remark {
  /** index of the step; -1: about all of it */
  readonly step: number;
  /** one sentence; strings of the trace in it are quoted and escaped */
  readonly text: string;
}

export interface Program {
  readonly dialect: DialectName;
  /** `uname -r` of the recorded kernel, '' not known */
  readonly kernel: string;
  readonly processes: readonly ProgramProcess[];
  /** number of images, see {@link ProgramProcess.image} */
  readonly images: number;
  /** in the order in which the calls were entered */
  readonly steps: readonly Step[];
  readonly symbols: readonly ProgramSymbol[];
  readonly regions: readonly Region[];
  readonly remarks: readonly Remark[];
}

/** A place in the words of irr_frame.h: a field of the header, or bytes of a part. */
export type WhereIs =
  | { readonly in: 'fd' | 'ret' }
  | { readonly in: 'part'; readonly part: number; readonly kind: PartKind; readonly slot: number; readonly offset: number };

/** What is at a place of a step's frame; undefined: nothing that symbols are at. */
export function whereIs(step: Step, at: number): WhereIs | undefined {
  if (at === FRAME_AT.fd) return { in: 'fd' };
  if (at === FRAME_AT.ret) return { in: 'ret' };
  const { parts, frame } = step;
  for (const [part, p] of parts.entries()) {
    const start = p.bytes.byteOffset - frame.byteOffset;
    if (at >= start && at < start + p.bytes.length) return { in: 'part', part, kind: p.kind, slot: p.slot, offset: at - start };
  }
  return undefined;
}

/** The symbol that a field of a part is, by the part's kind and slot and the field's offset in it, bytes. */
export function symbolAt(step: Step, kind: PartKind, slot: number, offset: number): Use | undefined {
  const part = step.parts.find((p) => p.kind === kind && p.slot === slot);
  if (part === undefined) return undefined;
  const at = part.bytes.byteOffset - step.frame.byteOffset + offset;
  const uses = kind === PartKind.OUT || kind === PartKind.NESTED_OUT ? step.echoes : step.uses;
  return uses.find((u) => u.at === at);
}

/** The symbol of the descriptor that a step is made on; undefined: none, or one that stood for nothing and is no number at all (-1). */
export const fdUse = (step: Step): Use | undefined => step.uses.find((u) => u.at === FRAME_AT.fd);
