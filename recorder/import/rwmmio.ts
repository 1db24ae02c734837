/**
 * The kernel's events of MMIO, rwmmio (CONFIG_TRACE_MMIO_ACCESS; arm64). Each access is two events: `rwmmio_read` and
 * `rwmmio_post_read`, which has the value; `rwmmio_write` and `rwmmio_post_write`. Source: include/trace/events/rwmmio.h. Their text:
 * `CALLER -> ACCESSOR width=32 val=0x2a addr=0xffff800080d95098`, with one place only before Linux 6.2, no val in rwmmio_read. width is
 * in bits, addr virtual; a place is function+offset/size, or a number where the kernel has no symbols.
 */
import { MMIO_SOURCE_SHIFT, MmioFlag, MmioHow, MmioSource } from '../../store/frame.ts';
import type { Access, LogEvent, Sink } from './format.ts';
import type { Task } from './ftrace.ts';

const FIELDS = /^(.{0,1024}?) ?width=(\d{1,4})(?: val=(?:0x)?([0-9a-f]{1,16}))? addr=(?:0x)?([0-9a-f]{1,16})\s*$/;
const NUMBER = /^(?:0x)?([0-9a-f]{8,16})$/;

const NAMES: Readonly<Record<string, { readonly how: number; readonly post: boolean } | undefined>> = {
  rwmmio_read: { how: MmioHow.LOAD, post: false },
  rwmmio_post_read: { how: MmioHow.LOAD, post: true },
  rwmmio_write: { how: MmioHow.STORE, post: false },
  rwmmio_post_write: { how: MmioHow.STORE, post: true },
};
export const isRwmmio = (name: string): boolean => Object.hasOwn(NAMES, name);

/** bits */
const WIDTHS: ReadonlySet<string> = new Set(['8', '16', '32', '64']);
/** Accesses of a thread that can have begun and not ended: an interrupt may come in between, and one into that. */
const MOST_OPEN = 64;
/** Threads that are in the middle of an access. */
const MOST_THREADS = 65_536;

/** An access whose second half is awaited. */
interface Open {
  readonly e: LogEvent;
  readonly how: number;
  readonly width: string;
  readonly address: string;
}

export class Rwmmio {
  readonly #sink: Sink;
  /** by thread, the innermost last; an interrupt counts as the thread's that it came into */
  readonly #open = new Map<number, Open[]>();

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** → was it understood? */
  event(name: string, fields: string, task: Task, time: bigint, grain: bigint): boolean {
    const m = FIELDS.exec(fields);
    const kind = NAMES[name];
    if (m === null || kind === undefined || !WIDTHS.has(m[2]!)) return false;
    const [, place = '', width = '', value, address = ''] = m;
    if ((value === undefined) !== (name === 'rwmmio_read')) return false;
    const open = kind.post ? this.#close(task, kind.how, width, address) : undefined;
    if (open !== undefined) {
      open.exit = time;
      if (open.gone) this.#sink.foreign(`${name}, too late for its other half`);
      else if (kind.how === MmioHow.LOAD) Object.assign(open.access!, accessOf(kind.how, task, place, width, address, value));
      return true;
    }
    const e: LogEvent = { time, grain, exit: time, access: accessOf(kind.how, task, place, width, address, value) };
    if (!kind.post) this.#await(task, { e, how: kind.how, width, address });
    this.#sink.event(e);
    return true;
  }

  end(): void {
    this.#open.clear();
  }

  #await(task: Task, open: Open): void {
    const key = keyOf(task);
    const stack = this.#open.get(key);
    if (stack === undefined) {
      if (this.#open.size === MOST_THREADS) this.#open.clear();
      this.#open.set(key, [open]);
    } else {
      if (stack.length === MOST_OPEN) stack.shift();
      stack.push(open);
    }
  }

  /** The access that the second half belongs to. Those begun after it have lost theirs. */
  #close(task: Task, how: number, width: string, address: string): LogEvent | undefined {
    const key = keyOf(task);
    const stack = this.#open.get(key);
    for (let i = (stack?.length ?? 0) - 1; i >= 0; i--) {
      const o = stack![i]!;
      if (o.how !== how || o.address !== address || o.width !== width) continue;
      stack!.length = i;
      if (i === 0) this.#open.delete(key);
      return o.e;
    }
    return undefined;
  }
}

/** A thread may move to another processor between the halves; the idle ones share a number. */
const keyOf = (task: Task): number => (task.tid === 0 ? -1 - task.cpu : task.tid);

function accessOf(how: number, task: Task, by: string, width: string, address: string, value: string | undefined): Access {
  const ip = NUMBER.exec(by.slice(by.lastIndexOf(' ') + 1))?.[1];
  return {
    request: how | (MmioSource.RWMMIO << MMIO_SOURCE_SHIFT),
    pid: task.pid,
    tid: task.tid,
    address: BigInt(`0x${address}`),
    width: Number(width) / 8,
    ip: ip === undefined ? 0n : BigInt(`0x${ip}`),
    flags: value === undefined ? MmioFlag.STEPPED : 0,
    value: value === undefined ? 0n : BigInt(`0x${value}`),
    by,
    task: task.comm,
  };
}
