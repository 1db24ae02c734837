/** Differences that do not count: expressions, files of them, and presets of what is known to differ between kernels. */
import { closeSync, openSync, readSync } from 'node:fs';
import { ignoring } from '../../replayer/diff/causes/causes.ts';
import type { Difference, Report } from '../../replayer/diff/causes/report.ts';
import { parseQuery, type Query, type QueryError, underline } from '../../replayer/query.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import type { Options } from './commands.ts';
import { type Preset, presetNamed } from './diff-presets.ts';
import { UsageError } from './errors.ts';
import { matchingOf } from './events.ts';
import type { Opened } from './trace.ts';

/** An expression, as each side reads it: a dialect may not know a name that the other one knows. */
interface Expression {
  readonly name: string;
  readonly a: Query | undefined;
  readonly b: Query | undefined;
}

export interface Rules {
  readonly expressions: readonly Expression[];
  readonly presets: readonly Preset[];
}

const MOST_BYTES = 1 << 20;
/** Letters of a line in which something is wrong. */
const SHOWN = 100;

/** The rules that the options give, in their order. Throws a UsageError that says where one cannot be read. */
export function rulesOf(options: Options, a: Opened, b: Opened): Rules {
  const given = (name: string): readonly string[] => {
    const value = options[name];
    return Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  };
  const expressions = given('ignore').map((text) =>
    readExpression(
      text,
      text,
      a,
      b,
      (error) => new UsageError(`--ignore: ${error.message}\n    ${underline(text, error).replace('\n', '\n    ')}`),
    ),
  );
  for (const path of given('rules')) expressions.push(...readRules(path, a, b));
  return { expressions, presets: given('preset').map(presetNamed) };
}

function readExpression(name: string, text: string, a: Opened, b: Opened, complain: (error: QueryError) => Error): Expression {
  const [ofA, ofB] = [parseQuery(text, vocabularyOf(a.table)), parseQuery(text, vocabularyOf(b.table))];
  if (!ofA.ok && !ofB.ok) throw complain(ofA.error);
  if (text.trim() === '') throw complain({ message: 'an expression is expected', at: 0, length: 1 });
  return { name, a: ofA.ok ? ofA.query : undefined, b: ofB.ok ? ofB.query : undefined };
}

/** A rule a line: `name: expression`; what follows a `#` at the beginning of a line or behind a space is a comment. */
function readRules(path: string, a: Opened, b: Opened): Expression[] {
  const rules: Expression[] = [];
  for (const [i, line] of fileLines(path).entries()) {
    const text = withoutComment(line);
    if (text.trim() === '') continue;
    const wrong = (column: number, message: string): UsageError =>
      new UsageError(`${path}:${i + 1}:${column}: ${message}\n${pointed(line, column)}`);
    const [, lead = '', name = '', rest] = /^(\s*)([^:"]*):(.*)$/.exec(text) ?? [];
    if (rest === undefined) throw wrong(1 + text.search(/\S/), 'a rule is written name: expression');
    if (name.trim() === '') throw wrong(lead.length + 1, 'a rule needs a name before the colon');
    const before = lead.length + name.length + 1 + (rest.length - rest.trimStart().length);
    if (rules.some((r) => r.name === name.trim())) throw wrong(lead.length + 1, `there is a rule "${name.trim()}" already`);
    rules.push(readExpression(name.trim(), rest.trim(), a, b, (error) => wrong(before + error.at + 1, error.message)));
  }
  return rules;
}

function fileLines(path: string): string[] {
  let bytes: Buffer;
  try {
    bytes = firstBytes(path, MOST_BYTES + 1);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const said: Readonly<Record<string, string>> = { ENOENT: 'no such file', EACCES: 'permission denied', EISDIR: 'is a directory' };
    throw new UsageError(`${path}: ${said[code] ?? (error instanceof Error ? error.message : code)}`);
  }
  if (bytes.includes(0)) throw new UsageError(`${path}: is no text, so no file of rules`);
  if (bytes.length > MOST_BYTES) throw new UsageError(`${path}: too long for a file of rules (1 MiB)`);
  return bytes.toString('utf8').split(/\r?\n/);
}

/** No more than `most` bytes of a file, however long it is. */
function firstBytes(path: string, most: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(most);
    let length = 0;
    for (let read = 1; read > 0 && length < most; length += read) read = readSync(fd, buffer, length, most - length, null);
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/** A line with a mark under a column, from 1; of a long one what is around it. */
function pointed(line: string, column: number): string {
  const from = Math.max(0, column - 1 - SHOWN / 2);
  const shown = line.slice(from, from + SHOWN);
  const [before, behind] = [from > 0 ? '…' : '', from + SHOWN < line.length ? '…' : ''];
  return `    ${before}${shown}${behind}\n    ${' '.repeat(before.length + column - 1 - from)}^`;
}

/** A `#` inside of a quoted text is no comment. */
function withoutComment(line: string): string {
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === '\\' && quoted) i++;
    else if (line[i] === '"') quoted = !quoted;
    else if (line[i] === '#' && !quoted && (i === 0 || /\s/.test(line[i - 1]!))) return line.slice(0, i);
  }
  return line;
}

/** The report without what the rules ignore. An expression is true of a difference where it is true of either event. */
export function applied(report: Report, { expressions, presets }: Rules, a: Opened, b: Opened): Report {
  if (expressions.length + presets.length === 0) return report;
  const seqs = { a: [] as number[], b: [] as number[] };
  const take = (d: Difference): void => {
    if (d.a !== 0) seqs.a.push(d.a);
    if (d.b !== 0) seqs.b.push(d.b);
  };
  for (const cause of report.causes) {
    take(cause.difference);
    for (const c of cause.consequences) take(c.difference);
  }
  seqs.a.sort((x, y) => x - y);
  seqs.b.sort((x, y) => x - y);
  const rules = expressions.map((e) => {
    const ofA = e.a === undefined ? undefined : matchingOf(a, e.a, seqs.a);
    const ofB = e.b === undefined ? undefined : matchingOf(b, e.b, seqs.b);
    return { name: e.name, meets: (d: Difference) => (d.a !== 0 && ofA?.has(d.a) === true) || (d.b !== 0 && ofB?.has(d.b) === true) };
  });
  const left = ignoring(report, (difference, known) => {
    const rule = rules.find((r) => r.meets(difference));
    if (rule !== undefined) return rule.name;
    const preset = known === undefined ? undefined : presets.find((p) => p.has(known));
    return preset === undefined ? undefined : presetText(preset);
  });
  const ignored = new Map(left.ignored);
  for (const name of [...rules.map((r) => r.name), ...presets.map(presetText)]) if (!ignored.has(name)) ignored.set(name, 0);
  return { ...left, ignored };
}

const presetText = (preset: Preset): string => `preset ${preset.name}`;
