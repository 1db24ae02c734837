/** mmap(2) of an iommufd: a region that a vIOMMU shows. drivers/iommu/iommufd/main.c, iommufd_fops_mmap(). */
import { PAGE } from './areas.ts';
import { type Reply, refuse } from './queues.ts';
import { ENDED, UNSEEN } from './reasons.ts';
import { regionAt } from './regions.ts';
import type { Context, Region } from './state.ts';
import { regionTraits, type Traits } from './traits.ts';
import { hex, nameOf } from './words.ts';

const MAP_SHARED = 1;
const MAP_SHARED_VALIDATE = 3;
const MAP_TYPE = 0xf;
const PROT_EXEC = 4;

export interface MmapRequest {
  /** bytes */
  readonly length: bigint;
  readonly prot: number;
  readonly flags: number;
  /** bytes */
  readonly offset: bigint;
}

/** What the kernel says to it. EINVAL, EPERM, ENXIO; ENODEV where nothing of an iommufd can be mapped. */
export function mmap(context: Context, traits: Traits, m: MmapRequest): Reply {
  const rules = traits.queueRules;
  if (rules === 'none') return refuse('ENODEV', 'mmap.none', { text: 'this kernel maps nothing of an iommufd' });
  const type = m.flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== MAP_SHARED_VALIDATE)
    return refuse('EINVAL', 'mmap.private', { field: 'flags', text: 'not MAP_SHARED', wanted: 'MAP_SHARED' });
  if ((m.prot & PROT_EXEC) !== 0)
    return refuse('EPERM', 'mmap.exec', { field: 'prot', text: 'PROT_EXEC', wanted: 'PROT_READ and PROT_WRITE alone' });
  const { anyOffset, shorter, wrong } = regionTraits(rules);
  const region = regionAt(context.regions, rules, m.offset);
  if (region === undefined) {
    const known = context.regions.filter((r) => !r.ended).map(placeOf);
    if (untold(context)) return { ...PASSED, unsure: UNSEEN };
    const text = `no region is at ${hex(m.offset)}${known.length === 0 ? '' : `; there are ${known.join(', ')}`}`;
    return refuse(wrong, 'mmap.no-region', { field: 'offset', text, wanted: 'the offset that the kernel handed out' });
  }
  const because = region.ended ? [] : [region.owner];
  const wanted = `offset ${hex(region.offset)} and length ${hex(region.length)}`;
  if (!anyOffset && m.offset !== region.offset) {
    const text = `${hex(m.offset)} is inside the region of ${nameOf(region.owner)}, not at its start`;
    return refuse(wrong, 'mmap.offset', { field: 'offset', text, wanted, because });
  }
  const length = ((m.length + PAGE - 1n) / PAGE) * PAGE;
  if (shorter ? length > region.length : length !== region.length) {
    const text = `length ${hex(m.length)}, and the region of ${nameOf(region.owner)} has ${hex(region.length)}`;
    return refuse(wrong, 'mmap.length', { field: 'length', text, wanted: shorter ? `${hex(region.length)} at most` : wanted, because });
  }
  return { ...mapped(region, m, length), ...(region.ended && regionTraits(rules).holds ? { unsure: ENDED } : {}) };
}

/** Is there a vIOMMU of a driver that nothing is known of, which may show what the log does not tell? */
const untold = (context: Context): boolean =>
  [...context.objects.values()].some((o) => o.type === 'VIOMMU' && o.region === undefined && o.device.driver.name === 'unknown');

const PASSED: Reply = { errno: '', refusal: undefined, ret: undefined, bytes: undefined, commit: () => {} };

const placeOf = (r: Region): string => `${hex(r.offset)}+${hex(r.length)} of ${nameOf(r.owner)}`;

function mapped(region: Region, m: MmapRequest, length: bigint): Reply {
  const part = length === region.length ? 'the whole' : `the first ${hex(length)} of ${hex(region.length)} bytes`;
  const alias = m.offset === region.offset ? '' : `; offset ${hex(m.offset)} stands for its start, ${hex(region.offset)}, as well`;
  const gone = region.ended ? ', which has ended: the region stayed' : '';
  const allowed = `${part} of the region of ${nameOf(region.owner)}${gone}${alias}`;
  const because = region.ended ? [] : [region.owner];
  return { ...PASSED, allowed, because };
}
