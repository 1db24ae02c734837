/** The numbers that an event asks with: read before it is folded. */
import type { FileRole } from '../../hw/uapi/types.ts';
import {
  Dup,
  FileKind,
  FRAME_AT,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioSource,
  PART_AT,
  PART_HEADER,
  PartFlag,
  PartKind,
} from '../../store/frame.ts';
import type { Form, How } from '../diff/meaning/forms.ts';
import { eventOf } from '../diff/meaning/links.ts';
import type { EventBytes, Span } from '../event.ts';
import type { KernelObject } from '../object-types.ts';
import { objectById } from '../state.ts';
import type { U64 } from '../u64.ts';
import type { FieldSink } from './fields.ts';
import { isAddress } from './memory.ts';
import { added, type Draft, Numbers } from './numbers.ts';
import type { Use } from './program.ts';
import type { Mutable } from './symbols.ts';
import type { Known, RegionSymbols } from './things.ts';

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
  accessOffset: 1,
  address: 0,
  socket: 0,
} as const;
const MAP_FIXED = 0x10;
const MREMAP_FIXED = 2;

export class Asks extends Numbers implements FieldSink {
  /** objects that the call has named so far */
  #named: (KernelObject | undefined)[] = [];
  #byIndex = false;
  /** what stood for nothing before the event */
  open: Unsettled[] = [];

  // ---- asked, with the state before the event

  ask(e: EventBytes, draft: Draft, image: number): void {
    this.begin(e, draft, image);
    this.#named = [];
    this.open = [];
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
        if (e.request >>> MMIO_SOURCE_SHIFT !== MmioSource.TRAPPED) break;
        this.#range(WORD.address);
        if (e.args.bytes >= 16) this.#offset(WORD.accessOffset);
        break;
      case Kind.SENDFD:
        if (e.args.bytes >= 8 && e.arg32(WORD.socket) >= 0) this.#fd(this.word(WORD.socket), e.arg32(WORD.socket), 'SOCKET');
        break;
    }
  }

  #ioctl(): void {
    const e = this.e;
    const command = this.fields.command(e);
    const forms = command === undefined ? undefined : this.fields.of(command);
    if (forms === undefined) {
      if (command?.arg === 'fd-pointer' && e.in.bytes === 4) this.#fd(e.in.start, e.s32(e.in, 0), 'FILE');
      return;
    }
    if (e.in.bytes < 0) return;
    const flags = forms.struct.byName.get('flags');
    this.#byIndex = command?.name === 'IOMMU_IOAS_COPY' && flags !== undefined && (e.u32(e.in, flags.offset) & BY_INDEX) !== 0;
    this.fields.asked(e, forms, this);
  }

  field(f: Form, how: How, at: number, value: U64): void {
    const name = f.field.name;
    if (how === 'object') {
      if (value !== 0) this.#object(at, Number(value));
    } else if (how === 'file') this.#file(at, Number(value) | 0, f.field.fd ?? 'ACCESS');
    else if (how === 'iova') this.#iova(f, at, value);
    else if (how === 'address') this.#pointer(at, value);
    else if (how === 'window') {
      const known = this.things.window(this.e.file, value);
      if (known !== undefined) this.use(at, 8, known);
    } else if (name === 'destroy_access_pages.access_pages_id') {
      const item = this.things.item(this.accessFile(), Number(value));
      if (item !== undefined) this.use(at, 4, { symbol: item, addend: 0n, ended: false });
    }
  }

  #object(at: number, id: number): void {
    const c = this.context;
    if (c === undefined) return;
    this.#named.push(objectById(c, id));
    const known = this.things.object(c, id);
    if (known !== undefined) this.use(at, 4, known);
    else this.open.push({ what: 'object', at: at - this.e.offset, value: id, role: '' });
  }

  #file(at: number, fd: number, role: FileRole): void {
    const file = this.things.state.fds.get(this.e.pid)?.get(fd);
    const object = file === undefined ? 0 : (this.things.state.files.get(file)?.object ?? 0);
    this.#named.push(object === 0 ? undefined : this.context?.objects.get(object));
    this.#fd(at, fd, role);
  }

  #fd(at: number, fd: number, role: string): void {
    if (fd < 0) return;
    const symbol = this.things.fd(this.e.pid, fd);
    if (symbol !== undefined) this.use(at, 4, { symbol, addend: 0n, ended: false });
    else this.open.push({ what: 'fd', at: at - this.e.offset, value: fd, role });
  }

  #iova(f: Form, at: number, value: U64): void {
    const e = this.e;
    const arm = f.field.arm;
    const flags =
      arm === 'access_pages' || arm === 'access_rw'
        ? this.fields.forms.table.byName('IOMMU_TEST_CMD')?.struct?.byName.get(`${arm}.flags`)
        : undefined;
    const byIndex = flags === undefined ? this.#byIndex && f.space === 1 : (e.u32(e.in, flags.offset) & BY_INDEX) !== 0;
    if (byIndex || this.context === undefined) return;
    const named = f.space < 0 ? this.#named.at(-1) : this.#named[f.space];
    const known = this.things.iova(this.context, named, value);
    if (known !== undefined) this.use(at, 8, known);
  }

  pointer(f: Form, at: number, value: U64, bytes: number): void {
    const e = this.e;
    if (value === 0 || !isAddress(value) || f.width !== 8) return;
    if (this.#pointer(at, value)) return;
    const address = Number(value);
    const nested = f.field.nested;
    let looked = false;
    for (const kind of [PartKind.NESTED_IN, PartKind.NESTED_OUT]) looked = this.#looked(kind, f.offset, address) || looked;
    if (looked) return;
    const mapped = nested === undefined || nested.dir === 'mapped';
    const how = e.error === 0 ? (mapped ? 'pinned' : 'ok') : mapped && e.error === EFAULT ? 'fault' : 'asked';
    this.memory.touch(this.image, address, Math.max(bytes, 1), how);
  }

  /** What the recorder could read there. */
  #looked(kind: PartKind, slot: number, address: number): boolean {
    const e = this.e;
    const span = e.part(kind, slot);
    if (span === undefined) return false;
    const flags = e.buffer[span.start - PART_HEADER + PART_AT.flags] ?? 0;
    if (span.bytes > 0) this.memory.touch(this.image, address, span.bytes, 'ok');
    if ((flags & PartFlag.FAULT) !== 0) this.memory.touch(this.image, address + span.bytes, 1, 'fault');
    return true;
  }

  /** An address: of a mapping, which is true, or of memory. */
  #pointer(at: number, value: U64): boolean {
    const mapping = this.things.mapping(this.e.pid, value);
    if (mapping !== undefined) {
      this.use(at, 8, mapping);
      return true;
    }
    if (!isAddress(value)) return false;
    const use: Mutable<Use> = { at: at - this.e.offset, width: 8, symbol: -1, addend: 0n, ended: false };
    this.draft.uses = added(this.draft.uses, use);
    this.memory.pending(use, this.image, Number(value));
    this.memory.touch(this.image, Number(value), 1, 'asked');
    return false;
  }

  // ---- calls that are no ioctls

  #dup(): void {
    const e = this.e;
    // dup2 and dup3: which number it is to be
    if (e.args.bytes < 8 || (e.request !== Dup.DUP2 && e.request !== Dup.DUP3)) return;
    const to = e.arg32(WORD.dupTarget);
    if (to >= 0) this.#fd(this.word(WORD.dupTarget), to, '');
  }

  #mmap(): void {
    const e = this.e;
    if (e.args.bytes < 40) return;
    const address = e.arg(0);
    if (address !== 0 && (e.arg32(WORD.mapFlags) & MAP_FIXED) !== 0) this.#range(0);
    const region = this.#offset(WORD.mapOffset);
    if (region !== undefined && BigInt(e.arg(WORD.mapLength)) === this.things.symbols.at(region.length).recorded)
      this.use(this.word(WORD.mapLength), 8, { symbol: region.length, addend: 0n, ended: false });
  }

  /** Where it is in a mapped file: in a region of a VFIO device, or of a vIOMMU, which is returned. */
  #offset(word: number): RegionSymbols | undefined {
    const e = this.e;
    const offset = e.arg(word);
    if (e.fileKind === FileKind.VFIO_DEVICE) {
      const known = this.things.window(e.file, offset);
      if (known !== undefined) this.use(this.word(word), 8, known);
      return undefined;
    }
    const place = this.links.region(e, offset);
    const region = place === undefined ? undefined : this.things.regions.get(eventOf(place.origin));
    if (region === undefined) return undefined;
    const addend = BigInt(offset) - this.things.symbols.at(region.offset).recorded;
    this.use(this.word(word), 8, { symbol: region.offset, addend, ended: false });
    return region;
  }

  /** An address that is a mapping's, or memory where the program put one over it. */
  #range(word: number): void {
    const e = this.e;
    if (e.args.bytes < 8 * word + 8) return;
    const address = e.arg(word);
    const mapping = this.things.mapping(e.pid, address);
    if (mapping !== undefined) this.use(this.word(word), 8, mapping);
  }

  #transfer(): void {
    const e = this.e;
    if (e.fileKind === FileKind.VFIO_DEVICE && e.args.bytes >= 16) {
      const known = this.things.window(e.file, e.arg(WORD.rwOffset));
      if (known !== undefined) this.use(this.word(WORD.rwOffset), 8, known);
    }
    if (e.kind === Kind.WRITE && e.fileKind === FileKind.FAULT) this.#responses(e.in);
  }

  #responses(span: Span): void {
    const struct = this.fields.forms.table.record('FAULT', 'write');
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return;
    const e = this.e;
    for (let i = 0; i + struct.size <= span.bytes; i += struct.size) {
      const cookie = e.u32(span, i + at);
      const known = this.things.cookie(e.file, cookie) ?? this.things.nothing('cookie', e.file, BigInt(cookie));
      this.use(span.start + i + at, 4, known);
    }
  }

  // ---- settled, with the state after the event

  /** What nothing known was, now that the answer is there. */
  settle(e: EventBytes, draft: Draft, open: readonly Unsettled[]): void {
    const c = this.things.context(e);
    for (const { what, at, value, role } of open) {
      let known: Known;
      if (what === 'object') {
        if (c === undefined) continue;
        // a call that passed has shown that there was something
        const o = objectById(c, value);
        known =
          o?.origin === 'inferred'
            ? { symbol: this.things.symbolOf(o, c.context), addend: 0n, ended: false }
            : this.things.nothing('object', c.context, BigInt(value));
      } else {
        const symbol = e.kind === Kind.DUP && at !== FRAME_AT.fd ? undefined : this.things.fd(e.pid, value);
        const none = e.kind === Kind.DUP && at !== FRAME_AT.fd ? true : e.error === EBADF;
        if (symbol !== undefined) known = { symbol, addend: 0n, ended: false };
        else if (none) known = this.things.nothing('fd', this.things.members.of(e.pid).index, BigInt(value));
        else known = { symbol: this.things.foreign(e.pid, value, role), addend: 0n, ended: false };
      }
      draft.uses = added(draft.uses, { at, width: 4, ...known });
    }
  }
}
