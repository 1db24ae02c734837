/**
 * The CMDQV of the model's machine, alive: page 0 of each VINTF is a file that the program maps, looked at every POLL_MS while
 * there are queues (every QUIET_MS once nothing has changed for a while), and before each call. What has changed there since the last look is taken for stores; the hardware's model
 * (hw/cmdqv) then fetches commands from the program's memory, and what it says of its registers is put into the page.
 *
 * It is memory, and no device, so that what happens between two looks is not seen: of two stores to a register the first, a
 * store of the value that is there, and the order of stores to several registers; a store that comes while the page is written
 * may be overwritten. A program that waits for each answer of the hardware, as Linux's driver does, notices nothing of it.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { apply, type Effect } from '../../hw/cmdqv/change.ts';
import { type Input, step } from '../../hw/cmdqv/model.ts';
import { BLOCKS, REGISTERS, type Register, register } from '../../hw/cmdqv/registers.ts';
import { type CmdqvState, makeState, type Queue, regs, type Size, type Vintf } from '../../hw/cmdqv/state.ts';
import { higher, lower, touching } from '../../hw/iommufd/areas.ts';
import type { Model } from '../../hw/iommufd/model.ts';
import type { HwQueue, Pages, Viommu } from '../../hw/iommufd/state.ts';
import { report } from '../../hw/iommufd/test-ops.ts';
import { type Asked, changes, type Known } from '../../hw/scenario/mirror.ts';
import type { Clock } from './clock.ts';
import type { ProgramMemory } from './memory.ts';

/** Bytes of a queue's page 0 */
const QUEUE_BYTES = BLOCKS.PAGE0.bytes;
/** of queue memory that is read at once */
const CHUNK = 4096;
/** struct iommu_vevent_tegra241_cmdqv */
const EVENT_BYTES = 16;

const PAGE0: readonly Register[] = REGISTERS.filter((r) => r.block === 'PAGE0');
const CONFIG_AT = register('CONFIG', 'PAGE0').offset;
/** Registers of a program, in the order in which stores of one look are taken. */
const STORES = ['CONS_INDX', 'PROD_INDX', 'GERRORN'].map((name) => register(name, 'PAGE0'));
/** Registers of the hardware's, in the order in which they are put into the page: who sees GERROR finds why in CONS. */
const PUTS = ['STATUS', 'CONS_INDX', 'GERROR'].map((name) => register(name, 'PAGE0').offset);

/** A VINTF's page 0. */
interface Page {
  readonly fd: number;
  /** what is in it, as far as we know */
  readonly image: Buffer;
}

/** A part of a queue, and where the program has it. */
interface Segment {
  /** in the queue, bytes */
  readonly from: number;
  readonly to: number;
  readonly pages: Pages;
  /** in `pages`, of the first byte */
  readonly at: bigint;
}

export interface HardwareOptions {
  readonly model: Model;
  readonly memory: Pick<ProgramMemory, 'readPages'>;
  readonly size: Size;
  /** The file behind a vIOMMU's region; undefined: it shows none. */
  readonly fileOf: (viommu: Viommu) => string | undefined;
  readonly clock?: Pick<Clock, 'run' | 'looked'> | undefined;
}

export class Hardware {
  readonly state: CmdqvState;
  readonly #options: HardwareOptions;
  #known: ReadonlyMap<string, Known> = new Map();
  /** by number of the VINTF */
  readonly #pages = new Map<number, Page>();
  /** by the key of a queue */
  readonly #segments = new Map<string, readonly Segment[]>();
  readonly #now = Buffer.alloc(0x1_0000);
  #events = false;

  constructor(options: HardwareOptions) {
    this.#options = options;
    this.state = makeState(options.size);
    this.#do({ kind: 'reset' });
  }

  close(): void {
    for (const { fd } of this.#pages.values()) closeSync(fd);
    this.#pages.clear();
  }

  /** iommufd's objects may have come or gone: the driver's part. `asked`: by a call that has made a queue. */
  follow(asked?: Asked): void {
    const { inputs, known } = changes(this.#options.model.kernel, this.#known, asked);
    this.#known = known;
    if (inputs.length === 0) return;
    for (const input of inputs) {
      this.#do(input);
      if (input.kind === 'queue-alloc') this.#placed(input.viommu, input.key, input.lvcmdq, asked);
    }
    this.#openPages();
    for (const vintf of this.state.vintfs.values()) this.#show(vintf, this.#pages.get(vintf.index)?.image);
    const keys = new Set([...this.state.vintfs.values()].flatMap((v) => v.queues.map((q) => q.key)));
    for (const key of this.#segments.keys()) if (!keys.has(key)) this.#segments.delete(key);
    this.#options.clock?.run(keys.size > 0);
  }

  /** Looks at the pages, lets the hardware work. → true: a vEVENTQ has got something */
  poll(): boolean {
    this.#events = false;
    let news = false;
    for (const [index, page] of this.#pages) {
      const there = this.#now.subarray(0, page.image.length);
      if (readSync(page.fd, there, 0, there.length, 0) < there.length || there.equals(page.image)) continue;
      news = true;
      for (const { lvcmdq } of this.state.vintfs.get(index)?.queues ?? []) this.#stored(index, lvcmdq, page, there);
      const vintf = this.state.vintfs.get(index);
      if (vintf !== undefined) this.#show(vintf, there);
    }
    if (this.#segments.size > 0) this.#options.clock?.looked(news);
    return this.#events;
  }

  #do(input: Input, memory?: (address: bigint, bytes: number) => Uint8Array | undefined): void {
    const effects = step(this.state, input, memory);
    apply(this.state, effects);
    for (const e of effects) if (e.kind === 'vevent') this.#event(e);
  }

  /** The kernel tells of it where there is a vEVENTQ of the CMDQV's type. */
  #event({ viommu, map }: Extract<Effect, { kind: 'vevent' }>): void {
    const of = this.#known.get(viommu)?.viommu;
    const queue = of?.veventqs.get(of.kind);
    if (queue === undefined) return;
    const view = new DataView(new ArrayBuffer(EVENT_BYTES));
    for (const [i, word] of map.entries()) view.setBigUint64(8 * i, word, true);
    report(queue, new Uint8Array(view.buffer));
    this.#events = true;
  }

  // ---- page 0

  #openPages(): void {
    for (const [index, page] of this.#pages)
      if (!this.state.vintfs.has(index)) {
        closeSync(page.fd);
        this.#pages.delete(index);
      }
    const bytes = 2 ** (this.state.size.log2Queues ?? 0) * QUEUE_BYTES;
    for (const { index, key } of this.state.vintfs.values()) {
      const viommu = this.#known.get(key)?.viommu;
      const path = viommu === undefined || this.#pages.has(index) ? undefined : this.#options.fileOf(viommu);
      if (path !== undefined) this.#pages.set(index, { fd: openSync(path, 'r+'), image: Buffer.alloc(bytes) });
    }
  }

  /** What the program has stored into a queue's registers since the last look, and what comes of it. */
  #stored(vintf: number, lvcmdq: number, page: Page, there: Buffer): void {
    const at = lvcmdq * QUEUE_BYTES;
    const changed = ({ offset }: Register): boolean => there.readUInt32LE(at + offset) !== page.image.readUInt32LE(at + offset);
    const store = (r: Register): void => {
      if (!changed(r)) return;
      const value = BigInt(there.readUInt32LE(at + r.offset));
      this.#do({ kind: 'store', view: { kind: 'vintf', vintf, page: 0 }, offset: BigInt(at + r.offset), width: 4, value });
    };
    const config = register('CONFIG', 'PAGE0');
    const off = (there.readUInt32LE(at + CONFIG_AT) & 1) === 0;
    // a queue that is switched off is off before its registers are cleared, one that is switched on is set up before
    if (off && changed(config)) {
      store(config);
      this.#run(vintf, lvcmdq);
    }
    for (const r of STORES) store(r);
    if (!off) store(config);
    this.#run(vintf, lvcmdq);
  }

  #run(vintf: number, lvcmdq: number): void {
    const queue = this.state.vintfs.get(vintf)?.queues.find((q) => q.lvcmdq === lvcmdq);
    if (queue === undefined) return;
    this.#do({ kind: 'run', vintf, lvcmdq }, this.#reader(queue));
  }

  /** Brings the page to what the registers are; `there`: what it holds. */
  #show(vintf: Vintf, there: Buffer | undefined): void {
    const page = this.#pages.get(vintf.index);
    if (page === undefined || there === undefined) return;
    const wanted = Buffer.alloc(page.image.length);
    for (const { lvcmdq } of vintf.queues)
      for (const r of PAGE0) {
        const { value } = this.state.registers.get(regs.page0(vintf.index, lvcmdq, r.name)) ?? { value: 0n };
        wanted.writeUInt32LE(Number(BigInt.asUintN(32, value)), lvcmdq * QUEUE_BYTES + r.offset);
      }
    const put = (at: number): void => {
      if (wanted.readUInt32LE(at) !== there.readUInt32LE(at)) writeSync(page.fd, wanted, at, 4, at);
    };
    for (let at = 0; at < wanted.length; at += 4) if (!PUTS.includes(at % QUEUE_BYTES)) put(at);
    for (const offset of PUTS) for (let at = offset; at < wanted.length; at += QUEUE_BYTES) put(at);
    wanted.copy(page.image);
  }

  // ---- memory of queues

  /** Where the program has the entries of a new queue: what is pinned then stays the queue's. */
  #placed(viommu: string, key: string, lvcmdq: number, asked: Asked | undefined): void {
    const queue = this.#known.get(viommu)?.queues.find((q: HwQueue) => q.index === lvcmdq);
    if (queue === undefined) return;
    const { base, length } = asked ?? queue;
    const areas = touching(queue.viommu.parent.ioas, { start: base, last: base + length - 1n });
    const segments = areas.map((area): Segment => {
      const start = higher(area.start, base);
      const last = lower(area.last, base + length - 1n);
      return { from: Number(start - base), to: Number(last - base) + 1, pages: area.pages, at: area.offset + (start - area.start) };
    });
    this.#segments.set(key, segments);
  }

  /** Reads a queue's entries, by the address that the hardware has for them; more of them at once than it asks for. */
  #reader(queue: Queue): (address: bigint, bytes: number) => Uint8Array | undefined {
    const segments = this.#segments.get(queue.key) ?? [];
    let chunk: { readonly from: number; readonly bytes: Uint8Array } | undefined;
    return (address, bytes) => {
      const at = Number(address - queue.base);
      if (chunk === undefined || at < chunk.from || at + bytes > chunk.from + chunk.bytes.length) {
        const segment = segments.find((s) => s.from <= at && at < s.to);
        if (segment === undefined) return undefined;
        const most = Math.min(CHUNK - (at % CHUNK), segment.to - at);
        const read = this.#options.memory.readPages(segment.pages, segment.at + BigInt(at - segment.from), most);
        chunk = read === undefined ? undefined : { from: at, bytes: read };
      }
      return chunk?.bytes.subarray(at - chunk.from, at - chunk.from + bytes);
    };
  }
}
