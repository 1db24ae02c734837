/**
 * What an event says, in an order and in words that do not depend on the numbers which kernel and program happened to choose:
 * first what was asked (call and arguments), then what was answered (result, errno, outputs). Ids and descriptors are told
 * by who made them, addresses of the program only as NULL or not, IOVAs that the kernel chose by their area, mmap offsets
 * only as there or not. Times, pids, tids and the lengths of structs are not told at all.
 *
 * Not told, so not compared, yet: which addresses of the program are the same memory; the records of VFIO's capability chains
 * field by field (their bytes are compared); ids of things that were made before the recording began (compared as numbers); of
 * descriptors that no recording follows (eventfds) which of two calls are the same one's: within a call it is told; what
 * registers an MMIO access is to beyond its offset. Nor is what `redact` has taken out of one of the traces (withheld.ts).
 */
import { targetOfFileKind, type UapiTable } from '../../../hw/uapi/table.ts';
import type { Command, Struct } from '../../../hw/uapi/types.ts';
import { FileKind, Kind, MMIO_SOURCE_SHIFT, PartKind, State } from '../../../store/frame.ts';
import type { EventBytes, Span } from '../../event.ts';
import { type ClassName, hasKnownContent } from '../../redact/classes.ts';
import type { U64 } from '../../u64.ts';
import {
  type CommandForms,
  callName,
  DESCRIPTOR,
  type Descriptors,
  type Form,
  Forms,
  type How,
  type Name,
  named,
  readingTable,
} from './forms.ts';
import type { Chosen, Links } from './links.ts';
import { askPlain } from './plain-calls.ts';
import { type Sink, WORDS } from './sink.ts';
import { NOTHING_WITHHELD, type Withheld, Withholding } from './withheld.ts';

/** Places of the values of one element: more than a field has values. */
const ELEMENT = 256;

/** Bytes of an entry of a command queue. */
const QUEUE_ENTRY = 16;
/** Kinds whose result is a number that says nothing about the call: an address, a descriptor, a pid. */
const RESULT_CHOSEN: ReadonlySet<number> = new Set([Kind.OPEN, Kind.DUP, Kind.MMAP, Kind.MREMAP, Kind.FORK, Kind.FD]);

export class Meaning {
  readonly forms: Forms;
  readonly #withholding: Withholding;
  /** the event has made areas where the kernel chose */
  chose = false;
  /** place of the element that is being told */
  #place = 0;

  constructor(table: UapiTable, withheld: Withheld = NOTHING_WITHHELD) {
    this.forms = new Forms(readingTable(table));
    this.#withholding = new Withholding(withheld);
  }

  withholds(sort: ClassName): boolean {
    return this.#withholding.withholds(sort);
  }

  /** Values that were not told, so far. */
  get withheld(): number {
    return this.#withholding.count;
  }

  /** The call of an ioctl, by the file that it is on; undefined: not in the table. */
  command(e: EventBytes): Command | undefined {
    const target = targetOfFileKind(e.fileKind);
    return target === undefined ? undefined : this.forms.table.command(target, e.request);
  }

  /** Tells what was asked, with the state before the event. */
  ask(e: EventBytes, links: Links, to: Sink): void {
    this.chose = false;
    to.value(WORDS.call, e.kind);
    // a file that the event itself brings is not there before it
    if (e.fd >= 0 && e.kind !== Kind.OPEN && e.kind !== Kind.FD) to.link(WORDS.file, links.file(e, e.fd), '', e.fd);
    to.value(WORDS.kindOfFile, e.fileKind);
    if (e.kind === Kind.IOCTL) this.#askIoctl(e, links, to);
    else {
      askPlain(e, links, to, this.#withholding);
      if (e.kind === Kind.WRITE) this.#records(e, e.in, 'write', links, to);
    }
  }

  /** Tells what was answered, with the state after the event. */
  answer(e: EventBytes, links: Links, to: Sink): void {
    to.answer();
    if (e.state === State.ENTERED) {
      to.value(WORDS.unfinished, 1);
      return;
    }
    to.value(WORDS.errno, e.error);
    const command = e.kind === Kind.IOCTL ? this.command(e) : undefined;
    const chosen = RESULT_CHOSEN.has(e.kind) || (command?.returns !== undefined && command.returns.fd !== undefined);
    const test = command?.name === 'IOMMU_TEST_CMD' && e.ret > 0;
    if (e.error === 0 && e.kind !== Kind.MMIO) chosen || test ? to.chosen(WORDS.ret, e.ret64) : to.value(WORDS.ret, e.ret64);
    if (e.kind === Kind.MMIO) to.value(WORDS.ret, e.ret64);
    if (e.kind === Kind.IOCTL) this.#answerIoctl(e, command, links, to);
    else if (e.kind === Kind.READ) this.#records(e, e.out, 'read', links, to);
    else if (e.out.bytes >= 0) this.#withholding.bytes(to, contentOf(e), WORDS.data, e.buffer, e.out.start, e.out.bytes);
  }

  #askIoctl(e: EventBytes, links: Links, to: Sink): void {
    const command = this.command(e);
    const forms = command === undefined ? undefined : this.forms.command(command);
    if (command === undefined) to.value(named('request'), e.request);
    else to.value(named(callName(command.name)), 1);
    if (forms === undefined || e.in.bytes < 0) {
      if (command?.arg === 'fd-pointer' && e.in.bytes === 4) to.link(WORDS.argument, links.file(e, e.s32(e.in, 0)), '', e.u32(e.in, 0));
      else if (e.in.bytes >= 0) this.#withholding.bytes(to, argumentOf(command), WORDS.argument, e.buffer, e.in.start, e.in.bytes);
      else if (command === undefined) this.#withholding.word(to, WORDS.argument, e.arg(0));
      else if (command.arg === 'int') to.value(WORDS.argument, e.arg(0));
      return;
    }
    this.#struct(e, forms, links, to);
  }

  #struct(e: EventBytes, forms: CommandForms, links: Links, to: Sink): void {
    const op = forms.arms.get(e.u32(e.in, 4));
    this.chose = forms.choice >= 0 && (e.u32(e.in, forms.choice) & 1) === 0;
    for (const f of forms.forms) {
      if (!f.input || (f.field.arm !== undefined && f.field.arm !== op?.arm)) continue;
      if (f.how === 'iova' && f.output && this.chose) continue;
      const how: How = op !== undefined && f.field.ref?.[0] === 'OP' ? op.id : f.how;
      this.#field(e, e.in, 0, f, how, links, to);
      // what the kernel only writes is there as whatever the program had left in it
      const read = f.reads === undefined || (e.u32(e.in, f.reads.at) & f.reads.mask) !== 0;
      if (f.field.nested !== undefined && read) this.#nested(e, forms, f, PartKind.NESTED_IN, links, to);
    }
    const fds = this.#fdsBehind(e, forms);
    if (fds !== undefined) this.#descriptors(e, fds.at, fds.count, links, to);
    this.#tail(e, e.in, forms.struct, to, endOf(fds, forms.struct));
  }

  #fdsBehind(e: EventBytes, forms: CommandForms): Descriptors | undefined {
    return this.forms.descriptors(forms, e.in.bytes, (field) => e.u32(e.in, field.offset));
  }

  /** Descriptors behind a struct. Of those that no recording follows (eventfds) counts which of them are the same. */
  #descriptors(e: EventBytes, from: number, count: number, links: Links, to: Sink): void {
    const name = named('fd');
    const first = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const fd = e.s32(e.in, from + DESCRIPTOR * i);
      this.#file(e, name, fd, links, to, i);
      const same = first.get(fd);
      if (same === undefined) first.set(fd, i);
      else if (fd >= 0) to.value(SAME, same + 1, i);
    }
  }

  /**
   * Bytes behind the struct (or `from` a place further on) that are not all zero. Where the kernel `refused` the call they may be
   * anything that happened to lie behind what the program meant.
   */
  #tail(e: EventBytes, span: Span, struct: Struct, to: Sink, from = struct.size, refused = false): void {
    if (span.bytes <= from) return;
    let end = span.bytes;
    while (end > from && e.buffer[span.start + end - 1] === 0) end--;
    if (end <= from) return;
    if (refused) to.chosen(WORDS.rest, end - from, this.#place);
    else this.#withholding.bytes(to, tailOf(struct), WORDS.rest, e.buffer, span.start + from, end - from, this.#place);
  }

  /** One field. A zero is not told: a caller that does not know the field says the same. */
  #field(e: EventBytes, span: Span, base: number, f: Form, how: How, links: Links, to: Sink): void {
    if (how === 'skip') return;
    const { name } = f;
    for (let i = 0; i < f.count; i++) {
      const at = base + f.offset + i * f.width;
      const place = this.#place + i;
      const value = e.number(span, at, f.width);
      if (value === 0 && !ZERO_COUNTS.has(how)) {
        if (at < span.bytes) to.zero?.(name);
        continue;
      }
      if (how === 'value') to.value(name, value, place);
      else if (how === 'object') {
        const { origin, type } = links.object(e, Number(value));
        if (type === '' && origin === 0) to.value(name, value, place);
        else to.link(name, origin, type, value, place);
      } else if (how === 'file') this.#file(e, name, Number(value) | 0, links, to, place);
      else if (how === 'iova') {
        const chosen = links.chosen(e, f.space, value);
        if (chosen === undefined) to.value(name, value, place);
        else {
          to.link(name, chosen.origin, 'area', value, place);
          to.value(name, chosen.offset, place);
        }
      } else if (how === 'cookie') this.#given(name, links.cookie(e, Number(value)), 'fault', value, to, place);
      else if (how === 'item') this.#given(name, links.item(e, Number(value)), 'pages', value, to, place);
      else if (how === 'window') {
        const window = links.window(e, value);
        if (window !== undefined) to.value(WORDS.window, window.index, place);
        to.value(name, window?.offset ?? value, place);
      } else if (how === 'log2') to.value(name, QUEUE_ENTRY * 2 ** Math.min(Number(value), 40), place);
      else to.chosen(name, value, place);
    }
  }

  /** A number that one file of the kernel's gave. */
  #given(name: Name, found: Chosen | undefined, type: string, value: U64, to: Sink, place: number): void {
    if (found === undefined) {
      to.value(name, value, place);
      return;
    }
    to.link(name, found.origin, type, value, place);
    to.value(name, found.offset, place);
  }

  #file(e: EventBytes, name: Name, fd: number, links: Links, to: Sink, place: number): void {
    if (fd < 0) {
      to.value(name, fd >>> 0, place);
      return;
    }
    to.link(name, links.file(e, fd), 'file', fd, place);
  }

  /** What a pointer points to. */
  #nested(e: EventBytes, forms: CommandForms, f: Form, kind: PartKind, links: Links, to: Sink): void {
    const { nested } = f.field;
    const span = e.part(kind, f.offset);
    if (nested === undefined || span === undefined || nested.dir === 'mapped') return;
    const struct = this.#pointedTo(e, forms, f);
    if (struct === undefined) {
      this.#withholding.bytes(to, nested.of === 'bitmap' ? [] : DATA, f.name, e.buffer, span.start, span.bytes);
      return;
    }
    const entry = nested.of === 'entries' && nested.entry !== undefined ? forms.struct.byName.get(nested.entry) : undefined;
    const stride = Math.max(1, entry === undefined ? struct.size : e.u32(e.in, entry.offset));
    // a call that failed has not come further than the entry at which it did
    const failed = kind === PartKind.NESTED_IN && e.error !== 0 && f.done >= 0 && e.out.bytes >= 0;
    const most = failed ? e.u32(e.out, f.done) + 1 : Number.POSITIVE_INFINITY;
    this.#elements(e, span, struct, nested.of === 'payload' ? span.bytes : stride, links, to, f.name, most);
  }

  #pointedTo(e: EventBytes, forms: CommandForms, f: Form): Struct | undefined {
    // an answer may say of what type it is, in the place where the question stood
    const span = e.out.bytes >= 0 ? e.out : e.in;
    return this.forms.pointedTo(forms, f.field, (field) => Number(e.number(span, field.offset, 4)));
  }

  #elements(
    e: EventBytes,
    span: Span,
    struct: Struct,
    stride: number,
    links: Links,
    to: Sink,
    behind: Name,
    most = Number.POSITIVE_INFINITY,
  ): void {
    const { forms, flat } = this.forms.struct(struct);
    for (let at = 0; at < span.bytes && stride > 0 && at < most * stride; at += stride) {
      this.#place = flat ? 0 : behind.hash + (at / stride) * ELEMENT;
      const one: Span = { start: span.start + at, bytes: Math.min(stride, span.bytes - at) };
      for (const f of forms) if (f.offset < one.bytes) this.#field(e, one, 0, f, f.how, links, to);
      this.#tail(e, one, struct, to, struct.size, e.error !== 0);
    }
    this.#place = 0;
  }

  #answerIoctl(e: EventBytes, command: Command | undefined, links: Links, to: Sink): void {
    const forms = command === undefined ? undefined : this.forms.command(command);
    if (e.out.bytes < 0) return;
    if (forms === undefined) {
      this.#withholding.bytes(to, argumentOf(command), WORDS.data, e.buffer, e.out.start, e.out.bytes);
      return;
    }
    const op = forms.arms.get(e.u32(e.in, 4));
    const chose = forms.choice >= 0 && (e.u32(e.in, forms.choice) & 1) === 0;
    // what a failed call left in a buffer that it did not touch is the program's
    const touched = e.error === 0 || forms.forms.some((f) => f.output && differs(e, f));
    for (const f of forms.forms) {
      if (f.field.arm !== undefined && f.field.arm !== op?.arm) continue;
      // a call that failed tells only what it has changed
      const tells = f.output && (e.error === 0 || differs(e, f));
      if (tells) this.#field(e, e.out, 0, f, f.how === 'iova' && chose ? 'created' : f.how, links, to);
      if (f.field.nested !== undefined && touched) this.#nested(e, forms, f, PartKind.NESTED_OUT, links, to);
    }
    if (e.error === 0) this.#tail(e, e.out, forms.struct, to, endOf(this.#fdsBehind(e, forms), forms.struct));
  }

  /** Cookies of faults that a read has told or a write has answered. */
  cookies(e: EventBytes): readonly number[] {
    if (e.fileKind !== FileKind.FAULT || (e.kind !== Kind.READ && e.kind !== Kind.WRITE) || e.state === State.ENTERED) return [];
    const [span, struct] = [e.kind === Kind.READ ? e.out : e.in, this.forms.table.record('FAULT', e.kind === Kind.READ ? 'read' : 'write')];
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return [];
    const whole = Math.floor(Math.min(span.bytes, e.ret) / struct.size);
    return Array.from({ length: Math.max(0, whole) }, (_, i) => e.u32(span, i * struct.size + at));
  }

  /** Records of fault and event queues. The type of a vEVENTQ's records is not known here: bytes, behind the header. */
  #records(e: EventBytes, span: Span, call: 'read' | 'write', links: Links, to: Sink): void {
    if (span.bytes < 0) return;
    const struct = e.fileKind === FileKind.FAULT ? this.forms.table.record('FAULT', call) : undefined;
    if (struct === undefined) this.#withholding.bytes(to, contentOf(e), WORDS.data, e.buffer, span.start, span.bytes);
    else this.#elements(e, span, struct, struct.size, links, to, WORDS.data);
  }
}

/** Values where 0 is one as good as any. */
const ZERO_COUNTS: ReadonlySet<How> = new Set(['file', 'offset', 'handle', 'cookie', 'item', 'window']);
const SAME = named('the same descriptor as');

// what `redact` changes bytes with (replayer/redact/frame.ts)
const DATA: readonly ClassName[] = ['data'];
const PAYLOAD: readonly ClassName[] = ['data', 'pointers'];
const BDFS: readonly ClassName[] = ['bdfs'];
const NOTHING: readonly ClassName[] = [];

/** Where what is told field by field ends. */
const endOf = (fds: Descriptors | undefined, { size }: Struct): number => (fds === undefined ? size : fds.at + DESCRIPTOR * fds.count);
const contentOf = (e: EventBytes): readonly ClassName[] => (hasKnownContent(e) ? NOTHING : DATA);
const argumentOf = (command: Command | undefined): readonly ClassName[] =>
  command === undefined ? DATA : command.arg === 'string' ? BDFS : NOTHING;

function tailOf({ trailing, fields }: Struct): readonly ClassName[] {
  // capabilities and lists of numbers are the kernel's
  if (trailing === undefined) return fields.some((f) => f.chain !== undefined) ? NOTHING : DATA;
  if (trailing.struct === 'vfio_pci_dependent_device') return BDFS;
  return trailing.payload === true ? PAYLOAD : NOTHING;
}

/** Kind, kind of file and call as one number; of IOMMU_TEST_CMD with its operation. */
export function calledOf(e: EventBytes, command: Command | undefined): number {
  const how = e.kind === Kind.MMIO ? e.request & ((1 << MMIO_SOURCE_SHIFT) - 1) : e.request;
  const call = command === undefined ? how : named(callName(command.name)).hash;
  return calledAs(e.kind, e.fileKind, call, command?.name === 'IOMMU_TEST_CMD' ? e.u32(e.in, 4) : 0);
}
export const calledAs = (kind: number, fileKind: number, call: number, op: number): number =>
  Math.imul(kind | (fileKind << 8), 0x9e37_79b1) ^ (Math.imul(call, 0x85eb_ca6b) + op);

function differs(e: EventBytes, f: Form): boolean {
  for (let i = 0; i < f.count; i++) {
    const at = f.offset + i * f.width;
    if (e.number(e.out, at, f.width) !== e.number(e.in, at, f.width)) return true;
  }
  return false;
}
