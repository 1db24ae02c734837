/**
 * Which difference follows from which. Differences are taken in order of their place, and each follows from one at an earlier
 * place or from none: so there are no circles. What is proved comes before what is inferred. The time grows with the number of
 * differences and of what they refer to.
 */
import { Kind } from '../../../store/frame.ts';
import { How } from '../compare.ts';
import { eventOf, type Origin, originOf, whichOf } from '../meaning/links.ts';
import type { Compared, SideName } from './compared.ts';
import type { Difference, Link } from './report.ts';

const NONE = -1;
const SIDES = ['a', 'b'] as const;
const other = (side: SideName): SideName => (side === 'a' ? 'b' : 'a');

const NAMES: Link = { by: 'names', may: false };
const ENDED: Link = { by: 'ended', may: false };
const PROCESS: Link = { by: 'process', may: false };
const PATH: Link = { by: 'path', may: true };
export const STATE: Link = { by: 'state', may: false };

/** How far back in a process something is looked for whose place is earlier, though its number in the trace is not. */
const STEPS = 64;

/** Places by a key, in order; the latest that is before an event too. */
class Latest {
  readonly #lists = new Map<number | string, number[]>();
  readonly #seqOf: (place: number) => number;

  constructor(seqOf: (place: number) => number) {
    this.#seqOf = seqOf;
  }
  add(key: number | string, place: number): void {
    const list = this.#lists.get(key);
    if (list === undefined) this.#lists.set(key, [place]);
    else list.push(place);
  }
  before(key: number | string, seq: number): number {
    const list = this.#lists.get(key) ?? [];
    for (let i = list.length - 1; i >= Math.max(0, list.length - STEPS); i--) if (this.#seqOf(list[i]!) < seq) return list[i]!;
    return NONE;
  }
}

/** Differences of one side's processes, so far. */
class Past {
  /** answers, by process, and by process and call */
  readonly answers: Latest;
  readonly probes: Latest;
  /** all, by process and by who forked that */
  readonly all: Latest;
  readonly children: Latest;

  constructor(seqOf: (place: number) => number) {
    this.answers = new Latest(seqOf);
    this.probes = new Latest(seqOf);
    this.all = new Latest(seqOf);
    this.children = new Latest(seqOf);
  }
}

export class Folding {
  readonly differences: readonly Difference[];
  /** by place: that of what it follows from directly, -1: from none that is known */
  readonly under: Int32Array;
  readonly links: (Link | undefined)[];
  /** by place: that of the last difference before it that changed a thing which it names, -1: none; of those that follow from none */
  readonly changed: Int32Array;
  readonly #compared: Compared;
  /** by event: place */
  readonly #places = { a: new Map<number, number>(), b: new Map<number, number>() };
  /** by thing, as a knows it, or b alone: place of the last difference that changed it */
  readonly #touched = new Map<Origin, number>();
  readonly #past = { a: new Past((place) => this.differences[place]!.a), b: new Past((place) => this.differences[place]!.b) };

  constructor(compared: Compared) {
    this.#compared = compared;
    this.differences = [...compared.differences()];
    this.differences.forEach((d, place) => {
      if (d.a !== 0) this.#places.a.set(d.a, place);
      if (d.b !== 0) this.#places.b.set(d.b, place);
    });
    this.under = new Int32Array(this.differences.length).fill(NONE);
    this.changed = new Int32Array(this.differences.length).fill(NONE);
    this.links = new Array(this.differences.length);
  }

  /** Takes them all; yields how far it is, from 0 to 1. */
  *run(): Generator<number> {
    const { differences } = this;
    for (let place = 0; place < differences.length; place++) {
      if (place % 4096 === 0) yield place / differences.length;
      const d = differences[place]!;
      const found = this.#proved(d, place) ?? this.#inferred(d, place);
      if (found !== undefined) [this.under[place], this.links[place]] = found;
      else if (d.how === How.CHANGED) this.changed[place] = this.#changedFor(d);
      this.#remember(d, place);
    }
  }

  /** The place of the cause of each difference: its own where it follows from none. */
  causes(): Int32Array {
    const causes = new Int32Array(this.under.length);
    // what it follows from is before it
    this.under.forEach((under, place) => {
      causes[place] = under < 0 ? place : causes[under]!;
    });
    return causes;
  }

  #proved(d: Difference, place: number): readonly [number, Link] | undefined {
    const named = this.#named(d, place);
    if (named >= 0) return [named, NAMES];
    const ended = this.#ended(d, place);
    if (ended >= 0) return [ended, ENDED];
    const process = this.#process(d, place);
    return process >= 0 ? [process, PROCESS] : undefined;
  }

  #inferred(d: Difference, place: number): readonly [number, Link] | undefined {
    const [side, seq] = d.how === How.ONLY_A ? (['a', d.a] as const) : ['b' as const, d.b];
    if (d.how === How.CHANGED) return undefined;
    const of = this.#compared[side];
    const behind = this.#at(side, of.before(seq), place);
    if (behind >= 0) return [behind, PATH];
    const process = of.process(seq);
    const past = this.#past[side];
    const probe = past.probes.before(`${process} ${d.call}`, seq);
    const answer = probe >= 0 ? probe : past.answers.before(process, seq);
    return answer >= 0 ? [answer, PATH] : undefined;
  }

  /** The place of an event, if it differs and is before `place`. */
  #at(side: SideName, seq: number, place: number): number {
    const found = seq === 0 ? NONE : (this.#places[side].get(seq) ?? NONE);
    return found < place ? found : NONE;
  }

  /** The latest that made, on either side, what a difference refers to. Where both sides have it and only an output was another, that tells nothing of it. */
  #named(d: Difference, place: number): number {
    let best = NONE;
    for (const side of SIDES) {
      if (d[side] === 0) continue;
      for (const thing of this.#compared[side].names(d[side])) {
        const maker = this.#at(side, eventOf(thing), place);
        if (maker > best && this.differences[maker]!.sort !== 'output') best = maker;
      }
    }
    return best;
  }

  /** The latest that ended, on either side, what a difference refers to. */
  #ended(d: Difference, place: number): number {
    let best = NONE;
    for (const side of SIDES) {
      const seq = d[side];
      if (seq === 0) continue;
      for (const thing of this.#compared[side].names(seq)) {
        const end = this.#compared[side].endedBy(thing);
        if (end !== 0 && end < seq) best = Math.max(best, this.#at(side, end, place));
        // on the other side it may have come to an end, and here not
        const twin = d[other(side)] === 0 ? this.#twin(side, thing) : 0;
        if (twin !== 0) best = Math.max(best, this.#at(other(side), this.#compared[other(side)].endedBy(twin), place));
      }
    }
    return best;
  }

  /** The same thing on the other side; 0: there is none. */
  #twin(side: SideName, thing: Origin): Origin {
    const maker = this.#compared.partner(side, eventOf(thing));
    return maker === 0 ? 0 : originOf(maker, whichOf(thing));
  }

  /** The fork of its process, where this is the first of it; of an exit the latest in its process, or in its children. */
  #process(d: Difference, place: number): number {
    let best = NONE;
    for (const side of SIDES) {
      const seq = d[side];
      if (seq === 0) continue;
      const of = this.#compared[side];
      const process = of.process(seq);
      if (process < 0) continue;
      if (of.kind(seq) === Kind.EXIT) {
        const past = this.#past[side];
        best = Math.max(best, past.all.before(process, seq), past.children.before(process, seq));
      } else if (of.first(process) === seq) best = Math.max(best, this.#at(side, of.fork(process), place));
    }
    return best;
  }

  #remember(d: Difference, place: number): void {
    let changes = false;
    for (const side of SIDES) {
      const seq = d[side];
      if (seq === 0) continue;
      const of = this.#compared[side];
      const process = of.process(seq);
      changes ||= of.changes(seq);
      const past = this.#past[side];
      past.all.add(process, place);
      const parent = process < 0 ? NONE : of.parent(process);
      if (parent >= 0) past.children.add(parent, place);
      if (d.how !== How.CHANGED) continue;
      past.answers.add(process, place);
      past.probes.add(`${process} ${d.call}`, place);
    }
    if (changes && this.#otherState(d)) for (const thing of this.#things(d)) this.#touched.set(thing, place);
  }

  /** May it have left another state behind on one side than on the other? */
  #otherState(d: Difference): boolean {
    const { a, b } = this.#compared;
    return d.how !== How.CHANGED || d.sort === 'question' || a.changes(d.a) !== b.changes(d.b);
  }

  #changedFor(d: Difference): number {
    let best = NONE;
    for (const thing of this.#things(d)) best = Math.max(best, this.#touched.get(thing) ?? NONE);
    return best;
  }

  /** What it refers to, by the names that a has for it; what b alone has is negative. */
  *#things(d: Difference): Iterable<Origin> {
    if (d.a !== 0) yield* this.#compared.a.names(d.a);
    if (d.b === 0) return;
    for (const thing of this.#compared.b.names(d.b)) yield this.#twin('b', thing) || -thing;
  }
}
