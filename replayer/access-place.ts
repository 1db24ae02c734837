/** What an access of registers is to, by the state around it: for text and JSON of MMIO and QUEUE events. */
import type { AccessPlace } from '../hw/event-access.ts';
import { wordsOf } from '../hw/event-calls.ts';
import type { EventLike } from '../hw/event-text.ts';
import { FileKind, Kind, MMIO_SOURCE_SHIFT, MmioSource, PartKind } from '../store/frame.ts';
import { placeOf, vintfOf } from './cmdqv.ts';
import { windowAt } from './cmdqv-fold.ts';
import { contextOfFile, objectById, type SessionState } from './state.ts';
import { lastOf, minus, plus, type U64, u64 } from './u64.ts';

/** undefined: the state does not say. */
export function accessPlace(state: SessionState | undefined, event: EventLike): AccessPlace | undefined {
  if (state === undefined || (event.kind !== Kind.MMIO && event.kind !== Kind.QUEUE)) return undefined;
  const args = event.parts.find((p) => p.kind === PartKind.ARGS && p.slot === 0);
  const words = args === undefined ? [] : wordsOf(args.bytes);
  if (event.kind === Kind.QUEUE) return queuePlace(state, event, words);
  const address = u64(words[0] ?? 0n);
  switch (event.request >>> MMIO_SOURCE_SHIFT) {
    case MmioSource.TRAPPED:
      return event.fileKind === FileKind.VFIO_DEVICE ? regionPlace(state, event, words[1]) : page0Place(state, event, address);
    case MmioSource.KVM:
      return guestPlace(state, event, address);
    case MmioSource.MMIOTRACE:
      return hostPlace(state, address, state.cmdqv.aperture?.physical);
    case MmioSource.RWMMIO:
      return hostPlace(state, address, state.cmdqv.aperture?.virtual);
    default:
      return undefined;
  }
}

const inVintf = (state: SessionState, vintf: number, offset: bigint): AccessPlace => ({
  kind: 'cmdqv',
  view: { kind: 'vintf', vintf, page: 0 },
  offset,
  geometry: { log2Queues: state.cmdqv.size.log2Queues },
});

/** Through a mapping of a vIOMMU's region. */
function page0Place(state: SessionState, event: EventLike, address: U64): AccessPlace | undefined {
  const memory = state.processes.get(event.pid)?.memory ?? event.pid;
  for (const m of state.mappings.get(memory)?.values() ?? []) {
    if (m.viommu === 0 || address < m.address || address >= plus(m.address, m.length)) continue;
    const viommu = state.contexts.get(m.context)?.objects.get(m.viommu);
    const vintf = vintfOf(state.cmdqv, m.viommu);
    if (viommu?.type !== 'VIOMMU' || viommu.region === undefined || vintf === undefined) return undefined;
    const offset = BigInt(plus(m.offset, minus(address, m.address))) - BigInt(viommu.region.offset);
    return inVintf(state, vintf.index, offset);
  }
  return undefined;
}

/** A guest has one VINTF, and every queue that it sees is one of that. */
const GUEST = { log2Queues: 7 } as const;

function guestPlace(state: SessionState, event: EventLike, address: U64): AccessPlace | undefined {
  const found = windowAt(state.cmdqv, state.files.get(event.file)?.holds[0], address);
  if (found === undefined) return undefined;
  return { kind: 'cmdqv', view: { kind: 'aperture' }, offset: found.offset, geometry: GUEST, of: 'guest' };
}

/** The host's driver, as an import shows it. */
function hostPlace(state: SessionState, address: U64, start: U64 | undefined): AccessPlace | undefined {
  const { aperture, size } = state.cmdqv;
  if (aperture === undefined || start === undefined || start === 0) return undefined;
  if (address < start || address >= plus(start, aperture.length)) return undefined;
  return { kind: 'cmdqv', view: { kind: 'aperture' }, offset: BigInt(minus(address, start)), geometry: { log2Queues: size.log2Queues } };
}

/** The VINTF of the queue that was read. */
function queuePlace(state: SessionState, event: EventLike, words: readonly bigint[]): AccessPlace | undefined {
  const context = contextOfFile(state, event.file);
  const queue = context === undefined ? undefined : objectById(context, Number(words[0] ?? 0n));
  const at = queue === undefined ? undefined : placeOf(state.cmdqv, queue.uid);
  return at === undefined ? undefined : inVintf(state, at.vintf.index, 0n);
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
