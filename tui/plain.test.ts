/** The linear mode, as a script drives it: the built program, its standard input and its standard output. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sampleTrace } from './cli/sample.ts';
import { sampleSession } from './cli/sample-session.ts';
import { MAIN } from './pictures/scenes.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/traces/${name}`, import.meta.url));
let folder = '';
beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'irr-plain-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly status: number | null;
  readonly text: string;
  /** by command: what was answered to it; '' is the greeting */
  readonly answers: ReadonlyMap<string, string>;
}

function run(traces: readonly string[], commands: readonly string[], env: Readonly<Record<string, string>> = {}): Ran {
  const ran = spawnSync('node', [MAIN, 'tui', '--plain', ...traces], {
    encoding: 'utf8',
    input: commands.map((c) => `${c}\n`).join(''),
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8', ...env },
  });
  expect(ran.stderr).toBe('');
  const parts = ran.stdout.split(/^> /m);
  const answers = new Map(
    parts.map((part, i) => (i === 0 ? ['', part] : [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)])),
  );
  return { status: ran.status, text: ran.stdout, answers };
}

describe('one trace', () => {
  test('every command says what it changed', () => {
    const commands = ['j', '3j', ']e', 'why', 'objects', '/DESTROY', ':20', '50%', 'x', '7', 'k', 'time.last', 'q'];
    const { status, answers } = run([fixture('vmm-7.2.irr')], commands);
    expect(status).toBe(0);
    expect(answers.get('')).toMatch(/^vmm-7\.2\.irr: 187 events\..*\n1 {2}/);
    expect(answers.get('j')).toMatch(/^2 {2}.*open {2}"\/dev\/iommu".*\n {2}\+ opens IOMMUFD file 1\n {2}\+ begins context 1\n/);
    expect(answers.get('3j')).toMatch(/^5 {2}.*IOAS_ALLOC {2}= 0\n {2}\+ creates IOAS 1\n$/);
    expect(answers.get(']e')).toMatch(/^9 {2}.*IOAS_ALLOW_IOVAS .*failed, EINVAL: Invalid argument\n$/);
    expect(answers.get('why')).toMatch(/^Detail at event 9:\n.*\n {2}why +range 0, .*its start is not below its last\n/);
    expect(answers.get('objects')).toMatch(/^Objects at event 9:\n {2}context 1 .*\n.*IOAS 1/);
    expect(answers.get('/DESTROY')).toMatch(/^32 {2}.*DESTROY .*EBUSY/);
    expect(answers.get(':20')).toMatch(/^20 {2}.*IOAS_COPY/);
    expect(answers.get('50%')).toMatch(/^94 {2}/);
    expect(answers.get('x')).toMatch(/^Detail at event 94:\n args: 16 bytes\n/);
    expect(answers.get('7')).toMatch(/^7 {2}/);
    expect(answers.get('k')).toMatch(/^6 {2}/);
    expect(answers.get('time.last')).toMatch(/^187 {2}/);
  });

  test('an empty line repeats the last command; what is no command is said, and changes nothing', () => {
    const { text, answers } = run([fixture('vmm-7.2.irr')], ['5', 'j', '', '', 'foo', ']', 'diff.next', '9999', 'q']);
    expect(text).toMatch(/^> \n7 {2}/m);
    expect(text).toMatch(/^> \n8 {2}/m);
    expect(answers.get('foo')).toBe('"foo" is no command: ? tells all of them\n');
    expect(answers.get(']')).toBe('"]" is only the beginning of a command: ? tells all of them\n');
    expect(answers.get('diff.next')).toContain('works where two traces are compared');
    expect(answers.get('9999')).toContain('there is no event 9999: the log has 1 to 187');
  });

  test('the end of the input is the end', () => {
    const { status, text } = run([fixture('vmm-7.2.irr')], ['j']);
    expect(status).toBe(0);
    expect(text.endsWith('> \n')).toBe(true);
  });

  test('no frames, no colours, no control bytes, whatever the terminal is said to be', () => {
    for (const TERM of ['xterm-256color', 'dumb', 'vt100', '']) {
      const { text } = run([fixture('vmm-7.2.irr')], ['?', 'detail', 'objects', 'changed', 'events', 'q'], { TERM, FORCE_COLOR: '3' });
      expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f┌┐┘┏┓┗┛┃━]/);
    }
    const { text } = run([fixture('vmm-7.2.irr')], ['?', 'why', 'objects', 'q'], { LC_ALL: 'C' });
    expect(text).toMatch(/^[\n\x20-\x7e]*$/);
  });

  test('strings of the trace, and what is typed, are made harmless', () => {
    const evil = 'a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\x7f';
    const { frames, table } = sampleSession();
    const path = join(folder, 'evil\x1b[31m.irr');
    renameSync(sampleTrace(frames, table, { kernel: evil, machine: evil, command: [evil], cwd: evil }), path);
    const { text } = run([path], ['22', 'why', 'hex', '28', 'objects', `/${evil}`, evil, `:${evil}`, 'q']);
    expect(text.length).toBeGreaterThan(500);
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  test('whoever closes the other end ends it, without a word', async () => {
    const child = spawn('node', [MAIN, 'tui', '--plain', fixture('vmm-7.2.irr')], { stdio: ['pipe', 'pipe', 'pipe'] });
    let complaint = '';
    child.stderr.on('data', (bytes) => {
      complaint += String(bytes);
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.stdout.destroy();
    child.stdin.on('error', () => {});
    child.stdin.write('?\n'.repeat(50));
    await new Promise((resolve) => child.once('exit', resolve));
    expect(complaint).toBe('');
  });
});

describe('two traces', () => {
  test('are read row by row', () => {
    const commands = ['n', 'N', 'state', ':b 164', 'foo', 'q'];
    const { status, answers } = run([fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr')], commands);
    expect(status).toBe(0);
    expect(answers.get('')).toMatch(/57 the same, 6 changed, 0 only left, 124 only right\n~ row 3 of 187, difference 1 of 3\n/);
    expect(answers.get('')).toMatch(/ {2}~ errno +→ ENOTTY {2}\| {2}EOPNOTSUPP\n/);
    expect(answers.get('n')).toMatch(/^~ row 24 of 187, difference 2 of 3\n {2}left +24 .*\n {2}right {2}24 /);
    expect(answers.get('N')).toMatch(/^~ row 3 of 187/);
    expect(answers.get('state')).toMatch(/after event 3\n[\s\S]*after event 3\n/);
    expect(answers.get(':b 164')).toMatch(/^\+ row \d+ of 187, difference 3 of 3\n {2}left {3}nothing\n {2}right {2}164 /);
    expect(answers.get('foo')).toBe('"foo" is no command: ? tells all of them\n');
  });
});
