/** `stats`: calls, errors and latencies, by call and by process. */
import { errnoName } from '../../hw/errno.ts';
import { callName } from '../../hw/event-words.ts';
import { tookText } from '../../hw/time-text.ts';
import { FrameCursor, Kind, State } from '../../store/frame.ts';
import type { Options, Run } from './commands.ts';
import { eachEvent, queryOption } from './events.ts';
import { type Out, Progress, paint } from './output.ts';
import { type Pathway, Pathways, type PathwaysJson } from './pathways.ts';
import { type Opened, openTrace } from './trace.ts';

/** Numbers that grow: latencies, exact, 8 bytes each. */
class Samples {
  private values = new Float64Array(64);
  private sorted = false;
  count = 0;
  total = 0;

  add(value: number): void {
    if (this.count === this.values.length) {
      const wider = new Float64Array(2 * this.count);
      wider.set(this.values);
      this.values = wider;
    }
    this.values[this.count++] = value;
    this.total += value;
    this.sorted = false;
  }
  /** The smallest value that at least the share `q` of all values does not exceed (nearest rank); 0 where there is none. */
  quantile(q: number): number {
    if (this.count === 0) return 0;
    if (!this.sorted) this.values.subarray(0, this.count).sort();
    this.sorted = true;
    return this.values[Math.max(0, Math.ceil(q * this.count) - 1)]!;
  }
}

/** Latencies, ns: quantiles by nearest rank. */
const QUANTILES = { min: 0, p50: 0.5, p90: 0.9, p99: 0.99, max: 1 } as const;

interface CallStats {
  readonly call: string;
  count: number;
  unfinished: number;
  readonly errors: Map<number, number>;
  readonly took: Samples;
}
interface ProcessStats {
  readonly pid: number;
  count: number;
  errors: number;
  took: number;
}

/** What `stats` counts. Events that are no calls (start, found descriptors, gaps) are left out. */
export class Stats {
  readonly calls = new Map<string, CallStats>();
  readonly processes = new Map<number, ProcessStats>();
  /** calls that were stored as entered and whose return may follow */
  private readonly entered = new Map<number, CallStats>();

  /** @param seqOfReturn for a RETURN event the call that it ends */
  add(event: { seq: number; pid: number; error: number; took: number | undefined; unfinished: boolean }, call: string): void {
    const row = this.row(call);
    const process = this.process(event.pid);
    row.count++;
    process.count++;
    if (event.unfinished) {
      row.unfinished++;
      this.entered.set(event.seq, row);
    } else this.finish(row, process, event.error, event.took);
  }
  /** The return of a call that was counted as entered. */
  returned(seq: number, pid: number, error: number, took: number | undefined): void {
    const row = this.entered.get(seq);
    if (row === undefined) return;
    this.entered.delete(seq);
    row.unfinished--;
    this.finish(row, this.process(pid), error, took);
  }
  private finish(row: CallStats, process: ProcessStats, error: number, took: number | undefined): void {
    if (took !== undefined) {
      row.took.add(took);
      process.took += took;
    }
    if (error === 0) return;
    row.errors.set(error, (row.errors.get(error) ?? 0) + 1);
    process.errors++;
  }
  private row(call: string): CallStats {
    let row = this.calls.get(call);
    if (row === undefined) {
      row = { call, count: 0, unfinished: 0, errors: new Map(), took: new Samples() };
      this.calls.set(call, row);
    }
    return row;
  }
  private process(pid: number): ProcessStats {
    let process = this.processes.get(pid);
    if (process === undefined) {
      process = { pid, count: 0, errors: 0, took: 0 };
      this.processes.set(pid, process);
    }
    return process;
  }
}

const errorsOf = (c: CallStats): number => [...c.errors.values()].reduce((a, b) => a + b, 0);
const ORDERS: Readonly<Record<string, (a: CallStats, b: CallStats) => number>> = {
  time: (a, b) => b.took.total - a.took.total,
  count: (a, b) => b.count - a.count,
  errors: (a, b) => errorsOf(b) - errorsOf(a),
  name: () => 0,
};

function sortedCalls(stats: Stats, by: string): CallStats[] {
  const order = ORDERS[by] ?? ORDERS.time!;
  return [...stats.calls.values()].sort((a, b) => order(a, b) || (a.call < b.call ? -1 : 1));
}

function callJson(c: CallStats): object {
  const took = { ...quantiles(c.took), total: c.took.total };
  const errors = Object.fromEntries([...c.errors].sort((a, b) => b[1] - a[1]).map(([errno, n]) => [errnoName(errno), n]));
  return { call: c.call, count: c.count, failed: errorsOf(c), unfinished: c.unfinished, errors, took };
}
const quantiles = (s: Samples): Record<keyof typeof QUANTILES, number> =>
  Object.fromEntries(Object.entries(QUANTILES).map(([name, q]) => [name, s.quantile(q)])) as Record<keyof typeof QUANTILES, number>;

function statsText(out: Out, stats: Stats, by: string): void {
  const calls = sortedCalls(stats, by);
  const width = Math.max(4, ...calls.map((c) => c.call.length));
  const columns = ['count', 'failed', 'total', ...Object.keys(QUANTILES)];
  out.line(paint('heading', `${'call'.padEnd(width)}${columns.map((c) => c.padStart(9)).join('')}  errors`));
  for (const c of calls) {
    const times = c.took.count === 0 ? columns.slice(2).map(() => '-') : [c.took.total, ...Object.values(quantiles(c.took))].map(tookText);
    const errors = [...c.errors].sort((a, b) => b[1] - a[1]).map(([errno, n]) => `${errnoName(errno)}:${n}`);
    if (c.unfinished > 0) errors.push(`unfinished:${c.unfinished}`);
    const failed = errorsOf(c);
    out.line(
      paint('call', c.call.padEnd(width)),
      String(c.count).padStart(9),
      failed > 0 ? paint('error', String(failed).padStart(9)) : '0'.padStart(9),
      times.map((t) => t.padStart(9)).join(''),
      errors.length === 0 ? '' : '  ',
      paint('error', errors.join(' ')),
    );
  }
  const processes = [...stats.processes.values()].sort((a, b) => b.count - a.count || a.pid - b.pid);
  out.line();
  out.line(paint('heading', `${'pid'.padStart(8)}${'count'.padStart(10)}${'failed'.padStart(9)}${'total'.padStart(9)}`));
  for (const p of processes.slice(0, MOST_PROCESSES)) {
    out.line(
      `${String(p.pid).padStart(8)}${String(p.count).padStart(10)}`,
      paint(p.errors > 0 ? 'error' : 'dim', String(p.errors).padStart(9)),
      tookText(p.took).padStart(9),
    );
  }
  if (processes.length > MOST_PROCESSES) out.line(`${' '.repeat(6)}… and ${processes.length - MOST_PROCESSES} more (--json has all)`);
}

/** `?` where the log does not tell, `-` where there is nothing to tell. */
const number = (n: number | null, none: string): string => (n === null ? none : String(n));

/** Both ways of invalidation side by side. */
function pathwaysText(out: Out, { trapped, direct, otherExits }: PathwaysJson): void {
  const ways = [trapped, direct] as const;
  const commands = [...new Set(ways.flatMap((w) => Object.keys(w.byCommand)))];
  const least = (w: Pathway): string =>
    w.callsPerInvalidation === null ? '-' : `${w.exits === null ? '≥ ' : ''}${w.callsPerInvalidation}`;
  const rows: readonly (readonly [string, string, string])[] = [
    ['ioctls', String(trapped.ioctls), String(direct.ioctls)],
    ['MMIO exits', number(trapped.exits, '?'), number(direct.exits, '?')],
    ['trapped accesses', '-', number(direct.accesses, '?')],
    ['commands', number(trapped.commands, '?'), number(direct.commands, '?')],
    ...commands.map((name) => [`  ${name}`, String(trapped.byCommand[name] ?? 0), String(direct.byCommand[name] ?? 0)] as const),
    ['invalidations', number(trapped.invalidations, '?'), number(direct.invalidations, '?')],
    ['commands per ioctl', number(trapped.commandsPerIoctl, '-'), number(direct.commandsPerIoctl, '-')],
    ['ioctls and exits per invalidation', least(trapped), least(direct)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  out.line();
  out.line(paint('heading', `${'pathway'.padEnd(width)}${'HWPT_INVALIDATE'.padStart(17)}${'hardware queues'.padStart(17)}`));
  for (const [name, a, b] of rows) out.line(name.padEnd(width), a.padStart(17), b.padStart(17));
  for (const text of pathwayNotes(trapped, direct, otherExits)) out.line(paint('dim', text));
}

function pathwayNotes(trapped: PathwaysJson['trapped'], direct: PathwaysJson['direct'], otherExits: number | null): string[] {
  const notes: string[] = [];
  if (trapped.ioctls > 0)
    notes.push(
      `HWPT_INVALIDATE: ${trapped.onViommu} on a vIOMMU, ${trapped.onOthers} on a nested HWPT or what is none; ${trapped.refused} entries not handled`,
    );
  if (direct.queues > 0 || direct.reads > 0)
    notes.push(`hardware queues: ${direct.queues} made, read ${direct.reads} times beside the program`);
  if (direct.sampled) notes.push('  commands between two reads are counted by PROD: whole rounds of a queue in between are not seen');
  if (direct.queues > 0 && direct.reads === 0) notes.push('  their commands were not recorded');
  if (direct.accesses === null && direct.queues > 0) notes.push('  loads and stores of page 0 were not recorded (record --mmio)');
  if (otherExits === null) notes.push('exits of guests were not recorded (record --kvm)');
  else if (otherExits > 0) notes.push(`${otherExits} exits belong to neither, as far as the log tells`);
  return notes;
}

const MOST_PROCESSES = 20;
const NO_CALL: ReadonlySet<number> = new Set([Kind.START, Kind.EXIT, Kind.FD, Kind.GAP, Kind.QUEUE, Kind.REGION]);

/** Counts the frame under the cursor; `name` is the name of its call. */
function addFrame(stats: Stats, c: FrameCursor, name: () => string): void {
  const { kind } = c;
  if (NO_CALL.has(kind)) return;
  const took = c.tExit === 0n ? undefined : Number(c.tExit - c.tEnter);
  if (kind === Kind.RETURN) stats.returned(Number(c.arg(0)), c.pid, c.error, took);
  else stats.add({ seq: c.seq, pid: c.pid, error: c.error, took, unfinished: c.state === State.ENTERED }, name());
}

/** Names of calls by (file kind, kind, request): a trace has few, a name costs a look into the table. */
function namer(opened: Opened, cursor: FrameCursor): () => string {
  const names = new Map<number, string>();
  return () => {
    const key = (cursor.fileKind * 32 + cursor.kind) * 2 ** 32 + cursor.request;
    let name = names.get(key);
    if (name === undefined) {
      name = callName(cursor, opened.table);
      names.set(key, name);
    }
    return name;
  };
}

function collect(opened: Opened, options: Options): { stats: Stats; pathways: PathwaysJson | undefined } {
  const stats = new Stats();
  const pathways = new Pathways(opened.table);
  const cursor = new FrameCursor();
  const name = namer(opened, cursor);
  const query = queryOption(options, opened);
  const progress = new Progress('counting');
  if (query === undefined) {
    for (const batch of opened.reader.scan()) {
      for (let i = 0; i < batch.count; i++) {
        addFrame(stats, cursor.at(batch.buffer, batch.offsets[i]!), name);
        pathways.add(cursor);
      }
      progress.update(batch.first + batch.count, opened.reader.last);
    }
  } else {
    for (const event of eachEvent(opened, query, { progress })) {
      const batch = opened.reader.batch(event.seq)!;
      addFrame(stats, cursor.at(batch.buffer, batch.offsets[event.seq - batch.first]!), name);
      pathways.add(cursor);
    }
  }
  progress.done();
  return { stats, pathways: pathways.result() };
}

export const run: Run = async ([path = ''], options, io) => {
  const opened = openTrace(path);
  const { stats, pathways } = collect(opened, options);
  const by = String(options.sort ?? 'time');
  const out = io.out();
  if (options.json === true) {
    out.json({
      v: 1,
      calls: sortedCalls(stats, by).map(callJson),
      processes: [...stats.processes.values()],
      ...(pathways === undefined ? {} : { pathways }),
    });
  } else {
    statsText(out, stats, by);
    // queues of which nothing was seen are in the JSON: a table of question marks says nothing
    if (pathways !== undefined && pathways.trapped.ioctls + pathways.direct.reads > 0) pathwaysText(out, pathways);
  }
  opened.reader.close();
  return 0;
};
