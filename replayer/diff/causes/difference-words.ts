/** What an event that differs is called, and what ends with it. */
import { callName } from '../../../hw/event-words.ts';
import type { UapiTable } from '../../../hw/uapi/table.ts';
import type { Change } from '../../change.ts';
import type { EventBytes } from '../../event.ts';
import type { Uid } from '../../object-types.ts';
import { AREA, type Origin, OTHER, originOf } from '../meaning/links.ts';

const TEST_OP = 'IOMMU_TEST_OP_';

/** The name of a call, as the newest kernel has it that the trace may be of; of IOMMU_TEST_CMD with its operation: "IOMMU_TEST_CMD MOCK_DOMAIN". */
export function nameOf(e: EventBytes, table: UapiTable): string {
  const name = callName(e, table);
  if (name !== 'IOMMU_TEST_CMD' || e.in.bytes < 8) return name;
  const op = e.u32(e.in, 4);
  const known = table.testOp(op)?.name ?? String(op);
  return `${name} ${known.startsWith(TEST_OP) ? known.slice(TEST_OP.length) : known}`;
}

/** The things that an event's changes have ended. */
export function* ended(changes: readonly Change[], made: (uid: Uid) => Origin | undefined): Iterable<Origin> {
  for (const c of changes) {
    const thing = c.op === 'object.end' ? made(c.object.uid) : undefined;
    if (thing !== undefined) yield thing;
    if (c.op === 'file' && c.to === undefined && c.from !== undefined) yield originOf(c.from.birth, OTHER);
    else if (c.op === 'mapping.remove') yield originOf(c.mapping.seq, OTHER);
    else if (c.op === 'area.remove') yield originOf(c.area.seq, AREA);
  }
}
