/** The argument of an ioctl in C: its struct with designated initialisers, and buffers that it points to. */
import { fieldsOf, testOpOf } from '../../hw/uapi/codec.ts';
import type { Command, Field, Struct } from '../../hw/uapi/types.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { type Part, PartFlag, PartKind } from '../../store/frame.ts';
import type { Step, Use } from '../program/program.ts';
import { Buffers, type Said } from './c-buffers.ts';
import { type Numbers, plain } from './c-numbers.ts';
import { byteItems, initialiser, stringLiteral } from './c-text.ts';
import { numberAt, trimmed, type Uses, usesIn } from './parts.ts';

/** Bytes of a struct that the recording has not, that there is room for all the same. */
const MOST_ROOM = 4096;

export interface Argument {
  /** declarations, a block of their own */
  readonly declare: string[];
  /** statements before the call */
  readonly before: string[];
  /** the call's third argument; undefined: it has none */
  readonly value: string | undefined;
  /** the lvalue of a field of the struct after the call, or where its bytes are */
  readonly field: (offset: number, width: number) => string | undefined;
  /** an address of bytes: of the struct (slot undefined) or of the buffer behind a pointer */
  readonly bytes: (slot: number | undefined, offset: number) => string | undefined;
  /** the lvalue of a field of a buffer */
  readonly nested: (slot: number, offset: number, width: number) => string | undefined;
  /** which struct, for who looks at the answer */
  readonly struct: Struct | undefined;
  readonly arm: string | undefined;
}

const NO_LVALUE = (): undefined => undefined;
const plainArgument = (value: string | undefined): Argument => ({
  declare: [],
  before: [],
  value,
  field: NO_LVALUE,
  bytes: NO_LVALUE,
  nested: NO_LVALUE,
  struct: undefined,
  arm: undefined,
});

/** Declares what calls point to, one call at a time. */
export class Arguments {
  readonly #numbers: Numbers;

  constructor(numbers: Numbers) {
    this.#numbers = numbers;
  }

  /** Items of a struct's initialiser. `instead`: by offset of a field, what it is. */
  #items(struct: Struct, bytes: Uint8Array, uses: Uses, arm: string | undefined, instead: ReadonlyMap<number, string>): Said {
    const items: string[] = [];
    const said = new Uint8Array(Math.min(bytes.length, struct.size));
    const left = new Map(uses);
    const unions = new Set<string>();
    const fields = [...fieldsOf(struct, arm)].sort((a, b) => a.offset - b.offset || Number(a.dir === 'out') - Number(b.dir === 'out'));
    for (const f of fields) {
      if (f.offset + f.size > bytes.length) continue;
      if (f.union !== undefined && f.arm === undefined) {
        if (unions.has(f.union)) continue;
        unions.add(f.union);
      }
      const other = instead.get(f.offset);
      const values = other === undefined ? this.#values(f, bytes, left) : [other];
      if (values === undefined) continue;
      said.fill(1, f.offset, f.offset + f.size);
      if (other !== undefined) left.delete(f.offset);
      if (f.dir !== 'out' && values.some((v) => v !== '0'))
        items.push(`.${f.name} = ${f.count === undefined ? values[0] : `{ ${values.join(', ')} }`}`);
    }
    const rest = Array.from(bytes.keys()).filter((at) => said[at] !== 1 && bytes[at] !== 0 && !covered(left, at));
    return { items, rest, restUses: [...left].map(([at, u]) => ({ ...u, at })) };
  }

  /** A field's numbers; undefined where a symbol is in it in another way. Takes the symbols that it says. */
  #values(f: Field, bytes: Uint8Array, left: Map<number, Use>): string[] | undefined {
    const width = SCALAR_BYTES[f.type];
    const values: string[] = [];
    const taken: number[] = [];
    for (let i = 0; i < (f.count ?? 1); i++) {
      const at = f.offset + i * width;
      const use = left.get(at);
      if (use !== undefined && use.width !== width) return undefined;
      if (use !== undefined) taken.push(at);
      values.push(this.#numbers.field(f, numberAt(bytes, at, width), use));
    }
    if (taken.length === 0 && [...left.keys()].some((at) => at >= f.offset && at < f.offset + f.size)) return undefined;
    // an answer's field is not asked with
    if (f.dir !== 'out') for (const at of taken) left.delete(at);
    return values;
  }

  /** Puts what no initialiser says. */
  #stores(to: string, bytes: Uint8Array, rest: readonly number[], uses: readonly Use[]): string[] {
    const lines: string[] = [];
    for (let i = 0; i < rest.length; i++) {
      const from = rest[i]!;
      let n = 1;
      while (rest[i + 1] === from + n) {
        n++;
        i++;
      }
      lines.push(`memcpy(${to} + ${from}, ${stringLiteral(bytes.subarray(from, from + n))}, ${n});`);
    }
    for (const u of uses) lines.push(`memcpy(${to} + ${u.at}, &(__u${8 * u.width}){ ${this.#numbers.symbol(u)} }, ${u.width});`);
    return lines;
  }

  /** Bytes without a struct. */
  #raw(name: string, bytes: Uint8Array, uses: Uses, room: number): { readonly declare: string[]; readonly before: string[] } {
    const zero = bytes.every((b) => b === 0);
    const items = zero ? ['0'] : byteItems(trimmed(bytes));
    const declare = initialiser(`__u8 ${name}[${Math.max(1, room)}] __attribute__((aligned(8))) =`, items);
    return {
      declare,
      before: this.#stores(
        name,
        bytes,
        [],
        [...uses].map(([at, u]) => ({ ...u, at })),
      ),
    };
  }

  // ---- of an ioctl

  of(step: Step, command: Command | undefined): Argument {
    const { parts } = step;
    const asked = parts.find((p) => p.kind === PartKind.IN);
    if (asked === undefined) return this.#word(step, command);
    const uses = usesIn(step, asked);
    const fault = (asked.flags & PartFlag.FAULT) !== 0;
    if (fault && asked.bytes.length === 0 && asked.address < 4096n) return plainArgument(this.#numbers.nowhere(asked.address));
    if (command?.arg === 'string' && !fault && uses.size === 0)
      return plainArgument(stringLiteral(asked.bytes.at(-1) === 0 ? asked.bytes.subarray(0, -1) : asked.bytes));
    if ((command?.arg === 'fd-pointer' || command?.arg === 'u32-pointer') && asked.bytes.length === 4 && !fault)
      return this.#four(asked, uses);
    const room = fault ? asked.bytes.length : Math.max(asked.bytes.length, Math.min(MOST_ROOM, Number(asked.wanted)));
    const made =
      command?.struct === undefined || command.arg !== 'struct'
        ? this.#bytes(asked, uses, room)
        : this.#struct(step, command, command.struct, asked, uses, room);
    if (!fault) return made;
    // its last byte is the last of a page, and the next is not there
    const size = asked.bytes.length;
    return { ...made, value: `${this.#numbers.used.helper('page_end')}(${made.value}, ${size})`, field: NO_LVALUE, bytes: NO_LVALUE };
  }

  #word(step: Step, command: Command | undefined): Argument {
    const words = step.parts.find((p) => p.kind === PartKind.ARGS);
    if (words === undefined || words.bytes.length < 8) return plainArgument(undefined);
    const use = usesIn(step, words).get(0);
    const word = numberAt(words.bytes, 0, 8);
    if (use !== undefined) return plainArgument(`(unsigned long)${this.#numbers.symbol(use)}`);
    if (command?.arg === 'none' && word === 0n) return plainArgument(undefined);
    const name = command?.argEnum === undefined ? undefined : this.#numbers.used.table.enumName(command.argEnum, word);
    return plainArgument(name === undefined ? `${plain(word, true)}UL` : this.#numbers.used.constant(command!.argEnum!, name));
  }

  #four(asked: Part, uses: Uses): Argument {
    const use = uses.get(0);
    const value = use === undefined ? String(BigInt.asIntN(32, numberAt(asked.bytes, 0, 4))) : this.#numbers.symbol(use);
    return { ...plainArgument('&arg'), declare: [`__s32 arg = ${value};`] };
  }

  #bytes(asked: Part, uses: Uses, room: number): Argument {
    const { declare, before } = this.#raw('arg', asked.bytes, uses, room);
    return { ...plainArgument('arg'), declare, before, bytes: (slot, at) => (slot === undefined ? `arg + ${at}` : undefined) };
  }

  #struct(step: Step, command: Command, struct: Struct, asked: Part, uses: Uses, room: number): Argument {
    const { used } = this.#numbers;
    const arm = testOpOf(used.table, command, asked.bytes)?.arm;
    if (arm !== undefined) used.arms.add(arm);
    const buffers = new Buffers(this.#numbers, step, command, asked, uses, arm, (s, b, u) => this.#items(s, b, u, undefined, new Map()));
    buffers.make(struct);
    const instead = new Map(buffers.instead);
    const head = fieldsOf(struct, arm)[0];
    const size = head?.offset === 0 && (head.name === 'size' || head.name === 'argsz') ? numberAt(asked.bytes, 0, 4) : -1n;
    const type = used.struct(struct, Math.max(Number(size), asked.bytes.length));
    const { items, rest, restUses } = this.#items(struct, asked.bytes, uses, arm, instead);
    const inUnion = room > struct.size || rest.length > 0 || restUses.length > 0;
    const own = inUnion ? 'arg.cmd' : 'arg';
    if (head !== undefined && size === BigInt(struct.size) && items[0]?.startsWith(`.${head.name} = `) === true)
      items[0] = `.${head.name} = sizeof(${own})`;
    const declare = inUnion
      ? [`union { ${type} cmd; __u8 bytes[${Math.max(room, struct.size)}]; } arg = {`, ...initialiser('.cmd =', items, ',', '\t'), '};']
      : initialiser(`${type} arg =`, items);
    return {
      declare: [...buffers.declare, ...declare],
      before: [...buffers.before, ...this.#stores('arg.bytes', asked.bytes, rest, restUses)],
      value: '&arg',
      field: (offset, width) => {
        const fields = fieldsOf(struct, arm).filter((o) => o.offset === offset && o.size === width);
        const f = fields.find((o) => o.dir !== 'in') ?? fields[0];
        return f === undefined ? undefined : `${own}.${f.name}`;
      },
      bytes: (slot, at) => (slot === undefined ? `(char *)&arg + ${at}` : buffers.bytes(slot, at)),
      nested: (slot, at, width) => buffers.field(slot, at, width),
      struct,
      arm,
    };
  }
}

const covered = (uses: Uses, at: number): boolean => [...uses].some(([from, u]) => at >= from && at < from + u.width);
