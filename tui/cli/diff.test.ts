import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, test } from 'vitest';
import { RowIndex } from '../../recorder/index-row.ts';
import { framesOf, splitCalls } from '../../replayer/diff/testing.ts';
import { type EventRow, TraceWriter } from '../../store/append.ts';
import { encodeFrame, type Frame, FrameCursor, PartKind } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { cells } from '../term/text.ts';
import { type Captured, capture } from './capture.ts';
import { commandRow, type Options } from './commands.ts';
import { openTrace } from './trace.ts';

const GOLDEN = '../../fixtures/golden/cli';
const TRACES = relative(process.cwd(), fileURLToPath(new URL('../../fixtures/traces', import.meta.url)));
const MAIN = fileURLToPath(new URL('../../dist/bin/iommufd-rr.js', import.meta.url));
const [OLD, NEW] = [`${TRACES}/vmm-6.12.irr`, `${TRACES}/vmm-7.2.irr`];
const folder = mkdtempSync(join(tmpdir(), 'irr-diff-'));
afterAll(() => rmSync(folder, { recursive: true }));

const inFolder = (name: string): string => join(folder, name);
const named = (text: string): string => text.replaceAll(`${TRACES}/`, '').replaceAll(`${folder}/`, '');

async function diff(a: string, b: string | undefined, options: Options = {}, color = false): Promise<Captured> {
  const found = await capture('diff', b === undefined ? [a] : [a, b], options, color);
  return { ...found, out: named(found.out), notes: found.notes.map(named) };
}

async function scenario(name: string, dialect: string): Promise<string> {
  const path = inFolder(`${dialect}-${name}.irr`);
  if (!existsSync(path)) await capture('simulate', [name], { output: path, dialect });
  return path;
}

describe('two kernels', () => {
  test.each<[string, Options]>([
    ['diff-80.txt', { width: '80' }],
    ['diff-180.txt', { width: '180' }],
    ['diff-all.txt', { width: '100', all: true }],
    ['diff-stat.txt', { width: '80', stat: true }],
    ['diff.json', { json: true }],
    ['diff-ignored.txt', { width: '80', preset: ['6.12..7.2'], ignore: ['call == IOAS_MAP_FILE', 'pid == 1'] }],
    ['diff-timing.txt', { width: '80', preset: ['known'], timing: true, all: true }],
  ])('%s', async (file, options) => {
    const { out, status, notes } = await diff(OLD, NEW, options);
    expect({ status, notes }).toEqual({ status: file.includes('ignored') || file.includes('timing') ? 0 : 1, notes: [] });
    await expect(out).toMatchFileSnapshot(`${GOLDEN}/${file}`);
  });

  test.each([40, 80, 100, 159, 160, 180, 240])('every line fits into %i columns', async (width) => {
    // numbers of latencies stand in columns
    for (const options of [{}, { all: true, timing: width >= 80 }]) {
      const { out } = await diff(OLD, NEW, { ...options, width: String(width) });
      for (const line of out.split('\n')) expect(cells(line), line).toBeLessThanOrEqual(width);
    }
  });

  test('in colours: the same text', async () => {
    const [plain, colored] = [await diff(OLD, NEW, { width: '100' }), await diff(OLD, NEW, { width: '100' }, true)];
    expect(colored.out).toContain('\x1b[31ma\x1b[0m');
    expect(colored.out.replace(/\x1b\[\d*m/g, '')).toBe(plain.out);
  });

  test('one page, without script or anything from elsewhere', async () => {
    const path = inFolder('diff.html');
    const { notes, status } = await diff(OLD, NEW, { html: path, timing: true });
    expect({ status, notes }).toEqual({ status: 1, notes: ['wrote diff.html'] });
    const page = readFileSync(path, 'utf8');
    expect(page).not.toMatch(/<script|<link|<img|url\(|https?:|\son\w+=/i);
    expect(page).toContain('prefers-color-scheme:dark');
    expect(page).toContain('<details><summary>125 more follow from it');
    isBalanced(page);
    // latencies have a golden of their own
    await diff(OLD, NEW, { html: path });
    await expect(named(readFileSync(path, 'utf8'))).toMatchFileSnapshot(`${GOLDEN}/diff.html`);
  });

  test('a trace and itself', async () => {
    const { out, status } = await diff(OLD, OLD, { timing: true });
    expect(status).toBe(0);
    expect(out).toContain('no difference: 63 pairs of events agree');
    expect(out).toContain('no call takes longer or shorter, by a factor of 1.25 at least\n2 tested, p < 0.01');
    expect(JSON.parse((await diff(OLD, OLD, { json: true })).out)).toMatchObject({
      equal: true,
      firstDivergence: null,
      differences: [],
      matched: 63,
    });
  });

  test('a limit, and what it leaves out', async () => {
    const { out } = await diff(OLD, NEW, { limit: '2', width: '100' });
    expect(out.match(/^\d+\. /gm)).toEqual(['1. ', '2. ']);
    expect(out).toContain('… and 3 more causes (all known: 3 ioctls)');
    expect((await diff(OLD, NEW, { limit: '5', width: '100' })).out).not.toContain('… and');
  });
});

/** Every element that begins ends, in its place. */
function isBalanced(page: string): void {
  const open: string[] = [];
  for (const [, end, name = ''] of page.replace(/<!DOCTYPE html>|<meta [^>]*>|<br>/g, '').matchAll(/<(\/?)([a-z][a-z0-9]*)/g)) {
    if (end === '') open.push(name);
    else expect(open.pop()).toBe(name);
  }
  expect(open).toEqual([]);
}

describe('two series', () => {
  test('the same step in other words is no difference', async () => {
    const { out, status } = await diff(await scenario('order', 'vcmdq-v2'), await scenario('order', 'hw-queue-v4'));
    expect(out).toContain('no difference');
    expect(status).toBe(0);
  });

  test.each<[string, Options]>([
    ['diff-order.txt', { width: '80', all: true }],
    ['diff-order-stat.txt', { width: '80', stat: true }],
    ['diff-order.json', { json: true }],
  ])('%s', async (file, options) => {
    const { out, status } = await diff(await scenario('order', 'vcmdq-v1'), await scenario('order', 'linux-7.2'), options);
    expect(status).toBe(1);
    await expect(out).toMatchFileSnapshot(`${GOLDEN}/${file}`);
  });
});

describe('rules', () => {
  const rules = (text: string): string => {
    const path = inFolder('rules.txt');
    writeFileSync(path, text);
    return path;
  };

  test('a file of them, with names and comments', async () => {
    const path = rules('# what we know\n\nnew calls: call == VIOMMU_ALLOC || call ~ "#x|IOAS_" # and more\n mock : call == TEST_CMD\n');
    const { out, status } = await diff(OLD, NEW, { rules: [path], width: '80' });
    expect(status).toBe(0);
    expect(out).toMatch(/ignored: \d+ by new calls\nignored: 126 by mock\n/);
  });

  test.each([
    ['call == TEST_CMD', 'rules.txt:1:1: a rule is written name: expression'],
    ['# x\n  : call == TEST_CMD', 'rules.txt:2:3: a rule needs a name before the colon'],
    ['a: errno != 0\nnew:   call == ', 'rules.txt:2:15: '],
    ['a: foo == 3', 'rules.txt:1:4: nothing is called "foo"'],
    ['a:', 'rules.txt:1:3: an expression is expected'],
    ['a: errno != 0\na: errno != 0', 'rules.txt:2:1: there is a rule "a" already'],
  ])('what cannot be read is said with its place: %s', async (text, message) => {
    const path = rules(text);
    const error = await diff(OLD, NEW, { rules: [path] }).catch((e: unknown) => e);
    expect(named(String((error as Error).message))).toContain(message);
  });

  test('what is no file of rules', async () => {
    await expect(diff(OLD, NEW, { rules: [folder] })).rejects.toThrow('is a directory');
    await expect(diff(OLD, NEW, { rules: [OLD] })).rejects.toThrow('vmm-6.12.irr: is no text, so no file of rules');
    await expect(diff(OLD, NEW, { rules: ['/dev/zero'] })).rejects.toThrow('is no text');
    await expect(diff(OLD, NEW, { rules: [rules('x: errno == 0\n'.repeat(80_000))] })).rejects.toThrow(
      'too long for a file of rules (1 MiB)',
    );
    const long = await diff(OLD, NEW, { rules: [rules(`x: ${'errno == 0 || '.repeat(60)}erno == 1 ${' || ret == 0'.repeat(60)}`)] }).catch(
      String,
    );
    const [, line = '', mark = ''] = String(long).split('\n');
    expect(line.length).toBeLessThan(120);
    expect(line.slice(mark.indexOf('^'), mark.indexOf('^') + 4)).toBe('erno');
    expect((await diff(OLD, NEW, { rules: [rules('')], width: '80' })).status).toBe(1);
  });

  test('an expression that only one dialect knows', async () => {
    expect(
      (await capture('show', [await scenario('order', 'vcmdq-v1')], { where: 'in_data_type != 0' }).catch(String)).toString(),
    ).toContain('nothing is called');
    const [v1, new72] = [await scenario('order', 'vcmdq-v1'), await scenario('order', 'linux-7.2')];
    const { out } = await diff(v1, new72, { ignore: ['in_data_type == TEGRA241_CMDQV'], width: '80' });
    expect(out).toMatch(/ignored: 1 by in_data_type == TEGRA241_CMDQV/);
    await expect(diff(v1, new72, { ignore: ['call == IOMMU_NEVER_WAS'] })).rejects.toThrow('--ignore: ');
  });

  test('presets by two dialects', async () => {
    await expect(diff(OLD, NEW, { preset: ['6.12..8.9'] })).rejects.toThrow('--preset: there is none called "6.12..8.9"');
    const other = await diff(OLD, NEW, { preset: ['vcmdq-v2..hw-queue-v4'], width: '80' });
    expect(other.status).toBe(1);
    expect(other.out).toContain('ignored: 0 by preset vcmdq-v2..hw-queue-v4 (it meets no difference)');
  });
});

/** A trace of these frames. → its path */
function written(name: string, frames: readonly Frame[], meta: TraceMeta): string {
  return writtenWith(name, frames.map(encodeFrame), meta, () => ({ call: '', context: 0, object: 0 }));
}
function writtenWith(name: string, frames: readonly Buffer[], meta: TraceMeta, label: (f: FrameCursor) => EventRow): string {
  const path = inFolder(`${name}.irr`);
  const writer = TraceWriter.create(path, meta);
  const cursor = new FrameCursor();
  for (const f of frames) writer.append(f, 0, label(cursor.at(f, 0)));
  writer.flush();
  if (meta.complete) {
    writer.finish();
    return path;
  }
  writer.close();
  return writer.livePath;
}

describe('calls that were stored before they returned', () => {
  const [old] = [openTrace(OLD)];
  const { frames } = splitCalls(framesOf(old.reader), (i) => (i % 3 === 1 ? 0 : old.reader.last));
  const index = new RowIndex(old.table);
  const split = writtenWith('split', frames, old.meta, (f) => index.row(f));

  test('are told as if they had returned in time', async () => {
    expect(openTrace(split).reader.last).toBeGreaterThan(1.5 * old.reader.last);
    for (const options of [{ all: true, width: '180' }, { json: true }, { stat: true }, { width: '80', ignore: ['errno == ENOTTY'] }]) {
      const [x, y] = [await diff(split, NEW, options), await diff(OLD, NEW, options)];
      const text = x.out.replaceAll('split.irr', 'vmm-6.12.irr').replaceAll(/\b\d+ events( \(\d+ returns\))?/g, '63 events');
      expect(text).toBe(y.out.replaceAll(/\b\d+ events/g, '63 events'));
      expect(x.status).toBe(y.status);
    }
    expect((await diff(split, OLD, {})).out).toContain('no difference: 63 pairs of events agree');
  });
});

describe('for git bisect run', () => {
  const judge = async (next: string, options: Options = {}): Promise<[number, string]> => {
    const { status, out } = await diff(next, undefined, { since: OLD, width: '80', ...options });
    return [status, out.split('\n')[0]!];
  };
  /** The beginning of a trace, as a recording that was killed where `complete` is false; `changed` may alter its frames. */
  const beginning = (
    name: string,
    of: string,
    count: number,
    meta: Partial<TraceMeta>,
    changed: (f: Frame) => Frame = (f) => f,
  ): string => {
    const opened = openTrace(of);
    const frames = framesOf(opened.reader).slice(0, count).map(changed);
    return written(name, frames, { ...opened.meta, ...meta });
  };

  test('good', async () => {
    expect(await judge(OLD)).toEqual([0, 'good: vmm-6.12.irr: it does the same: 63 pairs of events agree']);
    expect((await judge(NEW, { preset: ['known'] }))[0]).toBe(0);
  });

  test('bad, with the first difference', async () => {
    const { status, out } = await diff(NEW, undefined, { since: OLD, width: '80' });
    expect(status).toBe(1);
    expect(out).toMatch(/^bad: vmm-7\.2\.irr: IOMMU_VIOMMU_ALLOC: another errno: ENOTTY \| EOPNOTSUPP \(event 3\)\n/);
    expect(out).toContain('… and 4 more causes');
    expect(JSON.parse((await diff(NEW, undefined, { since: OLD, json: true })).out)).toMatchObject({ verdict: 'bad', equal: false });
  });

  test('cannot tell: not there, no trace, nothing in it, another program', async () => {
    expect((await judge(inFolder('nothing.irr')))[0]).toBe(125);
    const text = inFolder('text.irr');
    writeFileSync(text, 'the kernel did not boot');
    expect((await judge(text))[0]).toBe(125);
    expect(await judge(beginning('empty', OLD, 0, {}))).toEqual([125, 'cannot tell: empty.irr: nothing was recorded']);
    const [status, line] = await judge(beginning('other', OLD, 63, { command: ['/bin/true'] }));
    expect([status, line]).toEqual([125, 'cannot tell: other.irr: it is another program: true, not vmm']);
    expect((await judge(beginning('moved', OLD, 63, { command: ['/home/me/vmm'] })))[0]).toBe(0);
  });

  test('cannot tell: a recording that is damaged where nobody looks when it is opened', async () => {
    const path = inFolder('damaged.irr');
    copyFileSync(OLD, path);
    const db = new Database(path);
    for (const { name } of db.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all() as { name: string }[])
      db.exec(`DROP TRIGGER "${name}"`);
    db.exec('UPDATE chunks SET data = zeroblob(length(data))');
    db.close();
    const [status, line] = await judge(path);
    expect([status, line.startsWith('cannot tell: damaged.irr: ')]).toEqual([125, true]);
    await expect(diff(OLD, undefined, { since: path })).rejects.toThrow('damaged.irr');
  });

  test('a recording that is not whole: what is missing proves nothing, an answer does', async () => {
    expect((await judge(beginning('short', OLD, 40, { complete: false })))[0]).toBe(125);
    expect((await judge(beginning('ended', OLD, 40, { complete: true })))[0]).toBe(1);
    const failing = (f: Frame): Frame => (f.seq === 24 ? { ...f, error: 5 } : f);
    expect(await judge(beginning('fails', OLD, 40, { complete: false }, failing))).toEqual([
      1,
      'bad: fails.irr: IOMMU_IOAS_CHANGE_PROCESS: another errno: ENOTTY | EIO (event 24)',
    ]);
    expect((await judge(beginning('lossy', OLD, 40, { complete: true, dropped: 3 }, failing)))[0]).toBe(125);
  });

  test('only the first difference of the bad one', async () => {
    const bad = beginning('bad', OLD, 63, {}, (f) => (f.seq === 24 ? { ...f, error: 5 } : f));
    const other = beginning('elsewhere', OLD, 63, {}, (f) => (f.seq === 25 ? { ...f, error: 5 } : f));
    const third = beginning('third', OLD, 63, {}, (f) => (f.seq === 24 ? { ...f, error: 1 } : f));
    const early = beginning('early', OLD, 20, { complete: false });
    expect((await judge(bad, { bad }))[0]).toBe(1);
    expect((await judge(other))[0]).toBe(1);
    expect((await judge(other, { bad }))[0]).toBe(0);
    expect((await judge(third, { bad }))[0]).toBe(125);
    expect((await judge(early, { bad }))[0]).toBe(125);
    expect((await judge(bad, { bad: OLD }))[0]).toBe(128);
  });

  const hasGit = spawnSync('git', ['--version']).status === 0;
  test.runIf(hasGit)('git finds the commit, over one that did not boot and one that crashed', { timeout: 60_000 }, () => {
    const repository = inFolder('kernel');
    const environment = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
    const git = (...words: string[]): string => {
      const identity = ['-c', 'user.name=x', '-c', 'user.email=x@y', '-c', 'commit.gpgsign=false'];
      const { stdout, status, stderr } = spawnSync('git', ['-C', repository, ...identity, ...words], {
        encoding: 'utf8',
        env: environment,
      });
      if (status !== 0) throw new Error(`git ${words.join(' ')}: ${stdout}${stderr}`);
      return stdout;
    };
    mkdirSync(repository);
    git('init', '-q');
    // what a boot of each commit records; '' nothing
    const crashed = beginning('crashed', OLD, 20, { complete: false });
    const recordings = [OLD, OLD, OLD, crashed, '', OLD, NEW, NEW, '', NEW, NEW];
    recordings.forEach((trace, i) => {
      writeFileSync(join(repository, 'recorded'), `${trace === '' ? '' : resolve(trace)}\n`);
      writeFileSync(join(repository, 'version'), String(i));
      git('add', '.');
      git('commit', '-qm', `change ${i}`);
    });
    git('bisect', 'start', 'HEAD', 'HEAD~10');
    const boot = 'rm -f new.irr; cp "$(cat recorded)" new.irr || exit 125';
    const found = git('bisect', 'run', 'sh', '-c', `${boot}; ${process.execPath} ${MAIN} diff --since ${resolve(OLD)} new.irr`);
    expect(found).toMatch(/is the first bad commit[\s\S]*change 6/);
  });

  test('what is wrong with the command ends the bisection, for git takes 2 for bad', () => {
    const trouble = commandRow('diff')!.troubleStatus!;
    expect(trouble(['diff', 'a.irr', 'b.irr'])).toBe(2);
    expect(trouble(['diff', '--since', 'good.irr', 'new.irr', '--bda'])).toBe(128);
    expect(trouble(['diff', '--since=good.irr', 'new.irr'])).toBe(128);
  });
});

describe('strings of a stranger', () => {
  const EVIL = '</code><script>alert(1)</script>\x1b[31m\u202e"\'&';
  test('reach neither the terminal nor the page', async () => {
    const opened = openTrace(OLD);
    const text = (f: Frame): Frame => ({
      ...f,
      parts: f.parts.map((p) => (p.kind === PartKind.TEXT ? { ...p, bytes: Buffer.from(EVIL) } : p)),
    });
    const path = written('evil', framesOf(opened.reader).map(text), { ...opened.meta, command: [EVIL], kernel: EVIL });
    const page = inFolder('evil.html');
    const { out } = await diff(OLD, path, { width: '80', all: true, html: page });
    const html = readFileSync(page, 'utf8');
    isBalanced(html);
    const wide = await diff(OLD, path, { width: '170' });
    for (const found of [out, html, wide.out]) expect(found).toContain('alert(1)');
    for (const found of [out, html, wide.out, (await diff(OLD, path, { json: true })).out]) expect(found).not.toMatch(/[\x1b\u202e]/);
    expect(html).not.toContain('<script');
  });
});

test('which traces', async () => {
  await expect(diff(OLD, undefined)).rejects.toThrow('which two traces?');
  await expect(diff(OLD, NEW, { bad: NEW })).rejects.toThrow('--bad goes with --since');
  await expect(diff(OLD, NEW, { width: 'x' })).rejects.toThrow('--width');
});
