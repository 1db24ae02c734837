/**
 * A program in syzkaller's text (docs/program_syntax.md there): one sequence of calls. Calls that no struct fits are given as bytes,
 * with ids among them as resources all the same.
 */
import { errnoName } from '../../hw/errno.ts';
import { testOpOf } from '../../hw/uapi/codec.ts';
import { targetOfFileKind } from '../../hw/uapi/table.ts';
import type { Command, Field, ObjectType, Struct, TestOp } from '../../hw/uapi/types.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { Close, Kind, type Part, PartFlag, PartKind } from '../../store/frame.ts';
import { fdUse, type Program, type Step, type Use, whereIs } from '../program/program.ts';
import { aboutOf } from './about.ts';
import { castOf } from './actors.ts';
import { tableOf } from './c-program.ts';
import { commentText } from './c-text.ts';
import { issuedOf, type Left } from './issued.ts';
import { hasPosition, numberAt, usesIn, wordOf } from './parts.ts';
import { Descriptions, describedFields, isResource, type Piece } from './syz-descriptions.ts';
import { KNOWN, type KnownCall } from './syz-known.ts';
import { hex, PAGE, SyzMemory } from './syz-memory.ts';

const IOMMUFD = '/dev/iommu';
const AT_FDCWD = '0xffffffffffffff9c';
const MAP_FIXED = 0x10n;

export interface SyzSource {
  readonly text: string;
  readonly descriptions: string;
}

/** @param name of the trace, '' none */
export function syzProgram(program: Program, name: string): SyzSource {
  return new Writer(program).write(name);
}

const data = (bytes: Uint8Array): string => `"${Buffer.from(bytes).toString('hex')}"`;
const path = (bytes: Uint8Array): string => `'${Buffer.from(bytes).toString('latin1')}\\x00'`;

class Writer {
  readonly #program: Program;
  readonly #descriptions: Descriptions;
  readonly #memory: SyzMemory;
  readonly #wanted = new Set<number>();
  readonly #left: Left[] = [];
  readonly #sent: ReadonlyMap<number, number>;
  #calls = 0;

  constructor(program: Program) {
    this.#program = program;
    this.#memory = new SyzMemory(program);
    this.#descriptions = new Descriptions(tableOf(program));
    this.#sent = castOf(program).sent;
  }

  write(name: string): SyzSource {
    const { steps, left } = issuedOf(this.#program);
    for (const i of steps) for (const u of this.#program.steps[i]!.uses) this.#wanted.add(u.symbol);
    const files = this.#files();
    const lines: string[] = [];
    for (const i of steps) {
      const step = this.#program.steps[i]!;
      const call = this.#line(step, i);
      if (call === undefined) continue;
      this.#calls++;
      const error = step.returned && step.error !== 0 ? `: ${errnoName(step.error)}` : '';
      lines.push(`# #${step.seq}${error}`, call);
    }
    lines.unshift(...files, ...this.#memory.holes);
    const build = [
      'For syz-execprog. One sequence: processes and threads are made one after another, in the recorded order.',
      'IOVAs, offsets and cookies that the kernel chose are numbers as they were recorded, for no description makes them known.',
      'Calls named $rr_NAME are not described by syzkaller: export --format syz --descriptions writes what describes them.',
    ];
    const { size } = this.#memory.without;
    if (size > 0)
      build.push(
        `${size} ${size === 1 ? 'region' : 'regions'} of memory have no room in the 16 MiB that a program has: calls that name them answer otherwise.`,
      );
    const about = aboutOf(this.#program, { name, build }, this.#calls, [...left, ...this.#left]);
    return { text: `${[...about.map((l) => `# ${commentText(l)}`), '', ...lines].join('\n')}\n`, descriptions: this.#descriptions.text() };
  }

  /** Files in the place of those that no call makes. */
  #files(): string[] {
    const lines: string[] = [];
    for (const index of this.#wanted) {
      const s = this.#program.symbols[index]!;
      if (s.sort !== 'fd' || s.step >= 0) continue;
      if (s.type === 'FILE' || s.type === 'DMABUF') {
        const fd = this.#memory.define(index);
        const bytes = s.bytes > 0n ? s.bytes : 0x10_0000n;
        lines.push(`# ${s.name}`, `${fd} = memfd_create(${this.#memory.room(5)}='file\\x00', 0x0)`, `ftruncate(${fd}, ${hex(bytes)})`);
      } else if (s.type === 'EVENTFD') lines.push(`# ${s.name}`, `${this.#memory.define(index)} = eventfd2(0x0, 0x0)`);
      else if (s.type === 'IOMMUFD')
        lines.push(
          `# ${s.name}`,
          `${this.#memory.define(index)} = openat$iommufd(${AT_FDCWD}, ${this.#memory.room(11)}='/dev/iommu\\x00', 0x2, 0x0)`,
        );
    }
    return lines;
  }

  #leave(step: Step, why: string): undefined {
    this.#left.push({ seq: step.seq, why });
    return undefined;
  }

  /** `r4 = ` where the result is asked with later. */
  #assigned(step: Step, call: string): string {
    const made = step.error === 0 && step.returned ? this.#resultOf(step) : undefined;
    return made === undefined ? call : `${this.#memory.define(made)} = ${call}`;
  }

  /** The symbol that a step's result is. */
  #resultOf(step: Step): number | undefined {
    const made = step.defines.find((d) => {
      const where = whereIs(step, d.at);
      return where !== undefined && where.in !== 'part' && this.#wanted.has(d.symbol);
    });
    return made?.symbol;
  }

  // ---- calls

  #line(step: Step, index: number): string | undefined {
    switch (step.kind) {
      case Kind.IOCTL:
        return this.#ioctl(step);
      case Kind.OPEN: {
        const flags = hex(wordOf(step, 1).value);
        const text = step.text;
        const name = text.toString('latin1') === IOMMUFD ? 'openat$iommufd' : this.#descriptions.open(text.toString('latin1'));
        return this.#assigned(step, `${name}(${AT_FDCWD}, ${this.#memory.room(text.length + 1)}=${path(text)}, ${flags}, 0x0)`);
      }
      case Kind.CLOSE:
        return this.#close(step);
      case Kind.DUP:
        return this.#assigned(step, `dup(${this.#memory.fd(step)})`);
      case Kind.FD:
        return this.#receive(step, index);
      case Kind.MMAP:
        return this.#mmap(step);
      case Kind.MUNMAP: {
        const { use } = wordOf(step, 0);
        const at = use === undefined ? undefined : this.#memory.address(use);
        return at === undefined
          ? this.#leave(step, 'memory that is not known')
          : `munmap(&(${hex(at)}/${hex(wordOf(step, 1).value)})=nil, ${hex(wordOf(step, 1).value)})`;
      }
      case Kind.READ:
      case Kind.WRITE:
        return this.#transfer(step);
      default:
        return this.#leave(step, 'no call that a sequence has: processes, messages, accesses of mapped memory');
    }
  }

  #close(step: Step): string | undefined {
    if (step.request !== Close.CLOSE) return this.#leave(step, 'descriptors closed by their range');
    const use = fdUse(step);
    const owner = use === undefined ? step.process : this.#program.symbols[use.symbol]!.process;
    if (owner !== step.process) return this.#leave(step, 'a copy that fork(2) made is closed: one sequence has no copies');
    return `close(${this.#memory.fd(step)})`;
  }

  /** A descriptor that came in a message is a duplicate of the one that was sent. */
  #receive(step: Step, index: number): string | undefined {
    const sent = this.#program.steps[this.#sent.get(index) ?? -1];
    if (sent === undefined) return this.#leave(step, 'a descriptor came in a message: it is not known from where');
    return this.#assigned(step, `dup(${this.#memory.fd(sent)})`);
  }

  #mmap(step: Step): string | undefined {
    const length = wordOf(step, 1).value;
    const whole = ((length + PAGE - 1n) / PAGE) * PAGE;
    const at = this.#memory.mapping(step, whole);
    if (at === undefined) return this.#leave(step, 'a mapping that is larger than the memory of a program');
    const flags = hex(wordOf(step, 3).value | MAP_FIXED);
    return `mmap(&(${hex(at)}/${hex(whole)})=nil, ${hex(length)}, ${hex(wordOf(step, 2).value)}, ${flags}, ${this.#memory.fd(step)}, ${hex(wordOf(step, 4).value)})`;
  }

  #transfer(step: Step): string | undefined {
    const count = wordOf(step, 0).value;
    const position = hasPosition(step) ? `, ${hex(wordOf(step, 1).value)}` : '';
    const name = `${position === '' ? '' : 'p'}${step.kind === Kind.READ ? 'read' : 'write'}${position === '' ? '' : '64'}`;
    if (count > 0x1_0000n) return this.#leave(step, 'more bytes than a program of syzkaller has room for');
    if (step.kind === Kind.READ)
      return `${name}(${this.#memory.fd(step)}, ${this.#memory.room(Number(count))}=""/${count}, ${hex(count)}${position})`;
    const given = step.parts.find((p) => p.kind === PartKind.IN);
    const bytes = given?.bytes ?? new Uint8Array(Number(count)).fill(0xff);
    return `${name}(${this.#memory.fd(step)}, ${this.#memory.room(bytes.length)}=${data(bytes)}, ${hex(count)}${position})`;
  }

  // ---- ioctl

  #ioctl(step: Step): string {
    const table = tableOf(this.#program);
    const command = table.command(targetOfFileKind(step.fileKind) ?? 'iommufd', step.request);
    const asked = step.parts.find((p) => p.kind === PartKind.IN);
    const request = hex(step.request);
    if (asked === undefined) {
      const { value, use } = wordOf(step, 0);
      const name = this.#descriptions.raw({ given: 'NUMBER', file: this.#makesFile(step) });
      return this.#assigned(step, `${name}(${this.#memory.fd(step)}, ${request}, ${this.#memory.number(value, use, false)})`);
    }
    const struct = command?.arg === 'struct' ? command.struct : undefined;
    if (command === undefined || struct === undefined) return this.#plain(step, asked);
    const op = testOpOf(table, command, asked.bytes);
    if (command.name === 'IOMMU_TEST_CMD' && op === undefined) return this.#plain(step, asked);
    if ((asked.flags & PartFlag.FAULT) !== 0) return this.#plain(step, asked);
    const known = this.#known(step, command, struct, op, asked);
    if (known === undefined && !(this.#isWhole(struct, op, asked) && this.#says(step, struct, op, asked))) return this.#plain(step, asked);
    const name = known?.name ?? this.#descriptions.need(command, op, asked.bytes.length, this.#objectOf(step, command, asked));
    const fields = this.#fields(step, struct, op, asked, known !== undefined);
    return this.#assigned(step, `${name}(${this.#memory.fd(step)}, ${request}, ${this.#memory.room(struct.size)}={${fields.join(', ')}})`);
  }

  /** Is it all of the struct, or of an older one: whole fields, and no fewer than the kernel takes? */
  #isWhole(struct: Struct, op: TestOp | undefined, asked: Part): boolean {
    const { length } = asked.bytes;
    if (length === struct.size) return true;
    return op === undefined && length >= struct.min && struct.fields.some((f) => f.offset + f.size === length);
  }

  /** A call that syzkaller describes. */
  #known(step: Step, command: Command, struct: Struct, op: TestOp | undefined, asked: Part): KnownCall | undefined {
    const uses = usesIn(step, asked);
    const field = (name: string): Field | undefined =>
      struct.byName.get(name) ?? struct.fields.find((f) => f.arm === op?.arm && f.label === name);
    return KNOWN.find((k) => {
      const size = k.size ?? struct.size;
      if (k.of !== (op?.name ?? command.name) || asked.bytes.length !== size || numberAt(asked.bytes, 0, 4) !== BigInt(size)) return false;
      if (
        !this.#says(step, struct, op, asked) ||
        struct.fields.some(
          (f) => f.zero === true && f.offset + f.size <= size && numberAt(asked.bytes, f.offset, Math.min(8, f.size)) !== 0n,
        )
      )
        return false;
      if (
        Object.entries(k.when ?? {}).some(
          ([name, n]) => numberAt(asked.bytes, field(name)?.offset ?? 0, Math.min(8, field(name)?.size ?? 0)) !== BigInt(n),
        )
      )
        return false;
      // an id that no call made may be any
      if (k.object !== undefined && !k.object.includes(this.#objectOf(step, command, asked) ?? k.object[0]!)) return false;
      const memory = uses.get(field('user_va')?.offset ?? -1);
      const at = memory === undefined ? undefined : this.#memory.address(memory);
      return (
        k.pages !== true || (at !== undefined && at % PAGE === 0n && numberAt(asked.bytes, field('length')?.offset ?? 0, 8) % PAGE === 0n)
      );
    });
  }

  /** Do the fields say all that is in the struct? What only the kernel writes must be 0, and a pointer into memory of the program. */
  #says(step: Step, struct: Struct, op: TestOp | undefined, asked: Part): boolean {
    if (struct.trailing !== undefined) return false;
    const uses = usesIn(step, asked);
    const said = new Uint8Array(asked.bytes.length);
    for (const f of describedFields(struct, op)) {
      const use = uses.get(f.offset);
      const isKnown = f.nested === undefined || (use !== undefined && this.#memory.address(use) !== undefined);
      if (f.dir !== 'out' && isKnown) said.fill(1, f.offset, f.offset + f.size);
    }
    return asked.bytes.every((b, i) => b === 0 || said[i] === 1);
  }

  /** Type of the object whose id IOMMU_DESTROY is given. */
  #objectOf(step: Step, command: Command, asked: Part): ObjectType | undefined {
    const id = command.name === 'IOMMU_DESTROY' ? usesIn(step, asked).get(command.struct?.byName.get('id')?.offset ?? -1) : undefined;
    const symbol = id === undefined ? undefined : this.#program.symbols[id.symbol];
    return symbol?.sort === 'object' ? (symbol.type as ObjectType) : undefined;
  }

  /** @param known syzkaller describes the call itself */
  #fields(step: Step, struct: Struct, op: TestOp | undefined, asked: Part, known: boolean): string[] {
    const uses = usesIn(step, asked);
    const out = step.parts.find((p) => p.kind === PartKind.OUT);
    const start = out === undefined ? -1 : out.bytes.byteOffset - step.frame.byteOffset;
    return describedFields(struct, op)
      .filter((f) => f.offset + f.size <= asked.bytes.length)
      .map((f) => {
        const width = SCALAR_BYTES[f.type];
        const made =
          step.error === 0 && start >= 0 ? step.defines.find((d) => d.at === start + f.offset && this.#wanted.has(d.symbol)) : undefined;
        if (f.count !== undefined && width === 1) return data(asked.bytes.subarray(f.offset, f.offset + f.size));
        if (f.count !== undefined)
          return `[${Array.from({ length: f.count }, (_, i) => hex(numberAt(asked.bytes, f.offset + i * width, width))).join(', ')}]`;
        const use = uses.get(f.offset);
        const value = numberAt(asked.bytes, f.offset, width);
        if (made !== undefined && isResource(f)) {
          const given = f.dir === 'out' ? '0x0' : this.#memory.number(value, use, true);
          return `<${this.#memory.define(made.symbol)}=>${given}`;
        }
        if (f.nested !== undefined && use !== undefined) return this.#pointer(step, struct, f, use, asked, known);
        return this.#memory.number(value, use, isResource(f));
      });
  }

  #pointer(step: Step, struct: Struct, f: Field, use: Use, asked: Part, known: boolean): string {
    const at = this.#memory.address(use);
    if (at === undefined) return hex(numberAt(asked.bytes, f.offset, 8));
    if (f.nested!.dir === 'mapped') {
      const length = struct.fields.find((o) => f.nested!.length.rule === 'field' && o.name === f.nested!.length.field);
      const bytes = length === undefined ? PAGE : numberAt(asked.bytes, length.offset, SCALAR_BYTES[length.type]);
      return `&(${hex(at)}/${hex(((bytes + PAGE - 1n) / PAGE || 1n) * PAGE)})=nil`;
    }
    const given = step.parts.find((p) => p.kind === PartKind.NESTED_IN && p.slot === f.offset);
    const taken = step.parts.find((p) => p.kind === PartKind.NESTED_OUT && p.slot === f.offset);
    if (known && f.nested!.of === 'struct')
      return `&(${hex(at)})=[${this.#ranges((given ?? taken)?.bytes ?? new Uint8Array(), given !== undefined)}]`;
    const room = `""/${(given ?? taken)?.bytes.length ?? 1}`;
    if (f.nested!.dir === 'out') return `&(${hex(at)})=${room}`;
    return `&(${hex(at)})=${given === undefined ? `[@bytes=${room}]` : this.#pieces(step, given)}`;
  }

  /** Ranges of IOVAs: pairs of u64. */
  #ranges(bytes: Uint8Array, given: boolean): string {
    const rows: string[] = [];
    for (let i = 0; i + 16 <= bytes.length; i += 16)
      rows.push(given ? `{${hex(numberAt(bytes, i, 8))}, ${hex(numberAt(bytes, i + 8, 8))}}` : '{0x0, 0x0}');
    return rows.join(', ');
  }

  /** Bytes with ids, descriptors and pointers among them. */
  #pieces(step: Step, part: Part): string {
    const items: string[] = [];
    const add = (piece: Piece, text: string): void => {
      items.push(`@${piece}=${text}`);
    };
    let from = 0;
    const bytesTo = (to: number): void => {
      if (to > from) add('bytes', data(part.bytes.subarray(from, to)));
    };
    for (const [at, use] of [...usesIn(step, part)].sort((a, b) => a[0] - b[0])) {
      const variable = this.#memory.variable(use.symbol);
      const address = this.#memory.address(use);
      if (at < from || use.width !== (address === undefined ? 4 : 8) || (variable === undefined && address === undefined)) continue;
      bytesTo(at);
      if (address !== undefined) add('pointer', `&(${hex(address)})=""`);
      else
        add(
          this.#program.symbols[use.symbol]!.sort === 'fd' ? 'file' : 'id',
          `${variable}${use.addend === 0n ? '' : `+${hex(use.addend)}`}`,
        );
      from = at + use.width;
    }
    bytesTo(part.bytes.length);
    return `[${items.join(', ')}]`;
  }

  /** A call that no description fits. */
  #plain(step: Step, asked: Part): string {
    const room = (asked.flags & PartFlag.FAULT) !== 0 ? this.#memory.roomAtEnd(asked.bytes.length) : this.#memory.room(asked.bytes.length);
    const file = this.#makesFile(step);
    if (room === '0x0') return `ioctl(${this.#memory.fd(step)}, ${hex(step.request)}, ${room})`;
    if (!file && usesIn(step, asked).size === 0)
      return `ioctl(${this.#memory.fd(step)}, ${hex(step.request)}, ${room}=${data(asked.bytes)})`;
    const name = this.#descriptions.raw({ given: 'BYTES', file });
    return this.#assigned(step, `${name}(${this.#memory.fd(step)}, ${hex(step.request)}, ${room}=${this.#pieces(step, asked)})`);
  }

  /** Is the call's result a descriptor that is asked with later? */
  #makesFile(step: Step): boolean {
    return step.error === 0 && step.returned && this.#resultOf(step) !== undefined;
  }
}
