/**
 * Where devices are: what the user says of the CMDQV, and the kernel's list of its mappings (/proc/vmallocinfo), which tells for
 * the virtual addresses of a log what is there.
 */
import { IrrError } from '../../store/errors.ts';
import { Kind, makeArgs, makePart, PartKind, RegionKind } from '../../store/frame.ts';
import { type LogEvent, type Region, textBytes } from './format.ts';
import { readLines } from './lines.ts';

/** CONFIG page, direct pages and the two pages of each of 64 VINTFs. */
export const CMDQV_BYTES = 0x3_0000n + 64n * 0x2_0000n;
const ADDRESS_END = 1n << 64n;
/** Mappings that a list may have. */
const MOST_REGIONS = 100_000;

export function regionEvent(region: Region, time: bigint, grain: bigint): LogEvent {
  const parts = [makeArgs(region.physical, region.length, region.virtual)];
  if (region.name !== '') parts.push(makePart(PartKind.TEXT, textBytes(region.name)));
  return { time, grain, exit: time, frame: { kind: Kind.REGION, request: region.kind, parts } };
}

/** `--cmdqv 0x8000000[+0x830000]`, `--cmdqv-virtual 0xffff800080d95000[+LENGTH]`. Throws an IrrError `usage`. */
function rangeOf(option: string, text: string): { address: bigint; length: bigint | undefined } {
  const match = /^(0x[0-9a-f]{1,16}|\d{1,20})(?:\+(0x[0-9a-f]{1,16}|\d{1,20}))?$/i.exec(text);
  const address = match === null ? 0n : BigInt(match[1]!);
  const length = match?.[2] === undefined ? undefined : BigInt(match[2]);
  if (match === null || address === 0n || length === 0n || address + (length ?? 1n) > ADDRESS_END)
    throw new IrrError('usage', `${option}: "${text}" is no range of addresses`, {
      hint: 'an address, or ADDRESS+LENGTH: 0x8000000+0x50000',
    });
  return { address, length };
}

/** The CMDQV, as far as the options say where it is. */
export function cmdqvRegions(physical: string | undefined, virtual: string | undefined): Region[] {
  if (physical === undefined && virtual === undefined) return [];
  const p = physical === undefined ? undefined : rangeOf('--cmdqv', physical);
  const v = virtual === undefined ? undefined : rangeOf('--cmdqv-virtual', virtual);
  const length = p?.length ?? v?.length ?? CMDQV_BYTES;
  return [{ physical: p?.address ?? 0n, length, virtual: v?.address ?? 0n, kind: RegionKind.CMDQV, name: 'CMDQV' }];
}

/**
 * What a mapping shows: the CMDQV, where it has its first byte (then no more than the CMDQV), else some device.
 */
export function mapped(physical: bigint, length: bigint, virtual: bigint, name: string, said: readonly Region[]): Region {
  const cmdqv = said.find(
    (r) => r.kind === RegionKind.CMDQV && r.physical !== 0n && r.physical >= physical && r.physical < physical + length,
  );
  if (cmdqv === undefined) return { physical, length, virtual, kind: RegionKind.OTHER, name };
  const skipped = cmdqv.physical - physical;
  const shown = length - skipped;
  const place = virtual === 0n ? 0n : virtual + skipped;
  return shown < cmdqv.length ? { ...cmdqv, length: shown, virtual: place } : { ...cmdqv, virtual: place };
}

const VMALLOC = /^0x([0-9a-f]{16})-0x([0-9a-f]{16})\s/;
const DEVICE = / phys=0x([0-9a-f]{1,16}) ioremap\b/;
/** Addresses of the kernel are in the upper half; what a kernel shows instead of them is not. */
const KERNEL_HALF = 1n << 63n;

/**
 * Mappings of devices, from a copy of /proc/vmallocinfo that root made. Its ranges have a page more than what is mapped. Throws an
 * IrrError where there is none in it, or where the kernel hid the addresses.
 */
export function vmallocRegions(path: string, said: readonly Region[]): Region[] {
  const areas: { start: bigint; end: bigint; physical: bigint }[] = [];
  let hidden = false;
  let bits = 0n;
  readLines(path, 4096, {
    line(text) {
      const range = VMALLOC.exec(text);
      hidden ||= text.startsWith('(____ptrval____)');
      if (range === null) return;
      const [start, end] = [BigInt(`0x${range[1]}`), BigInt(`0x${range[2]}`)];
      hidden ||= start < KERNEL_HALF;
      bits |= start | end;
      const physical = DEVICE.exec(text)?.[1];
      if (physical !== undefined && end > start && areas.length < MOST_REGIONS)
        areas.push({ start, end, physical: BigInt(`0x${physical}`) });
    },
    tooLong() {},
  });
  if (areas.length === 0 || hidden)
    throw new IrrError('usage', `${path}: ${hidden ? 'the kernel hid the addresses' : 'no mapping of a device is in it'}`, {
      hint: 'as root: sysctl kernel.kptr_restrict=1; cat /proc/vmallocinfo > FILE',
    });
  // what is mapped is whole pages, of a size that all ranges are multiples of
  const page = bits & -bits;
  return areas.map(({ start, end, physical }) => {
    const length = end - start > page ? end - start - page : end - start;
    return mapped(physical, length, start, '', said);
  });
}

/** Both. Of a CMDQV that the list has, what the user says of it is in the list's: the first that a trace tells is the one that counts. */
export function mappedRegions(path: string, said: readonly Region[]): Region[] {
  const list = vmallocRegions(path, said);
  const told = list.filter((r) => r.kind === RegionKind.CMDQV);
  return told.length > 0 ? [...told, ...list.filter((r) => r.kind !== RegionKind.CMDQV)] : [...said, ...list];
}
