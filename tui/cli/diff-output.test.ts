import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { Cause, Difference, Report } from '../../replayer/diff/causes/report.ts';
import { How } from '../../replayer/diff/compare.ts';
import { framesOf } from '../../replayer/diff/testing.ts';
import { TraceWriter } from '../../store/append.ts';
import { encodeFrame, type Frame } from '../../store/frame.ts';
import { type Captured, capture } from './capture.ts';
import type { Options } from './commands.ts';
import { printJson } from './diff-json.ts';
import { thresholdOf } from './diff-timing.ts';
import { newsText, ordered, restText, summaryText } from './diff-words.ts';
import { Out } from './output.ts';
import { openTrace } from './trace.ts';
import { writeWhole } from './whole-file.ts';

const TRACES = fileURLToPath(new URL('../../fixtures/traces', import.meta.url));
const [OLD, NEW] = [join(TRACES, 'vmm-6.12.irr'), join(TRACES, 'vmm-7.2.irr')];
const folder = mkdtempSync(join(tmpdir(), 'irr-diff-output-'));
afterAll(() => rmSync(folder, { recursive: true }));
const inFolder = (name: string): string => join(folder, name);
const diff = (a: string, b: string, options: Options = {}): Promise<Captured> => capture('diff', [a, b], options);

/** A copy of a trace with other frames. */
function altered(name: string, of: string, change: (f: Frame) => Frame): string {
  const opened = openTrace(of);
  const path = inFolder(`${name}.irr`);
  const writer = TraceWriter.create(path, opened.meta);
  for (const f of framesOf(opened.reader).map(change)) writer.append(encodeFrame(f), 0, { call: '', context: 0, object: 0 });
  writer.finish();
  return path;
}

const difference = (a: number, b: number): Difference => ({ how: How.CHANGED, a, b, sort: 'errno', call: 'IOMMU_DESTROY' });
const cause = (place: number, known: string | undefined, follow = 0): Cause => ({
  difference: difference(place, place),
  fields: [],
  consequences: Array.from({ length: follow }, (_, i) => ({ difference: difference(place + i + 1, 0), link: { by: 'path', may: true } })),
  a: undefined,
  b: undefined,
  known,
});
const reportOf = (causes: readonly Cause[]): Report => ({
  eventsA: 9,
  eventsB: 9,
  same: 1,
  matched: 1,
  differences: causes.reduce((sum, c) => sum + 1 + c.consequences.length, 0),
  ignored: new Map(),
  redacted: 0,
  causes,
  stat: [],
  limits: [],
});

describe('what is new', () => {
  test('comes first, then one of each known difference', () => {
    const report = reportOf([cause(1, 'x'), cause(2, 'x'), cause(3, undefined), cause(4, 'y'), cause(5, undefined), cause(6, 'y')]);
    const order = ordered(report);
    expect(order.causes.map((c) => c.difference.a)).toEqual([3, 5, 1, 4, 2, 6]);
    expect([order.fresh, order.telling]).toEqual([2, 4]);
    expect(order.causes.map((c) => newsText(c, order))).toEqual([
      'new',
      'new',
      ...['x', 'y', 'x', 'y'].map((n) => `known: ${n} (one of 2)`),
    ]);
    expect([0, 1, 2, 4, 6].map((from) => restText(order, from))).toEqual([
      '2 new, known: 2 x, 2 y',
      '1 new, known: 2 x, 2 y',
      'all known: 2 x, 2 y',
      'all known: 1 x, 1 y',
      '',
    ]);
    expect(summaryText(report)).toBe('6 differences: 6 causes (2 new, 4 known); 1 pair of events agrees');
  });

  test('is not said where nothing is known', () => {
    const report = reportOf([cause(1, undefined), cause(2, undefined)]);
    expect(ordered(report).causes.map((c) => newsText(c, ordered(report)))).toEqual(['', '']);
    expect([restText(ordered(report), 1), summaryText(report)]).toEqual(['', '2 differences: 2 causes; 1 pair of events agrees']);
  });

  test('in a report of two traces', async () => {
    const odd = altered('odd', NEW, (f) => (f.seq === 23 ? { ...f, error: 5, ret: -1n } : f));
    const { out } = await diff(OLD, odd, { width: '100' });
    expect(out).toMatch(/ causes \(1 new, \d known\)/);
    const titles = out.match(/^\d+\. .*$/gm) ?? [];
    expect(titles[0]).toMatch(/EIO {2}new$/);
    expect(titles.slice(1).every((t) => t.includes('known: '))).toBe(true);
    // scripts have them in their order
    const seqs = (JSON.parse((await diff(OLD, odd, { json: true })).out) as { differences: { seqA: number }[] }).differences.map(
      (d) => d.seqA,
    );
    expect(seqs).toEqual([...seqs].sort((x, y) => x - y));
  });
});

test('a field that is 0 is not one that is not there', async () => {
  const path = (dialect: string): string => inFolder(`${dialect}.irr`);
  for (const dialect of ['vcmdq-v2', 'linux-7.2']) await capture('simulate', ['overflow'], { output: path(dialect), dialect });
  const { out } = await diff(path('vcmdq-v2'), path('linux-7.2'), { width: '80' });
  expect(out).toContain('another answer: flags 1 | 0');
  expect(out).toContain('   ~ impl   0x4011 | -\n');
  const json = JSON.parse((await diff(path('vcmdq-v2'), path('linux-7.2'), { json: true })).out) as { differences: { fields: unknown }[] };
  expect(json.differences[0]!.fields).toMatchObject([
    { name: 'flags', a: '1', b: '0' },
    { name: 'impl', a: '0x4011', b: null },
  ]);
});

test('JSON of a million consequences waits for its reader', async () => {
  const report = reportOf([cause(1, undefined, 20_000), cause(2, 'x'), cause(3, undefined, 1)]);
  let [text, waiting, most] = ['', 0, 0];
  const write = (piece: string): void => {
    text += piece;
    waiting += piece.length;
    most = Math.max(most, waiting);
  };
  const drain = async (): Promise<void> => {
    waiting = 0;
  };
  await printJson(new Out({ write, drain, end: drain }, { color: false }), report, undefined, { verdict: 'bad' });
  expect(most).toBeLessThan(200_000);
  const read = JSON.parse(text) as { count: number; differences: { consequences: unknown[] }[]; verdict: string };
  expect(text.endsWith('}\n')).toBe(true);
  expect(read).toMatchObject({ v: 1, count: report.differences, verdict: 'bad', limits: [] });
  expect(read.differences.map((d) => d.consequences.length)).toEqual([20_000, 0, 1]);
});

describe('a page', () => {
  const partials = (): string[] => readdirSync(folder).filter((n) => n.includes('partial'));

  test('that breaks off leaves what was there', () => {
    const path = inFolder('page.html');
    writeFileSync(path, 'before');
    chmodSync(path, 0o640);
    const broken = function* (): Generator<string> {
      yield 'x'.repeat(200_000);
      throw new Error('damaged');
    };
    expect(() => writeWhole(path, broken())).toThrow('damaged');
    expect([readFileSync(path, 'utf8'), partials()]).toEqual(['before', []]);
    expect(() => writeWhole(inFolder('none.html'), broken())).toThrow('damaged');
    expect(existsSync(inFolder('none.html'))).toBe(false);
    writeWhole(path, ['af', 'ter']);
    expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777, partials()]).toEqual(['after', 0o640, []]);
  });

  test('does not take the place of anything but a page', async () => {
    const path = inFolder('again.html');
    for (let n = 0; n < 2; n++) expect((await diff(OLD, NEW, { html: path })).status).toBe(1);
    const trace = inFolder('kept.irr');
    copyFileSync(NEW, trace);
    await expect(diff(OLD, NEW, { html: trace })).rejects.toThrow(`cannot write to ${trace}: it is there already, and is something else`);
    expect(readFileSync(trace)).toEqual(readFileSync(NEW));
  });

  test('by a link, and to what is no file', () => {
    const link = inFolder('link.html');
    symlinkSync(inFolder('page.html'), link);
    writeWhole(link, ['through']);
    expect(readFileSync(inFolder('page.html'), 'utf8')).toBe('through');
    writeWhole('/dev/null', ['gone']);
    expect(statSync('/dev/null').isFile()).toBe(false);
  });

  test.each([
    ['nowhere/page.html', 'no such directory'],
    ['page.html/page.html', 'what should be a directory is none'],
    ['folder', 'it is a directory'],
  ])('that cannot be written is one line, before anything is compared: %s', async (name, reason) => {
    mkdirSync(inFolder('folder'), { recursive: true });
    writeFileSync(inFolder('page.html'), '');
    const { out } = await diff(OLD, NEW, { html: inFolder(name) }).catch((e: unknown) => ({ out: String(e) }));
    expect(out.replace(folder, '')).toBe(`IrrError: cannot write to /${name}: ${reason}`);
  });
});

test('a threshold is a factor or a percentage', async () => {
  expect([undefined, '1', '1.5', '50%', '0%', '12.5 %'.replace(' ', '')].map(thresholdOf)).toEqual([1.25, 1, 1.5, 1.5, 1, 1.125]);
  for (const wrong of ['0.9', 'x', '', '-1', '5000', '1e3', '%']) expect(() => thresholdOf(wrong)).toThrow('--threshold');
  await expect(diff(OLD, NEW, { threshold: '2' })).rejects.toThrow('--threshold goes with --timing');
});

test('a call that takes longer is a difference by itself', async () => {
  const map =
    (ns: bigint) =>
    (f: Frame): Frame =>
      f.error === 0 ? { ...f, tExit: f.tEnter + ns + BigInt(f.seq % 7) } : f;
  const [a, b] = [altered('quick', NEW, map(1000n)), altered('slow', NEW, map(2000n))];
  expect((await diff(a, b)).status).toBe(0);
  const { status, out } = await diff(a, b, { timing: true, width: '80' });
  expect(status).toBe(1);
  expect(out).toContain('no difference: 187 pairs of events agree');
  expect(out).toMatch(/IOMMU_DESTROY\n +19 +19 +1\.00u +2\.00u .* 2\.00 /);
  expect((await diff(a, b, { timing: true, threshold: '150%' })).status).toBe(0);
  expect((await diff(a, b, { timing: true, same: [b] })).status).toBe(0);
  const page = inFolder('timing.html');
  await diff(a, b, { timing: true, html: page });
  expect(readFileSync(page, 'utf8')).toContain('take longer or shorter, by a factor of 1.25 at least');
});
