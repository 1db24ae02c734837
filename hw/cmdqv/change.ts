/** What one input does to a CMDQV, in order, and the pad on which it is worked out before it is applied. */
import { type Block, fieldOf, register } from './registers.ts';
import { type CmdqvState, type Provenance, type Reader, type Size, UNKNOWN, type Value, type Vintf } from './state.ts';

export type Effect =
  /** a register is written: by the kernel, the guest or the hardware; the value may be what it was */
  | { readonly kind: 'register'; readonly name: string; readonly before: Value; readonly after: Value }
  | { readonly kind: 'vintf'; readonly vintf: number; readonly before: Vintf | undefined; readonly after: Vintf | undefined }
  /** the hardware has read a command; `sent`: with VMID and stream replaced, undefined where these are not known */
  | {
      readonly kind: 'command';
      readonly vintf: number;
      readonly lvcmdq: number;
      /** CONS at it */
      readonly at: number;
      readonly words: Words;
      readonly sent: Words | undefined;
      /** CONS_INDX.ERR; 0: executed */
      readonly error: number;
    }
  /** the CMDQV's interrupt */
  | { readonly kind: 'interrupt' }
  /** the kernel puts this into the vEVENTQ of the VINTF's vIOMMU, if it has one: struct iommu_vevent_tegra241_cmdqv */
  | { readonly kind: 'vevent'; readonly vintf: number; readonly viommu: string; readonly map: Words }
  /** the hardware writes memory */
  | { readonly kind: 'store'; readonly address: bigint; readonly bytes: Uint8Array }
  /** nothing came of it, and why */
  | { readonly kind: 'ignored'; readonly what: string; readonly why: string }
  /** the kernel's call fails */
  | { readonly kind: 'refused'; readonly errno: 'ENOSPC' | 'ETIMEDOUT'; readonly why: string }
  /** a load brought something else than what was known */
  | { readonly kind: 'differs'; readonly name: string; readonly known: Value; readonly seen: Value };

export type Words = readonly [bigint, bigint];

/** Reads what was known and what this input has changed so far; nothing is applied. */
export class Pad implements Reader {
  readonly effects: Effect[] = [];
  readonly size: Size;
  readonly #state: CmdqvState;
  readonly #registers = new Map<string, Value>();
  readonly #vintfs = new Map<number, Vintf | undefined>();

  constructor(state: CmdqvState) {
    this.#state = state;
    this.size = state.size;
  }

  get(name: string): Value {
    return this.#registers.get(name) ?? this.#state.registers.get(name) ?? UNKNOWN;
  }
  vintf(index: number): Vintf | undefined {
    return this.#vintfs.has(index) ? this.#vintfs.get(index) : this.#state.vintfs.get(index);
  }
  /** VINTFs that are taken, ascending. */
  vintfs(): Vintf[] {
    const all = new Map([...this.#state.vintfs, ...this.#vintfs]);
    return [...all.values()].filter((v) => v !== undefined).sort((a, b) => a.index - b.index);
  }

  /** `known`: bits that the write settles; the others stay what they were. */
  set(name: string, value: bigint, known: bigint, from: Provenance = 'model'): void {
    const before = this.get(name);
    const after = { value: (before.value & ~known) | (value & known), known: before.known | known, from };
    this.#registers.set(name, after);
    this.effects.push({ kind: 'register', name, before, after });
  }
  /** The same, for one field. */
  setField(name: string, of: readonly [Block, string, string], value: number, from: Provenance = 'model'): void {
    const f = fieldOf(register(of[1], of[0]), of[2]);
    this.set(name, BigInt(value) << BigInt(f.bits[1]), f.mask, from);
  }
  /** Nobody knows what it is now; `bits`: of some bits. */
  forget(name: string, bits: bigint = -1n): void {
    const before = this.get(name);
    const known = before.known & ~bits;
    if (known === before.known) return;
    const after: Value = known === 0n ? UNKNOWN : { value: before.value & known, known, from: before.from };
    this.#registers.set(name, after);
    this.effects.push({ kind: 'register', name, before, after });
  }
  put(vintf: number, after: Vintf | undefined): void {
    const before = this.vintf(vintf);
    this.#vintfs.set(vintf, after);
    this.effects.push({ kind: 'vintf', vintf, before, after });
  }
  add(effect: Exclude<Effect, { kind: 'register' | 'vintf' }>): void {
    this.effects.push(effect);
  }
}

/** Brings a state to where it is after the effects. */
export function apply(state: CmdqvState, effects: readonly Effect[]): void {
  for (const e of effects) {
    if (e.kind === 'register') write(state, e.name, e.after);
    else if (e.kind === 'vintf') place(state, e.vintf, e.after);
  }
}

/** The exact inverse of apply. */
export function revert(state: CmdqvState, effects: readonly Effect[]): void {
  for (let i = effects.length - 1; i >= 0; i--) {
    const e = effects[i]!;
    if (e.kind === 'vintf') place(state, e.vintf, e.before);
    else if (e.kind === 'register') write(state, e.name, e.before);
  }
}

function write(state: CmdqvState, name: string, value: Value): void {
  if (value.from === 'unknown') state.registers.delete(name);
  else state.registers.set(name, value);
}

function place(state: CmdqvState, index: number, vintf: Vintf | undefined): void {
  if (vintf === undefined) state.vintfs.delete(index);
  else state.vintfs.set(index, vintf);
}
