/** Who takes what an event says, and the names that are in many events. */
import { Kind } from '../../../store/frame.ts';
import type { U64 } from '../../u64.ts';
import { type Name, named } from './forms.ts';
import type { Origin } from './links.ts';

/** Takes what an event says. */
export interface Sink {
  /** a number that counts as it is; `place` tells values of one name apart: 0, or of which element behind which pointer */
  value(name: Name, value: U64, place?: number): void;
  /** something by who made it; `raw` is the number that it had, `type` '' where it is not known */
  link(name: Name, origin: Origin, type: string, raw: U64, place?: number): void;
  /** the number was the kernel's or the program's choice: that there is one counts */
  chosen(name: Name, raw: U64, place?: number): void;
  bytes(name: Name, buffer: Uint8Array, start: number, count: number, place?: number): void;
  /** a field that is there and 0: for people, who want to tell that from one that is not there; it is no part of what counts */
  zero?(name: Name): void;
  /** from here on it is what was answered */
  answer(): void;
}

export const WORDS = {
  call: named('call'),
  kindOfFile: named('file'),
  file: named('on'),
  ret: named('ret'),
  errno: named('errno'),
  unfinished: named('not returned'),
  argument: named('argument'),
  rest: named('more bytes'),
  data: named('data'),
  /** region of a VFIO device, by its index */
  window: named('region index'),
} as const;

/** Words of ARGS that are told, by kind of event; null: left out. */
export const ARGS: Partial<Readonly<Record<number, readonly (Name | null)[]>>> = {
  [Kind.OPEN]: [null, named('flags'), named('mode')],
  [Kind.DUP]: [null, named('flags')],
  [Kind.MMAP]: [null, named('length'), named('prot'), named('flags')],
  [Kind.MREMAP]: [null, named('old_length'), named('length'), named('flags')],
  [Kind.MUNMAP]: [null, named('length')],
  [Kind.READ]: [named('count'), named('offset')],
  [Kind.WRITE]: [named('count'), named('offset')],
  [Kind.MMIO]: [null, named('offset'), named('width'), null, named('flags'), named('stored')],
  [Kind.QUEUE]: [null, named('index'), named('log2size'), named('first')],
  [Kind.REGION]: [null, named('length')],
};
/** Which of them is an offset in the event's file. */
export const OFFSET_WORD: Partial<Readonly<Record<number, number>>> = { [Kind.READ]: 1, [Kind.WRITE]: 1, [Kind.MMIO]: 1 };
