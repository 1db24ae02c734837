/** The fields of a call's struct, and of what it points to, with their places in the frame. */
import { targetOfFileKind, type UapiTable } from '../../hw/uapi/table.ts';
import { type Command, type Field, type Length, SCALAR_BYTES, type Struct } from '../../hw/uapi/types.ts';
import { PartKind } from '../../store/frame.ts';
import { type CommandForms, DESCRIPTOR, type Form, Forms, type How, readingTable, VM_MEMORY } from '../diff/meaning/forms.ts';
import type { EventBytes, Span } from '../event.ts';
import type { U64 } from '../u64.ts';

/** Takes fields: `at` is the place in the event's buffer. */
export interface FieldSink {
  field(form: Form, how: How, at: number, value: U64): void;
  /** a pointer that the kernel follows, and how many bytes the call says are there; beyond 2^53 it is not exact */
  pointer(form: Form, at: number, value: U64, bytes: number): void;
}

/** A descriptor at the end of a VFIO struct, or the address of a VM's memory: what forms do not tell. */
const FD_FORM: Form = {
  name: { text: 'fd', hash: 0 },
  how: 'file',
  field: { name: 'fd', label: 'fd', type: 's32', dir: 'in', offset: 0, size: 4 },
  offset: 0,
  width: 4,
  count: 1,
  input: true,
  output: false,
  space: -1,
  done: -1,
};

export class Fields {
  readonly forms: Forms;

  constructor(table: UapiTable) {
    this.forms = new Forms(readingTable(table));
  }

  command(e: EventBytes): Command | undefined {
    const target = targetOfFileKind(e.fileKind);
    return target === undefined ? undefined : this.forms.table.command(target, e.request);
  }

  of(command: Command): CommandForms | undefined {
    return this.forms.command(command);
  }

  /** What a successful call chose for itself: areas are where the kernel wants them. */
  chose(e: EventBytes, forms: CommandForms): boolean {
    return forms.choice >= 0 && (e.u32(e.in, forms.choice) & 1) === 0;
  }

  /** The fields that were asked with. */
  asked(e: EventBytes, forms: CommandForms, sink: FieldSink): void {
    const op = forms.arms.get(e.u32(e.in, 4));
    const chose = this.chose(e, forms);
    for (const f of forms.forms) {
      if (!f.input || (f.field.arm !== undefined && f.field.arm !== op?.arm)) continue;
      if (f.how === 'iova' && f.output && chose) continue;
      const how: How = op !== undefined && f.field.ref?.[0] === 'OP' ? op.id : f.how;
      if (f.field.nested !== undefined) this.#pointer(e, forms, f, sink);
      else if (f.field.name === VM_MEMORY.pointer) this.#vmMemory(e, forms, f, sink);
      else this.#field(e, e.in, f, how, sink);
      const read = f.reads === undefined || (e.u32(e.in, f.reads.at) & f.reads.mask) !== 0;
      if (f.field.nested !== undefined && read) this.#nested(e, forms, f, PartKind.NESTED_IN, e.in, sink);
    }
    this.#trailing(e, forms, sink);
  }

  /** The fields of the answer. `call`: the event that has what was asked. */
  answered(e: EventBytes, forms: CommandForms, sink: FieldSink): void {
    const op = forms.arms.get(e.u32(e.in, 4));
    for (const f of forms.forms) {
      if (f.field.arm !== undefined && f.field.arm !== op?.arm) continue;
      if (f.output) this.#field(e, e.out, f, f.how, sink);
      if (f.field.nested !== undefined) this.#nested(e, forms, f, PartKind.NESTED_OUT, e.out, sink);
    }
  }

  /** Records of an event queue: bytes that were read or written. */
  records(e: EventBytes, span: Span, struct: Struct, sink: FieldSink): void {
    this.#elements(e, span, struct, struct.size, sink);
  }

  #field(e: EventBytes, span: Span, f: Form, how: How, sink: FieldSink, base = 0): void {
    if (how === 'skip') return;
    for (let i = 0; i < f.count; i++) {
      const at = base + f.offset + i * f.width;
      if (at + f.width > span.bytes) return;
      sink.field(f, how, span.start + at, e.number(span, at, f.width));
    }
  }

  #pointer(e: EventBytes, forms: CommandForms, f: Form, sink: FieldSink): void {
    const { nested } = f.field;
    if (nested === undefined || f.offset + f.width > e.in.bytes) return;
    const at = (name: string): number => {
      const field = forms.struct.byName.get(name);
      return field === undefined ? 0 : Number(e.number(e.in, field.offset, SCALAR_BYTES[field.type]));
    };
    if (nested.when !== undefined && (at(nested.when.field) & nested.when.mask) >>> 0 !== nested.when.equals) return;
    sink.pointer(f, e.in.start + f.offset, e.number(e.in, f.offset, f.width), lengthOf(nested.length, at));
  }

  #vmMemory(e: EventBytes, forms: CommandForms, f: Form, sink: FieldSink): void {
    const length = forms.struct.byName.get(VM_MEMORY.length);
    if (f.offset + 8 > e.in.bytes) return;
    const bytes = length === undefined ? 0 : Number(e.u64(e.in, length.offset));
    sink.pointer(f, e.in.start + f.offset, e.u64(e.in, f.offset), bytes);
  }

  #nested(e: EventBytes, forms: CommandForms, f: Form, kind: PartKind, outer: Span, sink: FieldSink): void {
    const { nested } = f.field;
    const span = nested === undefined || nested.dir === 'mapped' ? undefined : e.part(kind, f.offset);
    if (nested === undefined || span === undefined) return;
    const told = outer.bytes >= 0 ? outer : e.in;
    const struct = this.forms.pointedTo(forms, f.field, (field: Field) => Number(e.number(told, field.offset, 4)));
    if (struct === undefined) return;
    const entry = nested.of === 'entries' && nested.entry !== undefined ? forms.struct.byName.get(nested.entry) : undefined;
    const stride = Math.max(1, entry === undefined ? struct.size : e.u32(e.in, entry.offset));
    this.#elements(e, span, struct, nested.of === 'payload' ? span.bytes : stride, sink);
  }

  #elements(e: EventBytes, span: Span, struct: Struct, stride: number, sink: FieldSink): void {
    const { forms } = this.forms.struct(struct);
    // most have nothing but values
    if (forms.every((f) => (f.how === 'value' && !f.name.text.endsWith('mmap_length') && f.name.text !== 'cookie') || f.how === 'skip'))
      return;
    for (let at = 0; at < span.bytes && stride > 0; at += stride) {
      const one: Span = { start: span.start + at, bytes: Math.min(stride, span.bytes - at) };
      for (const f of forms) this.#field(e, one, f, f.how, sink);
    }
  }

  /** Descriptors behind a VFIO struct. */
  #trailing(e: EventBytes, forms: CommandForms, sink: FieldSink): void {
    const found = this.forms.descriptors(forms, e.in.bytes, (field) => e.u32(e.in, field.offset));
    if (found === undefined) return;
    const form: Form = { ...FD_FORM, field: { ...FD_FORM.field, fd: found.role } };
    for (let i = 0; i < found.count; i++) {
      const at = found.at + DESCRIPTOR * i;
      sink.field(form, 'file', e.in.start + at, e.u32(e.in, at));
    }
  }
}

function lengthOf(length: Length, at: (name: string) => number): number {
  switch (length.rule) {
    case 'field':
      return at(length.field) * length.times;
    case 'product':
      return at(length.a) * at(length.b);
    case 'fixed':
      return length.bytes;
    default: {
      const page = at(length.page);
      return page === 0 ? 0 : Math.ceil(Math.ceil(at(length.length) / page) / 64) * 8;
    }
  }
}
