/**
 * What an importer of another tool's log is: a parser that is given the lines of the log and says what it finds. Reading the file,
 * the order by time, numbering, merging, the trace and the report are the same for all of them.
 */
import type { Frame } from '../../store/frame.ts';

/** What a parser says of an event. Times are the log's own, nanoseconds. */
export interface LogEvent {
  readonly time: bigint;
  /** how far the time is exact: the event took place less than so many nanoseconds after `time` */
  readonly grain: bigint;
  /** when it was over; as `time` where the log does not say */
  exit: bigint;
  /** a frame, a load or store, or words that somebody wrote into the log, which become a note */
  readonly frame?: (Partial<Frame> & { readonly kind: number }) | undefined;
  readonly access?: Access | undefined;
  readonly note?: string | undefined;
  /** it is written: what is found out now comes too late */
  gone?: boolean;
}

/** A load or store (Kind.MMIO), the only thing that a log may have by the million. */
export interface Access {
  /** MmioHow and MmioSource */
  readonly request: number;
  readonly pid: number;
  readonly tid: number;
  readonly address: bigint;
  /** bytes; 0: not known */
  readonly width: number;
  /** instruction pointer; 0n: not known */
  ip: bigint;
  /** MmioFlag */
  flags: number;
  value: bigint;
  /** the code that made it, and what its task is called; latin1, '' where the log does not say */
  by: string;
  readonly task: string;
}

/** Where a parser puts what it finds. */
export interface Sink {
  /** Events may come a little out of order; `exit` and `access` may be changed until `gone`. */
  event(e: LogEvent): void;
  /** A line that is no event for us: `what` is the group that it is counted in, short, the same for lines of a sort. */
  foreign(what: string): void;
  /** Events that the log says were lost; 0: it does not say how many. `time` as in the log, undefined: where it stands */
  lost(events: number, words: string, time?: bigint): void;
}

export interface LogParser {
  /**
   * One line, without its end, every character one byte (latin1): names are what the log has, whatever its encoding. `whole`: its
   * end was there; the last line of a log that was cut has none.
   */
  line(text: string, whole: boolean): void;
  /** There are no more lines. */
  end(): void;
}

export interface ParseOptions {
  /** pid of a thread, where the recording that the log is merged with knows it */
  readonly processOf: (tid: number) => number | undefined;
  /** where devices are, as far as the user said */
  readonly regions: readonly Region[];
}

/** A range of addresses that is a device's. */
export interface Region {
  /** physical address of its first byte; 0n: not known */
  readonly physical: bigint;
  readonly length: bigint;
  /** the kernel's virtual address of its first byte; 0n: not known, or none */
  readonly virtual: bigint;
  /** number of RegionKind */
  readonly kind: number;
  readonly name: string;
}

export interface Format {
  readonly name: string;
  readonly summary: string;
  /** longest line that can mean something, bytes; what is longer is foreign */
  readonly lineLimit: number;
  /** Is this a line that only such a log has? For the hint where somebody named the wrong format. */
  readonly sniff: (line: string) => boolean;
  readonly parser: (sink: Sink, options: ParseOptions) => LogParser;
}

/** `1.483654` as nanoseconds, from its two halves; `fraction` has 1 to 9 digits. */
export function stamp(seconds: string, fraction: string): bigint {
  return BigInt(seconds + fraction.padEnd(9, '0'));
}

/** What the last digit of a time stands for, nanoseconds. */
export const grainOf = (fraction: string): bigint => GRAINS[fraction.length] ?? 1n;
const GRAINS = Array.from({ length: 10 }, (_, digits) => 10n ** BigInt(9 - digits));

/** Bytes of a text out of a log. */
export const textBytes = (latin1: string): Buffer => Buffer.from(latin1, 'latin1');
