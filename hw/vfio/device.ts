/** The state of a PCI function behind vfio-pci, from VFIO_DEVICE_BIND_IOMMUFD to the end of its file. */
import type { Eventfd } from '../iommufd/call.ts';
import type { OpenFile } from '../iommufd/state.ts';
import { type ConfigSpace, makeConfig, resetConfig, showInterrupts } from './config.ts';
import type { PciFunction } from './functions.ts';

/** VFIO_PCI_*_REGION_INDEX */
export const Region = { BAR0: 0, BAR5: 5, ROM: 6, CONFIG: 7, VGA: 8, COUNT: 9 } as const;
/** VFIO_PCI_*_IRQ_INDEX */
export const Irq = { INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4, COUNT: 5 } as const;
export const IRQ_NAMES = ['INTx', 'MSI', 'MSI-X', 'ERR', 'REQ'] as const;

/** A region's place in the device file: its index stands in bits 40 and up. */
export const REGION_SHIFT = 40n;
export const offsetOf = (region: number): bigint => BigInt(region) << REGION_SHIFT;
export const regionAt = (offset: bigint): number => Number(BigInt.asUintN(64, offset) >> REGION_SHIFT);
export const withinRegion = (offset: bigint): number => Number(BigInt.asUintN(40, offset));

export interface Interrupts {
  /** which of INTX, MSI, MSIX is switched on */
  index: number | undefined;
  /** vectors of MSI that the host has */
  allocated: number;
  /** eventfds by vector; INTx (vector 0) may be on without one */
  readonly vectors: Map<number, Eventfd>;
  /** INTx: unmasks it when signalled */
  unmask: Eventfd | undefined;
  error: Eventfd | undefined;
  request: Eventfd | undefined;
}

export interface PciDevice {
  readonly function: PciFunction;
  config: ConfigSpace;
  readonly irqs: Interrupts;
  /** the file that it is bound through */
  user: OpenFile | undefined;
  /** grows with each reset: what the BARs held is gone then */
  resets: number;
}

export const noInterrupts = (): Interrupts => ({
  index: undefined,
  allocated: 0,
  vectors: new Map(),
  unmask: undefined,
  error: undefined,
  request: undefined,
});

export const makeDevice = (f: PciFunction): PciDevice => ({
  function: f,
  config: makeConfig(f),
  irqs: noInterrupts(),
  user: undefined,
  resets: 0,
});

/** Bound: vfio-pci resets the function first. */
export function enable(pci: PciDevice, file: OpenFile): void {
  pci.user = file;
  pci.config = makeConfig(pci.function);
  pci.resets++;
}

/** Its file has ended. */
export function disable(pci: PciDevice, file: OpenFile): void {
  if (pci.user !== file) return;
  switchOff(pci.irqs, pci.config);
  pci.irqs.error = undefined;
  pci.irqs.request = undefined;
  pci.user = undefined;
}

/** The interrupts of INTX, MSI or MSIX are off, and forget their eventfds. */
export function switchOff(irqs: Interrupts, config: ConfigSpace | undefined): void {
  const shown = irqs.index === Irq.MSI || irqs.index === Irq.MSIX;
  if (config !== undefined && shown) showInterrupts(config, irqs.index === Irq.MSI ? 'msi' : 'msix', false);
  irqs.index = undefined;
  irqs.allocated = 0;
  irqs.vectors.clear();
  irqs.unmask = undefined;
}

export function reset(pci: PciDevice): void {
  resetConfig(pci.config);
  pci.resets++;
}

/** Bytes of a region; 0 where the function does not have it. */
export function regionBytes(pci: PciDevice, region: number): number {
  if (region === Region.CONFIG) return pci.function.configBytes;
  return region <= Region.BAR5 ? (pci.function.bars[region]?.bytes ?? 0) : 0;
}

/** Interrupts of an index. */
export function irqCount(pci: PciDevice, index: number): number {
  const { capabilities, pin } = pci.function;
  switch (index) {
    case Irq.INTX:
      return pin === 0 ? 0 : 1;
    case Irq.MSI:
    case Irq.MSIX:
      for (const c of capabilities) if (c.kind === (index === Irq.MSI ? 'msi' : 'msix')) return c.vectors;
      return 0;
    case Irq.ERR:
      return capabilities.some((c) => c.kind === 'express') ? 1 : 0;
    case Irq.REQ:
      return 1;
    default:
      return 0;
  }
}
