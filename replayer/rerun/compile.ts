/** A program as a plan: which steps are issued again, and what of them the issuing program needs to know. */
import { FileKind, Found, FRAME_AT, Kind, type Part, PartKind, Start } from '../../store/frame.ts';
import { unbound } from '../program/bindings.ts';
import { type Define, type Program, type ProgramSymbol, type Step, type Use, whereIs } from '../program/program.ts';
import { type Memories, type MemoryAt, memoriesOf } from './memory.ts';
import {
  type Plan,
  PlanBacking,
  PlanFile,
  PlanFlag,
  PlanHow,
  PlanPlace,
  type PlanRecord,
  PlanRegionFlag,
  PlanSort,
  PlanUseFlag,
} from './plan.ts';

export interface CompileOptions {
  /** also loads and stores of mapped regions */
  readonly mmio?: boolean;
  /** what a call may take longer than in the recording, milliseconds; default 10,000 */
  readonly limitMs?: number;
}

/** A step that is not issued again. */
export interface Left {
  /** index in the program */
  readonly step: number;
  readonly why: string;
}

export interface Compiled {
  readonly plan: Plan;
  /** by index of a step in the plan: its index in the program */
  readonly stepOf: readonly number[];
  readonly left: readonly Left[];
}

const LIMIT_MS = 10_000;
/** ioctls of iommufd and VFIO */
const TYPE = 0x3b;
const KVM_FILES: ReadonlySet<number> = new Set([FileKind.KVM, FileKind.KVM_VM, FileKind.KVM_VCPU]);
const CALLS: ReadonlySet<number> = new Set([
  Kind.IOCTL,
  Kind.OPEN,
  Kind.CLOSE,
  Kind.DUP,
  Kind.MMAP,
  Kind.MUNMAP,
  Kind.MREMAP,
  Kind.READ,
  Kind.WRITE,
  Kind.FORK,
  Kind.EXIT,
  Kind.EXEC,
  Kind.SENDFD,
]);

/** What stands for a file that was opened by another name, by kind of file. */
const STANDARD: Readonly<Record<number, string>> = { [FileKind.IOMMUFD]: '/dev/iommu', [FileKind.VFIO_CONTAINER]: '/dev/vfio/vfio' };
/** O_CREAT, O_TRUNC and __O_TMPFILE of x86 and arm64 */
const MAKES = 0o20001100;

/** What the files are called that may be opened: /dev/vfio/vfio, /dev/vfio/12, /dev/vfio/devices/vfio0. */
const NAMES = /^\/dev\/(iommu|vfio\/[\w.:/-]+)$/;

/** Nothing but iommufd and VFIO is opened, by their own names, and nothing is made or emptied: as plan.c of the issuing program has it. */
function mayOpen(step: Step): boolean {
  const path = Buffer.from(textOf(step)).toString('latin1');
  return NAMES.test(path) && !path.includes('..') && (wordOf(step, 1) & MAKES) === 0;
}

function wordOf(step: Step, word: number): number {
  const bytes = step.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
  return bytes === undefined || bytes.length < 8 * word + 8 ? 0 : Buffer.from(bytes).readUInt32LE(8 * word);
}

/** What an open asks with: the standard name where it was another, and no more flags than how it is accessed. */
function opened(step: Step): readonly Part[] {
  if (step.kind !== Kind.OPEN || mayOpen(step)) return step.asks;
  const O_ACCMODE_CLOEXEC = 0o2000003;
  return step.asks.map((p) => {
    if (p.kind === PartKind.TEXT && p.slot === 0) return { ...p, bytes: Buffer.from(STANDARD[step.fileKind] ?? '') };
    if (p.kind !== PartKind.ARGS) return p;
    const bytes = Buffer.from(p.bytes);
    bytes.writeBigUInt64LE(BigInt(wordOf(step, 1) & O_ACCMODE_CLOEXEC), 8);
    return { ...p, bytes };
  });
}

/** Why a step is not issued; '' it is; undefined: it comes of itself. */
function whyNot(step: Step, mmio: boolean): string | undefined {
  if (step.role === 'fact') {
    if (step.kind === Kind.START) return '';
    if (step.kind === Kind.FD && step.request === Found.INHERITED) return '';
    if (step.kind === Kind.FD || step.kind === Kind.QUEUE || step.kind === Kind.RETURN) return undefined;
    return step.why;
  }
  if (step.role === 'receipt') return '';
  if (step.role === 'access') return mmio ? '' : 'loads and stores are made with --mmio only';
  if (!CALLS.has(step.kind)) return 'a call of a kind that is not issued';
  if (step.kind === Kind.OPEN && !mayOpen(step) && STANDARD[step.fileKind] === undefined)
    return 'it opens something other than iommufd and VFIO';
  if (KVM_FILES.has(step.fileKind)) return 'calls on KVM are not issued';
  if (step.kind === Kind.IOCTL && ((step.request >>> 8) & 0xff) !== TYPE) return 'an ioctl of another subsystem';
  if (step.kind === Kind.FORK && step.error !== 0) return 'a fork that failed';
  return '';
}

/** Does another image of its process begin behind an EXEC, before anything else of it? One that failed has none. */
function executed({ steps }: Program, index: number): boolean {
  const { process } = steps[index]!;
  for (let i = index + 1; i < steps.length; i++)
    if (steps[i]!.process === process) return steps[i]!.kind === Kind.START && steps[i]!.request === Start.EXEC;
  return false;
}

/** Makes the plan of a program. */
export function compilePlan(program: Program, options: CompileOptions = {}): Compiled {
  const left: Left[] = [];
  const stepOf: number[] = [];
  for (const [index, step] of program.steps.entries()) {
    const why =
      step.kind === Kind.EXEC && !executed(program, index) ? 'a program that was not recorded' : whyNot(step, options.mmio === true);
    if (why === '') stepOf.push(index);
    else if (why !== undefined) left.push({ step: index, why });
  }
  const writer = new Writer(program, stepOf, memoriesOf(program));
  for (const index of stepOf) writer.step(index);
  return { plan: writer.finish(options.limitMs ?? LIMIT_MS), stepOf, left };
}

/** Files that no step makes, by kind or role. */
const FOREIGN: Readonly<Record<string, number>> = {
  IOMMUFD: PlanFile.IOMMUFD,
  FILE: PlanFile.MEMORY,
  DMABUF: PlanFile.MEMORY,
  EVENTFD: PlanFile.EVENTFD,
  SOCKET: PlanFile.SOCKET,
};
const MEMFD_BYTES = 0x10_0000n;
const PAGE = 4096n;

class Writer {
  readonly #program: Program;
  /** index in the plan, by index in the program */
  readonly #places = new Map<number, number>();
  readonly #steps: PlanRecord<'step'>[] = [];
  readonly #parts: PlanRecord<'part'>[] = [];
  readonly #uses: PlanRecord<'use'>[] = [];
  readonly #defines: PlanRecord<'define'>[] = [];
  readonly #overlaps: number[] = [];
  readonly #ends: number[] = [];
  readonly #memories: PlanRecord<'memory'>[] = [];
  /** by index of a step in the program */
  readonly #memoriesAt = new Map<number, MemoryAt[]>();
  readonly #fileBytes: Memories['fileBytes'];
  readonly #data: Buffer[] = [];
  #dataBytes = 0;
  /** where bytes lie that parts have had before */
  readonly #known = new Map<string, number>();
  /** SENDFD steps whose descriptor nobody has taken yet, by process and descriptor */
  readonly #sent = new Map<string, number[]>();
  #flags = 0;

  constructor(program: Program, stepOf: readonly number[], memories: Memories) {
    this.#program = program;
    this.#fileBytes = memories.fileBytes;
    for (const m of memories.at) {
      const all = this.#memoriesAt.get(m.step) ?? [];
      all.push(m);
      this.#memoriesAt.set(m.step, all);
    }
    for (const [place, index] of stepOf.entries()) this.#places.set(index, place);
  }

  #bytes(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    let at = this.#known.get(text);
    if (at === undefined) {
      at = this.#dataBytes;
      const padded = Buffer.alloc(Math.ceil(bytes.length / 8) * 8);
      padded.set(bytes);
      this.#data.push(padded);
      this.#dataBytes += padded.length;
      this.#known.set(text, at);
    }
    return at;
  }

  step(index: number): void {
    const step = this.#program.steps[index]!;
    const parts = opened(step);
    const indexes = new Map<number, number>();
    const first = { part: this.#parts.length, use: this.#uses.length, define: this.#defines.length };
    const firstOf = { overlap: this.#overlaps.length, end: this.#ends.length };
    for (const [i, p] of parts.entries()) this.#part(step, p, i, indexes);
    for (const u of step.uses) this.#use(step, u, indexes);
    for (const d of step.defines) this.#define(step, d);
    if (step.kind === Kind.FD)
      for (const u of step.echoes) if (u.at === FRAME_AT.fd || step.request === Found.PIDFD) this.#use(step, u, indexes);
    for (const o of step.overlaps) {
      const place = this.#places.get(o);
      if (place !== undefined) this.#overlaps.push(place);
    }
    this.#ends.push(...step.ends);
    const memory = this.#memories.length;
    for (const m of this.#memoriesAt.get(index) ?? []) this.#memory(m);
    const [tEnter, tExit] = [step.frame.readBigUInt64LE(FRAME_AT.tEnter), step.frame.readBigUInt64LE(FRAME_AT.tExit)];
    if (step.kind === Kind.OPEN && /^\/dev\/vfio\/(?!vfio$)/.test(Buffer.from(textOf(step)).toString('latin1')))
      this.#flags |= PlanFlag.VFIO;
    if (step.kind === Kind.MMIO) this.#flags |= PlanFlag.MMIO;
    this.#steps.push({
      seq: BigInt(step.seq),
      kind: step.kind,
      file: step.fileKind,
      flags: step.flags,
      request: step.request,
      fd: step.fd,
      process: step.process,
      thread: step.thread,
      error: step.returned ? step.error : -1,
      ret: step.ret,
      took: tExit > tEnter ? tExit - tEnter : 0n,
      part: first.part,
      parts: this.#parts.length - first.part,
      use: first.use,
      uses: this.#uses.length - first.use,
      define: first.define,
      defines: this.#defines.length - first.define,
      overlap: firstOf.overlap,
      overlaps: this.#overlaps.length - firstOf.overlap,
      end: firstOf.end,
      ends: this.#ends.length - firstOf.end,
      memory,
      memories: this.#memories.length - memory,
      peer: this.#peer(step),
    });
  }

  #memory(m: MemoryAt): void {
    const data = m.how === PlanHow.BYTES || m.how === PlanHow.IN_FILE ? BigInt(this.#bytes(m.data)) : m.fileOffset;
    this.#memories.push({ symbol: m.symbol, how: m.how, offset: m.offset, bytes: m.bytes, data, file: m.file });
  }

  #part(step: Step, p: Part, index: number, indexes: Map<number, number>): void {
    indexes.set(p.bytes.byteOffset - step.frame.byteOffset, index);
    this.#parts.push({
      kind: p.kind,
      flags: p.flags,
      slot: p.slot,
      bytes: p.bytes.length,
      data: BigInt(this.#bytes(p.bytes)),
      wanted: p.wanted,
      address: p.address,
    });
  }

  #use(step: Step, u: Use, indexes: ReadonlyMap<number, number>): void {
    const where = whereIs(step, u.at);
    if (where === undefined) return;
    const base = { symbol: u.symbol, width: u.width, flags: u.ended ? PlanUseFlag.ENDED : 0, addend: u.addend };
    if (where.in !== 'part') this.#uses.push({ ...base, in: where.in === 'fd' ? PlanPlace.FD : PlanPlace.RET, part: 0, offset: 0 });
    else {
      const part = indexes.get(u.at - where.offset);
      if (part !== undefined) this.#uses.push({ ...base, in: PlanPlace.PART, part, offset: where.offset });
    }
  }

  #define(step: Step, d: Define): void {
    const where = whereIs(step, d.at);
    if (where === undefined) return;
    const base = { symbol: d.symbol, width: d.width };
    // of the two places that say which descriptor an open gave, one will do
    if (where.in !== 'part') this.#defines.push({ ...base, in: where.in === 'fd' ? PlanPlace.FD : PlanPlace.RET, part: 0, offset: 0 });
    else if (where.kind === PartKind.OUT) this.#defines.push({ ...base, in: PlanPlace.OUT, part: 0, offset: where.offset });
    else if (where.kind === PartKind.NESTED_OUT)
      this.#defines.push({ ...base, in: PlanPlace.NESTED, part: where.slot, offset: where.offset });
  }

  #peer(step: Step): number {
    const here = this.#steps.length;
    if (step.kind === Kind.FORK) return this.#program.processes.find((p) => this.#places.get(p.forkStep) === here)?.index ?? -1;
    if (step.kind === Kind.SENDFD) {
      const key = `${step.process}/${step.fd}`;
      this.#sent.set(key, [...(this.#sent.get(key) ?? []), here]);
      return -1;
    }
    if (step.kind !== Kind.FD || step.request !== Found.RECEIVED) return -1;
    const words = step.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
    if (words === undefined || words.length < 32) return -1;
    const view = new DataView(words.buffer, words.byteOffset);
    const sender = this.#program.processes.find((p) => p.pid === view.getUint32(16, true) && p.index !== step.process);
    return this.#sent.get(`${sender?.index ?? -1}/${view.getInt32(24, true)}`)?.shift() ?? -1;
  }

  finish(limitMs: number): Plan {
    const { program, places } = { program: this.#program, places: this.#places };
    const holes: PlanRecord<'hole'>[] = [];
    const regions = program.regions.map((r): PlanRecord<'region'> => {
      const hole = holes.length;
      holes.push(...r.holes);
      return {
        start: r.start,
        bytes: r.bytes,
        align: r.align,
        image: r.image,
        backing: r.backing === 'nothing' ? PlanBacking.NOTHING : PlanBacking.MEMORY,
        flags: r.mayBeHuge ? PlanRegionFlag.MAY_BE_HUGE : 0,
        hole,
        holes: r.holes.length,
      };
    });
    return {
      flags: this.#flags,
      limitMs,
      kernel: program.kernel,
      processes: program.processes.map((p) => {
        const forkStep = places.get(p.forkStep) ?? -1;
        return { parent: forkStep < 0 ? -1 : p.parent, forkStep, image: p.image, threads: p.threads.length, symbol: p.symbol };
      }),
      symbols: program.symbols.map((s) => symbolRecord(s, this.#fileBytes.get(s.index))),
      regions,
      holes,
      steps: this.#steps,
      parts: this.#parts,
      uses: this.#uses,
      defines: this.#defines,
      overlaps: this.#overlaps,
      ends: this.#ends,
      memories: this.#memories,
      data: Buffer.concat(this.#data),
    };
  }
}

const textOf = (step: Step): Uint8Array => step.parts.find((p) => p.kind === PartKind.TEXT && p.slot === 0)?.bytes ?? new Uint8Array();

function symbolRecord(s: ProgramSymbol, told: bigint | undefined): PlanRecord<'symbol'> {
  const foreign = s.sort === 'fd' && s.step < 0;
  const what = s.sort === 'nothing' ? PlanSort[s.type as 'object' | 'fd' | 'cookie'] : foreign ? (FOREIGN[s.type] ?? PlanFile.NOTHING) : 0;
  const bytes = told ?? (s.bytes > 0n ? ((s.bytes + PAGE - 1n) / PAGE) * PAGE : MEMFD_BYTES);
  return {
    sort: PlanSort[s.sort],
    what: what ?? PlanSort.object,
    context: s.context,
    value: BigInt.asUintN(64, unbound(s)),
    bytes: foreign ? bytes : 0n,
    region: s.region,
    process: s.process,
  };
}
