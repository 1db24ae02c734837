import { describe, expect, test } from 'vitest';
import { commandText, decodeWords } from '../smmuv3/commands.ts';
import { step } from './model.ts';
import { digest, makeState, readerOf, stateJson } from './state.ts';
import { Machine, only, SIZE, written } from './testing.ts';
import { troubles } from './trouble.ts';

const sids = (v: number): string[] => [0, 1, 2, 3].flatMap((s) => [`VINTF${v}.SID_MATCH_${s} = 0x0`, `VINTF${v}.SID_REPLACE_${s} = 0x0`]);
const queueOff = (q: string): string[] => [
  `${q}.CONFIG = 0x0`,
  `${q}.STATUS = 0x0`,
  `${q}.PROD_INDX = 0x0`,
  `${q}.CONS_INDX = 0x0`,
  `${q}.BASE = 0x0`,
  `${q}.CONS_INDX_BASE_DRAM = 0x0`,
];

describe('set-up and tear-down, register by register', () => {
  test('the driver starts: off and on, the kernel has VINTF 0', () => {
    const m = new Machine();
    const all = written(m.effects);
    expect(all.slice(0, 4)).toEqual(['CMDQV.CONFIG = 0x0', 'CMDQV.STATUS = 0x0', 'CMDQV.CONFIG = 0x1', 'CMDQV.STATUS = 0x1']);
    expect(all.filter((t) => t.includes('CMDQ_ALLOC'))).toEqual(
      [0, 2, 0x8000, 0x8002, 0x1_0000, 0x1_0002, 0x1_8000, 0x1_8002].map((v, i) => `CMDQV.CMDQ_ALLOC_${i} = 0x${v.toString(16)}`),
    );
    expect(m.text('VINTF0.CONFIG')).toBe('0x20001 (EN HYP_OWN)');
    // what the kernel's own queues are at nobody sees
    expect(m.text('VINTF0.LVCMDQ0.PROD_INDX')).toBe('?');
  });
  test('VIOMMU_ALLOC: the lowest VINTF that is free', () => {
    const m = new Machine();
    expect(written(m.do({ kind: 'viommu-alloc', viommu: 'v', vmid: 7 }))).toEqual([
      'VINTF1.CONFIG = 0x0',
      'VINTF1.STATUS = 0x0',
      ...sids(1),
      'VINTF1.CONFIG = 0xe',
      'VINTF1.CONFIG = 0xf',
      'VINTF1.STATUS = 0x1',
    ]);
    m.do({ kind: 'viommu-alloc', viommu: 'w', vmid: 7 });
    m.do({ kind: 'viommu-alloc', viommu: 'x', vmid: 7 });
    expect(m.do({ kind: 'viommu-alloc', viommu: 'y' })).toEqual([{ kind: 'refused', errno: 'ENOSPC', why: 'all of 3 VINTFs are taken' }]);
    m.do({ kind: 'viommu-destroy', viommu: 'w' });
    m.do({ kind: 'viommu-alloc', viommu: 'y' });
    expect([...m.state.vintfs.values()].map((v) => `${v.index}${v.key}`).sort()).toEqual(['1v', '2y', '3x']);
    expect(m.text('VINTF2.CONFIG')).toBe('0x1? (EN VMID ?)');
  });
  test('VDEVICE_ALLOC: REPLACE, then MATCH; DESTROY: MATCH, then REPLACE; the lowest slot', () => {
    const m = new Machine().boot(0);
    expect(written(m.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'c', vsid: 9, psid: 0x300 }))).toEqual([
      'VINTF1.SID_REPLACE_2 = 0x300',
      'VINTF1.SID_MATCH_2 = 0x13',
    ]);
    expect(written(m.do({ kind: 'vdevice-destroy', viommu: 'v', vdevice: 'a' }))).toEqual([
      'VINTF1.SID_MATCH_0 = 0x0',
      'VINTF1.SID_REPLACE_0 = 0x0',
    ]);
    expect(written(m.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'd', vsid: 10 }))).toEqual([
      'VINTF1.SID_REPLACE_0 = ?',
      'VINTF1.SID_MATCH_0 = 0x15',
    ]);
    m.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'e', vsid: 11 });
    expect(only(m.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'f', vsid: 12 }), 'refused')).toHaveLength(1);
    expect(only(m.do({ kind: 'vdevice-destroy', viommu: 'v', vdevice: 'a' }), 'ignored')).toHaveLength(1);
  });
  test('HW_QUEUE_ALLOC: mapped, cleared, BASE; it stays off', () => {
    const m = new Machine().boot(0);
    const q = 'VINTF1.LVCMDQ0';
    expect(written(m.queue(0))).toEqual(['CMDQV.CMDQ_ALLOC_2 = 0x8001', ...queueOff(q), `${q}.BASE = 0x80000003`]);
    expect(m.text(`${q}.BASE`)).toBe('0x80000003 (LOG2SIZE 3 ADDR 0x80000000)');
    expect(m.of(0)).toMatchObject({ enabled: false, acknowledged: false, prod: 0, cons: 0, log2: 3, used: 0, errors: 0 });
    expect(written(m.do({ kind: 'queue-destroy', viommu: 'v', lvcmdq: 0 }))).toEqual([...queueOff(q), 'CMDQV.CMDQ_ALLOC_2 = 0x8000']);
  });
  test('an address that the log does not tell is not made up', () => {
    const m = new Machine().boot(0);
    m.do({ kind: 'queue-alloc', viommu: 'v', key: 'q', lvcmdq: 0, base: 0x1000n, physical: false, length: 0x1000n });
    expect(m.text('VINTF1.LVCMDQ0.BASE')).toBe('0x8? (LOG2SIZE 8 ADDR ?)');
  });
  test('DESTROY of the vIOMMU: queues from the last on', () => {
    const m = new Machine().boot(2);
    const all = written(m.do({ kind: 'viommu-destroy', viommu: 'v' }));
    expect(all).toEqual([
      ...queueOff('VINTF1.LVCMDQ1'),
      'CMDQV.CMDQ_ALLOC_3 = 0x8002',
      ...queueOff('VINTF1.LVCMDQ0'),
      'CMDQV.CMDQ_ALLOC_2 = 0x8000',
      'VINTF1.CONFIG = 0x0',
      'VINTF1.STATUS = 0x0',
      ...sids(1),
    ]);
    expect(m.state.vintfs.size).toBe(0);
    expect(only(m.do({ kind: 'queue-destroy', viommu: 'v', lvcmdq: 0 }), 'ignored')).toHaveLength(1);
  });
});

describe('enable', () => {
  test('STATUS follows CONFIG when the hardware gets to it', () => {
    const m = new Machine().boot(0);
    m.queue(0);
    expect(written(m.store(0, 'CONFIG', 1))).toEqual(['VINTF1.LVCMDQ0.CONFIG = 0x1']);
    expect(m.of(0)).toMatchObject({ enabled: true, acknowledged: false });
    expect(written(m.do({ kind: 'run' }))).toEqual(['VINTF1.LVCMDQ0.STATUS = 0x1']);
    expect(m.do({ kind: 'run' })).toEqual([]);
    m.store(0, 'CONFIG', 0);
    expect(written(m.do({ kind: 'run' }))).toEqual(['VINTF1.LVCMDQ0.STATUS = 0x0']);
  });
  test('a queue that is larger than the hardware has: CMDQ_INIT_ERR', () => {
    const m = new Machine().boot(0);
    m.queue(0, 9);
    m.store(0, 'CONFIG', 1);
    const effects = m.do({ kind: 'run' });
    expect(m.text('VINTF1.LVCMDQ0.GERROR')).toBe('0x4 (CMDQ_INIT_ERR)');
    expect(m.of(0)).toMatchObject({ acknowledged: false, errors: 4 });
    expect(only(effects, 'vevent')).toEqual([{ kind: 'vevent', vintf: 1, viommu: 'v', map: [1n, 0n] }]);
    // the same error does not come up twice
    expect(only(m.do({ kind: 'run' }), 'vevent')).toEqual([]);
  });
  test('a queue that is not there, and registers that are read-only', () => {
    const m = new Machine().boot(1);
    expect(only(m.store(1, 'CONFIG', 1), 'ignored')[0]?.why).toBe('there is no queue');
    expect(only(m.store(0, 'GERROR', 1), 'ignored')[0]?.why).toBe('it is read-only');
    expect(only(m.store(0, 'CONS_INDX', 1), 'ignored')[0]?.why).toBe('the queue runs');
    expect(m.of(0).cons).toBe(0);
  });
});

describe('commands', () => {
  const sent = (m: Machine, ...commands: string[]): string[] => {
    m.push(0, ...commands);
    return only(m.do({ kind: 'run' }), 'command').map((c) =>
      c.error === 0 ? (c.sent ? commandText(decodeWords(...c.sent)) : '?') : `error ${c.error}`,
    );
  };
  test("the VMID is the VINTF's, the stream the hardware's", () => {
    expect(
      sent(
        new Machine().boot(),
        'TLBI_NH_VA asid 3 va 0x7f0000000000 leaf',
        'TLBI_NH_ASID vmid 99 asid 3',
        'ATC_INV sid 0x10 size 52',
        'CMD_SYNC',
      ),
    ).toEqual(['TLBI_NH_VA vmid 7 asid 3 va 0x7f0000000000 leaf', 'TLBI_NH_ASID vmid 7 asid 3', 'ATC_INV sid 0x200 size 52', 'CMD_SYNC']);
  });
  test.each([
    ['TLBI_NH_ALL', 4],
    ['TLBI_NH_VAA va 0x1000', 4],
    ['CFGI_STE sid 0x8', 4],
    ['CFGI_CD sid 0x8', 4],
    ['PREFETCH_CFG sid 0x8', 4],
    ['?0x77 0x77 0', 1],
    ['?0x0 0 0', 1],
    ['ATC_INV sid 0x9', 1],
    // 20 bits of it are looked at, not fewer
    ['ATC_INV sid 0x100008', 1],
  ])('%s fails with %i', (text, error) => {
    const m = new Machine().boot();
    expect(sent(m, 'TLBI_NH_ASID asid 1', text, 'CMD_SYNC')).toEqual(['TLBI_NH_ASID vmid 7 asid 1', `error ${error}`]);
    expect(m.of(0)).toMatchObject({ prod: 3, cons: 1, err: error, used: 2, errors: 1 });
  });
  test('with the rights of the hypervisor everything goes, as it is', () => {
    const m = new Machine().boot();
    m.do({ kind: 'store', view: { kind: 'aperture' }, offset: 0x1100n, width: 4, value: 0x2_000fn });
    expect(sent(m, 'TLBI_NH_ALL', 'CFGI_STE sid 0x8', 'ATC_INV sid 0x9')).toEqual(['TLBI_NH_ALL', 'CFGI_STE sid 0x8', 'ATC_INV sid 0x9']);
  });
  test('what is not known is not made up', () => {
    const m = new Machine();
    m.do({ kind: 'viommu-alloc', viommu: 'v' });
    m.do({ kind: 'vdevice-alloc', viommu: 'v', vdevice: 'a', vsid: 8 });
    m.queue(0);
    m.store(0, 'CONFIG', 1);
    expect(sent(m, 'TLBI_NH_ASID asid 1', 'ATC_INV sid 0x8', 'CMD_SYNC')).toEqual(['?', '?', 'CMD_SYNC']);
  });
  test('PROD and CONS go round', () => {
    const m = new Machine().boot(1, 2);
    const seen: string[] = [];
    for (let i = 0; i < 6; i++) {
      m.push(0, `TLBI_NH_ASID asid ${i}`, 'CMD_SYNC');
      m.do({ kind: 'run' });
      seen.push(`${m.of(0).prod} ${m.of(0).cons}`);
    }
    expect(seen).toEqual(['2 2', '4 4', '6 6', '0 0', '2 2', '4 4']);
    expect(m.state.vintfs.get(1)!.queues[0]).toMatchObject({ done: 12, unsynced: 0 });
  });
  test('so many at a time', () => {
    const m = new Machine().boot();
    m.push(0, 'TLBI_NH_ASID asid 1', 'TLBI_NH_ASID asid 2', 'CMD_SYNC');
    m.do({ kind: 'run', commands: 2 });
    expect(m.of(0)).toMatchObject({ cons: 2, used: 1 });
    expect(m.state.vintfs.get(1)!.queues[0]).toMatchObject({ done: 2, unsynced: 2 });
  });
  test('PROD too far ahead is said', () => {
    const m = new Machine().boot();
    expect(only(m.store(0, 'PROD_INDX', 9), 'ignored')[0]?.why).toBe('9 commands do not fit a queue of 8; the hardware reads round it');
  });
  test('CONS goes to memory as well where that is on', () => {
    const m = new Machine().boot(0);
    m.do({ kind: 'store', view: { kind: 'aperture' }, offset: 0n, width: 4, value: 0x10_0001n });
    m.queue(0);
    m.do({ kind: 'store', view: { kind: 'vintf', vintf: 1, page: 1 }, offset: 8n, width: 8, value: 0x9000n });
    m.store(0, 'CONFIG', 1);
    m.push(0, 'CMD_SYNC');
    expect(only(m.do({ kind: 'run' }), 'store')).toEqual([{ kind: 'store', address: 0x9000n, bytes: new Uint8Array([1, 0, 0, 0]) }]);
  });
});

describe('errors', () => {
  test('CONS.ERR, GERROR, maps, interrupt, vEVENT; recovery', () => {
    const m = new Machine().boot(2);
    m.push(1, 'TLBI_NH_ASID asid 1', 'TLBI_NH_ALL', 'CMD_SYNC');
    const effects = m.do({ kind: 'run' });
    expect(written(effects)).toEqual([
      'VINTF1.LVCMDQ1.CONS_INDX = 0x4000001',
      'VINTF1.LVCMDQ1.GERROR = 0x1',
      'VINTF1.LVCMDQ_ERR_MAP_0 = 0x2',
      'CMDQV.CMDQ_ERR_MAP_0 = 0x8',
      'VINTF1.STATUS = 0x3',
      'CMDQV.VI_ERR_MAP_0 = 0x2',
    ]);
    expect(effects.slice(-2)).toEqual([{ kind: 'interrupt' }, { kind: 'vevent', vintf: 1, viommu: 'v', map: [2n, 0n] }]);
    expect(m.text('VINTF1.STATUS')).toMatch(/ENABLED STATUS VCMDQ_ERROR/);
    // stopped, whatever comes
    m.push(1, 'CMD_SYNC');
    expect(m.do({ kind: 'run' })).toEqual([]);
    m.recover(1);
    expect(m.of(1)).toMatchObject({ err: 0, errors: 0, cons: 1 });
    expect(['VINTF1.LVCMDQ_ERR_MAP_0', 'CMDQV.CMDQ_ERR_MAP_0', 'CMDQV.VI_ERR_MAP_0'].map((n) => readerOf(m.state).get(n).value)).toEqual([
      0n,
      0n,
      0n,
    ]);
    m.do({ kind: 'run' });
    expect(m.of(1)).toMatchObject({ cons: 4, used: 0, errors: 0 });
    // the next error toggles GERROR back
    m.push(1, 'TLBI_NH_ALL');
    m.do({ kind: 'run' });
    expect([m.text('VINTF1.LVCMDQ1.GERROR'), m.text('VINTF1.LVCMDQ1.GERRORN')]).toEqual(['0x0', '0x1 (CMDQ_ERR)']);
    expect(m.of(1).errors).toBe(1);
  });
  test('CONS may be moved past the command instead', () => {
    const m = new Machine().boot();
    m.push(0, 'TLBI_NH_ALL', 'CMD_SYNC');
    m.do({ kind: 'run' });
    m.store(0, 'CONS_INDX', 1);
    m.store(0, 'GERRORN', 1);
    m.do({ kind: 'run' });
    expect(m.of(0)).toMatchObject({ cons: 2, used: 0, err: 0 });
  });
  test('a second vIOMMU with an error is told of together with the first, which has not recovered', () => {
    const m = new Machine().boot(1);
    m.do({ kind: 'viommu-alloc', viommu: 'w', vmid: 8 });
    m.do({ kind: 'queue-alloc', viommu: 'w', key: 'wq', lvcmdq: 0, base: 0x9000_0000n, physical: true, length: 128n });
    m.push(0, 'TLBI_NH_ALL');
    m.do({ kind: 'run' });
    m.store(0, 'CONFIG', 1, 2);
    m.store(0, 'PROD_INDX', 1, 2);
    // nothing is mapped there
    expect(only(m.do({ kind: 'run' }), 'vevent').map((e) => e.viommu)).toEqual(['v', 'w']);
    expect(m.text('VINTF2.LVCMDQ0.CONS_INDX')).toBe('0x2000000 (ERR ABORT)');
  });
  test('a masked VINTF raises no interrupt', () => {
    const m = new Machine().boot();
    m.do({ kind: 'store', view: { kind: 'aperture' }, offset: 0x1cn, width: 4, value: 2n });
    m.push(0, 'TLBI_NH_ALL');
    const effects = m.do({ kind: 'run' });
    expect([only(effects, 'interrupt'), only(effects, 'vevent')]).toEqual([[], []]);
    expect(m.of(0).errors).toBe(1);
  });
  test('a device that does not answer fails the CMD_SYNC, which can be tried again', () => {
    const m = new Machine().boot();
    m.do({ kind: 'fault', vintf: 1, lvcmdq: 0, fault: 'atc-timeout' });
    m.push(0, 'ATC_INV sid 0x8', 'CMD_SYNC');
    m.do({ kind: 'run' });
    expect(m.of(0)).toMatchObject({ cons: 1, err: 3 });
    m.store(0, 'GERRORN', 1);
    m.do({ kind: 'run' });
    expect(m.of(0)).toMatchObject({ cons: 2, err: 0, errors: 0 });
  });
  test('DESTROY acknowledges for the guest', () => {
    const m = new Machine().boot();
    m.push(0, 'TLBI_NH_ALL');
    m.do({ kind: 'run' });
    const all = written(m.do({ kind: 'queue-destroy', viommu: 'v', lvcmdq: 0 }));
    expect(all).toContain('VINTF1.LVCMDQ0.GERRORN = 0x1');
    expect(all).toContain('CMDQV.VI_ERR_MAP_0 = 0x0');
    m.queue(0);
    expect(m.of(0)).toMatchObject({ errors: 0, cons: 0 });
  });
});

describe('where values come from', () => {
  test('seen, sampled, model, unknown', () => {
    const m = new Machine().boot();
    expect(['PROD_INDX', 'CONFIG', 'STATUS'].map((n) => m.get(0, n).from)).toEqual(['model', 'seen', 'model']);
    const page0 = new Uint8Array(0x20);
    new DataView(page0.buffer).setUint32(0, 3, true);
    new DataView(page0.buffer).setUint32(4, 5, true);
    m.do({ kind: 'sample', vintf: 1, lvcmdq: 0, page0 });
    expect(m.get(0, 'PROD_INDX')).toEqual({ value: 5n, known: 0xffff_ffffn, from: 'sampled' });
    expect(m.of(0)).toMatchObject({ prod: 5, cons: 3, used: 2 });
    expect(m.state.vintfs.get(1)!.queues[0]!.done).toBe(3);
    expect(readerOf(makeState()).get('VINTF1.LVCMDQ0.PROD_INDX').from).toBe('unknown');
  });
  test('a load that brings something else than what is known', () => {
    const m = new Machine().boot();
    const load = (value: bigint) => m.do({ kind: 'load', view: { kind: 'vintf', vintf: 1, page: 0 }, offset: 4n, width: 4, value });
    expect(only(load(0n), 'differs')).toEqual([]);
    expect(only(load(6n), 'differs')[0]).toMatchObject({ name: 'VINTF1.LVCMDQ0.PROD_INDX', known: { value: 0n, from: 'seen' } });
    expect(m.of(0).prod).toBe(6);
  });
  test('part of a register', () => {
    const m = new Machine().boot();
    m.store(0, 'PROD_INDX', 0x102);
    m.do({ kind: 'store', view: { kind: 'vintf', vintf: 1, page: 0 }, offset: 4n, width: 1, value: 3n });
    expect(m.of(0).prod).toBe(0x103);
  });
  test('errors that were found rather than made show in the maps', () => {
    const m = new Machine().boot();
    const page0 = new Uint8Array(0x18);
    page0[0x10] = 1;
    const effects = m.do({ kind: 'sample', vintf: 1, lvcmdq: 0, page0 });
    expect(m.text('CMDQV.VI_ERR_MAP_0')).toContain('VINTF 1');
    expect(only(effects, 'vevent')).toEqual([]);
  });
  test("a guest's own CMDQV, whose set-up no call shows", () => {
    const state = makeState({ log2Queues: 1 });
    const effects = step(state, { kind: 'store', view: { kind: 'aperture' }, offset: 0x1_0004n, width: 4, value: 5n });
    expect(written(effects)).toEqual(['VINTF0.LVCMDQ0.PROD_INDX = 0x5']);
  });
});

describe('troubles', () => {
  const of = (m: Machine): string[] =>
    troubles(m.state, m.state.vintfs.get(1)!, m.state.vintfs.get(1)!.queues[0]!, (address) => m.memory.get(address)).map(
      (t) => `${t.kind}: ${t.text}`,
    );
  test('none', () => expect(of(new Machine().boot())).toEqual([]));
  test('an enable that is not acknowledged', () => {
    const m = new Machine().boot(0);
    m.queue(0);
    m.do({ kind: 'fault', vintf: 1, lvcmdq: 0, fault: 'deaf' });
    m.store(0, 'CONFIG', 1);
    m.do({ kind: 'run' });
    expect(of(m)).toEqual(['enable: VINTF1.LVCMDQ0: CONFIG.CMDQ_EN is set, and STATUS.CMDQ_EN_OK does not follow']);
  });
  test('an error', () => {
    const m = new Machine().boot();
    m.push(0, 'CFGI_ALL', 'CMD_SYNC');
    m.do({ kind: 'run' });
    expect(of(m)).toEqual([
      'error: VINTF1.LVCMDQ0: GERROR and GERRORN differ (CMDQ_ERR), CONS_INDX.ERR is ACCESS at entry 0: CFGI_ALL; 2 commands wait',
    ]);
  });
  test('commands that wait, off and on; no CMD_SYNC', () => {
    const m = new Machine().boot(0);
    m.queue(0);
    m.push(0, 'TLBI_NH_ASID asid 1', 'TLBI_NH_ASID asid 2');
    expect(of(m)).toEqual(['disabled: VINTF1.LVCMDQ0: 2 commands wait, and CONFIG.CMDQ_EN is not set']);
    m.store(0, 'CONFIG', 1);
    m.do({ kind: 'run', commands: 1 });
    expect(of(m)).toEqual(['pending: VINTF1.LVCMDQ0: CONS is 1 command behind PROD, the next one is TLBI_NH_ASID asid 2']);
    m.do({ kind: 'run' });
    expect(of(m)).toEqual(['no-sync: VINTF1.LVCMDQ0: 2 commands since the last CMD_SYNC: nobody is told when they are done']);
  });
});

test('the digest is of what is known, not of the way to it', () => {
  const [a, b] = [new Machine().boot(2), new Machine().boot(2)];
  expect(digest(a.state)).toBe(digest(b.state));
  const c = makeState(SIZE);
  for (const [name, value] of [...a.state.registers].reverse()) c.registers.set(name, value);
  for (const [index, vintf] of a.state.vintfs) c.vintfs.set(index, vintf);
  expect(digest(c)).toBe(digest(a.state));
  b.store(0, 'PROD_INDX', 1);
  expect(digest(a.state)).not.toBe(digest(b.state));
  expect(stateJson(a.state)).toMatchObject({
    vintfs: [{ vintf: 1, viommu: 'v', lvcmdqs: [{ index: 0, enabled: true, prod: 0 }, { index: 1 }] }],
  });
});

describe('what a reader of a log knows', () => {
  test('a vEVENT that was read: of a queue that is not known to have an error nothing is known until it is read', () => {
    const m = new Machine().boot(2);
    const read = (...map: [bigint, bigint]) => m.do({ kind: 'vevent-read', viommu: 'v', map });
    expect(read(0n, 1n)).toEqual([]);
    expect(written(read(2n, 0n))).toContain('VINTF1.LVCMDQ1.CONS_INDX = ?');
    expect(m.of(1)).toMatchObject({ errors: undefined, cons: undefined, prod: 0 });
    expect(m.of(0)).toMatchObject({ errors: 0, cons: 0 });
    expect(m.text('CMDQV.VI_ERR_MAP_0')).toBe('?');
  });
  test('CONS_INDX.ERR tells that an error is pending', () => {
    const m = new Machine().boot();
    m.do({ kind: 'load', view: { kind: 'vintf', vintf: 1, page: 0 }, offset: 0n, width: 4, value: 0x0100_0002n });
    expect(m.of(0)).toMatchObject({ errors: 1, err: 1, cons: 2 });
    expect(m.get(0, 'GERROR').from).toBe('model');
    expect(m.text('CMDQV.VI_ERR_MAP_0')).toContain('VINTF 1');
  });
});
