/** What the struct of an ioctl points to, in C: variables of their own, or bytes in the memory that was recorded. */
import { decodeStruct, fieldsOf, nestedApplies, nestedLength, type Values } from '../../hw/uapi/codec.ts';
import type { Command, Field, Struct } from '../../hw/uapi/types.ts';
import { type Part, PartFlag, PartKind } from '../../store/frame.ts';
import type { Step, Use } from '../program/program.ts';
import type { Numbers } from './c-numbers.ts';
import { byteItems, initialiser, stringLiteral } from './c-text.ts';
import { numberAt, trimmed, type Uses, usesIn } from './parts.ts';

const EFAULT = 14;
/** Buffers up to so many bytes are variables of their own; greater ones lie in the memory that was recorded. */
const MOST_LOCAL = 4096n;

export interface Said {
  readonly items: string[];
  /** offsets of bytes that no item says */
  readonly rest: number[];
  readonly restUses: Use[];
}

/** A buffer that is a variable. */
interface Local {
  readonly name: string;
  readonly struct: Struct | undefined;
  /** bytes of an element; 0: one struct */
  readonly each: number;
}

/** What one call's struct points to. */
export class Buffers {
  readonly declare: string[] = [];
  readonly before: string[] = [];
  /** by offset of the pointer, what it is */
  readonly instead = new Map<number, string>();
  readonly #locals = new Map<number, Local>();
  readonly #numbers: Numbers;
  readonly #step: Step;
  readonly #command: Command;
  readonly #asked: Part;
  readonly #uses: Uses;
  readonly #values: Values;
  readonly #arm: string | undefined;
  readonly #items: (struct: Struct, bytes: Uint8Array, uses: Uses) => Said;

  constructor(
    numbers: Numbers,
    step: Step,
    command: Command,
    asked: Part,
    uses: Uses,
    arm: string | undefined,
    items: (struct: Struct, bytes: Uint8Array, uses: Uses) => Said,
  ) {
    this.#numbers = numbers;
    this.#step = step;
    this.#command = command;
    this.#asked = asked;
    this.#uses = uses;
    this.#arm = arm;
    this.#items = items;
    this.#values = command.struct === undefined ? {} : decodeStruct(command.struct, asked.bytes, arm).values;
  }

  make(struct: Struct): void {
    for (const f of fieldsOf(struct, this.#arm)) {
      const use = this.#uses.get(f.offset);
      if (f.nested === undefined || f.nested.dir === 'mapped' || use === undefined || use.width !== 8) continue;
      if (this.#numbers.program.symbols[use.symbol]?.sort !== 'memory' || !nestedApplies(f.nested, this.#values)) continue;
      this.#buffer(f, use);
    }
  }

  #buffer(f: Field, use: Use): void {
    const { parts } = this.#step;
    const given = parts.find((p) => p.kind === PartKind.NESTED_IN && p.slot === f.offset);
    const taken = parts.find((p) => p.kind === PartKind.NESTED_OUT && p.slot === f.offset);
    const length = nestedLength(f.nested!, this.#values);
    const fault = [given, taken].some((p) => ((p?.flags ?? 0) & (PartFlag.FAULT | PartFlag.TRUNCATED)) !== 0);
    const needs = f.nested!.dir !== 'out' && given === undefined;
    if (length === 0n || length > MOST_LOCAL || fault || needs || this.#step.error === EFAULT) {
      if (given !== undefined && given.bytes.length > 0) this.#there(use, given);
      return;
    }
    this.#local(f, Number(length), given);
  }

  /** Bytes go where they were. */
  #there(use: Use, given: Part): void {
    const uses = usesIn(this.#step, given);
    const at = this.#numbers.pointer(use);
    const bytes = trimmed(given.bytes);
    const to = at.includes(' ') ? `(${at})` : at;
    if (bytes.length > 256) {
      this.declare.push(...initialiser(`static const __u8 bytes${given.slot}[] =`, byteItems(bytes)));
      this.before.push(`memcpy(${at}, bytes${given.slot}, ${bytes.length});`);
    } else this.before.push(`memcpy(${at}, ${stringLiteral(bytes)}, ${bytes.length});`);
    if (bytes.length < given.bytes.length) this.before.push(`memset(${to} + ${bytes.length}, 0, ${given.bytes.length - bytes.length});`);
    for (const [offset, u] of uses)
      this.before.push(`memcpy(${to} + ${offset}, &(__u${8 * u.width}){ ${this.#numbers.symbol(u)} }, ${u.width});`);
  }

  #local(f: Field, length: number, given: Part | undefined): void {
    const name = this.#name(f);
    const bytes = new Uint8Array(length);
    if (given !== undefined) bytes.set(given.bytes.subarray(0, length));
    const uses = given === undefined ? new Map<number, Use>() : usesIn(this.#step, given);
    const { struct, each } = this.#shape(f, length);
    if (struct !== undefined) {
      const count = each === 0 ? 1 : length / each;
      const said = Array.from({ length: count }, (_, i) => {
        const from = i * (each || length);
        const inside = new Map([...uses].filter(([at]) => at >= from && at < from + (each || length)).map(([at, u]) => [at - from, u]));
        return this.#items(struct, bytes.subarray(from, from + (each || length)), inside);
      });
      if (said.every((s) => s.rest.length === 0 && s.restUses.length === 0)) {
        const type = this.#numbers.used.struct(struct);
        if (each === 0) this.declare.push(...initialiser(`${type} ${name} =`, said[0]!.items));
        else if (said.every((s) => s.items.length === 0)) this.declare.push(`${type} ${name}[${count}] = {};`);
        else
          this.declare.push(
            ...initialiser(
              `${type} ${name}[${count}] =`,
              said.map((s) => `{ ${s.items.join(', ')} }`),
            ),
          );
        this.#locals.set(f.offset, { name, struct, each });
        this.instead.set(f.offset, `(uintptr_t)${each === 0 ? '&' : ''}${name}`);
        return;
      }
    }
    const items = bytes.every((b) => b === 0) ? ['0'] : byteItems(trimmed(bytes));
    this.declare.push(...initialiser(`__u8 ${name}[${length}] __attribute__((aligned(8))) =`, items));
    for (const [at, u] of uses)
      this.before.push(`memcpy(${name} + ${at}, &(__u${8 * u.width}){ ${this.#numbers.symbol(u)} }, ${u.width});`);
    this.#locals.set(f.offset, { name, struct: undefined, each: 1 });
    this.instead.set(f.offset, `(uintptr_t)${name}`);
  }

  #shape(f: Field, length: number): { readonly struct: Struct | undefined; readonly each: number } {
    const { table } = this.#numbers.used;
    const nested = f.nested!;
    if (nested.of === 'struct') {
      const struct = table.struct(nested.struct ?? '');
      return struct === undefined || length % struct.size !== 0 ? { struct: undefined, each: 1 } : { struct, each: struct.size };
    }
    if (nested.of !== 'payload' && nested.of !== 'entries') return { struct: undefined, each: 1 };
    const entry = nested.entry === undefined ? undefined : Number(this.#values[nested.entry] ?? 0);
    const struct = table.payload(this.#command, f.name, this.#discriminator(f), entry);
    if (struct === undefined || struct.trailing !== undefined) return { struct: undefined, each: 1 };
    if (entry === undefined) return length > struct.size ? { struct: undefined, each: 1 } : { struct, each: 0 };
    return entry === struct.size && length % entry === 0 ? { struct, each: entry } : { struct: undefined, each: 1 };
  }

  /** What says which struct it is: asked with, or answered. */
  #discriminator(f: Field): number {
    const by = this.#numbers.used.table.payloads(this.#command.name, f.name)[0]?.by ?? '';
    const field = this.#command.struct?.byName.get(by);
    if (field === undefined) return 0;
    const from = field.dir === 'out' ? (this.#step.parts.find((p) => p.kind === PartKind.OUT) ?? this.#asked) : this.#asked;
    return Number(numberAt(from.bytes, field.offset, 4));
  }

  #name(f: Field): string {
    const last = f.label.slice(f.label.lastIndexOf('.') + 1).replace(/_uptr$/, '');
    const name = last === 'uptr' || last === 'arg' ? 'buffer' : last;
    return [...this.#locals.values()].some((l) => l.name === name) ? `${name}${f.offset}` : name;
  }

  bytes(slot: number, at: number): string | undefined {
    const local = this.#locals.get(slot);
    if (local !== undefined) return `(char *)${local.each === 0 ? '&' : ''}${local.name} + ${at}`;
    const use = this.#uses.get(slot);
    return use === undefined ? undefined : `${this.#numbers.pointer(use)} + ${at}`;
  }

  field(slot: number, at: number, width: number): string | undefined {
    const local = this.#locals.get(slot);
    if (local?.struct === undefined) return undefined;
    const inside = local.each === 0 ? at : at % local.each;
    const f = fieldsOf(local.struct).find((o) => o.offset === inside && o.size === width);
    return f === undefined ? undefined : `${local.name}${local.each === 0 ? '' : `[${Math.floor(at / local.each)}]`}.${f.name}`;
  }
}
