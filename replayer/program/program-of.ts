/**
 * The program of a trace: one pass over its events, which folds the state beside it. What each number is follows from the table of
 * the uAPI (diff/forms.ts) and from what the state says that it stands for.
 */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { Found, FRAME_AT, FrameFlag, Kind, MMIO_SOURCE_SHIFT, MmioSource, State } from '../../store/frame.ts';
import { Folder } from '../decide.ts';
import { LiveLinks } from '../diff/meaning/links.ts';
import { EventBytes } from '../event.ts';
import { planOf } from '../plan.ts';
import { emptyState } from '../state.ts';
import type { TimelineSource } from '../timeline.ts';
import { returnedFrame } from '../whole-frame.ts';
import { Asks, type Unsettled } from './asks.ts';
import { Fields } from './fields.ts';
import { Memory } from './memory.ts';
import { added, type Draft } from './numbers.ts';
import type { Program, Role } from './program.ts';
import { Step } from './program.ts';
import { remarksOf } from './remarks.ts';
import { Replies } from './replies.ts';
import { type Event, Things } from './things.ts';

/** Events between two yields. */
const SLICE = 256;
/** Calls under way at once that are looked at: a log that says of more is not believed. */
const MOST_ACTIVE = 256;

export interface ProgramSource extends TimelineSource {
  readonly meta: { readonly dialect: string; readonly kernel?: string };
}

/** Reads a trace; yields how far it is, from 0 to 1. Throws a StoreError where the trace is damaged. */
export function* programOf(source: ProgramSource, table: UapiTable): Generator<number, Program> {
  const reader = new Reader(table);
  for (const batch of source.scan(1, source.last)) {
    for (let i = 0; i < batch.count; i++) {
      reader.event(batch.buffer, batch.offsets[i]!, batch.first + i);
      if (i % SLICE === SLICE - 1) yield (batch.first + i) / (source.last * 1.1);
    }
  }
  return reader.finish(source.meta.kernel ?? '');
}

/** What comes of itself, or cannot be issued. */
const FACTS: Partial<Readonly<Record<number, string>>> = {
  [Kind.START]: 'a process begins: its FORK or EXEC is the call',
  [Kind.GAP]: 'events were lost here',
  [Kind.QUEUE]: 'the recorder looked at a hardware queue',
  [Kind.REGION]: 'an importer tells of a range of addresses',
  [Kind.RETURN]: 'a call returned whose beginning is not in the recording',
};
const FOUND: Readonly<Record<number, string>> = {
  [Found.INHERITED]: 'a descriptor that the image was given by the one before it',
  [Found.CREATED]: 'a descriptor that the call before it has made',
  [Found.IN_USE]: 'a descriptor that was there already when it was first seen',
};
const ACCESSES: Readonly<Record<number, string>> = {
  [MmioSource.KVM]: 'an access of a guest, which runs in KVM',
  [MmioSource.MMIOTRACE]: 'an access of the kernel itself',
  [MmioSource.RWMMIO]: 'an access of the kernel itself',
};

function roleOf(e: EventBytes): { readonly role: Role; readonly why: string } {
  if (e.kind === Kind.FD) {
    const why = FOUND[e.request];
    return why === undefined ? { role: 'receipt', why: '' } : { role: 'fact', why };
  }
  if (e.kind === Kind.MMIO) {
    const source = e.request >>> MMIO_SOURCE_SHIFT;
    return source === MmioSource.TRAPPED
      ? { role: 'access', why: '' }
      : { role: 'fact', why: ACCESSES[source] ?? 'an access that nobody can repeat' };
  }
  const why =
    FACTS[e.kind] ??
    (e.kind > Kind.REGION || e.kind === Kind.PAD || e.kind === Kind.PART ? 'an event of a kind that is not known' : undefined);
  return why === undefined ? { role: 'call', why: '' } : { role: 'fact', why };
}

interface Active {
  readonly pid: number;
  readonly step: number;
  /** nanoseconds */
  exit: number;
}

interface Begun {
  readonly draft: Draft;
  readonly open: readonly Unsettled[];
  readonly image: number;
}

class Reader {
  readonly #table: UapiTable;
  readonly #folder: Folder;
  readonly #links: LiveLinks;
  readonly #things: Things;
  readonly #memory = new Memory();
  readonly #fields: Fields;
  readonly #asks: Asks;
  readonly #replies: Replies;
  readonly #steps: Step[] = [];
  readonly #event = new EventBytes();
  readonly #whole = new EventBytes();
  /** calls that were stored before they returned, by number */
  readonly #begun = new Map<number, Begun>();
  /** by thread: the call that it is in */
  readonly #active = new Map<number, Active>();

  constructor(table: UapiTable) {
    this.#table = table;
    this.#folder = new Folder(planOf(table), emptyState(), false);
    this.#links = new LiveLinks(this.#folder.state);
    this.#things = new Things(this.#folder.state);
    this.#fields = new Fields(table);
    this.#asks = new Asks(this.#things, this.#memory, this.#fields, this.#links);
    this.#replies = new Replies(this.#things, this.#memory, this.#fields, this.#links);
  }

  event(buffer: Buffer, offset: number, seq: number): void {
    const e = this.#event;
    if (!e.read(buffer, offset)) return;
    if (e.kind === Kind.RETURN && this.#returned(e, seq)) return;
    const { role, why } = roleOf(e);
    const step = this.#steps.length;
    const draft: Draft = new Step(seq, role, why, e.buffer, e.offset);
    this.#steps.push(draft as Step);
    const image = this.#things.members.known(e.pid)?.now ?? this.#things.members.images;
    this.#asks.ask(e, draft, image);
    const { open } = this.#asks;
    const entered = e.state === State.ENTERED && role === 'call';
    const event = this.#fold(e, seq, step);
    const member = this.#things.members.of(e.pid);
    draft.process = member.index;
    draft.thread = this.#things.members.thread(member, e.tid);
    if (role === 'call' || role === 'receipt' || role === 'access') this.#overlap(e, draft, step, entered);
    if (entered) {
      draft.split = { seq: 0, entered: draft.frame, back: Buffer.alloc(0) };
      this.#begun.set(seq, { draft, open, image: member.now });
    } else {
      this.#asks.settle(e, draft, open);
      this.#replies.answer(e, draft, member.now, event);
    }
    if (e.kind === Kind.EXIT) this.#gone(e.pid);
    if (e.kind === Kind.CLOSE) this.#things.closed(e);
    finished(draft, event);
  }

  #fold(e: EventBytes, seq: number, step: number, whole: EventBytes = e): Event {
    const changes = this.#folder.fold(e.buffer, e.offset);
    this.#folder.state.seq = seq;
    const command = whole.kind === Kind.IOCTL ? this.#fields.command(whole) : undefined;
    const forms = command === undefined ? undefined : this.#fields.of(command);
    const chose = whole.error === 0 && forms !== undefined && this.#fields.chose(whole, forms);
    const event: Event = { e: whole, step, chose, ends: [], regions: [] };
    if (changes.length === 0) return event;
    this.#links.learn(seq, changes, chose);
    this.#things.follow(event, changes);
    return event;
  }

  /** The return of a call that was stored before. false where its beginning is not known. */
  #returned(e: EventBytes, seq: number): boolean {
    const call = Number(e.arg(0));
    const begun = this.#begun.get(call);
    if (begun === undefined) return false;
    this.#begun.delete(call);
    const { draft, open, image } = begun;
    const step = this.#stepOf(draft);
    const entered = draft.frame;
    const back = e.copy();
    const frame = returnedFrame(entered, back);
    const whole = this.#whole;
    if (!whole.read(frame, 0)) return false;
    const event = this.#fold(e, seq, step, whole);
    draft.buffer = frame;
    draft.offset = 0;
    draft.split = { seq, entered, back };
    this.#asks.settle(whole, draft, open);
    this.#replies.answer(whole, draft, image, event);
    frame.writeBigUInt64LE(BigInt(draft.seq), FRAME_AT.seq);
    const active = this.#active.get(threadKey(e));
    if (active?.step === step) active.exit = e.tExit;
    finished(draft, event);
    return true;
  }

  /** Steps are in the order of their numbers. */
  #stepOf(draft: Draft): number {
    let [low, high] = [0, this.#steps.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#steps[middle]!.seq < draft.seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #overlap(e: EventBytes, draft: Draft, step: number, entered: boolean): void {
    const mine = threadKey(e);
    const { tEnter } = e;
    for (const [thread, active] of this.#active) {
      if (active.exit <= tEnter) this.#active.delete(thread);
      else if (thread !== mine) draft.overlaps = added(draft.overlaps, active.step);
    }
    if (draft.overlaps.length > 1) draft.overlaps = [...draft.overlaps].sort((a, b) => a - b);
    // a signal handler's calls are inside another one of its thread
    if ((e.flags & FrameFlag.SIGNAL) !== 0 && this.#active.has(mine)) return;
    this.#active.delete(mine);
    this.#active.set(mine, { pid: e.pid, step, exit: entered ? Number.POSITIVE_INFINITY : e.tExit });
    if (this.#active.size > MOST_ACTIVE) for (const thread of this.#active.keys()) if (this.#active.delete(thread)) break;
  }

  #gone(pid: number): void {
    for (const [thread, active] of this.#active) if (active.pid === pid) this.#active.delete(thread);
  }

  finish(kernel: string): Program {
    // calls that never returned
    for (const { draft, open } of this.#begun.values()) {
      this.#whole.read(draft.buffer, draft.offset);
      this.#asks.settle(this.#whole, draft, open);
      sort(draft);
    }
    const { symbols, members } = this.#things;
    const regions = this.#memory.finish(symbols);
    symbols.name();
    const program: Omit<Program, 'remarks'> = {
      dialect: this.#table.dialect,
      kernel,
      processes: members.finish(),
      images: members.images,
      steps: this.#steps,
      symbols: symbols.symbols,
      regions,
    };
    return { ...program, remarks: remarksOf(program) };
  }
}

const threadKey = (e: EventBytes): number => e.pid * 2 ** 32 + e.tid;

function finished(draft: Draft, event: Event): void {
  for (const symbol of event.ends) draft.ends = added(draft.ends, symbol);
  sort(draft);
}

function sort(draft: Draft): void {
  const { uses } = draft;
  for (let i = 1; i < uses.length; i++) {
    if (uses[i - 1]!.at <= uses[i]!.at) continue;
    draft.uses = [...uses].sort((a, b) => a.at - b.at);
    return;
  }
}
