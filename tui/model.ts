/**
 * A trace as the screens see it: events by number, the state at one of them, what each changed. It stands between store
 * and replayer on one side and pure presentation on the other. Everything that can last is done in slices of a few
 * milliseconds.
 */
import { basename } from 'node:path';
import type { AccessPlace } from '../hw/event-access.ts';
import type { EventLike } from '../hw/event-text.ts';
import { secondsText } from '../hw/time-text.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import type { Meaning } from '../hw/uapi/view.ts';
import { accessPlace, argsOf } from '../replayer/access-place.ts';
import type { AreaTree } from '../replayer/areas.ts';
import type { Change } from '../replayer/change.ts';
import { type QueueWhy, queuesIn, queueWhy } from '../replayer/cmdqv-why.ts';
import { type Graph, type GraphNode, graphOf, uidOfNode } from '../replayer/graph.ts';
import type { QueryEvent } from '../replayer/query-match.ts';
import { queueTypeOf } from '../replayer/query-records.ts';
import { machineOf } from '../replayer/recorded-machine.ts';
import { contextOfFile, objectById, type SessionState } from '../replayer/state.ts';
import { Timeline } from '../replayer/timeline.ts';
import { WholeCalls, wholeCalls } from '../replayer/whole-calls.ts';
import { type NameOf, namesFor } from '../replayer/words.ts';
import { StoreError } from '../store/errors.ts';
import { FileKind, Kind } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import type { EventView, TraceReader } from '../store/read.ts';
import { dialectOf, openTrace } from './cli/trace.ts';
import { gapFrame, Tolerant } from './damage.ts';
import { Lanes } from './lanes.ts';
import type { PaneId } from './layout.ts';
import { Memory } from './memory.ts';
import { type Effect, effectOf } from './present/effects.ts';
import { damagedEvent, type EventContext, type ListedEvent, listedEvent } from './present/event.ts';
import { isToldByState, Told } from './told.ts';
import { WhyRun } from './why-run.ts';

/** Rows of the dictionary that are looked at for panes. */
const MOST_ORIGINS = 2048;
const DEVICE_CALL = /^VFIO_DEVICE_/;

function optionalPanes(reader: TraceReader): readonly PaneId[] {
  const rows = reader.query('SELECT DISTINCT kind, call, file FROM (SELECT kind, call, file FROM origins WHERE id <= ?)', [MOST_ORIGINS]);
  const devices = new Set(rows.filter((r) => DEVICE_CALL.test(String(r.call))).map((r) => r.file));
  const viommus = rows.some((r) => r.call === 'IOMMU_VIOMMU_ALLOC');
  // accesses of a device's registers are none of a CMDQV's
  const queues = rows.some(
    (r) => r.kind === Kind.QUEUE || r.kind === Kind.REGION || (r.kind === Kind.MMIO && viommus && !devices.has(r.file)),
  );
  return [...(devices.size > 0 ? ['devices' as const] : []), ...(queues ? ['cmdqv' as const] : [])];
}

/** Events that are folded between two looks at the clock. */
const SLICE = 256;
/** Events whose effects are worked out together. */
const BLOCK = 64;
/** Events that are folded at most to work out effects. */
const REACH = 4096;
export class TraceModel {
  readonly name: string;
  readonly reader: TraceReader;
  /** the frames, with gaps in the place of those that cannot be read */
  readonly source: Tolerant;
  /** the same with whole calls, where that is what is shown: state, text and rules are of these */
  readonly whole: WholeCalls | undefined;
  readonly table: UapiTable;
  readonly timeline: Timeline;
  readonly context: EventContext;
  readonly #listed = new Memory<ListedEvent>();
  readonly #effects = new Memory<Effect | null>();
  readonly #told: Told;
  #toldByState = false;
  #lanes: Lanes | undefined;
  #why: WhyRun | undefined;
  #optional: readonly PaneId[] | undefined;
  #graph: Graph | undefined;

  /**
   * Opens a trace. `wholeCalls`: a call that was stored before it returned is one event, where it was entered, and its RETURN none;
   * for comparisons. Throws a StoreError that says what is wrong with the trace.
   */
  static open(path: string, options: { readonly wholeCalls?: boolean } = {}): TraceModel {
    const { reader, table } = openTrace(path);
    return new TraceModel(path, reader, table, options.wholeCalls === true);
  }

  private constructor(path: string, reader: TraceReader, table: UapiTable, whole: boolean) {
    this.name = basename(path);
    this.reader = reader;
    this.source = new Tolerant(reader);
    this.table = table;
    this.whole = whole ? new WholeCalls(this.source, wholeCalls(reader).answers) : undefined;
    this.timeline = new Timeline(this.#shown, { table });
    this.context = {
      table,
      start: reader.meta.clock.monotonicNs,
      machine: reader.meta.machine,
      entered: (seq) => this.event(seq),
      // who knows the state before the event says more: contextBy, contextHere
      queueType: () => undefined,
    };
    const { table: t, timeline } = this;
    this.#told = new Told({ table: t, source: this.#shown, timeline, tell: (event, state) => listedEvent(event, this.contextBy(state)) });
  }

  get #shown(): Tolerant | WholeCalls {
    return this.whole ?? this.source;
  }

  /** The context of an event, by the state before it. */
  contextBy(state: SessionState): EventContext {
    return {
      ...this.context,
      queueType: (event) => queueTypeOf(state, event.file),
      place: (event) => accessPlace(state, event),
    };
  }

  close(): void {
    this.reader.close();
  }

  /** Number of the first event; 0 where there is none. */
  get first(): number {
    return Math.min(1, this.reader.last);
  }
  get last(): number {
    return this.reader.last;
  }
  get meta(): TraceMeta {
    return this.reader.meta;
  }
  get dialect(): string {
    return dialectOf(this.meta);
  }

  /** Threads, processes and contexts that made the log. */
  get lanes(): Lanes {
    this.#lanes ??= new Lanes(this.reader);
    return this.#lanes;
  }

  /** The rules, run along the log. */
  get why(): WhyRun {
    this.#why ??= new WhyRun(this.#shown, this.table, machineOf(this.meta));
    return this.#why;
  }

  /** What is in the way of the hardware queues that an event is about, by the state at it. */
  queueWhys(event: EventLike): readonly QueueWhy[] {
    return queuesIn(this.state, event).flatMap((uid) => queueWhy(this.state, uid) ?? []);
  }

  /**
   * Panes that this trace has something for, beside those that every trace has: by the beginning of its dictionary, where
   * devices and accesses of registers are told of, and by the state where that is now.
   */
  get panes(): readonly PaneId[] {
    this.#optional ??= optionalPanes(this.reader);
    const { cmdqv, files } = this.state;
    const found = new Set(this.#optional);
    if (!found.has('cmdqv') && (cmdqv.vintfs.size > 0 || cmdqv.registers.size > 0)) found.add('cmdqv');
    if (!found.has('devices')) for (const f of files.values()) if (f.kind === FileKind.VFIO_DEVICE) found.add('devices');
    this.#optional = [...found];
    return this.#optional;
  }

  /** There are events whose text the state has a part in. */
  get hasToldByState(): boolean {
    const { reader } = this;
    const kinds = `kind IN (${Kind.MMIO}, ${Kind.QUEUE}) OR call = 'IOMMU_VEVENTQ_ALLOC'`;
    this.#toldByState ||= reader.query(`SELECT 1 FROM origins WHERE ${kinds} LIMIT 1`).length > 0;
    return this.#toldByState;
  }

  /** Looks for what a recording in progress has added; true where there may be something new. */
  refresh(): boolean {
    if (!this.reader.refresh()) return false;
    this.#lanes = undefined;
    this.#optional = undefined;
    return true;
  }

  /** An event as it was recorded; undefined where there is none, and where it cannot be read. */
  event(seq: number): EventLike | undefined {
    const { whole } = this;
    return whole === undefined || whole.returnOf(seq) === 0 ? this.source.frame(seq) : whole.frame(seq);
  }
  /** What a matcher of queries looks at; undefined where the event cannot be read. Says nothing of changes and states. */
  queryEvent(seq: number, row: EventView): QueryEvent | undefined {
    const frame = this.event(seq);
    return frame === undefined ? undefined : { row, frame, changes: [], before: undefined };
  }
  /** The event, or the gap that stands for it. */
  eventOrGap(seq: number): EventLike {
    return this.event(seq) ?? gapFrame(seq);
  }
  /** What the index says of an event. */
  row(seq: number): EventView {
    return this.reader.rows({ from: seq, to: seq, limit: 1 })[0]!;
  }
  /** What is wrong with the place where an event is kept; undefined where it can be read. */
  damage(seq: number): string | undefined {
    return this.source.damage(seq);
  }

  /** At most `count` events from `from` on. */
  window(from: number, count: number): ListedEvent[] {
    const first = Math.max(1, from);
    return this.events(Array.from({ length: Math.max(0, Math.min(count, this.last - first + 1)) }, (_, i) => first + i));
  }

  /** Events of the list by number: those that are in view now. */
  events(seqs: readonly number[]): ListedEvent[] {
    this.turnPage();
    return seqs.flatMap((seq) => this.listed(seq) ?? []);
  }

  /** The text of an event in a list is that of the state before it; without what the state says while that is not known. */
  listed(seq: number): ListedEvent | undefined {
    const known = this.#listed.get(seq);
    if (known !== undefined) return known;
    const frame = this.event(seq);
    if (frame === undefined) return seq < 1 || seq > this.last ? undefined : this.#damaged(seq);
    const byState = isToldByState(frame);
    const told = byState ? this.#told.event(seq) : undefined;
    const made = told ?? listedEvent(frame, this.context);
    if (!byState) this.#listed.set(seq, made);
    return made;
  }

  /** Other events are in view from now on: nobody waits for the others. */
  turnPage(): void {
    this.#told.forget();
  }
  /** Events in view wait for a state to be told by. */
  get waits(): boolean {
    return this.#told.waits;
  }
  /** Goes on with that until the deadline (as performance.now()); true when none waits any more. */
  tell(deadline: number): boolean {
    return this.#told.work(deadline);
  }

  /** Of an event that cannot be read the index may still know the call. */
  #damaged(seq: number): ListedEvent {
    let row: EventView | undefined;
    try {
      row = this.reader.rows({ from: seq, to: seq, limit: 1 })[0];
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
    return damagedEvent(seq, row, this.context.start);
  }

  /** Seconds since the start of the recording. */
  timeOf(seq: number): string {
    const frame = this.event(seq);
    return frame === undefined ? '' : `${secondsText(frame.tEnter - this.context.start, 6)} s`;
  }

  /** The event that `state` includes last. */
  get at(): number {
    return this.timeline.seq;
  }
  get state(): SessionState {
    return this.timeline.state;
  }

  /** Moves the state towards an event; true when it is there. Folds until `deadline` (as performance.now()), and a slice at least. */
  approach(seq: number, deadline: number): boolean {
    const { timeline } = this;
    timeline.prepare(seq);
    while (timeline.seq !== seq) {
      const step = Math.min(seq, timeline.seq + SLICE);
      timeline.seek(step, seq);
      if (timeline.seq < step) break;
      if (performance.now() > deadline) return timeline.seq === seq;
    }
    return true;
  }

  /** One event forward; its changes. */
  step(): readonly Change[] {
    const changes = this.timeline.step();
    return changes;
  }

  /** What the event that the state includes last has changed. */
  get changes(): readonly Change[] {
    return this.at === 0 ? [] : this.timeline.changesOf(this.at);
  }
  /** The context of the event that the state is at: what the state before it says of it. */
  get contextHere(): EventContext {
    const event = this.event(this.at);
    if (event === undefined || !isToldByState(event)) return this.context;
    const began = event.kind === Kind.RETURN ? this.event(Number(argsOf(event)[0] ?? 0)) : event;
    let [place, type]: [AccessPlace | undefined, number | undefined] = [undefined, undefined];
    this.timeline.before(this.at, this.at, (state) => {
      place = accessPlace(state, event);
      type = began === undefined ? undefined : queueTypeOf(state, began.file);
    });
    return { ...this.context, place: () => place, queueType: () => type };
  }

  /** Names for the objects in `changes`. */
  get names(): NameOf {
    return namesFor(this.state, this.changes);
  }

  /** The graph of the state. */
  get graph(): Graph {
    if (this.#graph?.seq !== this.at) this.#graph = graphOf(this.state, { table: this.table });
    return this.#graph;
  }

  /** The IOVA map of a node of the graph that is an IOAS. */
  areas(node: GraphNode): AreaTree | undefined {
    if (node.type !== 'IOAS' || node.context === undefined) return undefined;
    return this.state.contexts.get(node.context)?.areas.get(uidOfNode(node));
  }

  /** What is there, in numbers. */
  get summary(): string {
    const { contexts, processes, calls, dropped } = this.state;
    let objects = 0;
    for (const c of contexts.values()) objects += c.objects.size;
    const counted = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
    return [
      counted(processes.size, 'process', 'processes'),
      counted(contexts.size, 'context'),
      counted(objects, 'object'),
      ...(calls.size > 0 ? [`${counted(calls.size, 'call')} under way`] : []),
      ...(dropped > 0 ? [`${counted(dropped, 'event')} lost before here`] : []),
    ].join(', ');
  }

  /** What an event did, in a few words; undefined where it changed nothing, or where the log is not folded so far. */
  effect(seq: number): Effect | undefined {
    if (this.#effects.get(seq) === undefined) this.#workOut(seq);
    return this.#effects.get(seq) ?? undefined;
  }

  /** Effects of a block of events. The timeline has the undo ring behind it and its state to go on from: ask it for both parts apart. */
  #workOut(seq: number): void {
    const first = seq - ((seq - 1) % BLOCK);
    const last = Math.min(this.last, first + BLOCK - 1);
    if (this.timeline.distance(first) > REACH) return;
    const middle = Math.max(first - 1, Math.min(last, this.at));
    for (const [from, to] of [
      [first, middle],
      [middle + 1, last],
    ] as const) {
      this.timeline.changesIn(from, to).forEach((changes, i) => {
        this.#effects.set(from + i, effectOf(changes) ?? null);
      });
    }
  }

  /** What an id in a call stands for, by the state now; for the detail of the event the state is at. */
  resolve(event: EventLike, field: Meaning, id: number): string | undefined {
    if (id === 0) return undefined;
    const context = contextOfFile(this.state, event.file);
    if (context === undefined) return undefined;
    const object = objectById(context, id);
    if (object !== undefined) return `${object.type} ${id}${object.birth === event.seq ? ', new' : `, since ${object.birth}`}`;
    const ended = context.ended.get(id);
    if (ended !== undefined) return `${ended.type} ${id}, ended ${ended.seq === event.seq ? 'here' : `at ${ended.seq}`}`;
    if (field.creates !== undefined || context.origin === 'inferred') return undefined;
    // a call that went well knew it: then it is the state that does not
    return event.error === 0 ? 'not known here' : 'no such object';
  }
}
