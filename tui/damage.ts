/**
 * A trace with places that cannot be read. The screens go on: the events of such a place are known to have been, the rows of
 * the index may still tell of them, and the fold takes each of them as an event that was lost.
 */
import { StoreError } from '../store/errors.ts';
import { encodeFrame, type Frame, Gap, Kind, makeFrame } from '../store/frame.ts';
import type { FrameBatch, TraceReader } from '../store/read.ts';

/** Events first … last that cannot be read. */
export interface Damage {
  readonly first: number;
  readonly last: number;
  readonly message: string;
}

/** Events of one batch of gaps. */
const BATCH = 4096;

/** One event that is lost. */
export function gapFrame(seq: number): Frame {
  return makeFrame({ kind: Kind.GAP, request: Gap.HOLE, ret: 1n, seq });
}

const isDamage = (error: unknown): error is StoreError =>
  error instanceof StoreError && (error.code === 'damaged' || error.code === 'frame' || error.code === 'truncated');

export class Tolerant {
  readonly #reader: TraceReader;
  readonly #damages: Damage[] = [];

  constructor(reader: TraceReader) {
    this.#reader = reader;
  }

  get meta(): TraceReader['meta'] {
    return this.#reader.meta;
  }
  get last(): number {
    return this.#reader.last;
  }
  /** Events that could not be read so far. */
  get lost(): number {
    return this.#damages.reduce((n, d) => n + d.last - d.first + 1, 0);
  }

  /** Why an event cannot be read, as far as somebody has tried. */
  damage(seq: number): string | undefined {
    return this.#at(seq)?.message;
  }
  #at(seq: number): Damage | undefined {
    return this.#damages.find((d) => seq >= d.first && seq <= d.last);
  }

  frame(seq: number): Frame | undefined {
    if (this.#damages.length > 0 && this.#at(seq) !== undefined) return undefined;
    try {
      return this.#reader.frame(seq);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#note(seq, error);
      return undefined;
    }
  }

  /** As TraceReader.scan, without its errors: for each event that cannot be read there is a gap. */
  *scan(from = 1, to = Number.POSITIVE_INFINITY): Generator<FrameBatch> {
    const end = Math.min(to, this.last);
    for (let seq = Math.max(1, from); seq <= end; ) {
      let known = this.#at(seq);
      if (known === undefined) {
        try {
          for (const batch of this.#reader.scan(seq, end)) {
            seq = batch.first + batch.count;
            yield batch;
          }
        } catch (error) {
          if (!isDamage(error)) throw error;
          known = this.#note(seq, error);
        }
      }
      if (known === undefined) return;
      const count = Math.min(known.last, end) - seq + 1;
      yield gaps(seq, Math.min(count, BATCH));
      seq += Math.min(count, BATCH);
    }
  }

  /** Remembers how far the damage goes: to the end of the chunk; where there is no chunk, to the next one. */
  #note(seq: number, error: StoreError): Damage {
    const known = this.#at(seq);
    if (known !== undefined) return known;
    const [from, next] = [this.#bound('first <= ?', 'first DESC', seq), this.#bound('first > ?', 'first ASC', seq)];
    const end = from === undefined ? 0 : from.first + from.events - 1;
    const last = Math.min(end >= seq ? end : this.last, (next?.first ?? Number.POSITIVE_INFINITY) - 1, this.last);
    const first = end >= seq ? from!.first : seq;
    const damage = {
      first: Math.max(1, Math.min(first, seq)),
      last: Math.max(seq, last),
      message: error.message.replace(`${this.#reader.path}: `, ''),
    };
    this.#damages.push(damage);
    return damage;
  }

  #bound(where: string, order: string, seq: number): { readonly first: number; readonly events: number } | undefined {
    try {
      const one = (table: string): string => `SELECT * FROM (SELECT first, events FROM ${table} WHERE ${where} ORDER BY ${order} LIMIT 1)`;
      const row = this.#reader.query(`SELECT * FROM (${one('chunks')} UNION ALL ${one('tail')}) ORDER BY ${order} LIMIT 1`, [seq, seq])[0];
      return row === undefined ? undefined : { first: Number(row.first), events: Number(row.events) };
    } catch {
      // the table itself cannot be read
      return undefined;
    }
  }
}

/** A batch of gaps: what the fold reads in the place of frames. */
function gaps(first: number, count: number): FrameBatch {
  const frames = Array.from({ length: count }, (_, i) => encodeFrame(gapFrame(first + i)));
  const offsets = new Uint32Array(count + 1);
  frames.forEach((f, i) => {
    offsets[i + 1] = offsets[i]! + f.length;
  });
  return { first, count, buffer: Buffer.concat(frames), offsets };
}
