/** What of the steps of a program the issuing program needs to know, as the tables of a plan. */
import { Found, FRAME_AT, Kind, type Part, PartKind } from '../../store/frame.ts';
import { unbound } from '../program/bindings.ts';
import type { Define, Program, ProgramSymbol, Step, Use } from '../program/program.ts';
import type { Memories } from './memory.ts';
import type { MemoryAt } from './memory-at.ts';
import { asksOf, opensHardware } from './opens.ts';
import { type PlacedPart, partAt, partsOf } from './parts.ts';
import {
  PLAN_RECORDS,
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
import { Pool, Rows } from './rows.ts';

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

/** Writes the tables of a plan, step by step. */
export class Writer {
  readonly #program: Program;
  /** index in the plan, by index in the program */
  readonly #places = new Map<number, number>();
  readonly #steps = new Rows(PLAN_RECORDS.step);
  readonly #parts = new Rows(PLAN_RECORDS.part);
  readonly #uses = new Rows(PLAN_RECORDS.use);
  readonly #defines = new Rows(PLAN_RECORDS.define);
  readonly #overlaps: number[] = [];
  readonly #ends: number[] = [];
  readonly #memories = new Rows(PLAN_RECORDS.memory);
  /** by index of a step in the program */
  readonly #memoriesAt = new Map<number, MemoryAt[]>();
  readonly #memoriesOf: Memories;
  readonly #data = new Pool();
  /** SENDFD steps whose descriptor nobody has taken yet, by process and descriptor */
  readonly #sent = new Map<string, number[]>();
  #flags = 0;

  constructor(program: Program, stepOf: readonly number[], memories: Memories) {
    this.#program = program;
    this.#memoriesOf = memories;
    for (const m of memories.at) {
      const all = this.#memoriesAt.get(m.step) ?? [];
      all.push(m);
      this.#memoriesAt.set(m.step, all);
    }
    for (const [place, index] of stepOf.entries()) this.#places.set(index, place);
  }

  step(index: number): void {
    const step = this.#program.steps[index]!;
    const parts = partsOf(step);
    const first = { part: this.#parts.length, use: this.#uses.length, define: this.#defines.length };
    const firstOf = { overlap: this.#overlaps.length, end: this.#ends.length };
    for (const p of asksOf(step, parts)) this.#part(p);
    for (const u of step.uses) this.#use(u, parts);
    for (const d of step.defines) this.#define(d, parts);
    if (step.kind === Kind.FD) for (const u of step.echoes) if (u.at === FRAME_AT.fd || step.request === Found.PIDFD) this.#use(u, parts);
    for (const o of step.overlaps) {
      const place = this.#places.get(o);
      if (place !== undefined) this.#overlaps.push(place);
    }
    this.#ends.push(...step.ends);
    const memory = this.#memories.length;
    for (const m of this.#memoriesAt.get(index) ?? []) this.#memory(m);
    const { buffer, offset } = step;
    const [tEnter, tExit] = [buffer.readBigUInt64LE(offset + FRAME_AT.tEnter), buffer.readBigUInt64LE(offset + FRAME_AT.tExit)];
    if (opensHardware(step)) this.#flags |= PlanFlag.VFIO;
    if (step.kind === Kind.MMIO) this.#flags |= PlanFlag.MMIO;
    this.#steps.add({
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
    const data = m.how === PlanHow.BYTES || m.how === PlanHow.IN_FILE ? BigInt(this.#data.place(m.data)) : m.fileOffset;
    this.#memories.add({ symbol: m.symbol, how: m.how, offset: m.offset, bytes: m.bytes, data, file: m.file });
  }

  #part({ kind, flags, slot, bytes, wanted, address }: Part): void {
    this.#parts.add({ kind, flags, slot, bytes: bytes.length, data: BigInt(this.#data.place(bytes)), wanted, address });
  }

  #use({ at, symbol, width, addend, ended }: Use, parts: readonly PlacedPart[]): void {
    const flags = ended ? PlanUseFlag.ENDED : 0;
    if (at === FRAME_AT.fd || at === FRAME_AT.ret) {
      this.#uses.add({ symbol, width, in: at === FRAME_AT.fd ? PlanPlace.FD : PlanPlace.RET, part: 0, offset: 0, flags, addend });
      return;
    }
    const p = partAt(parts, at);
    if (p !== undefined && p.index >= 0)
      this.#uses.add({ symbol, width, in: PlanPlace.PART, part: p.index, offset: at - p.start, flags, addend });
  }

  #define({ at, symbol, width }: Define, parts: readonly PlacedPart[]): void {
    // of the two places that say which descriptor an open gave, one will do
    if (at === FRAME_AT.fd || at === FRAME_AT.ret) {
      this.#defines.add({ symbol, width, in: at === FRAME_AT.fd ? PlanPlace.FD : PlanPlace.RET, part: 0, offset: 0 });
      return;
    }
    const p = partAt(parts, at);
    const offset = at - (p?.start ?? 0);
    if (p?.part.kind === PartKind.OUT) this.#defines.add({ symbol, width, in: PlanPlace.OUT, part: 0, offset });
    else if (p?.part.kind === PartKind.NESTED_OUT) this.#defines.add({ symbol, width, in: PlanPlace.NESTED, part: p.part.slot, offset });
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
    const holes = new Rows(PLAN_RECORDS.hole);
    const regions = program.regions.map((r): PlanRecord<'region'> => {
      const hole = holes.length;
      for (const h of r.holes) holes.add(h);
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
      processes: Rows.of(
        PLAN_RECORDS.process,
        program.processes.map((p) => {
          const forkStep = places.get(p.forkStep) ?? -1;
          return { parent: forkStep < 0 ? -1 : p.parent, forkStep, image: p.image, threads: p.threads.length, symbol: p.symbol };
        }),
      ),
      symbols: Rows.of(
        PLAN_RECORDS.symbol,
        program.symbols.map((s) => symbolRecord(s, this.#memoriesOf)),
      ),
      regions: Rows.of(PLAN_RECORDS.region, regions),
      holes,
      steps: this.#steps,
      parts: this.#parts,
      uses: this.#uses,
      defines: this.#defines,
      overlaps: this.#overlaps,
      ends: this.#ends,
      memories: this.#memories,
      data: this.#data.bytes,
    };
  }
}

function symbolRecord(s: ProgramSymbol, { fileBytes, filePages }: Memories): PlanRecord<'symbol'> {
  const foreign = s.sort === 'fd' && s.step < 0;
  const what = s.sort === 'nothing' ? PlanSort[s.type as 'object' | 'fd' | 'cookie'] : foreign ? (FOREIGN[s.type] ?? PlanFile.NOTHING) : 0;
  const bytes = fileBytes.get(s.index) ?? (s.bytes > 0n ? ((s.bytes + PAGE - 1n) / PAGE) * PAGE : MEMFD_BYTES);
  return {
    sort: PlanSort[s.sort],
    what: what ?? PlanSort.object,
    pageShift: what === PlanFile.MEMORY ? Math.log2(Number(filePages.get(s.index) ?? 1n)) : 0,
    context: s.context,
    value: BigInt.asUintN(64, unbound(s)),
    bytes: foreign ? bytes : 0n,
    region: s.region,
    process: s.process,
  };
}
