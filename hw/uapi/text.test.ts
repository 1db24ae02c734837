import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesOf } from '../bits.ts';
import { encodeCommand as encodeSmmu } from '../smmuv3/commands.ts';
import { encodeCommand, encodeStruct, type Values } from './codec.ts';
import { parseCall } from './parse.ts';
import { DIALECTS, uapiTable } from './table.ts';
import { type CallBytes, callJson, printCall, type StyleName } from './text.ts';
import type { Struct } from './types.ts';

const table = uapiTable('linux-7.2');
const STYLES: readonly StyleName[] = ['abbrev', 'full', 'verbose', 'raw'];

interface Extra {
  readonly error?: number;
  /** pointer field to what it points to */
  readonly nin?: Readonly<Record<string, Uint8Array>>;
  readonly nout?: Readonly<Record<string, Uint8Array>>;
  readonly tail?: Uint8Array;
  readonly outTail?: Uint8Array;
  readonly length?: number;
}

/** A call of linux-7.2: `before` what the caller gives, `after` what the kernel writes over it. */
function call(name: string, before: Values, after: Values | undefined = {}, extra: Extra = {}): CallBytes {
  const command = table.byName(name)!;
  const options = extra.length === undefined ? {} : { length: extra.length };
  const at = (buffers: Extra['nin'], slot: number): Uint8Array | undefined =>
    Object.entries(buffers ?? {}).find(([field]) => table.offsetOf(name, field) === slot)?.[1];
  const error = extra.error ?? 0;
  return {
    target: command.target,
    request: command.request,
    ret: error === 0 ? 0n : -1n,
    error,
    in: encodeCommand(command, before, extra.tail, options),
    out: encodeCommand(command, { ...before, ...after }, extra.outTail ?? extra.tail, options),
    nestedIn: (slot) => at(extra.nin, slot),
    nestedOut: (slot) => at(extra.nout, slot),
  };
}
const struct = (name: string): Struct => table.struct(name)!;
const text = (c: CallBytes, style: StyleName = 'abbrev'): string => printCall(table, c, style);
const bytes = (...b: number[]): Uint8Array => Uint8Array.from(b);

describe('a call in one line', () => {
  test('inputs, and outputs after an arrow', () => {
    const queue = { viommu_id: 4, type: 1, index: 1, nesting_parent_iova: 0x80010000n, length: 0x10000n };
    const line = 'IOMMU_HW_QUEUE_ALLOC, {viommu_id=4 type=TEGRA241_CMDQV index=1 nesting_parent_iova=0x80010000 length=0x10000}';
    expect(text(call('IOMMU_HW_QUEUE_ALLOC', queue, {}, { error: 5 }))).toBe(line);
    expect(text(call('IOMMU_HW_QUEUE_ALLOC', queue, { out_hw_queue_id: 7 }))).toBe(`${line} => {out_hw_queue_id=7}`);
    expect(text(call('IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 }))).toBe('IOMMU_IOAS_ALLOC, {} => {out_ioas_id=1}');
    expect(text(call('IOMMU_DESTROY', { id: 4 }))).toBe('IOMMU_DESTROY, {id=4}');
  });

  test('flags by name, unknown bits as a number; verbose says everything', () => {
    const map = { flags: 0x106, ioas_id: 1, user_va: 0x7f0000000000n, length: 0x200000n };
    expect(text(call('IOMMU_IOAS_MAP', map, { iova: 0x1000000n }))).toBe(
      'IOMMU_IOAS_MAP, {flags=WRITEABLE|READABLE|0x100 ioas_id=1 user_va=0x7f0000000000 length=0x200000 iova=0} => {iova=0x1000000}',
    );
    expect(text(call('IOMMU_IOAS_MAP', map, { iova: 0x1000000n }), 'verbose')).toBe(
      'IOMMU_IOAS_MAP, {size=40 flags=IOMMU_IOAS_MAP_WRITEABLE|IOMMU_IOAS_MAP_READABLE|0x100 ioas_id=1 __reserved=0 user_va=0x7f0000000000 length=0x200000 iova=0} => {iova=0x1000000}',
    );
  });

  test('an unknown enum value is a number', () => {
    expect(text(call('IOMMU_VIOMMU_ALLOC', { type: 9, dev_id: 2, hwpt_id: 3 }, {}, { error: 95 }))).toBe(
      'IOMMU_VIOMMU_ALLOC, {type=9 dev_id=2 hwpt_id=3}',
    );
    expect(text(call('IOMMU_VIOMMU_ALLOC', { type: 0xdeadbee0, dev_id: 2, hwpt_id: 3 }, {}, { error: 95 }))).toContain('type=0xdeadbee0');
  });

  test('reserved fields that are not 0 show, and so do bytes beyond the struct and a length that is not the struct’s', () => {
    expect(text(call('IOMMU_IOAS_CHANGE_PROCESS', { __reserved: 1 }, {}, { error: 95 }))).toBe('IOMMU_IOAS_CHANGE_PROCESS, {__reserved=1}');
    expect(text(call('IOMMU_DESTROY', { id: 9 }, {}, { tail: bytes(0, 0, 0, 1), error: 7 }))).toBe(
      'IOMMU_DESTROY, {size=12 id=9 tail=bytes:00000001}',
    );
    expect(text(call('IOMMU_HWPT_ALLOC', { dev_id: 2, pt_id: 1 }, { out_hwpt_id: 3 }, { length: 24 }))).toBe(
      'IOMMU_HWPT_ALLOC, {size=24 dev_id=2 pt_id=1} => {out_hwpt_id=3}',
    );
    const short = { ...call('IOMMU_DESTROY', { id: 9 }), in: bytes(8, 0, 0, 0, 9), out: undefined };
    expect(text(short)).toBe('IOMMU_DESTROY, {size=8 @bytes=5 @4=bytes:09} => ?');
  });

  test('what was not recorded is a question mark', () => {
    expect(text({ ...call('IOMMU_DESTROY', { id: 4 }), out: undefined })).toBe('IOMMU_DESTROY, {id=4} => ?');
    expect(text({ ...call('IOMMU_DESTROY', { id: 4 }), in: undefined, out: undefined })).toBe('IOMMU_DESTROY, ?');
  });

  test('what a caller left in an output field shows only in full', () => {
    const c = call('IOMMU_IOAS_ALLOC', { out_ioas_id: 77 }, { out_ioas_id: 1 });
    expect(text(c)).toBe('IOMMU_IOAS_ALLOC, {} => {out_ioas_id=1}');
    expect(text(c, 'full')).toBe('IOMMU_IOAS_ALLOC, {out_ioas_id=77} => {out_ioas_id=1}');
  });

  test('an unknown number and a foreign one keep their bytes', () => {
    const c = { ...call('IOMMU_DESTROY', { id: 4 }), request: 0x3bff };
    expect(text(c)).toBe('0x3bff, bytes:0800000004000000');
    expect(text({ ...c, in: undefined, out: undefined, request: 0x5401, arg: 0x7ffen })).toBe('0x5401, 0x7ffe');
  });
});

describe('buffers', () => {
  test('HWPT data by its type', () => {
    const c = call(
      'IOMMU_HWPT_ALLOC',
      { dev_id: 2, pt_id: 4, data_type: 2, data_len: 16, data_uptr: 0x7ffe0010n },
      { out_hwpt_id: 5 },
      { nin: { data_uptr: encodeStruct(struct('iommu_hwpt_arm_smmuv3'), { ste: [0x123n, 5n] }) } },
    );
    expect(text(c)).toBe(
      'IOMMU_HWPT_ALLOC, {dev_id=2 pt_id=4 data_type=ARM_SMMUV3 data_len=16 data_uptr={ste=<V cfg 1 s1fmt 64K_L2 s1ctxptr 0x100 s1dss BYPASS s1cir WBRA>}} => {out_hwpt_id=5}',
    );
    expect(text(c, 'full')).toContain('data_uptr=0x7ffe0010 {ste=[0x123, 0x5]<V cfg 1 s1fmt 64K_L2');
    expect(callJson(table, c)).toMatchObject({
      nested: { data_uptr: { ste: ['0x123', '0x5'], ste_text: 'V cfg 1 s1fmt 64K_L2 s1ctxptr 0x100 s1dss BYPASS s1cir WBRA' } },
    });
  });

  test.each(['HWPT_NESTED', 'VIOMMU'])('SMMU commands, of a %s', (type) => {
    const commands = bytesOf([
      ...encodeSmmu('TLBI_NH_VA', { ASID: 3, VA: 0x7f0000000000n, LEAF: 1 }),
      ...encodeSmmu('ATC_INV', { SID: 8, SIZE: 52 }),
      0x77n,
      5n,
    ]);
    const c = call(
      'IOMMU_HWPT_INVALIDATE',
      { hwpt_id: 4, data_uptr: 0x10n, data_type: 1, entry_len: 16, entry_num: 3 },
      { entry_num: 2 },
      { error: 5, nin: { data_uptr: commands } },
    );
    const style = { style: 'abbrev', annotate: () => type } as const;
    expect(printCall(table, c, style)).toBe(
      `IOMMU_HWPT_INVALIDATE, {hwpt_id=4<${type}> data_uptr=[TLBI_NH_VA asid 3 va 0x7f0000000000 leaf, ATC_INV sid 0x8 size 52, ` +
        '?0x77 0x77 0x5] data_type=ARM_SMMUV3 entry_len=16 entry_num=3} => {entry_num=2}',
    );
    const full = text(c, 'full');
    expect(full).toContain('{cmd=[0x3000000000012, 0x7f0000000001]<TLBI_NH_VA asid 3 va 0x7f0000000000 leaf>}');
    const parsed = parseCall(table, 'iommufd', full);
    expect(parsed.ok && [...parsed.call.nestedIn.values()]).toEqual([commands]);
    expect(parseCall(table, 'iommufd', text(c))).toMatchObject({ ok: false });
  });

  test('data of an unknown type is bytes', () => {
    const c = call(
      'IOMMU_HWPT_ALLOC',
      { data_type: 77, data_len: 3, data_uptr: 1n },
      {},
      { error: 22, nin: { data_uptr: bytes(1, 2, 3) } },
    );
    expect(text(c)).toContain('data_type=77 data_len=3 data_uptr=bytes:010203');
  });

  test('hardware information by the type that the kernel says', () => {
    const filled = encodeStruct(struct('iommu_hw_info_tegra241_cmdqv'), { version: 1, log2vcmdqs: 1, log2vsids: 4 }, new Uint8Array(56));
    const c = call(
      'IOMMU_GET_HW_INFO',
      { flags: 1, dev_id: 2, data_len: 64, data_uptr: 0x7ffe0010n, in_data_type: 3, out_data_type: 3 },
      { data_len: 8, out_capabilities: 9n },
      { nout: { data_uptr: filled } },
    );
    expect(text(c)).toBe(
      'IOMMU_GET_HW_INFO, {flags=INPUT_TYPE dev_id=2 data_len=64 data_uptr=0x7ffe0010 in_data_type=TEGRA241_CMDQV} => ' +
        '{data_len=8 data_uptr={flags=0 version=1 log2vcmdqs=1 log2vsids=4} out_data_type=TEGRA241_CMDQV out_max_pasid_log2=0 out_capabilities=DIRTY_TRACKING|PCI_ATS_NOT_SUPPORTED}',
    );
  });

  test('a buffer that a failed call did not touch is no output', () => {
    const c = call(
      'IOMMU_GET_HW_INFO',
      { dev_id: 99, data_len: 4, data_uptr: 0x7ffe0010n },
      {},
      { error: 2, nout: { data_uptr: bytes(1, 2, 3, 4) } },
    );
    expect(text(c)).toBe('IOMMU_GET_HW_INFO, {dev_id=99 data_len=4 data_uptr=0x7ffe0010}');
    expect(text(c, 'full')).toContain('=> {data_uptr=0x7ffe0010 bytes:01020304}');
  });

  test('EMSGSIZE: the call fails, and yet there are ranges', () => {
    const range = encodeStruct(struct('iommu_iova_range'), { start: 0n, last: 0xffffn });
    const c = call(
      'IOMMU_IOAS_IOVA_RANGES',
      { ioas_id: 1, num_iovas: 1, allowed_iovas: 0x10n },
      { num_iovas: 3, out_iova_alignment: 4096n },
      { error: 90, nout: { allowed_iovas: range } },
    );
    expect(text(c)).toBe(
      'IOMMU_IOAS_IOVA_RANGES, {ioas_id=1 num_iovas=1 allowed_iovas=0x10} => {num_iovas=3 allowed_iovas=[{start=0 last=0xffff}] out_iova_alignment=0x1000}',
    );
  });

  test('a bitmap as ranges of bits, before and after', () => {
    const c = call(
      'IOMMU_HWPT_GET_DIRTY_BITMAP',
      { hwpt_id: 3, length: 0x80000n, page_size: 0x1000n, data: 0x1234n },
      {},
      { nin: { data: new Uint8Array(16) }, nout: { data: bytes(15, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80) } },
    );
    expect(text(c)).toBe(
      'IOMMU_HWPT_GET_DIRTY_BITMAP, {hwpt_id=3 iova=0 length=0x80000 page_size=0x1000 data=bits:/128} => {data=bits:0-3,17,127/128}',
    );
  });

  test('invalidation entries; the same type is another struct on a vIOMMU, told by its length', () => {
    const fields = { hwpt_id: 5, data_uptr: 0x10n, data_type: 0xdeadbeef, entry_num: 2 };
    const nested = call('IOMMU_HWPT_INVALIDATE', { ...fields, entry_len: 8 }, {}, { nin: { data_uptr: new Uint8Array(16) } });
    expect(text(nested)).toContain('data_uptr=[{flags=0 iotlb_id=0}, {flags=0 iotlb_id=0}] data_type=SELFTEST');
    const viommu = call(
      'IOMMU_HWPT_INVALIDATE',
      { ...fields, entry_len: 12 },
      { entry_num: 1 },
      { error: 22, nin: { data_uptr: new Uint8Array(24) } },
    );
    expect(text(viommu)).toContain('data_uptr=[{flags=0 vdev_id=0 cache_id=0}, {flags=0 vdev_id=0 cache_id=0}]');
    expect(text(viommu)).toContain('=> {entry_num=1}');
  });

  test('long arrays and buffers are cut, and whole in full', () => {
    const many = call(
      'IOMMU_IOAS_ALLOW_IOVAS',
      { ioas_id: 1, num_iovas: 10, allowed_iovas: 0x10n },
      {},
      { nin: { allowed_iovas: new Uint8Array(160) } },
    );
    expect(text(many)).toContain('{start=0 last=0}, …+2]');
    expect(text(many, 'full')).not.toContain('…');
    const rw = { op: 8, id: 5, 'access_rw.iova': 0n, 'access_rw.length': 40n, 'access_rw.uptr': 0x10n };
    const long = call('IOMMU_TEST_CMD', rw, {}, { nin: { 'access_rw.uptr': new Uint8Array(40) } });
    expect(text(long)).toContain(`uptr=bytes:${'00'.repeat(32)}…+8`);
    expect(text(long, 'full')).toContain(`uptr=0x10 bytes:${'00'.repeat(40)}`);
  });
});

describe('other shapes', () => {
  test('IOMMU_TEST_CMD shows the arm of its operation, and bytes outside it', () => {
    const mock = call(
      'IOMMU_TEST_CMD',
      { op: 2, id: 1 },
      { 'mock_domain.out_stdev_id': 2, 'mock_domain.out_hwpt_id': 4, 'mock_domain.out_idev_id': 3 },
    );
    expect(text(mock)).toBe('IOMMU_TEST_CMD, {op=MOCK_DOMAIN id=1} => {out_stdev_id=2 out_hwpt_id=4 out_idev_id=3}');
    expect(text(call('IOMMU_TEST_CMD', { op: 99, id: 1, 'add_reserved.start': 0x1234n }, {}, { error: 95 }))).toBe(
      'IOMMU_TEST_CMD, {op=99 id=1 @16=bytes:3412}',
    );
  });

  test('VFIO: eventfds, features, capabilities, strings, integers', () => {
    const irqs = call('VFIO_DEVICE_SET_IRQS', { flags: 0x24, index: 2, count: 2 }, {}, { tail: bytes(9, 0, 0, 0, 255, 255, 255, 255) });
    expect(text(irqs)).toBe('VFIO_DEVICE_SET_IRQS, {argsz=28 flags=DATA_EVENTFD|ACTION_TRIGGER index=2 start=0 count=2 data=[9, -1]}');
    const feature = call(
      'VFIO_DEVICE_FEATURE',
      { flags: 0x10001 },
      {},
      { tail: new Uint8Array(8), outTail: bytes(5, 0, 0, 0, 0, 0, 0, 0) },
    );
    expect(text(feature)).toBe('VFIO_DEVICE_FEATURE, {argsz=16 flags=MIGRATION|GET data={flags=0}} => {data={flags=STOP_COPY|PRE_COPY}}');
    const caps = new Uint8Array(32);
    const view = new DataView(caps.buffer);
    view.setUint16(0, 1, true);
    view.setUint16(2, 1, true);
    view.setUint32(8, 1, true);
    view.setBigUint64(16, 0x1000n, true);
    view.setBigUint64(24, 0x2000n, true);
    const region = call(
      'VFIO_DEVICE_GET_REGION_INFO',
      { index: 0 },
      { flags: 15, cap_offset: 32, size: 0x4000n },
      { tail: new Uint8Array(32), outTail: caps },
    );
    expect(text(region)).toBe(
      'VFIO_DEVICE_GET_REGION_INFO, {argsz=64 index=0} => {flags=READ|WRITE|MMAP|CAPS cap_offset=0x20 size=0x4000 offset=0 ' +
        'caps=[{offset=0x20 id=SPARSE_MMAP version=1 next=0 nr_areas=1 areas=[{offset=0x1000 size=0x2000}]}]}',
    );
    const plain = { ret: 7n, error: 0, nestedIn: () => undefined, nestedOut: () => undefined };
    const name = new TextEncoder().encode('0000:06:0d.0\u001b[2J"\0');
    expect(text({ ...plain, target: 'vfio-group', request: 0x3b6a, in: name })).toBe('VFIO_GROUP_GET_DEVICE_FD, "0000:06:0d.0\\x1b[2J\\""');
    expect(text({ ...plain, target: 'vfio-group', request: 0x3b68, in: bytes(5, 0, 0, 0) })).toBe('VFIO_GROUP_SET_CONTAINER, [5]');
    expect(text({ ...plain, target: 'vfio-container', request: 0x3b65, arg: 3n })).toBe('VFIO_CHECK_EXTENSION, TYPE1v2_IOMMU');
    expect(text({ ...plain, target: 'vfio-device', request: 0x3b6f })).toBe('VFIO_DEVICE_RESET');
  });

  test('the same number is another call on another file', () => {
    const c = call('VFIO_IOMMU_MAP_DMA', { flags: 3, vaddr: 0x10n, iova: 0x20n, size: 0x1000n });
    expect(text(c)).toBe('VFIO_IOMMU_MAP_DMA, {flags=READ|WRITE vaddr=0x10 iova=0x20 size=0x1000}');
    expect(text({ ...c, target: 'vfio-device' })).toContain('VFIO_DEVICE_PCI_HOT_RESET');
    expect(text({ ...c, target: 'iommufd' })).toBe(text(c));
  });

  test('an annotation stands behind ids and fds, and cannot break out', () => {
    const c = call('IOMMU_HWPT_ALLOC', { dev_id: 2, pt_id: 5 }, { out_hwpt_id: 6 });
    const style = {
      style: 'abbrev',
      annotate: (_: unknown, id: number) => (id === 5 ? 'VIOMMU>\u001b' : id === 6 ? 'HWPT_NESTED' : undefined),
    } as const;
    expect(printCall(table, c, style)).toBe('IOMMU_HWPT_ALLOC, {dev_id=2 pt_id=5<VIOMMU\\x3e\\x1b>} => {out_hwpt_id=6<HWPT_NESTED>}');
  });

  test('other dialects read the same number their way', () => {
    const v1 = uapiTable('vcmdq-v1');
    const command = v1.command('iommufd', 0x3b94)!;
    const data = encodeStruct(v1.struct('iommu_vcmdq_tegra241_cmdqv')!, { vcmdq_id: 1, vcmdq_log2size: 7, vcmdq_base: 0x80000000n });
    const before = encodeCommand(command, { viommu_id: 4, type: 1, data_len: 16, data_uptr: 0x10n });
    const c: CallBytes = {
      target: 'iommufd',
      request: 0x3b94,
      ret: 0n,
      error: 0,
      in: before,
      out: before,
      nestedIn: (s) => (s === 24 ? data : undefined),
      nestedOut: () => undefined,
    };
    expect(printCall(v1, c)).toBe(
      'IOMMU_VCMDQ_ALLOC, {viommu_id=4 type=TEGRA241_CMDQV data_len=16 data_uptr={vcmdq_id=1 vcmdq_log2size=7 vcmdq_base=0x80000000}} => {out_vcmdq_id=0}',
    );
    const v4 = uapiTable('hw-queue-v4').command('iommufd', 0x3b94);
    expect(v4?.struct?.byName.has('base_addr')).toBe(true);
  });
});

describe('JSON', () => {
  test('numbers of 64 bits are strings, constants have their full names', () => {
    const c = call('IOMMU_IOAS_MAP', { flags: 0x106, ioas_id: 1, user_va: 0x7f00n, length: 0x1000n }, { iova: 0x2000n });
    expect(callJson(table, c)).toEqual({
      name: 'IOMMU_IOAS_MAP',
      request: '0x3b85',
      args: {
        size: 40,
        flags: ['IOMMU_IOAS_MAP_WRITEABLE', 'IOMMU_IOAS_MAP_READABLE', '0x100'],
        ioas_id: 1,
        __reserved: 0,
        user_va: '0x7f00',
        length: '0x1000',
        iova: '0x0',
      },
      out: { iova: '0x2000' },
    });
  });
});

test('whatever the bytes, a call prints in one line of printable text, and is JSON', () => {
  const requests = [...new Set(DIALECTS.flatMap((d) => uapiTable(d).commands.map((c) => c.request))), 0x3bff];
  const some = fc.option(fc.uint8Array({ maxLength: 120 }), { nil: undefined });
  const arbitrary = fc.record({
    dialect: fc.constantFrom(...DIALECTS),
    target: fc.constantFrom('iommufd', 'vfio-device', 'vfio-group', 'vfio-container'),
    request: fc.constantFrom(...requests),
    error: fc.constantFrom(0, 22, 90),
    before: some,
    after: some,
    op: fc.option(fc.nat(24), { nil: undefined }),
    arg: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
    nin: some,
    nout: some,
  });
  fc.assert(
    fc.property(arbitrary, ({ dialect, op, before, after, nin, nout, ...rest }) => {
      if (op !== undefined && before !== undefined && before.length > 4) before[4] = op;
      const c = { ...rest, ret: 0n, in: before, out: after, nestedIn: () => nin, nestedOut: () => nout } as CallBytes;
      for (const style of STYLES) expect(printCall(uapiTable(dialect), c, style)).toMatch(/^[ -~…]+$/u);
      JSON.stringify(callJson(uapiTable(dialect), c));
    }),
    { numRuns: 1500 },
  );
});

test('hw-queue-v5 has one field for the type of hardware data that is asked for and given', () => {
  const v5 = uapiTable('hw-queue-v5');
  const command = v5.byName('IOMMU_GET_HW_INFO')!;
  const info = encodeStruct(v5.struct('iommu_hw_info_tegra241_cmdqv')!, { version: 1, log2vcmdqs: 1, log2vsids: 4 });
  const asked = { flags: 1, dev_id: 1, data_len: 8, data_uptr: 0x5000n, data_type: 3 };
  const found: CallBytes = {
    target: command.target,
    request: command.request,
    ret: 0n,
    error: 0,
    in: encodeCommand(command, asked),
    out: encodeCommand(command, asked),
    nestedIn: () => undefined,
    nestedOut: (slot) => (slot === v5.offsetOf('IOMMU_GET_HW_INFO', 'data_uptr') ? info : undefined),
  };
  expect(printCall(v5, found, 'abbrev')).toContain('=> {data_uptr={flags=0 version=1 log2vcmdqs=1 log2vsids=4}');
});
