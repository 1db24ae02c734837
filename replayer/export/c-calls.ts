/** Each kind of step as C: the call, what is checked of it, and what becomes known by it. */
import { errnoName } from '../../hw/errno.ts';
import { fieldsOf } from '../../hw/uapi/codec.ts';
import { targetOfFileKind } from '../../hw/uapi/table.ts';
import type { Command, Field } from '../../hw/uapi/types.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { Close, Dup, FileKind, Kind, MmioHow, type Part, PartFlag, PartKind, Rw } from '../../store/frame.ts';
import { type Define, fdUse, type Step, type Use, whereIs } from '../program/program.ts';
import { type Argument, Arguments } from './c-arguments.ts';
import { ACCESS, bits, MAP_FLAGS, OPEN_FLAGS, PROTECTION } from './c-flags.ts';
import { type Numbers, plain } from './c-numbers.ts';
import { byteItems, initialiser, stringLiteral } from './c-text.ts';
import { textOf } from './issued.ts';
import { numberAt, usesIn } from './parts.ts';

/** How a program says what it expects: plain C, or the kernel's test harness. */
export interface Style {
  /** statements: the call answers as it did. `error` '0': it succeeds, and its value goes `to` a variable where there is one */
  expect(error: string, seq: number, call: string, to: string | undefined): readonly string[];
  /** a statement: a number of the answer is as it was */
  same(seq: number, value: string, recorded: string): string;
}

/** C of one step, without indentation. */
export interface Statement {
  readonly declare: readonly string[];
  readonly lines: readonly string[];
  /** said behind the number of the event */
  readonly notes: readonly string[];
}

const MAP_FIXED = 0x10n;
const EFAULT = 14;
/** Errors beyond these the C library has no names of. */
const LAST_NAMED = 133;
function errorText(error: number): string {
  const name = errnoName(error);
  return error > 0 && error <= LAST_NAMED && !/^E\d+$/.test(name) ? name : String(error);
}

/** Outputs that are the kernel's choice, or say nothing. */
const CHOSEN = /(?:^|\.|_)iova$|mmap_|cookie|^size$|^argsz$/;
/** Records that a queue's file gives or takes. */
const MOST_DATA = 65536;

export interface Surroundings {
  readonly style: Style;
  readonly numbers: Numbers;
  /** symbols that steps ask with, so that their values are to be kept */
  readonly wanted: ReadonlySet<number>;
  /** the process that a fork begins as a C function's call; undefined: nothing is known of it */
  child(step: number): string | undefined;
  /** for a descriptor that came in a message: the variable of the socket that it comes from */
  socketOf(step: number): string | undefined;
}

export class Calls {
  readonly #around: Surroundings;
  readonly #numbers: Numbers;
  readonly #arguments: Arguments;

  constructor(around: Surroundings) {
    this.#around = around;
    this.#numbers = around.numbers;
    this.#arguments = new Arguments(around.numbers);
  }

  /** @param index of the step in the program */
  statement(index: number, step: Step): Statement {
    switch (step.kind) {
      case Kind.IOCTL:
        return this.#ioctl(step);
      case Kind.OPEN:
        return this.#open(step);
      case Kind.CLOSE:
        return this.#close(step);
      case Kind.DUP:
        return this.#dup(step);
      case Kind.MMAP:
        return this.#mmap(step);
      case Kind.MUNMAP:
      case Kind.MREMAP:
        return this.#remap(step);
      case Kind.READ:
        return this.#read(step);
      case Kind.WRITE:
        return this.#write(step);
      case Kind.MMIO:
        return this.#access(step);
      case Kind.FORK:
        return this.#fork(index, step);
      case Kind.EXEC:
        return note(`executed ${printable(textOf(step))}; what that did goes on here`);
      case Kind.SENDFD:
        return this.#send(step);
      case Kind.FD:
        return this.#receive(index, step);
      default:
        return note('');
    }
  }

  // ---- what all have

  #word(step: Step, i: number): { readonly value: bigint; readonly use: Use | undefined } {
    const args = step.parts.find((p) => p.kind === PartKind.ARGS);
    if (args === undefined || args.bytes.length < 8 * i + 8) return { value: 0n, use: undefined };
    return { value: numberAt(args.bytes, 8 * i, 8), use: usesIn(step, args).get(8 * i) };
  }

  /** One that the call takes as an int. */
  #int(step: Step, i: number): bigint {
    return BigInt.asUintN(32, this.#word(step, i).value);
  }

  /** A word of ARGS in C. */
  #number(step: Step, i: number, hex = true): string {
    const { value, use } = this.#word(step, i);
    return use === undefined ? plain(value, hex) : this.#numbers.symbol(use);
  }

  #fd(step: Step): string {
    return this.#numbers.descriptor(step, fdUse(step));
  }

  /** The variable that a step's result becomes. */
  #result(step: Step): string | undefined {
    const made = step.defines.find((d) => {
      const where = whereIs(step, d.at);
      return where !== undefined && where.in !== 'part' && this.#around.wanted.has(d.symbol);
    });
    return made === undefined ? undefined : this.#numbers.variable(made.symbol);
  }

  /** The call, checked. A call that never returned is made, and nothing is expected of it. */
  #checked(step: Step, call: string, to = this.#result(step)): string[] {
    if (!step.returned) return [`${to === undefined ? '' : `${to} = `}${call};`];
    return [...this.#around.style.expect(errorText(step.error), step.seq, call, to)];
  }

  #notes(step: Step): string[] {
    const notes: string[] = [];
    if (!step.returned) notes.push('had not returned when the recording ended');
    for (const p of step.parts)
      if ((p.flags & PartFlag.TRUNCATED) !== 0 && (p.kind === PartKind.IN || p.kind === PartKind.NESTED_IN))
        notes.push('the recording has not all bytes that were given');
    return notes;
  }

  // ---- ioctl

  #ioctl(step: Step): Statement {
    const target = targetOfFileKind(step.fileKind) ?? 'iommufd';
    const { table } = this.#numbers.used;
    const command =
      table.command(target, step.request) ?? (step.fileKind === FileKind.UNKNOWN ? anyCommand(table.commands, step) : undefined);
    const argument = this.#arguments.of(step, command);
    const request = command === undefined ? `0x${step.request.toString(16)}` : this.#numbers.used.command(command);
    const call = `ioctl(${[this.#fd(step), request, ...(argument.value === undefined ? [] : [argument.value])].join(', ')})`;
    const lines = [...argument.before, ...this.#checked(step, call)];
    if (step.error === 0 && step.returned) {
      for (const d of step.defines) lines.push(...this.#learn(step, d, argument));
      if (command?.target === 'iommufd') lines.push(...this.#answers(step, command, argument));
    }
    return { declare: argument.declare, lines, notes: this.#notes(step) };
  }

  /** A number that the kernel has written. */
  #learn(step: Step, d: Define, argument: Argument): string[] {
    const where = whereIs(step, d.at);
    if (where === undefined || where.in !== 'part' || !this.#around.wanted.has(d.symbol)) return [];
    const to = this.#numbers.variable(d.symbol);
    const slot = where.kind === PartKind.NESTED_OUT ? where.slot : undefined;
    const from = slot === undefined ? argument.field(where.offset, d.width) : argument.nested(slot, where.offset, d.width);
    // where the call fails, the field stays 0: that is another descriptor
    if (from !== undefined && this.#numbers.program.symbols[d.symbol]!.sort === 'fd') return [`${to} = (int)${from} ?: -1;`];
    if (from !== undefined) return [`${to} = ${from};`];
    const bytes = argument.bytes(slot, where.offset);
    return bytes === undefined ? [] : [`memcpy(&${to}, ${bytes}, ${d.width});`];
  }

  /** What else the struct says afterwards. */
  #answers(step: Step, command: Command, argument: Argument): string[] {
    const out = step.parts.find((p) => p.kind === PartKind.OUT);
    if (out === undefined || argument.struct === undefined || argument.struct !== command.struct) return [];
    const start = out.bytes.byteOffset - step.frame.byteOffset;
    const lines: string[] = [];
    for (const f of fieldsOf(argument.struct, argument.arm)) {
      if (!isPlainAnswer(f) || f.offset + f.size > out.bytes.length) continue;
      const at = start + f.offset;
      if ([...step.defines, ...step.echoes].some((d) => d.at >= at && d.at < at + f.size)) continue;
      const from = argument.field(f.offset, f.size);
      if (from !== undefined)
        lines.push(this.#around.style.same(step.seq, from, this.#numbers.field(f, numberAt(out.bytes, f.offset, f.size))));
    }
    return lines;
  }

  // ---- descriptors

  #open(step: Step): Statement {
    const flags = this.#int(step, 1);
    const how = [ACCESS[Number(flags & 3n)] ?? '3', ...(flags >> 2n === 0n ? [] : [bits(flags & ~3n & ~0o1100n, OPEN_FLAGS)])];
    return {
      declare: [],
      lines: this.#checked(step, `open(${stringLiteral(textOf(step))}, ${how.filter((h) => h !== '0').join(' | ')})`),
      notes: this.#notes(step),
    };
  }

  #close(step: Step): Statement {
    if (step.request === Close.CLOSE) return { declare: [], lines: this.#checked(step, `close(${this.#fd(step)})`), notes: [] };
    // descriptors have other numbers here: those that it closed are closed one by one
    const fds = step.ends.filter((s) => this.#numbers.program.symbols[s]?.sort === 'fd' && this.#around.wanted.has(s));
    const lines = fds.map((s) => `close(${this.#numbers.variable(s)});`);
    return { declare: [], lines, notes: [`close_range(${this.#word(step, 0).value}, ${this.#word(step, 1).value}): what it closed`] };
  }

  #dup(step: Step): Statement {
    const fd = this.#fd(step);
    const { value, use } = this.#word(step, 0);
    const to = use === undefined || this.#numbers.program.symbols[use.symbol]?.sort === 'nothing' ? undefined : this.#numbers.symbol(use);
    const least = plain(value & 0x7fff_ffffn, false);
    const cloexec = (this.#word(step, 1).value & 0o2000000n) !== 0n ? 'O_CLOEXEC' : '0';
    const call: Readonly<Record<number, string>> = {
      [Dup.DUP]: `dup(${fd})`,
      // a number that was free: the first that is from there on
      [Dup.DUP2]: to === undefined ? `fcntl(${fd}, F_DUPFD, ${least})` : `dup2(${fd}, ${to})`,
      [Dup.DUP3]:
        to === undefined ? `fcntl(${fd}, ${cloexec === '0' ? 'F_DUPFD' : 'F_DUPFD_CLOEXEC'}, ${least})` : `dup3(${fd}, ${to}, ${cloexec})`,
      [Dup.F_DUPFD]: `fcntl(${fd}, F_DUPFD, ${least})`,
    };
    return { declare: [], lines: this.#checked(step, call[step.request] ?? `fcntl(${fd}, F_DUPFD_CLOEXEC, ${least})`), notes: [] };
  }

  // ---- mappings

  #mmap(step: Step): Statement {
    const { use } = this.#word(step, 0);
    const flags = this.#int(step, 3);
    if ((flags & MAP_FIXED) !== 0n && use === undefined) return note('not made again: it mapped over what was there');
    const address = use === undefined ? 'NULL' : this.#numbers.pointer(use);
    const args = [
      address,
      this.#number(step, 1),
      bits(this.#int(step, 2), PROTECTION, 'PROT_NONE'),
      bits(flags, MAP_FLAGS),
      this.#fd(step),
      this.#number(step, 4),
    ];
    return { declare: [], lines: this.#mapped(step, `mmap(${args.join(', ')})`), notes: [] };
  }

  /** MAP_FAILED is -1, as other calls fail. */
  #mapped(step: Step, call: string): string[] {
    const to = this.#result(step);
    if (to === undefined) return this.#checked(step, step.returned ? `(intptr_t)${call}` : call, undefined);
    return [
      `${to} = ${call};`,
      ...(step.returned ? this.#around.style.expect(errorText(step.error), step.seq, `(intptr_t)${to}`, undefined) : []),
    ];
  }

  #remap(step: Step): Statement {
    const { use } = this.#word(step, 0);
    if (use === undefined) return note('not made again: of memory that the recording does not know');
    const address = this.#numbers.pointer(use);
    if (step.kind === Kind.MUNMAP)
      return { declare: [], lines: this.#checked(step, `munmap(${address}, ${this.#number(step, 1)})`), notes: [] };
    const flags = this.#int(step, 3);
    const fixed = this.#word(step, 4).use;
    if ((flags & 2n) !== 0n && fixed === undefined) return note('not made again: it moved over what was there');
    const names = bits(flags, [
      [1, 'MREMAP_MAYMOVE'],
      [2, 'MREMAP_FIXED'],
    ]);
    const more = fixed === undefined ? '' : `, ${this.#numbers.pointer(fixed)}`;
    return {
      declare: [],
      lines: this.#mapped(step, `mremap(${address}, ${this.#number(step, 1)}, ${this.#number(step, 2)}, ${names}${more})`),
      notes: [],
    };
  }

  #access(step: Step): Statement {
    const { use } = this.#word(step, 0);
    const width = Number(this.#word(step, 2).value);
    if (use === undefined || ![1, 2, 4, 8].includes(width))
      return note('an access that is not made again: it is not known where, or how wide it was');
    const place = `*(volatile __u${8 * width} *)(${this.#numbers.pointer(use)})`;
    const value = plain(BigInt.asUintN(8 * width, step.ret), true);
    return (step.request & 0xf) === MmioHow.STORE
      ? { declare: [], lines: [`${place} = ${value};`], notes: [] }
      : { declare: [], lines: [`(void)${place};`], notes: [`read ${value}`] };
  }

  // ---- read and write

  #read(step: Step): Statement {
    const asked = this.#word(step, 0).value;
    const count = asked > BigInt(MOST_DATA) ? BigInt(MOST_DATA) : asked;
    const room = Math.max(1, Number(count));
    const out = step.parts.find((p) => p.kind === PartKind.OUT);
    const queue = step.fileKind === FileKind.FAULT || step.fileKind === FileKind.VEVENTQ;
    const struct = step.fileKind === FileKind.FAULT ? this.#numbers.used.table.record('FAULT', 'read') : undefined;
    const records = struct !== undefined && count > 0n && Number(count) % struct.size === 0 && count <= MOST_DATA ? struct : undefined;
    const bad = step.error === EFAULT;
    const buffer =
      records === undefined
        ? `__u8 data[${room}] __attribute__((aligned(8)));`
        : `${this.#numbers.used.struct(records)} data[${Number(count) / records.size}];`;
    const lines = queue && step.ret > 0n ? [`${this.#numbers.used.helper('await_event')}(${this.#fd(step)});`] : [];
    const at = bad ? this.#numbers.nowhere() : 'data';
    const size = records === undefined || bad ? plain(count, false) : 'sizeof(data)';
    const position = step.request === Rw.POSITION || step.request === Rw.POSITION_VECTOR;
    const call = position
      ? `pread(${this.#fd(step)}, ${at}, ${size}, ${this.#number(step, 1)})`
      : `read(${this.#fd(step)}, ${at}, ${size})`;
    const declare = bad ? [] : [buffer];
    if (step.error === 0 && step.returned && queue) {
      lines.push(...this.#checked(step, call, 'got'), this.#around.style.same(step.seq, 'got', String(step.ret)));
      return { declare: [...declare, 'ssize_t got;'], lines: [...lines, ...this.#records(step, out, records?.size)], notes: [] };
    }
    lines.push(...this.#checked(step, call));
    return { declare, lines, notes: this.#notes(step) };
  }

  /** Cookies of faults. */
  #records(step: Step, out: Part | undefined, each: number | undefined): string[] {
    const lines: string[] = [];
    if (out === undefined) return lines;
    const start = out.bytes.byteOffset - step.frame.byteOffset;
    const cookie = this.#numbers.used.table.record('FAULT', 'read')?.byName.get('cookie')?.offset ?? -1;
    for (const d of step.defines) {
      if (!this.#around.wanted.has(d.symbol) || d.at < start) continue;
      const to = this.#numbers.variable(d.symbol);
      const at = d.at - start;
      if (each !== undefined && at % each === cookie) lines.push(`${to} = data[${Math.floor(at / each)}].cookie;`);
      else lines.push(`memcpy(&${to}, (char *)data + ${at}, ${d.width});`);
    }
    return lines;
  }

  #write(step: Step): Statement {
    const given = step.parts.find((p) => p.kind === PartKind.IN);
    const asked = this.#word(step, 0).value;
    const count = asked > BigInt(MOST_DATA) ? BigInt(MOST_DATA) : asked;
    const position = step.request === Rw.POSITION || step.request === Rw.POSITION_VECTOR;
    const name = position ? 'pwrite' : 'write';
    const more = position ? `, ${this.#number(step, 1)}` : '';
    if (given === undefined || given.bytes.length === 0) return this.#writeUnknown(step, name, more, Number(count));
    const uses = usesIn(step, given);
    const struct = step.fileKind === FileKind.FAULT ? this.#numbers.used.table.record('FAULT', 'write') : undefined;
    if (struct !== undefined && given.bytes.length % struct.size === 0 && count === BigInt(given.bytes.length)) {
      const rows: string[] = [];
      for (let i = 0; i < given.bytes.length; i += struct.size) {
        const items = struct.fields.map(
          (f) => `.${f.name} = ${this.#numbers.field(f, numberAt(given.bytes, i + f.offset, f.size), uses.get(i + f.offset))}`,
        );
        rows.push(`{ ${items.join(', ')} }`);
      }
      const declare = initialiser(`${this.#numbers.used.struct(struct)} data[${rows.length}] =`, rows);
      return { declare, lines: this.#checked(step, `${name}(${this.#fd(step)}, data, sizeof(data)${more})`), notes: [] };
    }
    const room = Math.max(given.bytes.length, Math.min(Number(count), MOST_DATA));
    const declare = initialiser(`__u8 data[${room}] =`, byteItems(given.bytes));
    const stores = [...uses].map(([at, u]) => `memcpy(data + ${at}, &(__u${8 * u.width}){ ${this.#numbers.symbol(u)} }, ${u.width});`);
    return {
      declare,
      lines: [...stores, ...this.#checked(step, `${name}(${this.#fd(step)}, data, ${plain(count, false)}${more})`)],
      notes: this.#notes(step),
    };
  }

  /** Of a write that failed: no cookie and no code is like this. */
  #writeUnknown(step: Step, name: string, more: string, count: number): Statement {
    const notes = count === 0 ? [] : ['the recording has not the bytes that were to be written'];
    if (count === 0 || count > MOST_DATA || step.error === EFAULT) {
      const lines = this.#checked(step, `${name}(${this.#fd(step)}, ${this.#numbers.nowhere()}, ${count}${more})`);
      return { declare: [], lines, notes };
    }
    const lines = ['memset(data, 0xff, sizeof(data));', ...this.#checked(step, `${name}(${this.#fd(step)}, data, sizeof(data)${more})`)];
    return { declare: [`__u8 data[${count}];`], lines, notes };
  }

  // ---- processes, messages

  #fork(index: number, step: Step): Statement {
    const child = this.#around.child(index);
    if (child === undefined) return note('a process begins here of which the recording has no calls');
    const symbol = this.#numbers.program.processes.find((p) => p.forkStep === index)?.symbol ?? -1;
    const pid = this.#numbers.variable(symbol);
    return { declare: [], lines: [...this.#checked(step, 'fork()', pid), `if (${pid} == 0)`, `\t${child};`], notes: [] };
  }

  #send(step: Step): Statement {
    const { use } = this.#word(step, 0);
    if (use === undefined || step.error !== 0) return note('not made again: a descriptor in a message');
    this.#numbers.used.helper('send_fd');
    return { declare: [], lines: this.#checked(step, `send_fd(${this.#numbers.symbol(use)}, ${this.#fd(step)})`), notes: [] };
  }

  #receive(index: number, step: Step): Statement {
    const socket = this.#around.socketOf(index);
    if (socket === undefined) return note('a descriptor came in a message: it is not known from where');
    this.#numbers.used.helper('receive_fd');
    return { declare: [], lines: this.#checked(step, `receive_fd(${socket})`), notes: [] };
  }
}

const note = (text: string): Statement => ({ declare: [], lines: [], notes: text === '' ? [] : [text] });
const printable = (bytes: Uint8Array): string => stringLiteral(bytes.subarray(0, 80));

/** Of a file that was not known to the recorder. */
const anyCommand = (commands: readonly Command[], step: Step): Command | undefined =>
  commands.find((c) => c.request === step.request && c.target === 'iommufd');

/** A number of the answer that another run should have again. */
function isPlainAnswer(f: Field): boolean {
  if (f.dir === 'in' || f.count !== undefined || f.pad === true || f.zero === true) return false;
  if (f.creates !== undefined || f.ref !== undefined || f.fd !== undefined || f.nested !== undefined || f.chain !== undefined) return false;
  return !CHOSEN.test(f.name) && SCALAR_BYTES[f.type] === f.size;
}
