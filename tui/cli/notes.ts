/** Bookmarks and notes of a trace, for commands that print them. */
import { escapeText } from '../../hw/quote.ts';
import type { Query } from '../../replayer/query.ts';
import { Marks } from '../../store/marks.ts';
import type { TraceReader } from '../../store/read.ts';
import { seqsQuery } from './callset.ts';

export interface Noted {
  readonly bookmarks: readonly string[];
  readonly note: string | undefined;
}

export class Notes {
  readonly #marks: Marks;

  constructor(reader: TraceReader) {
    this.#marks = new Marks(reader);
  }

  get bookmarks(): number {
    return this.#marks.all.length;
  }
  get notes(): number {
    return this.#marks.notes.length;
  }
  /** Why some of them cannot be read, in one line; undefined where all is well. */
  get trouble(): string | undefined {
    return this.#marks.trouble === undefined ? undefined : escapeText(this.#marks.trouble);
  }

  at(seq: number): Noted {
    return { bookmarks: this.#marks.namesAt(seq), note: this.#marks.note(seq) };
  }

  /** Meets the events that have one. */
  get query(): Query {
    return seqsQuery([...new Set([...this.#marks.all, ...this.#marks.notes].map((m) => m.seq))]);
  }
}

/** A line each; nothing in them can act on a terminal. */
export const notedLines = ({ bookmarks, note }: Noted): string[] => [
  ...bookmarks.map((name) => `bookmark ${escapeText(name)}`),
  ...(note === undefined ? [] : [`note: ${escapeText(note)}`]),
];
