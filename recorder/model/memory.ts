/**
 * Which memory is behind an address: what the kernel's rules leave open because a log does not show it. A place is memory
 * that two processes, or a process and a file, have in common (a key and an offset in it), or memory of one process alone.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statfsSync, writeSync } from 'node:fs';
import { higher, lower, PAGE } from '../../hw/iommufd/areas.ts';
import type { Area, Context, Ioas, Kernel, OpenFile, Pages, Range } from '../../hw/iommufd/state.ts';
import { fileBehind, frames, lives, type Mapped, mappingsOf, readMemory, sharedName, writeMemory } from './processes.ts';

const TMPFS = 0x01021994;
const HUGETLBFS = 0x958458f6;

/** Some bytes that lie together. */
export interface Stretch {
  /** what it is part of: a shared file or memory, or one process's own */
  readonly key: string;
  readonly at: bigint;
  readonly length: bigint;
}

/** A file of the program that is none of the model's: memfd, hugetlb, anything. */
interface Foreign {
  readonly open: OpenFile;
  readonly fd: number;
  readonly name: string;
  /** pages of it can be pinned */
  readonly memory: boolean;
}

export class ProgramMemory {
  readonly #foreign = new Map<string, Foreign>();
  readonly #byNumber = new Map<number, Foreign>();
  /** shared memory of processes that have ended: where their pages are */
  readonly #remembered = new WeakMap<Pages, Stretch[]>();
  /** one look at a process serves a whole call */
  #maps = new Map<number, Mapped[] | undefined>();
  #next = -2;

  /** A new call: processes may have changed. */
  refresh(): void {
    if (this.#maps.size > 0) this.#maps = new Map();
  }

  close(): void {
    for (const f of this.#foreign.values()) if (f.fd >= 0) closeSync(f.fd);
  }

  /** The program's own file behind a descriptor; undefined: none. */
  foreign(pid: number, fd: number): OpenFile | undefined | 'unknown' {
    const st = fileBehind(pid, fd);
    if (st === undefined || st === 'unknown') return st;
    const name = sharedName(st);
    let known = this.#foreign.get(name);
    if (known === undefined) {
      const file = this.#open(pid, fd);
      known = { open: { file: this.#next--, kind: 'other', context: undefined, object: undefined }, name, ...file };
      this.#foreign.set(name, known);
      this.#byNumber.set(known.open.file, known);
    }
    return known.open;
  }

  #open(pid: number, fd: number): { fd: number; memory: boolean } {
    const path = `/proc/${pid}/fd/${fd}`;
    try {
      const type = Number(BigInt.asUintN(32, BigInt(statfsSync(path).type)));
      const memory = type === TMPFS || type === HUGETLBFS;
      return { fd: memory ? openSync(path, 'r+') : -1, memory };
    } catch {
      return { fd: -1, memory: false };
    }
  }

  /** May this range of a file be pinned? */
  pinnable(file: number | undefined, start: bigint, length: bigint): boolean {
    const f = file === undefined ? undefined : this.#byNumber.get(file);
    return f?.memory === true && (f.fd < 0 || start + length <= ((BigInt(fstatSync(f.fd).size) + PAGE - 1n) / PAGE) * PAGE);
  }

  #mapsOf(pid: number): Mapped[] | undefined {
    if (!this.#maps.has(pid)) this.#maps.set(pid, mappingsOf(pid));
    return this.#maps.get(pid);
  }

  /** What is behind addresses of a process; undefined where something of it is not mapped. */
  behind(pid: number, address: bigint, length: bigint): Stretch[] | undefined {
    const maps = this.#mapsOf(pid);
    if (maps === undefined) return undefined;
    const found: Stretch[] = [];
    let at = address;
    const end = address + length;
    for (const m of maps) {
      if (m.end <= at) continue;
      if (at >= end || m.start > at) break;
      const stop = lower(end, m.end);
      found.push(
        m.shared === ''
          ? { key: `process ${pid}`, at, length: stop - at }
          : { key: m.shared, at: m.offset + (at - m.start), length: stop - at },
      );
      at = stop;
    }
    return at >= end ? found : undefined;
  }

  /** What is behind a part of an area, `from` and `length` in bytes of its pages; undefined where it is gone. */
  ofPages(pages: Pages, from: bigint, length: bigint): Stretch[] | undefined {
    const start = pages.start + from;
    if (pages.kind === 'dmabuf') return [{ key: `dmabuf ${pages.file}`, at: start, length }];
    if (pages.kind === 'file') {
      const f = pages.file === undefined ? undefined : this.#byNumber.get(pages.file);
      return f === undefined ? undefined : [{ key: f.name, at: start, length }];
    }
    const remembered = this.#remembered.get(pages);
    return remembered === undefined ? this.behind(pages.process, start, length) : cut(remembered, from, length);
  }

  /** A process ends, or becomes another program: where its pages were that stay pinned is looked up while it is there. */
  remember(kernel: Kernel, pid: number): void {
    for (const { area, ioas } of areasOf(kernel)) {
      const { pages } = area;
      if (pages.kind !== 'user' || pages.process !== pid || this.#remembered.has(pages) || !pinned(area, ioas)) continue;
      const found = this.behind(pid, pages.start, pages.length);
      if (found !== undefined) this.#remembered.set(pages, found);
    }
  }
  /** It has ended: its number may be another's soon. */
  forget(kernel: Kernel, pid: number): void {
    for (const { area } of areasOf(kernel)) if (area.pages.kind === 'user' && area.pages.process === pid) area.pages.process = -1;
  }

  /** Does a range lie together in physical memory? Who may not see frames goes by whether it is of huge pages. */
  together(pages: Pages, address: bigint, length: bigint): boolean {
    if (pages.kind !== 'user') return false;
    const count = Number(length / PAGE);
    const all = frames(pages.process, address, count);
    if (all === undefined) return false;
    if (all[0] !== 0n) return all[0]! % BigInt(count) === 0n && all.every((frame, i) => frame === all[0]! + BigInt(i));
    return this.#mapsOf(pages.process)?.some((m) => m.huge && m.start <= address && address + length <= m.end) === true;
  }

  /** Is the memory of these pages within reach: the process lives, or what it had is known? */
  reachable(pages: Pages): boolean {
    return pages.kind !== 'user' || this.#remembered.has(pages) || lives(pages.process);
  }

  /** An address where a process has this stretch of shared memory. */
  within(pid: number, s: Stretch): bigint | undefined {
    if (s.key === `process ${pid}`) return s.at;
    const m = this.#mapsOf(pid)?.find((x) => x.shared === s.key && x.offset <= s.at && s.at + s.length <= x.offset + (x.end - x.start));
    return m === undefined ? undefined : m.start + (s.at - m.offset);
  }

  /** Bytes of a stretch that the calling process does not have itself: of another process, or of a file. */
  read(s: Stretch): Uint8Array | undefined {
    const file = this.#foreign.get(s.key);
    if (file !== undefined && file.fd >= 0) {
      const bytes = Buffer.alloc(Number(s.length));
      readSync(file.fd, bytes, 0, bytes.length, s.at);
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const pid = processOf(s.key);
    return pid === undefined ? undefined : readMemory(pid, s.at, Number(s.length));
  }
  /** Bytes of pages that are pinned, `from` in bytes of them; undefined where they are gone, or cannot be read. */
  readPages(pages: Pages, from: bigint, length: number): Uint8Array | undefined {
    // of a process that lives its memory need not be looked up
    if (pages.kind === 'user' && pages.process >= 0 && !this.#remembered.has(pages))
      return readMemory(pages.process, pages.start + from, length);
    const parts = this.ofPages(pages, from, BigInt(length))?.map((s) => this.read(s));
    return parts === undefined || parts.includes(undefined) ? undefined : Buffer.concat(parts as Uint8Array[]);
  }
  write(s: Stretch, bytes: Uint8Array): boolean {
    const file = this.#foreign.get(s.key);
    if (file !== undefined && file.fd >= 0) return writeSync(file.fd, bytes, 0, bytes.length, Number(s.at)) === bytes.length;
    const pid = processOf(s.key);
    return pid !== undefined && writeMemory(pid, s.at, bytes);
  }

  /** How often each page of some stretches is pinned; pages of one IOMMU_IOAS_MAP count once. */
  pins(kernel: Kernel, wanted: readonly Stretch[]): Map<string, number> {
    const counts = new Map<string, Set<Pages>>();
    for (const { area, ioas } of areasOf(kernel))
      for (const r of pinnedRanges(area, ioas)) {
        const from = ((area.offset + (r.start - area.start) + skew(area)) / PAGE) * PAGE - skew(area);
        const there = this.ofPages(area.pages, from, area.offset + (r.last - area.start) + 1n - from);
        for (const s of there ?? [])
          for (const w of wanted) {
            if (w.key !== s.key) continue;
            for (let at = (higher(w.at, s.at) / PAGE) * PAGE; at < lower(w.at + w.length, s.at + s.length); at += PAGE) {
              const key = `${s.key} ${at}`;
              counts.set(key, (counts.get(key) ?? new Set()).add(area.pages));
            }
          }
      }
    return new Map([...counts].map(([key, all]) => [key, all.size]));
  }
}

/** Where in a page the pages of an area begin. */
const skew = (area: Area): bigint => area.pages.start % PAGE;

function processOf(key: string): number | undefined {
  return key.startsWith('process ') ? Number(key.slice(8)) : undefined;
}

/** A part of some stretches. */
function cut(all: readonly Stretch[], from: bigint, length: bigint): Stretch[] {
  const found: Stretch[] = [];
  let at = 0n;
  for (const s of all) {
    const start = higher(from, at);
    const end = lower(from + length, at + s.length);
    if (start < end) found.push({ key: s.key, at: s.at + (start - at), length: end - start });
    at += s.length;
  }
  return found;
}

export function* areasOf(kernel: Kernel): Generator<{ readonly area: Area; readonly ioas: Ioas }> {
  for (const context of kernel.contexts.values()) yield* areasOfContext(context);
}
function* areasOfContext(context: Context): Generator<{ readonly area: Area; readonly ioas: Ioas }> {
  for (const o of context.objects.values()) if (o.type === 'IOAS') for (const area of o.areas) yield { area, ioas: o };
}

const pinned = (area: Area, ioas: Ioas): boolean => ioas.hwpts.length > 0 || area.pins.length > 0;

/** Parts of an area whose pages are pinned: all of it where a page table has it. */
function pinnedRanges(area: Area, ioas: Ioas): Range[] {
  if (ioas.hwpts.length > 0) return [area];
  return area.pins.map((p) => ({ start: higher(p.start, area.start), last: lower(p.last, area.last) }));
}

/** A file with these bytes, for a region that programs map. */
export function makeRegion(path: string, length: number, word: number): void {
  const fd = openSync(path, 'wx+', 0o600);
  try {
    ftruncateSync(fd, length);
    const b = Buffer.alloc(4);
    b.writeUInt32LE(word >>> 0);
    writeSync(fd, b, 0, 4, 0);
  } finally {
    closeSync(fd);
  }
}
