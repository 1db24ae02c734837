/** A trace to compare: read in this thread, or in one of its own. */
import { Worker } from 'node:worker_threads';
import type { DialectName, UapiTable } from '../../../hw/uapi/table.ts';
import { type StoreCode, StoreError } from '../../../store/errors.ts';
import type { FrameSource } from '../../fold.ts';
import { type WholeCalls, wholeCalls } from '../../whole-calls.ts';
import { type Judgement, judge } from '../causes/judge.ts';
import { Meaning } from '../meaning/meaning.ts';
import type { Withheld } from '../meaning/withheld.ts';
import { Detailing, type Details } from './details.ts';
import type { DiffSide } from './differ.ts';
import { type BlockSizes, Digests, type TraceDigest } from './digests.ts';
import { type Recorded, Records, type Stretch } from './records.ts';
import { EventStream, type Listener, type StreamOptions } from './stream.ts';

/** Events between two checkpoints at first, and checkpoints that are kept: beyond that every second one goes. */
const INTERVAL = 1 << 13;
const CHECKPOINTS = 128;
/** Events between two that are looked at closely, from which on they are gone to one by one. */
const APART = 1 << 12;

interface Checkpoint {
  /** the last event that it knows */
  readonly seq: number;
  readonly stream: EventStream;
}
const NOBODY: Listener = { event: () => {}, begin: () => {}, forked: () => {}, exe: () => {}, end: () => {} };

export interface NearOptions {
  readonly sizes?: BlockSizes;
  /** events between two checkpoints, at first */
  readonly interval?: number;
  /** how far the first reading is, from 0 to 1 */
  readonly progress?: (at: number) => void;
  /** the same of the way along which the rules are asked */
  readonly judging?: (at: number) => void;
  /** what is not told */
  readonly withheld?: Withheld;
}

/** Reads one trace, in this thread. */
export class NearSide implements DiffSide {
  readonly #source: WholeCalls;
  readonly #table: UapiTable;
  readonly #options: NearOptions;
  /** what the stream is allowed to tell */
  readonly #seeing: StreamOptions;
  #interval: number;
  #checkpoints: Checkpoint[] = [];

  constructor(source: FrameSource, table: UapiTable, options: NearOptions = {}) {
    this.#source = wholeCalls(source);
    this.#table = table;
    this.#options = options;
    this.#seeing = options.withheld === undefined ? {} : { withheld: options.withheld };
    this.#interval = options.interval ?? INTERVAL;
  }

  digestNow(): TraceDigest {
    const digests = new Digests(this.#options.sizes);
    const stream = new EventStream(this.#table, digests, this.#seeing);
    this.#checkpoints = [];
    let next = this.#interval;
    for (const batch of this.#source.scan(1, this.#source.last)) {
      stream.batch(batch);
      const seq = batch.first + batch.count - 1;
      this.#options.progress?.(seq / this.#source.last);
      if (seq < next) continue;
      this.#checkpoints.push({ seq, stream: stream.copy(NOBODY) });
      if (this.#checkpoints.length > CHECKPOINTS) {
        this.#checkpoints = this.#checkpoints.filter((_, i) => i % 2 === 1);
        this.#interval *= 2;
      }
      next = seq + this.#interval;
    }
    return digests.result(stream.lost, stream.withheld);
  }

  recordsNow(stretches: readonly Stretch[]): Recorded {
    const records = new Records(stretches);
    const spans = stretches.map(({ first, last }) => ({ first, last })).sort((p, q) => p.first - q.first);
    this.#along(spans, records, { links: true });
    return records.result();
  }

  detailsNow(seqs: Int32Array): Details {
    const details = new Detailing(seqs, new Meaning(this.#table).forms.table);
    const spans: { first: number; last: number }[] = [];
    for (const seq of seqs) {
      const before = spans.at(-1);
      if (before !== undefined && seq - before.last < APART) before.last = seq;
      else spans.push({ first: seq, last: seq });
    }
    this.#along(spans, NOBODY, { details });
    return details.result();
  }

  judgeNow(other: DialectName, seqs: Int32Array): ReadonlyMap<number, Judgement> {
    const { judging } = this.#options;
    const run = judge({ source: this.#source, table: this.#table }, other, seqs);
    for (let next = run.next(); ; next = run.next()) {
      if (next.done === true) return next.value;
      judging?.(next.value);
    }
  }

  /** Goes along the trace through the spans, which are ascending by their beginnings, each from the checkpoint before it. */
  #along(spans: readonly { readonly first: number; readonly last: number }[], listener: Listener, options: StreamOptions): void {
    let at = 0;
    let stream = new EventStream(this.#table, listener, { ...this.#seeing, ...options });
    for (const { first, last } of spans) {
      if (last <= at) continue;
      const from = this.#checkpoints.findLast((c) => c.seq < first);
      if (from !== undefined && from.seq > at) {
        stream = from.stream.copy(listener, options);
        at = from.seq;
      }
      for (const batch of this.#source.scan(at + 1, last)) stream.batch(batch);
      at = last;
    }
  }

  digest(): Promise<TraceDigest> {
    return Promise.resolve().then(() => this.digestNow());
  }
  records(stretches: readonly Stretch[]): Promise<Recorded> {
    return Promise.resolve().then(() => this.recordsNow(stretches));
  }
  details(seqs: Int32Array): Promise<Details> {
    return Promise.resolve().then(() => this.detailsNow(seqs));
  }
  judge(other: DialectName, seqs: Int32Array): Promise<ReadonlyMap<number, Judgement>> {
    return Promise.resolve().then(() => this.judgeNow(other, seqs));
  }
}

/** What is asked of the thread, one after the other; each is answered once, in this order. */
export type Request =
  | { readonly digest: true }
  | { readonly records: readonly Stretch[] }
  | { readonly details: Int32Array }
  | { readonly judge: Int32Array; readonly other: DialectName };
type Value = TraceDigest | Recorded | Details | ReadonlyMap<number, Judgement>;
/** `code`: of a StoreError */
export interface Failure {
  readonly message: string;
  readonly code?: StoreCode;
  readonly hint?: string;
}
export type Answer = { readonly value: Value } | { readonly failure: Failure };

/** What the thread is started with. `last`: the last event that is read, for a recording may go on. */
export interface FarTrace {
  readonly path: string;
  readonly last: number;
  readonly withheld?: Withheld;
}

/** In a thread of its own. */
export class FarSide implements DiffSide {
  readonly #path: string;
  readonly #worker: Worker;
  readonly #waiting: { readonly resolve: (value: Value) => void; readonly reject: (error: Error) => void }[] = [];
  #failed: Error | undefined;

  /** `program`: what the thread runs */
  constructor(trace: FarTrace, program: URL = new URL('./side-worker.js', import.meta.url)) {
    const { path } = trace;
    this.#path = path;
    this.#worker = new Worker(program, { workerData: trace });
    this.#worker.on('message', (answer: Answer) => {
      const { resolve, reject } = this.#waiting.shift()!;
      if ('value' in answer) resolve(answer.value);
      else reject(this.#error(answer.failure));
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error(`${path}: the thread that reads it has ended`)));
  }

  #error({ code, message, hint }: Failure): Error {
    const error = code === undefined ? new Error(message) : new StoreError(code, this.#path, hint === undefined ? {} : { hint });
    error.message = message;
    return error;
  }
  #fail(error: Error): void {
    this.#failed ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failed);
  }
  #ask(request: Request): Promise<Value> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(request);
    });
  }
  digest(): Promise<TraceDigest> {
    return this.#ask({ digest: true }) as Promise<TraceDigest>;
  }
  records(stretches: readonly Stretch[]): Promise<Recorded> {
    return this.#ask({ records: stretches }) as Promise<Recorded>;
  }
  details(seqs: Int32Array): Promise<Details> {
    return this.#ask({ details: seqs }) as Promise<Details>;
  }
  judge(other: DialectName, seqs: Int32Array): Promise<ReadonlyMap<number, Judgement>> {
    return this.#ask({ judge: seqs, other }) as Promise<ReadonlyMap<number, Judgement>>;
  }
  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
