/** The time column of the list, in the form that was asked for. Pure. */
import { secondsText } from '../../hw/time-text.ts';
import type { TimeColumn } from '../view-options.ts';

/** Clocks at the start of the recording, nanoseconds: CLOCK_MONOTONIC, and CLOCK_REALTIME at the same instant. */
export interface Clock {
  readonly monotonicNs: bigint;
  readonly realtimeNs: bigint;
}

const DIGITS = 6;
const SECOND = 1_000_000_000n;

/** `at`: when an event was entered, CLOCK_MONOTONIC; `before`: when the one before it was, undefined for the first. */
export function timeText(column: TimeColumn, at: bigint | undefined, before: bigint | undefined, clock: Clock): string {
  if (at === undefined) return '';
  switch (column) {
    case 'start':
      return secondsText(at - clock.monotonicNs, DIGITS);
    case 'previous': {
      if (before === undefined) return '';
      const by = at - before;
      return by < 0n ? secondsText(by, DIGITS) : `+${secondsText(by, DIGITS)}`;
    }
    case 'day':
      return dayText(clock.realtimeNs + (at - clock.monotonicNs));
    default:
      return column satisfies never;
  }
}

/** Local time of day, as `strace -tt` prints it. `ns`: since 1970. */
function dayText(ns: bigint): string {
  const date = new Date(Number(ns / 1_000_000n));
  if (ns < 0n || Number.isNaN(date.getTime())) return '?';
  const two = (n: number): string => String(n).padStart(2, '0');
  const fraction = String(ns % SECOND)
    .padStart(9, '0')
    .slice(0, DIGITS);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}
