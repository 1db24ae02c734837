/** What ids, descriptors, addresses and cookies stand for while a log is read: the symbols that they are now. */
import { Close, FileKind, Found, Kind, Start } from '../../store/frame.ts';
import type { Change } from '../change.ts';
import { spaceOf } from '../diff/meaning/links.ts';
import type { EventBytes } from '../event.ts';
import type { KernelObject, Uid } from '../object-types.ts';
import { type Context, contextOfFile, FILE_KINDS, objectById, type SessionState } from '../state.ts';
import { minus, plus, type U64 } from '../u64.ts';
import { Members } from './members.ts';
import { SymbolTable } from './symbols.ts';

/** A symbol, and how far from it. */
export interface Known {
  readonly symbol: number;
  readonly addend: bigint;
  readonly ended: boolean;
}

interface Mapped {
  readonly address: U64;
  readonly length: U64;
  readonly symbol: number;
}

/** An event, for the changes that it brings. */
export interface Event {
  readonly e: EventBytes;
  /** index of its step; of a return that of the call */
  readonly step: number;
  /** areas that it makes are where the kernel wanted them */
  readonly chose: boolean;
  /** symbols that end with it */
  readonly ends: number[];
  /** regions of the vIOMMUs that it makes */
  readonly regions: RegionSymbols[];
}

/** What tells of a region that mmap(2) takes. */
export interface RegionSymbols {
  readonly offset: number;
  readonly length: number;
}

const CLOSE_RANGE_CLOEXEC = 4;

const exactly = (symbol: number): Known => ({ symbol, addend: 0n, ended: false });

export class Things {
  readonly symbols = new SymbolTable();
  readonly members = new Members(this.symbols);
  readonly state: SessionState;
  readonly #objects = new Map<Uid, number>();
  /** by event number of an area that is where the kernel wanted it */
  readonly #areas = new Map<number, number>();
  /** by the event that made the vIOMMU */
  readonly regions = new Map<number, RegionSymbols>();
  /** by pid: descriptor → symbol */
  readonly #fds = new Map<number, Map<number, number>>();
  /** descriptors of an image that has been replaced, which the next one may have */
  readonly #before = new Map<number, Map<number, number>>();
  /** tables that a descriptor's or a mapping's symbol is in, and how often */
  readonly #holders = new Map<number, number>();
  /** descriptors that the recorder does not follow, by pid and number */
  readonly #foreign = new Map<number, Map<number, number>>();
  readonly #mappings = new Map<number, Map<U64, Mapped>>();
  /** by file of a fault queue */
  readonly #cookies = new Map<number, Map<number, { symbol: number; ended: boolean }>>();
  /** by file of an access */
  readonly #items = new Map<number, Map<number, number>>();
  /** regions of VFIO devices: 'birth of the file / index' */
  readonly #windows = new Map<string, number>();
  readonly #nothings = new Map<string, number>();

  constructor(state: SessionState) {
    this.state = state;
  }

  // ---- objects

  context(e: EventBytes): Context | undefined {
    const file = e.file || (this.state.fds.get(e.pid)?.get(e.fd) ?? 0);
    return contextOfFile(this.state, file);
  }

  symbolOf(o: KernelObject, context: number): number {
    let symbol = this.#objects.get(o.uid);
    if (symbol === undefined) {
      symbol = this.symbols.make({ sort: 'object', type: o.type, recorded: BigInt(o.id), step: -1, context });
      this.#objects.set(o.uid, symbol);
    }
    return symbol;
  }

  /** What an id of a context stands for; undefined: nothing, as far as is known. */
  object(c: Context, id: number): Known | undefined {
    const live = objectById(c, id);
    if (live !== undefined) return exactly(this.symbolOf(live, c.context));
    const ended = c.ended.get(id);
    const symbol = ended === undefined ? undefined : this.#objects.get(ended.uid);
    return symbol === undefined ? undefined : { symbol, addend: 0n, ended: true };
  }

  /** A number that stands for nothing. */
  nothing(type: 'object' | 'fd' | 'cookie', where: number, value: bigint): Known {
    const key = `${type} ${where} ${value}`;
    let symbol = this.#nothings.get(key);
    if (symbol === undefined) {
      const place = type === 'object' ? { context: where } : type === 'fd' ? { process: where } : {};
      symbol = this.symbols.make({ sort: 'nothing', type, recorded: value, step: -1, ...place });
      this.#nothings.set(key, symbol);
    }
    return exactly(symbol);
  }

  /** An IOVA in an area that the kernel has placed. */
  iova(c: Context, named: KernelObject | undefined, iova: U64): Known | undefined {
    if (this.#areas.size === 0 || named === undefined) return undefined;
    const area = c.areas.get(spaceOf(c, named, 0))?.floor(iova);
    const symbol = area === undefined || area.last < iova ? undefined : this.#areas.get(area.seq);
    if (symbol === undefined) return undefined;
    return { symbol, addend: BigInt(iova) - this.symbols.at(symbol).recorded, ended: false };
  }

  // ---- descriptors

  fd(pid: number, fd: number): number | undefined {
    return this.#fds.get(pid)?.get(fd);
  }

  /** The symbol of a descriptor that the recorder does not follow. One that is of another kind than before is another. */
  foreign(pid: number, fd: number, role: string): number {
    const known = inner(this.#foreign, pid);
    const before = known.get(fd);
    const s = before === undefined ? undefined : this.symbols.at(before);
    if (before !== undefined && s !== undefined && (s.type === role || role === '' || s.type === '')) {
      if (s.type === '') s.type = role;
      return before;
    }
    const symbol = this.symbols.make({ sort: 'fd', type: role, recorded: BigInt(fd), step: -1, process: this.members.of(pid).index });
    known.set(fd, symbol);
    return symbol;
  }

  /** close_range(2): what has such a number from now on is another file. Single ones that nobody follows are closed unseen. */
  closed(e: EventBytes): void {
    if (e.error !== 0 || e.request === Close.CLOSE || e.args.bytes < 24 || (e.arg32(2) & CLOSE_RANGE_CLOEXEC) !== 0) return;
    const [first, last] = [e.arg32(0) >>> 0, e.arg32(1) >>> 0];
    const known = this.#foreign.get(e.pid);
    for (const fd of known?.keys() ?? []) if (fd >= first && fd <= last) known?.delete(fd);
  }

  #setFd(c: Change & { op: 'fd' }, { e, step, ends }: Event, begun: ReadonlySet<number>, gone: ReadonlySet<number>): void {
    const table = inner(this.#fds, c.pid);
    const old = table.get(c.fd);
    if (c.to === 0) {
      if (old === undefined) return;
      table.delete(c.fd);
      if (e.kind === Kind.START && !gone.has(c.pid)) inner(this.#before, c.pid).set(c.fd, old);
      else this.#released(old, step, ends);
      return;
    }
    // the same descriptor: an ioctl returned it, and here is its number
    if (old !== undefined && c.from !== 0 && e.kind === Kind.FD) return;
    if (old !== undefined) this.#released(old, step, ends);
    const kept = this.#inherited(c, e, begun);
    const symbol = kept ?? this.#newFd(c, e, step);
    table.set(c.fd, symbol);
    this.#count(symbol, 1);
    this.#foreign.get(c.pid)?.delete(c.fd);
  }

  /** A child has its parent's descriptors, another image those of the one before. */
  #inherited(c: Change & { op: 'fd' }, e: EventBytes, begun: ReadonlySet<number>): number | undefined {
    if (begun.has(c.pid)) {
      const parent = this.state.processes.get(c.pid)?.parent ?? 0;
      if (this.state.fds.get(parent)?.get(c.fd) === c.to) return this.#fds.get(parent)?.get(c.fd);
    }
    if (e.kind !== Kind.FD || e.request !== Found.INHERITED) return undefined;
    const before = this.#before.get(c.pid);
    const symbol = before?.get(c.fd);
    if (symbol !== undefined) {
      before?.delete(c.fd);
      this.#count(symbol, -1);
    }
    return symbol;
  }

  #newFd(c: Change & { op: 'fd' }, e: EventBytes, step: number): number {
    const kind = this.state.files.get(c.to)?.kind ?? FileKind.UNKNOWN;
    const unmade = e.kind === Kind.FD && (e.request === Found.INHERITED || e.request === Found.IN_USE);
    const made = e.kind !== Kind.FD && e.fd === c.fd && e.pid === c.pid && e.kind !== Kind.OPEN && e.kind !== Kind.DUP;
    const type = kind === FileKind.UNKNOWN ? '' : (FILE_KINDS[kind] ?? '');
    const process = this.members.of(c.pid).index;
    return this.symbols.make({ sort: 'fd', type, recorded: BigInt(c.fd), step: unmade || made ? -1 : step, process });
  }

  #released(symbol: number, step: number, ends: number[]): void {
    ends.push(symbol);
    this.#count(symbol, -1);
    if (this.#holders.get(symbol) === 0) this.symbols.at(symbol).ended = step;
  }

  // ---- mappings, regions

  /** The mapping that an address of a process is in. */
  mapping(pid: number, address: U64): Known | undefined {
    const all = this.#mappings.get(this.memoryOf(pid));
    if (all === undefined) return undefined;
    const exact = all.get(address);
    const found = exact ?? [...all.values()].find((m) => m.address <= address && address < plus(m.address, m.length));
    if (found === undefined) return undefined;
    return { symbol: found.symbol, addend: BigInt(address) - this.symbols.at(found.symbol).recorded, ended: false };
  }

  memoryOf(pid: number): number {
    return this.state.processes.get(pid)?.memory ?? pid;
  }

  /** The region of a VFIO device that an offset is in. */
  window(file: number, offset: U64): Known | undefined {
    const f = this.state.files.get(file);
    for (const r of f?.regions ?? []) {
      if (offset < r.offset || offset >= plus(r.offset, r.size)) continue;
      const symbol = this.#windows.get(`${f!.birth}/${r.index}`);
      if (symbol !== undefined) return { symbol, addend: BigInt(minus(offset, r.offset)), ended: false };
    }
    return undefined;
  }

  /** A device tells where a region is. → its symbol, and whether it was not known before */
  tellWindow(file: number, index: number, offset: bigint, step: number): { readonly symbol: number; readonly isNew: boolean } | undefined {
    const f = this.state.files.get(file);
    if (f === undefined) return undefined;
    const key = `${f.birth}/${index}`;
    const known = this.#windows.get(key);
    if (known !== undefined && this.symbols.at(known).recorded === offset) return { symbol: known, isNew: false };
    const symbol = this.symbols.make({ sort: 'offset', type: 'device region', recorded: offset, step, context: Math.max(0, f.context) });
    this.#windows.set(key, symbol);
    return { symbol, isNew: true };
  }

  #map(changes: readonly Change[], { e, step, ends }: Event): void {
    const gone: Mapped[] = [];
    for (const c of changes) {
      if (c.op !== 'mapping.add' && c.op !== 'mapping.remove') continue;
      const { memory, address, length } = c.mapping;
      const all = inner(this.#mappings, memory);
      if (c.op === 'mapping.remove') {
        const m = all.get(address);
        if (m !== undefined) gone.push(m);
        if (all.delete(address)) this.#count(m!.symbol, -1);
        continue;
      }
      const made = (e.kind === Kind.MMAP || e.kind === Kind.MREMAP) && address === e.ret64;
      const known = made && e.kind === Kind.MMAP ? undefined : this.#known(address, gone, made);
      const symbol =
        known ?? this.symbols.make({ sort: 'mapping', type: '', recorded: BigInt(address), step, process: this.members.of(e.pid).index });
      all.set(address, { address, length, symbol });
      this.#count(symbol, 1);
    }
    for (const m of gone) if (this.#holders.get(m.symbol) === 0) this.#end(m.symbol, step, ends);
  }

  /** A piece of what was there, the same at its place, or a child's copy of its parent's. */
  #known(address: U64, gone: readonly Mapped[], made: boolean): number | undefined {
    const covers = (m: Mapped): boolean => m.address <= address && address < plus(m.address, m.length);
    const piece = gone.find(covers);
    if (piece !== undefined) return piece.symbol;
    if (made) return undefined;
    for (const all of this.#mappings.values()) {
      const copied = all.get(address);
      if (copied !== undefined) return copied.symbol;
    }
    return undefined;
  }

  #count(symbol: number, by: 1 | -1): void {
    this.#holders.set(symbol, (this.#holders.get(symbol) ?? 0) + by);
  }

  // ---- cookies, items

  cookie(file: number, cookie: number): Known | undefined {
    const known = this.#cookies.get(file)?.get(cookie);
    return known === undefined ? undefined : { symbol: known.symbol, addend: 0n, ended: known.ended };
  }
  tellCookie(file: number, cookie: number, step: number): number {
    const symbol = this.symbols.make({ sort: 'cookie', type: '', recorded: BigInt(cookie), step });
    inner(this.#cookies, file).set(cookie, { symbol, ended: false });
    return symbol;
  }
  /** Its group has been answered. */
  answerCookie(file: number, cookie: number, step: number, ends: number[]): void {
    const known = this.#cookies.get(file)?.get(cookie);
    if (known === undefined || known.ended) return;
    known.ended = true;
    this.#end(known.symbol, step, ends);
  }

  item(file: number, item: number): number | undefined {
    return this.#items.get(file)?.get(item);
  }
  tellItem(file: number, item: number, step: number): number {
    const symbol = this.symbols.make({ sort: 'item', type: '', recorded: BigInt(item), step });
    inner(this.#items, file).set(item, symbol);
    return symbol;
  }

  // ---- changes

  #end(symbol: number, step: number, ends: number[]): void {
    this.symbols.at(symbol).ended = step;
    ends.push(symbol);
  }

  /** Takes what an event has changed; the state is the one after it. */
  follow(event: Event, changes: readonly Change[]): void {
    const { e, step, ends } = event;
    const begun = new Set<number>();
    const gone = new Set<number>();
    let maps = false;
    for (const c of changes) {
      if (c.op === 'object.create') this.#created(c, event);
      else if (c.op === 'object.end') {
        const symbol = this.#objects.get(c.object.uid);
        if (symbol !== undefined) this.#end(symbol, step, ends);
      } else if (c.op === 'fd') {
        if (!c.before) this.#setFd(c, event, begun, gone);
        else if (c.to === 0) this.#forgotten(c.pid, c.fd, event);
      } else if (c.op === 'process') {
        if (!c.to.live) gone.add(c.pid);
        else if (c.from?.live !== true) {
          begun.add(c.pid);
          this.members.begin(c.to, c.to.parent !== 0 && (e.kind !== Kind.START || e.request !== Start.EXEC));
        } else if (e.kind === Kind.START && e.request === Start.EXEC) this.members.executed(this.members.of(c.pid), c.to.exe);
        else if (c.to.exe !== '') this.members.of(c.pid).exe ||= c.to.exe;
      } else if (c.op === 'area.add') this.#placed(c.area.seq, c.area.start, c.context, event);
      else if (c.op === 'mapping.add' || c.op === 'mapping.remove') maps = true;
    }
    if (maps) this.#map(changes, event);
  }

  /** A descriptor of an image that has been replaced was close-on-exec. */
  #forgotten(pid: number, fd: number, { step, ends }: Event): void {
    const symbol = this.#before.get(pid)?.get(fd);
    if (symbol === undefined) return;
    this.#before.get(pid)?.delete(fd);
    this.#released(symbol, step, ends);
  }

  #created(c: Change & { op: 'object.create' }, { e, step, regions }: Event): void {
    const { object } = c;
    if (object.id === 0 || this.#objects.has(object.uid)) return;
    const made = object.origin === 'observed' ? step : -1;
    const symbol = this.symbols.make({ sort: 'object', type: object.type, recorded: BigInt(object.id), step: made, context: c.context });
    this.#objects.set(object.uid, symbol);
    if (object.type !== 'VIOMMU' || object.region === undefined) return;
    const region = (sort: 'offset' | 'length', recorded: U64): number =>
      this.symbols.make({ sort, type: 'vIOMMU region', recorded: BigInt(recorded), step: made, context: c.context });
    const told = { offset: region('offset', object.region.offset), length: region('length', object.region.length) };
    this.regions.set(e.seq, told);
    regions.push(told);
  }

  #placed(seq: number, start: U64, context: number, { chose, step }: Event): void {
    if (!chose || this.#areas.has(seq)) return;
    this.#areas.set(seq, this.symbols.make({ sort: 'iova', type: '', recorded: BigInt(start), step, context }));
  }

  areaMade(seq: number): number | undefined {
    return this.#areas.get(seq);
  }
}

function inner<K, L, V>(outer: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let map = outer.get(key);
  if (map === undefined) {
    map = new Map();
    outer.set(key, map);
  }
  return map;
}
