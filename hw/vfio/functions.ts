/**
 * The PCI functions that the model has behind vfio-pci, as data: what their configuration space holds, their BARs and their
 * interrupts. Registers are memory: they keep what is written, and nothing works behind them (no DMA, no queue is served, no
 * interrupt comes but those that a program triggers itself).
 *
 * Each is alone in its IOMMU group, and on a bus of its own behind a root port, so that the bus can be reset. The IOMMU is a
 * plain one (`plainDriver` in hw/iommufd/plain.ts).
 */

export interface Bar {
  /** bytes, a power of two */
  readonly bytes: number;
  /** 64 bits wide: takes the next BAR too */
  readonly wide: boolean;
  readonly prefetchable: boolean;
  /** where the host has put it; what a program reads before it writes there */
  readonly address: number;
  /** registers that do not begin as 0: offset, bytes, value */
  readonly registers: readonly (readonly [at: number, bytes: 4 | 8, value: bigint])[];
}

export interface MsixPlace {
  readonly bar: number;
  /** in the BAR, bytes */
  readonly at: number;
}

/** PCI capabilities; `at`: offset in configuration space. */
export type Capability =
  | { readonly kind: 'power'; readonly at: number }
  | { readonly kind: 'msi'; readonly at: number; readonly vectors: 1 | 2 | 4 | 8 | 16 | 32 }
  | { readonly kind: 'express'; readonly at: number }
  | { readonly kind: 'msix'; readonly at: number; readonly vectors: number; readonly table: MsixPlace; readonly pending: MsixPlace };

export interface PciFunction {
  /** its file: /dev/vfio/devices/NAME */
  readonly name: string;
  readonly what: string;
  readonly vendor: number;
  readonly device: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
  /** base class, subclass, interface */
  readonly classCode: number;
  readonly revision: number;
  readonly bus: number;
  /** device in bits 7:3, function in bits 2:0 */
  readonly devfn: number;
  readonly configBytes: 256 | 4096;
  /** by index */
  readonly bars: Readonly<Record<number, Bar>>;
  /** 1 INTA … 4 INTD, 0 none */
  readonly pin: number;
  /** in the order of the list */
  readonly capabilities: readonly Capability[];
}

/** Names, numbers and registers of two devices that QEMU has (hw/nvme, hw/misc/edu); addresses are ours. */
export const FUNCTIONS: readonly PciFunction[] = [
  {
    name: 'vfio0',
    what: 'an NVMe controller without a drive: PCI Express, MSI-X',
    vendor: 0x1b36,
    device: 0x0010,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    classCode: 0x010802,
    revision: 2,
    bus: 1,
    devfn: 0,
    configBytes: 4096,
    bars: {
      0: {
        bytes: 0x4000,
        wide: true,
        prefetchable: false,
        address: 0xfe800000,
        // CAP and VS
        registers: [
          [0, 8, 0x0040_0820_0f01_07ffn],
          [8, 4, 0x0001_0400n],
        ],
      },
    },
    pin: 1,
    capabilities: [
      { kind: 'msix', at: 0x40, vectors: 65, table: { bar: 0, at: 0x2000 }, pending: { bar: 0, at: 0x3000 } },
      { kind: 'express', at: 0x80 },
      { kind: 'power', at: 0x60 },
    ],
  },
  {
    name: 'vfio1',
    what: 'the edu device: conventional PCI, MSI',
    vendor: 0x1234,
    device: 0x11e8,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    classCode: 0x00ff00,
    revision: 0x10,
    bus: 2,
    devfn: 0x08,
    configBytes: 256,
    bars: { 0: { bytes: 0x100000, wide: false, prefetchable: false, address: 0xfe600000, registers: [[0, 4, 0x0100_00edn]] } },
    pin: 1,
    capabilities: [{ kind: 'msi', at: 0x40, vectors: 1 }],
  },
];

const DEVICES = '/dev/vfio/devices/';

export const pathOf = (f: PciFunction): string => DEVICES + f.name;

export const isExpress = (f: PciFunction): boolean => f.capabilities.some((c) => c.kind === 'express');

export function msixOf(f: PciFunction): Extract<Capability, { readonly kind: 'msix' }> | undefined {
  for (const c of f.capabilities) if (c.kind === 'msix') return c;
  return undefined;
}

/** What a BAR holds after a reset. */
export function barBytes(bar: Bar): Uint8Array {
  const bytes = new Uint8Array(bar.bytes);
  const view = new DataView(bytes.buffer);
  for (const [at, width, value] of bar.registers)
    if (width === 8) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value), true);
  return bytes;
}
