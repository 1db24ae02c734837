/** Each kind of step as C: the call, what is checked of it, and what becomes known by it. */
import { fieldsOf } from '../../hw/uapi/codec.ts';
import { targetOfFileKind } from '../../hw/uapi/table.ts';
import type { Command, Field } from '../../hw/uapi/types.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { Close, Dup, FileKind, Kind, MmioHow, PartKind } from '../../store/frame.ts';
import { type Define, type Step, whereIs } from '../program/program.ts';
import { type Argument, Arguments } from './c-arguments.ts';
import { ACCESS, bits, MAP_FLAGS, OPEN_FLAGS, PROTECTION } from './c-flags.ts';
import { type Numbers, plain } from './c-numbers.ts';
import { errorText, note, type Statement, StepText, type Surroundings } from './c-step.ts';
import { stringLiteral } from './c-text.ts';
import { Transfers } from './c-transfers.ts';
import { numberAt, wordOf } from './parts.ts';

const MAP_FIXED = 0x10n;
/** Outputs that are the kernel's choice, or say nothing. */
const CHOSEN = /(?:^|\.|_)iova$|mmap_|cookie|^size$|^argsz$/;

export class Calls {
  readonly #step: StepText;
  readonly #transfers: Transfers;
  readonly #numbers: Numbers;
  readonly #arguments: Arguments;

  constructor(around: Surroundings) {
    this.#step = new StepText(around);
    this.#transfers = new Transfers(this.#step);
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
        return this.#transfers.read(step);
      case Kind.WRITE:
        return this.#transfers.write(step);
      case Kind.MMIO:
        return this.#access(step);
      case Kind.FORK:
        return this.#fork(index, step);
      case Kind.EXEC:
        return note(`executed ${printable(step.text)}; what that did goes on here`);
      case Kind.SENDFD:
        return this.#send(step);
      case Kind.FD:
        return this.#receive(index, step);
      default:
        return note('');
    }
  }

  // ---- ioctl

  #ioctl(step: Step): Statement {
    const target = targetOfFileKind(step.fileKind) ?? 'iommufd';
    const { table } = this.#numbers.used;
    const command =
      table.command(target, step.request) ?? (step.fileKind === FileKind.UNKNOWN ? anyCommand(table.commands, step) : undefined);
    const argument = this.#arguments.of(step, command);
    const request = command === undefined ? `0x${step.request.toString(16)}` : this.#numbers.used.command(command);
    const call = `ioctl(${[this.#step.fd(step), request, ...(argument.value === undefined ? [] : [argument.value])].join(', ')})`;
    const lines = [...argument.before, ...this.#step.checked(step, call)];
    if (step.error === 0 && step.returned) {
      for (const d of step.defines) lines.push(...this.#learn(step, d, argument));
      if (command?.target === 'iommufd') lines.push(...this.#answers(step, command, argument));
    }
    return { declare: argument.declare, lines, notes: this.#step.notes(step) };
  }

  /** A number that the kernel has written. */
  #learn(step: Step, d: Define, argument: Argument): string[] {
    const where = whereIs(step, d.at);
    if (where === undefined || where.in !== 'part' || !this.#step.around.wanted.has(d.symbol)) return [];
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
        lines.push(this.#step.around.style.same(step.seq, from, this.#numbers.field(f, numberAt(out.bytes, f.offset, f.size))));
    }
    return lines;
  }

  // ---- descriptors

  #open(step: Step): Statement {
    const flags = this.#step.int(step, 1);
    const how = [ACCESS[Number(flags & 3n)] ?? '3', ...(flags >> 2n === 0n ? [] : [bits(flags & ~3n & ~0o1100n, OPEN_FLAGS)])];
    return {
      declare: [],
      lines: this.#step.checked(step, `open(${stringLiteral(step.text)}, ${how.filter((h) => h !== '0').join(' | ')})`),
      notes: this.#step.notes(step),
    };
  }

  #close(step: Step): Statement {
    if (step.request === Close.CLOSE) return { declare: [], lines: this.#step.checked(step, `close(${this.#step.fd(step)})`), notes: [] };
    // descriptors have other numbers here: those that it closed are closed one by one
    const fds = step.ends.filter((s) => this.#numbers.program.symbols[s]?.sort === 'fd' && this.#step.around.wanted.has(s));
    const lines = fds.map((s) => `close(${this.#numbers.variable(s)});`);
    return {
      declare: [],
      lines,
      notes: [`close_range(${wordOf(step, 0).value}, ${wordOf(step, 1).value}): what it closed`],
    };
  }

  #dup(step: Step): Statement {
    const fd = this.#step.fd(step);
    const { value, use } = wordOf(step, 0);
    const to = use === undefined || this.#numbers.program.symbols[use.symbol]?.sort === 'nothing' ? undefined : this.#numbers.symbol(use);
    const least = plain(value & 0x7fff_ffffn, false);
    const cloexec = (wordOf(step, 1).value & 0o2000000n) !== 0n ? 'O_CLOEXEC' : '0';
    const call: Readonly<Record<number, string>> = {
      [Dup.DUP]: `dup(${fd})`,
      // a number that was free: the first that is from there on
      [Dup.DUP2]: to === undefined ? `fcntl(${fd}, F_DUPFD, ${least})` : `dup2(${fd}, ${to})`,
      [Dup.DUP3]:
        to === undefined ? `fcntl(${fd}, ${cloexec === '0' ? 'F_DUPFD' : 'F_DUPFD_CLOEXEC'}, ${least})` : `dup3(${fd}, ${to}, ${cloexec})`,
      [Dup.F_DUPFD]: `fcntl(${fd}, F_DUPFD, ${least})`,
    };
    return { declare: [], lines: this.#step.checked(step, call[step.request] ?? `fcntl(${fd}, F_DUPFD_CLOEXEC, ${least})`), notes: [] };
  }

  // ---- mappings

  #mmap(step: Step): Statement {
    const { use } = wordOf(step, 0);
    const flags = this.#step.int(step, 3);
    if ((flags & MAP_FIXED) !== 0n && use === undefined) return note('not made again: it mapped over what was there');
    const address = use === undefined ? 'NULL' : this.#numbers.pointer(use);
    const args = [
      address,
      this.#step.number(step, 1),
      bits(this.#step.int(step, 2), PROTECTION, 'PROT_NONE'),
      bits(flags, MAP_FLAGS),
      this.#step.fd(step),
      this.#step.number(step, 4),
    ];
    return { declare: [], lines: this.#mapped(step, `mmap(${args.join(', ')})`), notes: [] };
  }

  /** MAP_FAILED is -1, as other calls fail. */
  #mapped(step: Step, call: string): string[] {
    const to = this.#step.result(step);
    if (to === undefined) return this.#step.checked(step, step.returned ? `(intptr_t)${call}` : call, undefined);
    return [
      `${to} = ${call};`,
      ...(step.returned ? this.#step.around.style.expect(errorText(step.error), step.seq, `(intptr_t)${to}`, undefined) : []),
    ];
  }

  #remap(step: Step): Statement {
    const { use } = wordOf(step, 0);
    if (use === undefined) return note('not made again: of memory that the recording does not know');
    const address = this.#numbers.pointer(use);
    if (step.kind === Kind.MUNMAP)
      return { declare: [], lines: this.#step.checked(step, `munmap(${address}, ${this.#step.number(step, 1)})`), notes: [] };
    const flags = this.#step.int(step, 3);
    const fixed = wordOf(step, 4).use;
    if ((flags & 2n) !== 0n && fixed === undefined) return note('not made again: it moved over what was there');
    const names = bits(flags, [
      [1, 'MREMAP_MAYMOVE'],
      [2, 'MREMAP_FIXED'],
    ]);
    const more = fixed === undefined ? '' : `, ${this.#numbers.pointer(fixed)}`;
    return {
      declare: [],
      lines: this.#mapped(step, `mremap(${address}, ${this.#step.number(step, 1)}, ${this.#step.number(step, 2)}, ${names}${more})`),
      notes: [],
    };
  }

  #access(step: Step): Statement {
    const { use } = wordOf(step, 0);
    const width = Number(wordOf(step, 2).value);
    if (use === undefined || ![1, 2, 4, 8].includes(width))
      return note('an access that is not made again: it is not known where, or how wide it was');
    const place = `*(volatile __u${8 * width} *)(${this.#numbers.pointer(use)})`;
    const value = plain(BigInt.asUintN(8 * width, step.ret), true);
    return (step.request & 0xf) === MmioHow.STORE
      ? { declare: [], lines: [`${place} = ${value};`], notes: [] }
      : { declare: [], lines: [`(void)${place};`], notes: [`read ${value}`] };
  }

  // ---- processes, messages

  #fork(index: number, step: Step): Statement {
    const child = this.#step.around.child(index);
    if (child === undefined) return note('a process begins here of which the recording has no calls');
    const symbol = this.#numbers.program.processes.find((p) => p.forkStep === index)?.symbol ?? -1;
    const pid = this.#numbers.variable(symbol);
    return { declare: [], lines: [...this.#step.checked(step, 'fork()', pid), `if (${pid} == 0)`, `\t${child};`], notes: [] };
  }

  #send(step: Step): Statement {
    const { use } = wordOf(step, 0);
    if (use === undefined || step.error !== 0) return note('not made again: a descriptor in a message');
    this.#numbers.used.helper('send_fd');
    return { declare: [], lines: this.#step.checked(step, `send_fd(${this.#numbers.symbol(use)}, ${this.#step.fd(step)})`), notes: [] };
  }

  #receive(index: number, step: Step): Statement {
    const socket = this.#step.around.socketOf(index);
    if (socket === undefined) return note('a descriptor came in a message: it is not known from where');
    this.#numbers.used.helper('receive_fd');
    return { declare: [], lines: this.#step.checked(step, `receive_fd(${socket})`), notes: [] };
  }
}

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
