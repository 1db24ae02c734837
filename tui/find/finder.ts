/**
 * Looks for all matches of a text through the log, in slices of some milliseconds: outward from where the cursor is, so that
 * what is around it is known first. Nobody waits for it; a new text gets a new finder and the old one is dropped.
 */
import { type Change, revertAll } from '../../replayer/change.ts';
import { Folder } from '../../replayer/decide.ts';
import { planOf } from '../../replayer/plan.ts';
import type { QueryEvent } from '../../replayer/query-match.ts';
import type { EventView } from '../../store/read.ts';
import type { TraceModel } from '../model.ts';
import { BLOCK, Hits } from './hits.ts';
import type { Needle } from './needle.ts';

/** Rows of one query. */
const PAGE = 256;
/** Numbers of rows of one query where nothing is left to look at in them. */
const SEQS = 4096;
/** Events between two looks at the clock. */
const STEPS = 16;
/** Milliseconds that one query of the index should take. */
const QUERY = 3;
/** Blocks that one query speaks of at most. */
const BLOCKS = 64;

export class Finder {
  readonly text: string;
  readonly needle: Needle;
  readonly hits: Hits;
  readonly #model: TraceModel;
  /** blocks of one query, by what the last ones took */
  #blocks = 1;
  #focus = 1;
  #fold: Fold | undefined;

  constructor(model: TraceModel, text: string, needle: Needle, at: number) {
    this.#model = model;
    this.text = text;
    this.needle = needle;
    this.hits = new Hits(model.last);
    this.#focus = Math.max(1, at);
  }

  /** The part of the log that has been looked at, 0 to 1. */
  get progress(): number {
    return this.hits.last === 0 ? 1 : this.hits.known / this.hits.last;
  }
  get done(): boolean {
    return this.needle.kind === 'wrong' || this.hits.done;
  }

  /** Where to look first from now on. */
  set focus(seq: number) {
    this.#focus = Math.max(1, Math.min(seq, Math.max(1, this.hits.last)));
  }

  /** The log has grown. */
  grow(): void {
    this.hits.grow(this.#model.last);
  }

  /** Looks on until the deadline (as performance.now()), and for a little at least. → all is known */
  work(deadline: number): boolean {
    while (!this.done) {
      if (this.needle.kind === 'folded') this.#workFolded(deadline);
      else this.#workAt(this.#pick(), deadline);
      if (performance.now() >= deadline) break;
    }
    return this.done;
  }

  /** The block nearest to the focus that is not known yet. */
  #pick(): number {
    const { hits } = this;
    const middle = Math.min(hits.blocks - 1, hits.blockOf(this.#focus));
    for (let by = 0; by < hits.blocks; by++) {
      for (const block of [middle + by, middle - by]) {
        if (block >= 0 && block < hits.blocks && !hits.blockDone(block)) return block;
      }
    }
    return 0;
  }

  #workAt(block: number, deadline: number): void {
    const { hits, needle } = this;
    const { from, to } = hits.open(block);
    if (needle.kind === 'printed') this.#lookAt(from, to, deadline, (seq) => needle.test(seq));
    else if (needle.kind === 'rows' && needle.also === undefined) this.#query(from, this.#far(block, to));
    else if (needle.kind === 'rows') this.#rows(from, to);
  }

  /** So many blocks as a query may speak of, upwards, as long as they are all untouched. */
  #far(block: number, to: number): number {
    const { hits } = this;
    let end = to;
    for (let b = block + 1; b < Math.min(hits.blocks, block + this.#blocks); b++) {
      const open = hits.open(b);
      if (open.from !== b * BLOCK + 1 || hits.blockDone(b)) break;
      end = open.to;
    }
    return end;
  }

  /** The index alone. */
  #query(from: number, to: number): void {
    if (this.needle.kind !== 'rows') return;
    const { rows } = this.needle;
    const began = performance.now();
    const [low, high] = [Math.max(from, rows.from), Math.min(to, rows.to)];
    const found = low > high ? [] : this.#model.reader.seqs(rows.where, rows.params, { ...rows.hints, from: low, to: high, limit: SEQS });
    for (const seq of found) this.hits.add(seq);
    this.hits.looked(from, found.length < SEQS ? to : found.at(-1)!);
    const took = performance.now() - began;
    if (took > QUERY) this.#blocks = Math.max(1, this.#blocks >> 1);
    else if (took < QUERY / 2) this.#blocks = Math.min(BLOCKS, this.#blocks * 2);
  }

  /** The index, and each event that it lets through. */
  #rows(from: number, to: number): void {
    if (this.needle.kind !== 'rows') return;
    const { rows, also } = this.needle;
    const [low, high] = [Math.max(from, rows.from), Math.min(to, rows.to)];
    const found = low > high ? [] : this.#model.reader.select(rows.where, rows.params, { ...rows.hints, from: low, to: high, limit: PAGE });
    for (const row of found) {
      const event = this.#model.queryEvent(row.seq, row);
      if (event !== undefined && also!(event)) this.hits.add(row.seq);
    }
    this.hits.looked(from, found.length < PAGE ? to : found.at(-1)!.seq);
  }

  #lookAt(from: number, to: number, deadline: number, test: (seq: number) => boolean): void {
    let seq = from;
    for (; seq <= to; seq++) {
      if (test(seq)) this.hits.add(seq);
      if (seq % STEPS === 0 && performance.now() >= deadline) break;
    }
    this.hits.looked(from, Math.min(seq, to));
  }

  /** Forward from near the focus, where the screens have a state; then what is left, from the beginning on. */
  #workFolded(deadline: number): void {
    if (this.needle.kind !== 'folded') return;
    const { hits } = this;
    const { test } = this.needle;
    this.#fold ??= new Fold(this.#model, hits.blockOf(this.#focus) * BLOCK);
    const next = this.#fold.seq + 1;
    const { from } = hits.open(this.#firstOpen());
    if (next !== from && (next > hits.last || hits.isKnown(next))) this.#fold = new Fold(this.#model, hits.blockOf(from) * BLOCK);
    this.#fold.run(deadline, (event, seq) => {
      if (hits.isKnown(seq)) return;
      if (test(event)) hits.add(seq);
      hits.looked(seq, seq);
    });
  }

  #firstOpen(): number {
    for (let b = 0; b < this.hits.blocks; b++) if (!this.hits.blockDone(b)) return b;
    return 0;
  }
}

/** A state of its own that goes through the log with the matcher. */
class Fold {
  readonly #model: TraceModel;
  readonly #folder: Folder;
  /** the first event that is looked at: where a block begins */
  readonly #begin: number;

  /** From a state that the screens have, at `before` or not far before it; else from the beginning. */
  constructor(model: TraceModel, before: number) {
    this.#model = model;
    this.#folder = new Folder(planOf(model.table), model.timeline.fork(before));
    this.#begin = Math.ceil(this.seq / BLOCK) * BLOCK + 1;
  }

  get seq(): number {
    return this.#folder.state.seq;
  }

  run(deadline: number, look: (event: QueryEvent, seq: number) => void): void {
    for (const batch of this.#model.source.scan(this.seq + 1, this.seq + PAGE)) {
      for (let i = 0; i < batch.count; i++) {
        this.#step(batch.buffer, batch.offsets[i]!, batch.first + i, look);
        if (i % STEPS === 0 && performance.now() >= deadline) return;
      }
    }
  }

  /** The event is folded when the matcher asks what it changed, and unfolded when it asks what was before. */
  #step(buffer: Buffer, offset: number, seq: number, look: (event: QueryEvent, seq: number) => void): void {
    const folder = this.#folder;
    const before = folder.state.seq;
    let changes: readonly Change[] | undefined;
    let after = false;
    const forward = (): readonly Change[] => {
      if (!after) changes = folder.fold(buffer, offset);
      after = true;
      return changes!;
    };
    const model = this.#model;
    let row: EventView | undefined;
    const event: QueryEvent = {
      get row() {
        row ??= model.row(seq);
        return row;
      },
      get frame() {
        return model.eventOrGap(seq);
      },
      get changes() {
        return changes ?? forward();
      },
      get before() {
        if (after) revertAll(folder.state, changes!);
        folder.state.seq = before;
        after = false;
        return folder.state;
      },
    };
    if (seq >= this.#begin) look(event, seq);
    forward();
    folder.state.seq = seq;
  }
}
