/** Fields of what is read from and written to the event files, for queries: page faults and their answers, vIOMMU events. */
import type { EventLike } from '../hw/event-text.ts';
import { viewRecords } from '../hw/uapi/records.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import type { Field, Struct } from '../hw/uapi/types.ts';
import type { Node } from '../hw/uapi/view.ts';
import { FileKind, Kind, PartKind } from '../store/frame.ts';
import type { SessionState } from './state.ts';

/** Structs of vEVENTQ records: the header, and what follows it by type of queue. */
function eventStructs(table: UapiTable): Struct[] {
  const types = [...(table.enum('iommu_veventq_type')?.members.values() ?? [])];
  return [table.record('VEVENTQ', 'read'), ...types.map((type) => table.vevent(type))].filter((s) => s !== undefined);
}

/** Every field of a record of an event file. */
export function recordFields(table: UapiTable): Field[] {
  const faults = [table.record('FAULT', 'read'), table.record('FAULT', 'write')].filter((s) => s !== undefined);
  return [...faults, ...eventStructs(table)].flatMap((struct) => struct.fields);
}

/** Is it a field of a vEVENTQ record? Then the type of the queue must be known, which only the fold tells. */
export const isQueueField = (table: UapiTable, name: string): boolean => eventStructs(table).some((struct) => struct.byName.has(name));

/** enum iommu_veventq_type of the queue that a vEVENTQ file reads from; undefined where the state does not say. */
export function queueTypeOf(state: SessionState | undefined, file: number): number | undefined {
  const opened = state?.files.get(file);
  const object = opened === undefined ? undefined : state?.contexts.get(opened.context)?.objects.get(opened.object);
  return object?.type === 'VEVENTQ' ? object.kind : undefined;
}

/** Values of the field in the records that an event moved; `began` is where the descriptor is known. */
export function recordHits(
  table: UapiTable,
  name: string,
  event: EventLike,
  began: EventLike,
  state: () => SessionState | undefined,
): { readonly value: number | bigint; readonly field: Field | undefined }[] {
  const file = began.fileKind === FileKind.FAULT ? 'FAULT' : began.fileKind === FileKind.VEVENTQ ? 'VEVENTQ' : undefined;
  if (file === undefined || (began.kind !== Kind.READ && began.kind !== Kind.WRITE)) return [];
  const call = began.kind === Kind.READ ? 'read' : 'write';
  const bytes = event.parts.find((p) => p.kind === (call === 'read' ? PartKind.OUT : PartKind.IN))?.bytes;
  if (bytes === undefined) return [];
  const type = file === 'VEVENTQ' ? queueTypeOf(state(), began.file) : undefined;
  const hits: { value: number | bigint; field: Field | undefined }[] = [];
  for (const { node } of viewRecords(table, { file, call, bytes, type }).records) {
    if (node.kind !== 'struct') continue;
    for (const item of node.items)
      if (item.name === name) for (const value of numbersOf(item.node)) hits.push({ value, field: item.field });
  }
  return hits;
}

function numbersOf(node: Node): (number | bigint)[] {
  if (node.kind === 'number') return [node.value];
  return node.kind === 'array' ? node.items.flatMap(numbersOf) : [];
}
