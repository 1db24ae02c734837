/**
 * A trace by its threads, and each thread by blocks of events, of which a digest is kept. Where a block ends follows from
 * what its events say, so an event more or less moves no later block's ends. Some 0.1 bytes an event.
 */
import { Asks } from './asks.ts';
import type { LiveLane } from './lanes.ts';
import type { Said } from './short.ts';
import { addTo, newSketches, SKETCH } from './sketch.ts';
import type { Listener } from './stream.ts';
import { mixHigh, mixLow } from './sums.ts';

/** Events of a block: about, at least, at most. */
export interface BlockSizes {
  /** a power of two */
  readonly about: number;
  readonly least: number;
  readonly most: number;
}
export const BLOCKS: BlockSizes = { about: 256, least: 32, most: 1024 };

/** Words of a block in {@link TraceDigest.blocks}. */
export const Block = { LANE: 0, LOW: 1, HIGH: 2, ASKED: 3, EVENTS: 4, FIRST: 5, LAST: 6, WORDS: 7 } as const;

export interface LaneDigest {
  readonly lane: number;
  readonly ordinal: number;
  events: number;
  /** of all that it asks and is answered */
  low: number;
  high: number;
  /** the same, what it refers to left aside */
  saidLow: number;
  saidHigh: number;
}
export interface ProcessDigest {
  readonly pid: number;
  exe: string;
  readonly lanes: LaneDigest[];
  /** of all that its threads ask and are answered */
  low: number;
  high: number;
  /** the same, what it refers to left aside: 53 bits */
  said: number;
  events: number;
  /** index of the process that forked it, -1 not known */
  parent: number;
  /** the event of the fork, else its own first */
  born: number;
}

export interface TraceDigest {
  readonly events: number;
  /** number of the last event, which is more where numbers are left out */
  readonly last: number;
  /** events that the trace says it has lost */
  readonly lost: number;
  /** values that were not told */
  readonly withheld: number;
  readonly processes: readonly ProcessDigest[];
  /** of the processes, one after the other; see sketch.ts */
  readonly sketches: Uint32Array;
  /** what processes ask that do not ask much; see asks.ts */
  readonly asks: Int32Array;
  /** in order of their ends */
  readonly blocks: Int32Array;
}

interface Open {
  readonly digest: LaneDigest;
  readonly process: ProcessDigest;
  low: number;
  high: number;
  asked: number;
  count: number;
  first: number;
  last: number;
}

export class Digests implements Listener {
  readonly #sizes: BlockSizes;
  readonly #processes = new Map<number, ProcessDigest>();
  readonly #order: ProcessDigest[] = [];
  readonly #open = new Map<number, Map<number, Open>>();
  #blocks = new Int32Array(1 << 12);
  #used = 0;
  #sketches = newSketches(16);
  readonly #asks = new Asks();
  #events = 0;
  #last = 0;
  #laneNow: LiveLane | undefined;
  #now: Open | undefined;

  constructor(sizes: BlockSizes = BLOCKS) {
    this.#sizes = sizes;
  }

  begin(process: number, pid: number): void {
    const made: ProcessDigest = {
      pid,
      exe: '',
      lanes: [],
      low: 0,
      high: 0,
      said: 0,
      events: 0,
      parent: -1,
      born: 0,
    };
    this.#processes.set(process, made);
    // processes are numbered from 1 in the order in which they begin
    this.#order.push(made);
    if (this.#order.length * SKETCH > this.#sketches.length) {
      const larger = newSketches(2 * this.#order.length);
      larger.set(this.#sketches);
      this.#sketches = larger;
    }
    this.#open.set(process, new Map());
  }
  forked(process: number, parent: number, born: number): void {
    const digest = this.#processes.get(process)!;
    digest.parent = parent - 1;
    digest.born = born;
  }
  exe(process: number, exe: string): void {
    this.#processes.get(process)!.exe = exe;
  }
  end(process: number): void {
    for (const open of this.#open.get(process)!.values()) this.#close(open);
    this.#open.delete(process);
    this.#processes.delete(process);
    this.#laneNow = this.#now = undefined;
  }

  #openOf(lane: LiveLane): Open {
    if (this.#laneNow === lane) return this.#now!;
    const lanes = this.#open.get(lane.process.process)!;
    let open = lanes.get(lane.lane);
    if (open === undefined) {
      const process = this.#processes.get(lane.process.process)!;
      const digest: LaneDigest = { lane: lane.lane, ordinal: lane.ordinal, events: 0, low: 0, high: 0, saidLow: 0, saidHigh: 0 };
      process.lanes.push(digest);
      open = { digest, process, low: 0, high: 0, asked: 0, count: 0, first: 0, last: 0 };
      lanes.set(lane.lane, open);
    }
    this.#laneNow = lane;
    this.#now = open;
    return open;
  }

  event(s: Said): void {
    const open = this.#openOf(s.lane);
    if (open.count === 0) open.first = s.seq;
    let low = Math.imul(open.low ^ s.askedLow, 0x9e37_79b1);
    low = Math.imul(low ^ (low >>> 15) ^ s.answeredLow, 0x85eb_ca6b);
    open.low = Math.imul(low ^ (low >>> 13) ^ s.linkedLow, 0xc2b2_ae35);
    let high = Math.imul((open.high + s.askedHigh) | 0, 0x85eb_ca6b);
    high = Math.imul((high ^ (high >>> 16)) + s.answeredHigh, 0xcc9e_2d51);
    open.high = Math.imul((high ^ (high >>> 14)) + s.linkedHigh, 0x1b87_3593);
    const { digest } = open;
    digest.saidLow = Math.imul(digest.saidLow ^ s.askedLow ^ (s.answeredLow >>> 3), 0x9e37_79b1) ^ s.answeredLow;
    digest.saidHigh = Math.imul((digest.saidHigh + s.askedHigh) ^ (s.answeredHigh >>> 5), 0x85eb_ca6b) + s.answeredHigh;
    // what it is called matters to those that name it later
    if (s.maker !== undefined) open.high = Math.imul(open.high ^ s.maker.low, 0x9e37_79b1);
    const asked = Math.imul(open.asked ^ s.askedHigh, 0x9e37_79b1);
    open.asked = asked ^ (asked >>> 15);
    open.last = s.seq;
    open.count++;
    this.#events++;
    this.#last = s.seq;
    const { process } = open;
    if (process.events++ === 0 && process.born === 0) process.born = s.seq;
    this.#asks.add(s.lane.process.process - 1, s, process.events);
    addTo(this.#sketches, (s.lane.process.process - 1) * SKETCH, s, process.events);
    const { about, least, most } = this.#sizes;
    if ((open.count >= least && ((s.askedHigh >>> 7) & (about - 1)) === 0) || open.count >= most) this.#close(open);
  }

  #close(open: Open): void {
    if (open.count === 0) return;
    if (this.#used + Block.WORDS > this.#blocks.length) {
      const larger = new Int32Array(this.#blocks.length * 2);
      larger.set(this.#blocks);
      this.#blocks = larger;
    }
    const b = this.#blocks;
    const at = this.#used;
    b[at + Block.LANE] = open.digest.lane;
    b[at + Block.LOW] = open.low;
    b[at + Block.HIGH] = open.high;
    b[at + Block.ASKED] = open.asked;
    b[at + Block.EVENTS] = open.count;
    b[at + Block.FIRST] = open.first;
    b[at + Block.LAST] = open.last;
    this.#used += Block.WORDS;
    const { digest } = open;
    digest.events += open.count;
    digest.low = Math.imul(digest.low ^ open.low, 0x85eb_ca6b) ^ (digest.low >>> 11);
    digest.high = Math.imul(digest.high + open.high, 0xc2b2_ae35) ^ (digest.high >>> 13);
    open.low = open.high = open.asked = open.count = 0;
  }

  result(lost: number, withheld: number): TraceDigest {
    for (const lanes of this.#open.values()) for (const open of lanes.values()) this.#close(open);
    for (const process of this.#order) {
      // in which order threads came to their ends does not matter
      let [saidLow, saidHigh] = [0, 0];
      for (const lane of process.lanes) {
        saidLow = (saidLow + mixLow(lane.ordinal, lane.saidLow, lane.saidHigh)) | 0;
        saidHigh = (saidHigh + mixHigh(lane.ordinal, lane.saidLow, lane.saidHigh)) | 0;
      }
      process.said = (saidLow >>> 0) * 0x20_0000 + (saidHigh >>> 11);
      for (const { ordinal, low, high } of process.lanes) {
        process.low = (process.low + mixLow(ordinal, low, high)) | 0;
        process.high = (process.high + mixHigh(ordinal, low, high)) | 0;
      }
    }
    return {
      events: this.#events,
      last: this.#last,
      lost,
      withheld,
      processes: this.#order,
      sketches: this.#sketches.slice(0, this.#order.length * SKETCH),
      asks: this.#asks.result(),
      blocks: this.#blocks.slice(0, this.#used),
    };
  }
}
