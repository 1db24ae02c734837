/**
 * Two traces of any length beside each other. First both are read for their digests (digests.ts): processes, threads and blocks
 * that are the same are done with then. What is left is read again, event by event, and aligned piece by piece.
 *
 * Memory: the digests (0.2 bytes an event, some 700 bytes a process), the events of the pieces under work, and what differs. What it
 * does not see: an event that has been moved farther than its piece is one that is missing and one that is too much; what two sums
 * of 64 bits have in common by chance; what becomes of a thing in other threads, where that alone tells it from its like; a thread
 * that is the same by name, where another thread has exchanged what the names stand for.
 */
import type { DialectName } from '../../../hw/uapi/table.ts';
import { inverse } from '../align/align.ts';
import type { Judgement } from '../causes/judge.ts';
import { Beside } from './beside.ts';
import type { Details } from './details.ts';
import { Block, type LaneDigest, type TraceDigest } from './digests.ts';
import { matchDigests } from './families.ts';
import { nameIn, relationOf, STRANGER } from './lanes.ts';
import { type Before, type BeforeOf, Order } from './order.ts';
import { agree, alignPiece, type Events, type Exchange, exchange, makerOf } from './piece-align.ts';
import { blockWith, cut, type LaneBlocks, type LanePair, lanesOf, type Piece, planned } from './pieces.ts';
import { type Recorded, Row, type Stretch } from './records.ts';

/** One of the two traces. */
export interface DiffSide {
  digest(): Promise<TraceDigest>;
  /** the events of stretches, which are ascending within a lane */
  records(stretches: readonly Stretch[]): Promise<Recorded>;
  /** what there is to say about events, which are ascending */
  details(seqs: Int32Array): Promise<Details>;
  /** what the rules of its own kernel and of the other one say to events, which are ascending */
  judge(other: DialectName, seqs: Int32Array): Promise<ReadonlyMap<number, Judgement>>;
}

export type DifferenceKind = 'changed' | 'only-a' | 'only-b';
export interface StreamDifference {
  readonly kind: DifferenceKind;
  /** numbers of the events, 0 none */
  readonly a: number;
  readonly b: number;
  /** they ask the same, and are answered the same; what they refer to left aside */
  readonly asked: boolean;
  readonly answered: boolean;
  /** the event of a at which or, where only b has one, behind which it stands */
  readonly place: number;
}
/** Events, ascending, and what there is to say about them. */
export interface Detailed {
  readonly seqs: Int32Array;
  readonly details: Details;
}
export interface StreamComparison {
  readonly eventsA: number;
  readonly eventsB: number;
  readonly matched: number;
  /** by their places; what only b has stands behind a's event of its place, in b's order */
  readonly differences: readonly StreamDifference[];
  /** events that had to be read again */
  readonly again: number;
  /** of all events, beside each other */
  readonly beside: Beside;
  readonly details: { readonly a: Detailed; readonly b: Detailed };
  readonly digests: { readonly a: TraceDigest; readonly b: TraceDigest };
}

/** Events of the pieces that are read together, of both sides. */
const BATCH = 1 << 18;
const NOTHING = new Int32Array(0);
/** Blocks that are read together. */
const TOGETHER = 1 << 10;
/** Exchanged names that other threads hear of. */
const MOST_EXCHANGED = 1 << 14;

export async function compareStreams(a: DiffSide, b: DiffSide): Promise<StreamComparison> {
  const [x, y] = await Promise.all([a.digest(), b.digest()]);
  return new Differ(a, b, x, y).run();
}

class Differ {
  readonly #a: DiffSide;
  readonly #b: DiffSide;
  readonly #x: TraceDigest;
  readonly #y: TraceDigest;
  readonly #differences: Omit<StreamDifference, 'place'>[] = [];
  readonly #order = new Order();
  readonly #beside = new Beside();
  /** names that stand for others, by the threads that made the things */
  readonly #exchanged: { readonly by: LanePair; readonly what: Exchange }[] = [];
  #only = { a: 0, b: 0 };
  #again = 0;

  constructor(a: DiffSide, b: DiffSide, x: TraceDigest, y: TraceDigest) {
    this.#a = a;
    this.#b = b;
    this.#x = x;
    this.#y = y;
  }

  async run(): Promise<StreamComparison> {
    const todo: { piece: Piece; plan: number }[] = [];
    const pairs = this.#pairs();
    for (const pair of pairs) for (const piece of planned(pair)) todo.push({ piece, plan: 0 });
    while (todo.length > 0) {
      const batch: Piece[] = [];
      for (let events = 0; todo.length > 0 && events < BATCH; ) {
        const { piece, plan } = todo.shift()!;
        if (plan < piece.pair.plan) continue;
        events += piece.events;
        batch.push(piece);
      }
      await this.#compare(batch, (piece) => todo.unshift({ piece, plan: piece.pair.plan }));
    }
    for (const pair of pairs) this.#rest(pair);
    this.#beside.finish();
    const details = await this.#details();
    return {
      eventsA: this.#x.events,
      eventsB: this.#y.events,
      matched: this.#x.events - this.#only.a,
      differences: await this.#ordered(details.b),
      details,
      again: this.#again,
      beside: this.#beside,
      digests: { a: this.#x, b: this.#y },
    };
  }

  /** Of what differs, and of b what has moved. */
  async #details(): Promise<StreamComparison['details']> {
    const there = (side: 'a' | 'b'): number[] => this.#differences.map((d) => d[side]).filter((seq) => seq !== 0);
    const seqsA = Int32Array.from(there('a')).sort();
    const seqsB = Int32Array.from(new Set([...this.#order.events, ...there('b')])).sort();
    const [x, y] = await Promise.all([this.#a.details(seqsA), this.#b.details(seqsB)]);
    return { a: { seqs: seqsA, details: x }, b: { seqs: seqsB, details: y } };
  }

  async #ordered({ seqs, details: { previous } }: Detailed): Promise<StreamDifference[]> {
    const index = new Map(Array.from(seqs, (seq, i) => [seq, 3 * i]));
    const before: BeforeOf = (b) => {
      const at = index.get(b)!;
      return { seq: previous[at]!, lane: previous[at + 1]!, nth: previous[at + 2]! };
    };
    const partners = await this.#partners(this.#order.anchors(before));
    const born = new Map(this.#y.processes.flatMap((p) => p.lanes.map((l) => [l.lane, p.born] as const)));
    const places = this.#order.places(
      before,
      ({ seq }) => partners.get(seq) ?? 0,
      (lane) => born.get(lane) ?? 0,
    );
    const found = this.#differences.map((d) => ({ ...d, place: d.a === 0 ? places.get(d.b)! : d.a }));
    return found.sort((p, q) => p.place - q.place || Number(p.a === 0) - Number(q.a === 0) || p.b - q.b);
  }

  /** The events of a beside some of b; only blocks of them are known, so those are read. */
  async #partners(anchors: readonly Before[]): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    const lanes = lanesOf(this.#x);
    const wanted = new Map<number, { readonly stretch: Stretch; readonly events: { readonly b: number; readonly nth: number }[] }>();
    for (const anchor of anchors) {
      const place = this.#beside.of('b', anchor);
      const lane = place && lanes.get(place.lane);
      if (place === undefined || lane === undefined) continue;
      const block = lane.at[blockWith(lane, place.nth)]!;
      const stretch = { lane: place.lane, first: lane.blocks[block + Block.FIRST]!, last: lane.blocks[block + Block.LAST]! };
      const known = wanted.get(block) ?? { stretch, events: [] };
      known.events.push({ b: anchor.seq, nth: place.nth - lane.nth[blockWith(lane, place.nth)]! });
      wanted.set(block, known);
    }
    const blocks = [...wanted.values()].sort((x, y) => x.stretch.first - y.stretch.first);
    for (let from = 0; from < blocks.length; from += TOGETHER) {
      const some = blocks.slice(from, from + TOGETHER);
      const { words, places } = await this.#a.records(some.map((w) => w.stretch));
      some.forEach(({ events }, i) => {
        for (const { b, nth } of events) found.set(b, words[places[i]![nth]! + Row.SEQ]!);
      });
    }
    return found;
  }

  // ---- who is who ----

  #pairs(): LanePair[] {
    const partners = matchDigests(this.#x, this.#y);
    const [lanesA, lanesB] = [lanesOf(this.#x), lanesOf(this.#y)];
    const pairs: LanePair[] = [];
    const taken = new Set<number>();
    const pair = (a: LaneDigest | undefined, b: LaneDigest | undefined): void => {
      pairs.push({
        a: a && lanesA.get(a.lane),
        b: b && lanesB.get(b.lane),
        called: new Map(),
        plan: 0,
        begun: false,
        heard: 0,
        beside: NOTHING,
      });
    };
    this.#x.processes.forEach((p, i) => {
      const q = this.#y.processes[partners[i]!];
      if (q !== undefined) taken.add(partners[i]!);
      if (q !== undefined && q.low === p.low && q.high === p.high) {
        p.lanes.forEach((lane, n) => {
          this.#same(lanesA.get(lane.lane)!, lanesB.get(q.lanes[n]!.lane)!);
        });
        return;
      }
      for (let n = 0; n < Math.max(p.lanes.length, q?.lanes.length ?? 0); n++) pair(p.lanes[n], q?.lanes[n]);
    });
    this.#y.processes.forEach((q, j) => {
      if (!taken.has(j)) for (const lane of q.lanes) pair(undefined, lane);
    });
    return pairs;
  }

  #same(a: LaneBlocks, b: LaneBlocks): void {
    this.#beside.add({ lane: a.lane, nth: 0 }, { lane: b.lane, nth: 0 }, a.events);
  }

  // ---- event by event ----

  async #compare(pieces: readonly Piece[], again: (piece: Piece) => void): Promise<void> {
    const stretch = (lane: LaneBlocks | undefined, from: number, to: number): Stretch[] => {
      if (lane === undefined || from >= to) return [];
      const [first, last] = [lane.blocks[lane.at[from]! + Block.FIRST]!, lane.blocks[lane.at[to - 1]! + Block.LAST]!];
      return [{ lane: lane.lane, first, last }];
    };
    const [sa, sb] = [pieces.flatMap((p) => stretch(p.pair.a, p.a0, p.a1)), pieces.flatMap((p) => stretch(p.pair.b, p.b0, p.b1))];
    const [ra, rb] = await Promise.all([this.#a.records(sa), this.#b.records(sb)]);
    let [ia, ib] = [0, 0];
    for (const piece of pieces) {
      const placesA = piece.a0 < piece.a1 ? ra.places[ia++]! : NOTHING;
      const placesB = piece.b0 < piece.b1 ? rb.places[ib++]! : NOTHING;
      this.#again += placesA.length + placesB.length;
      const { pair } = piece;
      const rest = (): Piece[] => pieces.slice(pieces.indexOf(piece) + 1).filter((p) => p.pair !== pair);
      // other threads have exchanged names that this one may tell: what was the same by name has to be looked at
      if (this.#hear(pair) && pair.plan === 0 && !pair.begun) {
        this.#replan(pair, 0, 0, again);
        return this.#compareRest(rest(), again);
      }
      pair.begun = true;
      const exchanged = this.#piece(piece, { words: ra.words, places: placesA }, { words: rb.words, places: placesB });
      if (exchanged && pair.plan === 0) {
        this.#replan(pair, piece.a1, piece.b1, again);
        return this.#compareRest(rest(), again);
      }
    }
  }

  /** From there on all of a pair is looked at event by event. */
  #replan(pair: LanePair, a: number, b: number, again: (piece: Piece) => void): void {
    pair.plan = 1;
    pair.beside.fill(-1, a);
    for (const p of cut(pair, a, pair.a!.at.length, b, pair.b!.at.length).reverse()) again(p);
  }

  /** The blocks that are the same and were in no piece. */
  #rest({ a, b, beside }: LanePair): void {
    if (a === undefined || b === undefined) return;
    beside.forEach((j, i) => {
      if (j >= 0) this.#beside.add({ lane: a.lane, nth: a.nth[i]! }, { lane: b.lane, nth: b.nth[j]! }, a.blocks[a.at[i]! + Block.EVENTS]!);
    });
  }

  #stand({ pair, a0, a1, b0 }: Piece, partners: Int32Array): void {
    const { a, b, beside } = pair;
    beside.fill(-1, a0, a1);
    if (a === undefined || b === undefined) return;
    const [firstA, firstB] = [a.nth[a0]!, b.nth[b0]!];
    partners.forEach((j, i) => {
      if (j >= 0) this.#beside.add({ lane: a.lane, nth: firstA + i }, { lane: b.lane, nth: firstB + j }, 1);
    });
  }

  /** The rest of a batch after its plan has changed. */
  async #compareRest(rest: readonly Piece[], again: (piece: Piece) => void): Promise<void> {
    if (rest.length > 0) await this.#compare(rest, again);
  }

  /** Takes names that were exchanged in other threads, as this one calls them; → whether there were any. */
  #hear(pair: LanePair): boolean {
    const { a, b } = pair;
    let heard = false;
    if (a === undefined || b === undefined) return false;
    for (; pair.heard < this.#exchanged.length; pair.heard++) {
      const { by, what } = this.#exchanged[pair.heard]!;
      if (by === pair) continue;
      const [x, y] = [relationOf(a.place, by.a!.place), relationOf(b.place, by.b!.place)];
      if (x === STRANGER || y === STRANGER) continue;
      exchange(pair.called, { a: nameIn(what.a, x), b: nameIn(what.b, y) });
      heard = true;
    }
    return heard;
  }

  /** → whether a name was found to stand for another */
  #piece(piece: Piece, a: Events, b: Events): boolean {
    const { pair } = piece;
    const { partners, moved, exchanged } = alignPiece(a, b, pair.called);
    const back = inverse(partners, b.places.length);
    for (const what of exchanged) if (this.#exchanged.length < MOST_EXCHANGED) this.#exchanged.push({ by: pair, what });
    const seq = (side: Events, i: number): number => side.words[side.places[i]! + Row.SEQ]!;
    const alone = new Set<number>();
    partners.forEach((j, i) => {
      if (j < 0) {
        this.#only.a++;
        this.#differences.push({ kind: 'only-a', a: seq(a, i), b: 0, asked: false, answered: false });
        alone.add(makerOf(a.words, a.places[i]!));
      } else if (!agree(pair.called, a.words, a.places[i]!, b.words, b.places[j]!))
        this.#differences.push({ kind: 'changed', a: seq(a, i), b: seq(b, j), ...likeness(a, i, b, j) });
    });
    this.#place(piece, a, b, back, new Set(moved.map((i) => partners[i]!)));
    this.#stand(piece, partners);
    alone.delete(0);
    let takenOver = false;
    back.forEach((i, j) => {
      if (i >= 0) return;
      this.#only.b++;
      this.#differences.push({ kind: 'only-b', a: 0, b: seq(b, j), asked: false, answered: false });
      takenOver ||= alone.has(makerOf(b.words, b.places[j]!));
    });
    return exchanged.length > 0 || takenOver;
  }

  #place({ pair, a0, a1 }: Piece, a: Events, b: Events, back: Int32Array, moved: ReadonlySet<number>): void {
    if (pair.b === undefined) return;
    const seqs = b.places.map((at) => b.words[at + Row.SEQ]!);
    const partners = back.map((i, j) => (i < 0 || moved.has(j) ? 0 : a.words[a.places[i]! + Row.SEQ]!));
    const block = (n: number, word: number): number | undefined => pair.a?.blocks[pair.a.at[n]! + word];
    const least = a0 > 0 ? block(a0 - 1, Block.LAST)! : 0;
    const most = pair.a !== undefined && a1 < pair.a.at.length ? block(a1, Block.FIRST)! - 1 : this.#x.last;
    this.#order.piece(pair.b.lane, seqs, partners, least, most);
  }
}

function likeness(a: Events, i: number, b: Events, j: number): { readonly asked: boolean; readonly answered: boolean } {
  const [p, q] = [a.places[i]!, b.places[j]!];
  const same = (word: number): boolean => a.words[p + word] === b.words[q + word] && a.words[p + word + 1] === b.words[q + word + 1];
  return { asked: same(Row.ASKED), answered: same(Row.ANSWERED) };
}
