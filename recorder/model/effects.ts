/**
 * What a call does with memory, and what the rules leave open because of it: whether pages can be pinned, what they hold,
 * which of them are dirty. An effect gives the errno that the call ends with after all, '' for none.
 */
import { BY_INDEX, indexedIova } from '../../hw/iommufd/access.ts';
import { covering, higher, lower, PAGE, touching } from '../../hw/iommufd/areas.ts';
import type { Answer, Request } from '../../hw/iommufd/call.ts';
import { baseField } from '../../hw/iommufd/hw-queue.ts';
import type { Model } from '../../hw/iommufd/model.ts';
import { PHYSICAL } from '../../hw/iommufd/reasons.ts';
import type { Area, Ioas, KObject, OpenFile, Range } from '../../hw/iommufd/state.ts';
import type { Command } from '../../hw/uapi/types.ts';
import { areasOf, type ProgramMemory, type Stretch } from './memory.ts';
import { CAP_SYS_RESOURCE, frames, hasCapability } from './processes.ts';
import type { ModelCall, Step } from './protocol.ts';

/** A successful call, before it is answered. */
export class Effect {
  readonly model: Model;
  readonly memory: ProgramMemory;
  readonly call: ModelCall;
  readonly request: Request;
  readonly command: Command;
  readonly answer: Answer;
  /** lets the program do something before the answer; false where it could not */
  readonly ask: (steps: readonly Step[]) => boolean;
  /** the struct as it will be written back */
  readonly out: Uint8Array | undefined;
  /** what the program does with its memory, in order, before the struct is written */
  readonly steps: Step[] = [];
  readonly #view: DataView;

  constructor(parts: Pick<Effect, 'model' | 'memory' | 'call' | 'request' | 'command' | 'answer' | 'ask'>) {
    this.model = parts.model;
    this.memory = parts.memory;
    this.call = parts.call;
    this.request = parts.request;
    this.command = parts.command;
    this.answer = parts.answer;
    this.ask = parts.ask;
    this.out = parts.answer.out?.slice();
    const whole = new Uint8Array(Math.max(parts.command.struct?.size ?? 0, 8));
    whole.set(parts.request.struct.bytes.subarray(0, whole.length));
    this.#view = new DataView(whole.buffer);
  }

  at(field: string): number {
    return this.model.table.offsetOf(this.command.name, field);
  }
  u32(field: string): number {
    return this.#view.getUint32(this.at(field), true);
  }
  u64(field: string): bigint {
    return this.#view.getBigUint64(this.at(field), true);
  }
  object(field: string): KObject | undefined {
    return this.request.file.context?.objects.get(this.u32(field));
  }
  /** An output, as far as the program's struct reaches. */
  set(field: string, value: bigint): void {
    const { out } = this;
    const at = this.at(field);
    const width = this.model.table.widthOf(this.command.name, field);
    if (out === undefined) return;
    for (let i = 0; i < width && at + i < out.length; i++) out[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  put(address: bigint, bytes: Uint8Array): void {
    this.steps.push({ what: 'put', address, bytes });
  }
}

type Rule = (e: Effect) => string;

const WRITE = 2;

// ---- pinning

/** Pages of areas that a page table gets now. */
function pin(e: Effect, areas: readonly Area[]): string {
  const steps: Step[] = [];
  for (const { pages, offset, start, last, write } of areas) {
    const length = last - start + 1n;
    if (pages.kind === 'file' && !e.memory.pinnable(pages.file, pages.start + offset, length)) return 'EINVAL';
    if (pages.kind !== 'user') continue;
    if (pages.process === e.call.pid) steps.push({ what: 'fault-in', address: pages.start + offset, bytes: length, write });
    // what is pinned already by another mapping of the same pages stays
    else if (!e.memory.reachable(pages) || e.memory.ofPages(pages, offset, length) === undefined) return 'EFAULT';
  }
  return steps.length === 0 || e.ask(steps) ? '' : 'EFAULT';
}

const whole = (e: Effect, start: bigint, length: bigint, write: boolean): string =>
  e.ask([{ what: 'fault-in', address: start, bytes: length, write }]) ? '' : 'EFAULT';

const map: Rule = (e) => {
  const ioas = e.object('ioas_id');
  if (ioas?.type !== 'IOAS' || ioas.hwpts.length === 0) return '';
  return whole(e, e.u64('user_va'), e.u64('length'), (e.u32('flags') & WRITE) !== 0);
};

const mapDma: Rule = (e) => {
  const ioas = e.request.file.context?.compat;
  if (ioas === undefined || ioas.hwpts.length === 0) return '';
  return whole(e, e.u64('vaddr'), e.u64('size'), (e.u32('flags') & WRITE) !== 0);
};

const mapFile: Rule = (e) => {
  const ioas = e.object('ioas_id');
  if (ioas?.type !== 'IOAS' || ioas.hwpts.length === 0) return '';
  const file = e.request.fileOf(e.u32('fd') | 0);
  if (file === undefined || file === 'unknown' || file.kind === 'dmabuf') return '';
  return e.memory.pinnable(file.file, e.u64('start'), e.u64('length')) ? '' : 'EINVAL';
};

const copy: Rule = (e) => {
  const [from, to] = [e.object('src_ioas_id'), e.object('dst_ioas_id')];
  if (from?.type !== 'IOAS' || to?.type !== 'IOAS' || to.hwpts.length === 0 || from.hwpts.length > 0) return '';
  const given = e.u64('src_iova');
  const start = e.u32('flags') & BY_INDEX ? indexedIova({ ioas: from }, given) : given;
  return pin(e, covering(from, { start, last: start + e.u64('length') - 1n }) ?? []);
};

/** A page table is made for an IOAS that may have mappings already. */
const join =
  (field: string): Rule =>
  (e) => {
    const ioas = e.object(field);
    return ioas?.type === 'IOAS' && ioas.hwpts.length === 0 ? pin(e, ioas.areas) : '';
  };

/** Pages of a queue must lie together in physical memory; who may not see frames is believed. */
const queue: Rule = (e) => {
  if (e.answer.mayBe('EFAULT') !== PHYSICAL) return '';
  const viommu = e.object('viommu_id');
  if (viommu?.type !== 'VIOMMU') return '';
  const base = e.u64(baseField(e));
  const range = { start: (base / PAGE) * PAGE, last: ((base + e.u64('length') + PAGE - 1n) / PAGE) * PAGE - 1n };
  let before = 0n;
  for (const area of touching(viommu.parent.ioas, range)) {
    const { pages } = area;
    if (pages.kind === 'dmabuf') return 'EINVAL';
    if (pages.kind !== 'user') continue;
    const start = higher(area.start, range.start);
    const last = lower(area.last, range.last);
    const address = pages.start + area.offset + (start - area.start);
    if (address % PAGE !== 0n) return 'EINVAL';
    for (const frame of frames(pages.process, address, Number((last - start) / PAGE) + 1) ?? []) {
      if (before !== 0n && frame !== 0n && frame !== before + 1n) return 'EFAULT';
      before = frame;
    }
  }
  return '';
};

// ---- the mock driver's look at memory

const samePage = (a: readonly Stretch[] | undefined, b: readonly Stretch[] | undefined): boolean =>
  a?.[0] !== undefined && b?.[0] !== undefined && a[0].key === b[0].key && a[0].at === b[0].at;

/** The mock driver finds the pages of the program's memory: EFAULT where there are none. */
const looked = (address: bigint, length: bigint): Step => ({ what: 'fault-in', address, bytes: length, write: false });

/** Page by page: is what is mapped at `iova` what the program has at `address`? */
function compare(e: Effect, ioas: Ioas, range: Range, address: bigint): 'same' | 'other' | 'hole' {
  const { pid } = e.call;
  let next = range.start;
  for (const area of touching(ioas, range)) {
    if (area.start > next) return 'hole';
    const stop = lower(area.last, range.last);
    const { pages } = area;
    const own = pages.start + area.offset - area.start;
    if (!(pages.kind === 'user' && pages.process === pid && own + next === address + (next - range.start)))
      for (let at = next; at <= stop; at += PAGE - ((own + at) % PAGE)) {
        const there = e.memory.ofPages(pages, area.offset + (at - area.start), 1n);
        if (!samePage(there, e.memory.behind(pid, address + (at - range.start), 1n))) return 'other';
      }
    next = stop + 1n;
  }
  return next > range.last ? 'same' : 'hole';
}

const checkMap: Rule = (e) => {
  const hwpt = e.object('id');
  const [start, length] = [e.u64('check_map.iova'), e.u64('check_map.length')];
  if (hwpt?.type !== 'HWPT_PAGING' || length === 0n) return '';
  const address = e.u64('check_map.uptr');
  e.steps.push(looked(address, length));
  return compare(e, hwpt.ioas, { start, last: start + length - 1n }, address) === 'same' ? '' : 'EINVAL';
};

const checkRefs: Rule = (e) => {
  const [address, length, refs] = [e.u64('check_refs.uptr'), e.u64('check_refs.length'), e.u32('check_refs.refs')];
  if (length === 0n) return '';
  const { kernel } = e.model;
  e.steps.push(looked(address, length));
  if (areasOf(kernel).next().done === true) return refs === 0 ? '' : 'EIO';
  const wanted = e.memory.behind(e.call.pid, address, length);
  if (wanted === undefined) return 'EFAULT';
  const pins = e.memory.pins(kernel, wanted);
  for (const w of wanted)
    for (let at = w.at; at < w.at + w.length; at += PAGE) if ((pins.get(`${w.key} ${at}`) ?? 0) !== refs) return 'EIO';
  return '';
};

/** The access that a call names, and where it goes. */
function accessOf(e: Effect, arm: string): { iova: bigint; ioas: Ioas } | undefined {
  const file: OpenFile | undefined | 'unknown' = e.request.fileOf(e.u32('id') | 0);
  if (file === undefined || file === 'unknown' || file.object?.type !== 'ACCESS' || file.object.ioas === undefined) return undefined;
  const given = e.u64(`${arm}.iova`);
  return { iova: e.u32(`${arm}.flags`) & BY_INDEX ? indexedIova(file.object, given) : given, ioas: file.object.ioas };
}

/** Parts of areas under a range, in order. */
function* parts(ioas: Ioas, range: Range): Generator<{ readonly area: Area; readonly start: bigint; readonly last: bigint }> {
  for (const area of touching(ioas, range))
    yield {
      area,
      start: higher(area.start, range.start),
      last: lower(area.last, range.last),
    };
}

const accessPages: Rule = (e) => {
  const found = accessOf(e, 'access_pages');
  if (found === undefined) return '';
  const { iova, ioas } = found;
  const [start, length] = [(iova / PAGE) * PAGE, e.u64('access_pages.length')];
  const last = ((iova + length + PAGE - 1n) / PAGE) * PAGE - 1n;
  const range = { start: iova, last: iova + length - 1n };
  const rule = pin(
    e,
    [...parts(ioas, range)].map(({ area, start: from, last: to }) => ({
      ...area,
      start: from,
      last: to,
      offset: area.offset + (from - area.start),
    })),
  );
  if (rule !== '') return rule;
  const address = e.u64('access_pages.uptr');
  if (address === 0n) return '';
  e.steps.push(looked(address - (iova - start), last - start + 1n));
  return compare(e, ioas, { start, last }, address - (iova - start)) === 'other' ? 'EBADE' : '';
};

const accessRw: Rule = (e) => {
  const found = accessOf(e, 'access_rw');
  const length = e.u64('access_rw.length');
  if (found === undefined || length === 0n) return '';
  const write = (e.u32('access_rw.flags') & 1) !== 0;
  const uptr = e.u64('access_rw.uptr');
  const given = write ? e.request.nested(e.at('access_rw.uptr')) : undefined;
  if (write && (given === undefined || given.bytes.length < Number(length))) return 'EFAULT';
  const range = { start: found.iova, last: found.iova + length - 1n };
  for (const { area, start, last } of parts(found.ioas, range)) {
    const { pages } = area;
    // the program's own memory: it need not be looked for
    if (pages.kind === 'user' && pages.process === e.call.pid) {
      const [within, own] = [pages.start + area.offset + (start - area.start), uptr + (start - range.start)];
      e.steps.push({ what: 'copy', to: write ? within : own, from: write ? own : within, bytes: last - start + 1n });
      continue;
    }
    const there = e.memory.ofPages(area.pages, area.offset + (start - area.start), last - start + 1n);
    if (there === undefined) return 'EFAULT';
    let own = uptr + (start - range.start);
    for (const s of there) {
      const done = moved(e, s, own, write, given?.bytes.subarray(Number(own - uptr), Number(own - uptr + s.length)));
      if (!done) return 'EFAULT';
      own += s.length;
    }
  }
  return '';
};

/** Bytes go between the program's buffer and a stretch. The program does it where it has both; else it is done here. */
function moved(e: Effect, s: Stretch, own: bigint, write: boolean, given: Uint8Array | undefined): boolean {
  const within = e.memory.within(e.call.pid, s);
  if (within !== undefined) {
    e.steps.push({ what: 'copy', to: write ? within : own, from: write ? own : within, bytes: s.length });
    return true;
  }
  if (write) return given !== undefined && e.memory.write(s, given);
  const bytes = e.memory.read(s);
  if (bytes === undefined) return false;
  e.put(own, bytes);
  return true;
}

// ---- the rest

const RLIMIT_MODE = 0;
const SET = 0;

const option: Rule = (e) => {
  const op = e.request.struct.bytes[e.at('op')];
  return e.u32('option_id') === RLIMIT_MODE && op === SET && !hasCapability(e.call.pid, CAP_SYS_RESOURCE) ? 'EPERM' : '';
};

const COMMANDS: Readonly<Record<string, Rule>> = {
  IOMMU_IOAS_MAP: map,
  IOMMU_IOAS_MAP_FILE: mapFile,
  IOMMU_IOAS_COPY: copy,
  IOMMU_HWPT_ALLOC: join('pt_id'),
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: join('pt_id'),
  IOMMU_HW_QUEUE_ALLOC: queue,
  IOMMU_VQUEUE_ALLOC: queue,
  IOMMU_VCMDQ_ALLOC: queue,
  IOMMU_OPTION: option,
  VFIO_IOMMU_MAP_DMA: mapDma,
};

const OPS: Readonly<Record<string, Rule>> = {
  IOMMU_TEST_OP_MOCK_DOMAIN: join('id'),
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS: join('id'),
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: join('mock_domain_replace.pt_id'),
  IOMMU_TEST_OP_MD_CHECK_MAP: checkMap,
  IOMMU_TEST_OP_MD_CHECK_REFS: checkRefs,
  IOMMU_TEST_OP_ACCESS_PAGES: accessPages,
  IOMMU_TEST_OP_ACCESS_RW: accessRw,
};

/** What the memory says to a call that the rules let pass: an errno after all, or ''. */
export function perform(e: Effect): string {
  const rule = e.command.name === 'IOMMU_TEST_CMD' ? OPS[e.model.table.testOp(e.u32('op'))?.name ?? ''] : COMMANDS[e.command.name];
  return rule === undefined ? '' : rule(e);
}
