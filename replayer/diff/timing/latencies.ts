/** Latencies of one call: every one of them as long as they are few, a histogram with logarithmic steps from there on. */
import type { Tally } from './rank-test.ts';

/** Latencies that are kept as they are: 64 KiB. */
const KEPT = 8192;
/** Steps of the histogram to a factor of two: a value is at most 0.8 % off. */
const STEPS = 128;
/** Nanoseconds up to which every value has a bin of its own. */
const SINGLE = 2 * STEPS;
/** bins up to 2^53 ns */
const BINS = SINGLE + (53 - 8) * STEPS;

/** The bin of a value; ascending with it. */
function binOf(ns: number): number {
  if (ns < SINGLE) return Math.max(0, Math.floor(ns));
  const power = Math.min(52, Math.floor(Math.log2(ns)));
  // of a value just below a power of two log2 may say the next one
  const octave = ns < 2 ** power ? power - 1 : power;
  return Math.min(BINS - 1, SINGLE + (octave - 8) * STEPS + Math.floor(ns / 2 ** (octave - 7)) - STEPS);
}

/** The middle of a bin. */
function middleOf(bin: number): number {
  if (bin < SINGLE) return bin;
  const octave = 8 + Math.floor((bin - SINGLE) / STEPS);
  return 2 ** (octave - 7) * (STEPS + ((bin - SINGLE) % STEPS) + 0.5);
}

export class Latencies {
  count = 0;
  #kept: Float64Array<ArrayBuffer> = new Float64Array(64);
  #bins: Uint32Array | undefined;

  add(ns: number): void {
    this.count++;
    if (this.#bins !== undefined) {
      this.#bins[binOf(ns)]!++;
      return;
    }
    if (this.count > this.#kept.length) {
      const wider = new Float64Array(2 * this.#kept.length);
      wider.set(this.#kept);
      this.#kept = wider;
    }
    this.#kept[this.count - 1] = ns;
    if (this.count === KEPT) this.#bin();
  }

  /** The values are those of a histogram. */
  get binned(): boolean {
    return this.#bins !== undefined;
  }

  #bin(): void {
    const bins = new Uint32Array(BINS);
    for (const ns of this.#kept.subarray(0, this.count)) bins[binOf(ns)]!++;
    this.#bins = bins;
    this.#kept = new Float64Array(0);
  }

  /** Values and how often each was seen. `binned`: by the steps of the histogram in any case, to be compared with one. */
  tally(binned: boolean): Tally {
    const counts = new Map<number, number>();
    if (this.#bins !== undefined) {
      this.#bins.forEach((n, bin) => {
        if (n > 0) counts.set(middleOf(bin), n);
      });
    } else {
      for (const ns of this.#kept.slice(0, this.count).sort()) {
        const value = binned ? middleOf(binOf(ns)) : ns;
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
    }
    return { values: [...counts.keys()], counts: [...counts.values()] };
  }

  /** The smallest value that at least the share `q` of all values does not exceed (nearest rank); 0 where there is none. */
  quantile(q: number): number {
    const { values, counts } = this.tally(false);
    let left = Math.max(1, Math.ceil(q * this.count));
    for (const [i, n] of counts.entries()) {
      left -= n;
      if (left <= 0) return values[i]!;
    }
    return 0;
  }
}
