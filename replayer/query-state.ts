/** Which conditions only the fold of the log can decide. */
import type { UapiTable } from '../hw/uapi/table.ts';
import { type Query, someQuery } from './query.ts';
import { isQueueField } from './query-records.ts';

/** Does the query ask for the state before an event, or for what the event changed? The others are decided by the event alone. */
export const asksState = (query: Query, table: UapiTable): boolean =>
  someQuery(
    query,
    (q) =>
      q.op === 'change' ||
      q.op === 'register' ||
      (q.op === 'object' && q.subject.types.length > 0) ||
      (q.op === 'field' && isQueueField(table, q.field)),
  );
