/**
 * The filter language: one for `show --where`, for searches and watches on the screen, for `reduce --keep`.
 *
 *     errno != 0 && call == IOMMU_HW_QUEUE_ALLOC        created(hw_queue) || destroyed(object 7)
 *     object == viommu 4 && seq in 100..200             took > 1ms && !(call ~ IOAS)
 *
 * A text becomes a tree with positions, so that a mistake can be underlined; `query-sql.ts` turns what the index columns
 * can answer into SQL, `query-match.ts` is the meaning of the whole language on one event. Two-valued: a comparison with
 * something an event does not have is false, `!=` too.
 */
import { errnoNumber } from '../hw/errno.ts';
import { KIND_NAMES } from '../hw/event-words.ts';
import { nearest } from './nearest.ts';
import { type RegisterSubject, registerConstant, registerSubject, registerWords } from './query-registers.ts';
import { duration, integer, Mistake, regular, type Span, type Token, tokens, unquote } from './query-tokens.ts';

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=';

/** A literal. Times are in nanoseconds. A word is a constant's name, matched whole or by its end (`NEST_PARENT`). */
export type Literal = { readonly number: bigint } | { readonly word: string };

/** What `object …`, `created(…)` and its like speak of: a type, an id, both, or any object. `types` empty = any. */
export interface Subject {
  readonly types: readonly string[];
  readonly id: number | undefined;
}

/** Columns of the index: names of store's wide view, and how a literal for them is read. */
export const COLUMNS = {
  seq: 'number',
  t: 'time',
  took: 'time',
  pid: 'number',
  tid: 'number',
  fd: 'number',
  file: 'number',
  context: 'number',
  ret: 'number',
  errno: 'errno',
  kind: 'kind',
  call: 'call',
} as const;
export type Column = keyof typeof COLUMNS;

export const CHANGE_WORDS = ['created', 'destroyed', 'changed'] as const;
export type ChangeWord = (typeof CHANGE_WORDS)[number];

export type Query =
  | { readonly op: 'all' }
  | { readonly op: 'and' | 'or'; readonly left: Query; readonly right: Query }
  | { readonly op: 'not'; readonly inner: Query }
  | { readonly op: 'column'; readonly column: Column; readonly comparison: Comparison; readonly value: bigint | string }
  | { readonly op: 'match'; readonly column: 'call' | 'kind'; readonly pattern: string }
  | { readonly op: 'field'; readonly field: string; readonly comparison: Comparison | '&'; readonly value: Literal }
  | { readonly op: 'text'; readonly field: string; readonly pattern: string }
  | { readonly op: 'object'; readonly subject: Subject }
  | { readonly op: 'change'; readonly word: ChangeWord; readonly subject: Subject }
  /** a register that the event touches or changes; without a comparison any value will do */
  | {
      readonly op: 'register';
      readonly subject: RegisterSubject;
      readonly comparison: Comparison | '&' | undefined;
      readonly value: bigint;
    }
  | { readonly op: 'flag'; readonly flag: Flag };

/** Words that stand alone. */
export const FLAGS = ['error', 'unfinished'] as const;
export type Flag = (typeof FLAGS)[number];

export interface QueryError extends Span {
  readonly message: string;
}
export type QueryResult = { readonly ok: true; readonly query: Query } | { readonly ok: false; readonly error: QueryError };

/** Names the language borrows from the uAPI table: see {@link vocabularyOf} in query-fields.ts. */
export interface Vocabulary {
  /** names of calls, with and without their prefix → the full name */
  call(word: string): string | undefined;
  /** true where some call has a field of this name */
  field(word: string): boolean;
  /** true where the field is a text (`path`, `exe`) */
  text(word: string): boolean;
  /** true where a constant of that field has this name, or a name that ends with it */
  constant(field: string, word: string): boolean;
  readonly calls: readonly string[];
  readonly fields: readonly string[];
}

/** Words for object types → names of hw/uapi's ObjectType. */
export const OBJECT_WORDS: Readonly<Record<string, readonly string[]>> = {
  object: [],
  device: ['DEVICE'],
  hwpt: ['HWPT_PAGING', 'HWPT_NESTED'],
  hwpt_paging: ['HWPT_PAGING'],
  hwpt_nested: ['HWPT_NESTED'],
  ioas: ['IOAS'],
  access: ['ACCESS'],
  fault: ['FAULT'],
  viommu: ['VIOMMU'],
  vdevice: ['VDEVICE'],
  veventq: ['VEVENTQ'],
  hw_queue: ['HW_QUEUE'],
  selftest: ['SELFTEST'],
};

/** Deepest nesting of parentheses and `!`. */
const DEEPEST = 100;

class Parser {
  private readonly list: readonly Token[];
  private readonly words: Vocabulary;
  private next = 0;
  private depth = 0;

  constructor(list: readonly Token[], words: Vocabulary) {
    this.list = list;
    this.words = words;
  }

  query(): Query {
    if (this.peek().type === 'end') return { op: 'all' };
    const query = this.either();
    const rest = this.peek();
    if (rest.type !== 'end') throw new Mistake(rest, rest.text === ')' ? 'no "(" for this ")"' : 'expected && or || before this');
    return query;
  }

  private peek(): Token {
    return this.list[Math.min(this.next, this.list.length - 1)]!;
  }
  private take(): Token {
    const token = this.peek();
    this.next++;
    return token;
  }
  private takeMark(...marks: readonly string[]): string | undefined {
    const token = this.peek();
    if (!marks.includes(token.text) || token.type === 'string' || token.type === 'number') return undefined;
    this.next++;
    return token.text;
  }

  private either(): Query {
    let left = this.both();
    while (this.takeMark('||', 'or') !== undefined) left = { op: 'or', left, right: this.both() };
    return left;
  }
  private both(): Query {
    let left = this.single();
    while (this.takeMark('&&', 'and') !== undefined) left = { op: 'and', left, right: this.single() };
    return left;
  }

  private single(): Query {
    const first = this.peek();
    if (++this.depth > DEEPEST) throw new Mistake(first, `nested more than ${DEEPEST} deep`);
    try {
      if (this.takeMark('!', 'not') !== undefined) return { op: 'not', inner: this.single() };
      if (this.takeMark('(') !== undefined) {
        const inner = this.either();
        if (this.takeMark(')') === undefined) throw new Mistake(this.peek(), 'expected ")"');
        return inner;
      }
      return this.term();
    } finally {
      this.depth--;
    }
  }

  private term(): Query {
    const token = this.take();
    if (token.type === 'end') throw new Mistake(token, 'expected a condition here');
    if (token.type !== 'word') throw new Mistake(token, 'a condition begins with a name: errno, call, object, a field …');
    const { text } = token;
    if ((CHANGE_WORDS as readonly string[]).includes(text)) return this.change(text as ChangeWord);
    if ((FLAGS as readonly string[]).includes(text)) return { op: 'flag', flag: text as Flag };
    if (text === 'object') return this.object();
    if (text === 'reg') return this.reg();
    if (text in COLUMNS) return this.column(text as Column);
    if (this.words.text(text)) return this.textField(text);
    if (this.words.field(text)) return this.field(text);
    const register = registerSubject(text);
    if (register !== undefined && register.register !== '') return this.register(register);
    if (this.words.call(text) !== undefined) throw new Mistake(token, `a call by name is: call == ${text}`);
    throw new Mistake(
      token,
      `nothing is called "${text}"${suggestion(text, [...Object.keys(COLUMNS), 'object', 'reg', ...registerWords(), ...FLAGS, ...CHANGE_WORDS, ...this.words.fields])}`,
    );
  }

  /** `created(hw_queue)`, `destroyed(object 7)`, `changed(viommu 4)`, `created()` */
  private change(word: ChangeWord): Query {
    if (this.takeMark('(') === undefined) throw new Mistake(this.peek(), `expected "(": ${word}(object 7), ${word}(hw_queue)`);
    const subject = this.peek().text === ')' ? { types: [], id: undefined } : this.subject();
    if (this.takeMark(')') === undefined) throw new Mistake(this.peek(), 'expected ")"');
    return { op: 'change', word, subject };
  }

  private object(): Query {
    const mark = this.takeMark('==', '!=', '=');
    if (mark === undefined) throw new Mistake(this.peek(), 'expected == or !=: object == 7, object == viommu 4');
    const query: Query = { op: 'object', subject: this.subject() };
    return mark === '!=' ? { op: 'not', inner: query } : query;
  }

  /** `reg == PROD_INDX`, `reg == VINTF1.LVCMDQ0` */
  private reg(): Query {
    const mark = this.takeMark('==', '!=', '=');
    if (mark === undefined) throw new Mistake(this.peek(), 'expected == or !=: reg == PROD_INDX, reg == LVCMDQ0.GERROR');
    const token = this.take();
    const subject = token.type === 'word' ? registerSubject(token.text) : undefined;
    if (subject === undefined || subject.field !== undefined)
      throw new Mistake(token, `no register is called "${token.text}"${suggestion(token.text.toUpperCase(), registerWords())}`);
    return negate(mark === '!=', { op: 'register', subject, comparison: undefined, value: 0n });
  }

  /** `LVCMDQ0.GERROR != 0`, `CONS_INDX.ERR == ILLEGAL` */
  private register(subject: RegisterSubject): Query {
    const make = (comparison: Comparison | '&', value: bigint): Query => ({ op: 'register', subject, comparison, value });
    if (this.takeMark('in') !== undefined)
      return this.among<bigint>(
        (low, high) => bounds(low, high, make),
        (t) => this.registerValue(subject, t),
      );
    const mark = this.comparison([...ORDERED, '&']);
    return make(mark as Comparison | '&', this.registerValue(subject, this.take()));
  }
  private registerValue(subject: RegisterSubject, token: Token): bigint {
    if (token.type === 'number') return integer(token);
    const value = token.type === 'word' ? registerConstant(subject, token.text) : undefined;
    if (value === undefined)
      throw new Mistake(token, token.type === 'word' ? `no value of it is called "${token.text}"` : 'expected a number');
    return value;
  }

  private subject(): Subject {
    const token = this.peek();
    let types: readonly string[] = [];
    let named = false;
    if (token.type === 'word') {
      const known = OBJECT_WORDS[token.text.toLowerCase()];
      if (known === undefined)
        throw new Mistake(token, `no type of object is called "${token.text}"${suggestion(token.text, Object.keys(OBJECT_WORDS))}`);
      this.next++;
      [types, named] = [known, true];
    }
    const number = this.peek();
    if (number.type !== 'number') {
      if (named) return { types, id: undefined };
      throw new Mistake(number, 'expected an object: 7, viommu 4, hw_queue');
    }
    this.next++;
    return { types, id: Number(integer(number)) };
  }

  private column(column: Column): Query {
    const kind = COLUMNS[column];
    if (this.takeMark('in') !== undefined)
      return this.among<bigint | string>(
        (low, high) => bounds(low, high, (c, v) => ({ op: 'column', column, comparison: c, value: v })),
        (t) => this.columnValue(column, t),
      );
    const mark = this.comparison(kind === 'call' || kind === 'kind' ? ['==', '!=', '~', '!~'] : ORDERED);
    if (mark === '~' || mark === '!~')
      return negate(mark === '!~', { op: 'match', column: column as 'call' | 'kind', pattern: this.pattern() });
    return { op: 'column', column, comparison: mark as Comparison, value: this.columnValue(column, this.take()) };
  }

  private columnValue(column: Column, token: Token): bigint | string {
    const kind = COLUMNS[column];
    if (token.type === 'end') throw new Mistake(token, 'expected a value here');
    switch (kind) {
      case 'number':
        return integer(token);
      case 'time':
        return duration(token);
      case 'errno':
        return this.errno(token);
      case 'kind':
        return this.kind(token);
      case 'call':
        return this.call(token);
    }
  }

  private errno(token: Token): bigint {
    if (token.type === 'number') return integer(token);
    const number = errnoNumber(token.text.toUpperCase());
    if (number === undefined) throw new Mistake(token, `no errno is called "${token.text}"`);
    return BigInt(number);
  }

  private kind(token: Token): string {
    const kind = unquote(token).toLowerCase();
    if (!(KIND_NAMES as readonly string[]).includes(kind) && !/^kind_\d+$/.test(kind))
      throw new Mistake(token, `no kind of event is called "${kind}"${suggestion(kind, KIND_NAMES)}`);
    return kind;
  }

  private call(token: Token): string {
    const word = unquote(token);
    if (token.type === 'number') return `0x${integer(token).toString(16)}`;
    const known = this.words.call(word);
    if (known === undefined && token.type !== 'string')
      throw new Mistake(
        token,
        `no call is named "${word}"${suggestion(word, callWords(this.words))}; quote it to look for it all the same`,
      );
    return known ?? word;
  }

  private textField(field: string): Query {
    const mark = this.comparison(['==', '!=', '~', '!~']);
    const token = this.take();
    if (token.type !== 'string' && token.type !== 'word') throw new Mistake(token, 'expected a text in quotes');
    const text = unquote(token);
    const pattern = mark === '~' || mark === '!~' ? regular(token, text) : `^${text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$`;
    return negate(mark.startsWith('!'), { op: 'text', field, pattern });
  }

  private field(field: string): Query {
    if (this.takeMark('in') !== undefined)
      return this.among<bigint>(
        (low, high) => bounds(low, high, (c, v) => ({ op: 'field', field, comparison: c, value: { number: v } })),
        integer,
      );
    const mark = this.comparison([...ORDERED, '&']);
    const token = this.take();
    return { op: 'field', field, comparison: mark as Comparison | '&', value: this.literal(field, token) };
  }

  private literal(field: string, token: Token): Literal {
    if (token.type === 'number') return { number: integer(token) };
    if (token.type !== 'word') throw new Mistake(token, 'expected a number or the name of a constant');
    if (!this.words.constant(field, token.text)) throw new Mistake(token, `no value of "${field}" is called "${token.text}"`);
    return { word: token.text };
  }

  private comparison<M extends string>(marks: readonly M[]): M {
    const token = this.peek();
    const mark = this.takeMark(...marks, '=');
    if (mark === '=') return '==' as M;
    if (mark !== undefined) {
      if (mark !== ('!' as string)) return mark as M;
    }
    if (token.text === '!' && this.list[this.next + 1]?.text === '~' && marks.includes('!~' as M)) {
      this.next += 2;
      return '!~' as M;
    }
    throw new Mistake(token, `expected ${marks.join(' ')}${marks.includes('<' as M) ? ' in' : ''}`);
  }

  private pattern(): string {
    const token = this.take();
    if (token.type === 'end') throw new Mistake(token, 'expected a pattern here');
    return regular(token, unquote(token));
  }

  /** `in 10..20`, `in 10..`, `in ..20`, `in (EIO, EBUSY)`: both ends belong to the range */
  private among<V extends bigint | string>(range: (low: V | undefined, high: V | undefined) => Query, value: (token: Token) => V): Query {
    if (this.takeMark('(') !== undefined) {
      let query: Query | undefined;
      do {
        const v = value(this.take());
        const one = range(v, v);
        query = query === undefined ? one : { op: 'or', left: query, right: one };
      } while (this.takeMark(',') !== undefined);
      if (this.takeMark(')') === undefined) throw new Mistake(this.peek(), 'expected , or ")"');
      return query;
    }
    const low = this.peek().text === '..' ? undefined : value(this.take());
    if (this.takeMark('..') === undefined) throw new Mistake(this.peek(), 'expected "..": in 100..200');
    const open = this.peek().type !== 'number' && this.peek().type !== 'word';
    const high = open ? undefined : value(this.take());
    if (low === undefined && high === undefined) throw new Mistake(this.peek(), 'a range needs an end');
    return range(low, high);
  }
}

/** Names of calls, also as people shorten them. */
const callWords = (words: Vocabulary): string[] => [...words.calls, ...words.calls.map((name) => name.replace(/^(IOMMU|VFIO)_/, ''))];

const ORDERED = ['==', '!=', '<', '<=', '>', '>='] as const;
const negate = (not: boolean, query: Query): Query => (not ? { op: 'not', inner: query } : query);

function bounds<V extends bigint | string>(low: V | undefined, high: V | undefined, make: (c: Comparison, v: V) => Query): Query {
  if (low !== undefined && low === high) return make('==', low);
  if (low === undefined) return make('<=', high!);
  if (high === undefined) return make('>=', low);
  return { op: 'and', left: make('>=', low), right: make('<=', high) };
}

/** `, did you mean "errno"?` for the nearest of the words, where one is near. */
export function suggestion(word: string, words: readonly string[]): string {
  const best = nearest(word, words);
  return best === undefined ? '' : `, did you mean "${best}"?`;
}

/** Reads a query. An empty text is the query that every event meets. */
export function parseQuery(text: string, words: Vocabulary): QueryResult {
  try {
    return { ok: true, query: new Parser(tokens(text), words).query() };
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    return { ok: false, error: { message: error.message, at: error.span.at, length: error.span.length } };
  }
}

/** The mistake under its text: the query, and a line with carets below the place. */
export function underline(text: string, error: QueryError): string {
  const line = text.replace(/[\n\r\t]/g, ' ');
  return `${line}\n${' '.repeat(error.at)}${'^'.repeat(Math.max(1, Math.min(error.length, line.length - error.at)))}`;
}

/** Both; `all` adds nothing. */
export function and(left: Query, right: Query): Query {
  if (left.op === 'all') return right;
  return right.op === 'all' ? left : { op: 'and', left, right };
}

/** True where some part of the query meets the condition. */
export function someQuery(query: Query, test: (q: Query) => boolean): boolean {
  if (test(query)) return true;
  if (query.op === 'and' || query.op === 'or') return someQuery(query.left, test) || someQuery(query.right, test);
  return query.op === 'not' && someQuery(query.inner, test);
}
