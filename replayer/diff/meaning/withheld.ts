/**
 * What is not told because `redact` has taken it out of one of the traces: of such a value counts what redaction leaves of it,
 * on both sides.
 */
import type { TraceMeta } from '../../../store/meta.ts';
import { isKernelAddress, isUserAddress } from '../../redact/addresses.ts';
import { CLASS_NAMES, type ClassName } from '../../redact/classes.ts';
import { pathWith } from '../../redact/words.ts';
import type { U64 } from '../../u64.ts';
import type { Name } from './forms.ts';
import type { Sink } from './sink.ts';

export type Withheld = ReadonlySet<ClassName>;
export const NOTHING_WITHHELD: Withheld = new Set();

/** What was taken out of traces, by what is written at their heads; what is written there may be anything. */
export function withheldFrom(...heads: readonly TraceMeta[]): Withheld {
  const said = heads.flatMap(({ redacted }): unknown[] => (Array.isArray(redacted) ? redacted : []));
  return new Set(CLASS_NAMES.filter((name) => said.includes(name)));
}

/** In the place of a name. */
const SOMETHING = '?';

/** Tells values, or what is left of them. */
export class Withholding {
  /** values that were not told */
  count = 0;
  readonly #withheld: Withheld;

  constructor(withheld: Withheld) {
    this.#withheld = withheld;
  }

  withholds(sort: ClassName): boolean {
    return this.#withheld.has(sort);
  }

  /** Bytes that redaction changes with any of the classes: how many there are stays. */
  bytes(to: Sink, of: readonly ClassName[], name: Name, buffer: Uint8Array, start: number, bytes: number, place = 0): void {
    if (!of.some((sort) => this.#withheld.has(sort))) {
      to.bytes(name, buffer, start, bytes, place);
      return;
    }
    this.count++;
    to.value(name, bytes, place);
  }

  /** A word that may be an address. */
  word(to: Sink, name: Name, value: U64): void {
    const n = BigInt(value);
    if (!this.#withheld.has('pointers') || !(isUserAddress(n) || isKernelAddress(n))) {
      to.value(name, value);
      return;
    }
    this.count++;
    to.chosen(name, value);
  }

  /** A path: the names that are everybody's stay, and how deep it is. `shown`: what is told of it. */
  path(to: Sink, name: Name, text: string, shown: (path: string) => string): void {
    const whole = shown(text);
    const left = this.#withheld.has('paths') ? shown(pathWith(text, () => SOMETHING)) : whole;
    if (left !== whole) this.count++;
    tellText(to, name, left);
  }

  /** A text that is everybody's. */
  plain(to: Sink, name: Name, text: string): void {
    tellText(to, name, text);
  }

  /** A name that somebody gave; '' stays. */
  note(to: Sink, name: Name, text: string): void {
    const hides = this.#withheld.has('notes') && text !== '';
    if (hides) this.count++;
    tellText(to, name, hides ? SOMETHING : text);
  }
}

function tellText(to: Sink, name: Name, text: string): void {
  const bytes = Buffer.from(text);
  to.bytes(name, bytes, 0, bytes.length);
}
