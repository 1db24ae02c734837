/** Where a program of syzkaller has its memory, and the variables that it knows numbers by. */
import type { Program, Step, Use } from '../program/program.ts';
import { fdUse } from '../program/program.ts';

/** Where programs have their memory; arguments first, then the regions. */
const ARGUMENTS = 0x7f00_0000_0000n;
const REGIONS = 0x7f00_0020_0000n;
/** All the memory that a program has. */
const MEMORY_END = ARGUMENTS + 0x100_0000n;
/** Where it is when a program runs, on a 64-bit machine. */
const RUNS_AT = 0x2000_0000_0000n;
export const PAGE = 4096n;
const HUGE = 0x20_0000n;
const NO_FD = '0xffffffffffffffff';

export const hex = (n: bigint | number): string => `0x${BigInt.asUintN(64, BigInt(n)).toString(16)}`;

export class SyzMemory {
  readonly #program: Program;
  /** by symbol */
  readonly #variables = new Map<number, string>();
  readonly #regions = new Map<number, bigint>();
  /** where mappings are */
  readonly #mappings = new Map<number, bigint>();
  /** calls that take away what is not to be there */
  readonly holes: string[] = [];
  /** regions that there is no room for */
  readonly without = new Set<number>();
  #argument = ARGUMENTS;
  #region = REGIONS;

  constructor(program: Program) {
    this.#program = program;
  }

  variable(symbol: number): string | undefined {
    return this.#variables.get(symbol);
  }

  /** A variable for a symbol that a call makes known. */
  define(symbol: number): string {
    let name = this.#variables.get(symbol);
    if (name === undefined) {
      name = `r${this.#variables.size}`;
      this.#variables.set(symbol, name);
    }
    return name;
  }

  /** Where memory or a mapping is; undefined: it is neither, or there is no room for it. */
  address(use: Use): bigint | undefined {
    const s = this.#program.symbols[use.symbol]!;
    if (s.sort === 'mapping') {
      const at = this.#mappings.get(use.symbol);
      return at === undefined ? undefined : at + use.addend;
    }
    if (s.sort !== 'memory') return undefined;
    let at = this.#regions.get(use.symbol);
    if (at === undefined) {
      const region = this.#program.regions[s.region]!;
      const align = region.align < HUGE ? region.align : HUGE;
      at = ((this.#region + align - 1n) / align) * align + (region.start % align);
      if (at + region.bytes > MEMORY_END) {
        this.without.add(s.region);
        return undefined;
      }
      this.#region = at + region.bytes + PAGE;
      this.#regions.set(use.symbol, at);
      for (const hole of region.backing === 'nothing' ? [{ offset: 0n, bytes: region.bytes }] : region.holes)
        this.holes.push(`munmap(&(${hex(at + hole.offset)}/${hex(hole.bytes)})=nil, ${hex(hole.bytes)})`);
    }
    return at + use.addend;
  }

  /** A number that may be a variable; `resource`: whether descriptions let it. */
  number(value: bigint, use: Use | undefined, resource: boolean): string {
    if (use === undefined) return hex(value);
    const variable = this.#variables.get(use.symbol);
    if (resource && variable !== undefined) return use.addend === 0n ? variable : `${variable}+${hex(use.addend)}`;
    const address = this.address(use);
    return hex(address === undefined ? value : address - ARGUMENTS + RUNS_AT);
  }

  fd(step: Step): string {
    const use = fdUse(step);
    return use === undefined ? NO_FD : (this.#variables.get(use.symbol) ?? NO_FD);
  }

  /** `&(0x7f0000000040)`: room for an argument. */
  room(bytes: number): string {
    const at = this.#argument;
    this.#argument += BigInt(Math.ceil(Math.max(bytes, 1) / 64) * 64);
    if (this.#argument > REGIONS) this.#argument = ARGUMENTS;
    return `&(${hex(at)})`;
  }

  /** Room for bytes behind which nothing is; where not even the first could be read, nothing. */
  roomAtEnd(bytes: number): string {
    return bytes === 0 ? '0x0' : `&(${hex(MEMORY_END - BigInt(bytes))})`;
  }

  /** Room for a mapping of whole pages, which the step makes; undefined: there is none. */
  mapping(step: Step, bytes: bigint): bigint | undefined {
    const at = ((this.#region + PAGE - 1n) / PAGE) * PAGE;
    if (bytes === 0n || at + bytes > MEMORY_END) return undefined;
    this.#region = at + bytes + PAGE;
    for (const d of step.defines) this.#mappings.set(d.symbol, at);
    return at;
  }
}
