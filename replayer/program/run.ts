/**
 * A program on the rules of a kernel, in this process: each step is asked of the model (hw/iommufd) that the steps before it have
 * led to. Ids, descriptors, IOVAs and offsets are those that the model gives; addresses of memory are the recorded ones, for nothing
 * looks behind them. What the model does not know is taken from the recording, and the result says so.
 *
 * The frames that come of it are folded as they are made, by the Checker that follows recordings, too: it keeps descriptors, files, mappings and
 * processes, and holds the frames against the rules a second time.
 */
import { errnoNumber } from '../../hw/errno.ts';
import { fileNumber } from '../../hw/event-words.ts';
import type { Answer } from '../../hw/iommufd/call.ts';
import type { MachineName } from '../../hw/iommufd/machine.ts';
import type { Reply } from '../../hw/iommufd/queues.ts';
import { type DialectName, uapiTable } from '../../hw/uapi/table.ts';
import {
  encodeFrame,
  FileKind,
  Found,
  FRAME_AT,
  FrameCursor,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioHow,
  makeArgs,
  makeFrame,
  State,
} from '../../store/frame.ts';
import type { Asked } from '../asked.ts';
import { Checker, type CheckReport } from '../check.ts';
import type { SessionState } from '../state.ts';
import { entering, fail, nestedOf, placed, refused, returning, structAfter, withOut } from './answers.ts';
import { Bindings } from './bindings.ts';
import type { Program, Step } from './program.ts';
import { schedule, type Turn } from './turns.ts';
import { instantiate, put, type Values } from './values.ts';

export interface ModelRunOptions {
  /** whose rules; default: the recording's dialect */
  readonly dialect?: DialectName | undefined;
  /** the recording is of this machine of the model: its VFIO devices are known */
  readonly machine?: MachineName | undefined;
  /** the steps to issue, ascending; default: all */
  readonly steps?: ArrayLike<number> | undefined;
  /** index of a step whose answer is the recording's whatever the rules say: for what a kernel does otherwise */
  readonly recorded?: number | undefined;
}

/**
 * An answer, or a part of it, that the recording gave and not the model. Calls that are not iommufd's at all (fork, exec, exit, munmap,
 * mremap, sendmsg) go as they went in the recording and are not listed, nor are facts.
 */
export interface Taken {
  /** index of the step */
  readonly step: number;
  /** 'answer' for all of it, else the names of its fields ('ret' for the result) */
  readonly what: string;
  /** why the model does not know it */
  readonly reason: string;
}

export interface ModelRun {
  /** the frames, numbered from 1 */
  readonly frames: readonly Buffer[];
  /** index of the step of each frame; -1: a frame that the recording has none of (FD of a descriptor that only this run has) */
  readonly stepOf: readonly number[];
  readonly taken: readonly Taken[];
  /** what the symbols were here */
  readonly values: Values;
  /** what the rules say to the frames: lints; disagreements only in what was taken from the recording */
  readonly report: CheckReport;
  /** the state at the end */
  readonly state: SessionState;
}

/** Nanoseconds from event to event: times are made up. */
const EVENT_NS = 1000n;
const EBADF = 9;
/** Of the request of an access: load, store or both. */
const HOW = (1 << MMIO_SOURCE_SHIFT) - 1;

/** Issues the steps. Never throws for what a program has in it. */
export function runOnModel(program: Program, options: ModelRunOptions = {}): ModelRun {
  const runner = new Runner(program, options);
  const turns = schedule(program, options.steps);
  runner.tells(turns);
  for (const { step, index, returns } of turns) runner.issue(step, index, returns);
  return runner.finish();
}

interface Fresh {
  readonly fd: number;
  readonly kind: number;
  readonly file: number;
}

class Runner {
  readonly #program: Program;
  readonly #checker: Checker;
  readonly #bindings: Bindings;
  readonly #recordedStep: number;
  readonly #cursor = new FrameCursor();
  readonly #frames: Buffer[] = [];
  readonly #stepOf: number[] = [];
  readonly #taken: Taken[] = [];
  /** number of the frame that a split call was entered with */
  readonly #entered = new Map<number, number>();
  /** numbers of open files here, by the recording's */
  readonly #files = new Map<number, number>();
  #nextFile = 1;
  #index = 0;
  /** a descriptor that the call has made and that is told of next */
  #fresh: Fresh | undefined;

  constructor(program: Program, options: ModelRunOptions) {
    this.#program = program;
    this.#recordedStep = options.recorded ?? -1;
    const table = uapiTable(options.dialect ?? program.dialect);
    this.#checker = new Checker(table, program.steps.length, options.machine === undefined ? {} : { machine: options.machine });
    this.#bindings = new Bindings(program, this.#checker);
  }

  finish(): ModelRun {
    this.#checker.finish();
    const { report, state } = this.#checker;
    return { frames: this.#frames, stepOf: this.#stepOf, taken: this.#taken, values: this.#bindings.values, report, state };
  }

  /** Which descriptors will be told of by events that are among the steps. */
  tells(turns: readonly Turn[]): void {
    for (const { step } of turns)
      if (step.kind === Kind.FD && step.request === Found.CREATED) for (const u of step.echoes) this.#bindings.told.add(u.symbol);
  }

  issue(step: Step, index: number, returns: boolean): void {
    this.#index = index;
    this.#fresh = undefined;
    if (step.kind === Kind.FD) {
      this.#found(step);
      return;
    }
    const frame = this.#asked(step);
    if (returns && !this.#entered.has(index)) return;
    // a call on nothing does not take long
    const enters = step.split !== undefined && !returns && (step.fd < 0 || this.#isOpen(step, frame));
    if (enters) {
      this.#entered.set(index, this.#frames.length + 1);
      this.#append(entering(step, frame));
      return;
    }
    const whole = step.role === 'fact' ? frame : this.#answered(step, frame);
    if (!returns) this.#append(whole);
    else this.#append(returning(step, whole, this.#entered.get(index) ?? 0));
    this.#bindings.learn(step, whole);
    const fresh = this.#made();
    if (fresh !== undefined && !this.#bindings.isTold(step)) this.#tell(step, fresh.fd, fresh.kind, fresh.file);
  }

  #made(): Fresh | undefined {
    return this.#fresh;
  }

  /** The step as it is asked here; its answer is the recorded one still. */
  #asked(step: Step): Buffer {
    const frame = instantiate(this.#program, step, this.#bindings.ready(step), false);
    if (step.fd >= 0 && step.kind !== Kind.OPEN && step.kind !== Kind.FD) this.#behind(frame, step);
    // what is told of a file without a descriptor of it
    else if (step.kind === Kind.QUEUE || step.kind === Kind.MMIO) frame.writeUInt32LE(this.#files.get(step.file) ?? 0, FRAME_AT.file);
    return frame;
  }

  /** What a step's descriptor stands for here. */
  #behind(frame: Buffer, step: Step): void {
    const { state } = this.#checker;
    const number = state.fds.get(step.frame.readUInt32LE(FRAME_AT.pid))?.get(frame.readInt32LE(FRAME_AT.fd));
    const file = number === undefined || number < 0 ? undefined : state.files.get(number);
    frame.writeUInt32LE(file?.file ?? 0, FRAME_AT.file);
    if (file !== undefined) frame[FRAME_AT.flags + 1] = file.kind;
  }

  #append(frame: Buffer, step = this.#index): void {
    const seq = this.#frames.length + 1;
    frame.writeBigUInt64LE(BigInt(seq), FRAME_AT.seq);
    frame.writeBigUInt64LE(EVENT_NS * BigInt(seq), FRAME_AT.tEnter);
    frame.writeBigUInt64LE(frame[FRAME_AT.state] === State.ENTERED ? 0n : EVENT_NS * BigInt(seq) + EVENT_NS / 2n, FRAME_AT.tExit);
    this.#frames.push(frame);
    this.#stepOf.push(step);
    this.#checker.take(this.#cursor.at(frame, 0), seq);
  }

  // ---- descriptors that are told of

  /** FD: a descriptor that a call has made, or one that was there, was inherited or came by a message. */
  #found(step: Step): void {
    const frame = this.#asked(step);
    const pid = frame.readUInt32LE(FRAME_AT.pid);
    if (step.request === Found.CREATED) {
      const made = this.#bindings.made(step);
      // the call that made it failed here
      if (made === undefined) return;
      const { fd, file } = made;
      frame.writeInt32LE(fd, FRAME_AT.fd);
      frame.writeBigInt64LE(BigInt(fd), FRAME_AT.ret);
      this.#files.set(step.file, file);
      frame.writeUInt32LE(file, FRAME_AT.file);
    } else {
      let file = this.#files.get(step.file);
      // a descriptor that came: of a file that nobody has here any more
      if (step.request === Found.RECEIVED && file === undefined && this.#bindings.hasMaker(step)) return;
      const fd = this.#bindings.place(step, pid);
      frame.writeInt32LE(fd, FRAME_AT.fd);
      frame.writeBigInt64LE(BigInt(fd), FRAME_AT.ret);
      if (file === undefined && step.file !== 0) {
        file = this.#nextFile++;
        this.#files.set(step.file, file);
      }
      frame.writeUInt32LE(file ?? 0, FRAME_AT.file);
    }
    this.#append(frame);
    this.#bindings.learn(step, frame);
  }

  /** A descriptor that no event of the recording tells of: the call failed there. */
  #tell(step: Step, fd: number, kind: number, file: number): void {
    const pid = step.frame.readUInt32LE(FRAME_AT.pid);
    const tid = step.frame.readUInt32LE(FRAME_AT.tid);
    const words = makeArgs(0, 0, 0, 0, -1);
    this.#append(
      encodeFrame(
        makeFrame({ kind: Kind.FD, request: Found.CREATED, pid, tid, fd, ret: BigInt(fd), file, fileKind: kind, parts: [words] }),
      ),
      -1,
    );
  }

  // ---- answers

  #take(what: string, reason: string): void {
    this.#taken.push({ step: this.#index, what, reason });
  }

  #answered(step: Step, frame: Buffer): Buffer {
    if (this.#index === this.#recordedStep) return this.#recorded(step, frame, 'it was to be the recorded one');
    switch (step.kind) {
      case Kind.IOCTL:
        return this.#ioctl(step, frame);
      case Kind.OPEN:
        return this.#open(step, frame);
      case Kind.DUP:
        return this.#dup(step, frame);
      case Kind.MMAP:
      case Kind.READ:
      case Kind.WRITE:
        return this.#replied(step, frame);
      case Kind.CLOSE:
        if (step.fd >= 0 && step.error === 0 && !this.#isOpen(step, frame)) fail(frame, EBADF);
        return frame;
      case Kind.MMIO:
        // a store brings nothing
        if ((step.request & HOW) !== MmioHow.STORE) this.#take('answer', 'registers of hardware');
        return frame;
      default:
        return frame;
    }
  }

  /** Is the descriptor open here, as far as that is known? One that the recorder did not follow counts as open. */
  #isOpen(step: Step, frame: Buffer): boolean {
    const fd = frame.readInt32LE(FRAME_AT.fd);
    const pid = frame.readUInt32LE(FRAME_AT.pid);
    // a file that the fold takes for granted has no number
    return (this.#checker.state.fds.get(pid)?.get(fd) ?? 0) > 0 || !this.#bindings.isFollowed(step);
  }

  #open(step: Step, frame: Buffer): Buffer {
    if (step.error !== 0) this.#take('answer', 'files of the system');
    if (step.error !== 0 || (step.file === 0 && step.fileKind === FileKind.UNKNOWN)) return frame;
    const fd = this.#bindings.place(step, frame.readUInt32LE(FRAME_AT.pid));
    const file = this.#nextFile++;
    this.#files.set(step.file, file);
    if (step.fd === Number(step.ret)) frame.writeInt32LE(fd, FRAME_AT.fd);
    frame.writeBigInt64LE(BigInt(fd), FRAME_AT.ret);
    frame.writeUInt32LE(file, FRAME_AT.file);
    return frame;
  }

  #dup(step: Step, frame: Buffer): Buffer {
    if (step.error !== 0) return frame;
    if (!this.#isOpen(step, frame)) return fail(frame, EBADF);
    frame.writeBigInt64LE(BigInt(this.#bindings.duplicate(step, frame)), FRAME_AT.ret);
    return frame;
  }

  #ioctl(step: Step, frame: Buffer): Buffer {
    const cursor = this.#cursor.at(frame, 0);
    if (!this.#isOpen(step, frame)) return step.error === EBADF ? frame : refused(frame, EBADF);
    const said = this.#checker.ask(cursor, this.#frames.length + 1);
    if (said === undefined) return this.#recorded(step, frame, 'the rules have no such calls');
    if (this.#checker.isOlder(said.asked.file.file)) return this.#recorded(step, frame, 'it was there before the recording');
    const { asked, answer } = said;
    if (answer === undefined) return this.#recorded(step, frame, 'there is no rule for it');
    const recorded = asked.errno;
    if (answer.errno !== recorded) {
      const may = answer.mayBe(recorded);
      if (may !== undefined) return this.#recorded(step, frame, may);
    }
    return this.#write(step, frame, asked, answer);
  }

  /** The answer of the recording. Descriptors that it brings are put where there is room. */
  #recorded(step: Step, frame: Buffer, reason: string): Buffer {
    this.#take('answer', reason);
    if (step.error !== 0) return frame;
    const fd = this.#bindings.definedFd(step);
    if (fd === undefined) return frame;
    const number = this.#bindings.room(frame.readUInt32LE(FRAME_AT.pid), Number(this.#program.symbols[fd.symbol]!.recorded));
    put(frame, fd, BigInt(number));
    this.#bindings.makes(fd.symbol, number, this.#nextFile++);
    return frame;
  }

  #write(step: Step, frame: Buffer, asked: Asked, answer: Answer): Buffer {
    const success = answer.errno === '';
    const same = success && asked.errno === '';
    let ret = success ? answer.ret : -1n;
    const out = structAfter(asked, answer, same);
    const open = [...answer.undeterminedOutputs].filter(([field]) => !answer.files.has(field));
    if (open.some(([field]) => field === '')) ret = same ? step.ret : 0n;
    for (const [field, reason] of open) if (same) this.#take(field === '' ? 'ret' : field, reason);
    for (const [field, made] of answer.files) {
      const fd = this.#bindings.room(frame.readUInt32LE(FRAME_AT.pid), same ? this.#bindings.recordedFd(step) : 3);
      if (field === '') ret = BigInt(fd);
      else if (asked.command !== undefined) {
        const at = asked.command.struct?.byName.get(field)?.offset ?? out.length;
        if (at + 4 <= out.length) out.writeInt32LE(fd, at);
      }
      this.#fresh = { fd, kind: fileNumber(made.kind), file: this.#nextFile++ };
      const symbol = same ? this.#bindings.definedFd(step)?.symbol : undefined;
      if (symbol !== undefined) this.#bindings.makes(symbol, fd, this.#fresh.file);
    }
    const error = success ? 0 : (errnoNumber(answer.errno) ?? 0);
    const done = placed(frame, { out: asked.after === undefined ? undefined : out, nested: nestedOf(asked, answer, same), same });
    done.writeInt32LE(error, FRAME_AT.error);
    done.writeBigInt64LE(ret, FRAME_AT.ret);
    return done;
  }

  /** mmap, read and write. */
  #replied(step: Step, frame: Buffer): Buffer {
    if (!this.#isOpen(step, frame)) return step.error === EBADF ? frame : refused(frame, EBADF);
    const said: Reply | undefined = this.#checker.reply(this.#cursor.at(frame, 0));
    if (said === undefined || said.unsure !== undefined) {
      this.#take('answer', said?.unsure ?? 'the rules have no such calls');
      return frame;
    }
    if (said.errno !== '') {
      const error = errnoNumber(said.errno) ?? 0;
      return step.error === error ? frame : refused(frame, error);
    }
    if (step.kind === Kind.MMAP) {
      if (step.error !== 0) frame.writeBigInt64LE(this.#bindings.anywhere(), FRAME_AT.ret);
      frame.writeInt32LE(0, FRAME_AT.error);
      return frame;
    }
    const ret = said.ret ?? (step.error === 0 ? step.ret : 0n);
    // of registers nothing is known but what was read
    const bytes = step.kind === Kind.READ ? (said.bytes ?? undefined) : undefined;
    if (step.kind === Kind.READ && bytes === undefined && ret > 0n) this.#take('data', 'registers of a device');
    const done = bytes === undefined ? frame : withOut(frame, Buffer.from(bytes));
    done.writeInt32LE(0, FRAME_AT.error);
    done.writeBigInt64LE(ret, FRAME_AT.ret);
    return done;
  }
}
