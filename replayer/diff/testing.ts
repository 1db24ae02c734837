/** For tests of comparisons: sessions with other numbers than they had. */
import { fileURLToPath } from 'node:url';
import { targetOfFileKind, type UapiTable } from '../../hw/uapi/table.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import {
  encodeFrame,
  FileKind,
  type Frame,
  FrameCursor,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioSource,
  makeArgs,
  type Part,
  PartKind,
  State,
} from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { tableOf } from '../fold.ts';
import { Script } from '../script.ts';
import type { TimelineSource } from '../timeline.ts';
import { drained } from './align/align.ts';
import type { CauseOptions } from './causes/causes.ts';
import type { Difference, Report } from './causes/report.ts';
import { type Comparison, compareTraces, How, type Side } from './compare.ts';
import { compareForCauses } from './kept.ts';

/** A trace of fixtures/traces. It stays open as long as the tests of its file run. */
export function fixture(name: string): Side {
  const reader = TraceReader.open(fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url)));
  return { source: reader, table: tableOf(reader.meta) };
}

/** Compares to the end. */
export function compared(a: Side, b: Side): Comparison {
  return drained(compareTraces(a, b));
}

/** Rows that differ, as one reads them: `~ 7/8 errno ret`, `- 9`, `+ 10`. */
export function differencesOf(c: Comparison): string[] {
  const rows: string[] = [];
  c.how.forEach((how, row) => {
    if (how === How.ONLY_A) rows.push(`- ${c.a[row]}`);
    if (how === How.ONLY_B) rows.push(`+ ${c.b[row]}`);
    if (how !== How.CHANGED) return;
    const names = c.fields(row).filter((f) => f.differs);
    rows.push(`~ ${c.a[row]}/${c.b[row]} ${names.map((f) => f.name).join(' ')}`);
  });
  return rows;
}

/** The frames of a trace. */
export function framesOf(source: TimelineSource): Frame[] {
  const frames: Frame[] = [];
  const cursor = new FrameCursor();
  for (const batch of source.scan()) {
    for (let i = 0; i < batch.count; i++) frames.push(cursor.at(batch.buffer, batch.offsets[i]!).frame());
  }
  return frames;
}

/** A session in which some calls were stored before they returned. */
export interface Split {
  readonly frames: readonly Buffer[];
  /** by number of an event: the number that it had */
  readonly was: readonly number[];
}

/** No call: it is never stored as entered. */
const RECORDERS: ReadonlySet<number> = new Set([Kind.RETURN, Kind.GAP]);

/**
 * Stores calls as entered and their RETURNs so many events later, as `record` does with what takes long. `later`: for the event
 * with an index, how many; 0: it is stored whole.
 */
export function splitCalls(frames: readonly Frame[], later: (index: number) => number): Split {
  const returns = new Map<number, Frame[]>();
  const put: Frame[] = [];
  const was = [0];
  const now = new Map<number, number>();
  frames.forEach((f, i) => {
    const distance = f.state === State.RETURNED && !RECORDERS.has(f.kind) ? later(i) : 0;
    now.set(f.seq, put.length + 1);
    was.push(f.seq);
    if (distance === 0) put.push(f);
    else {
      const isAnswer = (p: Part): boolean => p.kind === PartKind.OUT || p.kind === PartKind.NESTED_OUT;
      // the value of a store is there before it is made
      const entered = { ...f, state: State.ENTERED, tExit: 0n, error: 0, ret: f.kind === Kind.MMIO ? f.ret : 0n };
      put.push({ ...entered, parts: f.parts.filter((p) => !isAnswer(p)) });
      const back = { ...f, kind: Kind.RETURN, parts: [makeArgs(f.seq), ...f.parts.filter(isAnswer)] };
      const at = Math.min(frames.length, i + distance);
      returns.set(at, [...(returns.get(at) ?? []), back]);
    }
    for (const back of returns.get(i + 1) ?? []) {
      put.push(back);
      was.push(0);
    }
  });
  const renumbered = put.map((f, i) => {
    const parts =
      f.kind !== Kind.RETURN ? f.parts : f.parts.map((p) => (p.kind === PartKind.ARGS ? makeArgs(now.get(Number(wordOf(f, 0))) ?? 0) : p));
    return encodeFrame({ ...f, seq: i + 1, parts });
  });
  return { frames: renumbered, was };
}

/** By how much each sort of number is moved. */
export interface Shift {
  readonly pid: number;
  readonly fd: number;
  readonly file: number;
  readonly id: number;
  readonly address: bigint;
  readonly time: bigint;
}

/** The same session with other numbers: pids, descriptors, numbers of files and objects, addresses of the program, times. */
export function renumbered(frames: readonly Frame[], table: UapiTable, by: Shift): Buffer[] {
  return frames.map((f) => encodeFrame(renumber(f, table, by, frames)));
}

function renumber(f: Frame, table: UapiTable, by: Shift, all: readonly Frame[]): Frame {
  const began = f.kind === Kind.RETURN ? all.find((o) => BigInt(o.seq) === wordOf(f, 0)) : undefined;
  const call = began ?? f;
  const makesFd = call.kind === Kind.OPEN || call.kind === Kind.DUP || call.kind === Kind.FD || returnsFd(call, table);
  const moved = makesFd ? by.fd : call.kind === Kind.FORK ? by.pid : call.kind === Kind.MMAP ? Number(by.address) : 0;
  return {
    ...f,
    pid: f.pid + by.pid,
    tid: f.tid + by.pid,
    fd: f.fd < 0 ? f.fd : f.fd + by.fd,
    file: f.file === 0 ? 0 : f.file + by.file,
    tEnter: f.tEnter + by.time,
    tExit: f.tExit === 0n ? 0n : f.tExit + 2n * by.time,
    ret: f.ret > 0n && f.error === 0 ? f.ret + BigInt(moved) : f.ret,
    parts: f.parts.map((p) => renumberPart(call, p, table, by)),
  };
}

const wordOf = (f: Frame, i: number): bigint => {
  const args = f.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
  return args === undefined ? 0n : Buffer.from(args).readBigUInt64LE(8 * i);
};

function returnsFd(f: Frame, table: UapiTable): boolean {
  const target = targetOfFileKind(f.fileKind);
  const command = f.kind === Kind.IOCTL && target !== undefined ? table.command(target, f.request) : undefined;
  return command?.returns?.fd !== undefined;
}

/** Words of ARGS that are addresses, descriptors, pids or ids of objects. */
const WORDS: Partial<Readonly<Record<number, readonly (readonly [number, 'address' | 'fd' | 'pid' | 'id'])[]>>> = {
  [Kind.DUP]: [[0, 'fd']],
  [Kind.MUNMAP]: [[0, 'address']],
  [Kind.MREMAP]: [[0, 'address']],
  [Kind.START]: [[0, 'pid']],
  [Kind.QUEUE]: [[0, 'id']],
};

function renumberPart(f: Frame, p: Part, table: UapiTable, by: Shift): Part {
  const bytes = Buffer.from(p.bytes);
  if (p.kind === PartKind.ARGS) {
    // an access of a process is at an address of its own, one of a guest or of the kernel is not
    const own = f.kind === Kind.MMIO && f.request >>> MMIO_SOURCE_SHIFT === MmioSource.TRAPPED;
    const moved = own ? ([[0, 'address']] as const) : (WORDS[f.kind] ?? []);
    for (const [i, what] of moved) {
      if (bytes.length < 8 * i + 8) continue;
      const old = bytes.readBigUInt64LE(8 * i);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, old === 0n ? old : old + BigInt(by[what])), 8 * i);
    }
  }
  const isStruct = p.kind === PartKind.IN || p.kind === PartKind.OUT;
  if (f.kind === Kind.IOCTL && isStruct) renumberStruct(f, bytes, table, by);
  if (f.kind === Kind.READ && isStruct) renumberFault(f, bytes, table, by);
  return { ...p, bytes, address: p.address === 0n ? 0n : p.address + by.address };
}

/** The kernel's ids are small. */
const GREAT = 500;

function renumberStruct(f: Frame, bytes: Buffer, table: UapiTable, by: Shift): void {
  const target = targetOfFileKind(f.fileKind);
  const command = target === undefined ? undefined : table.command(target, f.request);
  if (command?.arg === 'fd-pointer' && bytes.length === 4) bytes.writeInt32LE(bytes.readInt32LE(0) + by.fd);
  const op = command?.name === 'IOMMU_TEST_CMD' && bytes.length >= 8 ? table.testOp(bytes.readUInt32LE(4)) : undefined;
  for (const field of command?.struct?.fields ?? []) {
    if (field.offset + field.size > bytes.length || (field.arm !== undefined && field.arm !== op?.arm)) continue;
    const isFd = field.fd !== undefined || (field.ref?.[0] === 'OP' && op?.id === 'access-fd');
    const isId = !isFd && (field.creates !== undefined || field.ref !== undefined);
    if (SCALAR_BYTES[field.type] === 8) {
      const old = bytes.readBigUInt64LE(field.offset);
      if (field.nested !== undefined && old !== 0n) bytes.writeBigUInt64LE(BigInt.asUintN(64, old + by.address), field.offset);
    } else if (SCALAR_BYTES[field.type] === 4) {
      const old = bytes.readInt32LE(field.offset);
      if (isFd && old > 0) bytes.writeInt32LE(old + by.fd, field.offset);
      // a great number is the program's own invention
      if (isId && old > 0 && old < GREAT) bytes.writeInt32LE((old + by.id) | 0, field.offset);
    }
  }
}

function renumberFault(f: Frame, bytes: Buffer, table: UapiTable, by: Shift): void {
  const struct = f.fileKind === FileKind.FAULT ? table.record('FAULT', 'read') : undefined;
  const at = struct?.byName.get('dev_id')?.offset;
  if (struct === undefined || at === undefined) return;
  for (let i = 0; i + struct.size <= bytes.length; i += struct.size) bytes.writeUInt32LE(bytes.readUInt32LE(i + at) + by.id, i + at);
}

/** What came of the comparison of two traces. */
export function reportOf(a: Side, b: Side, options: CauseOptions = {}): Report {
  return drained(compareForCauses(a, b, options)).report;
}

/** A report without its values: `errno 7/8 IOMMU_DESTROY (order by index)`, and below it what follows, ` ended 0/9 IOMMU_DESTROY`. */
export function causesText(report: Report): string[] {
  const text = ({ sort, a, b, call }: Difference): string => `${sort} ${a}/${b} ${call}`;
  return report.causes.flatMap((c) => [
    `${text(c.difference)} (${c.known ?? '?'})`,
    ...c.consequences.map((q) => `  ${q.link.by}: ${text(q.difference)}`),
  ]);
}

/** The frame of an IOMMU_IOAS_IOVA_RANGES whose kernel has answered with five ranges. */
export const withOtherRanges = (f: Frame): Frame => ({
  ...f,
  parts: f.parts.map((p) => {
    if (p.kind !== PartKind.OUT) return p;
    const bytes = Buffer.from(p.bytes);
    bytes.writeUInt32LE(5, 8);
    return { ...p, bytes };
  }),
});

/** Address spaces of {@link spacesPlayed}. */
export const SPACES = 4;
/** A call about one of them: 0 … 4 say which call. */
export type SpaceDraw = readonly [space: number, what: number, value: number];

/** Some address spaces are made, and then come calls about them. `iovaOf`: where call i (from 0), which is about a space, maps. */
export function spacesPlayed(table: UapiTable, draws: readonly SpaceDraw[], iovaOf: (i: number, space: number) => number): Frame[] {
  const s = new Script(table);
  s.start();
  s.open(3);
  for (let n = 0; n < SPACES; n++) s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 + n });
  draws.forEach(([space, what, value], i) => {
    const ioas_id = 1 + space;
    const iova = iovaOf(i, space);
    const map = { ioas_id, user_va: 0x1000, length: 0x1000 * (1 + value) };
    if (what === 0) s.ioctl(3, 'IOMMU_IOAS_MAP', { ...map, flags: 7, iova });
    else if (what === 1) s.ioctl(3, 'IOMMU_IOAS_MAP', { ...map, flags: 6 }, { iova });
    else if (what === 2) s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: ioas_id, val64: value });
    else if (what === 3) s.ioctl(3, 'IOMMU_IOAS_IOVA_RANGES', { ioas_id, num_iovas: value }, { num_iovas: 3, out_iova_alignment: 4096 });
    else s.ioctl(3, 'IOMMU_DESTROY', { id: ioas_id }, {}, { error: 16 });
  });
  s.exit();
  return framesOf(s.source());
}
