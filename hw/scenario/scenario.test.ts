import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { contradictions, readerOf, regs } from '../cmdqv/state.ts';
import { only } from '../cmdqv/testing.ts';
import { troubles } from '../cmdqv/trouble.ts';
import { DIALECTS, type DialectName } from '../uapi/table.ts';
import { mapsIn, Observer } from './observer.ts';
import { parseScenario, runScenario, ScenarioError } from './script.ts';
import type { Happened, Session, SimEvent } from './session.ts';
import { effectText, eventText, indexOf } from './text.ts';

const FOLDER = new URL('../../fixtures/scenarios/', import.meta.url);
const SCENARIOS = readdirSync(FOLDER).filter((f) => f.endsWith('.scn'));
const textOf = (name: string): string => readFileSync(new URL(name.endsWith('.scn') ? name : `${name}.scn`, FOLDER), 'utf8');
/** kernels with queues of hardware */
const SERIES = DIALECTS.filter((d) => d !== 'linux-6.12');

const run = (name: string, dialect: DialectName = 'linux-7.2'): Session => runScenario(textOf(name), dialect);
const calls = (s: Session): string[] =>
  s.log.flatMap(({ event: e }) =>
    e.kind === 'ioctl' ? [`${e.command.name.replace('IOMMU_', '')}${e.errno === '' ? '' : ` ${e.errno}`}`] : [],
  );
const hardware = (s: Session): string[] =>
  s.log.flatMap((h) => h.effects.flatMap((e) => (e.kind === 'ignored' ? [] : (effectText(e) ?? []))));
const count = (s: Session, of: (e: SimEvent) => boolean): number => s.log.filter((h) => of(h.event)).length;

describe('what each scenario is about', () => {
  test.each(SERIES)('boot, %s', (dialect) => {
    const s = run('boot', dialect);
    expect(hardware(s)).toEqual([
      'VINTF1.LVCMDQ0 TLBI_NH_VA asid 3 va 0x7f0000000000 leaf',
      'VINTF1.LVCMDQ0 ATC_INV sid 0x8 size 52',
      'VINTF1.LVCMDQ0 CMD_SYNC',
      'VINTF1.LVCMDQ1 TLBI_NH_ASID asid 3',
      'VINTF1.LVCMDQ1 CMD_SYNC',
    ]);
    expect(
      calls(s)
        .filter((c) => /ALLOC$/.test(c) && !/IOAS|HWPT/.test(c))
        .map((c) => c.replace(/(HW_QUEUE|VQUEUE|VCMDQ)_ALLOC/, 'QUEUE')),
    ).toEqual(['VIOMMU_ALLOC', 'VEVENTQ_ALLOC', 'VDEVICE_ALLOC', 'VDEVICE_ALLOC', 'QUEUE', 'QUEUE']);
    expect(s.cmdqv.vintfs.size).toBe(0);
    expect(s.model.kernel.contexts.size).toBe(0);
  });
  test('the direct way costs no calls and no exits, the trapped one a call each', () => {
    const [direct, trapped] = [run('direct'), run('trapped')];
    const between = (s: Session): [number, number] => [
      count(s, (e) => e.kind === 'ioctl' && e.command.name === 'IOMMU_HWPT_INVALIDATE'),
      count(s, (e) => e.kind === 'mmio' && e.source === 'exit'),
    ];
    expect(between(direct)[0]).toBe(0);
    expect(between(trapped)[0]).toBe(16);
    expect(between(trapped)[1]! - between(direct)[1]!).toBe(16);
    expect(hardware(direct).filter((t) => t.includes('TLBI_NH_VA'))).toHaveLength(16);
    expect(hardware(trapped)).toEqual([]);
  });
  test('wrap: PROD and CONS go round three times', () => {
    const pointers = run('wrap').log.flatMap(({ event: e }) =>
      e.kind === 'queue' && e.why === 'prod' ? [`${indexOf(e.page0, 'PROD_INDX')} ${indexOf(e.page0, 'CONS_INDX')}`] : [],
    );
    expect(pointers).toEqual(['3 3', '6 6', '1 1', '4 4', '7 7', '2 2', '5 5']);
  });
  test.each(SERIES)('wrap, %s: the same, though some kernels keep whole pages', (dialect) => {
    expect(hardware(run('wrap', dialect))).toEqual(hardware(run('wrap')));
  });
  test('error: two of them, both recovered', () => {
    const s = run('error');
    expect(hardware(s).filter((t) => !t.includes('SYNC'))).toEqual([
      'VINTF1.LVCMDQ1 TLBI_NH_ASID asid 1',
      'VINTF1.LVCMDQ1 TLBI_NH_ALL = error 4',
      'interrupt',
      'vEVENT of VINTF1: 0x2 0x0',
      'VINTF1.LVCMDQ1 ATC_INV sid 0x99 = error 1',
      'interrupt',
      'vEVENT of VINTF1: 0x2 0x0',
    ]);
    const reads = s.log.flatMap(({ event: e }) => (e.kind === 'read' ? [mapsIn(e.bytes)] : []));
    expect(reads).toEqual([[[2n, 0n]], [[2n, 0n]]]);
  });
  test('overflow: two are kept, the loss is told, then a gap', () => {
    const reads = run('overflow').log.flatMap(({ event: e }) => (e.kind === 'read' ? [e.bytes] : []));
    const headers = (bytes: Uint8Array): string[] => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const found: string[] = [];
      for (let at = 0; at < bytes.length; at += view.getUint32(at, true) === 1 ? 8 : 24)
        found.push(`${view.getUint32(at, true)} ${view.getUint32(at + 4, true)}`);
      return found;
    };
    expect(reads.map(headers)).toEqual([['0 0', '0 1', '1 3'], ['0 4']]);
  });
  test('reboot: freed from the last on, made again', () => {
    const queues = calls(run('reboot')).filter((c) => c.startsWith('HW_QUEUE') || c.startsWith('DESTROY'));
    expect(queues.slice(0, 6)).toEqual(['HW_QUEUE_ALLOC', 'HW_QUEUE_ALLOC', 'DESTROY', 'DESTROY', 'HW_QUEUE_ALLOC', 'HW_QUEUE_ALLOC']);
  });
  test('halves: the first half of BASE is enough to make the queue, the second makes it again', () => {
    const s = run('halves');
    expect(calls(s).filter((c) => c === 'HW_QUEUE_ALLOC')).toHaveLength(4);
    expect(calls(run('boot')).filter((c) => c === 'HW_QUEUE_ALLOC')).toHaveLength(2);
  });
  test.each([
    ['vcmdq-v1', []],
    ['linux-7.2', ['DESTROY EBUSY', 'DESTROY EBUSY', 'DESTROY EBUSY', 'DESTROY EBUSY', 'DESTROY EBUSY']],
  ] as const)('order, %s: what holds what', (dialect, refused) => {
    const s = run('order', dialect);
    const all = calls(s).filter((c) => c.startsWith('DESTROY'));
    // the first series lets the first queue go; its vIOMMU stays until the second is gone
    if (dialect === 'vcmdq-v1') expect(all.slice(0, 2)).toEqual(['DESTROY', 'DESTROY EBUSY']);
    else expect(all.slice(0, refused.length)).toEqual(refused);
  });
  test('stuck: what is wrong is said, at its time', () => {
    const found = new Set<string>();
    runScenario(textOf('stuck'), 'linux-7.2', (_, s) => {
      for (const v of s.cmdqv.vintfs.values())
        for (const q of v.queues) for (const t of troubles(s.cmdqv, v, q)) found.add(t.text.replace('VINTF1.LVCMDQ0: ', ''));
    });
    expect([...found]).toEqual(
      expect.arrayContaining([
        'GERROR and GERRORN differ (CMDQ_ERR), CONS_INDX.ERR is ATC_INV at entry 1; 1 command waits',
        'CONFIG.CMDQ_EN is set, and STATUS.CMDQ_EN_OK does not follow',
      ]),
    );
  });
  test('stale: the new queue does not run, and nothing failed in it', () => {
    let last: string[] = [];
    const s = runScenario(textOf('stale'), 'linux-7.2', ({ event }, at) => {
      if (event.kind === 'queue' && event.why === 'prod')
        last = [...at.cmdqv.vintfs.values()].flatMap((v) => v.queues.flatMap((q) => troubles(at.cmdqv, v, q).map((t) => t.text)));
    });
    expect(last).toEqual(['VINTF1.LVCMDQ0: GERROR and GERRORN differ (CMDQ_ERR); 2 commands wait']);
    expect(hardware(s).filter((t) => t.includes('asid 1'))).toEqual([]);
  });
  test('a type that no table knows: the bytes are there, and the answer', () => {
    const s = run('unknown-type');
    const made = s.log.map((h) => h.event).find((e) => e.kind === 'ioctl' && e.command.name === 'IOMMU_VIOMMU_ALLOC');
    expect(made).toMatchObject({ errno: '' });
    expect(made?.kind === 'ioctl' && [...made.nestedIn.values()][0]?.length).toBe(24);
    expect(s.cmdqv.vintfs.size).toBe(0);
  });
});

/** Follows a session by its log alone. */
function follow(name: string, dialect: DialectName, each: (seen: Observer, s: Session, h: Happened) => void): Session {
  let observer: Observer | undefined;
  const objects = new Map<string, { vintf: number; lvcmdq: number }>();
  const viommus = new Map<number, { vintf: number; base: bigint; key: string }>();
  return runScenario(textOf(name), dialect, (h, s) => {
    observer ??= new Observer(s.cmdqv.size);
    for (const input of h.inputs) observer.do(unphysical(input));
    for (const [key, v] of s.viommus()) {
      const vintf = s.vintfOf(v)!;
      viommus.set(v.context.file, { vintf, base: v.region!.offset, key });
      for (const q of v.queues.values()) objects.set(`${v.context.file}/${q.id}`, { vintf, lvcmdq: q.index });
    }
    observer.see(h.event, {
      vintfOf: (file) => viommus.get(file),
      queueOf: (id) => objects.get(`${h.event.kind === 'queue' ? h.event.file : 0}/${id}`),
      viommuOf: (file) => viommus.get(s.model.kernel.files.get(file)?.context?.file ?? 0)?.key,
    });
    each(observer, s, h);
  });
}
/** a log tells neither physical addresses and streams nor VMIDs */
function unphysical(input: Happened['inputs'][number]): Happened['inputs'][number] {
  if (input.kind === 'queue-alloc') return { ...input, physical: false };
  if (input.kind === 'vdevice-alloc') return { ...input, psid: undefined };
  return input.kind === 'viommu-alloc' ? { ...input, vmid: undefined } : input;
}

describe('a log that has every access tells the state of the hardware at every event', () => {
  test.each(SCENARIOS.flatMap((name) => (['vcmdq-v1', 'hw-queue-v6', 'linux-7.2'] as const).map((dialect) => [name, dialect] as const)))(
    '%s, %s',
    (name, dialect) => {
      const wrong: string[] = [];
      let compared = 0;
      const sampled = textOf(name).includes('page0=sampled');
      follow(name, dialect, (seen, s, h) => {
        // what nobody traps is known when it is sampled
        if (sampled && h.event.kind !== 'queue') return;
        compared++;
        // of the other queues what was sampled may be old
        const fresh = h.event.kind === 'queue' ? `.LVCMDQ${h.event.index}.` : '';
        const differ = contradictions(seen.state, s.cmdqv).filter(
          (n) => !sampled || n.includes(fresh) || seen.state.registers.get(n)?.from !== 'sampled',
        );
        wrong.push(...differ.map((n) => `${s.log.length} ${eventText(h.event)}: ${n}`));
        for (const v of s.cmdqv.vintfs.values())
          for (const q of v.queues)
            for (const r of ['PROD_INDX', 'CONFIG', 'GERRORN'])
              if (!sampled && readerOf(seen.state).get(regs.page0(v.index, q.lvcmdq, r)).known === 0n)
                wrong.push(`${s.log.length}: ${r} unknown`);
      });
      expect(wrong).toEqual([]);
      expect(compared).toBeGreaterThan(name === 'trapped.scn' ? 1 : 8);
    },
  );
});

test('the same scenario gives the same, digest by digest', () => {
  for (const name of SCENARIOS) {
    const [a, b] = [run(name), run(name)];
    expect(a.log.map((h) => [h.digest, eventText(h.event)])).toEqual(b.log.map((h) => [h.digest, eventText(h.event)]));
    expect(new Set(a.log.map((h) => h.digest)).size).toBeGreaterThan(name === 'unknown-type.scn' ? 0 : 5);
    expect(
      only(
        a.log.flatMap((h) => h.effects),
        'differs',
      ),
    ).toEqual([]);
  }
});

describe('scenarios that cannot be run say where and why', () => {
  test.each([
    ['fly', 'line 1: there is no step "fly"'],
    ['boot', 'line 1: boot before vmm'],
    ['vmm\n\ndevice', 'line 3: device wants vsid='],
    ['vmm\ndevice vsid=x', 'line 2: "x" is no number'],
    ['vmm\ndevice vsid=8\nboot\nsend 0 TLBI_NH_VA asid', 'line 4: "TLBI_NH_VA asid" is no command'],
    ['repeat 2\nvmm', 'line 1: repeat without end'],
    ['end', 'line 1: end without repeat'],
    ['repeat 1000\nrepeat 1000\nvmm\nend\nend', 'line 1: more than 100000 steps'],
    ['vmm\ncall IOMMU_NOTHING', 'line 2: linux-7.2 has no IOMMU_NOTHING'],
    ['vmm\ncall IOMMU_DESTROY id=$queue0', 'line 2: there is no $queue0'],
    ['vmm\ncall IOMMU_DESTROY colour=1', 'line 2: IOMMU_DESTROY has no colour'],
    ['constructor', 'line 1: there is no step "constructor"'],
  ])('%j', (text, why) => {
    let failed: unknown;
    try {
      runScenario(text, 'linux-7.2');
    } catch (error) {
      failed = error;
    }
    expect(failed).toBeInstanceOf(ScenarioError);
    expect((failed as Error).message).toContain(why);
  });
  test('a kernel without vIOMMUs', () => expect(() => run('boot', 'linux-6.12')).toThrow('line 3: IOMMU_HWPT_ALLOC fails with EOPNOTSUPP'));
  test('comments and empty lines are none', () => expect(parseScenario('# a\n\n  vmm # b\n')).toMatchObject([{ line: 3, verb: 'vmm' }]));
});
