/** What the fold knows and the text of an event wants to say. */
import type { EventLike } from '../../hw/event-text.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import type { Meaning } from '../../hw/uapi/view.ts';
import { type Context, contextOfFile, objectById, type SessionState } from '../../replayer/state.ts';
import { PartKind } from '../../store/frame.ts';

/**
 * What an object id stands for, by the state before the event: its type, and `full` the event it was born in (`VIOMMU@6`);
 * in a call that failed also `none` where it stands for nothing, `was VIOMMU` where its object has ended. Without `full`
 * only where the field itself leaves it open. undefined where there is nothing to say.
 */
export function typeOfId(
  state: SessionState | undefined,
  event: EventLike,
  field: Meaning,
  id: number,
  options: { readonly table: UapiTable; readonly full: boolean },
): string | undefined {
  if (field.ref === undefined || field.creates !== undefined || id === 0 || state === undefined) return undefined;
  if (field.ref.includes('OP') && !isObjectOfOp(event, options.table)) return undefined;
  const context = contextOfFile(state, event.file);
  // A context that was there before the log may have any object.
  if (context === undefined) return undefined;
  const object = objectById(context, id);
  if (object === undefined) return event.error !== 0 ? missing(context, id) : undefined;
  const open = field.ref.length !== 1 || field.ref[0] !== object.type;
  if (!open && !options.full) return undefined;
  return options.full ? `${object.type}@${object.birth}` : object.type;
}

/** IOMMU_TEST_CMD.id: of an object, unless the operation takes a descriptor there or does not look. */
function isObjectOfOp(event: EventLike, table: UapiTable): boolean {
  const input = event.parts.find((p) => p.kind === PartKind.IN)?.bytes;
  const at = table.offsetOf('IOMMU_TEST_CMD', 'op');
  if (input === undefined || input.length < at + 4) return false;
  const op = table.testOp(new DataView(input.buffer, input.byteOffset).getUint32(at, true));
  return op !== undefined && typeof op.id !== 'string';
}

function missing(context: Context, id: number): string | undefined {
  const ended = context.ended.get(id);
  if (ended !== undefined) return `was ${ended.type}`;
  return context.origin === 'inferred' ? undefined : 'none';
}
