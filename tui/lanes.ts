/**
 * Lanes: which thread, process or context an event belongs to, as a letter and a colour that stay the same for the whole
 * trace. Letters go by first appearance, as far as the beginning of the trace's dictionary tells; what comes later gets one
 * by its number, which another lane may have too.
 */
import type { TraceReader } from '../store/read.ts';
import { LANE_TOKENS, type Token } from './term/theme.ts';
import type { LaneKind } from './view-options.ts';

export interface Lane {
  readonly letter: string;
  readonly token: Token;
  /** number of the thread, process or context */
  readonly number: number;
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** Rows of the dictionary that are looked at: the first picture waits for it. */
const MOST_ORIGINS = 2048;

const COLUMNS = { thread: 'tid', process: 'pid', context: 'context' } as const satisfies Record<LaneKind, string>;

export class Lanes {
  readonly #reader: TraceReader;
  readonly #numbers: Readonly<Record<LaneKind, ReadonlyMap<number, number>>>;

  constructor(reader: TraceReader) {
    this.#reader = reader;
    const rows = reader.query('SELECT pid, tid, context FROM origins WHERE id <= ? ORDER BY id', [MOST_ORIGINS]);
    const ordered = (kind: LaneKind): ReadonlyMap<number, number> => {
      const all = new Set(rows.map((row) => Number(row[COLUMNS[kind]])).filter((n) => n !== 0));
      return new Map([...all].map((n, i) => [n, i]));
    };
    this.#numbers = { thread: ordered('thread'), process: ordered('process'), context: ordered('context') };
  }

  /** How many lanes of a kind there are, as far as the beginning tells. */
  count(kind: LaneKind): number {
    return this.#numbers[kind].size;
  }

  lane(kind: LaneKind, number: number): Lane | undefined {
    if (number === 0) return undefined;
    const place = this.#numbers[kind].get(number) ?? number;
    return { letter: LETTERS[place % LETTERS.length]!, token: LANE_TOKENS[place % LANE_TOKENS.length]!, number };
  }

  /** Contexts of some events, by seq; the trace's index knows them. */
  contexts(seqs: readonly number[]): ReadonlyMap<number, number> {
    const places = seqs.map(() => '?').join(', ');
    const sql = `SELECT l.rowid AS seq, o.context AS context FROM log l JOIN origins o ON o.id = l.origin WHERE l.rowid IN (${places})`;
    return new Map(this.#reader.query(sql, seqs).map((row) => [Number(row.seq), Number(row.context)]));
  }
}
