/** What makes a change in a trace show: every chunk carries a SHA-256 that covers the one of the chunk before it. */
import { createHash } from 'node:crypto';

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
