/**
 * Text of the kernel's tracing: /sys/kernel/tracing/trace and trace_pipe, `trace-cmd report`, `perf script`. One line, one event:
 *
 *     vfio-74    [000] d....   1.607396: rwmmio_write: arm_smmu_cmdq_issue_cmdlist+0x3f8/0x5d0 -> writel_relaxed+0x24/0x7c width=32 …
 *
 * (kernel/trace/trace_output.c; five flags, or four in older kernels, none from trace-cmd; a TGID in brackets where options/record-tgid is set;
 * perf writes `comm pid [cpu] time: system:event: …`). A task's name may hold anything, blanks and dashes too. Which clock the times are of is not in
 * the text. Of the events those of MMIO are taken (rwmmio.ts); the others are counted by name.
 */
import { type Format, grainOf, type LogParser, type ParseOptions, type Sink, stamp } from './format.ts';
import { lossIn } from './losses.ts';
import { isRwmmio, Rwmmio } from './rwmmio.ts';

/** who and where: it stands behind the task's name, which is what is before it */
const HEAD = /(?:-|\s)(\d{1,10})\s{1,8}(?:\(\s{0,8}(\d{1,10}|-{1,10})\)\s{1,8})?\[(\d{1,5})\]\s{1,4}/g;
/** flags and time */
const TIME = /(?:[^\s:]{4,6}\s{1,4})?\s{0,12}(\d{1,10})\.(\d{6,9}):\s{1,4}/y;
const EVENT = /(?:[\w-]{1,64}:)?([\w.]{1,64}):\s{0,64}(.*)$/y;
/** longest place in a line where an event's name begins, characters */
const HEAD_END = 160;
/** what trace-cmd prints first; what perf and the kernel print between the events */
const HEADING = /^(?:#|cpus=\d+\s*$|version = |CPU \d+ is empty\s*$|\s*$)/;
const MARKER = /^(?:tracing_mark_write|print|bprint|bputs)$/;

export interface Task {
  readonly comm: string;
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
}

class Ftrace implements LogParser {
  readonly #sink: Sink;
  readonly #processOf: ParseOptions['processOf'];
  readonly #rwmmio: Rwmmio;

  constructor(sink: Sink, options: ParseOptions) {
    this.#sink = sink;
    this.#processOf = options.processOf;
    this.#rwmmio = new Rwmmio(sink);
  }

  line(text: string, whole: boolean): void {
    if (!whole || !this.#event(text)) this.#noEvent(text, whole);
  }

  end(): void {
    this.#rwmmio.end();
  }

  #event(text: string): boolean {
    HEAD.lastIndex = 0;
    const head = HEAD.exec(text);
    if (head === null || HEAD.lastIndex > HEAD_END) return false;
    TIME.lastIndex = HEAD.lastIndex;
    const when = TIME.exec(text);
    if (when === null) return false;
    EVENT.lastIndex = TIME.lastIndex;
    const event = EVENT.exec(text);
    if (event === null) this.#sink.foreign('functions and calls');
    else this.#named(event[1]!, event[2]!, taskOf(text, head, this.#processOf), stamp(when[1]!, when[2]!), grainOf(when[2]!));
    return true;
  }

  #named(name: string, rest: string, task: Task, time: bigint, grain: bigint): void {
    if (MARKER.test(name)) this.#sink.event({ time, grain, exit: time, note: rest });
    else if (!isRwmmio(name)) this.#sink.foreign(name);
    else if (!this.#rwmmio.event(name, rest, task, time, grain)) this.#sink.foreign(`${name}, not understood`);
  }

  #noEvent(text: string, whole: boolean): void {
    const loss = whole ? lossIn(text) : undefined;
    if (!whole) this.#sink.foreign('cut');
    else if (loss !== undefined) this.#sink.lost(loss.events, loss.words);
    else if (!HEADING.test(text)) this.#sink.foreign('not ftrace');
  }
}

function taskOf(text: string, head: RegExpExecArray, processOf: ParseOptions['processOf']): Task {
  const tid = word(head[1]!);
  const tgid = /^\d+$/.test(head[2] ?? '') ? word(head[2]!) : undefined;
  return { comm: text.slice(0, head.index).trim(), tid, pid: tgid ?? processOf(tid) ?? tid, cpu: Number(head[3]) };
}

const word = (digits: string): number => Math.min(Number(digits), 0xffff_ffff);

export const FTRACE: Format = {
  name: 'ftrace',
  summary: 'rwmmio events: /sys/kernel/tracing/trace, trace-cmd report, perf script',
  lineLimit: 65_536,
  sniff: (line) => line.startsWith('# tracer: ') || /^.{1,64}\[\d{3}\] .{1,24}\d\.\d{6,9}: /.test(line),
  parser: (sink, options) => new Ftrace(sink, options),
};
