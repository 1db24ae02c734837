/**
 * The kernel's mmiotrace (x86): loads and stores through ioremap, by page faults. Text of trace_pipe or trace.
 * Source of the form: kernel/trace/trace_mmiotrace.c, the same since Linux 2.6.27; PID and, mostly, PC are printed as 0. Times
 * are those of the tracing clock (trace_clock), cut to microseconds.
 */
import { MMIO_SOURCE_SHIFT, MmioFlag, MmioHow, MmioSource, RegionKind } from '../../store/frame.ts';
import { type Format, type LogEvent, type LogParser, type ParseOptions, type Region, type Sink, stamp } from './format.ts';
import { lossIn } from './losses.ts';
import { mapped, regionEvent } from './regions.ts';

const ACCESS = /^([RW]) (\d{1,2}) (\d{1,10})\.(\d{6}) (-?\d{1,10}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) (\d{1,10})\s*$/;
const UNKNOWN =
  /^UNKNOWN (\d{1,10})\.(\d{6}) (-?\d{1,10}) 0x([0-9a-f]{1,16}) ([0-9a-f]{2},[0-9a-f]{2},[0-9a-f]{2}) 0x([0-9a-f]{1,16}) (\d{1,10})\s*$/;
const MAP = /^MAP (\d{1,10})\.(\d{6}) (-?\d{1,10}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x[0-9a-f]{1,16} \d{1,10}\s*$/;
const UNMAP = /^UNMAP (\d{1,10})\.(\d{6}) (-?\d{1,10}) 0x[0-9a-f]{1,16} \d{1,10}\s*$/;
const MARK = /^MARK (\d{1,10})\.(\d{6}) (.*)$/;
const LOST = /^Lost (\d{1,15}) events\.\s*$/;
const PCIDEV = /^PCIDEV ([0-9a-f]{4}) ([0-9a-f]{8}) [0-9a-f]{1,8}((?: [0-9a-f]{1,16}){14}) ?(.*)$/;
const VERSION = 'VERSION 20070824';
const KNOWN_WORDS = /^(?:VERSION|PCIDEV|MAP|UNMAP|[RW]|UNKNOWN|MARK)(?= |$)/;

const GRAIN = 1000n;
/** Lines after which a loss is told where mmiotrace told it. */
const LOSS_LINES = 1000;
/** BARs of a line: six and the ROM */
const BARS = 7;
/** PCI_REGION_FLAG_MASK; bit 0: ports, not memory */
const BAR_FLAGS = 0xfn;
const PORTS = 1n;
/** Mappings that are open at a time, and functions, as far as they are kept to give a name. */
const MOST_KEPT = 65_536;

const hex = (digits: string): bigint => BigInt(`0x${digits}`);

class Mmiotrace implements LogParser {
  readonly #sink: Sink;
  readonly #said: readonly Region[];
  readonly #bars: Region[] = [];
  readonly #maps = new Map<string, Region>();
  /** regions that were told before there was a time */
  #early: Region[] = [];
  #now = 0n;
  #started = false;
  /** what mmiotrace says itself of losses, before it is known where they were: its line has the time 0, and stands too early or too late */
  #lost: { events: number; time: bigint | undefined }[] = [];
  #waited = 0;

  constructor(sink: Sink, options: ParseOptions) {
    this.#sink = sink;
    this.#said = options.regions;
  }

  line(text: string, whole: boolean): void {
    if (this.#lost.length > 0 && ++this.#waited > LOSS_LINES) this.#told();
    const understood = whole && (this.#take(text) || this.#loss(text));
    if (!understood && text !== '' && !text.startsWith('#')) {
      const word = KNOWN_WORDS.exec(text)?.[0];
      this.#sink.foreign(!whole ? 'cut' : word === undefined ? 'not mmiotrace' : `${word}, not understood`);
    }
  }

  end(): void {
    this.#told();
  }

  /** Where the events are missing; of the same loss mmiotrace has said before that there is one. */
  #loss(text: string): boolean {
    const loss = lossIn(text);
    if (loss === undefined) return false;
    this.#sink.lost(loss.events, loss.words);
    let { events } = loss;
    for (const l of this.#lost) {
      const same = Math.min(l.events, events);
      l.events -= same;
      events -= same;
    }
    return true;
  }

  /** What mmiotrace said to be lost, and nobody said where. */
  #told(): void {
    for (const { events, time } of this.#lost) if (events > 0) this.#sink.lost(events, 'mmiotrace lost them here or before', time);
    this.#lost = [];
    this.#waited = 0;
  }

  #take(text: string): boolean {
    switch (text.charCodeAt(0)) {
      case 0x52: // R
      case 0x57: // W
        return this.#access(text);
      case 0x4d: // M
        return this.#map(text) || this.#mark(text);
      case 0x55: // U
        return this.#unmap(text) || this.#unknown(text);
      default:
        return text.trimEnd() === VERSION || this.#function(text);
    }
  }

  #time(seconds: string, fraction: string): bigint {
    this.#now = stamp(seconds, fraction);
    if (!this.#started) this.#start();
    const early = this.#early;
    if (early.length > 0) {
      this.#early = [];
      for (const region of early) this.#event(regionEvent(region, this.#now, GRAIN).frame);
    }
    return this.#now;
  }

  /** What was told before stands before the first event. */
  #start(): void {
    this.#started = true;
    for (const l of this.#lost) l.time = this.#now > 0n ? this.#now - 1n : 0n;
  }

  #event(frame: LogEvent['frame']): void {
    this.#sink.event({ time: this.#now, grain: GRAIN, exit: this.#now, frame });
  }

  #made(x: { how: number; width: number; address: bigint; value: bigint; ip: bigint; pid: number; flags?: number; by?: string }): void {
    const { how, width, address, value, ip, pid, flags = 0, by = '' } = x;
    const request = how | (MmioSource.MMIOTRACE << MMIO_SOURCE_SHIFT);
    const access = { request, pid, tid: pid, address, width, ip, flags, value, by, task: '' };
    this.#sink.event({ time: this.#now, grain: GRAIN, exit: this.#now, access });
  }

  #access(text: string): boolean {
    const m = ACCESS.exec(text);
    if (m === null) return false;
    this.#time(m[3]!, m[4]!);
    const how = m[1] === 'R' ? MmioHow.LOAD : MmioHow.STORE;
    this.#made({ how, width: Number(m[2]), address: hex(m[6]!), value: hex(m[7]!), ip: hex(m[8]!), pid: Number(m[9]) });
    return true;
  }

  /** An instruction that mmiotrace cannot decode: its first three bytes are all that it tells. */
  #unknown(text: string): boolean {
    const m = UNKNOWN.exec(text);
    if (m === null) return false;
    this.#time(m[1]!, m[2]!);
    const by = `opcode ${m[5]}`;
    const flags = MmioFlag.STEPPED;
    this.#made({ how: MmioHow.BOTH, width: 0, address: hex(m[4]!), value: 0n, ip: hex(m[6]!), pid: Number(m[7]), flags, by });
    return true;
  }

  #map(text: string): boolean {
    const m = MAP.exec(text);
    if (m === null) return false;
    const [physical, virtual, length] = [hex(m[4]!), hex(m[5]!), hex(m[6]!)];
    const region = mapped(physical, length, virtual, this.#nameOf(physical), this.#said);
    if (this.#maps.size < MOST_KEPT) this.#maps.set(m[3]!, region);
    this.#event(regionEvent(region, this.#time(m[1]!, m[2]!), GRAIN).frame);
    return true;
  }

  /** What a virtual address stood for it stands for no longer. */
  #unmap(text: string): boolean {
    const m = UNMAP.exec(text);
    if (m === null) return false;
    this.#time(m[1]!, m[2]!);
    const region = this.#maps.get(m[3]!);
    this.#maps.delete(m[3]!);
    if (region === undefined) this.#sink.foreign('UNMAP of what was mapped before');
    else this.#event(regionEvent({ ...region, virtual: 0n }, this.#now, GRAIN).frame);
    return true;
  }

  #mark(text: string): boolean {
    const m = MARK.exec(text);
    if (m === null) return false;
    const lost = LOST.exec(m[3]!);
    if (lost !== null) this.#lost.push({ events: Number(lost[1]), time: this.#started ? this.#now : undefined });
    else this.#sink.event({ time: this.#time(m[1]!, m[2]!), grain: GRAIN, exit: this.#now, note: m[3]! });
    return true;
  }

  #function(text: string): boolean {
    const m = PCIDEV.exec(text);
    if (m === null) return false;
    const words = m[3]!.slice(1).split(' ').map(hex);
    const devfn = Number.parseInt(m[1]!.slice(2), 16);
    const where = `${m[1]!.slice(0, 2)}:${(devfn >> 3).toString(16).padStart(2, '0')}.${devfn & 7}`;
    const driver = m[4]!.trim() === '' ? '' : ` ${m[4]!.trim()}`;
    for (let bar = 0; bar < BARS; bar++) {
      const [start, length] = [words[bar]!, words[BARS + bar]!];
      const physical = start & ~BAR_FLAGS;
      if (length === 0n || physical === 0n || start & PORTS || this.#bars.length >= MOST_KEPT) continue;
      const what = bar === BARS - 1 ? 'ROM' : `BAR ${bar}`;
      const name = `PCI ${where} ${what} (${m[2]!.slice(0, 4)}:${m[2]!.slice(4)}${driver})`;
      const region = { physical, length, virtual: 0n, kind: RegionKind.OTHER, name };
      this.#bars.push(region);
      this.#early.push(region);
    }
    return true;
  }

  #nameOf(physical: bigint): string {
    return this.#bars.find((bar) => physical >= bar.physical && physical < bar.physical + bar.length)?.name ?? '';
  }
}

export const MMIOTRACE: Format = {
  name: 'mmiotrace',
  summary: 'mmiotrace of an x86 kernel: /sys/kernel/tracing/trace_pipe',
  lineLimit: 4096,
  sniff: (line) => line.startsWith(VERSION) || ACCESS.test(line) || MAP.test(line) || PCIDEV.test(line),
  parser: (sink, options) => new Mmiotrace(sink, options),
};
