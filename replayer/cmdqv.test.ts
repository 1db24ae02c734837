/** The CMDQV in the fold: what each source tells, and that nothing in a log can break it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readerOf, viewQueue } from '../hw/cmdqv/state.ts';
import { commandBytes } from '../hw/smmuv3/commands.ts';
import { uapiTable } from '../hw/uapi/table.ts';
import {
  FileKind,
  Found,
  FrameCursor,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioFlag,
  MmioHow,
  MmioSource,
  makeArgs,
  makePart,
  type Part,
  PartKind,
  RegionKind,
} from '../store/frame.ts';
import { check } from './check.ts';
import { placeOf, uidOf } from './cmdqv.ts';
import { decide } from './decide.ts';
import { digest, stateJson } from './digest.ts';
import { graphOf } from './graph.ts';
import { renderDot, renderMermaid, renderText } from './graph-text.ts';
import { brokenInvariants } from './invariants.ts';
import { parseQuery } from './query.ts';
import { vocabularyOf } from './query-fields.ts';
import { compileQuery } from './query-match.ts';
import { longs, Script, words } from './script.ts';
import type { SessionState } from './state.ts';
import { Timeline } from './timeline.ts';
import { why } from './why.ts';
import { changesText, namesFor } from './words.ts';

const table = uapiTable('linux-7.2');
const PAGE0 = 0x7000_0000_0000;
const OFFSET = 0x1000;
const REG = { CONS_INDX: 0, PROD_INDX: 4, CONFIG: 8, STATUS: 12, GERROR: 16, GERRORN: 20 } as const;
type Reg = keyof typeof REG;

/** A session with a CMDQV. */
class Rig extends Script {
  viommu = 10;

  /** iommufd 3, device 4, nesting parent; GET_HW_INFO of a CMDQV with two queues a VINTF. */
  boot(): this {
    this.start();
    this.open(3);
    this.open(4, FileKind.VFIO_DEVICE, '/dev/vfio/devices/vfio0');
    this.ioctl(4, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 3 }, { out_devid: 1 });
    this.info();
    this.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
    this.ioctl(3, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 }, { out_hwpt_id: 3 });
    return this;
  }
  info(): void {
    const data = Buffer.from([0, 0, 0, 0, 1, 1, 4, 0]);
    const nested = { nestedOut: { data_uptr: data } };
    this.ioctl(3, 'IOMMU_GET_HW_INFO', { flags: 1, dev_id: 1, data_len: 8, data_uptr: 8 }, { out_data_type: 3, data_len: 8 }, nested);
  }
  alloc(id = this.viommu, offset = OFFSET): number {
    const nestedOut = { data_uptr: longs(offset, 0x1_0000) };
    return this.ioctl(
      3,
      'IOMMU_VIOMMU_ALLOC',
      { type: 2, dev_id: 1, hwpt_id: 3, data_len: 16, data_uptr: 8 },
      { out_viommu_id: id },
      { nestedOut },
    );
  }
  map(address = PAGE0, trapped = true, offset = OFFSET): number {
    const alias = trapped ? [address + 0x100_0000] : [];
    return this.add({ kind: Kind.MMAP, ...this.behind(3), ret: BigInt(address), parts: [makeArgs(0, 0x1_0000, 3, 1, offset, ...alias)] });
  }
  queue(id: number, index = 0, viommu = this.viommu, log2 = 3): number {
    const values = { viommu_id: viommu, type: 1, index, nesting_parent_iova: 0x4000_0000 + 0x1_0000 * index, length: 16 << log2 };
    return this.ioctl(3, 'IOMMU_HW_QUEUE_ALLOC', values, { out_hw_queue_id: id });
  }
  destroy(id: number): number {
    return this.ioctl(3, 'IOMMU_DESTROY', { id });
  }
  mmio(
    how: number,
    source: number,
    words: readonly (number | bigint)[],
    ret: number | bigint,
    more: { file?: number; parts?: Part[]; error?: number } = {},
  ): number {
    const { file = 1, parts = [], error = 0 } = more;
    return this.add({
      kind: Kind.MMIO,
      request: how | (source << MMIO_SOURCE_SHIFT),
      file,
      error,
      ret: BigInt.asIntN(64, BigInt(ret)),
      parts: [makeArgs(...words), ...parts],
    });
  }
  at(name: Reg, q = 0): number {
    return 0x80 * q + REG[name];
  }
  store(name: Reg, value: number, q = 0, flags = 0): number {
    const at = this.at(name, q);
    return this.mmio(MmioHow.STORE, MmioSource.TRAPPED, [PAGE0 + at, OFFSET + at, 4, 0, flags, 0], value);
  }
  load(name: Reg, value: number, q = 0): number {
    const at = this.at(name, q);
    return this.mmio(MmioHow.LOAD, MmioSource.TRAPPED, [PAGE0 + at, OFFSET + at, 4, 0, 0, 0], value);
  }
  sample(id: number, page0: readonly number[], commands: readonly Uint8Array[] = [], first = 0, log2 = 3): number {
    const parts = [
      makeArgs(id, 0, log2, first),
      makePart(PartKind.OUT, Buffer.concat(commands), 0),
      makePart(PartKind.OUT, words(...page0), 1),
    ];
    return this.add({ kind: Kind.QUEUE, request: 5, file: 1, fileKind: FileKind.IOMMUFD, parts });
  }
  veventq(id: number, fd: number): void {
    this.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: this.viommu, type: 2, veventq_depth: 4 }, { out_veventq_id: id, out_veventq_fd: fd });
    this.found(fd, FileKind.VEVENTQ);
  }
  vevent(fd: number, map: number, sequence: number): number {
    return this.read(fd, Buffer.concat([words(0, sequence), longs(map, 0)]));
  }
  timeline(): Timeline {
    const t = new Timeline(this.source());
    t.seek(t.last);
    return t;
  }
  get state(): SessionState {
    return this.timeline().state;
  }
}
const rig = (): Rig => new Rig(table).boot();
const view = (s: SessionState, q = 0, v = 1) => viewQueue(readerOf(s.cmdqv), v, q);
const register = (s: SessionState, name: string) => s.cmdqv.registers.get(name);
const command = (name: string): Uint8Array => commandBytes(name);

describe('calls', () => {
  test('a vIOMMU takes the lowest VINTF, gives it back; queues and stream ids with it', () => {
    const s = rig();
    s.alloc(10);
    s.alloc(11, 0x2_1000);
    s.ioctl(3, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 11, dev_id: 1, virt_id: 8 }, { out_vdevice_id: 12 });
    s.queue(13, 0, 11);
    const state = s.state;
    expect([...state.cmdqv.vintfs.keys()]).toEqual([1, 2]);
    expect(register(state, 'VINTF2.SID_MATCH_0')?.value).toBe(0x11n);
    expect(view(state, 0, 2)).toMatchObject({ enabled: false, prod: 0, cons: 0, log2: 3 });
    s.destroy(10);
    s.alloc(14, 0x4_1000);
    expect([...s.state.cmdqv.vintfs].map(([n, v]) => [n, s.state.contexts.get(1)!.objects.get(uidOf(v.key))?.id])).toEqual([
      [2, 11],
      [1, 14],
    ]);
    s.close(3);
    s.close(4);
    const end = s.state;
    expect([end.cmdqv.vintfs.size, end.cmdqv.queues.size]).toEqual([0, 0]);
    expect(register(end, 'VINTF2.CONFIG')?.value).toBe(0n);
    expect(brokenInvariants(end)).toEqual([]);
  });
  test('the process ends: the driver takes it all down', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    s.exit(9);
    expect(s.state.cmdqv.vintfs.size).toBe(0);
  });
  test('a vIOMMU of before the log, known by its queue: a VINTF of which nothing is known', () => {
    const s = new Rig(table);
    s.start();
    s.knows(3, 1, FileKind.IOMMUFD);
    s.queue(20, 0, 10);
    const { cmdqv } = s.state;
    expect([...cmdqv.vintfs.keys()]).toEqual([1]);
    expect(cmdqv.registers.has('VINTF1.CONFIG')).toBe(false);
    expect(view(s.state)).toMatchObject({ log2: 3, prod: 0 });
  });
  test('vcmdq-v1: base and size are in the data of the call', () => {
    const v1 = new Rig(uapiTable('vcmdq-v1'));
    v1.start();
    v1.open(3);
    v1.ioctl(
      3,
      'IOMMU_VIOMMU_ALLOC',
      { type: 2, dev_id: 1, hwpt_id: 3 },
      { out_viommu_id: 10 },
      { nestedOut: { data_uptr: longs(0x1000, 0x1_0000) } },
    );
    const nestedIn = { data_uptr: Buffer.concat([words(0, 7), longs(0x8000_0040)]) };
    v1.ioctl(3, 'IOMMU_VCMDQ_ALLOC', { viommu_id: 10, type: 1, data_len: 16, data_uptr: 8 }, { out_vcmdq_id: 20 }, { nestedIn });
    const queue = v1.state.cmdqv.vintfs.get(1)!.queues[0]!;
    expect([queue.base, queue.log2]).toEqual([0x8000_0040n, 7]);
  });
  test('other types of vIOMMU have no VINTF, and a session without any says nothing of a CMDQV', () => {
    const s = new Rig(table);
    s.start();
    s.open(3);
    s.ioctl(3, 'IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: 1, hwpt_id: 3 }, { out_viommu_id: 10 });
    const json = stateJson(s.state);
    expect([json.cmdqv, 'cmdqvGlobal' in json]).toEqual([[], false]);
  });
});

describe('page 0', () => {
  test('stores and loads of the program, with the event that brought each', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    s.store('CONFIG', 1);
    s.load('STATUS', 1);
    const prod = s.store('PROD_INDX', 2);
    s.load('CONS_INDX', 2);
    const state = s.state;
    expect(view(state)).toMatchObject({ enabled: true, acknowledged: true, prod: 2, cons: 2, used: 0 });
    expect(register(state, 'VINTF1.LVCMDQ0.PROD_INDX')).toMatchObject({ from: 'seen', by: 'store', since: prod });
    expect(state.cmdqv.vintfs.get(1)!.queues[0]!.done).toBe(2);
  });
  test('a mapping that nobody traps: what is in it is not known, until it is sampled', () => {
    const s = rig();
    s.alloc();
    s.map(PAGE0, false);
    s.queue(20);
    expect(view(s.state)).toMatchObject({ prod: undefined, cons: undefined, enabled: undefined, log2: 3 });
    s.sample(20, [1, 3, 1, 1, 0, 0], [command('CMD_SYNC'), command('CMD_SYNC'), command('CMD_SYNC')]);
    const state = s.state;
    expect(view(state)).toMatchObject({ prod: 3, cons: 1, enabled: true });
    expect(register(state, 'VINTF1.LVCMDQ0.PROD_INDX')?.from).toBe('sampled');
    const json = stateJson(state).cmdqv as unknown as { page0: string; lvcmdqs: { pending: unknown }[] }[];
    expect(json[0]!.page0).toBe('sampled');
    expect(json[0]!.lvcmdqs[0]!.pending).toEqual([
      { index: 1, text: 'CMD_SYNC' },
      { index: 2, text: 'CMD_SYNC' },
    ]);
  });
  test('a page that is not trapped any more, and a value that nobody saw', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    s.store('PROD_INDX', 1, 0, MmioFlag.STEPPED);
    expect([view(s.state).prod, view(s.state).cons]).toEqual([undefined, 0]);
    s.store('PROD_INDX', 1, 0, MmioFlag.RELEASED);
    expect([view(s.state).prod, view(s.state).cons]).toEqual([undefined, undefined]);
  });
  test('of two mappings with the same offsets, each is of its own iommufd', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    s.mmio(MmioHow.STORE, MmioSource.TRAPPED, [0x7100_0000_0004, OFFSET + 4, 4, 0, 0, 0], 5);
    expect(view(s.state).prod).toBe(0);
  });
  test('wide and combined accesses', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    const at = PAGE0 + REG.CONS_INDX;
    s.mmio(MmioHow.LOAD, MmioSource.TRAPPED, [at, OFFSET, 16, 0, 0, 0], 0, { parts: [makePart(PartKind.OUT, words(1, 4, 1, 1))] });
    expect(view(s.state)).toMatchObject({ cons: 1, prod: 4, enabled: true, acknowledged: true });
    const prod = PAGE0 + REG.PROD_INDX;
    s.mmio(MmioHow.BOTH, MmioSource.TRAPPED, [prod, OFFSET + 4, 4, 0, 0, 6], 4);
    expect(view(s.state).prod).toBe(6);
    s.mmio(MmioHow.STORE, MmioSource.TRAPPED, [prod, OFFSET + 4, 4, 0, 0, 0], 7, { error: 14 });
    expect(view(s.state).prod).toBe(6);
  });
});

describe('a guest under KVM', () => {
  const kvm = (s: Rig): void => {
    s.open(8, FileKind.KVM, '/dev/kvm');
    s.add({ kind: Kind.IOCTL, ...s.behind(8), request: 0xae01, ret: 9n, parts: [makeArgs(0)] });
    s.found(9, FileKind.KVM_VM, Found.CREATED);
    s.add({ kind: Kind.IOCTL, ...s.behind(9), request: 0xae41, ret: 11n, parts: [makeArgs(0)] });
    s.found(11, FileKind.KVM_VCPU, Found.CREATED);
  };
  const slot = (s: Rig, guest: number, size: number, address: number): number =>
    s.add({
      kind: Kind.IOCTL,
      ...s.behind(9),
      request: 0x4020_ae46,
      parts: [makePart(PartKind.IN, Buffer.concat([words(1, 0), longs(guest, size, address)]))],
    });
  const exit = (s: Rig, address: number, width: number, value: number, how: number = MmioHow.STORE): number =>
    s.mmio(how, MmioSource.KVM, [address, 0, width, 0, 0, 0], value, { file: s.behind(11).file });

  test('where page 0 is in its memory tells where its CMDQV is; its view is its own', () => {
    const s = rig();
    kvm(s);
    s.alloc();
    s.map();
    exit(s, 0x0c10_0000, 4, 1);
    slot(s, 0x0c13_0000, 0x1_0000, PAGE0);
    exit(s, 0x0c10_0000, 4, 1);
    const base = exit(s, 0x0c14_0000, 4, 0x4000_0005);
    exit(s, 0x0c11_0080 + REG.PROD_INDX, 4, 3, MmioHow.LOAD);
    slot(s, 0x0c13_0000, 0, PAGE0);
    const state = s.state;
    const [window] = state.cmdqv.windows.values();
    expect(window?.address).toBe(0x0c10_0000);
    const seen = [...state.cmdqv.guests.get(window!.vm)!];
    expect(seen.map(([name, v]) => [name, v.value, v.by])).toEqual([
      ['CMDQV.CONFIG', 1n, 'store'],
      ['VINTF0.LVCMDQ0.BASE', 0x4000_0005n, 'store'],
      ['VINTF0.LVCMDQ1.PROD_INDX', 3n, 'load'],
    ]);
    expect(seen[1]![1]).toMatchObject({ known: 0xffff_ffffn, since: base });
    expect([...state.cmdqv.registers.keys()].filter((n) => n.startsWith('VINTF0.LVCMDQ'))).toEqual([]);
  });
  test('the VM goes, and what its guest saw with it', () => {
    const s = rig();
    kvm(s);
    s.alloc();
    s.map();
    slot(s, 0x0c13_0000, 0x1_0000, PAGE0);
    exit(s, 0x0c10_0000, 4, 1);
    s.close(9);
    expect(s.state.cmdqv.windows.size).toBe(1);
    s.close(11);
    expect([s.state.cmdqv.windows.size, s.state.cmdqv.guests.size]).toEqual([0, 0]);
  });
});

describe('the host’s driver, out of an imported log', () => {
  const BASE = 0x0c20_0000;
  const VIRTUAL = 0xffff_8000_8800_0000n;
  const region = (s: Rig): number => s.add({ kind: Kind.REGION, request: RegionKind.CMDQV, parts: [makeArgs(BASE, 0x83_0000, VIRTUAL)] });
  const host = (s: Rig, how: number, offset: number, value: number | bigint, width = 4): number =>
    s.mmio(how, MmioSource.MMIOTRACE, [BASE + offset, 0, width, 0, 0, 0], value, { file: 0 });

  test('physical and virtual addresses lead to the same registers; PARAM tells the size', () => {
    const s = new Rig(table);
    region(s);
    host(s, MmioHow.STORE, 0x0, 1);
    host(s, MmioHow.STORE, 0x1_0080 + REG.PROD_INDX, 5);
    expect(register(s.state, 'VCMDQ1.PROD_INDX')?.value).toBe(5n);
    // VER 1, 16 queues, 8 VINTFs, 16 streams
    host(s, MmioHow.LOAD, 0x4, 0x4341);
    expect(s.state.cmdqv.size).toEqual({ log2Vintfs: 3, log2Queues: 1, log2Sids: 4 });
    expect([register(s.state, 'VCMDQ1.PROD_INDX'), register(s.state, 'VINTF0.LVCMDQ1.PROD_INDX')?.value]).toEqual([undefined, 5n]);
    s.mmio(MmioHow.STORE, MmioSource.RWMMIO, [VIRTUAL + 0x3_0000n + 4n, 0, 4, 0, 0, 0], 9, { file: 0 });
    expect(register(s.state, 'VINTF0.LVCMDQ0.PROD_INDX')).toMatchObject({ value: 9n, from: 'seen', by: 'store' });
    expect(s.state.processes.size).toBe(0);
  });
  test('the kernel recovers a queue of its own: GERROR read, the command skipped, GERRORN written', () => {
    const s = new Rig(table);
    region(s);
    host(s, MmioHow.LOAD, 0x4, 0x4341);
    const page0 = 0x3_0000;
    host(s, MmioHow.LOAD, page0 + REG.GERRORN, 0);
    host(s, MmioHow.LOAD, page0 + REG.GERROR, 1);
    host(s, MmioHow.LOAD, page0 + REG.CONS_INDX, 0x0100_0002);
    expect(register(s.state, 'VINTF0.LVCMDQ_ERR_MAP_0')?.value).toBe(1n);
    expect(view(s.state, 0, 0)).toMatchObject({ errors: 1, err: 1, cons: 2 });
    host(s, MmioHow.STORE, page0 + REG.GERRORN, 1);
    expect(view(s.state, 0, 0)).toMatchObject({ errors: 0, err: 0, cons: 2 });
    expect(register(s.state, 'VINTF0.LVCMDQ_ERR_MAP_0')?.value).toBe(0n);
    expect(stateJson(s.state).cmdqv).toMatchObject([{ vintf: 0, viommu: null, lvcmdqs: [{ index: 0, gerror: 1, gerrorn: 1 }] }]);
  });
  test('an address of before the region is known, or outside of it, is nobody’s', () => {
    const s = new Rig(table);
    host(s, MmioHow.STORE, 0, 1);
    region(s);
    host(s, MmioHow.STORE, 0x83_0000, 1);
    s.mmio(MmioHow.STORE, MmioSource.MMIOTRACE, [BASE - 4, 0, 4, 0, 0, 0], 1);
    expect(s.state.cmdqv.registers.size).toBe(0);
  });
});

describe('errors', () => {
  const failed = (): Rig => {
    const s = rig();
    s.alloc();
    s.map();
    s.veventq(15, 6);
    s.queue(20);
    s.store('CONFIG', 1);
    s.load('STATUS', 1);
    s.load('GERROR', 0);
    s.store('GERRORN', 0);
    s.store('PROD_INDX', 3);
    s.sample(20, [0x0100_0001, 3, 1, 1, 1, 0], [command('CMD_SYNC'), command('CFGI_ALL'), command('CMD_SYNC')]);
    return s;
  };
  test('why tells the command, and the events that put it so', () => {
    const s = failed();
    const store = s.seq - 1;
    const event = s.vevent(6, 1, 0);
    for (const seq of [store + 1, event]) {
      const [queue] = why(s.source(), table, seq)!.queues;
      expect(queue).toMatchObject({ name: 'VINTF1.LVCMDQ0', object: 20 });
      const [trouble] = queue!.troubles;
      expect(trouble!.text).toBe(
        'VINTF1.LVCMDQ0: GERROR and GERRORN differ (CMDQ_ERR), CONS_INDX.ERR is ILLEGAL at entry 1: CFGI_ALL; 2 commands wait',
      );
      expect(trouble!.because).toContainEqual({ seq: store, text: `VINTF1.LVCMDQ0.PROD_INDX is 0x3 (WR 3), stored at event ${store}` });
    }
    expect(why(s.source(), table, event)!.queues[0]!.troubles[0]!.because.at(-1)).toEqual({
      seq: event,
      text: `a vEVENT named the queue at event ${event}`,
    });
    s.store('GERRORN', 1);
    expect(why(s.source(), table, s.seq)!.queues[0]!.troubles.map((t) => t.kind)).toEqual(['pending']);
  });
  test('an enable that is not answered, and a queue that is destroyed so', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    const on = s.store('CONFIG', 1);
    s.load('STATUS', 0);
    const destroy = s.destroy(20);
    const [queue] = why(s.source(), table, destroy)!.queues;
    expect(queue!.troubles[0]).toMatchObject({ kind: 'enable' });
    expect(queue!.troubles[0]!.because.map((b) => b.seq)).toContain(on);
    expect(check(s.source(), table).lints.map((l) => l.rule)).toContain('queue-stuck');
  });
  test('no CMD_SYNC behind what was executed', () => {
    const s = rig();
    s.alloc();
    s.map();
    s.queue(20);
    s.store('CONFIG', 1);
    s.load('STATUS', 1);
    s.store('PROD_INDX', 2);
    s.sample(20, [2, 2, 1, 1, 0, 0], [command('CMD_SYNC'), command('TLBI_NH_ASID')]);
    expect(why(s.source(), table, s.seq)!.queues[0]!.troubles.map((t) => t.kind)).toEqual(['no-sync']);
  });
  test('lints: a queue left with an error, a vEVENT that nobody answered; none for one that recovers', () => {
    const rules = (s: Rig): string[] => check(s.source(), table).lints.map((l) => l.rule);
    const s = failed();
    expect(rules(s)).toEqual(['queue-stuck']);
    s.vevent(6, 1, 0);
    expect(rules(s)).toEqual(['queue-stuck', 'queue-unrecovered']);
    s.load('GERROR', 1);
    s.store('GERRORN', 1);
    s.load('CONS_INDX', 3);
    expect(rules(s)).toEqual([]);
  });
  test('the graph names the VINTF and the LVCMDQ', () => {
    const graph = graphOf(failed().state, { table });
    const details = graph.nodes.flatMap((n) => (n.type === 'VIOMMU' || n.type === 'HW_QUEUE' ? n.details : []));
    expect(details).toEqual(expect.arrayContaining(['VINTF1', 'VINTF1.LVCMDQ0', 'on', 'PROD 3 CONS 1', 'stuck: an error']));
    for (const text of [renderText(graph), renderDot(graph), renderMermaid(graph)]) expect(text).toContain('LVCMDQ0');
  });
});

describe('queries', () => {
  const s = rig();
  s.alloc();
  s.map();
  const made = s.queue(20);
  const on = s.store('CONFIG', 1);
  const read = s.load('CONS_INDX', 0x0100_0002);
  const sampled = s.sample(20, [2, 5, 1, 1, 0, 0]);
  const matching = (text: string): number[] => {
    const parsed = parseQuery(text, vocabularyOf(table));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const matches = compileQuery(parsed.query, table);
    const t = new Timeline(s.source());
    const found: number[] = [];
    for (let seq = 1; seq <= t.last; seq++) {
      t.seek(seq - 1);
      const frame = new FrameCursor().at(s.frames[seq - 1]!, 0).frame();
      const row = { kind: 'x', object: 0, took: 0, ret: 0n, errno: 0 } as never;
      if (matches({ row, frame, changes: t.changesOf(seq), before: t.state })) found.push(seq);
    }
    return found;
  };
  test.each([
    ['reg == CONFIG && reg == LVCMDQ0', [made, on, sampled]],
    ['CONFIG == 1 && reg == VINTF1.LVCMDQ0', [on, sampled]],
    ['VINTF1.LVCMDQ0.CONS_INDX.ERR == ILLEGAL', [read]],
    ['CONS_INDX.RD in 2..3', [read, sampled]],
    ['LVCMDQ0.PROD_INDX & 4', [sampled]],
    ['LVCMDQ1.PROD_INDX >= 0', []],
    ['object == hw_queue 20', [made, on, read, sampled]],
    ['reg == VINTF2.CONFIG', []],
  ] as const)('%s', (text, found) => expect(matching(text)).toEqual(found));
  test.each([
    'reg == NOTHING',
    'reg == 3',
    'reg == CONS_INDX.ERR',
    'CONS_INDX.ERR == NEVER',
    'reg PROD_INDX',
    'CONS_INDX.COLOUR == 1',
    'LVCMDQ0 == 1',
  ])('%s is a mistake', (text) => expect(parseQuery(text, vocabularyOf(table)).ok).toBe(false));
});

// ---- whatever a log says ----

type Draw = readonly number[];
const of = (d: Draw, i: number, n: number): number => d[i]! % n;
const number = (d: Draw, i: number): number => [0, 1, 2, 3, 0x0100_0001, 0xffff_ffff, 0x7f, 17][of(d, i, 8)]!;
const NAMES = Object.keys(REG) as Reg[];

const STEPS: readonly ((s: Rig, d: Draw) => unknown)[] = [
  (s, d) => s.alloc(10 + of(d, 0, 3), 0x1000 + 0x2_0000 * of(d, 1, 2)),
  (s, d) => s.queue(20 + of(d, 0, 3), of(d, 1, 3), 10 + of(d, 2, 3), of(d, 3, 6)),
  (s, d) => s.destroy([10, 11, 12, 20, 21, 22, 30, 2][of(d, 0, 8)]!),
  (s, d) =>
    s.ioctl(
      3,
      'IOMMU_VDEVICE_ALLOC',
      { viommu_id: 10 + of(d, 0, 3), dev_id: 1, virt_id: number(d, 1) },
      { out_vdevice_id: 30 + of(d, 2, 2) },
    ),
  (s, d) => s.map(PAGE0 + 0x1_0000 * of(d, 0, 2), of(d, 1, 3) > 0, 0x1000 + 0x2_0000 * of(d, 2, 2)),
  (s, d) => s.munmap(PAGE0, 0x1000 * (1 + of(d, 0, 16))),
  (s, d) => s.store(NAMES[of(d, 0, 6)]!, number(d, 1), of(d, 2, 3), of(d, 3, 5) === 0 ? of(d, 4, 8) : 0),
  (s, d) => s.load(NAMES[of(d, 0, 6)]!, number(d, 1), of(d, 2, 3)),
  (s, d) =>
    s.sample(
      20 + of(d, 0, 3),
      [0, 1, 2, 3, 4, 5].slice(of(d, 1, 3)).map((i) => number(d, (i + 2) % 6)),
      [command('CMD_SYNC'), command('TLBI_NH_ALL')],
      number(d, 3),
      of(d, 4, 40),
    ),
  (s, d) =>
    s.mmio(
      of(d, 0, 4),
      of(d, 1, 5),
      [
        [PAGE0, 0x0c10_0000, 0x0c20_0000, 0][of(d, 2, 4)]! + 4 * of(d, 3, 64),
        of(d, 4, 99),
        [1, 2, 4, 8, 16, 64, 65, 0, 3][of(d, 5, 9)]!,
        0,
        of(d, 0, 16),
        7,
      ],
      number(d, 1),
      { parts: of(d, 2, 2) === 0 ? [makePart(PartKind.OUT, words(1, 2))] : [] },
    ),
  (s, d) => s.add({ kind: Kind.REGION, request: of(d, 0, 3), parts: [makeArgs(0x0c20_0000, [0, 0x10_0000][of(d, 1, 2)]!, number(d, 2))] }),
  (s, d) =>
    s.add({
      kind: Kind.IOCTL,
      fd: 9,
      file: 9,
      fileKind: FileKind.KVM_VM,
      request: 0x4020_ae46,
      parts: [
        makePart(
          PartKind.IN,
          Buffer.concat([words(1, 0), longs(0x0c13_0000, [0x1_0000, 0][of(d, 0, 2)]!, PAGE0)]).subarray(0, of(d, 1, 40)),
        ),
      ],
    }),
  (s, d) => s.mmio(of(d, 0, 3), MmioSource.KVM, [0x0c10_0000 + 4 * of(d, 1, 4096), 0, 4, 0, 0, 0], number(d, 2), { file: 9 }),
  (s) => s.info(),
  (s, d) => s.veventq(15, 6 + of(d, 0, 2)),
  (s, d) => s.vevent(6 + of(d, 0, 2), number(d, 1), of(d, 2, 9)),
  (s, d) => s.close([3, 4, 6, 9][of(d, 0, 4)]!),
];

/** A frame that claims what it does not have: cut, or with bytes changed. */
function spoiled(frame: Buffer, d: Draw): Buffer {
  const b = Buffer.from(frame);
  for (let i = 0; i < of(d, 0, 4); i++) b[12 + ((d[i + 1]! * 31) % (b.length - 12))] = d[i]! & 0xff;
  b.writeUInt32LE(b.length, 8);
  return b;
}

const draws = fc.array(fc.tuple(fc.nat(STEPS.length - 1), fc.array(fc.nat(0xffff), { minLength: 6, maxLength: 6 })), { maxLength: 60 });

describe('whatever a log says', () => {
  test('every step is taken back exactly, and the state holds together', () => {
    fc.assert(
      fc.property(draws, fc.boolean(), (steps, spoil) => {
        const s = rig();
        s.alloc();
        s.map();
        s.queue(20);
        for (const [i, d] of steps) STEPS[i]!(s, d);
        if (spoil)
          for (let i = 12; i < s.frames.length; i++)
            if (i % 3 === 0) s.frames[i] = spoiled(s.frames[i]!, steps[i % Math.max(1, steps.length)]?.[1] ?? [0, 0, 0, 0, 0, 0]);
        const t = new Timeline(s.source(16), { interval: 16 });
        const digests = [digest(t.state)];
        for (let seq = 1; seq <= t.last; seq++) {
          changesText(t.step(), namesFor(t.state, []));
          digests.push(digest(t.state));
          expect(brokenInvariants(t.state)).toEqual([]);
          for (const v of t.state.cmdqv.vintfs.values()) {
            for (const q of v.queues) expect(placeOf(t.state.cmdqv, uidOf(q.key))?.queue).toBe(q);
          }
        }
        graphOf(t.state, { table });
        for (let seq = t.last; seq > 0; seq--) {
          expect(digest(t.state)).toBe(digests[seq]);
          t.reverseStep();
        }
        for (const seq of [t.last, Math.ceil(t.last / 2), 3]) {
          t.seek(seq);
          expect(digest(t.state)).toBe(digests[seq]);
        }
        // deciding leaves the state as it is
        const cursor = new FrameCursor();
        for (const frame of s.frames) decide(t.state, cursor.at(frame, 0), table);
        expect(digest(t.state)).toBe(digests[3]);
      }),
      { numRuns: 60 },
    );
  });
  test('what each of them is about can be asked', () => {
    fc.assert(
      fc.property(draws, (steps) => {
        const s = rig();
        s.alloc();
        s.map();
        s.queue(20);
        for (const [i, d] of steps) STEPS[i]!(s, d);
        check(s.source(), table);
        for (const seq of [s.seq, Math.ceil(s.seq / 2)]) why(s.source(), table, seq);
      }),
      { numRuns: 30 },
    );
  });
});
