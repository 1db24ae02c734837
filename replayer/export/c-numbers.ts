/** Numbers of a program in C: constants by name, symbols as variables. */
import type { Field } from '../../hw/uapi/types.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import type { Program, ProgramSymbol, Step, Use } from '../program/program.ts';
import type { Used } from './used.ts';

/** Descriptors that a reproducer never has: the recorded number may be one of its own. */
const NO_FD = 1000n;

export interface Variables {
  /** the variable of a symbol: `ioas1`, or `shared->ioas1` where processes share it */
  name(symbol: ProgramSymbol): string;
}

export class Numbers {
  readonly program: Program;
  readonly used: Used;
  readonly variables: Variables;

  constructor(program: Program, used: Used, variables: Variables) {
    this.program = program;
    this.used = used;
    this.variables = variables;
  }

  variable(index: number): string {
    this.used.symbols.add(index);
    return this.variables.name(this.program.symbols[index]!);
  }

  /** A symbol as a number. */
  symbol(use: Pick<Use, 'symbol' | 'addend'>): string {
    const s = this.program.symbols[use.symbol]!;
    if (s.sort === 'nothing') return this.#nothing(s);
    const name = this.variable(use.symbol);
    return `${s.sort === 'memory' || s.sort === 'mapping' ? '(uintptr_t)' : ''}${name}${offset(use.addend)}`;
  }

  /** An address at which nothing is. The compiler knows of some that calls do not take them. */
  nowhere(address = 0n): string {
    return `${this.used.helper('nowhere')}${address === 0n ? '' : ` + ${plain(address, true)}`}`;
  }

  /** As a pointer: `mem1 + 0x1000`. */
  pointer(use: Pick<Use, 'symbol' | 'addend'>): string {
    const s = this.program.symbols[use.symbol]!;
    if (s.sort !== 'memory' && s.sort !== 'mapping') return `(void *)(uintptr_t)${this.symbol(use)}`;
    return `${this.variable(use.symbol)}${offset(use.addend)}`;
  }

  #nothing(s: ProgramSymbol): string {
    if (s.type === 'fd') return String(s.recorded >= 100n ? s.recorded : s.recorded + NO_FD);
    return plain(s.recorded, s.type === 'cookie');
  }

  /** A field's number, as its row says. `value`: as it is in memory, unsigned. */
  field(field: Field, value: bigint, use?: Use): string {
    if (use !== undefined) return this.symbol(use);
    const table = this.used.table;
    const named = field.enum === undefined ? undefined : table.enum(field.enum);
    const flags = field.flags === undefined ? undefined : table.enum(field.flags);
    if (named !== undefined && field.enumMask !== undefined && flags !== undefined) {
      const mask = BigInt(field.enumMask);
      const rest = this.#flags(field.flags!, value & ~mask);
      return [this.#member(field.enum!, value & mask) ?? plain(value & mask, false), ...rest].join(' | ');
    }
    if (named !== undefined) return this.#member(field.enum!, value) ?? plain(value, value > 0xffffn);
    if (flags !== undefined) return value === 0n ? '0' : this.#flags(field.flags!, value).join(' | ');
    if (field.type.startsWith('s')) return String(BigInt.asIntN(8 * SCALAR_BYTES[field.type], value));
    return plain(value, field.format === undefined ? SCALAR_BYTES[field.type] === 8 : field.format === 'hex');
  }

  #member(enumName: string, value: bigint): string | undefined {
    const name = this.used.table.enumName(enumName, value);
    return name === undefined ? undefined : this.used.constant(enumName, name);
  }

  #flags(enumName: string, value: bigint): string[] {
    const names: string[] = [];
    let rest = value;
    for (const [name, member] of this.used.table.enum(enumName)!.members) {
      const bits = BigInt(member);
      if (bits === 0n || (rest & bits) !== bits) continue;
      names.push(this.used.constant(enumName, name));
      rest &= ~bits;
    }
    if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
    return names;
  }

  /** The descriptor that a step is made on. */
  descriptor(step: Step, use: Use | undefined): string {
    return use === undefined ? (step.fd < 0 ? String(step.fd) : String(NO_FD + BigInt(step.fd))) : this.symbol(use);
  }
}

export const plain = (value: bigint, hex: boolean): string =>
  (hex && value > 9n) || value > 0xffff_ffffn ? `0x${value.toString(16)}` : value.toString();

export function offset(addend: bigint): string {
  if (addend === 0n) return '';
  return addend > 0n ? ` + ${plain(addend, true)}` : ` - ${plain(-addend, true)}`;
}
