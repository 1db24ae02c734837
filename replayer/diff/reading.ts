/**
 * A whole trace as small numbers: for each event what was asked and what was answered, what it refers to, and in which process
 * and thread. Some 30 bytes an event are kept. Read in slices.
 */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FileKind, Fork, Kind, Start, State } from '../../store/frame.ts';
import { Folder } from '../decide.ts';
import { EventBytes } from '../event.ts';
import { planOf } from '../plan.ts';
import { emptyState } from '../state.ts';
import type { TimelineSource } from '../timeline.ts';
import type { U64 } from '../u64.ts';
import { type WholeCalls, wholeCalls } from '../whole-calls.ts';
import type { Name } from './meaning/forms.ts';
import { Hash, Interner } from './meaning/hash.ts';
import { KeepingLinks } from './meaning/kept-links.ts';
import { LiveLinks, type Origin, OTHER } from './meaning/links.ts';
import { Meaning } from './meaning/meaning.ts';
import type { Sink } from './meaning/sink.ts';
import type { Withheld } from './meaning/withheld.ts';

/** A thread: its events, in order. */
export interface Lane {
  readonly pid: number;
  readonly tid: number;
  readonly events: number[];
}

/** A process from its first event to its last; a pid that is used again is another one. */
export interface ReadProcess {
  readonly pid: number;
  /** the name of its program, without the folder; '' not known */
  exe: string;
  /** in order of birth */
  readonly lanes: Lane[];
  /** who forked it; undefined: not known */
  parent: ReadProcess | undefined;
  /** the fork, else its own first event */
  born: number;
}

/** A trace that has been read. All arrays go by the number of the event; 0 is none. */
export interface Reading {
  /** what was recorded of a call in two events stands in the first; the second is none */
  readonly source: WholeCalls;
  readonly meaning: Meaning;
  /** values that were not told */
  withheld: number;
  readonly last: number;
  /** the call and its arguments; what they refer to by its type alone */
  readonly asked: Int32Array;
  readonly answered: Int32Array;
  /** the call's name; of IOMMU_TEST_CMD with its operation */
  readonly called: Int32Array;
  /** what was asked, answered, and what became of the things that it is about */
  readonly whole: Int32Array;
  readonly linkAt: Uint32Array;
  readonly links: Int32Array;
  /** 1: a call of an iommufd that has to do with the objects and areas that it names or makes, and with nothing else there is */
  readonly movable: Uint8Array;
  readonly processes: readonly ReadProcess[];
}

/** Numbers that two readings share. */
export interface Numbers {
  readonly asked: Interner;
  readonly answered: Interner;
  readonly called: Interner;
  readonly whole: Interner;
}

export const newNumbers = (): Numbers => ({
  asked: new Interner(),
  answered: new Interner(),
  called: new Interner(),
  whole: new Interner(),
});

/** Events between two yields. */
const SLICE = 256;

/** Hashes what an event says. */
class Hashing implements Sink {
  readonly asked = new Hash();
  readonly answered = new Hash();
  readonly called = new Hash();
  /** origins of objects and areas that the event refers to */
  readonly about: Origin[] = [];
  /** it names what nobody has made */
  stranger = false;
  #now = this.asked;
  #words = 0;

  begin(): void {
    this.asked.reset();
    this.answered.reset();
    this.called.reset();
    this.about.length = 0;
    this.stranger = false;
    this.#now = this.asked;
    this.#words = 0;
  }
  answer(): void {
    this.#now = this.answered;
  }
  value(name: Name, value: U64): void {
    this.#now.word(name.hash).value(value);
    // kind, kind of file, call, and the operation of a call of the selftest
    if (this.#words < 4 && (this.#words < 3 || name.text === 'op')) this.called.word(name.hash).value(value);
    this.#words++;
  }
  link(name: Name, origin: Origin, type: string, raw: U64): void {
    this.#now.word(name.hash).text(type);
    // an argument, behind which is no operation of a call of the selftest
    if (this.#words === 3) this.#words++;
    if (origin === 0 && Number(raw) !== 0) this.stranger = true;
    if (origin !== 0 && origin % 8 !== OTHER) this.about.push(origin);
  }
  chosen(name: Name): void {
    this.#now.word(name.hash).word(1);
  }
  bytes(name: Name, buffer: Uint8Array, start: number, count: number): void {
    this.#now.word(name.hash).bytes(buffer, start, count);
  }
}

/** Reads a trace, but for what is `withheld`; yields how far it is, from 0 to 1. Throws a StoreError where the trace is damaged. */
export function* readTrace(source: TimelineSource, table: UapiTable, numbers: Numbers, withheld?: Withheld): Generator<number, Reading> {
  const whole = wholeCalls(source);
  for (const _ of whole.answers.look()) yield 0;
  const reader = new Reader(whole, table, numbers, withheld);
  for (const batch of whole.scan(1, whole.last)) {
    if (batch.taken === true) {
      reader.nothing(batch.first);
      continue;
    }
    for (let i = 0; i < batch.count; i++) {
      reader.event(batch.buffer, batch.offsets[i]!, batch.first + i);
      if (i % SLICE === SLICE - 1) yield (batch.first + i) / (source.last * 1.1);
    }
  }
  reader.reading.withheld = reader.reading.meaning.withheld;
  yield* reader.lives();
  return reader.reading;
}

class Reader {
  readonly reading: Reading & { links: Int32Array };
  readonly #numbers: Numbers;
  readonly #folder: Folder;
  readonly #keeping: KeepingLinks;
  readonly #sink = new Hashing();
  readonly #event = new EventBytes();
  readonly #processes: ReadProcess[] = [];
  readonly #living = new Map<number, ReadProcess>();
  /** by pid of a child that has not done anything yet */
  readonly #forks = new Map<number, { readonly parent: ReadProcess; readonly seq: number }>();
  /** by event: what it is about, for those that are about something */
  readonly #about = new Map<number, readonly Origin[]>();

  constructor(source: WholeCalls, table: UapiTable, numbers: Numbers, withheld: Withheld | undefined) {
    const { last } = source;
    const column = (): Int32Array => new Int32Array(last + 1);
    this.#numbers = numbers;
    this.#folder = new Folder(planOf(table), emptyState());
    this.#keeping = new KeepingLinks(new LiveLinks(this.#folder.state));
    this.reading = {
      source,
      meaning: new Meaning(table, withheld),
      withheld: 0,
      last,
      asked: column(),
      answered: column(),
      called: column(),
      whole: column(),
      linkAt: new Uint32Array(last + 2),
      links: this.#keeping.kept,
      movable: new Uint8Array(last + 1),
      processes: this.#processes,
    };
  }

  /** There is no event of that number. */
  nothing(seq: number): void {
    this.reading.linkAt[seq] = this.reading.linkAt[seq + 1] = this.#keeping.count;
  }

  event(buffer: Buffer, offset: number, seq: number): void {
    const { reading } = this;
    const e = this.#event;
    const keeping = this.#keeping;
    reading.linkAt[seq] = keeping.count;
    if (!e.read(buffer, offset)) return;
    const { live } = keeping;
    const sink = this.#sink;
    sink.begin();
    live.begin();
    reading.meaning.ask(e, keeping, sink);
    const chose = reading.meaning.chose;
    const state = this.#folder.state;
    const changes = this.#folder.fold(buffer, offset);
    state.seq = seq;
    if (changes.length > 0) live.learn(seq, changes, chose);
    if (e.fileKind === FileKind.FAULT) live.hand(e, seq, reading.meaning.cookies(e));
    reading.meaning.answer(e, keeping, sink);
    reading.asked[seq] = this.#numbers.asked.number(sink.asked.key);
    reading.answered[seq] = this.#numbers.answered.number(sink.answered.key);
    reading.called[seq] = this.#numbers.called.number(sink.called.key);
    if (sink.about.length > 0) this.#about.set(seq, [...sink.about]);
    const isCall = e.kind === Kind.IOCTL && e.state !== State.ENTERED && e.fileKind === FileKind.IOMMUFD;
    const makes = changes.some((c) => c.op === 'object.create' || c.op === 'area.add');
    if (isCall && !sink.stranger && (makes || sink.about.length > 0)) reading.movable[seq] = 1;
    this.#place(e, seq);
    reading.linkAt[seq + 1] = keeping.count;
    reading.links = keeping.kept;
  }

  #place(e: EventBytes, seq: number): void {
    const { pid } = e;
    let process = this.#living.get(pid);
    // the START of a fork begins a process; that of an exec goes on with the one there is
    if (process === undefined || (e.kind === Kind.START && e.request === Start.FORK && process.lanes.length > 0 && process.exe !== '')) {
      process = this.#living.get(pid) ?? this.#begun(e, seq);
    }
    if (e.kind === Kind.START) process.exe = e.text(0).replace(/^.*\//s, '');
    const { tid } = e;
    let lane = process.lanes.find((l) => l.tid === tid);
    if (lane === undefined) {
      lane = { pid, tid, events: [] };
      process.lanes.push(lane);
    }
    lane.events.push(seq);
    if (e.kind === Kind.EXIT) this.#living.delete(pid);
    // the pid of a new child is that of no older process
    if (e.kind === Kind.FORK && e.ret > 0) this.#forked(e.ret, e.request, process, seq);
  }

  #begun(e: EventBytes, seq: number): ReadProcess {
    const fork = this.#forks.get(e.pid);
    this.#forks.delete(e.pid);
    const parent = fork?.parent ?? (e.kind === Kind.START ? this.#living.get(Number(e.arg(0))) : undefined);
    const process: ReadProcess = { pid: e.pid, exe: '', lanes: [], parent, born: fork?.seq ?? seq };
    this.#processes.push(process);
    this.#living.set(e.pid, process);
    return process;
  }

  #forked(child: number, how: number, parent: ReadProcess, seq: number): void {
    const known = this.#living.get(child);
    // the child's own first events may come before its parent's call has returned
    const first = known?.lanes[0]?.events[0] ?? 0;
    if (known !== undefined && first > seq - SLICE) {
      known.parent ??= parent;
      known.born = Math.min(known.born, seq);
      return;
    }
    if (how === Fork.FORK) this.#living.delete(child);
    if (known === undefined || how === Fork.FORK) this.#forks.set(child, { parent, seq });
  }

  /** What becomes of a thing (the calls that it is in, one after the other) tells it from its like. */
  *lives(): Generator<number> {
    const { reading } = this;
    const lives = new Map<Origin, number>();
    const hash = new Hash();
    let count = 0;
    for (const [seq, about] of this.#about) {
      for (const origin of about)
        lives.set(
          origin,
          hash
            .reset()
            .value(lives.get(origin) ?? 0)
            .word(reading.asked[seq]!)
            .word(reading.answered[seq]!).key,
        );
      if (++count % (8 * SLICE) === 0) yield 0.92;
    }
    const made = new Map<number, number>();
    for (const [origin, life] of lives) {
      const seq = Math.floor(origin / 8);
      made.set(
        seq,
        hash
          .reset()
          .value(made.get(seq) ?? 0)
          .value(life).key,
      );
    }
    for (let seq = 1; seq <= reading.last; seq++) {
      hash
        .reset()
        .word(reading.asked[seq]!)
        .word(reading.answered[seq]!)
        .value(made.get(seq) ?? 0);
      for (const origin of this.#about.get(seq) ?? []) hash.value(lives.get(origin) ?? 0);
      reading.whole[seq] = this.#numbers.whole.number(hash.key);
      if (seq % (8 * SLICE) === 0) yield 0.92 + (0.08 * seq) / reading.last;
    }
  }
}
