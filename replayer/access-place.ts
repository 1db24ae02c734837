/** What an access of registers is to, by the state around it: for text and JSON of MMIO and QUEUE events. */
import type { AccessPlace } from '../hw/event-access.ts';
import { wordsOf } from '../hw/event-calls.ts';
import type { EventLike } from '../hw/event-text.ts';
import { FileKind, Kind, MMIO_SOURCE_SHIFT, MmioSource, PartKind } from '../store/frame.ts';
import type { SessionState } from './state.ts';
import { lastOf, u64 } from './u64.ts';

/** undefined: the state does not say. */
export function accessPlace(state: SessionState | undefined, event: EventLike): AccessPlace | undefined {
  if (state === undefined || event.kind !== Kind.MMIO) return undefined;
  const args = event.parts.find((p) => p.kind === PartKind.ARGS && p.slot === 0);
  const words = args === undefined ? [] : wordsOf(args.bytes);
  if (event.request >>> MMIO_SOURCE_SHIFT !== MmioSource.TRAPPED) return undefined;
  return event.fileKind === FileKind.VFIO_DEVICE ? regionPlace(state, event, words[1]) : undefined;
}

/** Regions of vfio-pci (include/uapi/linux/vfio.h, VFIO_PCI_*_REGION_INDEX); those of other drivers have numbers alone. */
const PCI_REGIONS = ['BAR0', 'BAR1', 'BAR2', 'BAR3', 'BAR4', 'BAR5', 'ROM', 'CONFIG', 'VGA'] as const;

function regionPlace(state: SessionState, event: EventLike, offset: bigint | undefined): AccessPlace | undefined {
  const file = state.files.get(event.file);
  if (offset === undefined || file === undefined) return undefined;
  const at = u64(offset);
  const region = file.regions.find((r) => r.size !== 0 && at >= r.offset && at <= lastOf(r.offset, r.size));
  if (region === undefined) return undefined;
  const name = PCI_REGIONS[region.index] ?? `region ${region.index}`;
  return { kind: 'named', name: `vfio-device#${event.file} ${name}`, offset: offset - BigInt(region.offset) };
}
