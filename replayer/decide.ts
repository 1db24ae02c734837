/**
 * What one event does to the state. `decide` is total (every frame, also a broken one, gives a list) and leaves the state
 * as it was; the fold keeps the changes instead of taking them back.
 */
import type { UapiTable } from '../hw/uapi/table.ts';
import { FileKind, Found, type FrameCursor, Kind, MMIO_SOURCE_SHIFT, MmioSource, State } from '../store/frame.ts';
import { type Change, revertAll } from './change.ts';
import { hostAccess, mmio, queueRead, region, slotSet } from './cmdqv-fold.ts';
import { EventBytes } from './event.ts';
import { contextOf, createdFd, dropped, ensureFile, setFd } from './files.ts';
import { mapped, remapped, unmapRange } from './mappings.ts';
import { type Plan, planOf } from './plan.ts';
import { closed, duplicated, ended, forgetOldTable, forked, found, inherited, opened, processOf, sentFd, started } from './processes.ts';
import { readQueue, writeQueue } from './queues.ts';
import type { OpenFile, Process, SessionState } from './state.ts';
import { NONE, Step } from './step.ts';
import { returnedFrame } from './whole-frame.ts';

/** The changes of an event, in order; the state is as before when it returns. */
export function decide(state: SessionState, cursor: FrameCursor, table: UapiTable): readonly Change[] {
  const folder = new Folder(planOf(table), state);
  const changes = folder.fold(cursor.buffer, cursor.offset);
  revertAll(state, changes);
  return changes;
}

/** Folds event after event into one state. */
export class Folder {
  readonly #step: Step;
  readonly #event = new EventBytes();

  /** `registers` false: those of the CMDQV are left out */
  constructor(plan: Plan, state: SessionState, registers = true) {
    this.#step = new Step(plan, this.#event, state);
    this.#step.registers = registers;
  }

  get state(): SessionState {
    return this.#step.state;
  }
  set state(state: SessionState) {
    this.#step.state = state;
  }

  /** Decides on the frame at `offset` and makes its changes. The list is the caller's; it is empty and shared where nothing changed. */
  fold(buffer: Buffer, offset: number): readonly Change[] {
    const s = this.#step;
    if (!this.#event.read(buffer, offset)) return NONE;
    s.call = this.#event.seq;
    run(s);
    const { changes } = s;
    s.changes = NONE;
    return changes;
  }
}

function run(s: Step): void {
  const { e } = s;
  // the hot path: an ioctl on a file that is known to be behind its descriptor
  if (e.kind === Kind.IOCTL && e.state === State.RETURNED && e.file !== 0 && s.state.before.size === 0) {
    if (s.state.fds.get(e.pid)?.get(e.fd) === e.file) {
      const f = s.state.files.get(e.file);
      if (f && f.kind === e.fileKind) {
        ioctl(s, f);
        return;
      }
    }
  }
  switch (e.kind) {
    case Kind.RETURN:
      returned(s);
      return;
    case Kind.GAP:
      if (e.ret > 0) s.emit({ op: 'dropped', from: s.state.dropped, to: s.state.dropped + e.ret });
      return;
    case Kind.START:
      started(s);
      return;
    case Kind.PAD:
    case Kind.PART:
      return;
    case Kind.REGION:
      region(s);
      return;
    case Kind.QUEUE:
      queueRead(s);
      return;
    case Kind.MMIO:
      // the kernel's accesses are no process's
      if (e.request >>> MMIO_SOURCE_SHIFT >= MmioSource.MMIOTRACE) hostAccess(s);
      else ofProcess(s);
      return;
    default:
      ofProcess(s);
      return;
  }
}

/** Events that a process makes while it lives. */
function ofProcess(s: Step): void {
  const { e } = s;
  const process = processOf(s);
  if (!process) return;
  const isInherited = e.kind === Kind.FD && e.request === Found.INHERITED;
  if (!isInherited && s.state.before.has(e.pid)) forgetOldTable(s, e.pid);
  if (e.kind === Kind.EXIT) {
    ended(s, process, e.ret);
    return;
  }
  if (e.kind === Kind.FD) {
    found(s, e.pid);
    if (isInherited) inherited(s, s.state.processes.get(e.pid) ?? process);
    return;
  }
  if (e.state === State.ENTERED) {
    entered(s);
    return;
  }
  made(s, process);
}

/** A call that has returned. `held`: the file that it was made on, where it was stored before it returned. */
function made(s: Step, process: Process, held?: OpenFile): void {
  const { e } = s;
  const file = (): OpenFile | undefined => held ?? ensureFile(s, e.kind === Kind.IOCTL);
  switch (e.kind) {
    case Kind.FORK:
      if (e.error === 0) forked(s, process);
      return;
    case Kind.OPEN:
      opened(s, e.pid);
      return;
    case Kind.CLOSE:
      closed(s, e.pid);
      return;
    case Kind.MUNMAP:
      if (e.error === 0) unmapRange(s, process.memory, e.arg(0), e.arg(1));
      return;
    case Kind.MREMAP:
      if (e.error === 0) remapped(s, process.memory);
      return;
    case Kind.MMIO:
      mmio(s, process);
      return;
    case Kind.DUP:
      if (e.error === 0) duplicated(s, e.pid, file()?.file ?? 0);
      return;
    case Kind.IOCTL:
    case Kind.MMAP:
    case Kind.READ:
    case Kind.WRITE:
    case Kind.SENDFD:
      onFile(s, process, file());
      return;
    default:
      // EXEC (its success is the START that follows) and kinds that this program does not know
      return;
  }
}

function onFile(s: Step, process: Process, f: OpenFile | undefined): void {
  const { e } = s;
  if (e.kind === Kind.MMAP) {
    if (e.error === 0) mapped(s, f, process.memory);
    return;
  }
  if (!f) return;
  if (e.kind === Kind.IOCTL) {
    ioctl(s, f);
    return;
  }
  if (e.kind === Kind.SENDFD) {
    sentFd(s, f.file);
    return;
  }
  const c = contextOf(s, f);
  if (!c || e.error !== 0) return;
  if (e.kind === Kind.READ) readQueue(s, c, f);
  else writeQueue(s, c, f);
}

const EBADF = 9;

function ioctl(s: Step, f: OpenFile): void {
  const { e, plan } = s;
  if (e.request >>> 8 !== 0x3b) {
    if (e.error === 0) kvm(s, f);
    return;
  }
  const number = e.request & 0xff;
  // the descriptor was closed where no event shows it: by a child that shares the table, or past libc
  if (e.error === EBADF && !plan.takesFd.has(e.request)) setFd(s, e.pid, e.fd, 0);
  switch (f.kind) {
    case FileKind.IOMMUFD:
    case FileKind.VFIO_CONTAINER: {
      const call = e.error === 0 ? plan.iommufd[number] : plan.failed[number];
      if (!call) return;
      const c = s.state.contexts.get(f.context);
      if (c) call(s, c, f);
      return;
    }
    case FileKind.VFIO_DEVICE:
      if (e.error === 0) plan.device[number]?.(s, f);
      return;
    case FileKind.VFIO_GROUP:
      if (e.error === 0) plan.group[number]?.(s, f);
      return;
  }
}

/** linux/kvm.h */
const KVM = { CREATE_VM: 0xae01, CREATE_VCPU: 0xae41, SET_USER_MEMORY_REGION: 0x4020_ae46, SET_USER_MEMORY_REGION2: 0x40a0_ae49 } as const;

/** What matters of KVM: which vCPU is of which VM, and where a VM's memory is. */
function kvm(s: Step, f: OpenFile): void {
  const { e } = s;
  if (f.kind === FileKind.KVM && e.request === KVM.CREATE_VM) createdFd(s, e.ret, FileKind.KVM_VM, {});
  if (f.kind !== FileKind.KVM_VM) return;
  if (e.request === KVM.CREATE_VCPU) createdFd(s, e.ret, FileKind.KVM_VCPU, { holds: [f.file] });
  else if (e.request === KVM.SET_USER_MEMORY_REGION || e.request === KVM.SET_USER_MEMORY_REGION2) slotSet(s, f.file);
}

// ---- calls that were stored before they returned ----

/** The call is under way: it holds its file, and its bytes are kept until its results come. */
function entered(s: Step): void {
  const { e } = s;
  if (s.state.calls.has(e.seq)) return;
  const file = e.kind === Kind.EXEC || e.kind === Kind.FORK ? 0 : (ensureFile(s, e.kind === Kind.IOCTL)?.file ?? 0);
  const { seq, pid, tid, kind, fd, request } = e;
  s.emit({ op: 'call.enter', call: { seq, pid, tid, kind, fd, file, request, bytes: e.copy() } });
}

/** RETURN: the call, whole at last, does its work now. */
function returned(s: Step): void {
  const { e } = s;
  const call = s.state.calls.get(Number(e.arg(0)));
  if (!call) return;
  s.emit({ op: 'call.return', call });
  if (e.read(returnedFrame(call.bytes, e.copy()), 0)) {
    s.call = call.seq;
    const process = s.state.processes.get(e.pid);
    if (process) made(s, process, s.state.files.get(call.file));
  }
  if (call.file !== 0) dropped(s, call.file);
}
