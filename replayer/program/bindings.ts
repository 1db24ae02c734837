/** What the symbols of a program are in a run: bound when the step that makes them has passed here. */
import { Dup, Found, FRAME_AT, FRAME_HEADER, Kind, PART_AT, PART_HEADER, PartKind } from '../../store/frame.ts';
import type { Checker } from '../check.ts';
import { type Define, fdUse, type Program, type ProgramSymbol, type Step, whereIs } from './program.ts';
import { free, get, type Values } from './values.ts';

/** Where mappings go that the recording has none of. */
const ANYWHERE = 0x7e00_0000_0000n;
const FIRST_FD = 3;
/** A log may say of others. */
const LAST_FD = 0x7fff_ffff;
/** Numbers that nothing has: for symbols whose step failed here, or is not issued. */
const NO_FD = 1_000_000n;
const NO_ID = 0x3fff_0000n;

export class Bindings {
  readonly values: Values;
  readonly #program: Program;
  readonly #checker: Checker;
  /** symbols of descriptors that FD(CREATED) events among the steps tell of */
  readonly told = new Set<number>();
  /** all such events */
  readonly #told: ReadonlyMap<number, Step>;
  /** descriptors that calls have made here, until they are told of: number and file, by symbol */
  readonly #made = new Map<number, { readonly fd: number; readonly file: number }>();
  #maps = 0n;

  constructor(program: Program, checker: Checker) {
    this.#program = program;
    this.#checker = checker;
    const { values, told } = beginningOf(program);
    this.values = values.slice();
    this.#told = told;
  }

  /** The values for a step: numbers that are to stand for nothing do so now. */
  ready(step: Step): Values {
    const { values } = this;
    for (const u of step.uses) {
      const s = this.#program.symbols[u.symbol]!;
      if (s.sort !== 'nothing' && !u.ended) continue;
      values[s.index] = free({ ...s, recorded: s.sort === 'nothing' ? s.recorded : values[s.index]! }, (v) => this.#isTaken(s, step, v));
    }
    return values;
  }

  #isTaken(s: ProgramSymbol, step: Step, value: bigint): boolean {
    const pid = this.#pidOf(step);
    const { state, recorded } = this.#checker;
    const type = s.sort === 'nothing' ? s.type : s.sort;
    if (type === 'fd') return state.fds.get(pid)?.has(Number(value)) === true;
    const use = fdUse(step);
    const fd = use === undefined ? step.fd : Number(this.values[use.symbol]! + use.addend);
    const file = recorded.kernel.files.get(state.fds.get(pid)?.get(fd) ?? 0);
    if (type === 'cookie') return file?.object?.type === 'FAULT' && file.object.answered.has(Number(value));
    return type === 'object' && file?.context?.objects.has(Number(value)) === true;
  }

  #pidOf(step: Step): number {
    return step.buffer.readUInt32LE(step.offset + FRAME_AT.pid);
  }

  /** Takes what the answer of a step has made known. Of one that failed here nothing is known. */
  learn(step: Step, frame: Buffer): void {
    if (step.defines.length === 0 || frame.readInt32LE(FRAME_AT.error) !== 0) return;
    const moved = frame.length !== step.buffer.readUInt32LE(step.offset + FRAME_AT.bytes);
    for (const d of step.defines) {
      const at = moved ? movedTo(step, d, frame) : d.at;
      if (at >= 0) this.values[d.symbol] = get(frame, { at, width: d.width });
    }
  }

  // ---- descriptors

  /** Is the descriptor of a step one that the recorder follows? */
  isFollowed(step: Step): boolean {
    const use = fdUse(step);
    return use === undefined ? step.file !== 0 : this.#program.symbols[use.symbol]!.step >= 0 || step.file !== 0;
  }

  /** A number for a descriptor of a process: the recorded one where it is free, else the lowest that is. */
  room(pid: number, recorded: number): number {
    const table = this.#checker.state.fds.get(pid);
    const taken = (fd: number): boolean => table?.has(fd) === true || [...this.#made.values()].some((m) => m.fd === fd);
    if (recorded >= 0 && recorded <= LAST_FD && !taken(recorded)) return recorded;
    let fd = FIRST_FD;
    while (taken(fd)) fd++;
    return fd;
  }

  /** The descriptor that a step makes known. */
  definedFd(step: Step): Define | undefined {
    return step.defines.find((d) => this.#program.symbols[d.symbol]!.sort === 'fd');
  }
  recordedFd(step: Step): number {
    const d = this.definedFd(step);
    return d === undefined ? FIRST_FD : Number(this.#program.symbols[d.symbol]!.recorded);
  }

  /** The number of the descriptor that OPEN or FD is about. */
  place(step: Step, pid: number): number {
    const symbol =
      step.defines.find((d) => this.#program.symbols[d.symbol]!.sort === 'fd')?.symbol ??
      step.echoes.find((u) => u.at === FRAME_AT.fd)?.symbol;
    const recorded = step.kind === Kind.OPEN ? Number(step.ret) : step.fd;
    if (step.kind === Kind.FD && symbol !== undefined && step.request !== Found.RECEIVED && step.request !== Found.PIDFD)
      return Number(this.values[symbol]!);
    return this.room(pid, recorded);
  }

  /** A call has made a descriptor. */
  makes(symbol: number, fd: number, file: number): void {
    this.values[symbol] = BigInt(fd);
    if (this.told.has(symbol)) this.#made.set(symbol, { fd, file });
  }
  /** The descriptor that an FD(CREATED) event is about; undefined: it has not been made here. */
  made(step: Step): { readonly fd: number; readonly file: number } | undefined {
    const symbol = step.echoes.find((u) => u.at === FRAME_AT.fd)?.symbol ?? -1;
    const made = this.#made.get(symbol);
    this.#made.delete(symbol);
    return made;
  }
  /** Does an event among the steps tell of the descriptor that a step makes? */
  isTold(step: Step): boolean {
    const symbol = this.definedFd(step)?.symbol;
    return symbol !== undefined && this.#made.has(symbol);
  }
  /** The event that told of it in the recording. */
  toldOf(step: Step): Step | undefined {
    return this.#told.get(this.definedFd(step)?.symbol ?? -1);
  }
  /** Was the file of an FD event made by a step? */
  hasMaker(step: Step): boolean {
    return step.file !== 0;
  }

  duplicate(step: Step, frame: Buffer): number {
    // dup2 and dup3 say which
    if (step.request === Dup.DUP2 || step.request === Dup.DUP3) {
      const target = whereOfArgs(frame);
      return target < 0 ? Number(BigInt.asIntN(32, step.ret)) : frame.readInt32LE(target);
    }
    return this.room(this.#pidOf(step), Number(step.ret));
  }

  /** An address for a mapping that the recording has not. */
  anywhere(): bigint {
    return ANYWHERE + this.#maps++ * 0x1_0000_0000n;
  }
}

interface Beginning {
  readonly values: Values;
  readonly told: ReadonlyMap<number, Step>;
}
const beginnings = new WeakMap<Program, Beginning>();

/** Before the first step: what no step makes is as it was, the rest stands for nothing. Worked out once for a program. */
function beginningOf(program: Program): Beginning {
  let known = beginnings.get(program);
  if (known !== undefined) return known;
  const values = new BigUint64Array(program.symbols.length);
  for (const s of program.symbols) values[s.index] = BigInt.asUintN(64, unbound(s));
  const told = new Map<number, Step>();
  for (const step of program.steps)
    if (step.kind === Kind.FD && step.request === Found.CREATED) for (const u of step.echoes) told.set(u.symbol, step);
  known = { values, told };
  beginnings.set(program, known);
  return known;
}

/** What a symbol stands for before a step has made it known. */
export function unbound(s: ProgramSymbol): bigint {
  if (s.step < 0) return s.recorded;
  if (s.sort === 'fd') return NO_FD + BigInt(s.index);
  if (s.sort === 'object' || s.sort === 'cookie' || s.sort === 'item') return NO_ID - BigInt(s.index);
  return s.recorded;
}

/** Where a place of a step's frame is in a frame with the same parts of other lengths; -1: not there. */
function movedTo(step: Step, { at }: Define, frame: Buffer): number {
  const where = whereIs(step, at);
  if (where === undefined || where.in !== 'part') return at;
  for (let p = FRAME_HEADER; p + PART_HEADER <= frame.length; ) {
    const bytes = frame.readUInt32LE(p + PART_AT.bytes);
    if (frame[p] === where.kind && frame.readUInt16LE(p + PART_AT.slot) === where.slot)
      return where.offset < bytes ? p + PART_HEADER + where.offset : -1;
    p += PART_HEADER + Math.ceil(bytes / 8) * 8;
  }
  return -1;
}

/** Place of the first word of ARGS; -1 none. */
function whereOfArgs(frame: Buffer): number {
  for (let p = FRAME_HEADER; p + PART_HEADER <= frame.length; ) {
    const bytes = frame.readUInt32LE(p + PART_AT.bytes);
    if (frame[p] === PartKind.ARGS) return bytes >= 8 ? p + PART_HEADER : -1;
    p += PART_HEADER + Math.ceil(bytes / 8) * 8;
  }
  return -1;
}
