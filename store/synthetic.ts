/**
 * A made-up session, the same every time, with the proportions of a busy one: two processes map and unmap in bursts, some calls
 * fail, queues are read, a few objects come and go. For benchmarks and tests of the store; it claims nothing about a kernel.
 */
import { FileKind, type Frame, Kind, makeArgs, makeFrame, makePart, type Part, PartKind, State } from './frame.ts';
import type { EventRow } from './rows.ts';

export interface SyntheticEvent {
  readonly frame: Frame;
  readonly row: EventRow;
}

/** xorshift32: numbers 0 … 1 without 1, from a seed. */
function numbers(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

interface Thread {
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
  readonly file: number;
  readonly stack: bigint;
}

const THREADS: readonly Thread[] = [
  { pid: 4711, tid: 4711, fd: 8, file: 1, stack: 0x7ffd1c40n },
  { pid: 4711, tid: 4714, fd: 8, file: 1, stack: 0x7f3c4d20n },
  { pid: 4711, tid: 4715, fd: 9, file: 2, stack: 0x7f3c2b10n },
  { pid: 5230, tid: 5230, fd: 3, file: 3, stack: 0x7ffe9960n },
];

const LENGTHS = [0x1000n, 0x1000n, 0x1000n, 0x1_0000n, 0x20_0000n] as const;

interface Call {
  readonly name: string;
  readonly nr: number;
  /** bytes of the struct */
  readonly size: number;
  readonly nested?: { readonly slot: number; readonly bytes: Uint8Array };
  readonly object: number;
  readonly ret?: bigint;
  readonly error?: number;
  fill(bytes: DataView, out: boolean): void;
}

interface Area {
  readonly iova: bigint;
  readonly length: bigint;
}

class Session {
  readonly random: () => number;
  now = 5_000_000_000n;
  next = 1;
  readonly #mapped: Area[] = [];
  #iova = 0x4000_0000n;
  #va = 0x7f00_0000_0000n;
  #events = 0;

  constructor(seed: number) {
    this.random = numbers(seed);
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)]!;
  }
  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  /** A frame around `parts`; time goes on, mostly a little, with a long tail. */
  #frame(thread: Thread, kind: number, base: number, rest: Partial<Frame>): Frame {
    const took = BigInt(Math.floor(base + Math.exp(this.random() * 7) * 3));
    this.now += BigInt(Math.floor(600 + Math.exp(this.random() * 8)));
    const tEnter = this.now;
    this.now += took;
    const { pid, tid, fd, file } = thread;
    return makeFrame({
      kind,
      state: State.RETURNED,
      fileKind: FileKind.IOMMUFD,
      tEnter,
      tExit: this.now,
      pid,
      tid,
      fd,
      file,
      ...rest,
    });
  }

  ioctl(thread: Thread, call: Call): SyntheticEvent {
    const bytes = [new Uint8Array(call.size), new Uint8Array(call.size)] as const;
    bytes.forEach((b, out) => {
      const view = new DataView(b.buffer);
      view.setUint32(0, call.size, true);
      call.fill(view, out === 1);
    });
    const parts: Part[] = [makePart(PartKind.IN, bytes[0], 0, thread.stack), makePart(PartKind.OUT, bytes[1], 0, thread.stack)];
    if (call.nested) parts.push(makePart(PartKind.NESTED_IN, call.nested.bytes, call.nested.slot, thread.stack + 0x80n));
    const request = 0x3b00 + call.nr;
    const frame = this.#frame(thread, Kind.IOCTL, 900 + call.nr, { request, parts, ret: call.ret ?? 0n, error: call.error ?? 0 });
    return { frame, row: { call: call.name, context: thread.file, object: call.object } };
  }

  /** Maps areas one after the other, then unmaps the oldest. */
  *mapping(thread: Thread): Generator<SyntheticEvent> {
    const ioas = thread.file * 2;
    for (let n = 4 + this.below(24); n > 0; n--) yield this.#map(thread, ioas);
    for (let n = Math.min(this.#mapped.length, 4 + this.below(22)); n > 0; n--) yield this.#unmap(thread, ioas);
  }

  #map(thread: Thread, ioas: number): SyntheticEvent {
    const length = this.pick(LENGTHS);
    const fixed = this.random() < 0.8;
    const area = { iova: this.#iova, length };
    const va = this.#va;
    const fails = this.random() < 0.03;
    this.#iova += length;
    this.#va += length;
    if (!fails) this.#mapped.push(area);
    return this.ioctl(thread, {
      name: 'IOMMU_IOAS_MAP',
      nr: 0x85,
      size: 40,
      object: ioas,
      ...(fails ? { ret: -1n, error: 17 } : {}),
      fill(view, out) {
        view.setUint32(4, fixed ? 7 : 6, true);
        view.setUint32(8, ioas, true);
        view.setBigUint64(16, va, true);
        view.setBigUint64(24, length, true);
        view.setBigUint64(32, fixed || (out && !fails) ? area.iova : 0n, true);
      },
    });
  }

  #unmap(thread: Thread, ioas: number): SyntheticEvent {
    const fails = this.random() < 0.04;
    const area = fails ? { iova: this.#iova, length: 0x1000n } : this.#mapped.shift()!;
    return this.ioctl(thread, {
      name: 'IOMMU_IOAS_UNMAP',
      nr: 0x86,
      size: 24,
      object: ioas,
      ...(fails ? { ret: -1n, error: 2 } : {}),
      fill(view) {
        view.setUint32(4, ioas, true);
        view.setBigUint64(8, area.iova, true);
        view.setBigUint64(16, area.length, true);
      },
    });
  }

  /** Commands of the selftest: an op and its arguments in a struct of 72 bytes. */
  *testing(thread: Thread): Generator<SyntheticEvent> {
    for (let n = 2 + this.below(10); n > 0; n--) {
      const op = 1 + this.below(12);
      const object = 3 + this.below(5);
      const where = this.#iova - BigInt(this.below(64)) * 0x1000n;
      const va = this.#va;
      const fails = this.random() < 0.1;
      yield this.ioctl(thread, {
        name: 'IOMMU_TEST_CMD',
        nr: 0xa0,
        size: 72,
        object,
        ...(fails ? { ret: -1n, error: 22 } : {}),
        fill(view, out) {
          view.setUint32(4, op, true);
          view.setUint32(8, object, true);
          view.setBigUint64(16, where, true);
          view.setBigUint64(24, 0x1000n, true);
          view.setBigUint64(32, va, true);
          if (out && !fails && op < 4) view.setUint32(40, object + 1, true);
        },
      });
    }
  }

  /** Invalidation commands of a guest, and the events that come back. */
  *queues(thread: Thread): Generator<SyntheticEvent> {
    for (let n = 2 + this.below(6); n > 0; n--) {
      const entries = 1 + this.below(8);
      const bytes = new Uint8Array(16 * entries);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < entries; i++) {
        view.setBigUint64(16 * i, 0x30n | (BigInt(this.below(16)) << 32n), true);
        view.setBigUint64(16 * i + 8, this.#iova + BigInt(this.below(4096)) * 0x1000n, true);
      }
      yield this.ioctl(thread, {
        name: 'IOMMU_HWPT_INVALIDATE',
        nr: 0x8d,
        size: 32,
        nested: { slot: 8, bytes },
        object: 6,
        fill(v) {
          v.setUint32(4, 6, true);
          v.setBigUint64(8, thread.stack + 0x80n, true);
          v.setUint32(16, 2, true);
          v.setUint32(20, 16, true);
          v.setUint32(24, entries, true);
        },
      });
      yield this.#read(thread);
    }
  }

  #read(thread: Thread): SyntheticEvent {
    const empty = this.random() < 0.2;
    const bytes = new Uint8Array(empty ? 0 : 40);
    if (!empty) {
      const view = new DataView(bytes.buffer);
      view.setUint32(4, this.#events++, true);
      view.setBigUint64(8, 0x2_0010n | (BigInt(this.below(32)) << 32n), true);
      view.setBigUint64(24, this.#iova + BigInt(this.below(2 ** 20)), true);
    }
    const frame = this.#frame({ ...thread, fd: 12, file: 7 }, Kind.READ, 500, {
      fileKind: FileKind.VEVENTQ,
      request: 1,
      ret: empty ? -1n : 40n,
      error: empty ? 11 : 0,
      parts: [makeArgs(4096, 0), makePart(PartKind.OUT, bytes, 0, thread.stack)],
    });
    return { frame, row: { call: 'read', context: thread.file, object: 9 } };
  }

  /** An object is made, used and destroyed. */
  *objects(thread: Thread): Generator<SyntheticEvent> {
    const id = 10 + this.below(12);
    yield this.ioctl(thread, {
      name: 'IOMMU_IOAS_ALLOC',
      nr: 0x81,
      size: 12,
      object: id,
      fill: (v, out) => v.setUint32(8, out ? id : 0, true),
    });
    yield* this.testing(thread);
    yield this.ioctl(thread, { name: 'IOMMU_DESTROY', nr: 0x80, size: 8, object: id, fill: (v) => v.setUint32(4, id, true) });
  }
}

/** `count` events of a made-up session. */
export function* synthetic(count: number, seed = 1): Generator<SyntheticEvent> {
  const session = new Session(seed);
  while (session.next <= count) {
    const thread = session.pick(THREADS);
    const luck = session.random();
    let run = session.mapping(thread);
    if (luck < 0.25) run = session.testing(thread);
    else if (luck < 0.45) run = session.queues(thread);
    else if (luck < 0.55) run = session.objects(thread);
    for (const { frame, row } of run) {
      yield { frame: { ...frame, seq: session.next }, row };
      if (++session.next > count) return;
    }
  }
}
