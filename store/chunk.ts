/** Rows of `chunks` and `tail`. What makes a change in a trace show: each carries a SHA-256 that covers the one of the row before it. */
import { createHash } from 'node:crypto';
import { type FrameBatch, MAX_CHUNK_BYTES, MAX_CHUNK_EVENTS, unpackFrames } from './pack.ts';

/** The digest before the first chunk. */
export const NO_DIGEST: Buffer = Buffer.alloc(32);

/** The numbers and the bytes of a chunk that its digest covers. */
export interface DigestedChunk {
  readonly first: number;
  readonly events: number;
  readonly failures: number;
  readonly bytes: number;
  readonly labels: Uint8Array;
  readonly data: Uint8Array;
}

/** Links a chunk to the one before it. */
export function chunkDigest(previous: Uint8Array, chunk: DigestedChunk): Buffer {
  const numbers = Buffer.alloc(32);
  numbers.writeDoubleLE(chunk.first, 0);
  numbers.writeDoubleLE(chunk.events, 8);
  numbers.writeDoubleLE(chunk.failures, 16);
  numbers.writeDoubleLE(chunk.bytes, 24);
  return createHash('sha256').update(previous).update(numbers).update(chunk.labels).update(chunk.data).digest();
}

/**
 * Covers what the rows of a chunk say that its frames do not: the origin of every event, and the text `label` of each origin where it
 * first occurs.
 */
export function labelsDigest(origins: Int32Array, label: (origin: number) => string): Buffer {
  const hash = createHash('sha256').update(new Uint8Array(origins.buffer, origins.byteOffset, origins.byteLength));
  for (const origin of new Set(origins)) hash.update(label(origin));
  return hash.digest();
}

/** The text of an origin that labelsDigest takes. */
export function labelText(call: string, context: number, object: number): string {
  return `${JSON.stringify(call)} ${context} ${object}\n`;
}

/** A row of `chunks` or `tail` with the digest of the row before it; `data` is null where it is longer than anything that we write. */
export type ChunkRow = Omit<DigestedChunk, 'data'> & { readonly digest: Buffer; readonly previous: Buffer; readonly data: Buffer | null };

const chunkColumns = (previous: string) =>
  `first, events, failures, bytes, labels, digest, CASE WHEN length(data) <= ${MAX_CHUNK_BYTES} THEN data END AS data, ${previous} AS previous`;
const LAST_BEFORE = (table: string) => `(SELECT p.digest FROM ${table} p WHERE p.first < c.first ORDER BY p.first DESC LIMIT 1)`;

/** SQL for the columns of a {@link ChunkRow} of table `c`. */
export const CHUNK_COLUMNS = {
  chunks: chunkColumns(`coalesce(${LAST_BEFORE('chunks')}, zeroblob(32))`),
  tail: chunkColumns(`coalesce(${LAST_BEFORE('tail')}, ${LAST_BEFORE('chunks')}, zeroblob(32))`),
} as const;

/** The frames of a row of `chunks` or `tail`. Throws a plain Error where it is not as it was written. */
export function unpackRow(row: ChunkRow): FrameBatch {
  const { first, events, bytes, data } = row;
  const where = `the chunk of events ${first} to ${first + events - 1}`;
  const sizes =
    Number.isSafeInteger(first + events) && events > 0 && events <= MAX_CHUNK_EVENTS && bytes >= 64 * events && bytes <= MAX_CHUNK_BYTES;
  if (!Buffer.isBuffer(data) || !sizes) throw new Error(`${where} has an impossible size`);
  if (!chunkDigest(row.previous, { ...row, data }).equals(row.digest)) throw new Error(`${where} does not have its digest`);
  try {
    return unpackFrames(data, first, events, bytes);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
}
