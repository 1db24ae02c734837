import { describe, expect, test } from 'vitest';
import type { DialectName } from '../uapi/table.ts';
import { brokenRules } from './invariants.ts';
import { IOVA, OP, PAGE, Session, u32, VA } from './mock-testing.ts';
import type { Ioas } from './state.ts';
import type { Values } from './testing.ts';

describe('accesses', () => {
  const pages = (fd: number, iova: bigint, length: bigint, more: Values = {}): Values => ({
    id: fd,
    'access_pages.iova': iova,
    'access_pages.length': length,
    ...more,
  });

  test('an access takes an id that nobody is told, and its file keeps the context', () => {
    const s = new Session();
    const fd = s.access(true);
    expect(s.object<{ type: string }>(2).type).toBe('ACCESS');
    expect(s.call('IOMMU_DESTROY', { id: 1 })).toBe('EBUSY');
    expect(s.call('IOMMU_DESTROY', { id: 2 })).toBe('EBUSY');
    s.p.close(s.fd);
    expect(s.p.model.kernel.contexts.size).toBe(1);
    s.p.close(fd);
    expect(s.p.model.kernel.contexts.size).toBe(0);
  });

  test.each<[string, Values, string]>([
    ['length 0', { 'access_pages.length': 0 }, 'EINVAL'],
    ['more than 16 MiB', { 'access_pages.length': 0x100_0001 }, 'ENOMEM'],
    ['an unknown flag', { 'access_pages.flags': 2 }, 'EOPNOTSUPP'],
    ['the end of the address space', { 'access_pages.iova': 2n ** 64n - PAGE, 'access_pages.length': 2n * PAGE }, 'EOVERFLOW'],
    ['a descriptor that is no access', { id: 99 }, 'EBADFD'],
    ['the middle of a page', { 'access_pages.iova': IOVA + 0x200n }, 'EINVAL'],
    ['nothing mapped', { 'access_pages.iova': IOVA - PAGE }, 'ENOENT'],
    ['a hole behind', { 'access_pages.length': 5n * PAGE }, 'ENOENT'],
    ['other memory', { 'access_pages.uptr': VA + PAGE }, 'EBADE'],
    ['its memory', { 'access_pages.uptr': VA }, ''],
    ['no memory to compare', {}, ''],
  ])('pinning %s', (_, values, errno) => {
    const s = new Session();
    s.map(4n * PAGE);
    const fd = s.access(true);
    expect(s.test(OP.accessPages, pages(fd, IOVA, PAGE, values))).toBe(errno);
  });

  test('only accesses made for it pin, and only what the mapping allows', () => {
    const s = new Session();
    s.map(PAGE, { flags: 5 });
    expect(s.test(OP.accessPages, pages(s.access(false), IOVA, PAGE))).toBe('EOPNOTSUPP');
    const fd = s.access(true);
    expect(s.test(OP.accessPages, pages(fd, IOVA, PAGE, { 'access_pages.flags': 1 }))).toBe('EPERM');
    expect(s.test(OP.accessPages, pages(fd, IOVA, PAGE))).toBe('');
  });

  test('items count from 0 for each access and end one by one', () => {
    const s = new Session();
    s.map(4n * PAGE);
    const [a, b] = [s.access(true), s.access(true)];
    for (const [fd, item] of [
      [a, 0],
      [a, 1],
      [b, 0],
    ] as const) {
      expect(s.test(OP.accessPages, pages(fd, IOVA, PAGE))).toBe('');
      expect(s.out('access_pages.out_access_pages_id')).toBe(item);
    }
    expect(s.test(OP.destroyPages, { id: b, 'destroy_access_pages.access_pages_id': 1 })).toBe('ENOENT');
    expect(s.test(OP.destroyPages, { id: a, 'destroy_access_pages.access_pages_id': 0 })).toBe('');
    expect(s.test(OP.destroyPages, { id: a, 'destroy_access_pages.access_pages_id': 0 })).toBe('ENOENT');
    expect(s.pinned()).toBe(2);
  });

  test('unmapping one area lets the whole item go, in the next area too', () => {
    const s = new Session();
    s.map(PAGE);
    s.map(PAGE, { user_va: VA + 8n * PAGE, iova: IOVA + PAGE });
    const fd = s.access(true);
    expect(s.test(OP.accessPages, pages(fd, IOVA, 2n * PAGE))).toBe('');
    expect(s.pinned()).toBe(2);
    expect(s.call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA, length: PAGE })).toBe('');
    expect(s.pinned()).toBe(0);
    expect(s.test(OP.destroyPages, { id: fd, 'destroy_access_pages.access_pages_id': 0 })).toBe('ENOENT');
  });

  test('an access that pins wants whole pages of its IOAS', () => {
    const s = new Session();
    s.map(0x800n);
    s.access(false);
    expect(s.test(OP.createAccess, { id: 1, 'create_access.flags': 1 })).toBe('EADDRINUSE');
    expect(s.rule(OP.createAccess, { id: 1, 'create_access.flags': 1 })).toBe('access.alignment');
    expect(s.test(OP.createAccess, { id: 1, 'create_access.flags': 2 })).toBe('EOPNOTSUPP');
  });

  test('moving to another IOAS lets the pins go; to the same one nothing changes', () => {
    const s = new Session();
    s.map(PAGE);
    const fd = s.access(true);
    expect(s.call('IOMMU_IOAS_ALLOC')).toBe('');
    expect(s.test(OP.accessPages, pages(fd, IOVA, PAGE))).toBe('');
    expect(s.test(OP.replaceIoas, { id: fd, 'access_replace_ioas.ioas_id': 1 })).toBe('');
    expect(s.pinned()).toBe(1);
    expect(s.test(OP.replaceIoas, { id: fd, 'access_replace_ioas.ioas_id': 9 })).toBe('ENOENT');
    expect(s.test(OP.replaceIoas, { id: fd, 'access_replace_ioas.ioas_id': 3 })).toBe('');
    expect(s.pinned()).toBe(0);
    expect([s.object<Ioas>(1).users, s.object<Ioas>(3).users]).toEqual([0, 1]);
    expect(brokenRules(s.p.model.kernel)).toEqual([]);
  });

  test('a descriptor that nobody knows is no access, unless one is older than the log', () => {
    const s = new Session();
    const request = s.p.request(s.fd, 'IOMMU_TEST_CMD', { op: OP.destroyPages, id: 50 }, {});
    const answer = s.p.model.decide({ ...request, fileOf: () => 'unknown' });
    expect(answer).toMatchObject({ errno: 'EBADFD', refusal: { rule: 'test.access-fd' } });
    expect([answer?.mayBe(''), answer?.mayBe('ENOENT'), answer?.mayBe('EIO')]).toEqual(['not in the log', 'not in the log', undefined]);
  });

  test('the id of an IOAS is one of the context of the access', () => {
    const s = new Session();
    const fd = s.access(false);
    const other = s.p.open();
    expect(s.p.call(other, 'IOMMU_TEST_CMD', { op: OP.replaceIoas, id: fd, 'access_replace_ioas.ioas_id': 1 })).toBe('');
  });

  test('reads and writes tell which memory is copied', () => {
    const s = new Session();
    s.map(2n * PAGE);
    const fd = s.access(false);
    const rw: Values = { id: fd, 'access_rw.iova': IOVA + 8n, 'access_rw.length': 16, 'access_rw.uptr': 0x5000 };
    const mapped = { process: 1, file: undefined, address: VA + 8n };
    const program = { process: 1, file: undefined, address: 0x5000n };
    const ask = (values: Values) => s.p.ask(s.fd, 'IOMMU_TEST_CMD', { op: OP.accessRw, ...rw, ...values });
    expect(ask({})?.moves).toEqual([{ from: mapped, to: program, length: 16n }]);
    expect(ask({ 'access_rw.flags': 1 })?.moves).toEqual([{ from: program, to: mapped, length: 16n }]);
    // the first page is written before the hole is found
    const over = ask({ 'access_rw.flags': 1, 'access_rw.length': 2n * PAGE });
    expect(over).toMatchObject({ errno: 'ENOENT', moves: [{ length: 2n * PAGE - 8n }] });
    expect(ask({ 'access_rw.length': 2n * PAGE })).toMatchObject({ errno: 'ENOENT', moves: [] });
  });

  test('an address may be the index of an area and an offset in it', () => {
    const s = new Session();
    s.map(PAGE);
    s.map(PAGE, { iova: IOVA + 4n * PAGE });
    const fd = s.access(true);
    const at = (index: bigint, offset: bigint): Values => pages(fd, (offset << 32n) | index, PAGE, { 'access_pages.flags': 0x1_0000 });
    expect(s.test(OP.accessPages, at(1n, 0n))).toBe('');
    expect(s.test(OP.accessPages, at(1n, 8n))).toBe('EINVAL');
    expect(s.test(OP.accessPages, at(2n, 0n))).toBe('ENOENT');
  });
});

describe('comparing memory', () => {
  const mapped = (length = 4n * PAGE): Session => {
    const s = new Session();
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect(s.map(length)).toBe('');
    return s;
  };

  test.each<[string, Values, string, string]>([
    ['the memory that is mapped', {}, '', ''],
    ['a part of it', { 'check_map.iova': IOVA + 0x800n, 'check_map.uptr': VA + 0x800n, 'check_map.length': 0x800 }, '', ''],
    ['nothing', { 'check_map.length': 0 }, '', ''],
    ['other memory', { 'check_map.uptr': VA + PAGE }, 'EINVAL', 'test.map-differs'],
    ['more than is mapped', { 'check_map.length': 5n * PAGE }, 'EINVAL', 'test.map-hole'],
    ['a quarter of a page', { 'check_map.length': 0x400 }, 'EINVAL', 'test.check-alignment'],
    ['an IOAS', { id: 1 }, 'ENOENT', 'object.lookup'],
  ])('MD_CHECK_MAP of %s', (_, values, errno, rule) => {
    const s = mapped();
    const all: Values = { id: 4, 'check_map.iova': IOVA, 'check_map.length': 4n * PAGE, 'check_map.uptr': VA, ...values };
    expect(s.rule(OP.checkMap, all) ?? '').toBe(rule);
    expect(s.test(OP.checkMap, all)).toBe(errno);
  });

  test('6.12 looks at the alignment before it looks for the HWPT', () => {
    const values: Values = { id: 77, 'check_map.length': 1 };
    expect(new Session('linux-6.12').test(OP.checkMap, values)).toBe('EINVAL');
    expect(new Session().test(OP.checkMap, values)).toBe('ENOENT');
  });

  test('memory is pinned once for each mapping call, whatever uses it', () => {
    const refs = (n: number): Values => ({ 'check_refs.length': 4n * PAGE, 'check_refs.uptr': VA, 'check_refs.refs': n });
    const s = new Session();
    s.map(4n * PAGE);
    expect(s.test(OP.checkRefs, refs(0))).toBe('');
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect(s.test(OP.checkRefs, refs(1))).toBe('');
    expect(s.test(OP.checkRefs, refs(0))).toBe('EIO');
    // a copy shares the pages, a second mapping does not
    expect(s.call('IOMMU_IOAS_COPY', { flags: 6, dst_ioas_id: 1, src_ioas_id: 1, length: 4n * PAGE, src_iova: IOVA })).toBe('');
    expect(s.test(OP.checkRefs, refs(1))).toBe('');
    expect(s.map(2n * PAGE, { iova: IOVA + 64n * PAGE })).toBe('');
    expect(s.test(OP.checkRefs, refs(1))).toBe('EIO');
    expect(s.test(OP.checkRefs, { ...refs(2), 'check_refs.length': 2n * PAGE })).toBe('');
    expect(s.test(OP.checkRefs, { ...refs(1), 'check_refs.length': 0x10 })).toBe('EINVAL');
  });

  test('what may be otherwise for reasons that nobody sees is said', () => {
    const s = mapped();
    const values: Values = { op: OP.checkRefs, 'check_refs.length': PAGE, 'check_refs.uptr': VA, 'check_refs.refs': 7 };
    const answer = s.p.ask(s.fd, 'IOMMU_TEST_CMD', values);
    expect(answer).toMatchObject({ errno: 'EIO', refusal: { text: 'the page at 0x70000000 is pinned 1 times, not 7' } });
    expect(answer?.mayBe('')).toBe('physical memory');
  });
});

describe('dirty pages', () => {
  /** IOAS 1, SELFTEST 2, DEVICE 3, HWPT 4, and HWPT 5 that tracks */
  const tracking = (dialect: DialectName): Session => {
    const s = new Session(dialect);
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: 3, pt_id: 1 })).toBe('');
    expect(s.map(8n * PAGE)).toBe('');
    return s;
  };
  const mark = (s: Session, bits: number, values: Values = {}): string =>
    s.test(
      OP.dirty,
      { id: 5, 'dirty.iova': IOVA, 'dirty.length': 8n * PAGE, 'dirty.page_size': 0x800, ...values },
      { 'dirty.uptr': u32(bits, 0) },
    );
  const read = (s: Session, values: Values = {}, before = 0): { bits: number | undefined; open: boolean } => {
    const all: Values = { hwpt_id: 5, iova: IOVA, length: 8n * PAGE, page_size: 0x800, ...values };
    const answer = s.p.ask(s.fd, 'IOMMU_HWPT_GET_DIRTY_BITMAP', all, { nested: { data: u32(before, 0) } });
    expect(answer?.errno).toBe('');
    const bytes = answer?.nestedOut.get(40);
    answer?.commit();
    return { bits: bytes && new DataView(bytes.buffer).getUint32(0, true), open: answer?.undeterminedOutputs.has('data') === true };
  };

  test.each(['linux-7.2', 'linux-6.12'] as const)('%s: what is not tracked cannot be marked', (dialect) => {
    const s = tracking(dialect);
    expect(mark(s, 1)).toBe('EINVAL');
    expect(s.call('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: 5 })).toBe('');
    expect(mark(s, 1)).toBe('');
    expect(mark(s, 1, { 'dirty.page_size': 0 })).toBe('EINVAL');
    expect(mark(s, 1, { 'dirty.iova': IOVA + 1n })).toBe('EINVAL');
    expect(mark(s, 1, { 'dirty.length': 2n ** 40n })).toBe('EOVERFLOW');
    expect(mark(s, 1, { id: 3 })).toBe('ENOENT');
  });

  test('6.12 counts pages that are mapped, 7.2 the bits', () => {
    for (const [dialect, count] of [
      ['linux-6.12', 1],
      ['linux-7.2', 2],
    ] as const) {
      const s = tracking(dialect);
      s.call('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: 5 });
      expect(mark(s, 0x8001, { 'dirty.iova': IOVA + 7n * PAGE })).toBe('');
      expect(s.out('dirty.out_nr_dirty')).toBe(count);
    }
  });

  test('6.12: bits are added, read once, and gone with the mapping', () => {
    const s = tracking('linux-6.12');
    s.call('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: 5 });
    mark(s, 0b1010_0110);
    expect(read(s, { flags: 1 })).toEqual({ bits: 0b1010_0110, open: false });
    expect(read(s, { page_size: 0x1000 }, 0x100)).toEqual({ bits: 0x100 | 0b1111, open: false });
    expect(read(s)).toEqual({ bits: 0, open: false });
    mark(s, 0xff);
    expect(s.call('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: 5 })).toBe('');
    expect(read(s)).toEqual({ bits: 0, open: false });
    mark(s, 0xff);
    expect(s.call('IOMMU_IOAS_UNMAP', { ioas_id: 1, iova: IOVA, length: 8n * PAGE })).toBe('');
    expect(s.map(8n * PAGE)).toBe('');
    expect(read(s)).toEqual({ bits: 0, open: false });
  });

  test('7.2: an entry of one page of memory tells its first half; which pages share an entry nobody sees', () => {
    const s = tracking('linux-7.2');
    s.call('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags: 1, hwpt_id: 5 });
    expect(read(s)).toEqual({ bits: 0, open: false });
    mark(s, 0b1000_0101);
    expect(read(s, { flags: 1 })).toEqual({ bits: 0b0100_0101, open: true });
    expect(read(s)).toEqual({ bits: 0b0100_0101, open: true });
    expect(read(s)).toEqual({ bits: 0, open: false });
  });
});

describe('dma-bufs', () => {
  const make = (s: Session): number => {
    expect(s.test(OP.dmabufGet, { 'dmabuf_get.length': 4n * PAGE })).toBe('');
    return Math.max(...s.p.fds.keys());
  };

  test('have 1 to 512 pages; only they can be revoked', () => {
    const s = new Session();
    expect(s.test(OP.dmabufGet, { 'dmabuf_get.length': 0 })).toBe('EINVAL');
    expect(s.test(OP.dmabufGet, { 'dmabuf_get.length': 512n * PAGE + 1n })).toBe('EINVAL');
    const fd = make(s);
    const revoke = (n: number): string => s.test(OP.dmabufRevoke, { 'dmabuf_revoke.dmabuf_fd': n, 'dmabuf_revoke.revoked': 1 });
    expect([revoke(99), revoke(s.fd), revoke(fd)]).toEqual(['EBADF', 'EINVAL', '']);
    expect(s.test(OP.dmabufGet, { 'dmabuf_get.length': 1 })).toBe('');
  });

  test('revoking ends mappings for good, even where it says that the memory is valid', () => {
    const s = new Session();
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    const fd = make(s);
    const map = (iova: bigint): string => s.call('IOMMU_IOAS_MAP_FILE', { flags: 7, ioas_id: 1, fd, length: 4n * PAGE, iova });
    const revoke = (revoked: number): string =>
      s.test(OP.dmabufRevoke, { 'dmabuf_revoke.dmabuf_fd': fd, 'dmabuf_revoke.revoked': revoked });
    expect(map(IOVA)).toBe('');
    const area = s.object<Ioas>(1).areas[0]!;
    expect(revoke(0)).toBe('');
    expect(area.pages.revoked).toBe(true);
    expect(map(IOVA + 16n * PAGE)).toBe('');
    expect(revoke(1)).toBe('');
    expect(map(IOVA + 32n * PAGE)).toBe('ENODEV');
    // what is mapped already can be copied all the same
    const copy: Values = { flags: 7, dst_ioas_id: 1, src_ioas_id: 1, length: PAGE, src_iova: IOVA, dst_iova: IOVA + 48n * PAGE };
    expect(s.call('IOMMU_IOAS_COPY', copy)).toBe('');
  });

  test('have no pages that an access could pin or copy', () => {
    const s = new Session();
    const fd = make(s);
    expect(s.call('IOMMU_IOAS_MAP_FILE', { flags: 7, ioas_id: 1, fd, length: 4n * PAGE, iova: IOVA })).toBe('');
    const access = s.access(true);
    expect(s.test(OP.accessPages, { id: access, 'access_pages.iova': IOVA, 'access_pages.length': PAGE })).toBe('EINVAL');
    expect(s.test(OP.accessRw, { id: access, 'access_rw.iova': IOVA, 'access_rw.length': 8, 'access_rw.uptr': 0x5000 })).toBe('EINVAL');
  });
});
