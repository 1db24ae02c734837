/** What travelling needs of the world, for the controller: bookmarks and notes, times of events, the clock of play. */

import { tookText } from '../hw/time-text.ts';
import { Marks } from '../store/marks.ts';
import type { TraceModel } from './model.ts';
import type { Line } from './term/text.ts';
import { clean } from './term/text.ts';
import { type Request, SPEEDS, type TravelFacts } from './travel.ts';
import { conditionOf } from './trips.ts';
import { sinceStart, type When, wallText } from './when.ts';

/** The longest that play waits for an event, milliseconds. */
export const LONGEST_PAUSE = 2000;
/** Milliseconds from one picture of play to the next. */
const FRAME = 33;

/** What is on the screen of lines that can be chosen. */
export interface ShownLines {
  objects(): readonly (string | undefined)[];
  detail(): readonly Line[];
}

/** A move of play: to which event, what there is to say, and after how many milliseconds the next one comes. */
export interface Played {
  readonly seq: number;
  readonly say: string | undefined;
  /** undefined: it has come to the end */
  readonly wait: number | undefined;
}

export class Traveller {
  readonly facts: TravelFacts;
  readonly #model: TraceModel;
  #marks: Marks | undefined;
  /** recorded time that play has come to, ns since the start, and when that was, ms */
  #clock: { readonly at: number; readonly when: number } | undefined;

  constructor(model: TraceModel, shown: ShownLines) {
    this.#model = model;
    this.facts = {
      mark: (name) => this.marks.mark(name),
      marksAt: (seq) => this.marks.namesAt(seq),
      note: (seq) => this.marks.note(seq),
      mistake: (condition) => {
        const read = conditionOf(model, condition);
        return typeof read === 'string' ? read : undefined;
      },
      when: (when, cursor) => this.#when(when, cursor),
      objects: () => shown.objects(),
      links: () => linksIn(shown.detail()),
    };
  }

  get marks(): Marks {
    this.#marks ??= new Marks(this.#model.reader);
    return this.#marks;
  }

  /** Does what was asked for; a line where that did not go well, or needs a word. */
  carryOut(request: Exclude<Request, { kind: 'copy' }>): { readonly text: string; readonly error: boolean } | undefined {
    const { marks } = this;
    const place = marks.place;
    if (request.kind === 'mark') marks.setMark(request.name, request.seq);
    else if (request.kind === 'note') marks.setNote(request.seq, request.text);
    else for (const name of request.names) marks.setMark(name, undefined);
    if (marks.trouble !== undefined) return { text: clean(marks.trouble), error: true };
    if (marks.place !== place) return { text: `the trace cannot be written: bookmarks and notes are kept beside it`, error: false };
    return undefined;
  }

  /** Recorded time of an event, ns since the start. */
  #time(seq: number): number {
    return this.#model.reader.rows({ from: seq, to: seq, limit: 1 })[0]?.t ?? 0;
  }

  #when(when: When, cursor: number): number | string {
    const model = this.#model;
    const { last } = model;
    if (last === 0) return 'the trace has no events';
    const began = model.meta.clock.realtimeNs;
    const wanted = sinceStart(when, began, BigInt(this.#time(cursor)));
    const [low, high] = [this.#time(1), this.#time(last)];
    if (wanted > BigInt(high) && when.from !== 'here') {
      const ends = when.from === 'start' ? `${(high / 1e9).toFixed(6)} s` : `${wallText(began + BigInt(high))} UTC`;
      return `the log ends at ${ends}`;
    }
    if (wanted < BigInt(low) && when.from !== 'here') {
      const begins = when.from === 'start' ? `${(low / 1e9).toFixed(6)} s` : `${wallText(began + BigInt(low))} UTC`;
      return `the log begins at ${begins}`;
    }
    const ns = Number(wanted);
    // forward: the first event that is as far away; else the last one that had been entered by then
    if (when.from === 'here' && when.ns > 0n) return Math.max(cursor, Math.min(last, model.reader.seqAt(ns)));
    return Math.max(1, model.reader.seqAt(ns + 1) - 1);
  }

  /** Play begins at an event. */
  startPlay(seq: number, now: number): void {
    this.#clock = { at: this.#time(seq), when: now };
  }

  /** Where play is now. `speed`: place in SPEEDS. */
  play(seq: number, speed: number, now: number): Played {
    const { last, reader } = this.#model;
    const factor = SPEEDS[speed] ?? 1;
    const clock = this.#clock ?? { at: this.#time(seq), when: now };
    let at = clock.at + (now - clock.when) * 1e6 * factor;
    // calls of several threads may be told a little out of order: never backwards
    const there = Math.max(seq, Math.min(last, reader.seqAt(Math.floor(at) + 1) - 1));
    let say: string | undefined;
    let wait = FRAME;
    if (there < last) {
      const next = (this.#time(there + 1) - at) / (1e6 * factor);
      if (next > LONGEST_PAUSE) {
        at = this.#time(there + 1) - LONGEST_PAUSE * 1e6 * factor;
        const pause = tookText(this.#time(there + 1) - this.#time(there)).replace(/([num])$/, '$1s');
        say = `a pause of ${pause} before ${there + 1} is shortened to ${LONGEST_PAUSE / 1000} s`;
        wait = LONGEST_PAUSE;
      } else wait = Math.max(FRAME, Math.ceil(next)); // timers drop fractions, and would look just before the event
    }
    this.#clock = { at, when: now };
    return { seq: there, say, wait: there >= last ? undefined : wait };
  }
}

/** The events that lines lead to, each once where it is broken over several. */
export function linksIn(lines: readonly Line[]): { readonly seq: number; readonly line: number }[] {
  return lines.flatMap((l, line) => (l.link === undefined || lines[line - 1]?.link === l.link ? [] : [{ seq: l.link, line }]));
}
