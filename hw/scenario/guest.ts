/** A guest that drives its CMDQV as Linux does: sets it up through its window, writes commands into its memory, rings PROD. */
import { bytesOf } from '../bits.ts';
import { addressOf, advance, usedOf } from '../cmdqv/indexes.ts';
import { encodeRegister, register } from '../cmdqv/registers.ts';
import { encodeCommand } from '../smmuv3/commands.ts';
import { RAM, type Vmm, windowOffset } from './vmm.ts';

const QUEUES = 2;
/** where the guest keeps its queues; LVCMDQ l at l · the length of the greatest */
const QUEUE_AT = 0x10_0000n;
const APART = 0x10_0000n;
const POLLS = 4;

export interface GuestOptions {
  /** log2 of the entries of a queue */
  readonly log2: number;
  /** BASE is stored as two halves of 32 bits */
  readonly halves: boolean;
}

export class Guest {
  readonly vmm: Vmm;
  readonly options: GuestOptions;
  /** PROD of each queue, as the guest knows it */
  readonly prod = new Map<number, number>();

  constructor(vmm: Vmm, options: GuestOptions) {
    this.vmm = vmm;
    this.options = options;
  }

  #set(name: string, block: 'CMDQV' | 'VINTF' | 'PAGE0' | 'PAGE1', value: bigint, lvcmdq?: number, index = 0): void {
    const of = block === 'CMDQV' ? {} : { vintf: 0, ...(lvcmdq === undefined ? {} : { lvcmdq }) };
    this.vmm.store(windowOffset(name, block, of, index), 4, value);
  }
  #get(name: string, block: 'CMDQV' | 'VINTF' | 'PAGE0', lvcmdq?: number): number {
    const of = block === 'CMDQV' ? {} : { vintf: 0, ...(lvcmdq === undefined ? {} : { lvcmdq }) };
    return Number(this.vmm.load(windowOffset(name, block, of)));
  }
  /** CONFIG, and STATUS until it follows. → did it? */
  #enable(block: 'CMDQV' | 'VINTF' | 'PAGE0', value: bigint, lvcmdq?: number): boolean {
    this.#set('CONFIG', block, value, lvcmdq);
    for (let i = 0; i < POLLS; i++) if ((this.#get('STATUS', block, lvcmdq) & 1) === Number(value & 1n)) return true;
    return false;
  }

  /** tegra241_cmdqv_hw_reset(), VINTF 0, its queues. → were all acknowledged? */
  boot(queues: number = QUEUES): boolean {
    this.#get('PARAM', 'CMDQV');
    let fine = this.#enable('CMDQV', 0n) && this.#enable('CMDQV', 1n);
    for (let q = 0; q < QUEUES; q++)
      this.#set('CMDQ_ALLOC', 'CMDQV', encodeRegister(register('CMDQ_ALLOC', 'CMDQV'), { LVCMDQ: q }), undefined, q);
    const own = encodeRegister(register('CONFIG', 'VINTF'), { HYP_OWN: 1 });
    fine = this.#enable('VINTF', 0n) && fine;
    this.#set('CONFIG', 'VINTF', own);
    fine = this.#enable('VINTF', own | 1n) && fine;
    this.#get('CONFIG', 'VINTF');
    for (let q = 0; q < queues; q++) fine = this.start(q) && fine;
    return fine;
  }

  /** A queue: mapped, cleared, told where it lies, switched on. → did STATUS follow? */
  start(q: number): boolean {
    this.#set('CMDQ_ALLOC', 'CMDQV', encodeRegister(register('CMDQ_ALLOC', 'CMDQV'), { LVCMDQ: q, ALLOC: 1 }), undefined, q);
    this.#clear(q);
    this.base(q, this.at(q) | BigInt(this.options.log2));
    this.prod.set(q, 0);
    return this.#enable('PAGE0', 1n, q);
  }
  #clear(q: number): void {
    this.#enable('PAGE0', 0n, q);
    for (const name of ['PROD_INDX', 'CONS_INDX']) this.#set(name, 'PAGE0', 0n, q);
    this.base(q, 0n);
    this.vmm.store(windowOffset('CONS_INDX_BASE_DRAM', 'PAGE1', { vintf: 0, lvcmdq: q }), 8, 0n);
    const [gerrorn, gerror] = [this.#get('GERRORN', 'PAGE0', q), this.#get('GERROR', 'PAGE0', q)];
    if (gerror !== gerrorn) this.#set('GERRORN', 'PAGE0', BigInt(gerror), q);
  }
  base(q: number, value: bigint): void {
    const at = windowOffset('BASE', 'PAGE1', { vintf: 0, lvcmdq: q });
    if (!this.options.halves) {
      this.vmm.store(at, 8, value);
      return;
    }
    this.vmm.store(at, 4, value & 0xffff_ffffn);
    this.vmm.store(at + 4n, 4, value >> 32n);
  }
  /** Guest address of a queue. */
  at = (q: number): bigint => RAM.guest + QUEUE_AT + APART * BigInt(q);

  /** Queue q is cleared and its mapping taken back. */
  stop(q: number): void {
    this.#clear(q);
    this.#set('CMDQ_ALLOC', 'CMDQV', encodeRegister(register('CMDQ_ALLOC', 'CMDQV'), { LVCMDQ: q }), undefined, q);
    this.prod.delete(q);
  }
  /** The kernel goes down or comes up again: queues from the last on, then all is switched off. */
  stopAll(): void {
    for (const q of [...this.prod.keys()].sort((a, b) => b - a)) this.stop(q);
    this.#enable('VINTF', 0n);
    this.#enable('CMDQV', 0n);
  }

  /** Writes commands behind PROD; they are not seen by the hardware before `ring`. */
  write(q: number, commands: readonly Uint8Array[]): void {
    const { log2 } = this.options;
    let at = this.prod.get(q) ?? 0;
    for (const c of commands) {
      this.vmm.s.memory.write(this.#address(q, at), c);
      at = advance(at, 1, log2);
    }
    this.prod.set(q, at);
  }
  #address(q: number, pointer: number): bigint {
    return addressOf(this.at(q), pointer, this.options.log2) - RAM.guest + this.vmm.ram;
  }
  ring(q: number): void {
    this.#set('PROD_INDX', 'PAGE0', BigInt(this.prod.get(q) ?? 0), q);
    this.vmm.sample('prod', q);
  }
  /** Polls CONS until it is at PROD. → did it get there? */
  wait(q: number): boolean {
    for (let i = 0; i < POLLS; i++) {
      const cons = this.#get('CONS_INDX', 'PAGE0', q) & 0xf_ffff;
      if (usedOf(this.prod.get(q) ?? 0, cons, this.options.log2) === 0) return true;
    }
    return false;
  }

  /** The interrupt: what failed becomes a CMD_SYNC, GERRORN takes GERROR's value. */
  recover(q: number): void {
    const gerror = this.#get('GERROR', 'PAGE0', q);
    const cons = this.#get('CONS_INDX', 'PAGE0', q) & 0xf_ffff;
    this.vmm.s.memory.write(this.#address(q, cons), bytesOf(encodeCommand('CMD_SYNC')));
    this.#set('GERRORN', 'PAGE0', BigInt(gerror), q);
  }
}
