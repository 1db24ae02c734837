/** What programs map: regions of vIOMMUs and BARs of devices, each a file of the folder, and who holds them mapped. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Registers } from '../../hw/iommufd/call.ts';
import { mmap } from '../../hw/iommufd/mmap.ts';
import type { Model } from '../../hw/iommufd/model.ts';
import { isRegistered, regionAt } from '../../hw/iommufd/regions.ts';
import type { Context, OpenFile, Region, Viommu } from '../../hw/iommufd/state.ts';
import { mapDevice } from '../../hw/vfio/access.ts';
import { Bars } from './bars.ts';
import { makeRegion } from './memory.ts';
import { FAILED, type ModelCall, PASSED, type Reply } from './protocol.ts';
import { type Hold, Mappings } from './regions.ts';

/** A region's file, and a place in it, as the shim is told. */
const mappedAt = (number: number, at: number): bigint => (BigInt(at / 4096) << 32n) | BigInt(number);

export class Shown {
  readonly mappings = new Mappings();
  readonly bars: Bars;
  readonly #model: Model;
  readonly #folder: string;
  /** number of its file, by region */
  readonly #regions = new Map<Region, number>();
  /** files of devices: how many mappings hold them, and which have no descriptor any more */
  readonly #deviceMaps = new Map<number, number>();
  readonly #lingering = new Set<number>();
  #nextRegion = 1;
  /** mappings of iommufds ever made */
  #maps = 0;

  constructor(model: Model, folder: string) {
    this.#model = model;
    this.#folder = folder;
    this.bars = new Bars(folder, () => this.#nextRegion++);
  }

  /** The last descriptor of a file is closed: the file ends, or lives on in its mappings. */
  closed(file: number): void {
    if ((this.#deviceMaps.get(file) ?? 0) > 0) this.#lingering.add(file);
    else this.#model.close(file);
    this.drop();
  }

  /** Files for regions that a call brought. What the mock driver shows begins with the word that it was given. */
  made(context: Context, answer: Answer): void {
    this.drop();
    for (const region of context.regions) {
      if (this.#regions.has(region) || !isRegistered(region, this.#model.traits.queueRules)) continue;
      const number = this.#nextRegion++;
      const data = [...answer.nestedOut.values()][0];
      const word =
        region.owner.device.driver.name === 'mock' && data !== undefined && data.length >= 4
          ? new DataView(data.buffer, data.byteOffset).getUint32(0, true)
          : 0;
      makeRegion(this.#path(number), Number(region.length), word);
      this.#regions.set(region, number);
    }
  }
  /** The file of what a vIOMMU shows. */
  fileOf(viommu: Viommu): string | undefined {
    const number = viommu.region === undefined ? undefined : this.#regions.get(viommu.region);
    return number === undefined ? undefined : this.#path(number);
  }
  #path(number: number): string {
    return join(this.#folder, `region-${number}`);
  }
  /** Regions whose offsets have been given back are to be found no more. */
  drop(): void {
    for (const [region, number] of this.#regions) {
      if (isRegistered(region, this.#model.traits.queueRules)) continue;
      rmSync(this.#path(number), { force: true });
      this.#regions.delete(region);
    }
  }

  /** mmap(2): → the number of a file of the folder, and a page in it. */
  mmap(call: ModelCall): Reply {
    const file = this.#model.kernel.files.get(call.file);
    if (file?.kind === 'vfio-device') return this.#deviceMmap(file, call);
    if (file?.context === undefined || (file.kind !== 'iommufd' && file.kind !== 'container')) return FAILED('ENODEV');
    const [, length = 0n, prot = 0n, flags = 0n, offset = 0n] = call.args;
    if (length === 0n || offset % 4096n !== 0n) return FAILED('EINVAL');
    const answer = mmap(file.context, this.#model.traits, { length, prot: Number(prot), flags: Number(flags), offset });
    if (answer.errno !== '') return FAILED(answer.errno);
    const region = regionAt(file.context.regions, this.#model.traits.queueRules, offset);
    const number = region === undefined ? undefined : this.#regions.get(region);
    return region === undefined || number === undefined ? FAILED('ENXIO') : PASSED(mappedAt(number, Number(offset - region.offset)));
  }

  #deviceMmap(file: OpenFile, call: ModelCall): Reply {
    const [, length = 0n, , flags = 0n, offset = 0n] = call.args;
    if (length === 0n || offset % 4096n !== 0n) return FAILED('EINVAL');
    const answer = mapDevice(file, { length, flags: Number(flags), offset });
    const memory = answer?.memory;
    if (memory === undefined || file.pci === undefined) return FAILED(answer?.errno || 'EINVAL');
    return PASSED(mappedAt(this.bars.numberOf(file.pci, memory.bar), memory.at));
  }

  /** Mappings of a device hold its file. */
  #holdDevice(file: number): Hold {
    const count = (by: number): number => {
      const n = (this.#deviceMaps.get(file) ?? 0) + by;
      this.#deviceMaps.set(file, n);
      return n;
    };
    return () => {
      count(1);
      return () => {
        if (count(-1) === 0 && this.#lingering.delete(file)) this.#model.close(file);
      };
    };
  }

  /** It has been mapped. */
  mapped(call: ModelCall): Reply {
    const [start = 0n, length = 0n, where = 0n] = call.args;
    const file = this.#model.kernel.files.get(call.file);
    const end = start + length;
    if (file?.kind === 'vfio-device') this.mappings.map(call.pid, { start, end, owner: file.object, hold: this.#holdDevice(call.file) });
    else if (file?.context !== undefined) {
      const owner = this.#ownerOf(where);
      this.mappings.map(call.pid, { start, end, owner, hold: this.#holdContext(file.context, owner) });
    }
    return PASSED();
  }

  #ownerOf(where: bigint): Viommu | undefined {
    const number = BigInt.asUintN(32, where);
    const region = [...this.#regions].find(([, n]) => BigInt(n) === number)?.[0];
    return region?.ended === false ? region.owner : undefined;
  }

  #holdContext(context: Context, owner: Viommu | undefined): Hold {
    return () => {
      const key = `${++this.#maps}`;
      this.#model.mapped(key, context, owner);
      return () => void this.#model.unmapped(key);
    };
  }

  /** Registers that a process has mapped in a range of its addresses. */
  registersAt(pid: number, address: bigint, length: bigint): Registers | undefined {
    const found = this.mappings.at(pid, address, length);
    return found === undefined ? undefined : { address: found.start, seq: 0, object: found.owner };
  }
}
