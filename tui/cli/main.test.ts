import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from './commands.ts';
import { sampleTrace } from './sample.ts';
import { sampleSession } from './sample-session.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const BIN = join(ROOT, 'dist/bin/iommufd-rr.js');
const folder = mkdtempSync(join(tmpdir(), 'irr-main-'));
let trace: string;
let long: string;
/** events of `long`: more than one chunk, more than any pipe holds */
const LONG = 20_000;

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
function irr(...args: readonly string[]): Ran {
  const { IRR_TRACE_DIR: _a, IRR_DEBUG: _b, FORCE_COLOR: _c, ...env } = process.env;
  const ran = spawnSync(process.execPath, [BIN, ...args], { cwd: folder, encoding: 'utf8', env, maxBuffer: 1 << 28 });
  return { status: ran.status, stdout: ran.stdout, stderr: ran.stderr };
}

beforeAll(() => {
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-b'], { cwd: ROOT });
  const { frames, table } = sampleSession();
  trace = sampleTrace(frames, table);
  // The same session over and over: enough text to fill every pipe.
  const many: Buffer[] = [];
  for (let i = 0; i < LONG; i++) {
    const frame = Buffer.from(frames[i % frames.length]!);
    frame.writeBigUInt64LE(BigInt(i + 1), 0);
    many.push(frame);
  }
  long = sampleTrace(many, table, {}, 'long.irr');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  for (const path of [trace, long]) rmSync(dirname(path), { recursive: true });
});

/** A file that is there already. */
function trace0(): string {
  const path = join(folder, 'taken.irr');
  writeFileSync(path, '');
  return path;
}

const inFolder = (name: string): string => join(folder, name);

/** Inputs that are no trace: how each is made, and what the one line must say. */
const BAD: readonly (readonly [string, (path: string) => void, RegExp])[] = [
  ['missing.irr', () => {}, /missing\.irr: no such file/],
  ['empty.irr', (path) => writeFileSync(path, ''), /empty\.irr: /],
  ['text.irr', (path) => writeFileSync(path, 'no trace, just words\n'.repeat(300)), /text\.irr: .*not a trace/],
  ['folder.irr', (path) => mkdirSync(path), /folder\.irr: is a directory/],
  [
    'foreign.irr',
    (path) => {
      const db = new Database(path);
      db.exec('CREATE TABLE t (x); INSERT INTO t VALUES (1)');
      db.close();
    },
    /foreign\.irr: .*not a trace/,
  ],
  [
    'cut.irr',
    (path) => {
      copyFileSync(long, path);
      truncateSync(path, Math.floor(statSync(path).size / 2));
    },
    /cut\.irr: /,
  ],
  ['header.irr', (path) => writeFileSync(path, readFileSync(trace).subarray(0, 60)), /header\.irr: /],
];

describe('input that cannot be read', () => {
  beforeAll(() => {
    for (const [name, make] of BAD) make(inFolder(name));
  });
  const commands = ['info', 'state', 'verify'];
  test.each(BAD.flatMap(([name, , text]) => commands.map((command) => [command, name, text] as const)))(
    '%s %s: one clear line, exit 2',
    (command, name, text) => {
      const ran = irr(command, inFolder(name));
      expect(ran.stderr).toMatch(text);
      expect(ran.stderr).toMatch(/^iommufd-rr: [^\n]+\n( {2}hint: [^\n]+\n)?$/);
      expect(ran.stdout).toBe('');
      expect(ran.status).toBe(2);
    },
  );

  test('unreadable: one clear line, exit 2', ({ skip }) => {
    skip(process.getuid?.() === 0, 'root reads everything');
    const path = inFolder('secret.irr');
    copyFileSync(trace, path);
    chmodSync(path, 0);
    expect(irr('info', path)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(/permission denied/) });
  });

  test('a damaged chunk is a finding of verify, and an error of the others', () => {
    const path = inFolder('damaged.irr');
    copyFileSync(trace, path);
    const db = new Database(path);
    db.unsafeMode(true);
    db.exec('DROP TRIGGER chunks_no_update; UPDATE chunks SET data = zeroblob(length(data))');
    db.exec(readTrigger(trace));
    db.close();
    const verified = irr('verify', path);
    expect(verified).toMatchObject({ status: 1, stderr: '' });
    expect(verified.stdout).toMatch(/^damaged /);
    expect(irr('info', path)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(/damaged\.irr: damaged/) });
  });

  test('what stands before the damage is shown before the complaint', () => {
    const path = inFolder('half.irr');
    copyFileSync(long, path);
    const db = new Database(path);
    db.unsafeMode(true);
    const second = db.prepare('SELECT max(first) FROM chunks').pluck().get() as number;
    expect(second).toBeGreaterThan(1);
    db.exec(`DROP TRIGGER chunks_no_update; UPDATE chunks SET data = zeroblob(length(data)) WHERE first = ${second}`);
    db.exec(readTrigger(long));
    db.close();
    const ran = irr('show', '--no-resolve', path);
    expect(ran).toMatchObject({ status: 2, stderr: expect.stringMatching(/half\.irr: damaged/) });
    expect(ran.stdout.split('\n')).toHaveLength(second);
  });
});

function readTrigger(path: string): string {
  const db = new Database(path, { readonly: true });
  const sql = db.prepare("SELECT sql FROM sqlite_schema WHERE name = 'chunks_no_update'").pluck().get() as string;
  db.close();
  return sql;
}

describe('wrong use', () => {
  test.each([
    [['shwo', 'x.irr'], /no command is called "shwo"\n {2}hint: did you mean show\?/],
    [['show', '--ful', 'x.irr'], /show: unknown option '--ful'\n {2}hint: did you mean --full\?/],
    [['info'], /info: missing required argument 'trace'/],
    [['info', 'a.irr', 'b.irr'], /info: too many arguments/],
    [['graph', 'x.irr', '--format', 'png'], /graph: .*'png' is invalid.*text, dot, mermaid, svg/],
    [['completion', 'tcsh'], /"tcsh" is none of bash, zsh, fish/],
    [['--nonsense'], /unknown option "--nonsense"/],
    [['help', 'nonsense'], /no command is called "nonsense"/],
  ])('%j: one line and a hint, exit 2', (args, text) => {
    const ran = irr(...args);
    expect(ran.stderr).toMatch(text);
    expect(ran.stderr).toMatch(/^iommufd-rr: [^\n]+\n( {2}hint: [^\n]+\n)?$/);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
  });

  test.each([
    [['state', '--at', '999'], /there is no event 999\n {2}hint: events are numbered 1 to/],
    [['state', '--at', 'soon'], /"soon" is no point of a recording/],
    [['show', '--where', 'errno = EFOO'], /no errno is called "EFOO"\n {4}errno = EFOO\n {12}\^{4}/],
    [['show', '--full', '--raw'], /--full and --raw do not go together/],
    [['show', '--limit', 'many'], /--limit: "many" is no number/],
    [['show', '5-x'], /"5-x" is no set of events/],
    [['show', '5/mistakes'], /"mistakes" is no filter\n {2}hint: filters: errors/],
    [['graph', '-o', '/dev/full'], /cannot write to \/dev\/full: no space left/],
    [['graph', '-o', '/no/such/folder/x'], /cannot write to \/no\/such\/folder\/x/],
  ])('%j of a trace: exit 2', ([command, ...args], text) => {
    const ran = irr(command!, trace, ...args);
    expect(ran.stderr).toMatch(text);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
  });

  test.each([
    [['record'], /record: missing required argument 'command'/],
    [['record', '--nonsense', '--', 'true'], /record: unknown option '--nonsense'/],
    [['record', '-o', trace0(), '--', 'true'], /taken\.irr: exists already/],
    [['record', '-o', '/no/such/folder/x.irr', '--', 'true'], /the folder \/no\/such\/folder does not exist/],
    [['record', '--', 'no-such-program-here'], /^iommufd-rr: no-such-program-here: no such program\n {2}hint: [^\n]+\n$/],
    [['record', '--', '/etc/passwd'], /^iommufd-rr: \/etc\/passwd: not a program that may be executed\n {2}hint: [^\n]+\n$/],
  ])('%j: exit 2, and nothing was run', (args, text) => {
    const ran = irr(...args);
    expect(ran.stderr).toMatch(text);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
  });

  test.each([
    [['recover', '/no/such.spool'], /such\.spool: cannot be read/],
    [['recover', '/etc/passwd', '-o', 'x.irr'], /passwd: /],
  ])('%j: exit 2', (args, text) => {
    expect(irr(...args)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(text) });
  });

  test('nothing at all: the help on standard error, exit 2', () => {
    const ran = irr();
    expect(ran).toMatchObject({ status: 2, stdout: '' });
    expect(ran.stderr).toMatch(/^Usage: /m);
  });
});

describe('help', () => {
  test('names every command, and each command tells its options', () => {
    const all = irr('--help');
    expect(all).toMatchObject({ status: 0, stderr: '' });
    for (const row of COMMANDS) {
      expect(all.stdout).toContain(`  ${row.name} `);
    }
    expect(irr('help', 'show').stdout).toBe(irr('show', '--help').stdout);
    expect(irr('show', trace, '--help').status).toBe(0);
  });
  test('the version is that of the package', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(irr('--version')).toEqual({ status: 0, stdout: `iommufd-rr ${version}\n`, stderr: '' });
  });
});

describe('the output', () => {
  test('ends quietly when its reader goes', async () => {
    const child = spawn(process.execPath, [BIN, 'show', long], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr!.on('data', (d: Buffer) => (stderr += d.toString()));
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    child.stdout!.destroy();
    expect(await ended(child)).toBe(0);
    expect(stderr).toBe('');
  });

  test.each([['info'], ['show'], ['stats'], ['state'], ['graph']])('%s to a full disk: one clear line, exit 2', (command) => {
    const full = openSync('/dev/full', 'w');
    const ran = spawnSync(process.execPath, [BIN, command, trace], { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
    closeSync(full);
    expect(ran.stderr).toBe('iommufd-rr: cannot write to standard output: no space left on the device\n');
    expect(ran.status).toBe(2);
  });

  test('a reader that is slow and non-blocking gets all of it', async () => {
    const child = spawn(process.execPath, [BIN, 'show', '--json', long], { stdio: ['ignore', 'pipe', 'inherit'] });
    let lines = 0;
    for await (const chunk of child.stdout!) {
      for (const byte of chunk as Buffer) if (byte === 10) lines++;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(lines).toBe(LONG);
  });

  test('Ctrl-C ends it at once, in the middle of writing', async () => {
    const child = spawn(process.execPath, [BIN, 'show', long], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout!.once('readable', resolve));
    child.kill('SIGINT');
    const signal = await new Promise((resolve) => child.on('exit', (_status, s) => resolve(s)));
    // A shell calls this 130.
    expect(signal).toBe('SIGINT');
    child.stdout!.destroy();
  });

  test('what a trace says never reaches the terminal raw', () => {
    for (const args of [
      ['show'],
      ['show', '--full'],
      ['show', '--json'],
      ['info'],
      ['info', '--json'],
      ['state', '--at', '25'],
      ['graph', '--at', '25'],
      ['graph', '--at', '25', '--format', 'svg'],
      ['show', '--hex', '--changes'],
    ]) {
      const ran = irr(args[0]!, trace, ...args.slice(1));
      expect(ran.status, args.join(' ')).toBe(0);
      expect(ran.stdout.replaceAll('\n', ''), args.join(' ')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }
  });

  test('colours obey --color, NO_COLOR and the terminal', () => {
    const run = (env: Record<string, string>, ...args: string[]): boolean =>
      spawnSync(process.execPath, [BIN, 'show', trace, ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, ...env },
      }).stdout.includes('\x1b[');
    expect(run({})).toBe(false);
    expect(run({ FORCE_COLOR: '1' })).toBe(true);
    expect(run({ FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false);
    expect(run({ NO_COLOR: '1' }, '--color', 'always')).toBe(true);
    expect(run({ FORCE_COLOR: '1' }, '--color=never')).toBe(false);
  });

  test('a trace is not changed by reading it, and nothing is left beside it', () => {
    const before = readFileSync(trace);
    for (const command of ['info', 'show', 'stats', 'state', 'graph', 'verify']) irr(command, trace);
    expect(readFileSync(trace).equals(before)).toBe(true);
    expect(execFileSync('ls', ['-A', dirname(trace)], { encoding: 'utf8' })).toBe('sample.irr\n');
  });

  test.each([
    [['-3'], 3],
    [['-12/errors'], 1],
    [['-2,5'], 3],
    [['--last', '2', '-w', 'fd >= -1'], 2],
  ])('a set of events may begin with a minus: %j', (args, lines) => {
    const ran = irr('show', trace, ...args);
    expect({ status: ran.status, lines: ran.stdout.split('\n').length - 1, stderr: ran.stderr }).toEqual({ status: 0, lines, stderr: '' });
  });

  test('without a trace, show takes the newest one here, and says which', () => {
    const here = inFolder('here');
    mkdirSync(here);
    const show = (): Ran => ({ ...spawnSync(process.execPath, [BIN, 'show', '2'], { cwd: here, encoding: 'utf8' }) });
    expect(show()).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^iommufd-rr: which trace\?\n {2}hint: [^\n]+\n$/),
    });
    copyFileSync(trace, join(here, 'one.irr'));
    expect(show()).toMatchObject({ status: 0, stderr: 'iommufd-rr: showing one.irr\n', stdout: expect.stringMatching(/^2 \S+ 4711 open/) });
  });
});

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.on('close', resolve));
}

/** `script` (util-linux) gives a program a terminal. */
const hasScript = spawnSync('script', ['--version']).status === 0;
const onTerminal = (command: string, env: Record<string, string>): string =>
  spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', env: { PATH: process.env.PATH ?? '', TERM: 'xterm', ...env } })
    .stdout;

describe.skipIf(!hasScript)('on a terminal', () => {
  const show = (args: string): string => `"${process.execPath}" "${BIN}" show "${trace}" ${args}`;
  test('show pages, in colours', () => {
    const paged = onTerminal(show('1-2'), { PAGER: 'sed s/^/paged:/' });
    expect(paged).toMatch(/^paged:1 .*\r\npaged:2 .*\r\n$/);
    expect(paged).toContain('\x1b[36m');
  });
  test.each([
    ['--no-pager', 'sed s/^/paged:/'],
    ['', ''],
    ['', 'cat'],
    ['', 'no-such-pager-here'],
    ['--json', 'sed s/^/paged:/'],
  ])('show %s with PAGER=%j does not', (args, pager) => {
    const plain = onTerminal(show(`1-2 ${args}`), { PAGER: pager });
    expect(plain).toContain('/dev/iommu');
    expect(plain).not.toContain('paged:');
  });
  test('a pager that ends early ends the program', () => {
    expect(onTerminal(`"${process.execPath}" "${BIN}" show "${long}"; echo status=$?`, { PAGER: 'head -n 1' })).toMatch(/status=0\r\n$/);
  });
  test('work that lasts shows its progress, and takes it away', () => {
    const ran = onTerminal(`"${process.execPath}" "${BIN}" show "${long}" --where 'errno == 999' --no-pager; echo done`, { NO_COLOR: '1' });
    // Short work shows none; whatever was shown is gone before the next line.
    expect(ran).toMatch(/^(\rsearching [^\n]*\r\x1b\[K)?done\r\n$/);
  });
});

describe('completion', () => {
  /** What bash would offer for the last word. */
  const complete = (...words: readonly string[]): string[] => {
    const script = `
source <("${process.execPath}" "${BIN}" completion bash)
COMP_WORDS=(iommufd-rr ${words.map((w) => `'${w}'`).join(' ')}); COMP_CWORD=${words.length}
_iommufd_rr; printf '%s\n' "\${COMPREPLY[@]}"`;
    return spawnSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' })
      .stdout.split('\n')
      .filter((line) => line !== '')
      .sort();
  };
  test('of bash offers commands, options, values and traces', () => {
    copyFileSync(trace, inFolder('zzz.irr'));
    expect(complete('st')).toEqual(['state', 'stats']);
    expect(complete('show', '--re')).toEqual(['--relative', '--resolve']);
    expect(complete('graph', '--format', '')).toEqual(['dot', 'mermaid', 'svg', 'text']);
    expect(complete('completion', '')).toEqual(['bash', 'fish', 'zsh']);
    expect(complete('info', 'zz')).toEqual(['zzz.irr']);
    expect(complete('help', 'sh')).toEqual(['show']);
    rmSync(inFolder('zzz.irr'));
  });
  test.each(['zsh', 'fish', 'bash'])('of %s names every command and option', (shell) => {
    const script = irr('completion', shell).stdout;
    for (const row of COMMANDS) {
      expect(script).toContain(row.name);
      for (const option of row.options) expect(script).toContain(/--([\w-]+)/.exec(option.flags)![1]!);
    }
  });
});
