import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { brokenRules } from './invariants.ts';
import { SELFTEST_VEVENT, SELFTEST_VIOMMU } from './mock.ts';
import type { KObject } from './state.ts';
import { Program } from './testing.ts';

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

const objectsOf = (p: Program): KObject[] => [...p.model.kernel.contexts.values()].flatMap((c) => [...c.objects.values()]);

/** What the selftest's vIOMMU fixture has: IOAS 1, SELFTEST 2, DEVICE 3, automatic HWPT 4, nest parent 5, VIOMMU 6, nested 7. */
function nested(p = new Program()): { p: Program; fd: number } {
  const fd = p.open();
  expect(p.call(fd, 'IOMMU_IOAS_ALLOC')).toBe('');
  expect(p.call(fd, 'IOMMU_TEST_CMD', { op: 2, id: 1 })).toBe('');
  expect(p.call(fd, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 })).toBe('');
  expect(p.call(fd, 'IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 })).toBe('');
  expect(
    p.call(fd, 'IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4 }, { nested: { data_uptr: u32(0x11) } }),
  ).toBe('');
  expect(objectsOf(p).map((o) => o.id)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  return { p, fd };
}

describe('what every call has in common', () => {
  test.each([
    ['a size below the least', { size: 8 }, 'EINVAL'],
    ['a longer struct with zeros', { size: 64 }, ''],
  ])('%s', (_, options, errno) => {
    const p = new Program();
    expect(p.call(p.open(), 'IOMMU_IOAS_ALLOC', {}, options)).toBe(errno);
  });

  test('an answer changes nothing before it is committed', () => {
    const p = new Program();
    const fd = p.open();
    for (let i = 0; i < 3; i++) expect(p.ask(fd, 'IOMMU_IOAS_ALLOC')?.errno).toBe('');
    expect(p.call(fd, 'IOMMU_IOAS_ALLOC')).toBe('');
    expect(p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')).toBe(1);
  });
});

describe('ids', () => {
  test('the lowest free one is next, a failure takes none', () => {
    const p = new Program();
    const fd = p.open();
    for (let i = 0; i < 3; i++) p.call(fd, 'IOMMU_IOAS_ALLOC');
    expect(p.call(fd, 'IOMMU_DESTROY', { id: 2 })).toBe('');
    expect(p.call(fd, 'IOMMU_IOAS_ALLOC', { flags: 1 })).toBe('EOPNOTSUPP');
    p.call(fd, 'IOMMU_IOAS_ALLOC');
    expect(p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')).toBe(2);
  });

  test('a HW queue takes two', () => {
    const { p, fd } = nested();
    expect(p.call(fd, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x2000, iova: 0x2000000 })).toBe('');
    expect(
      p.call(fd, 'IOMMU_HW_QUEUE_ALLOC', { viommu_id: 6, type: SELFTEST_VIOMMU, nesting_parent_iova: 0x2000000, length: 0x1000 }),
    ).toBe('');
    expect(p.u32('IOMMU_HW_QUEUE_ALLOC', 'out_hw_queue_id')).toBe(8);
    expect(p.call(fd, 'IOMMU_IOAS_ALLOC')).toBe('');
    expect(p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id')).toBe(10);
  });

  test('a tombstone is never used again', () => {
    const { p, fd } = nested();
    expect(p.call(fd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 })).toBe('');
    expect(p.call(fd, 'IOMMU_DESTROY', { id: 2 })).toBe('');
    expect(p.call(fd, 'IOMMU_DESTROY', { id: 8 })).toBe('ENOENT');
    const ids = Array.from({ length: 6 }, () => {
      p.call(fd, 'IOMMU_IOAS_ALLOC');
      return p.u32('IOMMU_IOAS_ALLOC', 'out_ioas_id');
    });
    expect(ids).not.toContain(8);
    expect(brokenRules(p.model.kernel)).toEqual([]);
  });
});

test('refusals say what is in the way', () => {
  const { p, fd } = nested();
  const refusal = p.ask(fd, 'IOMMU_DESTROY', { id: 5 })?.refusal;
  expect(refusal).toMatchObject({ errno: 'EBUSY', rule: 'destroy.in-use', text: 'HWPT_PAGING 5 is held by VIOMMU 6' });
  expect(refusal?.because?.map((o) => o.id)).toEqual([5, 6]);
});

test('a full event queue loses events, and the reader sees how many', () => {
  const { p, fd } = nested();
  p.call(fd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 });
  p.call(fd, 'IOMMU_TEST_CMD', { op: 10, id: 2, 'mock_domain_replace.pt_id': 7 });
  p.call(fd, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: SELFTEST_VEVENT, veventq_depth: 2 });
  for (let i = 0; i < 4; i++) expect(p.call(fd, 'IOMMU_TEST_CMD', { op: 17, 'trigger_vevent.dev_id': 3 })).toBe('');
  const queue = objectsOf(p).find((o) => o.type === 'VEVENTQ');
  expect(queue?.type === 'VEVENTQ' && queue.waiting.map((e) => [e.sequence, e.data !== undefined])).toEqual([
    [0, true],
    [1, true],
    [3, false],
  ]);
});

/** An object that is there, or (10 and up) an id that may not be. */
const id = fc.integer({ min: 0, max: 11 });
const WANTED: Readonly<Record<string, readonly string[]>> = {
  ioas_id: ['IOAS'],
  dst_ioas_id: ['IOAS'],
  src_ioas_id: ['IOAS'],
  dev_id: ['DEVICE'],
  viommu_id: ['VIOMMU'],
  hwpt_id: ['HWPT_PAGING'],
  pt_id: ['IOAS', 'HWPT_PAGING', 'VIOMMU'],
};

/** The same call with ids of objects that are there, of types that make sense mostly. */
function aimed(p: Program, values: object): Record<string, number> {
  const there = objectsOf(p);
  return Object.fromEntries(
    Object.entries(values as Record<string, number>).map(([field, value]) => {
      if (!/(^|[._])id$/.test(field) || value >= 10) return [field, value];
      const types = WANTED[field];
      const fit = value < 8 && types ? there.filter((o) => types.includes(o.type)) : there;
      return [field, fit.length === 0 ? value : fit[value % fit.length]!.id];
    }),
  );
}

const address = fc.constantFrom(0, 0x1000, 0x2000, 0x1000000, 0x1001000, 0x2000000, 0x7fffffff000);
const length = fc.constantFrom(0, 0x800, 0x1000, 0x2000, 0x10000);
const calls = fc.oneof(
  fc.record({ name: fc.constant('IOMMU_DESTROY'), values: fc.record({ id }) }),
  fc.record({ name: fc.constant('IOMMU_IOAS_ALLOC'), values: fc.constant({}) }),
  fc.record({
    name: fc.constant('IOMMU_IOAS_MAP'),
    values: fc.record({ flags: fc.constantFrom(6, 7), ioas_id: id, user_va: address, length, iova: address }),
  }),
  fc.record({ name: fc.constant('IOMMU_IOAS_UNMAP'), values: fc.record({ ioas_id: id, iova: address, length }) }),
  fc.record({
    name: fc.constant('IOMMU_IOAS_COPY'),
    values: fc.record({ flags: fc.constantFrom(6, 7), dst_ioas_id: id, src_ioas_id: id, length, dst_iova: address, src_iova: address }),
  }),
  fc.record({ name: fc.constant('IOMMU_TEST_CMD'), values: fc.record({ op: fc.constantFrom(2, 5), id }) }),
  fc.record({ name: fc.constant('IOMMU_TEST_CMD'), values: fc.record({ op: fc.constant(10), id, 'mock_domain_replace.pt_id': id }) }),
  fc.record({
    name: fc.constant('IOMMU_TEST_CMD'),
    values: fc.record({ op: fc.constantFrom(18, 19), id, 'pasid_attach.pasid': fc.constantFrom(0, 7), 'pasid_attach.pt_id': id }),
  }),
  fc.record({ name: fc.constant('IOMMU_HWPT_ALLOC'), values: fc.record({ flags: fc.constantFrom(0, 1, 8, 2), dev_id: id, pt_id: id }) }),
  fc.record({
    name: fc.constant('IOMMU_HWPT_ALLOC'),
    values: fc.record({ dev_id: id, pt_id: id, data_type: fc.constant(0xdead), data_len: fc.constant(4) }),
  }),
  fc.record({ name: fc.constant('IOMMU_FAULT_QUEUE_ALLOC'), values: fc.constant({}) }),
  fc.record({
    name: fc.constant('IOMMU_VIOMMU_ALLOC'),
    values: fc.record({ type: fc.constant(SELFTEST_VIOMMU), dev_id: id, hwpt_id: id }),
  }),
  fc.record({ name: fc.constant('IOMMU_VDEVICE_ALLOC'), values: fc.record({ viommu_id: id, dev_id: id, virt_id: fc.constantFrom(1, 2) }) }),
  fc.record({
    name: fc.constant('IOMMU_VEVENTQ_ALLOC'),
    values: fc.record({ viommu_id: id, type: fc.constant(SELFTEST_VEVENT), veventq_depth: fc.constant(2) }),
  }),
  fc.record({
    name: fc.constant('IOMMU_HW_QUEUE_ALLOC'),
    values: fc.record({
      viommu_id: id,
      type: fc.constant(SELFTEST_VIOMMU),
      index: fc.constantFrom(0, 1),
      nesting_parent_iova: address,
      length,
    }),
  }),
  fc.record({ name: fc.constant('close'), values: fc.record({ fd: fc.integer({ min: 4, max: 9 }) }) }),
);

test('random calls never break a count, a reference or an id', () => {
  let made = 0;
  fc.assert(
    fc.property(fc.array(calls, { maxLength: 60 }), (sequence) => {
      const { p, fd } = nested();
      for (const { name, values } of sequence) {
        if (name === 'close') p.close((values as { fd: number }).fd);
        else if (
          p.call(
            fd,
            name,
            aimed(p, values),
            name === 'IOMMU_HWPT_ALLOC' && 'data_len' in values ? { nested: { data_uptr: u32(1) } } : {},
          ) === ''
        )
          made++;
        expect(brokenRules(p.model.kernel)).toEqual([]);
      }
      for (const n of [...p.fds.keys()]) p.close(n);
      expect(p.model.kernel.contexts.size).toBe(0);
    }),
    { numRuns: 300 },
  );
  expect(made).toBeGreaterThan(300);
});
