/** Points in time as people type them: since the start, from here, of day. Pure. */

/** `start`, `here`: nanoseconds from there; `day`: since midnight, UTC; `date`: since 1970, UTC. */
export interface When {
  readonly from: 'start' | 'here' | 'day' | 'date';
  readonly ns: bigint;
}

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  min: 60_000_000_000n,
};
const AMOUNT = String.raw`(\d{1,12})(?:\.(\d{1,9}))?`;
const SINCE = new RegExp(`^@ ?${AMOUNT} ?(ns|us|µs|ms|s|min|m)?$`);
const PLAIN = new RegExp(`^${AMOUNT} ?(ns|us|µs|ms|s|min|m)$`);
const FROM_HERE = new RegExp(`^([+-]) ?${AMOUNT} ?(ns|us|µs|ms|s|min|m)$`);
const OF_DAY = /^@?(?:(\d{4})-(\d\d)-(\d\d)[T ])?(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?: ?Z| ?UTC)?$/;

const fraction = (digits: string | undefined, unit: bigint): bigint =>
  digits === undefined ? 0n : (BigInt(digits) * unit) / 10n ** BigInt(digits.length);
const amount = (whole: string, digits: string | undefined, unit: string | undefined): bigint => {
  const one = UNITS[unit ?? 's']!;
  return BigInt(whole) * one + fraction(digits, one);
};

/** `@12.004`, `12.004s`, `+1.5s`, `-200ms`, `14:03:59.5`, `2026-08-01 14:03`; undefined where it is none. */
export function parseWhen(text: string): When | undefined {
  const since = SINCE.exec(text) ?? PLAIN.exec(text);
  if (since !== null) return { from: 'start', ns: amount(since[1]!, since[2], since[3]) };
  const here = FROM_HERE.exec(text);
  if (here !== null) {
    const ns = amount(here[2]!, here[3], here[4]);
    return { from: 'here', ns: here[1] === '-' ? -ns : ns };
  }
  const day = OF_DAY.exec(text);
  return day === null ? undefined : ofDay(day);
}

function ofDay([, year, month, date, hour, minute, second = '0', digits]: RegExpExecArray): When | undefined {
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const ns = amount(String(Number(hour) * 3600 + Number(minute) * 60 + Number(second)), digits, 's');
  if (year === undefined) return { from: 'day', ns };
  const midnight = Date.UTC(Number(year), Number(month) - 1, Number(date));
  const valid = new Date(midnight).toISOString().startsWith(`${year}-${month}-${date}`);
  return valid ? { from: 'date', ns: BigInt(midnight) * 1_000_000n + ns } : undefined;
}

const DAY = 86_400_000_000_000n;

/** Nanoseconds since the start of the recording. `began`: when that was, since 1970; `here`: where we are, since the start. */
export function sinceStart(when: When, began: bigint, here: bigint): bigint {
  switch (when.from) {
    case 'start':
      return when.ns;
    case 'here':
      return here + when.ns;
    case 'date':
      return when.ns - began;
    case 'day': {
      // the first time that the clock shows it from the start on
      const ns = when.ns - (began % DAY);
      return ns < 0n ? ns + DAY : ns;
    }
    default:
      return when.from satisfies never;
  }
}

/** A wall clock time as UTC: `2026-08-01 14:03:59.123456`. */
export function wallText(ns: bigint): string {
  const ms = ns / 1_000_000n;
  // what a clock cannot have shown is not worth a date
  if (ns < 0n || ms > 8_640_000_000_000_000n) return `${ns} ns`;
  const text = new Date(Number(ms)).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)}.${(ns % 1_000_000_000n).toString().padStart(9, '0').slice(0, 6)}`;
}
