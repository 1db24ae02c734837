/**
 * Answers traced programs from the model, one call after the other: what `record --on model` runs beside the recording. It
 * waits in blocking reads, so it has a thread of its own (worker.ts).
 */
import type { Answer, Eventfd, Memory, Request } from '../../hw/iommufd/call.ts';
import { baseField } from '../../hw/iommufd/hw-queue.ts';
import type { MachineName } from '../../hw/iommufd/machine.ts';
import { Model } from '../../hw/iommufd/model.ts';
import { type Reply as QueueReply, readFault, readVeventq, writeFault } from '../../hw/iommufd/queues.ts';
import type { FileKind, OpenFile, Viommu } from '../../hw/iommufd/state.ts';
import type { Asked } from '../../hw/scenario/mirror.ts';
import { type DialectName, targetOfFileKind } from '../../hw/uapi/table.ts';
import type { Target } from '../../hw/uapi/types.ts';
import { transfer } from '../../hw/vfio/access.ts';
import type { Clock } from './clock.ts';
import { Effect, perform } from './effects.ts';
import { Files } from './files.ts';
import { Hardware } from './hardware.ts';
import { ProgramMemory } from './memory.ts';
import { descriptorOf, eventfdOf, exists, fileBehind, lives } from './processes.ts';
import {
  batches,
  FAILED,
  Inbox,
  type Message,
  type ModelCall,
  Op,
  PASSED,
  type Piece,
  Places,
  type Reply,
  type Step,
  WHOLE,
  Word,
} from './protocol.ts';
import { Shown } from './shown.ts';

/** What of /dev the model has, by FileKind (store/frame.ts). */
const OPENS: Readonly<Record<number, FileKind>> = { 1: 'iommufd', 2: 'vfio-device', 4: 'container' };

const UNREADABLE: Memory = { bytes: new Uint8Array(0), wanted: 4n, fault: true };

export interface ServerOptions {
  /** where programs find it */
  readonly folder: string;
  readonly dialect: DialectName;
  readonly machine: MachineName;
  /** wakes it, where the machine has hardware that lives */
  readonly clock?: Clock | undefined;
  /** a fault of ours, which a program got EIO for */
  readonly report: (error: unknown) => void;
}

export class ModelServer {
  readonly #model: Model;
  readonly #places: Places;
  readonly #inbox: Inbox;
  readonly #files: Files;
  readonly #memory = new ProgramMemory();
  readonly #shown: Shown;
  readonly #report: (error: unknown) => void;
  readonly #clock: Clock | undefined;
  /** of a machine that has some */
  readonly #hardware: Hardware | undefined;
  /** processes that have been heard of */
  readonly #processes = new Set<number>();
  #stop = false;
  #calls = 0;

  constructor(options: ServerOptions) {
    this.#report = options.report;
    this.#model = new Model(options.dialect);
    this.#places = new Places(options.folder);
    this.#inbox = new Inbox(options.folder);
    this.#files = new Files(options.folder);
    this.#model.plug(options.machine);
    this.#shown = new Shown(this.#model, options.folder);
    this.#clock = options.clock;
    const size = this.#model.kernel.iommu;
    const fileOf = (viommu: Viommu): string | undefined => this.#shown.fileOf(viommu);
    if (size?.cmdqv === true)
      this.#hardware = new Hardware({ model: this.#model, memory: this.#memory, size, fileOf, clock: options.clock });
  }

  /** Answers until it is told to stop. */
  run(): void {
    while (!this.#stop) this.#hear(this.#inbox.next());
    this.#places.close();
    this.#inbox.close();
    this.#files.close();
    this.#memory.close();
    this.#shown.bars.close();
    this.#hardware?.close();
  }

  #hear(m: Message): void {
    // what the program stored before the call was before it
    if (m.word === Word.CALL || m.word === Word.CLOSED || m.word === Word.POLL) this.#poll();
    if (m.word === Word.STOP) this.#stop = true;
    else if (m.word === Word.CALL) this.#answer(m);
    else if (m.word === Word.CLOSED) this.#closed(m.file);
    else if (m.word === Word.MUNMAP) this.#shown.mappings.unmap(m.pid, m.a, m.b);
    else if (m.word === Word.START) this.#starts(m.pid);
    else if (m.word === Word.FORK) {
      this.#processes.add(m.pid);
      this.#shown.mappings.fork(Number(m.a), m.pid);
    } else if (m.word === Word.TICK) this.#lookWhoHasGone(true);
    else if (m.word === Word.POLL) this.#clock?.heard();
  }

  /** The hardware goes on. */
  #poll(): void {
    try {
      if (this.#hardware?.poll() === true) this.#readiness();
    } catch (error) {
      this.#report(error);
    }
  }

  // ---- who is there

  #starts(pid: number): void {
    if (this.#processes.has(pid)) {
      // another program in the same process: its memory is new, and descriptors may be closed
      this.#memory.forget(this.#model.kernel, pid);
      this.#shown.mappings.gone(pid);
    }
    this.#processes.add(pid);
    this.#sweep();
  }

  /** `tick`: there is time; else those alone are noticed that somebody has waited for, so that its next call finds them gone. */
  #lookWhoHasGone(tick: boolean): void {
    let someone = false;
    for (const pid of this.#processes) {
      if (tick ? lives(pid) : exists(pid)) continue;
      this.#processes.delete(pid);
      this.#memory.forget(this.#model.kernel, pid);
      this.#shown.mappings.gone(pid);
      someone = true;
    }
    // a descriptor may have been closed in a way that nobody told of
    if (someone || tick) this.#sweep();
  }

  /** Looks which files have ended; true: some had. */
  #sweep(): boolean {
    return this.#files.numbers.filter((file) => this.#closed(file)).length > 0;
  }

  /** A file may have ended; 0: any of them. → true: it has */
  #closed(file: number): boolean {
    if (file === 0) return this.#sweep();
    if (!this.#files.ended(file, (inode) => this.#places.forget(inode))) return false;
    this.#shown.closed(file);
    this.#hardware?.follow();
    return true;
  }

  // ---- calls

  #answer(m: Message): void {
    const call = this.#places.read(m.place);
    this.#memory.refresh();
    this.#processes.add(call.pid);
    // what another process closed by its end is closed before this call
    if (this.#processes.size > 1) this.#lookWhoHasGone(false);
    this.#calls++;
    try {
      this.#places.answer(call, this.#dispatch(call));
    } catch (error) {
      this.#report(error);
      this.#places.answer(call, FAILED('EIO'));
    }
  }

  #dispatch(call: ModelCall): Reply {
    switch (call.op) {
      case Op.OPEN:
        return this.#open(call);
      case Op.IOCTL:
        return this.#ioctl(call);
      case Op.READ:
      case Op.WRITE:
        return this.#transfer(call);
      case Op.MMAP:
        return this.#shown.mmap(call);
      case Op.MAPPED:
        return this.#shown.mapped(call);
      case Op.MREMAP: {
        const [from = 0n, old = 0n, to = 0n, length = 0n, keeps = 0n] = call.args;
        this.#shown.mappings.move(call.pid, { from, old, to, length, keeps: keeps !== 0n });
        return PASSED();
      }
      case Op.EXIT:
        this.#memory.remember(this.#model.kernel, call.pid);
        return PASSED();
      default:
        return FAILED('ENOSYS');
    }
  }

  /** Lets the program do steps, and waits until it has. false where one of them failed, or the program is no more. */
  #ask(call: ModelCall, steps: readonly Step[]): boolean {
    if (steps.length === 0) return true;
    for (const batch of batches(steps)) {
      this.#places.answer(call, PASSED(), batch);
      for (;;) {
        const m = this.#inbox.await(
          (x) => (x.word === Word.DONE && x.place === call.place) || x.word === Word.TICK || x.word === Word.STOP,
        );
        if (m.word === Word.DONE) {
          if (m.a === 0n) break;
          return false;
        }
        this.#stop ||= m.word === Word.STOP;
        if (this.#stop || !lives(call.pid)) return false;
      }
    }
    return true;
  }

  #open(call: ModelCall): Reply {
    const kind = OPENS[Number(call.args[0])];
    if (kind === undefined) return FAILED('ENOENT');
    const path = Buffer.from(call.pieces[0]?.bytes ?? []).toString('latin1');
    if (kind === 'vfio-device' && this.#model.kernel.devices?.has(path) !== true) return FAILED('ENOENT');
    this.#files.take(call.file);
    this.#model.open(call.file, kind, path);
    return PASSED(BigInt(call.fd));
  }

  #fileOf(pid: number, fd: number): OpenFile | undefined | 'unknown' {
    if (fd < 0) return undefined;
    const st = fileBehind(pid, fd);
    if (st === undefined || st === 'unknown') return st;
    const file = this.#files.byInode(st.ino);
    return (file === undefined ? undefined : this.#model.kernel.files.get(file)) ?? this.#memory.foreign(pid, fd);
  }

  #request(call: ModelCall, file: OpenFile): Request {
    const struct = call.pieces.find((p) => p.field === WHOLE);
    return {
      target: targetOfFileKind(call.kind) ?? 'iommufd',
      file,
      request: call.request,
      arg: call.args[0] ?? 0n,
      struct: struct === undefined ? UNREADABLE : withTail(struct),
      seq: this.#calls,
      process: call.pid,
      nested: (offset) => call.pieces.find((p) => p.field === offset),
      fileOf: (fd) => this.#fileOf(call.pid, fd),
      eventfdOf: (fd) => {
        const id = eventfdOf(call.pid, fd);
        return id === 'none' || id === 'other' ? id : { id, process: call.pid, fd };
      },
      registersAt: (address, length) => this.#shown.registersAt(call.pid, address, length),
      together: (pages, offset, length) => this.#memory.together(pages, pages.start + offset, length),
    };
  }

  #ioctl(call: ModelCall): Reply {
    const file = this.#model.kernel.files.get(call.file);
    if (file === undefined) return FAILED('EBADF');
    if (targetOf(file) === undefined) return FAILED('ENOTTY');
    const request = this.#request(call, file);
    let answer = this.#model.decide(request);
    // a file that was closed in a way that nobody told of may have let go
    if ((answer?.errno === 'EBUSY' || answer?.refusal?.rule === 'vfio-bind.in-use') && this.#sweep()) answer = this.#model.decide(request);
    // VFIO's calls that the emulation does not have
    if (answer === undefined) return FAILED('ENOTTY');
    // what the rules refuse as far as the state tells is looked at here
    const mayPass = answer.errno !== '' && answer.mayBe('') !== undefined;
    if (mayPass) answer = this.#model.decide(request, { errno: '', ret: 0n, out: undefined }) ?? answer;
    if (answer.errno !== '') return this.#refused(call, request, answer);
    const command = this.#model.table.command(request.target, request.request)!;
    const effect = new Effect({
      model: this.#model,
      memory: this.#memory,
      call,
      request,
      command,
      answer,
      ask: (steps) => this.#ask(call, steps),
    });
    const errno = perform(effect);
    return errno === '' ? this.#passed(call, request, answer, effect) : this.#fails(request, errno);
  }

  /** An error; some calls write their struct all the same. */
  #refused(call: ModelCall, request: Request, answer: Answer): Reply {
    const written = this.#ask(call, writes(call, request, answer, answer.out));
    answer.commit();
    return FAILED(written ? answer.errno : 'EFAULT');
  }

  /** The rules let it pass, and something else does not. */
  #fails(request: Request, errno: string): Reply {
    this.#model.decide(request, { errno, ret: -1n, out: undefined })?.commit();
    return FAILED(errno);
  }

  /** Everything has changed when the program goes on: what it finds by other ways must agree. */
  #passed(call: ModelCall, request: Request, answer: Answer, effect: Effect): Reply {
    const made = [...answer.files][0];
    let { ret } = answer;
    if (made !== undefined) {
      if (call.spareFd < 0) return this.#fails(request, 'EMFILE');
      if (made[0] === '') ret = BigInt(call.spareFd);
      else effect.set(made[0], BigInt(call.spareFd));
    }
    const signals = answer.signals.flatMap((e) => this.#signal(call.pid, e));
    if (!this.#ask(call, [...effect.steps, ...writes(call, request, answer, effect.out), ...signals]))
      return this.#fails(request, 'EFAULT');
    answer.commit();
    this.#shown.bars.refresh();
    if (made !== undefined) {
      this.#files.take(call.spareFile);
      this.#model.adopt(call.spareFile, made[1]);
    }
    if (request.file.context !== undefined) this.#shown.made(request.file.context, answer);
    this.#hardware?.follow(askedBy(effect));
    this.#readiness();
    return { ret, error: 0, takesSpare: made !== undefined };
  }

  /** Who has the eventfd now? Where nobody has, nobody sees it. */
  #signal(pid: number, { id, process, fd }: Eventfd): Step[] {
    // best the caller itself: it may not be allowed to reach into others
    for (const other of new Set([pid, process, ...this.#processes])) {
      const there = eventfdOf(other, fd) === id ? fd : descriptorOf(other, id);
      if (there !== undefined) return [{ what: 'signal', process: other, fd: there }];
    }
    return [];
  }

  // ---- queues

  #transfer(call: ModelCall): Reply {
    const file = this.#model.kernel.files.get(call.file);
    const [wanted = 0n, offset = -1n] = call.args;
    const count = Number(wanted < 2n ** 31n ? wanted : 2n ** 31n - 4096n);
    const read = call.op === Op.READ;
    if (file?.kind === 'vfio-device') return this.#deviceTransfer(file, call, count, BigInt.asIntN(64, offset));
    const object = file?.object;
    const { traits } = this.#model;
    let answer: QueueReply | undefined;
    if (BigInt.asIntN(64, offset) > 0n && (object?.type === 'FAULT' || object?.type === 'VEVENTQ')) return FAILED('ESPIPE');
    if (object?.type === 'VEVENTQ' && read) answer = readVeventq(object, traits, count);
    else if (object?.type === 'FAULT' && read) answer = readFault(object, count);
    else if (object?.type === 'FAULT') {
      answer = writeFault(object, call.pieces[0]?.bytes ?? new Uint8Array(0), count);
    }
    // a file without such a call
    if (answer === undefined) return FAILED('EINVAL');
    if (answer.errno !== '') return FAILED(answer.errno);
    answer.commit();
    this.#readiness();
    return { ret: answer.ret ?? 0n, error: 0, ...(answer.bytes ? { body: answer.bytes } : {}) };
  }

  /** read and write of a device: configuration space, or a BAR. */
  #deviceTransfer(file: OpenFile, call: ModelCall, count: number, offset: bigint): Reply {
    if (offset < -1n) return FAILED('EINVAL');
    const piece = call.op === Op.WRITE ? call.pieces[0] : undefined;
    const answer = transfer(file, { count, offset: offset < 0n ? undefined : offset, data: piece?.bytes });
    if (answer === undefined) return FAILED('EINVAL');
    if (answer.errno !== '') return FAILED(answer.errno);
    const { memory } = answer;
    const { pci } = file;
    let body = answer.bytes;
    if (memory !== undefined && pci !== undefined) {
      if (piece === undefined) body = this.#shown.bars.read(pci, memory);
      else if (piece.bytes.length < memory.count) return FAILED('EFAULT');
      else this.#shown.bars.write(pci, memory, piece.bytes);
    }
    answer.commit();
    this.#shown.bars.refresh();
    return { ret: answer.ret ?? 0n, error: 0, ...(body ? { body } : {}) };
  }

  /** What poll(2) says of the queues. */
  #readiness(): void {
    for (const file of this.#files.numbers) {
      const o = this.#model.kernel.files.get(file)?.object;
      if (o?.type === 'FAULT' || o?.type === 'VEVENTQ') this.#files.setReadable(file, o.waiting.length > 0);
    }
  }
}

/** Where a call that makes a queue wants it. */
function askedBy(effect: Effect): Asked | undefined {
  const { struct } = effect.command;
  const base = baseField(effect);
  return struct?.byName.has(base) === true && struct.byName.has('length')
    ? { base: effect.u64(base), length: effect.u64('length') }
    : undefined;
}

/** What a file's ioctls are about; undefined where it has none. */
const targetOf = ({ kind }: OpenFile): Target | undefined =>
  kind === 'iommufd' || kind === 'vfio-device' ? kind : kind === 'container' ? 'vfio-container' : undefined;

/** A struct with a byte behind it that no kernel knows, where there is one somewhere. */
function withTail(struct: Piece): Memory {
  if (!struct.notZero) return struct;
  const bytes = new Uint8Array(struct.bytes.length + 1).fill(1);
  bytes.set(struct.bytes);
  return { bytes, wanted: struct.wanted, fault: false };
}

/** What an answer writes to the program's memory: its buffers, then its struct where something of it is new. */
function writes(call: ModelCall, request: Request, answer: Answer, out: Uint8Array | undefined): Step[] {
  const steps: Step[] = [];
  const { bytes } = request.struct;
  for (const [field, data] of answer.nestedOut) {
    if (data === undefined || data.length === 0 || bytes.length < field + 8) continue;
    const address = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(field, true);
    steps.push({ what: 'put', address, bytes: data });
  }
  const struct = call.pieces.find((p) => p.field === WHOLE);
  if (out !== undefined && struct !== undefined && out.some((byte, i) => byte !== bytes[i]))
    steps.push({ what: 'put', address: struct.address, bytes: out });
  return steps;
}
