/**
 * The two ways by which a guest's invalidations reach the hardware, counted from the log: trapped (the guest exits, its VMM calls
 * IOMMU_HWPT_INVALIDATE) and direct (the guest writes commands into a queue of the hardware). What the log does not tell is null.
 */

import { getField } from '../../hw/bits.ts';
import { usedOf } from '../../hw/cmdqv/indexes.ts';
import { fieldOf, register } from '../../hw/cmdqv/registers.ts';
import { callBytes, wordsOf } from '../../hw/event-calls.ts';
import { COMMAND_BYTES, decodeCommand } from '../../hw/smmuv3/commands.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import type { Command } from '../../hw/uapi/types.ts';
import {
  FileKind,
  type Frame,
  type FrameCursor,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioSource,
  PartFlag,
  PartKind,
  QueueWhy,
  State,
} from '../../store/frame.ts';

const QUEUE_CALLS = ['IOMMU_HW_QUEUE_ALLOC', 'IOMMU_VQUEUE_ALLOC', 'IOMMU_VCMDQ_ALLOC'] as const;
const INVALIDATE = 'IOMMU_HWPT_INVALIDATE';
/** what a guest sees of its CMDQV: page 0 of its VINTF, and the whole, bytes */
const PAGE0 = 0x3_0000n;
const WINDOW_BYTES = 0x5_0000n;
const MEMORY_CALLS = ['KVM_SET_USER_MEMORY_REGION', 'KVM_SET_USER_MEMORY_REGION2'] as const;
const LOG2_MOST = 19;
/** Word of ARGS that an mmap has where loads and stores are wanted. */
const ALIAS = 5;

const isInvalidation = (name: string): boolean => /^(TLBI_|ATC_INV)/.test(name);

class Counts {
  readonly by = new Map<string, number>();
  add(name: string, n = 1): void {
    if (n > 0) this.by.set(name, (this.by.get(name) ?? 0) + n);
  }
  get total(): number {
    return [...this.by.values()].reduce((a, b) => a + b, 0);
  }
  get invalidations(): number {
    return [...this.by].filter(([name]) => isInvalidation(name)).reduce((n, [, count]) => n + count, 0);
  }
}

/** A command whose bytes the log does not have. */
const UNKNOWN = '?';

interface Queue {
  readonly log2: number;
  /** PROD as it was last read */
  prod: number;
}

interface Waiting {
  readonly tid: number;
  /** end of the exit, 0 not known */
  readonly until: bigint;
  readonly address: bigint;
  told: boolean;
}

export interface Pathway {
  readonly ioctls: number;
  /** KVM exits for it; null: guests were not recorded */
  readonly exits: number | null;
  /** loads and stores of a mapped page 0; null: they were not recorded */
  readonly accesses: number | null;
  /** null: they were not recorded */
  readonly commands: number | null;
  readonly byCommand: Readonly<Record<string, number>>;
  /** TLBI_* and ATC_INV */
  readonly invalidations: number | null;
  readonly commandsPerIoctl: number | null;
  /** ioctls and exits, for each invalidation */
  readonly callsPerInvalidation: number | null;
}

export interface PathwaysJson {
  /** onOthers: on nested HWPTs, and on what the kernel refused; refused: entries that it did not handle */
  readonly trapped: Pathway & { readonly onViommu: number; readonly onOthers: number; readonly refused: number };
  /** `reads`: how often a queue was read beside the program; `sampled`: not at every store of PROD, so that rounds can be missing */
  readonly direct: Pathway & { readonly queues: number; readonly reads: number; readonly sampled: boolean };
  /** exits that belong to neither, as far as the log tells */
  readonly otherExits: number | null;
}

export class Pathways {
  readonly #table: UapiTable;
  readonly #invalidate: Command | undefined;
  readonly #makes: Command | undefined;
  readonly #destroy: Command | undefined;
  readonly #viommu: Command | undefined;
  readonly #memory: ReadonlySet<number>;
  #calls = 0;
  #onViommu = 0;
  #refused = 0;
  readonly #trapped = new Counts();
  /** calls that had not returned when they were stored */
  readonly #entered = new Map<number, Frame>();
  #queueCalls = 0;
  #queues = 0;
  readonly #ids = new Set<string>();
  readonly #viommus = new Set<string>();
  readonly #read = new Map<string, Queue>();
  #reads = 0;
  #sampled = false;
  readonly #direct = new Counts();
  #accesses = 0;
  #mmio = false;
  #kvm = false;
  #exits = 0;
  #trappedExits = 0;
  #directExits = 0;
  readonly #last = new Map<number, Waiting>();
  /** exits that no call of either way followed, by page */
  readonly #elsewhere = new Map<bigint, number>();
  readonly #maps: { readonly address: bigint; readonly length: bigint }[] = [];
  readonly #windows: bigint[] = [];

  constructor(table: UapiTable) {
    this.#table = table;
    this.#invalidate = table.byName(INVALIDATE);
    this.#makes = QUEUE_CALLS.map((name) => table.byName(name)).find((c) => c !== undefined);
    this.#destroy = table.byName('IOMMU_DESTROY');
    this.#viommu = table.byName('IOMMU_VIOMMU_ALLOC');
    this.#memory = new Set(MEMORY_CALLS.map((name) => table.byName(name)!.request));
  }

  add(c: FrameCursor): void {
    switch (c.kind) {
      case Kind.IOCTL:
        if (c.fileKind === FileKind.IOMMUFD) this.#call(c);
        else if (c.fileKind >= FileKind.KVM && c.fileKind <= FileKind.KVM_VCPU) this.#guest(c);
        break;
      case Kind.RETURN:
        this.#returned(c);
        break;
      case Kind.MMAP:
        if (c.fileKind !== FileKind.IOMMUFD || c.error !== 0) break;
        if (c.part(PartKind.ARGS) && c.partBytes > 8 * ALIAS) this.#mmio = true;
        this.#maps.push({ address: BigInt.asUintN(64, c.ret), length: c.arg(1) });
        break;
      case Kind.MMIO:
        this.#access(c);
        break;
      case Kind.QUEUE:
        this.#queue(c.frame());
        break;
      default:
        break;
    }
  }

  #call(c: FrameCursor): void {
    const { request } = c;
    if (request === this.#viommu?.request) {
      const frame = c.frame();
      const id = madeBy(this.#viommu, frame);
      if (frame.error === 0 && id !== undefined) this.#viommus.add(`${frame.file} ${id}`);
      return;
    }
    const makes = request === this.#makes?.request;
    if (request !== this.#invalidate?.request && !makes && request !== this.#destroy?.request) return;
    const frame = c.frame();
    const queue = makes || (request === this.#destroy?.request && this.#ids.has(`${frame.file} ${idOf(frame)}`));
    if (queue) this.#queueCalls++;
    else if (request === this.#invalidate?.request) this.#calls++;
    else {
      // ids come back
      if (frame.error === 0) this.#viommus.delete(`${frame.file} ${idOf(frame)}`);
      return;
    }
    const exit = this.#last.get(frame.tid);
    if (exit !== undefined && !exit.told && (exit.until === 0n || frame.tEnter <= exit.until)) {
      exit.told = true;
      this.#forget(exit.address);
      if (queue) this.#directExits++;
      else this.#trappedExits++;
    }
    if (frame.state === State.ENTERED) this.#entered.set(frame.seq, frame);
    else this.#finished(frame, frame);
  }
  #returned(c: FrameCursor): void {
    const began = this.#entered.get(Number(c.arg(0)));
    if (began === undefined) return;
    this.#entered.delete(began.seq);
    this.#finished(began, c.frame());
  }

  #finished(began: Frame, frame: Frame): void {
    if (began.request === this.#invalidate?.request) {
      this.#invalidated(began, frame);
      return;
    }
    if (frame.error !== 0) return;
    if (began.request === this.#destroy?.request) {
      this.#ids.delete(`${began.file} ${idOf(began)}`);
      return;
    }
    const id = this.#makes === undefined ? undefined : madeBy(this.#makes, frame);
    if (id === undefined) return;
    const key = `${began.file} ${id}`;
    this.#queues++;
    this.#ids.add(key);
    this.#read.delete(key);
  }

  /** Entries that the kernel says it has handled; of one that failed none of those behind. */
  #invalidated(began: Frame, frame: Frame): void {
    const bytes = callBytes(frame, began);
    const read = (from: Uint8Array | undefined, field: string): number => {
      const at = this.#table.offsetOf(INVALIDATE, field);
      return from === undefined || at + 4 > from.length ? 0 : u32(from, at);
    };
    const type = read(bytes.in, 'data_type');
    const rows = this.#table.payloads(INVALIDATE, 'data_uptr').filter((p) => p.value === type);
    const row = rows.find((p) => p.object === 'VIOMMU') ?? rows[0];
    const length = read(bytes.in, 'entry_len');
    if (this.#viommus.has(`${began.file} ${read(bytes.in, 'hwpt_id')}`)) this.#onViommu++;
    const asked = read(bytes.in, 'entry_num');
    const done = Math.min(bytes.out === undefined ? (frame.error === 0 ? asked : 0) : read(bytes.out, 'entry_num'), asked);
    this.#refused += asked - done;
    const data = bytes.nestedIn(this.#table.offsetOf(INVALIDATE, 'data_uptr'));
    const smmu = row?.struct?.fields.some((f) => f.form === 'smmuv3-command') === true;
    const name =
      this.#table.enumName('iommu_hwpt_invalidate_data_type', type)?.replace(/^IOMMU_(HWPT|VIOMMU)_INVALIDATE_DATA_/, '') ?? `type ${type}`;
    const known = smmu && data !== undefined && length > 0 ? Math.min(done, Math.floor(data.length / length)) : 0;
    for (let i = 0; i < known; i++) this.#trapped.add(nameOf(data!.subarray(i * length, i * length + Math.min(length, COMMAND_BYTES))));
    this.#trapped.add(smmu ? UNKNOWN : name, done - known);
  }

  #guest(c: FrameCursor): void {
    this.#kvm = true;
    if (!this.#memory.has(c.request) || c.error !== 0 || !c.part(PartKind.IN) || c.partBytes < 32) return;
    const word = (at: number): bigint => c.buffer.readBigUInt64LE(c.partStart + at);
    const [guest, bytes, address] = [word(8), word(16), word(24)];
    const map = this.#maps.find((m) => address >= m.address && address < m.address + m.length);
    if (map === undefined || bytes === 0n) return;
    const window = guest - (address - map.address) - PAGE0;
    if (window >= 0n && !this.#windows.includes(window)) this.#windows.push(window);
  }

  #access(c: FrameCursor): void {
    const source = c.request >>> MMIO_SOURCE_SHIFT;
    if (source === MmioSource.TRAPPED && c.fileKind === FileKind.IOMMUFD) this.#accesses++;
    if (source !== MmioSource.KVM) return;
    this.#kvm = true;
    this.#exits++;
    const address = c.arg(0);
    this.#last.set(c.tid, { tid: c.tid, until: c.tExit, address, told: false });
    const page = address & ~0xfffn;
    this.#elsewhere.set(page, (this.#elsewhere.get(page) ?? 0) + 1);
  }
  #forget(address: bigint): void {
    const page = address & ~0xfffn;
    this.#elsewhere.set(page, (this.#elsewhere.get(page) ?? 0) - 1);
  }

  /** Commands between the PROD that was read before and this one; their names as far as memory was read. */
  #queue(frame: Frame): void {
    const args = frame.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
    const [id = 0n, , size = 0n, from = 0n] = args === undefined ? [] : wordsOf(args);
    const log2 = Number(size);
    const key = `${frame.file} ${id}`;
    const part = (slot: number): Uint8Array | undefined => frame.parts.find((p) => p.kind === PartKind.OUT && p.slot === slot)?.bytes;
    const prod = prodIn(part(1));
    this.#reads++;
    if (log2 > LOG2_MOST || prod === undefined) return;
    const before = frame.request === QueueWhy.ALLOC ? undefined : this.#read.get(key);
    this.#read.set(key, { log2, prod });
    if (before === undefined || before.log2 !== log2) return;
    // memory was looked at, and there was nothing new: PROD was set back, as a driver does that starts a queue
    const memory = frame.parts.find((p) => p.kind === PartKind.OUT && p.slot === 0);
    if (memory !== undefined && memory.bytes.length === 0 && (memory.flags & (PartFlag.FAULT | PartFlag.TRUNCATED)) === 0) return;
    const count = usedOf(prod, before.prod, log2);
    if (count > 0 && frame.request !== QueueWhy.PROD) this.#sampled = true;
    const entries = memory?.bytes ?? new Uint8Array(0);
    const room = 2 ** log2;
    for (let i = 0; i < count; i++) {
      const pointer = before.prod + i;
      const at = COMMAND_BYTES * ((((pointer - Number(BigInt.asUintN(32, from))) % room) + room) % room);
      // of more commands than the queue has entries, the older ones are gone
      const there = count - i <= room && at + COMMAND_BYTES <= entries.length;
      this.#direct.add(there ? nameOf(entries.subarray(at, at + COMMAND_BYTES)) : UNKNOWN);
    }
  }

  /** undefined: the trace has nothing of either way. */
  result(): PathwaysJson | undefined {
    if (this.#calls === 0 && this.#queueCalls === 0 && this.#reads === 0) return undefined;
    const windowed = [...this.#elsewhere]
      .filter(([page]) => this.#windows.some((w) => page >= w && page < w + WINDOW_BYTES))
      .reduce((n, [, count]) => n + count, 0);
    const direct = this.#directExits + windowed;
    return {
      trapped: {
        ...pathway(this.#calls, this.#kvm ? this.#trappedExits : null, null, this.#trapped, true),
        onViommu: this.#onViommu,
        onOthers: this.#calls - this.#onViommu,
        refused: this.#refused,
      },
      direct: {
        ...pathway(
          this.#queueCalls,
          this.#kvm ? direct : null,
          this.#mmio || this.#accesses > 0 ? this.#accesses : null,
          this.#direct,
          this.#reads > 0 || this.#queues === 0,
        ),
        queues: this.#queues,
        reads: this.#reads,
        sampled: this.#sampled,
      },
      otherExits: this.#kvm ? this.#exits - this.#trappedExits - direct : null,
    };
  }
}

function pathway(ioctls: number, exits: number | null, accesses: number | null, counts: Counts, told: boolean): Pathway {
  const { total, invalidations } = counts;
  const round = (x: number): number => Math.round(1000 * x) / 1000;
  return {
    ioctls,
    exits,
    accesses,
    commands: told ? total : null,
    byCommand: Object.fromEntries([...counts.by].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))),
    invalidations: told ? invalidations : null,
    commandsPerIoctl: ioctls === 0 || !told ? null : round(total / ioctls),
    callsPerInvalidation: invalidations === 0 ? null : round((ioctls + (exits ?? 0)) / invalidations),
  };
}

/** What is missing of a command is zero. */
const nameOf = (bytes: Uint8Array): string => {
  const whole = new Uint8Array(COMMAND_BYTES);
  whole.set(bytes);
  const c = decodeCommand(whole);
  return c.row?.name ?? `opcode 0x${c.opcode.toString(16)}`;
};

const u32 = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);

/** The id of the object that a call has made. */
function madeBy(command: Command, frame: Frame): number | undefined {
  const out = frame.parts.find((p) => p.kind === PartKind.OUT && p.slot === 0)?.bytes;
  const at = command.struct?.fields.find((f) => f.creates !== undefined)?.offset ?? -1;
  return out === undefined || at < 0 || at + 4 > out.length ? undefined : u32(out, at);
}

/** IOMMU_DESTROY.id */
function idOf(frame: Frame): number {
  const input = frame.parts.find((p) => p.kind === PartKind.IN && p.slot === 0)?.bytes;
  return input === undefined || input.length < 8 ? 0 : u32(input, 4);
}

function prodIn(page0: Uint8Array | undefined): number | undefined {
  const prod = register('PROD_INDX', 'PAGE0');
  if (page0 === undefined || page0.length < prod.offset + prod.bytes) return undefined;
  return Number(getField([BigInt(u32(page0, prod.offset))], fieldOf(prod, 'WR')));
}
