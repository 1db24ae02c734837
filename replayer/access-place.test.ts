import { describe, expect, test } from 'vitest';
import type { EventLike } from '../hw/event-text.ts';
import { FileKind, Kind, MMIO_SOURCE_SHIFT, MmioSource, makeArgs, makeFrame } from '../store/frame.ts';
import { accessPlace } from './access-place.ts';
import { emptyState, type SessionState } from './state.ts';

const access = (source: number, address: bigint, more: Partial<EventLike> = {}): EventLike =>
  makeFrame({
    kind: Kind.MMIO,
    request: source << MMIO_SOURCE_SHIFT,
    pid: 7,
    tid: 7,
    parts: [makeArgs(address, 0x1_0000_0014n, 4, 0, 0)],
    ...more,
  } as Parameters<typeof makeFrame>[0]);

describe('the host, as an import shows it', () => {
  const state: SessionState = emptyState();
  state.cmdqv.aperture = { physical: 0x2420_0000, length: 0x83_0000, virtual: 0xffff_8000_1000_0000n };
  state.cmdqv.size = { log2Queues: 1 };
  const place = (offset: bigint) => ({ kind: 'cmdqv', view: { kind: 'aperture' }, offset, geometry: { log2Queues: 1 } });

  test.each([
    [MmioSource.MMIOTRACE, 0x2420_0008n, place(8n)],
    [MmioSource.MMIOTRACE, 0x241f_ffffn, undefined],
    [MmioSource.MMIOTRACE, 0x24a3_0000n, undefined],
    [MmioSource.RWMMIO, 0xffff_8000_1001_0004n, place(0x1_0004n)],
    [MmioSource.RWMMIO, 0x2420_0008n, undefined],
    [99, 0x2420_0008n, undefined],
  ])('source %d at 0x%s', (source, address, expected) => expect(accessPlace(state, access(source, address))).toEqual(expected));

  test('without a region nothing is known, nor without a state', () => {
    expect(accessPlace(emptyState(), access(MmioSource.MMIOTRACE, 0x2420_0008n))).toBeUndefined();
    expect(accessPlace(undefined, access(MmioSource.MMIOTRACE, 0x2420_0008n))).toBeUndefined();
  });
});

test('a BAR by its name, a region of another kind by its number', () => {
  const state = emptyState();
  const file = { file: 3, kind: FileKind.VFIO_DEVICE, birth: 1, origin: 'observed', path: '', context: 0, object: 0, holds: [] } as const;
  const regions = [
    { index: 0, flags: 0, size: 0x4000, offset: 0x1_0000_0000 },
    { index: 9, flags: 0, size: 0x1000, offset: 0x2_0000_0000 },
  ];
  state.files.set(3, { ...file, revoked: false, regions, irqs: [], triggers: [] });
  const of = { file: 3, fileKind: FileKind.VFIO_DEVICE };
  expect(accessPlace(state, access(MmioSource.TRAPPED, 0x7000n, of))).toEqual({ kind: 'named', name: 'vfio-device#3 BAR0', offset: 0x14n });
  const other = { ...of, parts: [makeArgs(0x7000, 0x2_0000_0008n, 4, 0, 0)] };
  expect(accessPlace(state, access(MmioSource.TRAPPED, 0x7000n, other))).toEqual({
    kind: 'named',
    name: 'vfio-device#3 region 9',
    offset: 8n,
  });
  const beyond = { ...of, parts: [makeArgs(0x7000, 0x2_0000_1000n, 4, 0, 0)] };
  expect(accessPlace(state, access(MmioSource.TRAPPED, 0x7000n, beyond))).toBeUndefined();
});

test('an event without words is of nothing', () => {
  expect(accessPlace(emptyState(), access(MmioSource.TRAPPED, 0n, { parts: [] }))).toBeUndefined();
  expect(accessPlace(emptyState(), access(MmioSource.KVM, 0n, { parts: [] }))).toBeUndefined();
});
