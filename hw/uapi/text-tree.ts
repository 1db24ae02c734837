/**
 * The text form of a call (see text.ts) to a tree of words: what stands where, not yet what it means.
 */

export type Word = { readonly kind: 'word'; readonly text: string; readonly at: number };
export type Tree =
  | Word
  | { readonly kind: 'struct'; readonly items: readonly Entry[]; readonly at: number }
  | { readonly kind: 'array'; readonly items: readonly Tree[]; readonly at: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly at: number }
  | { readonly kind: 'pointer'; readonly address: Word; readonly to: Tree; readonly at: number }
  | { readonly kind: 'unknown'; readonly at: number };
export interface Entry {
  readonly name: string;
  readonly value: Tree;
  readonly at: number;
}

/** Text that is not of the form; `at` is the place in it, in characters from 0. */
export class TextError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** Deeper than any call nests. */
const DEPTH_MAX = 32;
/** A bitmap of more bits than that is not believed. */
const BITS_MAX = 1 << 27;

function hexBytes(hex: string, at: number): Uint8Array {
  if (hex.length % 2 !== 0) throw new TextError('an odd number of hex digits', at);
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

export class Reader {
  readonly text: string;
  at: number;
  private depth = 0;
  constructor(text: string, at = 0) {
    this.text = text;
    this.at = at;
  }

  fail(message: string): never {
    throw new TextError(message, this.at);
  }
  /** Takes a literal when it is next. */
  take(literal: string): boolean {
    if (!this.text.startsWith(literal, this.at)) return false;
    this.at += literal.length;
    return true;
  }
  expect(literal: string): void {
    if (!this.take(literal)) this.fail(this.text.startsWith('…', this.at) ? 'abbreviated: print it in full' : `'${literal}' expected`);
  }
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return undefined;
    this.at += found[0].length;
    return found[0];
  }

  value(): Tree {
    if (++this.depth > DEPTH_MAX) this.fail('nested too deep');
    const tree = this.one();
    this.depth--;
    return tree;
  }
  private one(): Tree {
    const at = this.at;
    if (this.take('{')) return this.struct(at);
    if (this.take('[')) return this.array(at);
    if (this.take('"')) return this.string(at);
    if (this.take('?')) return { kind: 'unknown', at };
    if (this.take('bytes:')) return this.bytes(at);
    if (this.take('bits:')) return this.bits(at);
    if (this.text.startsWith('<', this.at)) this.fail('abbreviated: print it in full');
    const text = this.match(/[-\w|.]+/y);
    if (text === undefined) return this.fail(this.text.startsWith('…', this.at) ? 'abbreviated: print it in full' : 'a value expected');
    this.match(/<[^>]*>/y);
    const word: Word = { kind: 'word', text, at };
    if (!/^ (?:[{[]|bytes:|bits:)/.test(this.text.slice(this.at, this.at + 8))) return word;
    this.take(' ');
    return { kind: 'pointer', address: word, to: this.value(), at };
  }

  private struct(at: number): Tree {
    const items: Entry[] = [];
    while (!this.take('}')) {
      if (items.length > 0) this.expect(' ');
      items.push(this.entry());
    }
    return { kind: 'struct', items, at };
  }
  entry(): Entry {
    const at = this.at;
    const name = this.match(/@?[\w.]+/y) ?? this.fail('a name expected');
    this.expect('=');
    return { name, value: this.value(), at };
  }
  private array(at: number): Tree {
    const items: Tree[] = [];
    while (!this.take(']')) {
      if (items.length > 0) this.expect(', ');
      items.push(this.value());
    }
    this.match(/<[^>]*>/y);
    return { kind: 'array', items, at };
  }
  private bytes(at: number): Tree {
    const tree: Tree = { kind: 'bytes', bytes: hexBytes(this.match(/[0-9a-fA-F]*/y) ?? '', at), at };
    if (this.text.startsWith('…', this.at)) this.fail('abbreviated: print it in full');
    return tree;
  }
  private bits(at: number): Tree {
    const ranges = this.match(/[\d,-]*/y) ?? '';
    if (this.text.startsWith('…', this.at)) this.fail('abbreviated: print it in full');
    this.expect('/');
    const total = Number(this.match(/\d{1,9}/y) ?? this.fail('a number of bits expected'));
    if (total % 8 !== 0 || total > BITS_MAX) this.fail('not a number of bits that a bitmap has');
    const bytes = new Uint8Array(total / 8);
    for (const range of ranges === '' ? [] : ranges.split(',')) {
      const ends = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range);
      const from = Number(ends?.[1] ?? Number.NaN);
      const to = Number(ends?.[2] ?? from);
      if (!(from <= to && to < total)) throw new TextError(`${range} is no range of bits below ${total}`, at);
      for (let n = from; n <= to; n++) bytes[n >> 3]! |= 1 << (n & 7);
    }
    return { kind: 'bytes', bytes, at };
  }
  /** As C writes it; a NUL stands at the end unless `…` follows. */
  private string(at: number): Tree {
    const bytes: number[] = [];
    while (!this.take('"')) {
      const part = this.match(/\\x[0-9a-fA-F]{2}|\\["\\]|[ !#-[\]-~]/y) ?? this.fail('a character of a string expected');
      bytes.push(part.startsWith('\\x') ? Number.parseInt(part.slice(2), 16) : part.charCodeAt(part.length - 1));
    }
    if (!this.take('…')) bytes.push(0);
    return { kind: 'bytes', bytes: Uint8Array.from(bytes), at };
  }
}
