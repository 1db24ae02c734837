import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeEvent } from '../smmuv3/events.ts';
import { encodeStruct } from './codec.ts';
import { printRecords, recordsJson, viewRecords } from './records.ts';
import { uapiTable } from './table.ts';

const table = uapiTable('linux-7.2');
const struct = (name: string) => table.struct(name)!;
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((p) => [...p]));

test('page faults and answers', () => {
  const fault = encodeStruct(struct('iommu_hwpt_pgfault'), { flags: 2, dev_id: 2, perm: 3, addr: 0x1000n, cookie: 3 });
  expect(printRecords(table, { file: 'FAULT', call: 'read', bytes: join(fault, fault.subarray(0, 4)) })).toBe(
    '[{flags=LAST_PAGE dev_id=2 pasid=0 grpid=0 perm=READ|WRITE addr=0x1000 length=0 cookie=3}, bytes:02000000]',
  );
  const answer = encodeStruct(struct('iommu_hwpt_page_response'), { cookie: 3, code: 1 });
  expect(printRecords(table, { file: 'FAULT', call: 'write', bytes: answer })).toBe('[{cookie=3 code=INVALID}]');
});

test('vIOMMU events by the queue’s type; a lost header stands alone', () => {
  const header = (flags: number, sequence: number): Uint8Array => encodeStruct(struct('iommufd_vevent_header'), { flags, sequence });
  const map = encodeStruct(struct('iommu_vevent_tegra241_cmdqv'), { lvcmdq_err_map: [2n, 0n] });
  const bytes = join(header(0, 1), map, header(1, 5), header(0, 6), map.subarray(0, 3));
  expect(printRecords(table, { file: 'VEVENTQ', call: 'read', type: 2, bytes })).toBe(
    '[{flags=0 sequence=1 lvcmdq_err_map=<LVCMDQ 1>}, {flags=LOST_EVENTS sequence=5}, bytes:0000000006000000020000]',
  );
  expect(recordsJson(table, { file: 'VEVENTQ', call: 'read', type: 2, bytes })).toEqual({
    records: [
      { flags: [], sequence: 1, lvcmdq_err_map: ['0x2', '0x0'], lvcmdq_err_map_text: 'LVCMDQ 1' },
      { flags: ['IOMMU_VEVENTQ_FLAG_LOST_EVENTS'], sequence: 5 },
    ],
    rest: { bytes: '0000000006000000020000' },
  });
  expect(printRecords(table, { file: 'VEVENTQ', call: 'read', bytes: header(0, 1) })).toBe('[bytes:0000000001000000]');
});

test('events of an SMMU', () => {
  const header = encodeStruct(struct('iommufd_vevent_header'), { flags: 0, sequence: 3 });
  const bytes = join(header, encodeEvent('F_TRANSLATION', { SID: 8, RnW: 1, CLASS: 2, ADDR: 0x1000n }));
  const stream = { file: 'VEVENTQ', call: 'read', type: 1, bytes } as const;
  expect(printRecords(table, stream)).toBe('[{flags=0 sequence=3 evt=<F_TRANSLATION sid 0x8 RnW class IN addr 0x1000>}]');
  expect(printRecords(table, stream, 'full')).toContain('evt=[0x800000010, 0x20800000000, 0x1000, 0]<F_TRANSLATION');
});

test('a kernel without vEVENTQs has no records of them', () => {
  expect(viewRecords(uapiTable('linux-6.12'), { file: 'VEVENTQ', call: 'read', type: 1, bytes: new Uint8Array(8) })).toEqual({
    records: [],
    rest: new Uint8Array(8),
  });
});

test('records and rest are all the bytes, whatever they are', () => {
  const arbitrary = fc.record({
    file: fc.constantFrom('FAULT', 'VEVENTQ'),
    call: fc.constantFrom('read', 'write'),
    type: fc.option(fc.constantFrom(0, 1, 2, 0xbeefbeef), { nil: undefined }),
    bytes: fc.uint8Array({ maxLength: 200 }),
  });
  fc.assert(
    fc.property(arbitrary, (stream) => {
      const view = viewRecords(table, stream as Parameters<typeof viewRecords>[1]);
      expect(join(...view.records.map((r) => r.bytes), view.rest)).toEqual(stream.bytes);
    }),
  );
});
