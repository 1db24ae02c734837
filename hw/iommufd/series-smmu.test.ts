/** SMMUv3 and CMDQV beside the queues: what the log tells of them, vIOMMUs, vDEVICEs, nested HWPTs, invalidation. */
import { describe, expect, test } from 'vitest';
import { cmdqvInfo, Grace, HARDWARE, row, type Series, same, smmuInfo, u64 } from './series-testing.ts';

const machine = (dialect: Series, cmdqv = true): Grace => new Grace(dialect).known(HARDWARE, cmdqv);
const driver = (g: Grace) => {
  const device = g.p.fds.get(g.fd)!.context!.objects.get(1);
  if (device?.type !== 'DEVICE') throw new Error('no device');
  return device.driver;
};

describe('what is known of a device', () => {
  test.each(same('unknown'))('%s: nothing before the log tells', (dialect, name) => {
    const g = new Grace(dialect);
    expect(driver(g)).toEqual({ name });
    const asked = g.p.ask(g.fd, 'IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 3, data_len: 8, data_uptr: 0x1000 });
    expect([asked?.errno, asked?.mayBe('EINVAL'), asked?.mayBe('EOPNOTSUPP')]).toEqual(['', 'driver-private', 'driver-private']);
    expect(g.p.ask(g.fd, 'IOMMU_HWPT_ALLOC', { flags: 3, dev_id: 1, pt_id: 2 })?.mayBe('EOPNOTSUPP')).toBe('driver-private');
  });
  // the number of queues and stream ids: nowhere, in the SMMUv3's information, in information of its own
  test.each(row(undefined, 1, 1, 1, 1, 1, 1, 1, 1, 1))('%s: log2 of queues after GET_HW_INFO: %s', (dialect, log2) => {
    const g = machine(dialect);
    expect(driver(g)).toMatchObject({ name: 'smmuv3', log2Commands: 9 });
    expect([driver(g).log2Queues, driver(g).log2Sids]).toEqual([log2, log2]);
    expect(driver(g).cmdqv).toBe(log2 === undefined ? undefined : true);
  });
  test('v1: an index is not determined, for how many there are nothing tells', () => {
    const g = machine('vcmdq-v1');
    expect(g.vintf()).toBe('');
    expect(driver(g).cmdqv).toBe(true);
    expect([g.askQueue({ index: 5 }).errno, g.askQueue({ index: 5 }).mayBe('EINVAL')]).toEqual(['', 'driver-private']);
    expect(g.askQueue({}).mayBe('EINVAL')).toBeUndefined();
  });
  test.each(same(''))('%s: a device of another maker is not taken for one', (dialect) => {
    const g = new Grace(dialect);
    const type = g.p.model.table.has('IOMMU_GET_HW_INFO', 'out_data_type') ? 'out_data_type' : 'data_type';
    const told = { values: { [type]: 1, data_len: 24 }, nested: { data_uptr: new Uint8Array(24) } };
    g.must('IOMMU_GET_HW_INFO', { dev_id: 1, data_len: 24, data_uptr: 0x1000 }, { told });
    expect(driver(g).name).toBe('intel');
    expect(g.p.ask(g.fd, 'IOMMU_VIOMMU_ALLOC', { type: 7, dev_id: 1, hwpt_id: 3 })?.mayBe('EOPNOTSUPP')).toBe('driver-private');
  });
});

describe('GET_HW_INFO', () => {
  const ask = (g: Grace, values: Record<string, number>) =>
    g.p.ask(g.fd, 'IOMMU_GET_HW_INFO', { dev_id: 1, data_len: 64, data_uptr: 0x1000, ...values });
  const typed = (g: Grace, type: number) => ask(g, { flags: 1, [g.askedType]: type });
  const late: readonly Series[] = ['hw-queue-v5', 'hw-queue-v6', 'hw-queue-v7', 'hw-queue-v8', 'hw-queue-v9', 'linux-7.2'];

  test.each(same(''))('%s: the registers are the same each time, zeros behind them', (dialect) => {
    const g = machine(dialect);
    const bytes = [...(ask(g, {})?.nestedOut.values() ?? [])][0];
    const expected = new Uint8Array(64);
    expected.set(smmuInfo(dialect));
    expect(bytes).toEqual(expected);
    expect(ask(g, {})?.undeterminedOutputs.size).toBe(0);
  });
  test.each(row('EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', '', '', '', '', '', ''))(
    '%s: with an input type: "%s"',
    (dialect, errno) => {
      expect(ask(machine(dialect), { flags: 1 })?.errno).toBe(errno);
    },
  );
  test.each(late)('%s: type 3 tells of the CMDQV, in 8 bytes', (dialect) => {
    const answer = typed(machine(dialect), 3);
    expect([...(answer?.nestedOut.values() ?? [])][0]?.subarray(0, 8)).toEqual(cmdqvInfo());
    const view = new DataView(answer!.out!.buffer, answer!.out!.byteOffset);
    const { table } = machine(dialect).p.model;
    expect(view.getUint32(table.offsetOf('IOMMU_GET_HW_INFO', 'data_len'), true)).toBe(8);
  });
  test.each(late)('%s: types of others: EOPNOTSUPP', (dialect) => {
    for (const type of [1, 4, 0xfeedbeef]) expect(typed(machine(dialect), type)?.errno).toBe('EOPNOTSUPP');
  });
  test.each(late)('%s: without a CMDQV type 3 is refused, and that is known once the log shows it', (dialect) => {
    const g = machine(dialect, false);
    expect([typed(g, 3)?.errno, typed(g, 3)?.mayBe('EOPNOTSUPP')]).toEqual(['', 'driver-private']);
    const request = g.p.request(g.fd, 'IOMMU_GET_HW_INFO', { dev_id: 1, flags: 1, [g.askedType]: 3 }, {});
    g.p.model.decide(request, { errno: 'EOPNOTSUPP', ret: -1n, out: undefined })?.commit();
    expect(driver(g).cmdqv).toBe(false);
    expect(typed(g, 3)?.errno).toBe('EOPNOTSUPP');
    expect(g.vintf()).toBe('EOPNOTSUPP');
  });
});

describe('VIOMMU_ALLOC of a VINTF', () => {
  test.each(same('EINVAL'))('%s: data of another length than 16: %s', (dialect, errno) => {
    for (const length of [0, 8, 15, 17, 24]) expect([length, machine(dialect).vintf(length)]).toEqual([length, errno]);
  });
  test.each(same('EFAULT'))('%s: data that cannot be read: %s', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.p.call(g.fd, 'IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 3, data_len: 16 })).toBe(errno);
  });
  test.each(same(16))('%s: %i bytes come back: offset and length', (dialect, bytes) => {
    const g = machine(dialect);
    expect(g.vintf()).toBe('');
    expect([...g.p.nestedOut.values()][0]).toHaveLength(bytes);
    expect(g.shown()[1]).toBe(0x1_0000);
  });
  test.each(same('EOPNOTSUPP'))('%s: a type that there is not: %s', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.p.call(g.fd, 'IOMMU_VIOMMU_ALLOC', { type: 3, dev_id: 1, hwpt_id: 3 })).toBe(errno);
  });
  test.each(same('EINVAL'))('%s: on a HWPT that is no nest parent: %s', (dialect, errno) => {
    const g = machine(dialect);
    g.must('IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: 2 });
    expect(g.p.call(g.fd, 'IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 4, data_len: 16 })).toBe(errno);
  });
  test('how many VINTFs are free nobody sees', () => {
    const ask = { type: 2, dev_id: 1, hwpt_id: 3, data_len: 16 };
    const g = machine('linux-7.2');
    const answer = g.p.ask(g.fd, 'IOMMU_VIOMMU_ALLOC', ask, { nested: { data_uptr: new Uint8Array(16) } });
    expect([answer?.errno, answer?.mayBe('ENOSPC')]).toEqual(['', 'machine']);
  });
});

describe('VDEVICE_ALLOC', () => {
  const vintf = (dialect: Series): Grace => {
    const g = machine(dialect);
    expect(g.vintf()).toBe('');
    return g;
  };
  const u20 = new Array<string>(9).fill('');
  test.each(row(...u20, 'EINVAL'))('%s: a virtual stream id of 21 bits: "%s"', (dialect, errno) => {
    expect(vintf(dialect).vdevice(0x10_0000)).toBe(errno);
    expect(vintf(dialect).vdevice(0xf_ffff)).toBe('');
  });
  test.each(same('EINVAL'))('%s: of 33 bits: %s', (dialect, errno) => {
    expect(vintf(dialect).vdevice(2n ** 32n)).toBe(errno);
  });
  test.each(same(''))('%s: of 64 bits, on a vIOMMU of the SMMUv3 alone: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    g.must('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: 1, hwpt_id: 3 });
    expect(g.vdevice(2n ** 64n - 1n)).toBe(errno);
  });
  test.each(same('EEXIST'))('%s: an id that another device has: %s', (dialect, errno) => {
    const g = vintf(dialect);
    g.device();
    expect([g.vdevice(7), g.vdevice(7, 5), g.vdevice(8, 5)]).toEqual(['', errno, '']);
  });
  test.each(row('', '', '', '', '', '', '', '', '', 'EEXIST'))('%s: a device that has one: "%s"', (dialect, errno) => {
    const g = vintf(dialect);
    expect([g.vdevice(7), g.vdevice(8)]).toEqual(['', errno]);
  });
  test.each(row('', ...new Array<string>(9).fill('ENOSPC')))('%s: more than the stream ids of a VINTF: "%s"', (dialect, errno) => {
    const g = vintf(dialect);
    // BIND takes the lowest free ids
    const [second, third] = [g.device(), g.device()].map((_, i) => 5 + i);
    expect([g.vdevice(1), g.vdevice(2, second)]).toEqual(['', '']);
    const ask = g.p.ask(g.fd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 4, dev_id: third!, virt_id: 3 });
    // v1 tells nowhere how many there are
    expect([ask?.errno, ask?.mayBe('ENOSPC')]).toEqual([errno, errno === '' ? 'driver-private' : undefined]);
    expect(g.destroy(7)).toBe('');
    expect(g.vdevice(3, third)).toBe('');
  });
  test.each(row(...new Array<string>(9).fill(''), 'machine'))(
    '%s: a device with several streams: EOPNOTSUPP for "%s"',
    (dialect, reason) => {
      const g = vintf(dialect);
      const ask = g.p.ask(g.fd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 4, dev_id: 1, virt_id: 3 });
      expect([ask?.errno, ask?.mayBe('EOPNOTSUPP') ?? '']).toEqual(['', reason]);
    },
  );
});

describe('nested HWPTs', () => {
  const stage1 = 0b1011n;
  const bypass = 0b1001n;
  const nested = (g: Grace, ste: readonly [bigint, bigint], values: Record<string, number> = {}): string =>
    g.p.call(
      g.fd,
      'IOMMU_HWPT_ALLOC',
      { dev_id: 1, pt_id: 4, data_type: 2, data_len: 16, ...values },
      { nested: { data_uptr: u64(...ste) } },
    );
  const vintf = (dialect: Series): Grace => {
    const g = machine(dialect);
    expect(g.vintf()).toBe('');
    return g;
  };
  test.each<[string, readonly [bigint, bigint], Record<string, number>, string]>([
    ['stage 1', [stage1, 0n], {}, ''],
    ['bypass', [bypass, 0n], {}, ''],
    ['not valid, whatever else', [2n ** 63n + 0xff0n, 2n ** 63n], {}, ''],
    ['bit 52 of word 0', [stage1 | (1n << 52n), 0n], {}, 'EIO'],
    ['bit 8 of word 1', [stage1, 1n << 8n], {}, 'EIO'],
    ['stage 2 of its own', [0b1101n, 0n], {}, 'EIO'],
    ['EATS 1', [stage1, 1n << 28n], {}, ''],
    ['EATS 2', [stage1, 2n << 28n], {}, 'EIO'],
    ['another type', [stage1, 0n], { data_type: 1 }, 'EINVAL'],
    ['another length', [stage1, 0n], { data_len: 8 }, 'EINVAL'],
    ['a PASID', [stage1, 0n], { flags: 8 }, 'EOPNOTSUPP'],
    ['on the HWPT itself', [stage1, 0n], { pt_id: 3 }, 'EOPNOTSUPP'],
  ])('%s', (_, ste, values, errno) => {
    expect(nested(vintf('linux-7.2'), ste, values)).toBe(errno);
  });

  const attach = (g: Grace): string => g.p.call(g.vfio, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 5 });
  test.each(row(...new Array<string>(9).fill('ENOENT'), ''))('%s: attaching bypass without a vDEVICE: "%s"', (dialect, errno) => {
    const g = vintf(dialect);
    expect(nested(g, [bypass, 0n])).toBe('');
    expect(attach(g)).toBe(errno);
  });
  test.each(same('ENOENT'))('%s: attaching stage 1 without a vDEVICE: %s', (dialect, errno) => {
    const g = vintf(dialect);
    expect(nested(g, [stage1, 0n])).toBe('');
    expect(attach(g)).toBe(errno);
    expect(g.vdevice(1)).toBe('');
    expect(attach(g)).toBe('');
  });

  const invalidate = (g: Grace, commands: readonly bigint[], values: Record<string, number> = {}): string =>
    g.p.call(
      g.fd,
      'IOMMU_HWPT_INVALIDATE',
      { hwpt_id: 4, data_type: 1, entry_len: 16, entry_num: commands.length / 2, ...values },
      { nested: { data_uptr: u64(...commands) } },
    );
  test.each<[string, readonly bigint[], Record<string, number>, string, number]>([
    ['TLBI_NH_ASID', [0x11n, 0n], {}, '', 1],
    ['two commands', [0x30n, 0n, 0x12n, 0n], {}, '', 2],
    ['CFGI_CD of a vDEVICE', [0x05n | (1n << 32n), 0n], {}, '', 1],
    ['ATC_INV of none', [0x10n, 0n, 0x40n | (9n << 32n), 0n], {}, 'EIO', 1],
    ['CFGI_STE', [0x03n, 0n], {}, 'EIO', 0],
    ['CMD_SYNC behind another', [0x10n, 0n, 0x46n, 0n], {}, 'EIO', 1],
    ['no command', [], {}, 'EINVAL', 0],
    ['another type', [0x10n, 0n], { data_type: 0 }, 'EINVAL', 0],
    ['a longer entry with zeros', [0x10n, 0n, 0n, 0n], { entry_num: 1, entry_len: 32 }, '', 1],
    ['a longer entry without', [0x10n, 0n, 1n, 0n], { entry_num: 1, entry_len: 32 }, 'E2BIG', 0],
    ['such a one behind a CMD_SYNC', [0x46n, 0n, 0n, 0x10n, 0n, 1n], { entry_num: 2, entry_len: 24 }, 'E2BIG', 0],
  ])('INVALIDATE: %s', (_, commands, values, errno, done) => {
    const g = vintf('linux-7.2');
    expect(g.vdevice(1)).toBe('');
    const at = g.p.model.table.offsetOf('IOMMU_HWPT_INVALIDATE', 'entry_num');
    const request = { hwpt_id: 4, data_type: 1, entry_len: 16, entry_num: commands.length / 2, ...values };
    const answer = g.p.ask(g.fd, 'IOMMU_HWPT_INVALIDATE', request, { nested: { data_uptr: u64(...commands) } });
    expect([answer?.errno, new DataView(answer!.out!.buffer, answer!.out!.byteOffset).getUint32(at, true)]).toEqual([errno, done]);
    expect(invalidate(g, commands, values)).toBe(errno);
  });
  test.each([
    [0, ''],
    [1, '; the one before it counts as done, but was not sent'],
    [3, '; the 3 before it count as done, but were not sent'],
    [63, ''],
    [65, '; the 2 before it count as done, but were not sent'],
  ])('INVALIDATE: what becomes of commands before number %d', (bad, said) => {
    const g = vintf('linux-7.2');
    const commands = Array.from({ length: 70 }, (_, i) => [i === bad ? 0x46n : 0x30n, 0n]).flat();
    const request = { hwpt_id: 4, data_type: 1, entry_len: 16, entry_num: 70 };
    const answer = g.p.ask(g.fd, 'IOMMU_HWPT_INVALIDATE', request, { nested: { data_uptr: u64(...commands) } });
    expect(answer?.refusal).toMatchObject({ errno: 'EIO', rule: 'smmu.opcode', text: `command ${bad} is CMD_SYNC${said}` });
  });

  test('dirty tracking is refused where the capabilities have none', () => {
    const g = new Grace('linux-7.2').known();
    expect(g.p.ask(g.fd, 'IOMMU_HWPT_ALLOC', { flags: 2, dev_id: 1, pt_id: 2 })?.errno).toBe('');
    const told = { values: { out_data_type: 2, data_len: 40, out_capabilities: 0 }, nested: { data_uptr: smmuInfo('linux-7.2') } };
    g.must('IOMMU_GET_HW_INFO', { dev_id: 1, data_len: 40, data_uptr: 0x1000 }, { told });
    const answer = g.p.ask(g.fd, 'IOMMU_HWPT_ALLOC', { flags: 2, dev_id: 1, pt_id: 2 });
    expect([answer?.errno, answer?.refusal?.rule]).toEqual(['EOPNOTSUPP', 'hwpt-alloc.dirty']);
  });
});
