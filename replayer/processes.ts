/** Events of processes and descriptors: START, FORK, EXIT, OPEN, CLOSE, DUP, FD, SENDFD. */
import { Close, FileKind, Fork, Found, FrameFlag, Kind, Start } from '../store/frame.ts';
import { beginProcess, dropped, ensureProcess, fileBehind, setFd, setFile, setProcess } from './files.ts';
import { copyMappings, dropMappings } from './mappings.ts';
import type { Process, SessionState } from './state.ts';
import type { Step } from './step.ts';

const EBADF = 9;
const CLOSE_RANGE_CLOEXEC = 4;

const sortedFds = (table: Map<number, number> | undefined): [number, number][] => (table ? [...table].sort((a, b) => a[0] - b[0]) : []);

// ---- begin ----

/** A child holds what its parent holds. */
function copyFds(s: Step, from: number, to: number): void {
  for (const [fd, file] of sortedFds(s.state.fds.get(from))) s.emit({ op: 'fd', pid: to, fd, from: 0, to: file, before: false });
}

/** Name of a new address space: its process, unless a vfork child has outlived another process of that pid in it. */
const ownMemory = (s: Step, pid: number): number => (isShared(s, pid, pid) ? -s.e.seq : pid);

/** Begins a child. A vfork child lives in its parent's memory; descriptors are its own in any case. */
function beginChild(s: Step, pid: number, parent: Process | undefined, shares: boolean, set: Partial<Process>): Process {
  const child = beginProcess(s, {
    pid,
    exe: parent?.exe ?? '',
    memory: shares && parent ? parent.memory : ownMemory(s, pid),
    ...set,
  });
  if (!parent) return child;
  copyFds(s, parent.pid, pid);
  if (!shares) copyMappings(s, parent.memory, child.memory);
  return child;
}

/** FORK, returned in the parent. */
export function forked(s: Step, parent: Process): void {
  const { e, state } = s;
  const pid = e.ret;
  if (pid <= 0 || pid === parent.pid) return;
  // the child may have been seen, even to its end, before its parent's call returned
  const early = state.processes.get(pid) ?? state.exited.get(pid);
  if (early && early.began >= e.tEnter) {
    if (early.live && early.parent === 0) setProcess(s, early, { parent: parent.pid });
    return;
  }
  const known = state.processes.get(pid);
  if (known) ended(s, known, 0);
  beginChild(s, pid, parent, e.request !== Fork.FORK, { parent: parent.pid });
}

/** The call of fork that began last and has not returned, 0 where there is none. */
function newestFork(s: SessionState): number {
  let newest = 0;
  for (const call of s.calls.values()) if (call.kind === Kind.FORK && call.seq > newest) newest = call.seq;
  return newest;
}

/** An event of a vfork child that nothing has begun: its parent is inside vfork. */
function vforkChild(s: Step): Process | undefined {
  const { e, state } = s;
  if (!(e.flags & FrameFlag.VFORK) || state.processes.has(e.pid) || (state.exited.get(e.pid)?.end ?? 0) > newestFork(state))
    return undefined;
  const parent = state.processes.get(state.calls.get(newestFork(state))?.pid ?? 0);
  return beginChild(s, e.pid, parent, true, { parent: parent?.pid ?? 0, origin: 'inferred' });
}

/** START: an image begins, or a forked child makes its first call. */
export function started(s: Step): void {
  const { e, state } = s;
  const parentPid = e.arg32(0);
  const startTime = e.arg(1);
  const exe = e.text(0);
  let known = state.processes.get(e.pid);
  const other = known && known.startTime !== 0 && startTime !== 0 && known.startTime !== startTime;
  if (known && other) {
    ended(s, known, 0);
    known = undefined;
  }
  if (!known) {
    const parent = e.request === Start.FORK ? state.processes.get(parentPid) : undefined;
    beginChild(s, e.pid, parent, false, { parent: parentPid, exe, startTime });
    return;
  }
  if (e.request === Start.FORK) {
    setProcess(s, known, { parent: known.parent || parentPid, startTime, exe: exe || known.exe });
    return;
  }
  // a third word says how many descriptors follow; without it, the next event of another kind ends the list
  const inherits = e.args.bytes >= 24 ? e.arg32(2) : -1;
  const memory = ownMemory(s, e.pid);
  setProcess(s, known, { parent: known.parent || parentPid, startTime: startTime || known.startTime, exe, memory, inherits });
  executed(s, known, inherits);
}

/**
 * A new image: memory and calls of the old one are gone. Descriptors that were not close-on-exec stay, and the image
 * reports them next; until it has, the old table holds its files.
 */
function executed(s: Step, old: Process, inherits: number): void {
  dropCalls(s, old.pid);
  // an image before that one: what it held is known by now, or never will be
  forgetOldTable(s, old.pid);
  const fds = sortedFds(s.state.fds.get(old.pid));
  for (const [fd, file] of fds) {
    s.emit({ op: 'fd', pid: old.pid, fd, from: 0, to: file, before: true });
    s.emit({ op: 'fd', pid: old.pid, fd, from: file, to: 0, before: false });
  }
  if (!isShared(s, old.memory, old.pid)) dropMappings(s, old.memory);
  if (inherits === 0) forgetOldTable(s, old.pid);
}

/** The inherited descriptors have been told: what else the old image held was close-on-exec. */
export function forgetOldTable(s: Step, pid: number): void {
  for (const [fd, file] of sortedFds(s.state.before.get(pid))) {
    s.emit({ op: 'fd', pid, fd, from: file, to: 0, before: true });
    dropped(s, file);
  }
}

// ---- end ----

/** Does a process other than `pid` live in this address space? */
function isShared(s: Step, memory: number, pid: number): boolean {
  for (const p of s.state.processes.values()) if (p.memory === memory && p.pid !== pid) return true;
  return false;
}

function dropCalls(s: Step, pid: number): void {
  for (const call of [...s.state.calls.values()].sort((a, b) => a.seq - b.seq)) {
    if (call.pid !== pid) continue;
    s.emit({ op: 'call.return', call });
    if (call.file !== 0) dropped(s, call.file);
  }
}

/** A process has ended: its descriptors are closed, its memory goes. */
export function ended(s: Step, p: Process, status: number): void {
  setProcess(s, p, { live: false, end: s.e.seq, status });
  dropCalls(s, p.pid);
  for (const [fd] of sortedFds(s.state.fds.get(p.pid))) setFd(s, p.pid, fd, 0);
  forgetOldTable(s, p.pid);
  if (!isShared(s, p.memory, p.pid)) dropMappings(s, p.memory);
  if (s.state.processes.size > 0) return;
  // nobody is left to receive what is still on its way
  for (const [file, n] of [...s.state.sent].sort((a, b) => a[0] - b[0])) {
    s.emit({ op: 'sent', file, from: n, to: 0 });
    dropped(s, file);
  }
}

// ---- descriptors ----

/** CLOSE. Linux closes the descriptor whatever it returns; with EBADF it was closed before, where no event shows it. */
export function closed(s: Step, pid: number): void {
  const { e, state } = s;
  const table = state.fds.get(pid);
  if (!table) return;
  if (e.request === Close.CLOSE) {
    const there = table.get(e.fd) ?? 0;
    // where a number is given and the table says another one, the descriptor has been given again already
    if (there !== 0 && (e.error === EBADF || e.file === 0 || e.file === there || there < 0)) setFd(s, pid, e.fd, 0);
    return;
  }
  if (e.error !== 0 || (e.request === Close.RANGE && e.arg32(2) & CLOSE_RANGE_CLOEXEC)) return;
  const first = e.arg(0);
  const last = e.arg(1);
  for (const [fd] of sortedFds(table)) if (fd >= first && fd <= last) setFd(s, pid, fd, 0);
}

/** DUP: `ret` stands for what `fd` stands for. */
export function duplicated(s: Step, pid: number, file: number): void {
  if (s.e.ret >= 0 && s.e.ret !== s.e.fd) setFd(s, pid, s.e.ret, file);
}

/** OPEN of something that is followed, or of something else on a descriptor that was. */
export function opened(s: Step, pid: number): void {
  const { e } = s;
  if (e.ret < 0) return;
  if (e.fileKind === FileKind.UNKNOWN && e.file === 0) setFd(s, pid, e.ret, 0);
  else {
    setFd(s, pid, e.ret, 0);
    fileBehind(s, pid, e.ret, e.file, e.fileKind, { path: e.text(0) });
  }
}

/** FD: the recorder found a descriptor. */
export function found(s: Step, pid: number): void {
  const { e, state } = s;
  if (e.fd < 0 || (e.file === 0 && e.fileKind === FileKind.UNKNOWN)) return;
  const origin = e.request === Found.CREATED ? 'observed' : 'inferred';
  const path = e.text(0);
  const f = fileBehind(s, pid, e.fd, e.file, e.fileKind, { origin, path });
  if (f.path === '' && path !== '') setFile(s, f, { path });
  if (e.request === Found.RECEIVED) {
    const n = state.sent.get(f.file) ?? 0;
    s.emit({ op: 'sent', file: f.file, from: n, to: n - 1 });
  }
}

/** FD(INHERITED) has been dealt with: was it the last that START announced? */
export function inherited(s: Step, p: Process): void {
  if (p.inherits <= 0) return;
  setProcess(s, p, { inherits: p.inherits - 1 });
  if (p.inherits === 1) forgetOldTable(s, p.pid);
}

/** SENDFD: the message holds the file until it is received; its receipt may have been logged first. */
export function sentFd(s: Step, file: number): void {
  if (s.e.error !== 0 || s.e.ret < 0) return;
  const n = s.state.sent.get(file) ?? 0;
  s.emit({ op: 'sent', file, from: n, to: n + 1 });
}

/** The process of an event that is not its beginning: known, a vfork child, or one that began unseen. */
export function processOf(s: Step): Process | undefined {
  return vforkChild(s) ?? ensureProcess(s);
}
