/** Times and durations as text; all are in nanoseconds. */

/** Nanoseconds as seconds with a fixed number of digits (cut, not rounded, so that the order of lines is the order of times). */
export function secondsText(ns: bigint, digits: number): string {
  const sign = ns < 0n ? '-' : '';
  const abs = ns < 0n ? -ns : ns;
  const fraction = (abs % 1_000_000_000n).toString().padStart(9, '0').slice(0, digits);
  return `${sign}${abs / 1_000_000_000n}.${fraction}`;
}

const TOOK_UNITS = [
  ['n', 1],
  ['u', 1e3],
  ['m', 1e6],
  ['s', 1e9],
] as const;

/** A duration in three digits: `850n`, `78u`, `12.3m`, `1.20s` (nano-, micro-, milliseconds, seconds). */
export function tookText(ns: bigint | number): string {
  const n = Number(ns);
  const [suffix, unit] = TOOK_UNITS.findLast(([, u]) => Math.abs(n) >= u) ?? TOOK_UNITS[0];
  const value = n / unit;
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(digits)}${suffix}`;
}

/** A duration without loss, in the greatest unit that divides it. */
export function exactTook(ns: bigint): string {
  const unit = TOOK_UNITS.findLast(([, u]) => ns !== 0n && ns % BigInt(u) === 0n) ?? TOOK_UNITS[0];
  return `${ns / BigInt(unit[1])}${unit[0]}`;
}
