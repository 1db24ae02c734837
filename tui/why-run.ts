/**
 * The `why` of the event under the cursor, worked out beside the keys: the rules have to be run along the log as far as
 * the event, which is a matter of minutes in a long one. So the way is gone in slices, an event that is near (or that was
 * asked for) at once, and what was explained on the way is kept: errors, and the events just passed. The rules are a
 * quarter of the program, and are loaded when the first event wants them.
 */

import type { MachineName } from '../hw/iommufd/machine.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import type { FrameSource } from '../replayer/fold.ts';
import type { Explainer, Why } from '../replayer/why.ts';
import { FrameCursor, Kind } from '../store/frame.ts';

/** Events that are run without being asked: half a second or so. */
const NEAR = 8192;
/** Events before the wanted one that are explained as well: a person steps back. */
const BEHIND = 64;
/** Explanations that are kept. */
const KEPT = 4096;
/** Events between two looks at the clock. */
const STEPS = 16;
/** Events of one scan. */
const SPAN = 2048;

const EXPLAINED: ReadonlySet<number> = new Set([Kind.IOCTL, Kind.MMAP, Kind.READ, Kind.WRITE]);

let rules: typeof import('../replayer/why.ts') | undefined;
let loading: Promise<void> | undefined;

/** Settles when the rules have been loaded. */
export function loadRules(): Promise<void> {
  loading ??= import('../replayer/why.ts').then((loaded) => {
    rules = loaded;
  });
  return loading;
}

/** What there is to say of an event's `why`. */
export type WhyState =
  /** it is no call that the rules know */
  | { readonly kind: 'none' }
  | { readonly kind: 'known'; readonly why: Why }
  /** the rules have to be run over so many events first, and nobody has asked for it */
  | { readonly kind: 'far'; readonly events: number }
  /** 0 to 1 */
  | { readonly kind: 'running'; readonly done: number };

export class WhyRun {
  readonly #source: FrameSource;
  readonly #machine: MachineName | undefined;
  readonly #table: UapiTable;
  readonly #known = new Map<number, Why | undefined>();
  readonly #cursor = new FrameCursor();
  #explainer: Explainer | undefined;
  #wanted = 0;
  #from = 0;

  constructor(source: FrameSource, table: UapiTable, machine: MachineName | undefined) {
    this.#source = source;
    this.#machine = machine;
    this.#table = table;
  }

  /** What is known of an event. `asked`: it may take as long as it takes. */
  state(seq: number, asked: boolean): WhyState {
    if (this.#known.has(seq)) {
      const why = this.#known.get(seq);
      return why === undefined ? { kind: 'none' } : { kind: 'known', why };
    }
    const events = this.#distance(seq);
    if (events > NEAR && !asked) return { kind: 'far', events };
    const at = this.#wanted === seq ? (this.#explainer?.at ?? 0) : this.#start(seq);
    const from = this.#wanted === seq ? this.#from : at;
    return { kind: 'running', done: seq <= from ? 0 : Math.max(0, (at - from) / (seq - from)) };
  }

  /** Works towards an event until the deadline (as performance.now()); true when there is no more to do for it. */
  work(seq: number, asked: boolean, deadline: number): boolean {
    if (seq < 1 || this.#known.has(seq) || (!asked && this.#distance(seq) > NEAR)) return true;
    if (rules === undefined) {
      void loadRules();
      return false;
    }
    if (this.#wanted !== seq) this.#begin(seq, rules);
    while (!this.#known.has(seq)) if (!this.#slice(seq, deadline)) return false;
    return true;
  }

  /** Events that have to be run to know about one. */
  #distance(seq: number): number {
    return seq - this.#start(seq);
  }

  /** The event after which the way to `seq` begins. */
  #start(seq: number): number {
    const at = this.#explainer?.at ?? 0;
    return at < seq ? at : 0;
  }

  #begin(seq: number, { Explainer }: typeof import('../replayer/why.ts')): void {
    this.#from = this.#start(seq);
    if (this.#explainer === undefined || this.#from === 0) {
      this.#explainer = new Explainer(this.#table, this.#source.last, { machine: this.#machine });
    }
    this.#wanted = seq;
  }

  /** A part of the way; false when the time is over. */
  #slice(seq: number, deadline: number): boolean {
    const explainer = this.#explainer!;
    const from = explainer.at + 1;
    for (const batch of this.#source.scan(from, Math.min(seq, from + SPAN - 1))) {
      for (let i = 0; i < batch.count; i++) {
        this.#next(explainer, batch.buffer, batch.offsets[i]!, batch.first + i, seq);
        if (i % STEPS === 0 && performance.now() > deadline) return this.#known.has(seq);
      }
    }
    // a trace that ends before: nothing will ever be known
    if (explainer.at < from) this.#keep(seq, undefined);
    return true;
  }

  #next(explainer: Explainer, buffer: Buffer, frame: number, seq: number, wanted: number): void {
    const f = this.#cursor.at(buffer, frame);
    const worth = EXPLAINED.has(f.kind) && (f.error !== 0 || seq > wanted - BEHIND);
    if (worth) this.#keep(seq, explainer.explain(buffer, frame));
    else {
      explainer.take(buffer, frame);
      if (seq > wanted - BEHIND) this.#keep(seq, undefined);
    }
  }

  #keep(seq: number, why: Why | undefined): void {
    this.#known.set(seq, why);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value!);
  }
}
