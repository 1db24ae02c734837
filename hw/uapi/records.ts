/**
 * What is read from and written to the event files: page faults and their answers, vIOMMU events. A file moves whole
 * records; what is left over (a reader with a short buffer, an unknown type) is kept as bytes.
 */
import { decodeStruct, splitEntries } from './codec.ts';
import type { Json } from './scalar-text.ts';
import type { UapiTable } from './table.ts';
import { nodeJson, type PrintStyle, printNode, type StyleName } from './text.ts';
import type { Struct } from './types.ts';
import { type Item, type Node, viewStruct } from './view-struct.ts';

export interface RecordBytes {
  readonly file: 'FAULT' | 'VEVENTQ';
  readonly call: 'read' | 'write';
  readonly bytes: Uint8Array;
  /** of a vEVENTQ: its `type` (enum iommu_veventq_type); without it payloads cannot be told apart */
  readonly type?: number | undefined;
}

/** One record of a stream. */
export interface EventRecord {
  /** from the start of the bytes */
  readonly offset: number;
  readonly node: Node;
  /** the bytes of the record */
  readonly bytes: Uint8Array;
}

export interface Records {
  readonly records: readonly EventRecord[];
  /** what is left when the last record is not whole, or its type is not known */
  readonly rest: Uint8Array;
}

const LOST_EVENTS = 1;

/** Splits and decodes a stream; never throws. */
export function viewRecords(table: UapiTable, stream: RecordBytes): Records {
  const struct = table.record(stream.file, stream.call);
  if (struct === undefined) return { records: [], rest: stream.bytes };
  if (stream.file === 'VEVENTQ') return viewEvents(table, struct, stream);
  const { entries, rest } = splitEntries(stream.bytes, struct.size);
  return { records: entries.map((bytes, i) => ({ offset: i * struct.size, node: viewStruct(table, struct, bytes), bytes })), rest };
}

/** Header and payload, again and again; a header that says LOST_EVENTS stands alone. */
function viewEvents(table: UapiTable, header: Struct, stream: RecordBytes): Records {
  const payload = stream.type === undefined ? undefined : table.vevent(stream.type);
  const records: EventRecord[] = [];
  let at = 0;
  while (at + header.size <= stream.bytes.length) {
    const head = stream.bytes.subarray(at, at + header.size);
    const lost = (Number(decodeStruct(header, head).values.flags ?? 0) & LOST_EVENTS) !== 0;
    if (!lost && payload === undefined) break;
    const size = header.size + (lost ? 0 : (payload?.size ?? 0));
    if (at + size > stream.bytes.length) break;
    const bytes = stream.bytes.subarray(at, at + size);
    const items = itemsOf(viewStruct(table, header, head));
    const more = lost || payload === undefined ? [] : itemsOf(viewStruct(table, payload, bytes.subarray(header.size)));
    records.push({
      offset: at,
      node: { kind: 'struct', items: [...items, ...more.map((i) => ({ ...i, offset: i.offset + header.size }))] },
      bytes,
    });
    at += size;
  }
  return { records, rest: stream.bytes.subarray(at) };
}

const itemsOf = (node: Node): readonly Item[] => (node.kind === 'struct' ? node.items : []);

const nodeOf = (view: Records): Node => ({
  kind: 'array',
  items: [...view.records.map((r) => r.node), ...(view.rest.length === 0 ? [] : [{ kind: 'bytes', bytes: view.rest } as const])],
});

/** `[{flags=LAST_PAGE dev_id=2 …}, bytes:00…]`, in the form of text.ts. */
export function printRecords(table: UapiTable, stream: RecordBytes, style: PrintStyle | StyleName = 'abbrev'): string {
  if ((typeof style === 'string' ? style : style.style) === 'raw') return printNode(table, { kind: 'bytes', bytes: stream.bytes }, 'full');
  return printNode(table, nodeOf(viewRecords(table, stream)), style);
}

/** {records: […], rest?: {bytes: hex}} */
export function recordsJson(table: UapiTable, stream: RecordBytes): { readonly [key: string]: Json } {
  const view = viewRecords(table, stream);
  const rest = view.rest.length === 0 ? {} : { rest: nodeJson(table, { kind: 'bytes', bytes: view.rest }) };
  return { records: view.records.map((r) => nodeJson(table, r.node)), ...rest };
}
