/** Processes, descriptors and open files: who holds what, and what the last holder's going releases. */
import { FileKind } from '../store/frame.ts';
import { vmReleased } from './cmdqv-fold.ts';
import { endAll, endObject } from './objects.ts';
import type { Context, OpenFile, Process, SessionState } from './state.ts';
import type { Step } from './step.ts';

/** An iommufd is a context; a VFIO container is shown as one, for iommufd may be what serves it. */
const isContext = (kind: number): boolean => kind === FileKind.IOMMUFD || kind === FileKind.VFIO_CONTAINER;

// ---- processes ----

/** The process of the event; one that nothing has begun is inferred. undefined: it has ended, this is a straggler. */
export function ensureProcess(s: Step): Process | undefined {
  const { pid } = s.e;
  const known = s.state.processes.get(pid);
  if (known || s.state.exited.has(pid)) return known;
  return beginProcess(s, { pid, origin: 'inferred' });
}

/** Begins a process with what is known about it. */
export function beginProcess(s: Step, p: Partial<Process> & { readonly pid: number }): Process {
  const process: Process = {
    parent: 0,
    exe: '',
    startTime: 0,
    live: true,
    birth: s.e.seq,
    began: s.e.tEnter,
    end: 0,
    status: 0,
    origin: 'observed',
    memory: p.pid,
    inherits: 0,
    ...p,
  };
  s.emit({ op: 'process', pid: p.pid, from: s.state.exited.get(p.pid), to: process });
  return process;
}

export function setProcess(s: Step, from: Process, set: Partial<Process>): Process {
  const to = { ...from, ...set };
  s.emit({ op: 'process', pid: from.pid, from, to });
  return to;
}

// ---- descriptors and files ----

const fdOf = (s: SessionState, pid: number, fd: number): number => s.fds.get(pid)?.get(fd) ?? 0;

/** Puts a file behind a descriptor (0: closes it); what it stood for before loses a holder. */
export function setFd(s: Step, pid: number, fd: number, to: number): void {
  const from = fdOf(s.state, pid, fd);
  if (from === to) return;
  s.emit({ op: 'fd', pid, fd, from, to, before: false });
  if (from !== 0) dropped(s, from);
}

/** Says something more of a file that takes other files in hold; what it held before loses a holder. */
export function setHolds(s: Step, f: OpenFile, set: Partial<OpenFile> & Pick<OpenFile, 'holds'>): void {
  const held = s.state.files.get(f.file)?.holds ?? [];
  setFile(s, f, set);
  for (const file of held) dropped(s, file);
}

/** Says something more of a file; one that has been released meanwhile stays so. */
export function setFile(s: Step, f: OpenFile, set: Partial<OpenFile>): OpenFile {
  const from = s.state.files.get(f.file);
  if (!from) return f;
  const to = { ...from, ...set };
  s.emit({ op: 'file', file: f.file, from, to });
  return to;
}

/** A file that nothing has shown yet. */
function beginFile(s: Step, file: number, kind: number, set: Partial<OpenFile>): OpenFile {
  const context = isContext(kind) ? s.state.nextContext : 0;
  const to: OpenFile = {
    file,
    kind,
    birth: s.e.seq,
    origin: 'observed',
    path: '',
    context,
    object: 0,
    holds: [],
    revoked: false,
    regions: [],
    irqs: [],
    triggers: [],
    ...set,
  };
  s.emit({ op: 'file', file, to });
  if (isContext(kind)) beginContext(s, context, file, to);
  return to;
}

function beginContext(s: Step, context: number, file: number, f: OpenFile): void {
  s.emit({
    op: 'context.begin',
    context: {
      context,
      file,
      birth: s.e.seq,
      origin: f.origin,
      compat: 0,
      rlimitMode: -1,
      accountedTo: 0,
      objects: new Map(),
      ids: new Map(),
      areas: new Map(),
      pins: new Map(),
      ended: new Map(),
    },
  });
}

/** The context of a file. */
export function contextOf(s: Step, f: OpenFile | undefined): Context | undefined {
  return f && f.context > 0 ? s.state.contexts.get(f.context) : undefined;
}

/** The kind that an ioctl number suggests where the recorder could not tell what the descriptor is. */
function kindByRequest(request: number): number {
  if (request >>> 8 !== 0x3b) return FileKind.UNKNOWN;
  return (request & 0xff) >= 0x80 ? FileKind.IOMMUFD : FileKind.UNKNOWN;
}

/**
 * The open file that the event was made on. What the event says beats what the descriptor table says: a descriptor that
 * came unseen (a late start, a gap, a message) is put into the table.
 */
export function ensureFile(s: Step, isIoctl: boolean): OpenFile | undefined {
  const { e, state } = s;
  if (e.fd < 0) return e.file === 0 ? undefined : state.files.get(e.file);
  const inTable = fdOf(state, e.pid, e.fd);
  const known = inTable === 0 ? undefined : state.files.get(inTable);
  if (known && (inTable === e.file || e.file === 0) && (known.kind === e.fileKind || e.fileKind === FileKind.UNKNOWN)) return known;
  const kind = e.fileKind !== FileKind.UNKNOWN ? e.fileKind : isIoctl ? kindByRequest(e.request) : FileKind.UNKNOWN;
  if (kind === FileKind.UNKNOWN && e.file === 0) return known;
  return fileBehind(s, e.pid, e.fd, e.file, kind, { origin: 'inferred' });
}

/** Sees to it that `fd` of `pid` stands for file number `file` (0: the recorder gave none), which is of `kind`. */
export function fileBehind(s: Step, pid: number, fd: number, file: number, kind: number, set: Partial<OpenFile>): OpenFile {
  const { state } = s;
  const inTable = fdOf(state, pid, fd);
  const old = inTable === 0 ? undefined : state.files.get(inTable);
  let f = file === 0 ? (old && fits(old, kind) ? old : undefined) : state.files.get(file);
  if (f && !fits(f, kind)) f = undefined;
  if (f) f = refineKind(s, f, kind);
  else if (old && old.file < 0 && file > 0 && !state.files.has(file) && old.kind === kind && !isContext(kind)) f = renumber(s, old, file);
  else f = beginFile(s, file === 0 || state.files.has(file) ? state.nextUnnumbered : file, kind, set);
  setFd(s, pid, fd, f.file);
  return f;
}

const fits = (f: OpenFile, kind: number): boolean => f.kind === kind || kind === FileKind.UNKNOWN || f.kind === FileKind.UNKNOWN;

function refineKind(s: Step, f: OpenFile, kind: number): OpenFile {
  if (f.kind === kind || kind === FileKind.UNKNOWN) return f;
  const context = isContext(kind) && f.context === 0 ? s.state.nextContext : f.context;
  const to = setFile(s, f, { kind, context });
  if (isContext(kind) && f.context === 0) beginContext(s, context, f.file, to);
  return to;
}

/** An ioctl returned a descriptor before the recorder had a number for its file; here is the number. */
function renumber(s: Step, old: OpenFile, file: number): OpenFile {
  const f = beginFile(s, file, old.kind, { ...old, file });
  const context = contextOf(s, old);
  const object = context?.objects.get(old.object);
  if (context && object && 'file' in object && object.file === old.file) {
    s.emit({ op: 'object.set', context: context.context, from: object, to: { ...object, file } });
  }
  setHolds(s, old, { object: 0, holds: [] });
  return f;
}

/** A descriptor that an ioctl returned: its file has no number until the recorder reports it. */
export function createdFd(s: Step, fd: number, kind: number, set: Partial<OpenFile>): void {
  if (fd < 0) return;
  const f = beginFile(s, s.state.nextUnnumbered, kind, set);
  setFd(s, s.e.pid, fd, f.file);
}

/** A file has lost a holder: the last one releases it. */
export function dropped(s: Step, file: number): void {
  if ((s.state.holders.get(file) ?? 0) > 0) return;
  const f = s.state.files.get(file);
  if (!f) return;
  release(s, f);
  s.emit({ op: 'file', file, from: f });
  for (const held of f.holds) dropped(s, held);
}

/** What ends with an open file. A fault or event queue stays: its object only loses the file's reference. */
function release(s: Step, f: OpenFile): void {
  if (f.kind === FileKind.KVM_VM) vmReleased(s, f.file);
  const c = contextOf(s, f);
  if (!c) return;
  if (isContext(f.kind)) {
    endAll(s, c);
    return;
  }
  if (f.kind !== FileKind.VFIO_DEVICE && f.kind !== FileKind.ACCESS) return;
  const object = c.objects.get(f.object);
  if (object) endObject(s, c, object, 'close');
}
