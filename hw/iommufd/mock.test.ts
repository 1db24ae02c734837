import { describe, expect, test } from 'vitest';
import type { DialectName } from '../uapi/table.ts';
import { brokenRules } from './invariants.ts';
import { CACHE_DEFAULT, SELFTEST_VEVENT, SELFTEST_VIOMMU } from './mock.ts';
import { IOVA, OP, PAGE, Session, u32 } from './mock-testing.ts';
import type { Device, Fault, Ioas, Veventq } from './state.ts';
import type { Values } from './testing.ts';

describe('mock devices', () => {
  test.each<[DialectName, number, string]>([
    ['linux-7.2', 1 | 4, ''],
    ['linux-7.2', 2, 'EINVAL'],
    ['linux-6.12', 1 | 2, ''],
    ['linux-6.12', 4, 'EINVAL'],
    ['hw-queue-v4', 1 | 2 | 4, ''],
    ['hw-queue-v4', 8, 'EINVAL'],
  ])('%s takes device flags %i: "%s"', (dialect, flags, errno) => {
    expect(new Session(dialect).test(OP.mockDomainFlags, { id: 1, 'mock_domain_flags.dev_flags': flags })).toBe(errno);
  });

  test('a failed MOCK_DOMAIN leaves nothing; its own device is there already, the SELFTEST not yet', () => {
    const s = new Session();
    expect(s.test(OP.mockDomain, { id: 2 })).toBe('ENOENT');
    expect(s.test(OP.mockDomain, { id: 3 })).toBe('EINVAL');
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect([s.out('mock_domain.out_stdev_id'), s.out('mock_domain.out_idev_id'), s.out('mock_domain.out_hwpt_id')]).toEqual([2, 3, 4]);
    expect(s.call('IOMMU_DESTROY', { id: 3 })).toBe('EBUSY');
    expect(s.call('IOMMU_DESTROY', { id: 2 })).toBe('');
    expect(s.p.model.kernel.contexts.values().next().value?.objects.size).toBe(1);
  });

  test.each<[DialectName, Values, string]>([
    ['linux-7.2', { flags: 8 }, ''],
    ['linux-6.12', { flags: 8 }, 'EOPNOTSUPP'],
    ['linux-7.2', { data_type: 0xdead, data_len: 8 }, ''],
    ['linux-7.2', { data_type: 0xdead, data_len: 3 }, 'EINVAL'],
    ['linux-7.2', { data_type: 0xdead, data_len: 9 }, 'EINVAL'],
    ['linux-7.2', { data_type: 1, data_len: 8 }, 'EOPNOTSUPP'],
    ['linux-6.12', { data_type: 0xdead, data_len: 4 }, 'EOPNOTSUPP'],
    ['hw-queue-v9', { data_type: 0xdead, data_len: 4 }, 'EOPNOTSUPP'],
  ])('%s: a paging HWPT with %o: "%s"', (dialect, values, errno) => {
    const s = new Session(dialect);
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect(s.call('IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 1, ...values }, { data_uptr: u32(1, 0, 0) })).toBe(errno);
  });

  test('a page table of big pages reaches from 0 to 256 GiB; other types there are not', () => {
    const s = new Session();
    s.test(OP.mockDomain, { id: 1 });
    expect(s.call('IOMMU_IOAS_ALLOC')).toBe('');
    const big = (type: number): string =>
      s.call('IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 5, data_type: 0xdead, data_len: 8 }, { data_uptr: u32(0, type) });
    expect(big(2)).toBe('EOPNOTSUPP');
    expect(big(1)).toBe('');
    expect(s.object<Ioas>(5).reserved).toMatchObject([{ start: 2n ** 38n, last: 2n ** 64n - 1n }]);
    expect(s.object<Ioas>(1).reserved).toHaveLength(2);
  });
});

describe('PASIDs', () => {
  /** IOAS 1, SELFTEST 2, DEVICE 3 with PASIDs, attached to HWPT 5; HWPTs 5 and 6 made with PASID */
  const pasids = (flags = 4): Session => {
    const s = new Session();
    expect(s.test(OP.mockDomainFlags, { id: 1, 'mock_domain_flags.dev_flags': flags })).toBe('');
    for (let i = 0; i < 2; i++) expect(s.call('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: 3, pt_id: 1 })).toBe('');
    expect(s.test(OP.replace, { id: 2, 'mock_domain_replace.pt_id': 5 })).toBe('');
    return s;
  };
  const attach = (s: Session, pasid: number, pt: number): string =>
    s.test(OP.pasidAttach, { id: 2, 'pasid_attach.pasid': pasid, 'pasid_attach.pt_id': pt });
  const replace = (s: Session, pasid: number, pt: number): string =>
    s.test(OP.pasidReplace, { id: 2, 'pasid_replace.pasid': pasid, 'pasid_replace.pt_id': pt });
  const check = (s: Session, pasid: number, pt: number): string =>
    s.test(OP.pasidCheck, { id: 2, 'pasid_check.pasid': pasid, 'pasid_check.hwpt_id': pt });

  test('PASID 1024 fails in turns', () => {
    const s = pasids();
    expect(attach(s, 1024, 6)).toBe('');
    expect(replace(s, 1024, 5)).toBe('ENOMEM');
    expect(check(s, 1024, 6)).toBe('');
    expect(replace(s, 1024, 5)).toBe('');
    expect(replace(s, 1024, 6)).toBe('ENOMEM');
    expect(s.test(OP.pasidDetach, { id: 2, 'pasid_detach.pasid': 1024 })).toBe('');
    expect(attach(s, 1024, 6)).toBe('');
    expect(replace(s, 1024, 6)).toBe('');
  });

  test('devices have 2^20 of them or none', () => {
    expect(attach(pasids(), 2 ** 20 - 1, 6)).toBe('');
    expect(attach(pasids(), 2 ** 20, 6)).toBe('EINVAL');
    expect(attach(pasids(0), 1, 6)).toBe('EINVAL');
  });

  test('an IOAS cannot be attached with a PASID, nor what is made for it', () => {
    const s = pasids();
    expect(attach(s, 1, 1)).toBe('EINVAL');
    expect(attach(s, 1, 6)).toBe('');
    expect(attach(s, 1, 6)).toBe('EBUSY');
    expect(replace(s, 2, 6)).toBe('EINVAL');
    // the automatic HWPT has no PASID flag, so the plain attachment cannot go back to the IOAS
    expect(s.test(OP.replace, { id: 2, 'mock_domain_replace.pt_id': 1 })).toBe('EINVAL');
  });

  test('what is attached can be asked', () => {
    const s = pasids();
    expect(attach(s, 3, 6)).toBe('');
    expect([check(s, 3, 6), check(s, 3, 5), check(s, 3, 0), check(s, 4, 0), check(s, 3, 1), check(s, 3, 99)]).toEqual([
      '',
      'EINVAL',
      'EINVAL',
      '',
      'EINVAL',
      'ENOENT',
    ]);
    expect(brokenRules(s.p.model.kernel)).toEqual([]);
  });
});

describe('vIOMMUs, faults and events', () => {
  /** IOAS 1, SELFTEST 2, DEVICE 3, automatic HWPT 4, nest parent 5, VIOMMU 6, fault queue 7, nested HWPT 8 of the vIOMMU with it */
  const nested = (dialect: DialectName = 'linux-7.2'): Session => {
    const s = new Session(dialect);
    expect(s.test(OP.mockDomainFlags, { id: 1, 'mock_domain_flags.dev_flags': 4 })).toBe('');
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 })).toBe('');
    expect(s.call('IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 })).toBe('');
    expect(s.call('IOMMU_FAULT_QUEUE_ALLOC')).toBe('');
    const data: Values = { flags: 4, dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4, fault_id: 7 };
    expect(s.call('IOMMU_HWPT_ALLOC', data, { data_uptr: u32(0x11) })).toBe('');
    return s;
  };
  const attach = (s: Session, pt: number): string => s.test(OP.replace, { id: 2, 'mock_domain_replace.pt_id': pt });
  const vdevice = (s: Session, id: number): string => s.call('IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: id });
  const event = (s: Session): string => s.test(OP.triggerVevent, { 'trigger_vevent.dev_id': 3 });

  test('without a vDEVICE there is no attachment; with a PASID nobody looks for one', () => {
    const s = nested();
    expect(attach(s, 8)).toBe('ENOENT');
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: 3, pt_id: 1 })).toBe('');
    const data: Values = { flags: 8, dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4 };
    expect(s.call('IOMMU_HWPT_ALLOC', data, { data_uptr: u32(0) })).toBe('');
    expect(attach(s, 9)).toBe('');
    expect(s.test(OP.pasidAttach, { id: 2, 'pasid_attach.pasid': 5, 'pasid_attach.pt_id': 10 })).toBe('');
    expect(vdevice(s, 0x99)).toBe('');
    expect(attach(s, 10)).toBe('');
  });

  test('events carry the virtual id of the attachment, though the vDEVICE is another by then', () => {
    const s = nested();
    expect(s.call('IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: SELFTEST_VEVENT, veventq_depth: 2 })).toBe('');
    expect(event(s)).toBe('ENOENT');
    expect(vdevice(s, 0x99)).toBe('');
    expect(event(s)).toBe('ENOENT');
    expect(attach(s, 8)).toBe('');
    expect(event(s)).toBe('');
    expect(s.call('IOMMU_DESTROY', { id: 10 })).toBe('');
    expect(vdevice(s, 0x77)).toBe('');
    expect(event(s)).toBe('');
    expect(event(s)).toBe('');
    const queue = s.object<Veventq>(9);
    expect(queue.waiting.map((e) => [e.sequence, e.data?.[0]])).toEqual([
      [0, 0x99],
      [1, 0x99],
      [2, undefined],
    ]);
    expect(attach(s, 1)).toBe('');
    expect(event(s)).toBe('ENOENT');
  });

  test('virtual id 0 is as good as none for events', () => {
    const s = nested();
    expect(vdevice(s, 0)).toBe('');
    expect(attach(s, 8)).toBe('');
    expect(event(s)).toBe('ENOENT');
  });

  test('faults of every PASID go to the nested HWPT that is attached without one', () => {
    const s = nested();
    expect(vdevice(s, 1)).toBe('');
    const fault = (pasid: number): string =>
      s.test(OP.triggerIopf, { 'trigger_iopf.dev_id': 3, 'trigger_iopf.pasid': pasid, 'trigger_iopf.grpid': 5, 'trigger_iopf.perm': 2 });
    expect(fault(0)).toBe('');
    expect(s.object<Fault>(7).waiting).toEqual([]);
    expect(attach(s, 8)).toBe('');
    expect(fault(0)).toBe('');
    expect(fault(9)).toBe('');
    const words = s.object<Fault>(7).waiting.map((g) => [...new Uint32Array(g.records[0]!.slice().buffer)].slice(0, 5));
    expect(words).toEqual([
      [2, 3, 0, 5, 2],
      [3, 3, 9, 5, 2],
    ]);
    // what waits ends with the attachment
    expect(attach(s, 1)).toBe('');
    expect(s.object<Fault>(7).waiting).toEqual([]);
  });

  test('invalidation clears the words of the caches, entries of a vIOMMU all or none that cannot be copied', () => {
    const s = nested();
    const word = (index: number, value: number): string =>
      s.test(OP.checkIotlb, { id: 8, 'check_iotlb.id': index, 'check_iotlb.iotlb': value });
    const cache = (index: number, value: number): string =>
      s.test(OP.checkCache, { id: 3, 'check_dev_cache.id': index, 'check_dev_cache.cache': value });
    const invalidate = (id: number, length: number, n: number, ...words: number[]): string =>
      s.call(
        'IOMMU_HWPT_INVALIDATE',
        { hwpt_id: id, data_type: 0xdeadbeef, entry_len: length, entry_num: n },
        { data_uptr: u32(...words) },
      );
    expect([word(0, 0x11), word(0, 0), word(4, 0)]).toEqual(['', 'EINVAL', 'EINVAL']);
    expect(invalidate(8, 8, 2, 0, 1, 0, 4)).toBe('EINVAL');
    expect([word(1, 0), word(2, 0x11)]).toEqual(['', '']);
    expect(vdevice(s, 0x99)).toBe('');
    expect(invalidate(6, 12, 1, 0, 0x98, 0)).toBe('EINVAL');
    expect(invalidate(6, 16, 2, 0, 0x99, 0, 0, 0, 0x99, 1, 1)).toBe('E2BIG');
    expect(cache(0, CACHE_DEFAULT)).toBe('');
    expect(invalidate(6, 8, 1, 0, 0x99)).toBe('');
    expect([cache(0, 0), cache(1, CACHE_DEFAULT)]).toEqual(['', '']);
    expect(invalidate(6, 12, 1, 1, 0x99, 3)).toBe('');
    expect(s.object<Device>(3).cache).toEqual([0, 0, 0, 0]);
  });

  test('the driver never notes the index of a queue: destroying queue 1 frees index 0', () => {
    const s = nested();
    expect(s.map(4n * PAGE)).toBe('');
    const queue = (index: number): string =>
      s.call('IOMMU_HW_QUEUE_ALLOC', { viommu_id: 6, type: 0xdeadbeef, index, nesting_parent_iova: IOVA, length: PAGE });
    expect([queue(1), queue(0), queue(0), queue(1)]).toEqual(['EIO', '', 'EEXIST', '']);
    expect(s.call('IOMMU_DESTROY', { id: 9 })).toBe('EBUSY');
    expect(s.call('IOMMU_DESTROY', { id: 11 })).toBe('');
    expect([queue(1), queue(0)]).toEqual(['EEXIST', '']);
    expect(brokenRules(s.p.model.kernel)).toEqual([]);
  });

  test.each<[DialectName, readonly bigint[], bigint]>([
    ['linux-7.2', [0x1000n, 0x3000n], 0x2000n],
    ['hw-queue-v8', [0x1000n, 0x3000n], 0x2000n],
    ['hw-queue-v7', [0n, 0x2000n], 0x2000n],
    ['hw-queue-v4', [0n, 0x1000n], 0x1000n],
    ['vcmdq-v2', [0n, 0x8000n], 0x1000n],
  ])('%s shows its vIOMMUs at %o', (dialect, offsets, length) => {
    const s = nested(dialect);
    for (const offset of offsets) {
      const answer = s.p.ask(
        s.fd,
        'IOMMU_VIOMMU_ALLOC',
        { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5, data_len: 24 },
        { nested: { data_uptr: u32(0xabc, 0, 0, 0, 0, 0) } },
      );
      const view = new DataView(answer!.nestedOut.get(32)!.buffer);
      expect([view.getUint32(4, true), view.getBigUint64(8, true), view.getBigUint64(16, true)]).toEqual([0xabc, offset, length]);
      answer?.commit();
    }
  });

  test('the series forget to give offset 0 back', () => {
    for (const [dialect, first, again] of [
      ['hw-queue-v4', 0n, 0x1000n],
      ['linux-7.2', 0x1000n, 0x1000n],
    ] as const) {
      const s = nested(dialect);
      const alloc = (): bigint => {
        const nestedIn = { data_uptr: u32(1, 0, 0, 0, 0, 0) };
        const answer = s.p.ask(
          s.fd,
          'IOMMU_VIOMMU_ALLOC',
          { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5, data_len: 24 },
          { nested: nestedIn },
        );
        answer?.commit();
        return new DataView(answer!.nestedOut.get(32)!.buffer).getBigUint64(8, true);
      };
      expect(alloc()).toBe(first);
      expect(s.call('IOMMU_DESTROY', { id: 9 })).toBe('');
      expect(alloc()).toBe(again);
    }
  });
});

describe('the rest of IOMMU_TEST_CMD', () => {
  test('reserved ranges', () => {
    const s = new Session();
    s.map(PAGE);
    const add = (start: bigint, length: bigint): string =>
      s.test(OP.addReserved, { id: 1, 'add_reserved.start': start, 'add_reserved.length': length });
    expect([add(0n, 0n), add(2n ** 64n - 1n, 2n), add(IOVA, 1n), add(IOVA + PAGE, PAGE)]).toEqual([
      'EINVAL',
      'EOVERFLOW',
      'EADDRINUSE',
      '',
    ]);
    expect(s.map(PAGE, { iova: IOVA + PAGE })).toBe('EINVAL');
  });

  test('the limit of memory is the kernel’s, and 12 at least', () => {
    const s = new Session();
    expect(s.test(OP.memoryLimit, { 'memory_limit.limit': 11 })).toBe('EINVAL');
    expect(s.test(OP.memoryLimit, { 'memory_limit.limit': 12 })).toBe('');
    expect(s.p.model.kernel.memoryLimit).toBe(12);
  });

  test.each<[DialectName, number, string]>([
    ['linux-7.2', 24, 'EOPNOTSUPP'],
    ['linux-7.2', 0, 'EOPNOTSUPP'],
    ['linux-6.12', 16, 'EOPNOTSUPP'],
    ['hw-queue-v9', 22, 'EOPNOTSUPP'],
  ])('%s has no operation %i', (dialect, op, errno) => {
    expect(new Session(dialect).test(op)).toBe(errno);
  });
});
