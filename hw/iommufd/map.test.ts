import { describe, expect, test } from 'vitest';
import { brokenRules } from './invariants.ts';
import { IOVA, OP, PAGE, Session } from './mock-testing.ts';
import type { Values } from './testing.ts';

describe('an address of the kernel’s choice', () => {
  const place = (s: Session, length: bigint, user_va: bigint): bigint => {
    expect(s.call('IOMMU_IOAS_MAP', { flags: 6, ioas_id: 1, user_va, length })).toBe('');
    return s.p.u64('IOMMU_IOAS_MAP', 'iova');
  };

  test('keeps the offset in a page, from the first place on that could have it', () => {
    const s = new Session();
    expect(place(s, 0x7ffn, 0x7000_0000n)).toBe(0x1000n);
    // 0x17ff is free and aligned to a byte, but the search begins at 0x1800
    expect(place(s, 1n, 0x7000_0800n)).toBe(0x1800n);
    expect(place(s, 1n, 0x7000_0800n)).toBe(0x1801n);
  });
});

describe('MAP_FILE of a file that is no memfd', () => {
  const mapFile = (s: Session, fd: number, values: Values = {}): string =>
    s.call('IOMMU_IOAS_MAP_FILE', { flags: 7, ioas_id: 1, fd, length: PAGE, iova: IOVA, ...values });
  /** IOAS 1, fault queue 2 → its descriptor */
  const fault = (s: Session): number => {
    expect(s.call('IOMMU_FAULT_QUEUE_ALLOC')).toBe('');
    return Math.max(...s.p.fds.keys());
  };

  test('is taken where nothing pins it, and refused by whatever pins', () => {
    const s = new Session();
    const fd = fault(s);
    expect(mapFile(s, fd)).toBe('');
    expect(s.rule(OP.mockDomain, { id: 1 })).toBe('join.file');
    const access = s.access(true);
    expect(s.rule(OP.accessPages, { id: access, 'access_pages.iova': IOVA, 'access_pages.length': 8 })).toBe('access.file');
    const rw: Values = { id: access, 'access_rw.iova': IOVA, 'access_rw.length': 8, 'access_rw.uptr': 0x5000 };
    expect(s.test(OP.accessRw, rw)).toBe('EINVAL');
    expect(s.call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA, length: PAGE })).toBe('');
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    const answer = s.p.ask(s.fd, 'IOMMU_IOAS_MAP_FILE', { flags: 7, ioas_id: 1, fd, length: PAGE, iova: IOVA });
    expect(answer).toMatchObject({ errno: 'EINVAL', refusal: { rule: 'map.file', text: 'the file has no pages of memory (fault)' } });
  });

  test('may be anything where the log does not tell what it is', () => {
    const s = new Session();
    const values: Values = { flags: 7, ioas_id: 1, fd: 50, length: PAGE, iova: IOVA };
    const request = s.p.request(s.fd, 'IOMMU_IOAS_MAP_FILE', values, {});
    const answer = s.p.model.decide({ ...request, fileOf: () => 'unknown' });
    expect(answer).toMatchObject({ errno: '' });
    answer?.commit();
    const attach = s.p.ask(s.fd, 'IOMMU_TEST_CMD', { op: OP.mockDomain, id: 1 });
    expect([attach?.errno, attach?.mayBe('EINVAL')]).toEqual(['', 'program memory']);
  });

  test('holds the file: it ends with its last descriptor and the last area', () => {
    const s = new Session();
    const fd = fault(s);
    expect(mapFile(s, fd)).toBe('');
    const copy: Values = { flags: 7, dst_ioas_id: 1, src_ioas_id: 1, length: PAGE, src_iova: IOVA, dst_iova: IOVA + PAGE };
    expect(s.call('IOMMU_IOAS_COPY', copy)).toBe('');
    s.p.close(fd);
    expect(s.p.ask(s.fd, 'IOMMU_DESTROY', { id: 2 })?.refusal?.text).toBe('FAULT 2 is held by a mapping of its file');
    expect(s.call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA, length: PAGE })).toBe('');
    expect(s.call('IOMMU_DESTROY', { id: 2 })).toBe('EBUSY');
    expect(s.call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA + PAGE, length: PAGE })).toBe('');
    expect(s.call('IOMMU_DESTROY', { id: 2 })).toBe('');
    expect(brokenRules(s.p.model.kernel)).toEqual([]);
  });

  test('that is the context itself, or keeps it, keeps it for good; that of another one ends with the IOAS', () => {
    const s = new Session();
    expect(mapFile(s, s.fd)).toBe('');
    const other = s.p.open();
    expect(s.p.call(other, 'IOMMU_IOAS_ALLOC')).toBe('');
    expect(mapFile(s, other, { iova: IOVA + PAGE })).toBe('');
    s.p.close(other);
    const { contexts } = s.p.model.kernel;
    expect(contexts.size).toBe(2);
    expect(s.call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA + PAGE, length: PAGE })).toBe('');
    expect(contexts.size).toBe(1);
    s.p.close(s.fd);
    expect(contexts.size).toBe(1);
  });

  test('of another context ends with that which maps it', () => {
    const s = new Session();
    const other = s.p.open();
    expect(mapFile(s, other)).toBe('');
    s.p.close(other);
    s.p.close(s.fd);
    expect([s.p.model.kernel.contexts.size, s.p.model.kernel.files.size]).toEqual([0, 0]);
  });
});
