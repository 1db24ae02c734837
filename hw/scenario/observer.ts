/**
 * A CMDQV as a log tells of it: the same machine, moved by what was recorded alone. Loads and stores that were seen, page 0
 * that was sampled, vEVENTs that were read, and the driver's part of calls; the hardware's own work shows in what was read.
 */
import { apply, type Effect } from '../cmdqv/change.ts';
import { type Input, step } from '../cmdqv/model.ts';
import { type CmdqvState, makeState, type Size } from '../cmdqv/state.ts';
import type { SimEvent } from './session.ts';

/** struct iommufd_vevent_header, and iommu_vevent_tegra241_cmdqv behind it */
const HEADER = 8;
const PAYLOAD = 16;
const LOST = 1;

/** Maps of the vEVENTs in what a read of a vEVENTQ brought; records that are cut are left out. */
export function mapsIn(bytes: Uint8Array): (readonly [bigint, bigint])[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const maps: (readonly [bigint, bigint])[] = [];
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const lost = (view.getUint32(at, true) & LOST) !== 0;
    const end = at + HEADER + (lost ? 0 : PAYLOAD);
    if (end > bytes.length) break;
    if (!lost) maps.push([view.getBigUint64(at + HEADER, true), view.getBigUint64(at + HEADER + 8, true)]);
    at = end;
  }
  return maps;
}

/** What is known of a queue by the one who reads the log. */
export interface Names {
  /** VINTF of a mapping, by the offset that was mapped in its file; undefined: not of a vIOMMU */
  vintfOf(file: number, offset: bigint): { readonly vintf: number; readonly base: bigint } | undefined;
  /** VINTF and number of a HW queue */
  queueOf(object: number): { readonly vintf: number; readonly lvcmdq: number } | undefined;
  /** key of the vIOMMU whose vEVENTQ the file is */
  viommuOf(file: number): string | undefined;
}

export class Observer {
  readonly state: CmdqvState;

  constructor(size: Size) {
    this.state = makeState(size);
    this.do({ kind: 'reset' });
  }

  do(input: Input): readonly Effect[] {
    const effects = step(this.state, input);
    apply(this.state, effects);
    return effects;
  }

  /** An event that is no call of the driver's: what calls do comes by `do` (mirror.ts). */
  see(e: SimEvent, names: Names): void {
    if (e.kind === 'mmio' && e.source === 'mapping') {
      const at = names.vintfOf(e.file, e.offset);
      if (at === undefined) return;
      const access = {
        view: { kind: 'vintf', vintf: at.vintf, page: 0 },
        offset: e.offset - at.base,
        width: e.width,
        value: e.value,
      } as const;
      this.do(e.store ? { kind: 'store', ...access } : { kind: 'load', ...access });
    }
    if (e.kind === 'queue') {
      const of = names.queueOf(e.object);
      if (of !== undefined) this.do({ kind: 'sample', ...of, page0: e.page0 });
    }
    if (e.kind === 'read' && e.errno === '') {
      const viommu = names.viommuOf(e.file);
      if (viommu !== undefined) for (const map of mapsIn(e.bytes)) this.do({ kind: 'vevent-read', viommu, map });
    }
  }
}
