/** What two events say, value by value. */
import { quoteText } from '../../../hw/quote.ts';
import { EventBytes } from '../../event.ts';
import type { U64 } from '../../u64.ts';
import type { WholeCalls } from '../../whole-calls.ts';
import type { Name } from './forms.ts';
import { KeptLinks } from './kept-links.ts';
import type { Origin } from './links.ts';
import type { Meaning } from './meaning.ts';
import type { Sink } from './sink.ts';

/** A value of both events; undefined: the event does not say it, which counts as if it said 0. */
export interface FieldPair {
  readonly name: string;
  readonly answer: boolean;
  readonly a: string | undefined;
  readonly b: string | undefined;
  readonly differs: boolean;
}

/** A trace, and what its events refer to. */
export interface Teller {
  readonly source: WholeCalls;
  readonly meaning: Meaning;
  /** as {@link KeptLinks} takes them */
  linksOf(seq: number): Int32Array;
  readonly types?: readonly string[];
}

/** What event i of a and event j of b say. `corresponds`: are two things that they refer to the same? */
export function fieldsOf(a: Teller, i: number, b: Teller, j: number, corresponds: (x: Origin, y: Origin) => boolean): FieldPair[] {
  const [mine, theirs] = [told(a, i), told(b, j)];
  const equal = (x: Told | undefined, y: Told | undefined): boolean => {
    if (x === undefined || y === undefined) return false;
    if (x.origin === undefined || y.origin === undefined) return x.key === y.key;
    return x.type === y.type && corresponds(x.origin, y.origin);
  };
  const keys = [...new Set([...mine.keys(), ...theirs.keys()])];
  return keys.flatMap((key) => {
    const [x, y] = [mine.get(key), theirs.get(key)];
    if (x?.zero !== false && y?.zero !== false) return [];
    const known = x ?? y!;
    return [{ name: known.name, answer: known.answer, a: x?.text, b: y?.text, differs: !equal(x, y) }];
  });
}

function told(teller: Teller, seq: number): Map<string, Told> {
  const { source, meaning, types } = teller;
  const telling = new Telling();
  const e = eventAt(source, seq);
  if (e === undefined) return telling.values;
  const links = new KeptLinks(teller.linksOf(seq), types);
  meaning.ask(e, links, telling);
  meaning.answer(e, links, telling);
  return telling.values;
}

/** An event of its own, out of the log. */
function eventAt(source: WholeCalls, seq: number): EventBytes | undefined {
  for (const batch of source.scan(seq, seq)) {
    if (batch.taken === true) continue;
    const e = new EventBytes();
    if (e.read(batch.buffer, batch.offsets[0]!)) return e;
  }
  return undefined;
}

interface Told {
  readonly name: string;
  readonly answer: boolean;
  readonly text: string;
  /** equal values have equal keys */
  readonly key: string;
  /** a field that is 0: as if it were not told */
  readonly zero: boolean;
  readonly origin?: Origin;
  readonly type?: string;
}

/** Paths and names, of which people want to see letters: short, and printable throughout. */
const isText = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes.length <= 256 && bytes.every((b) => b >= 0x20 && b < 0x7f);

const hex = (n: U64): string => (n < 1024 ? String(n) : `0x${n.toString(16)}`);

/** Writes down what an event says, by names that are unlike each other. */
class Telling implements Sink {
  readonly values = new Map<string, Told>();
  #answer = false;

  answer(): void {
    this.#answer = true;
  }
  #put(name: Name, told: Omit<Told, 'name' | 'answer' | 'zero'>, zero = false): void {
    const where = this.#answer ? 'answer' : 'question';
    let key = `${where} ${name.text}`;
    let shown = name.text;
    for (let n = 1; this.values.has(key); n++) {
      shown = `${name.text}[${n}]`;
      key = `${where} ${shown}`;
    }
    this.values.set(key, { ...told, name: shown, answer: this.#answer, zero });
  }
  value(name: Name, value: U64): void {
    this.#put(name, { text: hex(value), key: hex(value) });
  }
  link(name: Name, origin: Origin, type: string, raw: U64): void {
    this.#put(name, { text: hex(raw), key: '', origin, type });
  }
  chosen(name: Name, raw: U64): void {
    this.#put(name, { text: hex(raw), key: 'chosen' });
  }
  zero(name: Name): void {
    this.#put(name, { text: '0', key: '0' }, true);
  }
  bytes(name: Name, buffer: Uint8Array, start: number, count: number): void {
    const found = buffer.subarray(start, start + count);
    const key = Buffer.from(found).toString('hex');
    const hexText = count <= 16 ? key : `${key.slice(0, 32)}… (${count} bytes)`;
    this.#put(name, { text: isText(found) ? quoteText(found) : hexText, key });
  }
}
