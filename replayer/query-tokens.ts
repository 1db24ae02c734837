/** Words, numbers and marks of the filter language (query.ts), each with its place. */

/** A piece of the query's text, in UTF-16 units. */
export interface Span {
  readonly at: number;
  readonly length: number;
}

/** Nanoseconds per unit. */
const UNITS: Readonly<Record<string, number>> = { ns: 1, n: 1, us: 1e3, u: 1e3, µs: 1e3, ms: 1e6, m: 1e6, s: 1e9, min: 60e9 };

export interface Token extends Span {
  readonly type: 'number' | 'word' | 'string' | 'mark' | 'end';
  readonly text: string;
}

const TOKEN =
  /(?<space>\s+)|(?<number>-?(?:0x[0-9a-f]+|\d+(?:\.\d+)?(?:ns|us|µs|ms|min|[numsµ])?)(?![\w]))|(?<word>[a-z_][\w]*(?:[.-][a-z_][\w]*)*)|(?<string>"(?:[^"\\]|\\.)*"|'[^']*')|(?<mark>&&|\|\||==|!=|<=|>=|\.\.|[=<>!~&(),])/giuy;

/** A mistake in a query, with its place. */
export class Mistake extends Error {
  readonly span: Span;
  constructor(span: Span, message: string) {
    super(message);
    this.span = span;
  }
}

export function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) {
      const rest = /^["']/.test(text.slice(at)) ? 'a string that does not end' : `what is "${text.slice(at).split(/\s/, 1)[0]}"?`;
      throw new Mistake({ at, length: Math.max(1, text.slice(at).split(/\s/, 1)[0]!.length) }, rest);
    }
    const groups = match.groups ?? {};
    const type = (['number', 'word', 'string', 'mark'] as const).find((g) => groups[g] !== undefined);
    if (type !== undefined) found.push({ type, text: match[0], at, length: match[0].length });
  }
  found.push({ type: 'end', text: '', at: text.length, length: 1 });
  return found;
}

export function unquote(token: Token): string {
  return token.type === 'string' ? token.text.slice(1, -1).replace(/\\(.)/g, '$1') : token.text;
}

export function regular(token: Token, pattern: string): string {
  try {
    new RegExp(pattern, 'iu');
    return pattern;
  } catch {
    throw new Mistake(token, 'not a regular expression');
  }
}

export function integer(token: Token): bigint {
  if (token.type !== 'number') throw new Mistake(token, 'expected a number');
  const negative = token.text.startsWith('-');
  const digits = negative ? token.text.slice(1) : token.text;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(digits)) throw new Mistake(token, 'expected a whole number');
  const n = BigInt(digits);
  if (n >= 1n << 64n) throw new Mistake(token, 'more than 64 bits');
  return negative ? -n : n;
}

/** Seconds where there is no unit: `12.5`, `1ms`, `800u`. → nanoseconds */
export function duration(token: Token): bigint {
  const match = /^(-?)(\d+)(?:\.(\d+))?(ns|us|µs|ms|min|[numsµ])?$/i.exec(token.text);
  if (token.type !== 'number' || match === null) throw new Mistake(token, 'expected a time: 12.5 (seconds), 1ms, 800us');
  const scale = BigInt(UNITS[(match[4] ?? 's').toLowerCase()] ?? 1e3);
  const fraction = match[3] ?? '';
  const ns = (BigInt(match[2]! + fraction) * scale) / 10n ** BigInt(fraction.length);
  return match[1] === '-' ? -ns : ns;
}
