/** The numbers of one event: what it asks with before it is folded, what it answers afterwards. */
import type { FileRole } from '../../hw/uapi/types.ts';
import {
  Dup,
  FileKind,
  Found,
  FRAME_AT,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioSource,
  Open,
  PART_AT,
  PART_HEADER,
  PartFlag,
  PartKind,
} from '../../store/frame.ts';
import type { Form, How } from '../diff/forms.ts';
import { eventOf, type LiveLinks } from '../diff/links.ts';
import type { EventBytes, Span } from '../event.ts';
import type { KernelObject } from '../object-types.ts';
import { type Context, objectById } from '../state.ts';
import type { U64 } from '../u64.ts';
import type { FieldSink, Fields } from './fields.ts';
import { isAddress, type Memory } from './memory.ts';
import type { Step, Use } from './program.ts';
import type { Mutable } from './symbols.ts';
import type { Event, Known, Things } from './things.ts';

/** A step while it is made. Its lists are the shared empty one until there is something in them. */
export type Draft = Mutable<Step>;

/** Adds to a list of a step. */
export function added<T>(list: readonly T[], item: T): readonly T[] {
  if (list.length === 0) return [item];
  (list as T[]).push(item);
  return list;
}

/** An id or a descriptor that nothing known was: what it is shows in the answer. */
export interface Unsettled {
  readonly what: 'object' | 'fd';
  readonly at: number;
  readonly value: number;
  readonly role: string;
}

const EBADF = 9;
const EFAULT = 14;
/** Calls that count areas instead of giving an IOVA: IOMMU_IOAS_COPY and accesses of selftest kernels. */
const BY_INDEX = 0x1_0000;
/** Words of ARGS. */
const WORD = {
  dupTarget: 0,
  mapLength: 1,
  mapFlags: 3,
  mapOffset: 4,
  rwOffset: 1,
  address: 0,
  parent: 0,
  peer: 2,
  peerFd: 3,
  via: 4,
  socket: 0,
} as const;
const MAP_FIXED = 0x10;
const MREMAP_FIXED = 2;

export class Asks implements FieldSink {
  readonly #things: Things;
  readonly #memory: Memory;
  readonly #fields: Fields;
  readonly #links: LiveLinks;
  #e!: EventBytes;
  #draft!: Draft;
  #context: Context | undefined;
  #image = 0;
  /** objects that the call has named so far */
  #named: (KernelObject | undefined)[] = [];
  #byIndex = false;
  /** it is the answer that is read */
  #answers = false;
  #event!: Event;
  /** what stood for nothing before the event */
  open: Unsettled[] = [];

  constructor(things: Things, memory: Memory, fields: Fields, links: LiveLinks) {
    this.#things = things;
    this.#memory = memory;
    this.#fields = fields;
    this.#links = links;
  }

  #begin(e: EventBytes, draft: Draft, image: number): void {
    this.#e = e;
    this.#draft = draft;
    this.#image = image;
    this.#context = this.#things.context(e);
    this.#named = [];
    this.open = [];
  }

  // ---- asked, with the state before the event

  ask(e: EventBytes, draft: Draft, image: number): void {
    this.#begin(e, draft, image);
    this.#answers = false;
    if (e.fd >= 0 && e.kind !== Kind.OPEN && e.kind !== Kind.FD) this.#fd(FRAME_AT.fd + e.offset, e.fd, '');
    switch (e.kind) {
      case Kind.IOCTL:
        this.#ioctl();
        break;
      case Kind.DUP:
        this.#dup();
        break;
      case Kind.MMAP:
        this.#mmap();
        break;
      case Kind.MUNMAP:
      case Kind.MREMAP:
        this.#range(WORD.address);
        if (e.kind === Kind.MREMAP && (e.arg32(3) & MREMAP_FIXED) !== 0) this.#range(4);
        break;
      case Kind.READ:
      case Kind.WRITE:
        this.#transfer();
        break;
      case Kind.MMIO:
        if (e.request >>> MMIO_SOURCE_SHIFT === MmioSource.TRAPPED) this.#range(WORD.address);
        break;
      case Kind.SENDFD:
        if (e.args.bytes >= 8 && e.arg32(WORD.socket) >= 0) this.#fd(this.#word(WORD.socket), e.arg32(WORD.socket), 'SOCKET');
        break;
    }
  }

  /** Place of a word of ARGS. */
  #word(i: number): number {
    return this.#e.args.start + 8 * i;
  }

  #ioctl(): void {
    const e = this.#e;
    const command = this.#fields.command(e);
    const forms = command === undefined ? undefined : this.#fields.of(command);
    if (forms === undefined) {
      if (command?.arg === 'fd-pointer' && e.in.bytes === 4) this.#fd(e.in.start, e.s32(e.in, 0), 'FILE');
      return;
    }
    if (e.in.bytes < 0) return;
    const flags = forms.struct.byName.get('flags');
    this.#byIndex = command?.name === 'IOMMU_IOAS_COPY' && flags !== undefined && (e.u32(e.in, flags.offset) & BY_INDEX) !== 0;
    this.#fields.asked(e, forms, this);
  }

  field(f: Form, how: How, at: number, value: U64): void {
    if (this.#answers) {
      this.#answered(f, how, at, value);
      return;
    }
    const name = f.field.name;
    if (how === 'object') {
      if (value !== 0) this.#object(at, Number(value));
    } else if (how === 'file') this.#file(at, Number(value) | 0, f.field.fd ?? 'ACCESS');
    else if (how === 'iova') this.#iova(f, at, value);
    else if (how === 'address') this.#pointer(at, value);
    else if (name === 'destroy_access_pages.access_pages_id') {
      const item = this.#things.item(this.#accessFile(), Number(value));
      if (item !== undefined) this.#use(at, 4, { symbol: item, addend: 0n, ended: false });
    }
  }

  /** The file of the access that IOMMU_TEST_CMD names by its descriptor. */
  #accessFile(): number {
    const e = this.#e;
    return this.#things.state.fds.get(e.pid)?.get(e.s32(e.in, 8)) ?? 0;
  }

  #use(at: number, width: 1 | 2 | 4 | 8, known: Known): void {
    const { symbol, addend, ended } = known;
    this.#draft.uses = added(this.#draft.uses, { at: at - this.#e.offset, width, symbol, addend, ended });
  }
  #echo(at: number, width: 1 | 2 | 4 | 8, known: Known): void {
    const { symbol, addend, ended } = known;
    this.#draft.echoes = added(this.#draft.echoes, { at: at - this.#e.offset, width, symbol, addend, ended });
  }
  #define(at: number, width: 1 | 2 | 4 | 8, symbol: number): void {
    this.#draft.defines = added(this.#draft.defines, { at: at - this.#e.offset, width, symbol });
  }

  #object(at: number, id: number): void {
    const c = this.#context;
    if (c === undefined) return;
    this.#named.push(objectById(c, id));
    const known = this.#things.object(c, id);
    if (known !== undefined) this.#use(at, 4, known);
    else this.open.push({ what: 'object', at: at - this.#e.offset, value: id, role: '' });
  }

  #file(at: number, fd: number, role: FileRole): void {
    const file = this.#things.state.fds.get(this.#e.pid)?.get(fd);
    const object = file === undefined ? 0 : (this.#things.state.files.get(file)?.object ?? 0);
    this.#named.push(object === 0 ? undefined : this.#context?.objects.get(object));
    this.#fd(at, fd, role);
  }

  #fd(at: number, fd: number, role: string): void {
    if (fd < 0) return;
    const symbol = this.#things.fd(this.#e.pid, fd);
    if (symbol !== undefined) this.#use(at, 4, { symbol, addend: 0n, ended: false });
    else this.open.push({ what: 'fd', at: at - this.#e.offset, value: fd, role });
  }

  #iova(f: Form, at: number, value: U64): void {
    const e = this.#e;
    const arm = f.field.arm;
    const flags =
      arm === 'access_pages' || arm === 'access_rw'
        ? this.#fields.forms.table.byName('IOMMU_TEST_CMD')?.struct?.byName.get(`${arm}.flags`)
        : undefined;
    const byIndex = flags === undefined ? this.#byIndex && f.space === 1 : (e.u32(e.in, flags.offset) & BY_INDEX) !== 0;
    if (byIndex || this.#context === undefined) return;
    const named = f.space < 0 ? this.#named.at(-1) : this.#named[f.space];
    const known = this.#things.iova(this.#context, named, value);
    if (known !== undefined) this.#use(at, 8, known);
  }

  pointer(f: Form, at: number, value: U64, bytes: number): void {
    const e = this.#e;
    if (value === 0 || !isAddress(value) || f.width !== 8) return;
    if (this.#pointer(at, value)) return;
    const address = Number(value);
    const nested = f.field.nested;
    let looked = false;
    for (const kind of [PartKind.NESTED_IN, PartKind.NESTED_OUT]) looked = this.#looked(kind, f.offset, address) || looked;
    if (looked) return;
    const mapped = nested === undefined || nested.dir === 'mapped';
    const how = e.error === 0 ? (mapped ? 'pinned' : 'ok') : mapped && e.error === EFAULT ? 'fault' : 'asked';
    this.#memory.touch(this.#image, address, Math.max(bytes, 1), how);
  }

  /** What the recorder could read there. */
  #looked(kind: PartKind, slot: number, address: number): boolean {
    const e = this.#e;
    const span = e.part(kind, slot);
    if (span === undefined) return false;
    const flags = e.buffer[span.start - PART_HEADER + PART_AT.flags] ?? 0;
    if (span.bytes > 0) this.#memory.touch(this.#image, address, span.bytes, 'ok');
    if ((flags & PartFlag.FAULT) !== 0) this.#memory.touch(this.#image, address + span.bytes, 1, 'fault');
    return true;
  }

  /** An address: of a mapping, which is true, or of memory. */
  #pointer(at: number, value: U64): boolean {
    const mapping = this.#things.mapping(this.#e.pid, value);
    if (mapping !== undefined) {
      this.#use(at, 8, mapping);
      return true;
    }
    if (!isAddress(value)) return false;
    const use: Mutable<Use> = { at: at - this.#e.offset, width: 8, symbol: -1, addend: 0n, ended: false };
    this.#draft.uses = added(this.#draft.uses, use);
    this.#memory.pending(use, this.#image, Number(value));
    this.#memory.touch(this.#image, Number(value), 1, 'asked');
    return false;
  }

  // ---- calls that are no ioctls

  #dup(): void {
    const e = this.#e;
    // dup2 and dup3: which number it is to be
    if (e.args.bytes < 8 || (e.request !== Dup.DUP2 && e.request !== Dup.DUP3)) return;
    const to = e.arg32(WORD.dupTarget);
    if (to >= 0) this.#fd(this.#word(WORD.dupTarget), to, '');
  }

  #mmap(): void {
    const e = this.#e;
    if (e.args.bytes < 40) return;
    const address = e.arg(0);
    if (address !== 0 && (e.arg32(WORD.mapFlags) & MAP_FIXED) !== 0) this.#range(0);
    const offset = e.arg(WORD.mapOffset);
    if (e.fileKind === FileKind.VFIO_DEVICE) {
      const known = this.#things.window(e.file, offset);
      if (known !== undefined) this.#use(this.#word(WORD.mapOffset), 8, known);
      return;
    }
    const place = this.#links.region(e, offset);
    const region = place === undefined ? undefined : this.#things.regions.get(eventOf(place.origin));
    if (region === undefined) return;
    const { symbols } = this.#things;
    this.#use(this.#word(WORD.mapOffset), 8, {
      symbol: region.offset,
      addend: BigInt(offset) - symbols.at(region.offset).recorded,
      ended: false,
    });
    if (BigInt(e.arg(WORD.mapLength)) === symbols.at(region.length).recorded)
      this.#use(this.#word(WORD.mapLength), 8, { symbol: region.length, addend: 0n, ended: false });
  }

  /** An address that is a mapping's, or memory where the program put one over it. */
  #range(word: number): void {
    const e = this.#e;
    if (e.args.bytes < 8 * word + 8) return;
    const address = e.arg(word);
    const mapping = this.#things.mapping(e.pid, address);
    if (mapping !== undefined) this.#use(this.#word(word), 8, mapping);
  }

  #transfer(): void {
    const e = this.#e;
    if (e.fileKind === FileKind.VFIO_DEVICE && e.args.bytes >= 16) {
      const known = this.#things.window(e.file, e.arg(WORD.rwOffset));
      if (known !== undefined) this.#use(this.#word(WORD.rwOffset), 8, known);
    }
    if (e.kind === Kind.WRITE && e.fileKind === FileKind.FAULT) this.#responses(e.in);
  }

  #responses(span: Span): void {
    const struct = this.#fields.forms.table.record('FAULT', 'write');
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return;
    const e = this.#e;
    for (let i = 0; i + struct.size <= span.bytes; i += struct.size) {
      const cookie = e.u32(span, i + at);
      const known = this.#things.cookie(e.file, cookie) ?? this.#things.nothing('cookie', e.file, BigInt(cookie));
      this.#use(span.start + i + at, 4, known);
    }
  }

  // ---- answered, with the state after the event

  /** What nothing known was, now that the answer is there. */
  settle(e: EventBytes, draft: Draft, open: readonly Unsettled[]): void {
    const c = this.#things.context(e);
    for (const { what, at, value, role } of open) {
      let known: Known;
      if (what === 'object') {
        if (c === undefined) continue;
        // a call that passed has shown that there was something
        const o = objectById(c, value);
        known =
          o?.origin === 'inferred'
            ? { symbol: this.#things.symbolOf(o, c.context), addend: 0n, ended: false }
            : this.#things.nothing('object', c.context, BigInt(value));
      } else {
        const symbol = e.kind === Kind.DUP && at !== FRAME_AT.fd ? undefined : this.#things.fd(e.pid, value);
        const none = e.kind === Kind.DUP && at !== FRAME_AT.fd ? true : e.error === EBADF;
        if (symbol !== undefined) known = { symbol, addend: 0n, ended: false };
        else if (none) known = this.#things.nothing('fd', this.#things.members.of(e.pid).index, BigInt(value));
        else known = { symbol: this.#things.foreign(e.pid, value, role), addend: 0n, ended: false };
      }
      draft.uses = added(draft.uses, { at, width: 4, ...known });
    }
  }

  answer(e: EventBytes, draft: Draft, image: number, event: Event): void {
    this.#begin(e, draft, image);
    this.#answers = true;
    this.#event = event;
    switch (e.kind) {
      case Kind.IOCTL:
        this.#answeredIoctl();
        break;
      case Kind.OPEN:
        if (e.error === 0) this.#result(e.ret, e.request >= Open.OPEN);
        break;
      case Kind.DUP:
        if (e.error === 0) this.#result(e.ret, false);
        break;
      case Kind.FD:
        this.#found();
        break;
      case Kind.MMAP:
      case Kind.MREMAP:
        this.#placed();
        break;
      case Kind.READ:
        if (e.fileKind === FileKind.FAULT && e.error === 0) this.#faults();
        break;
      case Kind.WRITE:
        if (e.fileKind === FileKind.FAULT && e.error === 0) this.#answeredFaults();
        break;
      case Kind.FORK:
        this.#forked();
        break;
      case Kind.START:
        this.#pid(WORD.parent);
        break;
    }
  }

  #answeredIoctl(): void {
    const e = this.#e;
    const command = this.#fields.command(e);
    const forms = command === undefined ? undefined : this.#fields.of(command);
    if (
      e.error === 0 &&
      e.ret > 0 &&
      (command?.returns?.fd !== undefined || command?.name === 'IOMMU_TEST_CMD' || e.request >>> 8 !== 0x3b)
    )
      this.#result(e.ret, false);
    if (forms === undefined || e.out.bytes < 0) return;
    if (e.error === 0 && command?.name === 'VFIO_DEVICE_GET_REGION_INFO')
      this.#window(forms.struct.byName.get('index')?.offset, forms.struct.byName.get('offset')?.offset);
    if (e.error === 0) this.#fields.answered(e, forms, this);
  }

  #window(index: number | undefined, offset: number | undefined): void {
    const e = this.#e;
    if (index === undefined || offset === undefined || e.out.bytes < offset + 8) return;
    const told = this.#things.tellWindow(e.file, e.u32(e.in, index), BigInt(e.u64(e.out, offset)), this.#event.step);
    if (told === undefined) return;
    if (told.isNew) this.#define(e.out.start + offset, 8, told.symbol);
    else this.#echo(e.out.start + offset, 8, { symbol: told.symbol, addend: 0n, ended: false });
  }

  #answered(f: Form, how: How, at: number, value: U64): void {
    const e = this.#e;
    const name = f.name.text;
    if (f.field.fd !== undefined && (how === 'created' || how === 'file')) {
      const symbol = this.#things.fd(e.pid, Number(value) | 0);
      if (symbol !== undefined) this.#made(at, 4, symbol);
    } else if (how === 'created' || how === 'object') this.#answeredId(at, Number(value));
    else if (how === 'iova' && this.#event.chose && f.output) {
      const symbol = this.#things.areaMade(e.seq);
      if (symbol !== undefined) this.#made(at, 8, symbol);
    } else if (how === 'offset' || name.endsWith('mmap_length')) this.#answeredRegion(how === 'offset' ? 'offset' : 'length', at, value);
    else if (f.field.name === 'access_pages.out_access_pages_id')
      this.#define(at, 4, this.#things.tellItem(this.#accessFile(), Number(value), this.#event.step));
  }

  /** Does the struct say what was asked with, still? */
  #isRepeated(at: number): boolean {
    const e = this.#e;
    const asked = at - e.out.start + e.in.start - e.offset;
    if (e.in.bytes < 0 || at < e.out.start || at >= e.out.start + e.out.bytes) return false;
    if (e.view.getUint32(at, true) !== e.view.getUint32(asked + e.offset, true)) return false;
    return this.#draft.uses.some((u) => u.at === asked);
  }

  #answeredId(at: number, id: number): void {
    const c = this.#things.context(this.#e);
    if (id === 0 || c === undefined || this.#isRepeated(at)) return;
    const known = this.#things.object(c, id);
    if (known === undefined) return;
    if (known.ended) this.#echo(at, 4, known);
    else this.#made(at, 4, known.symbol);
  }

  /** It has made the thing: then the number makes it known. */
  #made(at: number, width: 4 | 8, symbol: number): void {
    if (this.#things.symbols.at(symbol).step === this.#event.step) this.#define(at, width, symbol);
    else if (!this.#isRepeated(at)) this.#echo(at, width, { symbol, addend: 0n, ended: false });
  }

  #answeredRegion(which: 'offset' | 'length', at: number, value: U64): void {
    for (const s of this.#event.regions) {
      const symbol = s[which];
      if (this.#things.symbols.at(symbol).recorded === BigInt(value)) this.#made(at, 8, symbol);
    }
  }

  /** A descriptor that a call returned. */
  #result(fd: number, header: boolean): void {
    const e = this.#e;
    const symbol = fd < 0 ? undefined : this.#things.fd(e.pid, fd);
    if (symbol === undefined) return;
    this.#made4(FRAME_AT.ret + e.offset, symbol);
    if (header && e.fd === fd) this.#made4(FRAME_AT.fd + e.offset, symbol);
  }
  #made4(at: number, symbol: number): void {
    this.#made(at, 4, symbol);
  }

  #found(): void {
    const e = this.#e;
    const symbol = e.fd < 0 ? undefined : this.#things.fd(e.pid, e.fd);
    if (symbol !== undefined) {
      this.#made4(FRAME_AT.fd + e.offset, symbol);
      if (e.ret === e.fd) this.#made4(FRAME_AT.ret + e.offset, symbol);
    }
    if (e.request !== Found.RECEIVED && e.request !== Found.PIDFD) return;
    this.#pid(WORD.peer);
    const peer = this.#things.fd(e.arg32(WORD.peer), e.arg32(WORD.peerFd));
    if (peer !== undefined && e.args.bytes >= 8 * WORD.peerFd + 8)
      this.#echo(this.#word(WORD.peerFd), 4, { symbol: peer, addend: 0n, ended: false });
    const via = e.args.bytes >= 8 * WORD.via + 8 ? e.arg32(WORD.via) : -1;
    if (via >= 0) this.#echo(this.#word(WORD.via), 4, { symbol: this.#things.foreign(e.pid, via, 'SOCKET'), addend: 0n, ended: false });
  }

  #pid(word: number): void {
    const e = this.#e;
    const known = e.args.bytes < 8 * word + 8 ? undefined : this.#things.members.known(e.arg32(word));
    if (known !== undefined) this.#echo(this.#word(word), 4, { symbol: known.symbol, addend: 0n, ended: false });
  }

  #placed(): void {
    const e = this.#e;
    const known = e.error === 0 ? this.#things.mapping(e.pid, e.ret64) : undefined;
    if (known !== undefined && known.addend === 0n) this.#made(FRAME_AT.ret + e.offset, 8, known.symbol);
    else if (known !== undefined) this.#echo(FRAME_AT.ret + e.offset, 8, known);
  }

  #faults(): void {
    const e = this.#e;
    const struct = this.#fields.forms.table.record('FAULT', 'read');
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return;
    this.#fields.records(e, e.out, struct, this);
    let last = -1;
    for (let i = 0; i + struct.size <= e.out.bytes; i += struct.size) {
      const cookie = e.u32(e.out, i + at);
      // the records of one group follow each other
      const known = cookie === last ? this.#things.cookie(e.file, cookie) : undefined;
      if (known !== undefined) this.#echo(e.out.start + i + at, 4, known);
      else this.#define(e.out.start + i + at, 4, this.#things.tellCookie(e.file, cookie, this.#event.step));
      last = cookie;
    }
  }

  #answeredFaults(): void {
    const e = this.#e;
    const struct = this.#fields.forms.table.record('FAULT', 'write');
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return;
    for (let i = 0; i + struct.size <= Math.min(e.in.bytes, e.ret); i += struct.size)
      this.#things.answerCookie(e.file, e.u32(e.in, i + at), this.#event.step, this.#event.ends);
  }

  #forked(): void {
    const e = this.#e;
    const child = e.error === 0 && e.ret > 0 ? this.#things.members.known(e.ret) : undefined;
    if (child === undefined || child.pid === e.pid) return;
    this.#things.members.forked(child, this.#things.members.of(e.pid), this.#event.step);
    this.#made4(FRAME_AT.ret + e.offset, child.symbol);
  }
}
