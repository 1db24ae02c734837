/** What an access of registers is to, by the state around it: for text and JSON of MMIO and QUEUE events. */
import type { Geometry } from '../hw/cmdqv/places.ts';
import { BLOCKS } from '../hw/cmdqv/registers.ts';
import { type AccessPlace, type RegisterAccess, registerAccess } from '../hw/event-access.ts';
import { wordsOf } from '../hw/event-calls.ts';
import type { EventLike } from '../hw/event-text.ts';
import { FileKind, Kind, MMIO_SOURCE_SHIFT, MmioSource, PartKind } from '../store/frame.ts';
import { placeOf, type QueuePlace, vintfOf } from './cmdqv.ts';
import { GUEST, mappingAt, regionOf, vmOf, windowAt } from './cmdqv-fold.ts';
import type { Uid } from './object-types.ts';
import { contextOfFile, type Mapping, type SessionState } from './state.ts';
import { lastOf, type U64, u64 } from './u64.ts';

/** undefined: the state does not say. */
export function accessPlace(state: SessionState | undefined, event: EventLike): AccessPlace | undefined {
  if (state === undefined) return undefined;
  if (event.kind === Kind.QUEUE) return queuePlace(state, event);
  if (event.kind !== Kind.MMIO) return undefined;
  const words = argsOf(event);
  switch (event.request >>> MMIO_SOURCE_SHIFT) {
    case MmioSource.TRAPPED:
      return event.fileKind === FileKind.VFIO_DEVICE ? regionPlace(state, event, words[1]) : page0Place(state, event, words[0]);
    case MmioSource.KVM:
      return windowPlace(state, event, words[0]);
    case MmioSource.MMIOTRACE:
      return aperturePlace(state, state.cmdqv.aperture?.physical, words[0]);
    case MmioSource.RWMMIO:
      return aperturePlace(state, state.cmdqv.aperture?.virtual, words[0]);
    default:
      return undefined;
  }
}

/** Words of an event's ARGS. */
export function argsOf(event: EventLike): readonly bigint[] {
  const args = event.parts.find((p) => p.kind === PartKind.ARGS && p.slot === 0);
  return args === undefined ? [] : wordsOf(args.bytes);
}

/** The registers of a CMDQV that an access touches, as hw/event-access has it; undefined for any other. */
export const accessIn = (state: SessionState | undefined, event: EventLike): RegisterAccess | undefined =>
  event.kind === Kind.MMIO ? registerAccess(event, argsOf(event), accessPlace(state, event)) : undefined;

/** The HW queue that a QUEUE event is of. */
export function queueIn(state: SessionState, event: EventLike): { readonly uid: Uid; readonly at: QueuePlace } | undefined {
  const id = argsOf(event)[0];
  const uid = id === undefined ? undefined : contextOfFile(state, event.file)?.ids.get(Number(id));
  const at = uid === undefined ? undefined : placeOf(state.cmdqv, uid);
  return uid === undefined || at === undefined ? undefined : { uid, at };
}

const geometryOf = (state: SessionState): Geometry => ({ log2Queues: state.cmdqv.size.log2Queues });

function queuePlace(state: SessionState, event: EventLike): AccessPlace | undefined {
  const found = queueIn(state, event);
  if (found === undefined) return undefined;
  const { vintf, queue } = found.at;
  const view = { kind: 'vintf', vintf: vintf.index, page: 0 } as const;
  return { kind: 'cmdqv', view, offset: BigInt(BLOCKS.PAGE0.bytes * queue.lvcmdq), geometry: geometryOf(state) };
}

/** The mapping of page 0 of a VINTF that a process's access is through. */
export function mappingIn(state: SessionState, event: EventLike, address: bigint | undefined): Mapping | undefined {
  if (address === undefined) return undefined;
  return mappingAt(state, state.processes.get(event.pid)?.memory ?? event.pid, u64(address));
}

function page0Place(state: SessionState, event: EventLike, address: bigint | undefined): AccessPlace | undefined {
  const m = mappingIn(state, event, address);
  const region = m === undefined ? undefined : regionOf(state, m);
  const vintf = m === undefined ? undefined : vintfOf(state.cmdqv, m.viommu);
  if (m === undefined || region === undefined || vintf === undefined) return undefined;
  const offset = address! - BigInt(m.address) + BigInt(m.offset) - BigInt(region);
  return { kind: 'cmdqv', view: { kind: 'vintf', vintf: vintf.index, page: 0 }, offset, geometry: geometryOf(state) };
}

function windowPlace(state: SessionState, event: EventLike, address: bigint | undefined): AccessPlace | undefined {
  const found = address === undefined ? undefined : windowAt(state.cmdqv, vmOf(state, event.file), u64(address));
  return found === undefined
    ? undefined
    : { kind: 'cmdqv', view: { kind: 'aperture' }, offset: found.offset, geometry: GUEST, of: 'guest' };
}

function aperturePlace(state: SessionState, start: U64 | undefined, address: bigint | undefined): AccessPlace | undefined {
  const { aperture } = state.cmdqv;
  if (aperture === undefined || address === undefined || start === undefined || start === 0) return undefined;
  const offset = address - BigInt(start);
  if (offset < 0n || offset >= BigInt(aperture.length)) return undefined;
  return { kind: 'cmdqv', view: { kind: 'aperture' }, offset, geometry: geometryOf(state) };
}

/** Regions of vfio-pci (include/uapi/linux/vfio.h, VFIO_PCI_*_REGION_INDEX); those of other drivers have numbers alone. */
export const PCI_REGIONS = ['BAR0', 'BAR1', 'BAR2', 'BAR3', 'BAR4', 'BAR5', 'ROM', 'CONFIG', 'VGA'] as const;

function regionPlace(state: SessionState, event: EventLike, offset: bigint | undefined): AccessPlace | undefined {
  const file = state.files.get(event.file);
  if (offset === undefined || file === undefined) return undefined;
  const at = u64(offset);
  const region = file.regions.find((r) => r.size !== 0 && at >= r.offset && at <= lastOf(r.offset, r.size));
  if (region === undefined) return undefined;
  const name = PCI_REGIONS[region.index] ?? `region ${region.index}`;
  return { kind: 'named', name: `vfio-device#${event.file} ${name}`, offset: offset - BigInt(region.offset) };
}
