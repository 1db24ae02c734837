import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Answer, Eventfd, Request } from '../iommufd/call.ts';
import { Model } from '../iommufd/model.ts';
import type { Ioas, OpenFile } from '../iommufd/state.ts';
import type { DialectName } from '../uapi/table.ts';
import { type DeviceReply, mapDevice, transfer } from './access.ts';
import { makeConfig, memoryEnabled, readConfig, writeConfig } from './config.ts';
import { irqCount, makeDevice, offsetOf, Region } from './device.ts';
import { barBytes, FUNCTIONS, msixOf } from './functions.ts';

const [NVME, EDU] = FUNCTIONS as [(typeof FUNCTIONS)[0], (typeof FUNCTIONS)[0]];

/** A program with an iommufd (descriptor 3), a device (4), and eventfds (10 and up). */
class Driver {
  readonly model: Model;
  readonly iommu: OpenFile;
  readonly device: OpenFile;
  signals: readonly Eventfd[] = [];
  out = new DataView(new ArrayBuffer(0));
  refusal: Answer['refusal'];

  constructor(name = 'vfio0', dialect: DialectName = 'linux-7.2') {
    this.model = new Model(dialect);
    this.model.plug();
    this.iommu = this.model.open(1, 'iommufd');
    this.device = this.model.open(2, 'vfio-device', `/dev/vfio/devices/${name}`);
  }

  /** Words of 32 bits, the struct from argsz on, and bytes behind them. */
  call(name: string, words: readonly number[], data: Uint8Array = new Uint8Array(0), file = this.device): string {
    const command = this.model.table.byName(name)!;
    const struct = new Uint8Array(4 * words.length + data.length);
    for (const [i, word] of words.entries()) new DataView(struct.buffer).setUint32(4 * i, word >>> 0, true);
    struct.set(data, 4 * words.length);
    const files: Record<number, OpenFile> = { 3: this.iommu, 4: this.device };
    const request: Request = {
      target: file === this.iommu ? 'iommufd' : 'vfio-device',
      file,
      request: command.request,
      arg: 0n,
      struct: { bytes: struct, wanted: BigInt(words[0] ?? 0), fault: struct.length < (words[0] ?? 0) },
      seq: 1,
      process: 7,
      nested: () => undefined,
      fileOf: (fd) => files[fd],
      eventfdOf: (fd) => (fd >= 10 ? { id: `${fd}`, process: 7, fd } : files[fd] === undefined ? 'none' : 'other'),
    };
    const answer = this.model.decide(request)!;
    this.signals = answer.signals;
    this.refusal = answer.refusal;
    this.out = new DataView((answer.out ?? struct).slice().buffer);
    answer.commit();
    return answer.errno;
  }
  bind(): this {
    expect(this.call('VFIO_DEVICE_BIND_IOMMUFD', [16, 0, 3, 0])).toBe('');
    return this;
  }
  irqs(flags: number, index: number, start: number, count: number, data: readonly number[] = [], width: 1 | 4 = 4): string {
    const bytes = new Uint8Array(data.length * width);
    const view = new DataView(bytes.buffer);
    for (const [i, value] of data.entries())
      if (width === 4) view.setInt32(4 * i, value, true);
      else view.setUint8(i, value);
    return this.call('VFIO_DEVICE_SET_IRQS', [20 + bytes.length, flags, index, start, count], bytes);
  }
  /** descriptors that the last call has signalled */
  get signalled(): number[] {
    return this.signals.map((s) => s.fd);
  }
}

const [NONE, BOOL, EVENTFD, MASK, TRIGGER] = [1, 2, 4, 8, 32];
const [INTX, MSI, MSIX] = [0, 1, 2];

describe.each(FUNCTIONS.map((f) => [f.name, f] as const))('%s', (_name, f) => {
  test('its capabilities and BARs are where there is room for them', () => {
    const taken = new Set<number>();
    const bytes = { power: 8, msi: 14, express: 0x3c, msix: 12 } as const;
    for (const c of f.capabilities)
      for (let at = c.at; at < c.at + bytes[c.kind]; at++) {
        expect(at).toBeGreaterThanOrEqual(0x40);
        expect(at).toBeLessThan(256);
        expect(taken.has(at)).toBe(false);
        taken.add(at);
      }
    for (const [index, bar] of Object.entries(f.bars)) {
      expect(Math.log2(bar!.bytes) % 1).toBe(0);
      expect(bar!.address % bar!.bytes).toBe(0);
      expect(Number(index) + (bar!.wide ? 1 : 0)).toBeLessThan(6);
      for (const [at, width] of bar!.registers) expect(at + width).toBeLessThanOrEqual(bar!.bytes);
    }
    const msix = msixOf(f);
    if (msix) expect(msix.table.at + 16 * msix.vectors).toBeLessThanOrEqual(msix.pending.at);
  });

  test('its list of capabilities, as a program walks it', () => {
    const config = makeConfig(f);
    const found: number[] = [];
    for (let at = readConfig(config, 0x34, 1)[0]!; at !== 0; at = readConfig(config, at + 1, 1)[0]!)
      found.push(readConfig(config, at, 1)[0]!);
    const ids = { power: 1, msi: 5, express: 0x10, msix: 0x11 } as const;
    expect(found).toEqual(f.capabilities.map((c) => ids[c.kind]));
  });

  test('every BAR tells its size', () => {
    const config = makeConfig(f);
    for (const [index, bar] of Object.entries(f.bars)) {
      const at = 0x10 + 4 * Number(index);
      const width = bar!.wide ? 8 : 4;
      writeConfig(config, at, new Uint8Array(width).fill(0xff));
      const b = readConfig(config, at, 8);
      const value = new DataView(b.buffer).getBigUint64(0, true);
      const size = bar!.wide ? -BigInt.asIntN(64, value & ~0xfn) : -BigInt.asIntN(32, value & 0xfffffff0n);
      expect(size).toBe(BigInt(bar!.bytes));
    }
  });

  test('every byte can be read and written in every width, and nothing is thrown', () => {
    const config = makeConfig(f);
    for (const width of [1, 2, 4, 8])
      for (let at = 0; at + width <= f.configBytes; at += width) {
        writeConfig(config, at, new Uint8Array(width).fill(0xff));
        expect(readConfig(config, at, width)).toHaveLength(width);
      }
    expect([...readConfig(config, 0, 4)]).toEqual([f.vendor & 255, f.vendor >> 8, f.device & 255, f.device >> 8]);
  });
});

test('what is not decoded, or sleeps, has no memory', () => {
  const config = makeConfig(NVME);
  expect(memoryEnabled(config)).toBe(true);
  writeConfig(config, 4, Uint8Array.of(4, 0));
  expect(memoryEnabled(config)).toBe(false);
  writeConfig(config, 4, Uint8Array.of(2, 0));
  writeConfig(config, 0x64, Uint8Array.of(3, 0)); // D3hot
  expect([memoryEnabled(config), readConfig(config, 0x64, 1)[0]]).toEqual([false, 3]);
  writeConfig(config, 0x64, Uint8Array.of(0, 0));
  expect(memoryEnabled(config)).toBe(true);
});

test('a function level reset is asked for in the PCI Express capability, and reads as 0', () => {
  const config = makeConfig(NVME);
  expect(writeConfig(config, 0x88, Uint8Array.of(0x10, 0xa8))).toEqual({ reset: true });
  expect(readConfig(config, 0x89, 1)[0]! & 0x80).toBe(0);
  expect(writeConfig(config, 0x88, Uint8Array.of(0x10, 0x28))).toEqual({ reset: false });
});

test('interrupts of each index', () => {
  const counts = (f: typeof NVME): number[] => [0, 1, 2, 3, 4, 5].map((i) => irqCount(makeDevice(f), i));
  expect(counts(NVME)).toEqual([1, 0, 65, 1, 1, 0]);
  expect(counts(EDU)).toEqual([1, 1, 0, 0, 1, 0]);
});

test('registers after a reset', () => {
  const view = new DataView(barBytes(NVME.bars[0]!).buffer);
  expect([view.getBigUint64(0, true), view.getUint32(8, true), view.getUint32(12, true)]).toEqual([0x0040_0820_0f01_07ffn, 0x10400, 0]);
});

describe('MSI of a conventional device', () => {
  test('is switched on by an eventfd, and triggered', () => {
    const d = new Driver('vfio1').bind();
    expect(d.irqs(EVENTFD | TRIGGER, MSI, 0, 1, [10])).toBe('');
    expect(d.irqs(NONE | TRIGGER, MSI, 0, 1)).toBe('');
    expect(d.signalled).toEqual([10]);
    expect(readConfig(d.device.pci!.config, 0x42, 1)[0]! & 1).toBe(0); // the program has not enabled it itself
    writeConfig(d.device.pci!.config, 0x42, Uint8Array.of(0x81, 0));
    expect(readConfig(d.device.pci!.config, 0x42, 1)[0]! & 1).toBe(1);
    expect(d.irqs(NONE | TRIGGER, MSI, 0, 0)).toBe('');
    expect(d.irqs(NONE | TRIGGER, MSI, 0, 1)).toBe('EINVAL');
    expect(d.refusal?.rule).toBe('vfio-irqs.off');
  });
  test('has no more than its one vector, and no error interrupt beside', () => {
    const d = new Driver('vfio1').bind();
    expect(d.irqs(EVENTFD | TRIGGER, MSI, 1, 1, [10])).toBe('EINVAL');
    expect(d.refusal?.text).toBe('start 1 and count 1, and MSI has 1 interrupt');
    expect(d.call('VFIO_DEVICE_GET_IRQ_INFO', [16, 0, 3, 0])).toBe('EINVAL');
    expect(d.irqs(EVENTFD | TRIGGER, 3, 0, 1, [10])).toBe('EINVAL');
  });
});

test('interrupts say why they are refused', () => {
  const d = new Driver().bind();
  const said = (errno: string): string => {
    expect(d.refusal?.errno).toBe(errno);
    return d.refusal!.text;
  };
  d.irqs(EVENTFD | TRIGGER, MSIX, 0, 1, [3]);
  expect(said('EINVAL')).toBe('descriptor 3 is no eventfd');
  d.irqs(EVENTFD | TRIGGER, MSIX, 0, 1, [9]);
  expect(said('EBADF')).toBe('there is no descriptor 9');
  d.irqs(NONE | MASK, MSIX, 0, 1);
  expect(said('ENOTTY')).toBe('vfio-pci does not know action 0x8 for MSI-X');
  expect(d.irqs(EVENTFD | TRIGGER, INTX, 0, 1, [10])).toBe('');
  d.irqs(EVENTFD | TRIGGER, MSIX, 0, 1, [10]);
  expect(said('EINVAL')).toBe('INTx is switched on');
  d.irqs(BOOL | TRIGGER, INTX, 0, 1, [1], 1);
  expect(d.signalled).toEqual([10]);
});

test('a device ends with its file: the next one finds it as new', () => {
  const d = new Driver().bind();
  d.irqs(EVENTFD | TRIGGER, MSIX, 0, 1, [10]);
  const pci = d.device.pci!;
  writeConfig(pci.config, 0x3c, Uint8Array.of(0x55));
  const before = pci.resets;
  d.model.close(d.device.file);
  expect([pci.user, pci.irqs.index, pci.irqs.vectors.size]).toEqual([undefined, undefined, 0]);
  const again = d.model.open(3, 'vfio-device', '/dev/vfio/devices/vfio0');
  expect(again.pci).toBe(pci);
  expect(d.call('VFIO_DEVICE_BIND_IOMMUFD', [16, 0, 3, 0], undefined, again)).toBe('');
  expect(readConfig(pci.config, 0x3c, 1)[0]).toBe(0x0a);
  expect(pci.resets).toBeGreaterThan(before);
});

test('its IOMMU keeps the window of interrupts free while it is attached', () => {
  const d = new Driver().bind();
  expect(d.call('IOMMU_IOAS_ALLOC', [12, 0, 0], undefined, d.iommu)).toBe('');
  const ioas = d.iommu.context!.objects.get(2) as Ioas;
  expect(d.call('VFIO_DEVICE_ATTACH_IOMMUFD_PT', [12, 0, 2])).toBe('');
  expect(ioas.reserved.map((r) => [r.start, r.last])).toContainEqual([0xfee0_0000n, 0xfeef_ffffn]);
  expect(d.call('VFIO_DEVICE_DETACH_IOMMUFD_PT', [8, 0])).toBe('');
  expect(ioas.reserved).toEqual([]);
  // MAP, fixed, readable, 4 KiB in the window
  const map = [40, 0b101, 2, 0, 0x1000, 0, 0x1000, 0, 0xfee0_0000, 0];
  expect(d.call('IOMMU_IOAS_MAP', map, undefined, d.iommu)).toBe('');
  expect(d.call('VFIO_DEVICE_ATTACH_IOMMUFD_PT', [12, 0, 2])).toBe('EADDRINUSE');
  expect(d.refusal).toMatchObject({ rule: 'attach.window', because: [{ id: 2 }, { id: 1 }] });
});

describe('reads, writes and mappings', () => {
  const errno = (r: DeviceReply | undefined): string => r?.refusal?.rule ?? r?.errno ?? 'not known';
  const at = (region: number, offset = 0): bigint => offsetOf(region) + BigInt(offset);

  test('nothing before it is bound', () => {
    const { device } = new Driver();
    expect(errno(transfer(device, { count: 4, offset: at(Region.CONFIG) }))).toBe('vfio.not-bound');
    expect(errno(mapDevice(device, { length: 4096n, flags: 1, offset: 0n }))).toBe('vfio.not-bound');
  });
  test.each([
    [9, 0, 'vfio-rw.region'],
    [Region.CONFIG, 4093, 'vfio-rw.config'],
    [1, 0, 'vfio-rw.range'],
    [Region.ROM, 0, 'vfio-rw.range'],
    [0, 0x4000, 'vfio-rw.range'],
  ])('region %i at %i: %s', (region, offset, rule) => {
    expect(errno(transfer(new Driver().bind().device, { count: 4, offset: at(region, offset) }))).toBe(rule);
  });
  test('of a BAR: what is there, and where the MSI-X table hides', () => {
    const { device } = new Driver().bind();
    expect(transfer(device, { count: 100, offset: at(0, 0x3ff0) })).toMatchObject({
      ret: 16n,
      memory: { bar: 0, at: 0x3ff0, count: 16, hidden: [0x2000, 0x2410] },
    });
    expect(mapDevice(device, { length: 0x1001n, flags: 1, offset: at(0, 0x1000) })?.memory).toMatchObject({ at: 0x1000, count: 0x2000 });
    expect(errno(mapDevice(device, { length: 0x2000n, flags: 1, offset: at(0, 0x3000) }))).toBe('vfio-mmap.range');
  });
  test('a device that only a log tells of: its driver knows', () => {
    const model = new Model('linux-7.2');
    const device = model.open(2, 'vfio-device', '/dev/vfio/devices/vfio0');
    expect(device.pci).toBeUndefined();
    expect(errno(transfer(device, { count: 4, offset: 0n }))).toBe('vfio.not-bound');
  });
});

describe('whatever is asked, and whatever is said to have been answered', () => {
  const names = new Model('linux-7.2').table.commands.filter((c) => c.target === 'vfio-device').map((c) => c.name);
  const words = fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 0xffff_ffff, 20, 24, 32, 36, 0x40), fc.nat(0xffff_ffff)), {
    minLength: 1,
    maxLength: 12,
  });
  const call = fc.record({ name: fc.constantFrom(...names), words, errno: fc.constantFrom(undefined, '', 'EINVAL', 'EBADF', 'ENOSPC') });

  test.each([true, false])('nothing is thrown (devices of the model: %s)', (own) => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 25 }), (calls) => {
        const d = new Driver(own ? 'vfio0' : 'vfio9').bind();
        for (const { name, words: given, errno } of calls) {
          const struct = new Uint8Array(4 * given.length);
          given.forEach((word, i) => {
            new DataView(struct.buffer).setUint32(4 * i, word, true);
          });
          const request: Request = {
            target: 'vfio-device',
            file: d.device,
            request: d.model.table.byName(name)!.request,
            arg: 0n,
            struct: { bytes: struct, wanted: BigInt(given[0]!), fault: false },
            seq: 1,
            process: 7,
            nested: () => undefined,
            fileOf: () => 'unknown',
          };
          const observed = errno === undefined ? undefined : { errno, ret: errno === '' ? 0n : -1n, out: struct };
          d.model.decide(request, observed)?.commit();
        }
        d.model.close(d.device.file);
        expect([...d.model.kernel.contexts.values()].flatMap((c) => [...c.objects.values()]).filter((o) => o.type === 'DEVICE')).toEqual(
          [],
        );
      }),
      { numRuns: 300, examples: [[[{ name: 'VFIO_DEVICE_SET_IRQS', words: [0, 36], errno: 'ENOSPC' }]]] },
    );
  });

  test('reads, writes and mappings anywhere', () => {
    const at = fc.oneof(
      fc.bigInt(0n, 2n ** 63n - 1n),
      fc.tuple(fc.nat(10), fc.nat(0x5000)).map(([r, n]) => offsetOf(r) + BigInt(n)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(at, fc.nat(5000), fc.option(fc.uint8Array({ maxLength: 64 }))), { maxLength: 25 }), (all) => {
        const { device } = new Driver().bind();
        for (const [offset, count, data] of all) {
          const reply = transfer(device, { count: data?.length ?? count, offset, data: data ?? undefined });
          reply?.commit();
          if (reply?.bytes) expect(reply.bytes).toHaveLength(Number(reply.ret));
          if (reply?.memory) expect(reply.memory.at + reply.memory.count).toBeLessThanOrEqual(0x4000);
          mapDevice(device, { length: BigInt(count + 1), flags: 1, offset });
        }
        expect([...readConfig(device.pci!.config, 0, 2)]).toEqual([0x36, 0x1b]);
      }),
      { numRuns: 200 },
    );
  });
});
