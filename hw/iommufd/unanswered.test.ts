import { describe, expect, test } from 'vitest';
import { SELFTEST_VIOMMU } from './mock.ts';
import { IOVA, OP, PAGE, Session, u32 } from './mock-testing.ts';
import type { Device, Ioas } from './state.ts';
import type { Values } from './testing.ts';

/** A call whose struct could be read but not written: the kernel says EFAULT at its end. → the rule that says so */
function unanswered(s: Session, name: string, values: Values, nested: Readonly<Record<string, Uint8Array>> = {}): string | undefined {
  const request = s.p.request(s.fd, name, values, { nested });
  const foreseen = s.p.model.decide(request);
  expect(foreseen?.mayBe('EFAULT')).toBe('program memory');
  const answer = s.p.model.decide(request, { errno: 'EFAULT', ret: -1n, out: request.struct.bytes.slice() });
  answer?.commit();
  return answer?.refusal?.rule;
}

describe('an answer that cannot be written', () => {
  test('takes back what was made', () => {
    const s = new Session();
    expect(unanswered(s, 'IOMMU_IOAS_ALLOC', {})).toBe('call.response');
    expect(s.p.model.kernel.contexts.get(1)?.objects.size).toBe(1);
    expect(unanswered(s, 'IOMMU_TEST_CMD', { op: OP.mockDomain, id: 1 })).toBe('call.response');
    expect(s.p.model.kernel.contexts.get(1)?.objects.size).toBe(1);
  });

  test('leaves an option set', () => {
    const s = new Session();
    expect(unanswered(s, 'IOMMU_OPTION', { option_id: 1, op: 0, object_id: 1, val64: 0 })).toBe('call.response');
    expect(s.object<Ioas>(1).largePages).toBe(false);
  });

  test('leaves a mapping', () => {
    const s = new Session();
    expect(unanswered(s, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x1000, length: PAGE, iova: IOVA })).toBe('call.response');
    expect(s.object<Ioas>(1).areas).toHaveLength(1);
  });

  test('leaves the replacement of an attachment, with a HWPT that it made', () => {
    const s = new Session();
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect(s.call('IOMMU_IOAS_ALLOC')).toBe('');
    expect(unanswered(s, 'IOMMU_TEST_CMD', { op: OP.replace, id: 2, 'mock_domain_replace.pt_id': 5 })).toBe('call.response');
    const attached = s.object<Device>(3).group.attached.get(0)?.hwpt;
    expect([attached?.type, attached?.id]).toEqual(['HWPT_PAGING', 6]);
    expect(s.object<Ioas>(5).hwpts).toEqual([attached]);
  });

  test('uses up the number of a pin, and leaves no pin', () => {
    const s = new Session();
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    s.map(PAGE);
    const values: Values = { op: OP.accessPages, id: s.access(true), 'access_pages.iova': IOVA, 'access_pages.length': PAGE };
    expect(unanswered(s, 'IOMMU_TEST_CMD', values)).toBe('call.response');
    expect(s.object<Ioas>(1).areas[0]?.pins).toEqual([]);
    expect(s.call('IOMMU_TEST_CMD', values)).toBe('');
    expect(s.out('access_pages.out_access_pages_id')).toBe(1);
  });

  test('hides why INVALIDATE failed, and what came before the failure is done', () => {
    const s = new Session();
    const invalidate: Values = { hwpt_id: 1, data_type: SELFTEST_VIOMMU, entry_len: 8, entry_num: 1 };
    expect(unanswered(s, 'IOMMU_HWPT_INVALIDATE', invalidate, { data_uptr: u32(0, 0) })).toBe('call.response');
    expect(s.test(OP.mockDomain, { id: 1 })).toBe('');
    expect(s.call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 })).toBe('');
    const data: Values = { dev_id: 3, pt_id: 5, data_type: 0xdead, data_len: 4 };
    expect(s.call('IOMMU_HWPT_ALLOC', data, { data_uptr: u32(0x11) })).toBe('');
    const entries = { data_uptr: u32(0, 1, 0, 4, 0, 2) };
    expect(unanswered(s, 'IOMMU_HWPT_INVALIDATE', { ...invalidate, hwpt_id: 6, entry_num: 3 }, entries)).toBe('call.response');
    expect(s.object<{ iotlb: number[] }>(6).iotlb).toEqual([0x11, 0, 0x11, 0x11]);
  });
});
