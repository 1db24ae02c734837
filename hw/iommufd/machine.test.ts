/** The model's own machine with an SMMUv3 and a CMDQV: nothing of its hardware is left open. */
import { describe, expect, test } from 'vitest';
import { DIALECTS, type DialectName } from '../uapi/table.ts';
import { GRACE_CMDQV } from './machine.ts';
import { DRIVER, MACHINE } from './reasons.ts';
import { u64 } from './series-testing.ts';
import type { DriverTraits } from './state.ts';
import { type CallOptions, Program, type Values } from './testing.ts';

const STAGE1 = 1n | (5n << 1n);

/** DEVICE 1 and 2, IOAS 3, nest parent 4 where there are any. */
class Grace {
  readonly p: Program;
  readonly fd: number;
  readonly vfio = [20, 21] as const;

  constructor(dialect: DialectName = 'linux-7.2') {
    this.p = new Program(dialect);
    this.p.model.plug('grace');
    this.fd = this.p.open();
    for (const [i, fd] of this.vfio.entries()) {
      this.p.fds.set(fd, this.p.model.open(100 + i, 'vfio-device', `/dev/vfio/devices/vfio${i}`));
      expect(this.p.call(fd, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: this.fd })).toBe('');
    }
    expect(this.call('IOMMU_IOAS_ALLOC')).toBe('');
    if (this.p.model.traits.viommuParent) expect(this.call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 3 })).toBe('');
  }
  call(name: string, values: Values = {}, options: CallOptions = {}): string {
    return this.p.call(this.fd, name, values, options);
  }
  vintf(): string {
    return this.call('IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 4, data_len: 16 }, { nested: { data_uptr: new Uint8Array(16) } });
  }
  ste(word: bigint): string {
    return this.call('IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: 5, data_type: 2, data_len: 16 }, { nested: { data_uptr: u64(word, 0n) } });
  }
}

const info = (g: Grace, flags: number, type: number): string => {
  const field = g.p.model.table.has('IOMMU_GET_HW_INFO', 'in_data_type') ? 'in_data_type' : 'data_type';
  const values = flags === 0 ? {} : { flags, [field]: type };
  return g.call(
    'IOMMU_GET_HW_INFO',
    { dev_id: 1, data_len: 64, data_uptr: 0x1000, ...values },
    { nested: { data_uptr: new Uint8Array(64) } },
  );
};

describe.each(DIALECTS)('%s', (dialect) => {
  test('nothing of an answer rests on hardware that is not known', () => {
    const g = new Grace(dialect);
    const asked: [string, Values, CallOptions?][] = [
      ['IOMMU_GET_HW_INFO', { dev_id: 1, data_len: 64 }, { nested: { data_uptr: new Uint8Array(64) } }],
      ['IOMMU_HWPT_ALLOC', { flags: 0, dev_id: 1, pt_id: 3 }],
      ['IOMMU_HWPT_ALLOC', { flags: 2, dev_id: 1, pt_id: 3 }],
    ];
    if (g.p.model.traits.viommuParent) {
      expect(g.vintf()).toBe('');
      asked.push(
        ['IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 4, data_len: 16 }, { nested: { data_uptr: new Uint8Array(16) } }],
        ['IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: 2, hwpt_id: 4 }],
        ['IOMMU_VDEVICE_ALLOC', { viommu_id: 5, dev_id: 2, virt_id: 9 }],
        ['IOMMU_HWPT_INVALIDATE', { hwpt_id: 5, data_type: 1, entry_len: 16, entry_num: 1 }, { nested: { data_uptr: u64(0x30n, 0n) } }],
      );
    }
    for (const [name, values, options] of asked) {
      const answer = g.p.ask(g.fd, name, values, options)!;
      expect([name, answer.errno]).toEqual([name, '']);
      for (const errno of ['EOPNOTSUPP', 'EINVAL', 'ENOSPC', 'ETIMEDOUT', 'EIO'])
        expect([MACHINE, DRIVER]).not.toContain(answer.mayBe(errno));
      expect([...answer.undeterminedOutputs]).toEqual([]);
    }
  });
});

test('its registers say what the rules go by', () => {
  const g = new Grace();
  const device = g.p.fds.get(20)?.object;
  const before = device?.type === 'DEVICE' ? device.driver : undefined;
  expect(info(g, 0, 0)).toBe('');
  const smmu = new DataView([...g.p.nestedOut.values()][0]!.buffer);
  expect((smmu.getUint32(8 + 4, true) >>> 21) & 31).toBe(GRACE_CMDQV.log2Commands);
  expect(info(g, 1, 3)).toBe('');
  expect([...g.p.nestedOut.values()][0]!.slice(0, 8)).toEqual(new Uint8Array([0, 0, 0, 0, 1, 1, 4, 0]));
  expect(info(g, 1, 1)).toBe('EOPNOTSUPP');
  const after: DriverTraits | undefined = device?.type === 'DEVICE' ? device.driver : undefined;
  expect(after).toEqual(before);
});

test('there are as many VINTFs as the hardware has, but for the kernel’s own', () => {
  const g = new Grace();
  for (let i = 1; i < 2 ** GRACE_CMDQV.log2Vintfs; i++) expect(g.vintf()).toBe('');
  expect(g.vintf()).toBe('ENOSPC');
  expect(g.call('IOMMU_DESTROY', { id: 7 })).toBe('');
  expect(g.vintf()).toBe('');
});

test('a VINTF has 16 streams', () => {
  const g = new Grace('hw-queue-v9');
  expect(g.vintf()).toBe('');
  const vdevice = (id: number): string => g.call('IOMMU_VDEVICE_ALLOC', { viommu_id: 5, dev_id: 1, virt_id: id });
  for (let id = 0; id < 16; id++) expect(vdevice(id)).toBe('');
  expect(vdevice(16)).toBe('ENOSPC');
});

describe('attaching', () => {
  const attach = (g: Grace, pt: number, more: Values = {}): string =>
    g.p.call(20, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { argsz: 16, pt_id: pt, ...more });

  test('the window of interrupts stays free', () => {
    const g = new Grace();
    expect(attach(g, 3)).toBe('');
    const map = { flags: 7, ioas_id: 3, user_va: 0x10_0000, length: 0x1000 };
    expect(g.call('IOMMU_IOAS_MAP', { ...map, iova: 0x800_0000 })).toBe('EINVAL');
    expect(g.call('IOMMU_IOAS_MAP', { ...map, iova: 0xfee0_0000 })).toBe('');
    expect(g.p.call(20, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { argsz: 8 })).toBe('');
    expect(g.call('IOMMU_IOAS_MAP', { ...map, iova: 0x800_0000 })).toBe('');
    expect(attach(g, 3)).toBe('EADDRINUSE');
  });

  test('a guest’s stream table entry wants a vDEVICE; the devices have no PASIDs', () => {
    const g = new Grace();
    expect(g.vintf()).toBe('');
    expect(g.ste(STAGE1)).toBe('');
    expect(attach(g, 6)).toBe('ENOENT');
    expect(g.call('IOMMU_VDEVICE_ALLOC', { viommu_id: 5, dev_id: 1, virt_id: 8 })).toBe('');
    expect(attach(g, 6)).toBe('');
    expect(
      g.call('IOMMU_HWPT_INVALIDATE', { hwpt_id: 6, data_type: 1, entry_len: 16, entry_num: 1 }, { nested: { data_uptr: u64(0n, 0n) } }),
    ).toBe('EOPNOTSUPP');
    expect(g.call('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: 1, pt_id: 3 })).toBe('');
    expect(attach(g, g.p.u32('IOMMU_HWPT_ALLOC', 'out_hwpt_id'), { flags: 1, pasid: 5 })).toBe('EINVAL');
  });
});
