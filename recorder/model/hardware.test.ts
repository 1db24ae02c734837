/** Page 0 as a file and a CMDQV behind it: what a program's stores bring about, look by look. */
import { mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HwQueue, Veventq, Viommu } from '../../hw/iommufd/state.ts';
import { Program } from '../../hw/iommufd/testing.ts';
import { encodeCommand } from '../../hw/smmuv3/commands.ts';
import { Hardware } from './hardware.ts';

const [CONS, PROD, CONFIG, STATUS, GERROR, GERRORN] = [0, 4, 8, 0xc, 0x10, 0x14];
const STRIDE = 0x80;
const IOVA = 0x4000_0000n;
const ADDRESS = 0x10_0000n;
const PAGE = 0x1000n;
const LOG2 = 9;
const BYTES = 16 * 2 ** LOG2;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-hardware-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

/** A program with a vIOMMU, two queues of two pages each, and memory of two areas that lie apart. */
class Guest {
  readonly p = new Program();
  readonly hardware: Hardware;
  readonly #path = join(folder, `region-${++files}`);
  readonly #fd: number;
  /** of the program, from ADDRESS on; the second page of a queue lies 1 MiB on */
  readonly memory = Buffer.alloc(0x40_0000);
  readonly reads: number[] = [];
  gone = false;
  runs = false;

  constructor() {
    writeFileSync(this.#path, Buffer.alloc(0x1_0000));
    this.#fd = openSync(this.#path, 'r+');
    const { p } = this;
    p.model.plug('grace');
    p.open();
    p.fds.set(20, p.model.open(100, 'vfio-device', '/dev/vfio/devices/vfio0'));
    this.hardware = new Hardware({
      model: p.model,
      memory: {
        readPages: (pages, from, length) => {
          this.reads.push(length);
          const at = Number(pages.start + from - ADDRESS);
          return this.gone ? undefined : this.memory.subarray(at, at + length);
        },
      },
      size: p.model.kernel.iommu!,
      fileOf: () => this.#path,
      clock: {
        run: (on) => {
          this.runs = on;
        },
        looked: () => {},
      },
    });
    this.must('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 3 }, undefined, 20);
    this.must('IOMMU_IOAS_ALLOC');
    this.must('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 });
    this.must('IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 3, data_len: 16 }, { data_uptr: new Uint8Array(16) });
    this.must('IOMMU_VEVENTQ_ALLOC', { viommu_id: 4, type: 2, veventq_depth: 4 });
    for (let page = 0n; page < 4n; page++)
      this.must('IOMMU_IOAS_MAP', { flags: 7, ioas_id: 2, user_va: ADDRESS + page * 0x10_0000n, length: PAGE, iova: IOVA + page * PAGE });
    for (const index of [0, 1]) this.queue(index);
  }
  must(name: string, values = {}, nested: Record<string, Uint8Array> = {}, fd = 3): void {
    expect(`${name} ${this.p.call(fd, name, values, { nested })}`).toBe(`${name} `);
    this.hardware.follow();
  }
  queue(index: number): void {
    const base = IOVA + BigInt(index * BYTES);
    const values = { viommu_id: 4, type: 1, index, nesting_parent_iova: base, length: BYTES };
    expect(this.p.call(3, 'IOMMU_HW_QUEUE_ALLOC', values)).toBe('');
    this.hardware.follow({ base, length: BigInt(BYTES) });
  }
  get viommu(): Viommu {
    return this.p.fds.get(3)!.context!.objects.get(4) as Viommu;
  }
  get events(): Veventq['waiting'] {
    return this.viommu.veventqs.get(2)!.waiting;
  }
  load(at: number, queue = 0): number {
    const b = Buffer.alloc(4);
    readSync(this.#fd, b, 0, 4, queue * STRIDE + at);
    return b.readUInt32LE();
  }
  store(at: number, value: number, queue = 0): void {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(value);
    writeSync(this.#fd, b, 0, 4, queue * STRIDE + at);
  }
  /** Stores, and a look of the hardware after them. */
  set(at: number, value: number, queue = 0): boolean {
    this.store(at, value, queue);
    return this.hardware.poll();
  }
  /** A command at an entry of queue 0: its pages lie 1 MiB apart. */
  put(entry: number, words: readonly [bigint, bigint]): void {
    const at = ((entry * 16) % 4096) + Math.floor((entry * 16) / 4096) * 0x10_0000;
    this.memory.writeBigUInt64LE(words[0], at);
    this.memory.writeBigUInt64LE(words[1], at + 8);
  }
  fill(words: readonly [bigint, bigint]): void {
    for (let i = 0; i < 2 ** LOG2; i++) this.put(i, words);
  }
}

const SYNC = encodeCommand('CMD_SYNC', {});
const INVALIDATE = encodeCommand('TLBI_NH_ASID', { ASID: 3 });

describe('page 0 of a VINTF', () => {
  test('STATUS follows CONFIG, CONS follows PROD once the queue is on', () => {
    const g = new Guest();
    g.fill(INVALIDATE);
    g.set(PROD, 3);
    expect(g.load(CONS)).toBe(0);
    g.set(CONFIG, 1);
    expect([g.load(STATUS), g.load(CONS)]).toEqual([1, 3]);
    g.set(CONFIG, 0);
    g.set(PROD, 5);
    expect([g.load(STATUS), g.load(CONS)]).toEqual([0, 3]);
    expect([g.load(STATUS, 1), g.load(CONS, 1)]).toEqual([0, 0]);
  });

  test('commands are read over the end of an area and of the queue, many at once', () => {
    const g = new Guest();
    g.fill(INVALIDATE);
    g.set(CONFIG, 1);
    g.set(PROD, 2 ** LOG2);
    expect(g.load(CONS)).toBe(2 ** LOG2);
    expect(g.reads).toEqual([4096, 4096]);
    g.set(PROD, 10);
    expect(g.load(CONS)).toBe(10);
    expect([...g.hardware.state.vintfs.values()][0]?.queues[0]?.done).toBe(2 ** (LOG2 + 1) + 10);
  });

  test('a queue that is switched off and cleared between two looks is off and cleared', () => {
    const g = new Guest();
    g.fill(INVALIDATE);
    g.store(PROD, 7);
    g.set(CONFIG, 1);
    for (const at of [CONFIG, PROD, CONS]) g.store(at, 0);
    g.hardware.poll();
    expect([CONS, PROD, CONFIG, STATUS].map((at) => g.load(at))).toEqual([0, 0, 0, 0]);
  });

  test('what a program cannot write is put back, and bits that no register has', () => {
    const g = new Guest();
    g.set(CONFIG, 1);
    g.store(STATUS, 0);
    g.store(GERROR, 7);
    g.store(0x18, 0xdead);
    g.store(0x7c, 0xdead);
    g.set(PROD, 0xfff0_0000);
    expect([STATUS, GERROR, 0x18, 0x7c, PROD].map((at) => g.load(at))).toEqual([1, 0, 0, 0, 0]);
    // a queue that runs keeps its CONS
    g.set(CONS, 5);
    expect(g.load(CONS)).toBe(0);
    expect(g.events).toEqual([]);
  });

  test('a command that fails stops the queue and is told of; the queue goes on when it is acknowledged', () => {
    const g = new Guest();
    g.fill(INVALIDATE);
    g.put(1, [0xfen, 0n]);
    g.set(CONFIG, 1);
    expect(g.set(PROD, 4)).toBe(true);
    expect([g.load(CONS), g.load(GERROR)]).toEqual([0x0100_0001, 1]);
    expect(g.events.map((e) => [...e.data!].slice(0, 9))).toEqual([[1, 0, 0, 0, 0, 0, 0, 0, 0]]);
    expect(g.set(PROD, 6)).toBe(false);
    g.put(1, SYNC);
    g.set(GERRORN, 1);
    expect([g.load(CONS), g.load(GERROR), g.load(GERRORN)]).toEqual([6, 1, 1]);
  });

  test('vEVENTs name every queue that has an error; what nobody reads is lost, and said to be', () => {
    const g = new Guest();
    g.fill([0xfen, 0n]);
    for (const queue of [0, 1]) g.set(CONFIG, 1, queue);
    g.gone = true;
    g.set(PROD, 1, 1);
    g.gone = false;
    g.set(PROD, 1, 0);
    expect(g.events.map((e) => e.data?.[0])).toEqual([0b10, 0b11]);
    // acknowledged and failing again, of a vEVENTQ of 4
    for (const gerrorn of [1, 0, 1]) g.set(GERRORN, gerrorn);
    expect(g.events.map((e) => [e.sequence, e.data?.[0]])).toEqual([
      [0, 0b10],
      [1, 0b11],
      [2, 0b11],
      [3, 0b11],
      [4, undefined],
    ]);
  });

  test('memory that is gone ends the fetch', () => {
    const g = new Guest();
    g.set(CONFIG, 1, 1);
    g.gone = true;
    expect(g.set(PROD, 1, 1)).toBe(true);
    expect([g.load(CONS, 1), g.load(GERROR, 1)]).toEqual([0x0200_0000, 1]);
  });

  test('a queue that is destroyed leaves nothing, and a new one begins at the start', () => {
    const g = new Guest();
    g.fill(INVALIDATE);
    g.set(CONFIG, 1, 1);
    const ids = [...g.viommu.queues.values()].map((q: HwQueue) => q.id);
    expect(g.runs).toBe(true);
    for (const id of ids.reverse()) g.must('IOMMU_DESTROY', { id });
    expect([CONS, PROD, CONFIG, STATUS].map((at) => g.load(at, 1))).toEqual([0, 0, 0, 0]);
    expect(g.runs).toBe(false);
    // there is no queue to be switched on
    g.set(CONFIG, 1);
    expect([g.load(CONFIG), g.load(STATUS)]).toEqual([0, 0]);
    g.queue(0);
    g.set(CONFIG, 1);
    g.set(PROD, 2);
    expect([g.load(STATUS), g.load(CONS)]).toEqual([1, 2]);
    for (const fd of [...g.p.fds.keys()]) g.p.close(fd);
    g.hardware.follow();
    expect([...g.hardware.state.vintfs]).toEqual([]);
  });

  test('a look at pages in which nothing has changed reads no memory', () => {
    const g = new Guest();
    g.set(CONFIG, 1);
    const { registers } = g.hardware.state;
    const before = new Map(registers);
    for (let i = 0; i < 10; i++) expect(g.hardware.poll()).toBe(false);
    expect(g.reads).toEqual([]);
    expect(new Map(registers)).toEqual(before);
  });
});
