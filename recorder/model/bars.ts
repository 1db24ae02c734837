/** What BARs of the model's own devices hold: a file each, which programs map, and which their reads and writes go to. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { BarBytes } from '../../hw/vfio/access.ts';
import type { PciDevice } from '../../hw/vfio/device.ts';
import { type Bar, barBytes } from '../../hw/vfio/functions.ts';

interface Held {
  readonly number: number;
  readonly fd: number;
  readonly bar: Bar;
  /** resets of the device that it has seen */
  resets: number;
}

export class Bars {
  readonly #folder: string;
  readonly #number: () => number;
  readonly #held = new Map<PciDevice, Map<number, Held>>();

  /** `number` gives numbers for files of regions, which the folder has each once. */
  constructor(folder: string, number: () => number) {
    this.#folder = folder;
    this.#number = number;
  }
  close(): void {
    for (const bars of this.#held.values()) for (const { fd } of bars.values()) closeSync(fd);
  }

  /** The number of a BAR's file. Throws for a BAR that the device does not have. */
  numberOf(pci: PciDevice, bar: number): number {
    return this.#of(pci, bar).number;
  }

  #of(pci: PciDevice, index: number): Held {
    const bars = this.#held.get(pci) ?? new Map<number, Held>();
    this.#held.set(pci, bars);
    const there = bars.get(index);
    if (there !== undefined) return there;
    const bar = pci.function.bars[index];
    if (bar === undefined) throw new Error(`${pci.function.name} has no BAR ${index}`);
    const number = this.#number();
    const held: Held = { number, bar, resets: pci.resets, fd: openSync(join(this.#folder, `region-${number}`), 'wx+', 0o600) };
    bars.set(index, held);
    fill(held);
    return held;
  }

  /** Devices may have been reset: their registers begin anew. */
  refresh(): void {
    for (const [pci, bars] of this.#held)
      for (const held of bars.values()) {
        if (held.resets === pci.resets) continue;
        held.resets = pci.resets;
        fill(held);
      }
  }

  read(pci: PciDevice, { bar, at, count, hidden: [from, to] }: BarBytes): Uint8Array {
    const bytes = Buffer.alloc(count);
    readSync(this.#of(pci, bar).fd, bytes, 0, count, at);
    if (from < at + count && to > at) bytes.fill(0xff, Math.max(from - at, 0), Math.min(to - at, count));
    return bytes;
  }

  write(pci: PciDevice, { bar, at, count, hidden: [from, to] }: BarBytes, data: Uint8Array): void {
    const { fd } = this.#of(pci, bar);
    const put = (start: number, end: number): void => {
      if (end > start) writeSync(fd, data, start - at, end - start, start);
    };
    put(at, Math.min(at + count, Math.max(from, at)));
    put(Math.max(at, to), at + count);
  }
}

function fill({ fd, bar }: Held): void {
  const bytes = barBytes(bar);
  writeSync(fd, bytes, 0, bytes.length, 0);
}
