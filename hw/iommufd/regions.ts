/**
 * Where mmap of an iommufd file finds what vIOMMUs show: the offsets that they get. drivers/iommu/iommufd/driver.c,
 * _iommufd_alloc_mmap(); the posted series differ. A region knows its place in every way of numbering, so that the rules of
 * another kernel can be asked about a recorded one.
 */
import type { Call } from './call.ts';
import type { Region, RegionScheme, Viommu } from './state.ts';
import { type QueueRules, regionTraits } from './traits.ts';

const SHIFT = 12n;
const SCHEMES: readonly RegionScheme[] = ['v1', 'v4', 'v7', 'upstream'];

/** How these rules number regions. */
export function schemeOf(rules: QueueRules): RegionScheme {
  if (rules === 'v1' || rules === 'v2' || rules === 'v3') return 'v1';
  if (rules === 'v4' || rules === 'v5' || rules === 'v6') return 'v4';
  return rules === 'v7' ? 'v7' : 'upstream';
}

/** Is it to be found by these rules? */
export const isRegistered = (region: Region, rules: QueueRules): boolean => region.at[schemeOf(rules)] !== undefined;

/** Bytes of offsets that a region takes. */
export const spanOfRegion = (rules: QueueRules, length: bigint): bigint => regionTraits(rules).stride || length;

/** The lowest free offset. `length`: bytes, whole pages. */
function freePlace(regions: readonly Region[], scheme: RegionScheme, length: bigint): bigint {
  const wanted = spanOfRegion(scheme, length);
  const taken = regions
    .filter((r) => r.at[scheme] !== undefined)
    .map((r) => ({ at: r.at[scheme]!, span: spanOfRegion(scheme, r.length) }))
    .sort((a, b) => (a.at < b.at ? -1 : 1));
  let offset = regionTraits(scheme).from;
  for (const { at, span } of taken) {
    if (at - offset >= wanted) break;
    offset = at + span;
  }
  return offset;
}

/**
 * Takes the lowest offset that is free, once the call succeeds. `field`, `byte`: where in which buffer the kernel writes the
 * offset, to take it from a known answer.
 */
export function allocateRegion(c: Call, owner: Viommu, length: bigint, field: string, byte: number): Region {
  const { regions } = c.context;
  const own = schemeOf(c.traits.queueRules);
  const at = Object.fromEntries(SCHEMES.map((s) => [s, freePlace(regions, s, length)])) as Record<RegionScheme, bigint>;
  at[own] = c.observedNested(field, byte) ?? at[own];
  const region: Region = { offset: at[own], length, owner, ended: false, at };
  owner.region = region;
  c.then(() => {
    const before = regions.findIndex((r) => r.offset > region.offset);
    regions.splice(before < 0 ? regions.length : before, 0, region);
  });
  return region;
}

/** The owner of a region ends. */
export function dropRegion(region: Region): void {
  const { regions } = region.owner.context;
  region.ended = true;
  for (const scheme of SCHEMES) {
    const { drops } = regionTraits(scheme);
    const at = region.at[scheme];
    if (at === undefined || (drops !== 'own' && at === 0n)) continue;
    // one posting took a number of bytes for one of pages
    const found = drops === 'shifted' ? regions.find((r) => contains(r, scheme, at >> SHIFT)) : region;
    if (found !== undefined) found.at[scheme] = undefined;
  }
  // when its context ends, all of them go
  for (let i = regions.length - 1; i >= 0; i--) if (SCHEMES.every((s) => regions[i]!.at[s] === undefined)) regions.splice(i, 1);
}

function contains(r: Region, scheme: RegionScheme, offset: bigint): boolean {
  const at = r.at[scheme];
  return at !== undefined && offset >= at && offset < at + spanOfRegion(scheme, r.length);
}

/** What an offset that the program got stands for by these rules: the region that begins last at or before it. */
export function regionAt(regions: readonly Region[], rules: QueueRules, offset: bigint): Region | undefined {
  const found = regions.findLast((r) => r.offset <= offset && isRegistered(r, rules));
  return found !== undefined && offset - found.offset < spanOfRegion(rules, found.length) ? found : undefined;
}
