/** For tests: a machine with a CMDQV, the memory of its guests, and guests that use their queues as Linux does. */
import { bytesOf } from '../bits.ts';
import { parseCommand } from '../smmuv3/commands.ts';
import { apply, type Effect } from './change.ts';
import { addressOf, advance } from './indexes.ts';
import { type Input, step } from './model.ts';
import { type CmdqvState, makeState, readerOf, regs, type Size, type Value, valueText, viewQueue } from './state.ts';

export const SIZE: Size = { log2Vintfs: 2, log2Queues: 1, log2Sids: 2, log2Commands: 8 };
/** of LVCMDQ l: */
export const baseOf = (lvcmdq: number): bigint => 0x8000_0000n + 0x1_0000n * BigInt(lvcmdq);

export class Machine {
  readonly state: CmdqvState;
  readonly memory = new Map<bigint, Uint8Array>();
  /** of everything that was done */
  readonly effects: Effect[] = [];

  constructor(size: Size = SIZE) {
    this.state = makeState(size);
    this.do({ kind: 'reset' });
  }

  do(input: Input): readonly Effect[] {
    const effects = step(this.state, input, (address) => this.memory.get(address));
    apply(this.state, effects);
    this.effects.push(...effects);
    return effects;
  }

  /** VINTF 1 with vSIDs 8 and 0x10, and queues of 2^log2 entries, switched on. */
  boot(queues = 1, log2 = 3): this {
    this.do({ kind: 'viommu-alloc', viommu: 'v', vmid: 7 });
    this.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'a', vsid: 8, psid: 0x100 });
    this.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'b', vsid: 0x10, psid: 0x200 });
    for (let l = 0; l < queues; l++) {
      this.queue(l, log2);
      this.store(l, 'CONFIG', 1);
      this.do({ kind: 'run' });
    }
    return this;
  }
  queue(lvcmdq: number, log2 = 3): readonly Effect[] {
    const length = 16n << BigInt(log2);
    return this.do({ kind: 'queue-alloc', viommu: 'v', key: `q${lvcmdq}`, lvcmdq, base: baseOf(lvcmdq), physical: true, length });
  }

  /** The guest stores to page 0 of a queue. */
  store(lvcmdq: number, name: string, value: number, vintf = 1): readonly Effect[] {
    const offset = BigInt(0x80 * lvcmdq + { CONS_INDX: 0, PROD_INDX: 4, CONFIG: 8, STATUS: 12, GERROR: 16, GERRORN: 20 }[name]!);
    return this.do({ kind: 'store', view: { kind: 'vintf', vintf, page: 0 }, offset, width: 4, value: BigInt(value) });
  }
  /** The guest writes commands (text) behind PROD, and PROD. */
  push(lvcmdq: number, ...commands: readonly string[]): readonly Effect[] {
    const { prod, log2 } = viewQueue(readerOf(this.state), 1, lvcmdq);
    let at = prod!;
    for (const text of commands) {
      this.memory.set(addressOf(baseOf(lvcmdq), at, log2!), bytesOf(parseCommand(text)!));
      at = advance(at, 1, log2!);
    }
    return this.store(lvcmdq, 'PROD_INDX', at);
  }
  /** What Linux does in the face of an error: the failing command becomes a CMD_SYNC, GERRORN takes GERROR's value. */
  recover(lvcmdq: number): void {
    const { cons, log2 } = viewQueue(readerOf(this.state), 1, lvcmdq);
    this.memory.set(addressOf(baseOf(lvcmdq), cons!, log2!), bytesOf(parseCommand('CMD_SYNC')!));
    this.store(lvcmdq, 'GERRORN', Number(this.get(lvcmdq, 'GERROR').value));
  }

  get(lvcmdq: number, name: string): Value {
    return readerOf(this.state).get(regs.page0(1, lvcmdq, name));
  }
  /** registers in words */
  text(name: string): string {
    return valueText(name, readerOf(this.state).get(name));
  }
  of(lvcmdq: number): ReturnType<typeof viewQueue> {
    return viewQueue(readerOf(this.state), 1, lvcmdq);
  }
}

/** Names and values of the registers that were written, in order. */
export const written = (effects: readonly Effect[]): string[] =>
  effects.flatMap((e) =>
    e.kind === 'register' ? [`${e.name} = ${e.after.from === 'unknown' ? '?' : `0x${e.after.value.toString(16)}`}`] : [],
  );

export const only = <K extends Effect['kind']>(effects: readonly Effect[], kind: K): Extract<Effect, { kind: K }>[] =>
  effects.filter((e): e is Extract<Effect, { kind: K }> => e.kind === kind);
