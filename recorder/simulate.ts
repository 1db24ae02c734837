/**
 * Scenarios as traces: what happened on the models (hw/scenario) in the frames that a recording would have. Times are made up:
 * a microsecond for each event; nothing in them depends on when or where the scenario was run.
 */
import { errnoNumber } from '../hw/errno.ts';
import { fileNumber } from '../hw/event-words.ts';
import type { FileKind as ModelKind } from '../hw/iommufd/state.ts';
import { runScenario } from '../hw/scenario/script.ts';
import type { KvmKind, Session, SimEvent } from '../hw/scenario/session.ts';
import type { DialectName } from '../hw/uapi/table.ts';
import {
  Close,
  Exit,
  encodeFrame,
  FileKind,
  Found,
  type Frame,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioHow,
  MmioSource,
  makeArgs,
  makeFrame,
  makePart,
  Open,
  type Part,
  PartKind,
  QueueWhy,
  Rw,
  Start,
} from '../store/frame.ts';
import { NOWHERE, writeWhole } from './whole-trace.ts';

const WHY = {
  alloc: QueueWhy.ALLOC,
  destroy: QueueWhy.DESTROY,
  prod: QueueWhy.PROD,
  error: QueueWhy.ERROR,
  sample: QueueWhy.PERIODIC,
} as const;
const SOURCE = { mapping: MmioSource.TRAPPED, exit: MmioSource.KVM } as const;

/** Made up, the same each time. */
const PROCESS = { pid: 100, parent: 1, startTime: 1000, exe: '/bin/vmm' } as const;
const EVENT_NS = 1000n;
const AT_FDCWD = -100;
const RDWR = 2;
const CLOEXEC = 0o2000000;
const PROT_RW = 3;
const MAP_SHARED = 1;
/** from a mapping that is trapped to the one through which its accesses are made */
const ALIAS = 0x100_0000_0000n;

const text = (t: string): Part => makePart(PartKind.TEXT, Buffer.from(t));
const errorOf = (errno: string): number => (errno === '' ? 0 : (errnoNumber(errno) ?? 0));

type Content = Partial<Frame> & { readonly kind: number };

/** The frame of an event, without its number and times. */
function contentOf(e: SimEvent): Content {
  switch (e.kind) {
    case 'open':
      return {
        ...at(e),
        kind: Kind.OPEN,
        request: Open.OPENAT,
        ret: BigInt(e.fd),
        parts: [makeArgs(AT_FDCWD, RDWR | CLOEXEC, 0), text(e.path)],
      };
    case 'close':
      return { ...at(e), kind: Kind.CLOSE, request: Close.CLOSE };
    case 'found':
      return {
        ...at(e),
        kind: Kind.FD,
        request: Found.CREATED,
        ret: BigInt(e.fd),
        parts: [makeArgs(0, 0, 0, 0, -1), text(`anon_inode:[${e.fileKind}]`)],
      };
    case 'kvm':
      return {
        ...at(e),
        kind: Kind.IOCTL,
        request: e.request,
        ret: e.ret,
        parts: e.input.length === 0 ? [makeArgs(e.arg)] : [makePart(PartKind.IN, e.input), makePart(PartKind.OUT, e.input)],
      };
    case 'exit':
      return { kind: Kind.EXIT, request: Exit.EXIT, ret: BigInt(e.status) };
    case 'ioctl':
      return { ...at(e), kind: Kind.IOCTL, request: e.command.request, error: errorOf(e.errno), ret: e.ret, parts: structParts(e) };
    case 'mmap':
      return {
        ...at({ ...e, fileKind: 'iommufd' }),
        kind: Kind.MMAP,
        error: errorOf(e.errno),
        ret: e.address,
        parts: [makeArgs(0, e.length, PROT_RW, MAP_SHARED, e.offset, ...(e.trapped ? [e.address + ALIAS] : []))],
      };
    case 'munmap':
      return { kind: Kind.MUNMAP, parts: [makeArgs(e.address, e.length)] };
    case 'read': {
      const parts = [makeArgs(e.room, -1), makePart(PartKind.OUT, e.bytes)];
      return {
        ...at(e),
        kind: Kind.READ,
        request: Rw.PLAIN,
        error: errorOf(e.errno),
        ret: e.errno === '' ? BigInt(e.bytes.length) : -1n,
        parts,
      };
    }
    case 'mmio': {
      const request = (e.store ? MmioHow.STORE : MmioHow.LOAD) | (SOURCE[e.source] << MMIO_SOURCE_SHIFT);
      // a guest's accesses come from a vCPU, which no scenario opens
      const from = { file: e.file, fileKind: e.source === 'exit' ? FileKind.KVM_VCPU : FileKind.IOMMUFD };
      return {
        kind: Kind.MMIO,
        request,
        ...from,
        ret: BigInt.asIntN(64, e.value),
        parts: [makeArgs(e.address, e.offset, e.width, 0, 0)],
      };
    }
    case 'queue': {
      const args = makeArgs(e.object, e.index, e.log2, e.first);
      const parts = [args, makePart(PartKind.OUT, e.entries, 0), makePart(PartKind.OUT, e.page0, 1)];
      return { kind: Kind.QUEUE, request: WHY[e.why], file: e.file, fileKind: FileKind.IOMMUFD, parts };
    }
  }
}

const at = (e: { readonly fd: number; readonly file: number; readonly fileKind: ModelKind | KvmKind }) => ({
  fd: e.fd,
  file: e.file,
  fileKind: fileNumber(e.fileKind),
});

function structParts(e: Extract<SimEvent, { kind: 'ioctl' }>): Part[] {
  if (e.input.length === 0) return [makeArgs(e.arg)];
  const parts = [makePart(PartKind.IN, e.input)];
  for (const [slot, bytes] of e.nestedIn) parts.push(makePart(PartKind.NESTED_IN, bytes, slot));
  parts.push(makePart(PartKind.OUT, e.output ?? e.input));
  for (const [slot, bytes] of e.nestedOut) parts.push(makePart(PartKind.NESTED_OUT, bytes, slot));
  return parts;
}

/** Whether the VMM does this while a guest's access waits for it. */
const isHandling = (c: Content | undefined): boolean => c?.kind === Kind.IOCTL || c?.kind === Kind.QUEUE;
const isExit = (c: Content): boolean => c.kind === Kind.MMIO && (c.request ?? 0) >>> MMIO_SOURCE_SHIFT === MmioSource.KVM;

/** Frames of a session, numbered from 1: the program's start, then what happened, each event one frame. */
export function framesOf(session: Session): Buffer[] {
  const start: Content = {
    kind: Kind.START,
    request: Start.EXEC,
    parts: [
      makeArgs(PROCESS.parent, PROCESS.startTime, 0),
      text(PROCESS.exe),
      makePart(PartKind.TEXT, Buffer.from('vmm'), 1),
      makePart(PartKind.TEXT, Buffer.from('vmm'), 2),
    ],
  };
  const contents = [start, ...session.log.map((h) => contentOf(h.event))];
  return contents.map((content, i) => {
    const tEnter = EVENT_NS * BigInt(i + 1);
    let last = i;
    if (isExit(content)) while (isHandling(contents[last + 1])) last++;
    const tExit = tEnter + EVENT_NS * BigInt(last - i) + (last > i ? (3n * EVENT_NS) / 4n : EVENT_NS / 2n);
    return encodeFrame(makeFrame({ pid: PROCESS.pid, tid: PROCESS.pid, tEnter, tExit, ...content, seq: i + 1 }));
  });
}

export interface SimulateOptions {
  readonly dialect: DialectName;
  /** where the trace goes: it must not be there yet */
  readonly output: string;
  /** what the scenario is called, for the trace's command line */
  readonly name: string;
  readonly tool: string;
}

/**
 * Runs a scenario (its text) and writes the trace. → its events. Throws ScenarioError, StoreError. The trace has its name only
 * when it is whole, and nothing that is there is replaced.
 */
export function simulate(scenario: string, options: SimulateOptions): number {
  const frames = framesOf(runScenario(scenario, options.dialect));
  const { dialect, name, output, tool } = options;
  writeWhole(output, frames, { ...NOWHERE, tool, source: 'simulation', command: ['simulate', name], dialect });
  return frames.length;
}
