/**
 * Where mmap of an iommufd file finds what vIOMMUs show: the offsets that they get. drivers/iommu/iommufd/driver.c,
 * _iommufd_alloc_mmap(); the posted series differ.
 */
import type { Call } from './call.ts';
import type { Context, Region, Viommu } from './state.ts';
import type { QueueRules } from './traits.ts';

const PAGE = 4096n;

interface Rule {
  /** no offset is below this one, bytes */
  readonly from: bigint;
  /** bytes that a region takes whatever its length is; 0: its length */
  readonly stride: bigint;
}

const upstream: Rule = { from: PAGE, stride: 0n };
const ofSeries: Partial<Record<QueueRules, Rule>> = {
  v1: { from: 0n, stride: 8n * PAGE },
  v2: { from: 0n, stride: 8n * PAGE },
  v3: { from: 0n, stride: 8n * PAGE },
  v4: { from: 0n, stride: 0n },
  v5: { from: 0n, stride: 0n },
  v6: { from: 0n, stride: 0n },
  v7: { from: 0n, stride: 0n },
};

/** Takes the lowest offset that is free, once the call succeeds. `length`: bytes, whole pages. */
export function allocateRegion(c: Call, owner: Viommu, length: bigint): Region {
  const { from, stride } = ofSeries[c.traits.queueRules] ?? upstream;
  const { regions } = c.context;
  const taken = (r: Region): bigint => (stride > r.length ? stride : r.length);
  const wanted = stride > length ? stride : length;
  let offset = from;
  for (const r of regions) {
    if (r.offset - offset >= wanted) break;
    offset = r.offset + taken(r);
  }
  // the series took 0 for "none" when they gave an offset back
  const region: Region = { offset, length, owner, lasting: offset === 0n };
  owner.region = region;
  c.then(() => {
    const at = regions.findIndex((r) => r.offset > offset);
    regions.splice(at < 0 ? regions.length : at, 0, region);
  });
  return region;
}

/** The owner of a region ends. */
export function dropRegion(context: Context, region: Region): void {
  if (region.lasting) return;
  const at = context.regions.indexOf(region);
  if (at >= 0) context.regions.splice(at, 1);
}
