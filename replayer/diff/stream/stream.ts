/**
 * A trace as a stream: for each event sums of what was asked, what was answered and what it is about (by name), and its thread.
 * Memory does not grow with the trace but for a few words a process.
 */
import type { UapiTable } from '../../../hw/uapi/table.ts';
import { FileKind, Kind, State } from '../../../store/frame.ts';
import type { Change } from '../../change.ts';
import { EventBytes } from '../../event.ts';
import { planOf } from '../../plan.ts';
import type { WholeBatch } from '../../whole-calls.ts';
import { calledOf, Meaning } from '../meaning/meaning.ts';
import type { Withheld } from '../meaning/withheld.ts';
import { About } from './about.ts';
import type { Detailing } from './details.ts';
import { type LaneListener, Lanes } from './lanes.ts';
import { Recipes } from './recipes.ts';
import { Said, ShortWay } from './short.ts';
import { Sums } from './sums.ts';
import { makes, Tracking } from './tracking.ts';

/** Takes what the stream says. */
export interface Listener extends LaneListener {
  event(said: Said): void;
}

export interface StreamOptions {
  /** false: everything goes through meaning.ts; for tests */
  readonly recipes?: boolean;
  /** the things that events are about are listed, too */
  readonly links?: boolean;
  /** looks at some events more closely */
  readonly details?: Detailing;
  /** what is not told; of a stream that goes on from another one what that one does not tell */
  readonly withheld?: Withheld;
}

export class EventStream {
  readonly #table: UapiTable;
  readonly #meaning: Meaning;
  readonly #recipes: Recipes;
  readonly #tracking: Tracking;
  readonly #lanes: Lanes;
  readonly #listener: Listener;
  readonly #short: ShortWay | undefined;
  readonly #event = new EventBytes();
  readonly #sums: Sums;
  readonly #said: Said;
  readonly #links: boolean;
  readonly #details: Detailing | undefined;
  /** the last event */
  readonly #previous = { seq: 0, lane: 0, nth: 0 };
  /** events that went the short way */
  short = 0;

  /** `from`: goes on where that one is */
  constructor(table: UapiTable, listener: Listener, options: StreamOptions = {}, from?: EventStream) {
    const plan = planOf(table);
    this.#table = table;
    this.#listener = listener;
    this.#links = options.links ?? false;
    this.#details = options.details;
    this.#meaning = from === undefined ? new Meaning(table, options.withheld) : from.#meaning;
    this.#recipes = from === undefined ? new Recipes(this.#meaning, plan) : from.#recipes;
    this.#tracking = new Tracking(plan, from === undefined ? undefined : from.#tracking);
    this.#lanes = new Lanes(listener, from === undefined ? undefined : from.#lanes);
    const about = new About((origin) => this.#tracking.nameOf(origin));
    this.#said = new Said(about);
    this.#sums = new Sums((origin) => this.#lanes.named(this.#tracking.nameOf(origin)), about);
    if (from !== undefined) Object.assign(this.#previous, from.#previous);
    if (options.details !== undefined) options.details.links.live = this.#tracking.live;
    if (options.recipes !== false) this.#short = new ShortWay(this.#said, this.#recipes, this.#tracking, this.#lanes, this.#links);
  }

  /** A stream of its own that goes on from here. */
  copy(listener: Listener, options: StreamOptions = {}): EventStream {
    return new EventStream(this.#table, listener, options, this);
  }

  batch(batch: WholeBatch): void {
    if (batch.taken === true) return;
    const { buffer, offsets, first, count } = batch;
    const short = buffer.byteOffset % 4 === 0 ? this.#short : undefined;
    const words = short === undefined ? new Uint32Array(0) : new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2);
    const e = this.#event;
    for (let i = 0; i < count; i++) {
      const offset = offsets[i]!;
      const seq = first + i;
      if (short !== undefined && (offset & 3) === 0) {
        if (e.buffer !== buffer) e.read(buffer, offset);
        e.offset = offset;
        if (short.event(words, offset, seq, e)) {
          if (this.#details?.wants(seq) === true && e.read(buffer, offset)) this.#closer(e, this.#details);
          this.short++;
          this.#tell(seq, false);
          continue;
        }
      }
      if (e.read(buffer, offset)) this.#long(e, seq);
    }
  }

  #long(e: EventBytes, seq: number): void {
    const tracking = this.#tracking;
    const sums = this.#sums;
    const said = this.#said;
    const { live } = tracking;
    const lane = this.#lanes.place(e, seq);
    const details = this.#details?.wants(seq) === true ? this.#details : undefined;
    const links = details?.links ?? live;
    sums.begin();
    said.about.begin(seq);
    if (this.#links) {
      said.links.length = 0;
      sums.links = said.links;
    }
    live.begin();
    this.#meaning.ask(e, links, sums);
    const { chose } = this.#meaning;
    let changes: readonly Change[] = [];
    if (!tracking.calm(e)) changes = tracking.fold(e, seq, chose);
    // an answer may name what the event has made
    const faults = e.fileKind === FileKind.FAULT && live.hand(e, seq, this.#meaning.cookies(e));
    const maker = faults || (changes.length > 0 && makes(changes, chose));
    if (maker) tracking.name(seq, this.#lanes.made(lane, sums.askedLow, sums.askedHigh));
    this.#meaning.answer(e, links, sums);
    const isCall = e.kind === Kind.IOCTL && e.state !== State.ENTERED && e.fileKind === FileKind.IOMMUFD;
    said.about.end(
      isCall,
      changes.some((c) => c.op === 'object.create' || c.op === 'area.add'),
    );
    if (maker) tracking.nameOf(seq * 8).on = said.about.on;
    details?.take(e, lane, this.#previous, changes, (thing) => tracking.nameOf(thing));
    said.lane = lane;
    said.askedLow = sums.askedLow;
    said.askedHigh = sums.askedHigh;
    said.answeredLow = sums.answeredLow;
    said.answeredHigh = sums.answeredHigh;
    said.linkedLow = sums.linkedLow;
    said.linkedHigh = sums.linkedHigh;
    said.called = calledOf(e, e.kind === Kind.IOCTL ? this.#meaning.command(e) : undefined);
    this.#tell(seq, maker);
    this.#lanes.after(e, seq, lane);
  }

  /** An event that changes nothing that is followed, and has been told. */
  #closer(e: EventBytes, details: Detailing): void {
    this.#tracking.live.begin();
    this.#sums.begin();
    this.#said.about.begin(e.seq);
    this.#meaning.ask(e, details.links, this.#sums);
    this.#meaning.answer(e, details.links, this.#sums);
    details.take(e, this.#said.lane, this.#previous, [], (thing) => this.#tracking.nameOf(thing));
  }

  /** Values that were not told, so far. */
  get withheld(): number {
    return this.#meaning.withheld;
  }

  /** Events that the trace says it has lost, so far. */
  get lost(): number {
    return this.#tracking.state.dropped;
  }

  #tell(seq: number, maker: boolean): void {
    const said = this.#said;
    said.seq = seq;
    said.maker = maker ? this.#tracking.nameOf(seq * 8) : undefined;
    said.lane.events++;
    this.#listener.event(said);
    said.lane.last = seq;
    const previous = this.#previous;
    previous.seq = seq;
    previous.lane = said.lane.lane;
    previous.nth = said.lane.events - 1;
  }
}
