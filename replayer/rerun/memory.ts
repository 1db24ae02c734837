/**
 * What a recording tells of memory beside what its calls were given: by following the IOVA areas, what was in pages that the
 * kernel read through an IOAS, which of them belong to a file, and where something must have been out of reach.
 */
import { errnoNumber } from '../../hw/errno.ts';
import { type DialectName, uapiTable } from '../../hw/uapi/table.ts';
import type { Struct } from '../../hw/uapi/types.ts';
import { Kind, PartKind } from '../../store/frame.ts';
import type { Area, AreaTree } from '../areas.ts';
import { Folder } from '../decide.ts';
import { spaceOf } from '../diff/meaning/links.ts';
import { EventBytes } from '../event.ts';
import { planOf } from '../plan.ts';
import { Fields } from '../program/fields.ts';
import { type Program, type Region, type Step, symbolAt } from '../program/program.ts';
import { contextOfFile, emptyState, objectById } from '../state.ts';
import { type U64, u64 } from '../u64.ts';
import { backingOf, HugeRanges } from './backing.ts';
import type { MemoryAt } from './memory-at.ts';
import { PlanHow } from './plan.ts';

export interface Memories {
  readonly at: readonly MemoryAt[];
  /** bytes of files that no step makes, by symbol of the descriptor */
  readonly fileBytes: ReadonlyMap<number, bigint>;
  /** those of them that are of huge pages: bytes of a page */
  readonly filePages: ReadonlyMap<number, bigint>;
}

const PAGE = 4096n;
const EFAULT = errnoNumber('EFAULT');
const EINVAL = errnoNumber('EINVAL');
/** struct iommu_iova_range */
const RANGE_BYTES = 16;
/** enum of iommufd_test.h: IOMMU_TEST_OP_* */
const Op = { MD_CHECK_MAP: 3, ACCESS_PAGES: 7, ACCESS_RW: 8 } as const;
/** MOCK_ACCESS_RW_WRITE */
const WRITE = 1;
/** MOCK_FLAGS_ACCESS_SYZ, where an IOVA is the number of an area */
const BY_NUMBER = 0x1_0000;

/** Follows the whole program once. */
export function memoriesOf(program: Program): Memories {
  const reader = new Reader(program);
  for (const { index, buffer, offset } of framesIn(program)) reader.event(index, buffer, offset);
  // what was read first is stored last
  reader.at.push(...reader.mapped.reverse());
  reader.at.unshift(...reader.huge.finish(program, reader.at));
  reader.finish();
  return reader;
}

interface Placed {
  /** index of the step; -1: it is the return of one */
  readonly index: number;
  readonly seq: number;
  readonly buffer: Buffer;
  readonly offset: number;
}

function framesIn(program: Program): Placed[] {
  const all: Placed[] = [];
  let late = false;
  for (const [index, step] of program.steps.entries()) {
    const { split } = step;
    if (split === undefined) {
      all.push({ index, seq: step.seq, buffer: step.buffer, offset: step.offset });
      continue;
    }
    late = true;
    all.push({ index, seq: step.seq, buffer: split.entered, offset: 0 });
    if (split.seq > 0) all.push({ index: -1, seq: split.seq, buffer: split.back, offset: 0 });
  }
  return late ? all.sort((a, b) => a.seq - b.seq) : all;
}

class Reader implements Memories {
  readonly at: MemoryAt[] = [];
  readonly fileBytes = new Map<number, bigint>();
  readonly filePages = new Map<number, bigint>();
  readonly huge = new HugeRanges();
  /** files whose length the recorder has seen; undefined: it was not the same each time */
  readonly #seen = new Map<number, bigint | undefined>();
  /** what was read of memory of other processes than the one that read it: it is there when they map it */
  readonly mapped: MemoryAt[] = [];
  readonly #program: Program;
  readonly #folder: Folder;
  readonly #fields: Fields;
  readonly #event = new EventBytes();
  readonly #test: Struct | undefined;
  readonly #ranges: Struct | undefined;
  readonly #mapFile: { readonly request: number; readonly struct: Struct } | undefined;
  /** regions by image, ascending */
  readonly #regions = new Map<number, Region[]>();
  /** first step of each process */
  readonly #first = new Map<number, number>();
  /** files that are mapped already, by process, region and place */
  readonly #mapped = new Set<string>();
  /** sizes that calls which passed have shown */
  readonly #least = new Map<number, bigint>();

  constructor(program: Program) {
    this.#program = program;
    const table = uapiTable(program.dialect as DialectName);
    this.#folder = new Folder(planOf(table), emptyState(), false);
    this.#fields = new Fields(table);
    this.#test = table.byName('IOMMU_TEST_CMD')?.struct;
    this.#ranges = table.byName('IOMMU_IOAS_IOVA_RANGES')?.struct;
    const mapFile = table.byName('IOMMU_IOAS_MAP_FILE');
    this.#mapFile = mapFile?.struct === undefined ? undefined : { request: mapFile.request, struct: mapFile.struct };
    for (const r of program.regions) {
      const all = this.#regions.get(r.image) ?? [];
      all.push(r);
      this.#regions.set(r.image, all);
    }
    for (const all of this.#regions.values()) all.sort((a, b) => (a.start < b.start ? -1 : 1));
    for (const [i, step] of program.steps.entries()) if (!this.#first.has(step.process)) this.#first.set(step.process, i);
  }

  event(index: number, buffer: Buffer, offset: number): void {
    const e = this.#event;
    if (index >= 0 && e.read(buffer, offset) && e.kind === Kind.IOCTL && e.in.bytes >= 8) {
      const step = this.#program.steps[index]!;
      const name = this.#fields.command(e)?.name;
      if (name === 'IOMMU_TEST_CMD') this.#tested(index, step);
      else if (this.#mapFile !== undefined && name === 'IOMMU_IOAS_MAP_FILE') this.#sized(step, this.#mapFile.struct);
      else if (name === 'IOMMU_IOAS_IOVA_RANGES') this.#listed(index, step);
      if (step.error === EFAULT) this.#faulted(index, step);
      if (e.part(PartKind.TEXT, 0) !== undefined) this.#backed(step);
    }
    this.#folder.fold(buffer, offset);
  }

  /** Index of the step of an event; -1 none. */
  #stepOf(seq: number): number {
    const { steps } = this.#program;
    let [low, high] = [0, steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle]!.seq < seq) low = middle + 1;
      else high = middle;
    }
    return steps[low]?.seq === seq ? low : -1;
  }

  /** The region of a process's image that an address is in. */
  #region(step: Step, address: bigint): Region | undefined {
    const all = this.#regions.get(this.#program.processes[step.process]?.image ?? 0) ?? [];
    let [low, high] = [0, all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (all[middle]!.start <= address) low = middle + 1;
      else high = middle;
    }
    const r = all[low - 1];
    return r !== undefined && address < r.start + r.bytes ? r : undefined;
  }

  #u64(name: string): U64 {
    const field = this.#test?.byName.get(name);
    return field === undefined || field.offset + 8 > this.#event.in.bytes ? u64(0n) : this.#event.u64(this.#event.in, field.offset);
  }
  #u32(name: string): number {
    const field = this.#test?.byName.get(name);
    return field === undefined || field.offset + 4 > this.#event.in.bytes ? 0 : this.#event.u32(this.#event.in, field.offset);
  }

  /** The areas of what an operation names: an object, or an access by its descriptor. */
  #areas(byFile: boolean): AreaTree | undefined {
    const e = this.#event;
    const { state } = this.#folder;
    const context = contextOfFile(state, e.file);
    const id = e.u32(e.in, 8);
    if (context === undefined) return undefined;
    const file = byFile ? state.files.get(state.fds.get(e.pid)?.get(id | 0) ?? 0) : undefined;
    const object = byFile ? (file === undefined ? undefined : context.objects.get(file.object)) : objectById(context, id);
    return object === undefined ? undefined : context.areas.get(spaceOf(context, object, 0));
  }

  #tested(index: number, step: Step): void {
    const e = this.#event;
    const op = e.u32(e.in, 4);
    if (step.error !== 0 || !step.returned) return;
    if (op === Op.ACCESS_RW) {
      if ((this.#u32('access_rw.flags') & (WRITE | BY_NUMBER)) === 0) this.#read(index, step);
    } else if (op === Op.MD_CHECK_MAP) this.#compared(step, false, 'check_map');
    else if (op === Op.ACCESS_PAGES && (this.#u32('access_pages.flags') & BY_NUMBER) === 0) this.#compared(step, true, 'access_pages');
  }

  /** Areas in a range of IOVAs, with the range of each in it. */
  *#in(
    areas: AreaTree | undefined,
    iova: bigint,
    bytes: bigint,
  ): Generator<{ readonly area: Area; readonly from: bigint; readonly to: bigint }> {
    const end = iova + bytes;
    for (let at = iova; at < end; ) {
      const area = areas?.floor(u64(at));
      if (area === undefined || BigInt(area.last) < at) return;
      const to = BigInt(area.last) + 1n < end ? BigInt(area.last) + 1n : end;
      yield { area, from: at, to };
      at = to;
    }
  }

  /** What the kernel read through an access was there. */
  #read(index: number, step: Step): void {
    const [iova, length] = [BigInt(this.#u64('access_rw.iova')), BigInt(this.#u64('access_rw.length'))];
    const slot = this.#test?.byName.get('access_rw.uptr')?.offset ?? -1;
    const out = step.parts.find((p) => p.kind === PartKind.NESTED_OUT && p.slot === slot)?.bytes;
    if (out === undefined || BigInt(out.length) < length) return;
    for (const { area, from, to } of this.#in(this.#areas(true), iova, length)) {
      const data = out.subarray(Number(from - iova), Number(to - iova));
      if (area.kind === 'file') {
        const file = this.#foreign(step, area);
        const offset = BigInt(area.source) + from - BigInt(area.start);
        if (file >= 0) this.#tell({ step: index, how: PlanHow.IN_FILE, symbol: file, offset, bytes: to - from, data });
      }
      if (area.kind !== 'memory') continue;
      const address = BigInt(area.source) + from - BigInt(area.start);
      const mapper = this.#stepOf(area.seq);
      const other = mapper >= 0 && this.#program.steps[mapper]!.process !== step.process;
      const region = this.#region(other ? this.#program.steps[mapper]! : step, address);
      if (region === undefined || address + to - from > region.start + region.bytes) continue;
      const told = { how: PlanHow.BYTES, symbol: region.symbol, offset: address - region.start, bytes: to - from, data };
      if (other) this.mapped.push({ step: mapper, ...told, file: 0, fileOffset: 0n });
      else this.#tell({ step: index, ...told });
    }
  }

  /** What was in a list of ranges before the call is there behind those that it told of. */
  #listed(index: number, step: Step): void {
    const struct = this.#ranges;
    const list = struct?.byName.get('allowed_iovas')?.offset ?? -1;
    const count = struct?.byName.get('num_iovas')?.offset ?? -1;
    const e = this.#event;
    const bytes = step.parts.find((p) => p.kind === PartKind.NESTED_OUT && p.slot === list)?.bytes;
    if (bytes === undefined || e.out.bytes < list + 8) return;
    const [told, address] = [RANGE_BYTES * e.u32(e.out, count), BigInt(e.u64(e.in, list))];
    const region = this.#region(step, address);
    const data = bytes.subarray(told);
    if (region === undefined || data.length === 0 || address + BigInt(bytes.length) > region.start + region.bytes) return;
    const offset = address - region.start + BigInt(told);
    this.#tell({ step: index, how: PlanHow.BYTES, symbol: region.symbol, offset, bytes: BigInt(data.length), data });
  }

  /** Memory that was found to be the same pages as a file's is a mapping of it. */
  #compared(step: Step, byFile: boolean, arm: string): void {
    const [iova, length] = [BigInt(this.#u64(`${arm}.iova`)), BigInt(this.#u64(`${arm}.length`))];
    const uptr = BigInt(this.#u64(`${arm}.uptr`));
    for (const { area, from, to } of this.#in(this.#areas(byFile), iova, length)) {
      if (area.kind !== 'file') continue;
      const fileOffset = BigInt(area.source) + from - BigInt(area.start);
      const address = uptr + from - iova;
      if (address % PAGE !== fileOffset % PAGE) continue;
      const start = address - (address % PAGE);
      const region = this.#region(step, start);
      const file = this.#foreign(step, area);
      if (region === undefined || file < 0) continue;
      const end = address + to - from;
      const bytes = ((end - start + PAGE - 1n) / PAGE) * PAGE;
      const first = this.#first.get(step.process)!;
      const key = `${step.process}/${region.index}/${start}/${bytes}`;
      if (start + bytes > region.start + region.bytes || this.#mapped.has(key)) continue;
      this.#mapped.add(key);
      const place = { offset: start - region.start, bytes, file, fileOffset: fileOffset - (fileOffset % PAGE) };
      this.#tell({ step: first, how: PlanHow.FILE, symbol: region.symbol, ...place });
    }
  }

  /** The symbol of the descriptor that a MAP_FILE names, where no step makes it; -1 none. */
  #fileOf(step: Step): number {
    const fd = this.#mapFile?.struct.byName.get('fd')?.offset;
    const use = fd === undefined || step.request !== this.#mapFile?.request ? undefined : symbolAt(step, PartKind.IN, 0, fd);
    const s = use === undefined ? undefined : this.#program.symbols[use.symbol];
    return s !== undefined && s.sort === 'fd' && s.step < 0 ? s.index : -1;
  }

  /** The same of an area, for a step of the process that made it. */
  #foreign(step: Step, { seq, fd }: Area): number {
    const { symbols, steps } = this.#program;
    const mapper = steps[this.#stepOf(seq)];
    if (mapper !== undefined && mapper.request === this.#mapFile?.request)
      return mapper.process === step.process ? this.#fileOf(mapper) : -1;
    return symbols.findIndex((s) => s.sort === 'fd' && s.step < 0 && s.process === step.process && s.recorded === BigInt(fd));
  }

  /** How long a file is: what fits passes, what does not is EINVAL (drivers/iommu/iommufd/pages.c, memfd_pin_folios). */
  #sized(step: Step, struct: Struct): void {
    const e = this.#event;
    const at = (name: string): number => struct.byName.get(name)?.offset ?? e.in.bytes;
    if (e.in.bytes < struct.size || (step.error !== 0 && step.error !== EINVAL)) return;
    const file = this.#fileOf(step);
    const end = BigInt(e.u64(e.in, at('start'))) + BigInt(e.u64(e.in, at('length')));
    if (file < 0 || end % PAGE !== 0n || end === 0n) return;
    const least = this.#least.get(file) ?? 0n;
    if (step.error === 0) {
      if (end > least) this.#least.set(file, end);
      if (end > (this.fileBytes.get(file) ?? end)) this.fileBytes.delete(file);
    } else if (end - PAGE >= least && end - PAGE < (this.fileBytes.get(file) ?? end)) this.fileBytes.set(file, end - PAGE);
  }

  /** What the recorder has seen of what a call maps. */
  #backed(step: Step): void {
    const e = this.#event;
    const backing = backingOf(e.text(0));
    if (backing === undefined) return;
    if (backing.fileBytes === undefined) {
      for (const { address, bytes } of this.#mapping()) {
        const region = this.#region(step, address);
        if (region !== undefined) this.huge.tell(step.process, region, address, bytes, backing);
      }
      return;
    }
    const file = this.#fileOf(step);
    if (file < 0) return;
    const same = !this.#seen.has(file) || this.#seen.get(file) === backing.fileBytes;
    this.#seen.set(file, same ? backing.fileBytes : undefined);
    if (backing.page > PAGE) this.filePages.set(file, backing.page);
  }

  /** What the call wants to be mapped of memory. */
  #mapping(): readonly { readonly address: bigint; readonly bytes: bigint }[] {
    const e = this.#event;
    const command = this.#fields.command(e);
    const forms = command === undefined ? undefined : this.#fields.of(command);
    if (forms === undefined) return [];
    const found: { readonly address: bigint; readonly bytes: bigint }[] = [];
    this.#fields.asked(e, forms, {
      field: () => undefined,
      pointer: (f, _at, value, bytes) => {
        if (f.field.nested?.dir === 'mapped' && bytes > 0 && Number.isSafeInteger(bytes))
          found.push({ address: BigInt(value), bytes: BigInt(bytes) });
      },
    });
    return found;
  }

  /** How long files are: of one that changed it calls tell better. What is a file's by single pages must be of such. */
  finish(): void {
    for (const [file, bytes] of this.#seen) {
      if (bytes === undefined) this.filePages.delete(file);
      else this.fileBytes.set(file, bytes);
    }
    for (const m of this.at) if (m.how === PlanHow.FILE) this.filePages.delete(m.file);
  }

  /** A call that maps memory failed on it: its last page was not there, as far as other calls do not say better. */
  #faulted(index: number, step: Step): void {
    for (const { address, bytes } of this.#mapping()) {
      const end = address + bytes;
      const page = end - 1n - ((end - 1n) % PAGE);
      const region = this.#region(step, page);
      if (region === undefined || region.backing === 'nothing') continue;
      const [from, to] = [address - region.start, end - region.start];
      if (region.holes.some((h) => h.offset < to && h.offset + h.bytes > from)) continue;
      this.#tell({ step: index, how: PlanHow.AWAY, symbol: region.symbol, offset: page - region.start, bytes: PAGE });
    }
  }

  #tell(m: Omit<MemoryAt, 'data' | 'file' | 'fileOffset'> & Partial<MemoryAt>): void {
    this.at.push({ data: new Uint8Array(), file: 0, fileOffset: 0n, ...m });
  }
}
