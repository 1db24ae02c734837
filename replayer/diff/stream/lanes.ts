/**
 * Processes and threads of a stream, while they live, by the rules of reading.ts; and what things are called in each of them.
 * Memory: what lives, and a few words for each pid that was forked and has not been seen.
 */
import { Fork, Kind } from '../../../store/frame.ts';
import type { EventBytes } from '../../event.ts';
import { mixHigh, mixLow, type Named } from './sums.ts';

/** A thread, while it lives. */
export interface LiveLane {
  readonly lane: number;
  readonly process: LiveProcess;
  readonly tid: number;
  /** of the threads of its process */
  readonly ordinal: number;
  /** events so far */
  events: number;
  /** the last of them */
  last: number;
  /** how often a thing was made by the same words */
  readonly made: Map<number, number>;
}

export interface LiveProcess {
  /** from 1, in order of their first events */
  readonly process: number;
  readonly pid: number;
  /** numbers of its forefathers, the nearest first */
  parents: readonly number[];
  /** its first event */
  readonly first: number;
  readonly lanes: Map<number, LiveLane>;
}

/** The event that made a thing: which of its like in its thread. */
export interface MakerName extends Named {
  readonly lane: number;
  readonly process: number;
  readonly ordinal: number;
  /** which of the events of its thread */
  readonly nth: number;
  /** the objects and areas that what it made depends on; undefined: they are too many */
  on: readonly number[] | undefined;
}
export const NO_MAKER: MakerName = { low: 0, high: 0, lane: 0, process: 0, ordinal: 0, nth: 0, on: [] };

/** Takes what becomes of processes. */
export interface LaneListener {
  begin(process: number, pid: number): void;
  /** who forked it, and when */
  forked(process: number, parent: number, born: number): void;
  exe(process: number, exe: string): void;
  end(process: number): void;
}

/** Events within which a child may be seen before the fork that made it. */
const SOON = 256;
/** Forefathers that a process knows. */
export const GENERATIONS = 16;
/** Words that make things that are counted one by one; beyond that they share counts. */
const MADE = 1 << 12;

export class Lanes {
  readonly #listener: LaneListener;
  readonly #living = new Map<number, LiveProcess>();
  /** by pid of a child that has not done anything yet */
  readonly #forks = new Map<number, { readonly parents: readonly number[]; readonly seq: number }>();
  #processes = 0;
  #lanes = 0;
  /** the thread of the last event */
  now: LiveLane | undefined;

  /** `from`: goes on where those are */
  constructor(listener: LaneListener, from?: Lanes) {
    this.#listener = listener;
    if (from === undefined) return;
    this.#processes = from.#processes;
    this.#lanes = from.#lanes;
    for (const [pid, fork] of from.#forks) this.#forks.set(pid, fork);
    for (const [pid, p] of from.#living) {
      const process: LiveProcess = { ...p, lanes: new Map() };
      for (const [tid, l] of p.lanes) process.lanes.set(tid, { ...l, process, made: new Map(l.made) });
      this.#living.set(pid, process);
    }
  }

  /** The thread of an event. */
  at(pid: number, tid: number, seq: number): LiveLane {
    const last = this.now;
    if (last !== undefined && last.tid === tid && last.process.pid === pid) return last;
    const process = this.#living.get(pid) ?? this.#begun(pid, seq);
    let lane = process.lanes.get(tid);
    if (lane === undefined) {
      lane = { lane: ++this.#lanes, process, tid, ordinal: process.lanes.size, events: 0, last: 0, made: new Map() };
      process.lanes.set(tid, lane);
    }
    this.now = lane;
    return lane;
  }

  /** The same, where the event may be one of a process's life. */
  place(e: EventBytes, seq: number): LiveLane {
    const known = this.#living.has(e.pid);
    const lane = this.at(e.pid, e.tid, seq);
    if (e.kind !== Kind.START) return lane;
    const { process } = lane;
    const parent = known || process.parents.length > 0 ? undefined : this.#living.get(e.arg32(0));
    if (parent !== undefined && parent !== process) this.#fork(process, familyOf(parent), seq);
    this.#listener.exe(process.process, e.text(0).replace(/^.*\//s, ''));
    return lane;
  }

  /** What the event does to processes; it has been told. */
  after(e: EventBytes, seq: number, lane: LiveLane): void {
    if (e.kind === Kind.EXIT) this.#gone(e.pid);
    if (e.kind !== Kind.FORK || e.ret <= 0) return;
    const known = this.#living.get(e.ret);
    if (known !== undefined && known.first > seq - SOON) {
      if (known.parents.length === 0) this.#fork(known, familyOf(lane.process), Math.min(seq, known.first));
      return;
    }
    // the pid of a new child is that of no older process
    if (e.request === Fork.FORK) this.#gone(e.ret);
    if (known === undefined || e.request === Fork.FORK) this.#forks.set(e.ret, { parents: familyOf(lane.process), seq });
  }

  /** A name for what an event of a thread makes, which asks for it with these words. */
  made(lane: LiveLane, askedLow: number, askedHigh: number): MakerName {
    let key = (askedLow >>> 0) * 0x20_0000 + (askedHigh >>> 11);
    if (lane.made.size >= MADE && !lane.made.has(key)) key = askedLow & (MADE - 1);
    const count = (lane.made.get(key) ?? 0) + 1;
    lane.made.set(key, count);
    const { process } = lane.process;
    return {
      low: mixLow(askedLow, count, 1) | 1,
      high: mixHigh(askedHigh, count, 1),
      lane: lane.lane,
      process,
      ordinal: lane.ordinal,
      nth: lane.events,
      on: [],
    };
  }

  /** What a thing is called in the thread whose event is read: of other threads by who they are to it. */
  named(name: MakerName): Named {
    const here = this.now;
    if (name.low === 0 || here === undefined || name.lane === here.lane) return name;
    return nameIn(name, relationOf(here.process, name));
  }

  #begun(pid: number, seq: number): LiveProcess {
    const process: LiveProcess = { process: ++this.#processes, pid, parents: [], first: seq, lanes: new Map() };
    this.#living.set(pid, process);
    this.#listener.begin(process.process, pid);
    const fork = this.#forks.get(pid);
    this.#forks.delete(pid);
    if (fork !== undefined) this.#fork(process, fork.parents, fork.seq);
    return process;
  }

  #fork(process: LiveProcess, parents: readonly number[], seq: number): void {
    process.parents = parents;
    this.#listener.forked(process.process, parents[0]!, seq);
  }

  #gone(pid: number): void {
    const process = this.#living.get(pid);
    if (process === undefined) return;
    this.#living.delete(pid);
    this.now = undefined;
    this.#listener.end(process.process);
  }
}

const familyOf = (parent: LiveProcess): number[] => [parent.process, ...parent.parents].slice(0, GENERATIONS);

/** What a thing of another thread is called, by who that thread is. */
export const nameIn = ({ low, high }: Named, relation: number): Named => ({
  low: mixLow(low, relation, 2),
  high: mixHigh(high, relation, 2),
});

/** Where a thread is: its process, that process's forefathers, and which of its threads. */
export interface LanePlace {
  readonly process: number;
  readonly parents: readonly number[];
  readonly ordinal: number;
}
/** Of a thing of a thread that is no relation. */
export const STRANGER = -2;

/** Of which thread of the same process, or of which forefather, a thing is. */
export function relationOf(
  here: Pick<LanePlace, 'process' | 'parents'>,
  { process, ordinal }: Pick<LanePlace, 'process' | 'ordinal'>,
): number {
  if (process === here.process) return 1000 + ordinal;
  const generation = here.parents.indexOf(process);
  return generation < 0 ? STRANGER : 1_000_000 * (generation + 1) + ordinal;
}
