import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Args, decodeArgs, encodeArgs, type ObjectId, objectId, type TestArgs } from './args.ts';
import {
  decodeChain,
  decodeCommand,
  decodeStruct,
  encodeCommand,
  encodeStruct,
  fieldsOf,
  nestedLength,
  readField,
  splitEntries,
} from './codec.ts';
import { inputSchema, rangeOf, valuesSchema } from './schema.ts';
import { DIALECTS, dialectForKernel, targetOfFileKind, uapiTable } from './table.ts';
import type { Struct } from './types.ts';

const table = uapiTable('linux-7.2');

/** Every struct of every dialect with every arm it has. */
const structs: readonly (readonly [string, Struct, string | undefined])[] = DIALECTS.flatMap((d) =>
  [...uapiTable(d).structs.values()].flatMap((s) => {
    const arms = [...new Set(s.fields.map((f) => f.arm))];
    return arms.map((arm) => [d, s, arm] as const);
  }),
);

describe('encode and decode', () => {
  test('any bytes of any length survive, for every struct of every dialect', () => {
    for (const [, struct, arm] of structs) {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: struct.size + 24 }), (bytes) => {
          const decoded = decodeStruct(struct, bytes, arm);
          expect(encodeStruct(struct, decoded.values, decoded.tail, decoded)).toEqual(bytes);
        }),
        { numRuns: 12 },
      );
    }
  });

  test('any values survive, and satisfy the schema of their struct', () => {
    for (const struct of table.structs.values()) {
      // fields of a union share their bytes: one of each
      const fields = fieldsOf(struct).filter((f, i, all) => f.union === undefined || all.findIndex((o) => o.union === f.union) === i);
      const arbitrary = fc.record(
        Object.fromEntries(
          fields.map((f) => {
            const [min, max] = rangeOf(f);
            const one = min === 0n && max > 0xffff_ffffn ? fc.bigInt({ min, max }) : fc.integer({ min: Number(min), max: Number(max) });
            return [
              f.name,
              f.count === undefined ? one : fc.array(one as fc.Arbitrary<number | bigint>, { minLength: f.count, maxLength: f.count }),
            ];
          }),
        ),
      );
      fc.assert(
        fc.property(arbitrary, (values) => {
          const bytes = encodeStruct(struct, values);
          expect(bytes.length).toBe(struct.size);
          const decoded = decodeStruct(struct, bytes);
          expect(decoded.values).toMatchObject(values);
          expect([decoded.missing, decoded.gaps, decoded.tail.length]).toEqual([[], [], 0]);
          expect(valuesSchema(struct).safeParse(decoded.values).success).toBe(true);
        }),
        { numRuns: 10 },
      );
    }
  });

  test('a short struct leaves fields missing, a long one has a tail, a cut field is kept as bytes', () => {
    const struct = table.struct('iommu_hwpt_alloc')!;
    const short = decodeStruct(struct, new Uint8Array(24));
    expect(short.missing).toEqual(['data_type', 'data_len', 'data_uptr', 'fault_id', '__reserved2']);
    const long = decodeStruct(
      struct,
      Uint8Array.from({ length: 50 }, (_, i) => i),
    );
    expect(long.tail).toEqual(Uint8Array.of(48, 49));
    const cut = decodeStruct(
      struct,
      Uint8Array.from({ length: 26 }, (_, i) => i),
    );
    expect(cut.missing[0]).toBe('data_type');
    expect(cut.gaps).toEqual([{ offset: 24, bytes: Uint8Array.of(24, 25) }]);
  });

  test('signed fds, bytes, arrays and little-endian words', () => {
    const file = encodeArgs('IOMMU_IOAS_MAP_FILE', { fd: -1, iova: 0x1122334455667788n });
    expect([...file.subarray(12, 16), file[32], file[39]]).toEqual([255, 255, 255, 255, 0x88, 0x11]);
    expect(decodeArgs('IOMMU_IOAS_MAP_FILE', file).fd).toBe(-1);
    const ste = encodeStruct(table.struct('iommu_hwpt_arm_smmuv3')!, { ste: [1n, 2n] });
    expect([ste[0], ste[8]]).toEqual([1, 2]);
  });

  test('the length of a struct is filled in, unless it is given', () => {
    const map = table.byName('IOMMU_IOAS_MAP')!;
    expect(encodeCommand(map, {})[0]).toBe(40);
    expect(encodeCommand(map, { size: 7 })[0]).toBe(7);
    expect(encodeCommand(map, {}, new Uint8Array(8))[0]).toBe(48);
    expect(encodeCommand(table.byName('VFIO_DEVICE_RESET')!, {})).toHaveLength(0);
  });

  test('the operation of IOMMU_TEST_CMD selects the arm', () => {
    const command = table.byName('IOMMU_TEST_CMD')!;
    const bytes = encodeCommand(command, { op: 14, id: 5, 'check_iotlb.id': 2, 'check_iotlb.iotlb': 0xbadbeef });
    const { values } = decodeCommand(table, command, bytes)!;
    expect(values).toMatchObject({ op: 14, id: 5, 'check_iotlb.id': 2, 'check_iotlb.iotlb': 0xbadbeef });
    expect(Object.keys(values).filter((k) => k.includes('.'))).toHaveLength(2);
  });
});

describe('buffers', () => {
  const lengthOf = (command: string, field: string, values: Record<string, number | bigint>): bigint =>
    nestedLength(table.byName(command)!.struct!.byName.get(field)!.nested!, values);

  test('how long they are', () => {
    expect(lengthOf('IOMMU_IOAS_IOVA_RANGES', 'allowed_iovas', { num_iovas: 3 })).toBe(48n);
    expect(lengthOf('IOMMU_HWPT_INVALIDATE', 'data_uptr', { entry_len: 16, entry_num: 5 })).toBe(80n);
    expect(lengthOf('VFIO_DEVICE_BIND_IOMMUFD', 'token_uuid_ptr', {})).toBe(16n);
    const bitmap = (length: bigint, page_size: bigint): bigint => lengthOf('IOMMU_HWPT_GET_DIRTY_BITMAP', 'data', { length, page_size });
    expect([bitmap(0x40000n, 0x1000n), bitmap(0x41000n, 0x1000n), bitmap(1n, 0x1000n), bitmap(0n, 0x1000n), bitmap(1n, 0n)]).toEqual([
      8n,
      16n,
      8n,
      0n,
      0n,
    ]);
  });

  test('entries, and what is left of the last', () => {
    const { entries, rest } = splitEntries(new Uint8Array(20), 8);
    expect([entries.length, rest.length]).toEqual([2, 4]);
    expect(splitEntries(new Uint8Array(20), 0)).toEqual({ entries: [], rest: new Uint8Array(20) });
  });

  test('a chain of capabilities that lies ends', () => {
    const answer = new Uint8Array(64);
    const view = new DataView(answer.buffer);
    const cap = (at: number, id: number, next: number): void => {
      view.setUint16(at, id, true);
      view.setUint32(at + 4, next, true);
    };
    cap(32, 1, 48);
    cap(48, 3, 32);
    const chain = decodeChain(table, 'vfio_region_info_cap', answer, 32);
    expect(chain.map((c) => [c.offset, c.id, c.struct?.name, c.bytes.length])).toEqual([
      [32, 1, 'vfio_region_info_cap_sparse_mmap', 16],
      [48, 3, 'vfio_info_cap_header', 16],
    ]);
    cap(48, 77, 0xffff_fff0);
    expect(decodeChain(table, 'vfio_region_info_cap', answer, 32).map((c) => c.struct?.name)).toEqual([
      'vfio_region_info_cap_sparse_mmap',
      undefined,
    ]);
    expect(decodeChain(table, 'vfio_region_info_cap', answer, 60)).toEqual([]);
  });
});

describe('types from rows', () => {
  test('ids carry the type of their object', () => {
    const map: Args<'IOMMU_IOAS_MAP'> = decodeArgs(
      'IOMMU_IOAS_MAP',
      encodeArgs('IOMMU_IOAS_MAP', { ioas_id: objectId<'IOAS'>(3), length: 0x1000n }),
    );
    const length: bigint = map.length;
    const ioas: ObjectId<'IOAS'> = map.ioas_id;
    expect([length, ioas]).toEqual([0x1000n, 3]);
    // an IOAS can be a pt_id, and a queue's id comes from its allocation
    const attach: Partial<Args<'VFIO_DEVICE_ATTACH_IOMMUFD_PT'>> = { pt_id: ioas };
    expect(attach.pt_id).toBe(3);
    // @ts-expect-error the id of an IOAS is not the id of a vIOMMU
    const wrong: Args<'IOMMU_HW_QUEUE_ALLOC'>['viommu_id'] = map.ioas_id;
    expect(wrong).toBe(3);
    // @ts-expect-error a u64 is a bigint
    const narrow: number = map.iova;
    expect(narrow).toBe(0n);
    // @ts-expect-error there is no such field
    expect(map.virt_id).toBeUndefined();
    const created: ObjectId<'HW_QUEUE'> = decodeArgs('IOMMU_HW_QUEUE_ALLOC', new Uint8Array(40)).out_hw_queue_id;
    expect(created).toBe(0);
    const mock: Partial<TestArgs<'IOMMU_TEST_OP_MOCK_DOMAIN'>> = { out_idev_id: objectId<'DEVICE'>(2) };
    expect(mock.out_idev_id).toBe(2);
  });

  test('a short struct reads as the kernel reads it', () => {
    expect(decodeArgs('IOMMU_HWPT_ALLOC', new Uint8Array(24)).data_uptr).toBe(0n);
  });
});

describe('what people write', () => {
  const struct = table.struct('iommu_ioas_map')!;
  const parse = (input: unknown): unknown => inputSchema(table, struct).parse(input);

  test('constants, flags, hex and decimal', () => {
    expect(parse({ flags: 'FIXED_IOVA|IOMMU_IOAS_MAP_READABLE|0x100', iova: '0x1000', length: 4096 })).toEqual({
      flags: 0x105,
      iova: 0x1000n,
      length: 4096n,
    });
    expect(parse({ flags: ['WRITEABLE', 'READABLE'] })).toEqual({ flags: 6 });
    expect(parse({ flags: [] })).toEqual({ flags: 0 });
    const arm = inputSchema(table, table.struct('iommu_test_cmd')!, 'mock_domain_flags');
    expect(arm.parse({ op: 'MOCK_DOMAIN_FLAGS', id: 1, dev_flags: 'PASID' })).toEqual({ op: 12, id: 1, 'mock_domain_flags.dev_flags': 4 });
  });

  test('mistakes are named', () => {
    expect(() => parse({ flags: 'FIXED_IOV' })).toThrow('flags: FIXED_IOV is no number and no constant');
    expect(() => parse({ ioas_id: -1 })).toThrow('out of range');
    expect(() => parse({ ioas_id: 2 ** 32 })).toThrow('out of range');
    expect(() => parse({ ioas: 1 })).toThrow('ioas');
    expect(() => parse({ length: 1.5 })).toThrow();
  });
});

test('kernels and files', () => {
  expect(
    ['6.12.95-iommufdrr', '6.1.0-50-amd64', '5.15', '6.17.0', '7.2.12', '7.2.12-1~bpo13+1', 'junk', '6.16-rc1'].map(dialectForKernel),
  ).toEqual(['linux-6.12', 'linux-6.12', 'linux-6.12', 'linux-7.2', 'linux-7.2', 'linux-7.2', 'linux-7.2', 'linux-7.2']);
  expect([0, 1, 2, 3, 4, 5].map(targetOfFileKind)).toEqual([
    undefined,
    'iommufd',
    'vfio-device',
    'vfio-group',
    'vfio-container',
    undefined,
  ]);
  expect(() => table.offsetOf('IOMMU_IOAS_MAP', 'iov')).toThrow('IOMMU_IOAS_MAP.iov');
  expect(table.offsetOf('IOMMU_IOAS_MAP', 'iova')).toBe(32);
  expect(uapiTable('linux-7.2')).toBe(table);
  const field = table.byName('IOMMU_IOAS_MAP')!.struct!.byName.get('iova')!;
  expect(readField(field, encodeArgs('IOMMU_IOAS_MAP', { iova: 5n }))).toBe(5n);
});
