/** `record` from end to end, with programs that have no IOMMU: /dev/null answers every ioctl with ENOTTY, which is an event too. */
import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Exit, FrameFlag, Kind, PartKind } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import { TraceReader } from '../store/read.ts';
import { eventsOf } from './testing.ts';

const root = resolve(import.meta.dirname, '..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const built =
  existsSync(cli) && existsSync(join(root, 'dist/recorder/shim/libiommufd-rr.so')) && spawnSync('cc', ['--version']).status === 0;
if (!built) console.warn('recorder/record.test.ts: skipped, there is no C compiler or the program was not built');

/** Makes N ioctls with a struct of its number, or of B bytes; then ends as it is told. Says its arguments. */
const PROBE = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
int main(int argc, char **argv, char **env)
{
	int calls = atoi(getenv("CALLS") ? getenv("CALLS") : "1"), bytes = atoi(getenv("BYTES") ? getenv("BYTES") : "16");
	const char *end = getenv("END") ? getenv("END") : "0";
	int fd = open("/dev/null", O_RDWR);
	uint32_t *arg = calloc(1, (size_t)bytes);
	for (int n = 1; n <= calls; n++) {
		unsigned seed = (unsigned)n;
		for (int i = 2; getenv("NOISE") && i < bytes / 4; i++)
			arg[i] = seed = seed * 1103515245u + 12345u;
		arg[0] = (uint32_t)bytes;
		arg[1] = (uint32_t)n;
		ioctl(fd, 0x3bf0, arg);
	}
	for (int i = 0; i < argc; i++)
		printf("[%s]", argv[i]);
	fflush(stdout);
	(void)env;
	if (!strcmp(end, "clear")) {
		char *none[] = { "CALLS=3", "LANG=C", NULL };
		char *again[] = { "again", NULL };
		execve("/proc/self/exe", again, none);
	}
	if (!strcmp(end, "wait"))
		for (;;)
			pause();
	if (end[0] == 's')
		raise(atoi(end + 1));
	return atoi(end);
}
`;

let shared = '';
let folder = '';
let probe = '';
beforeAll(() => {
  shared = mkdtempSync(join(tmpdir(), 'irr-record-'));
  probe = join(shared, 'probe');
  if (!built) return;
  writeFileSync(join(shared, 'probe.c'), PROBE);
  execFileSync('cc', ['-O1', '-o', probe, join(shared, 'probe.c')]);
});
afterAll(() => rmSync(shared, { recursive: true }));

const left = (): string[] => readdirSync('/dev/shm').filter((name) => name.startsWith('iommufd-rr-'));
let before: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(shared, 'x'));
  mkdirSync(join(folder, 'spool'));
  before = left();
});
/** Nothing stays behind: not beside the trace, not where the spool was. */
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const output = (): string => join(folder, 'x.irr');
type Env = Readonly<Record<string, string>>;
function record(
  command: readonly string[],
  env: Env = {},
  options: readonly string[] = ['--spool', join(folder, 'spool')],
  input = '',
): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [cli, 'record', ...options, '-o', output(), '--', ...command], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    input,
    cwd: folder,
  });
}
/** The program's own standard error, without the recorder's last line. */
const lines = (run: SpawnSyncReturns<string>): string[] => run.stderr.split('\n').filter((line) => line !== '');
const tidy = (...kept: string[]): void => {
  expect(readdirSync(folder).sort()).toEqual([...kept, 'spool'].sort());
  expect(readdirSync(join(folder, 'spool'))).toEqual([]);
};
const metaOf = (trace: string): TraceMeta => {
  const reader = TraceReader.open(trace);
  const { meta } = reader;
  reader.close();
  return meta;
};
/** Second words of the structs of the numbered ioctls. */
const numbers = (trace: string): number[] =>
  eventsOf(trace)
    .filter((e) => e.kind === Kind.IOCTL && e.request === 0x3bf0)
    .map((e) => Buffer.from(e.parts.find((p) => p.kind === PartKind.IN)!.bytes).readUInt32LE(4));

describe.skipIf(!built)('record', () => {
  test.each([
    ['0', 0, { status: 0 }],
    ['7', 7, { status: 7 }],
    ['s15', 143, { signal: 'SIGTERM' }],
    ['s9', 137, { signal: 'SIGKILL' }],
    ['s11', 139, { signal: 'SIGSEGV' }],
  ] as const)('the program ends with %s: so does the recorder, and the trace says it', (end, status, exit) => {
    const run = record([probe, 'a', '', 'b c', '-x', '--', 'ü'], { END: end, CALLS: '5' });
    expect(run.stderr).toMatch(/^iommufd-rr: recorded \d+ events \(0 dropped\) in .*x\.irr\n$/);
    expect(run.status).toBe(status);
    expect(run.stdout).toBe(`[${probe}][a][][b c][-x][--][ü]`);
    expect(numbers(output())).toEqual([1, 2, 3, 4, 5]);
    expect(metaOf(output())).toMatchObject({
      exit,
      complete: true,
      dropped: 0,
      kernel: release(),
      command: [probe, 'a', '', 'b c', '-x', '--', 'ü'],
      cwd: realpathSync(folder),
      source: 'preload',
    });
    const events = eventsOf(output());
    expect(events.filter((e) => e.kind === Kind.EXIT)).toHaveLength(1);
    const last = events.at(-1)!;
    const killed = end.startsWith('s');
    expect(last).toMatchObject({ kind: Kind.EXIT, request: killed ? Exit.OBSERVED : Exit.EXIT, flags: killed ? FrameFlag.OBSERVED : 0 });
    tidy('x.irr');
  });

  test('the end that a process reports itself has its status', () => {
    record([probe], { END: '7' });
    expect(eventsOf(output()).at(-1)).toMatchObject({ kind: Kind.EXIT, request: Exit.EXIT, ret: 7n });
  });

  test('input and both outputs go through untouched, byte for byte', () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) & 0xff));
    const run = spawnSync(
      process.execPath,
      [cli, 'record', '--spool', join(folder, 'spool'), '-o', output(), '--', 'sh', '-c', 'cat > in; cat in; cat in >&2'],
      { input: bytes, cwd: folder },
    );
    expect(run.stdout.equals(bytes)).toBe(true);
    expect(run.stderr.subarray(0, bytes.length).equals(bytes)).toBe(true);
    expect(run.stderr.subarray(bytes.length).toString()).toMatch(/^iommufd-rr: recorded \d+ events/);
  });

  test('a program by its name has that name; a script runs by its interpreter', () => {
    writeFileSync(join(folder, 'script'), `#!/bin/sh\nCALLS=2 ${probe} "$0" "$1"\nexit 3\n`);
    chmodSync(join(folder, 'script'), 0o755);
    const run = record(['script', 'one two'], { PATH: `${folder}:${process.env.PATH}` });
    expect([run.status, run.stdout]).toEqual([3, `[${probe}][${join(folder, 'script')}][one two]`]);
    expect(numbers(output())).toEqual([1, 2]);
    rmSync(output());
    rmSync(join(folder, 'script'));
    expect(record(['sh', '-c', 'echo $0']).stdout).toBe('sh\n');
    tidy('x.irr');
  });

  test('what is no program is not run: one line, exit status 2, no file', () => {
    writeFileSync(join(folder, 's.c'), 'int main(void) { return 0; }');
    spawnSync('cc', ['-static', '-o', join(folder, 'static'), join(folder, 's.c')]);
    writeFileSync(join(folder, 'plain'), 'no program');
    const files = readdirSync(folder).filter((name) => name !== 'spool');
    const cases: [string, RegExp][] = [
      [join(folder, 'none'), /none: no such program$/],
      ['no-such-program-here', /no-such-program-here: no such program$/],
      [join(folder, 'plain'), /plain: not a program that may be executed$/],
      [folder, /not a program that may be executed$/],
    ];
    if (files.includes('static')) cases.push([join(folder, 'static'), /static: statically linked/]);
    for (const [program, complaint] of cases) {
      const run = record([program]);
      expect([run.status, run.stdout]).toEqual([2, '']);
      expect(lines(run)[0]).toMatch(complaint);
      expect(lines(run)[1]).toMatch(/^ {2}hint: /);
      expect(lines(run)).toHaveLength(2);
      tidy(...files);
    }
  });

  test('a file that the kernel does not take for a program is run by the shell, as execvp(3) does', () => {
    writeFileSync(join(folder, 'odd'), `${probe}\nexit 4\n`);
    chmodSync(join(folder, 'odd'), 0o755);
    expect(record([join(folder, 'odd')]).status).toBe(4);
    expect(numbers(output())).toEqual([1]);
  });

  test('an output that exists stays, and with --force until the new one is whole', async () => {
    writeFileSync(output(), 'precious');
    const refused = record([probe]);
    expect([refused.status, refused.stdout, lines(refused)[0]]).toEqual([2, '', expect.stringMatching(/x\.irr: exists already$/)]);
    expect(readFileSync(output(), 'utf8')).toBe('precious');
    tidy('x.irr');
    const meanwhile = record(['sh', '-c', `cat ${output()}`], {}, ['--force', '--spool', join(folder, 'spool')]);
    expect([meanwhile.status, meanwhile.stdout]).toEqual([0, 'precious']);
    expect(metaOf(output()).complete).toBe(true);
    tidy('x.irr');
  });

  test('places where no trace can be are refused before anything runs', () => {
    for (const [there, complaint] of [
      ['/proc/x.irr', /./],
      ['/no/such/folder/x.irr', /the folder .* does not exist/],
      [folder, /is a directory/],
    ] as const) {
      const run = spawnSync(process.execPath, [cli, 'record', '--spool', join(folder, 'spool'), '-o', there, '--', probe], {
        encoding: 'utf8',
      });
      expect([there, run.status, run.stdout]).toEqual([there, 2, '']);
      expect(lines(run)[0]).toMatch(complaint);
      expect(lines(run)[0]).not.toContain('mistake of the program');
      tidy();
    }
    const run = record([probe], {}, ['--spool', join(folder, 'nowhere')]);
    expect([run.status, run.stdout]).toEqual([2, '']);
    expect(lines(run)[0]).toMatch(/nowhere.*cannot make the spool \(ENOENT\)/);
    tidy();
  });

  test('a signal for the recorder goes to the program, whose end is the recorder’s', async () => {
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
      const recorder = spawn(process.execPath, [cli, 'record', '--spool', join(folder, 'spool'), '--force', '-o', output(), '--', probe], {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...process.env, END: 'wait' },
      });
      const ended = new Promise((done) => recorder.once('exit', done));
      await new Promise((done) => recorder.stdout!.once('data', done));
      recorder.kill(signal);
      expect(await ended).toBe(signal === 'SIGTERM' ? 143 : 129);
      expect(metaOf(output())).toMatchObject({ complete: true, exit: { signal } });
    }
    tidy('x.irr');
  });

  test('what a program leaves behind is recorded to its end', () => {
    const run = record(['sh', '-c', `(sleep 2; CALLS=4 ${probe}) > ${join(folder, 'said')} 2>&1 & exit 6`]);
    expect(run.status).toBe(6);
    expect(run.stderr).toMatch(/sh has ended; still recording what it left behind \(\d/);
    expect(numbers(output())).toEqual([1, 2, 3, 4]);
    expect(metaOf(output()).exit).toEqual({ status: 6 });
  });

  test('a program that clears its environment and starts another is followed', () => {
    const run = record([probe], { END: 'clear' });
    expect(run.stdout).toBe(`[${probe}][again]`);
    expect(numbers(output())).toEqual([1, 1, 2, 3]);
  });

  test('a library that the user preloads stays preloaded', () => {
    writeFileSync(
      join(folder, 'mine.c'),
      'int mine_is_here; __attribute__((constructor)) static void c(void) { extern long write(int, const void *, unsigned long); write(1, "mine ", 5); }',
    );
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(folder, 'mine.so'), join(folder, 'mine.c')]);
    const run = record(['sh', '-c', `${probe}; true`], { LD_PRELOAD: '' });
    expect(run.stdout).toBe(`[${probe}]`);
    rmSync(output());
    const preloaded = spawnSync(
      'env',
      [
        `IRR=${cli}`,
        process.execPath,
        '-e',
        `process.env.LD_PRELOAD = ${JSON.stringify(join(folder, 'mine.so'))}; process.argv = [process.argv[0], ${JSON.stringify(cli)}, 'record', '--spool', ${JSON.stringify(join(folder, 'spool'))}, '-o', ${JSON.stringify(output())}, '--', ${JSON.stringify(probe)}]; import(${JSON.stringify(cli)})`,
      ],
      { encoding: 'utf8' },
    );
    expect(preloaded.stdout).toBe(`mine [${probe}]`);
    expect(numbers(output())).toEqual([1]);
  });

  test('without --spool nothing stays in memory either', () => {
    expect(record([probe], {}, []).status).toBe(0);
    expect(left()).toEqual(before);
  });
});

describe.skipIf(!built)('a full disk', () => {
  let full = '';
  let mounted = false;
  beforeEach(() => {
    full = join(folder, 'full');
    mkdirSync(full);
    mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=160k', 'irr-test', full]).status === 0;
  });
  afterEach(() => {
    if (mounted) spawnSync('umount', ['-l', full]);
  });

  test('does not disturb the program; the spool is kept, and recover makes the whole trace of it', async ({ skip }) => {
    if (!mounted) skip('mounting is not permitted here');
    const spools = join(folder, 'spool');
    const trace = join(full, 'x.irr');
    const script = `NOISE=1 CALLS=40 BYTES=4000 ${probe}; sleep 0.4; NOISE=1 CALLS=10 BYTES=4000 ${probe}; exit 5`;
    const run = spawnSync(process.execPath, [cli, 'record', '--spool', spools, '-o', trace, '--', 'sh', '-c', script], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(run.stdout).toBe(`[${probe}][${probe}]`);
    expect(run.status).toBe(2);
    expect(lines(run)).toHaveLength(1);
    expect(lines(run)[0]).toMatch(/x\.irr: no space left; the program was not disturbed/);
    const [spool] = readdirSync(spools);
    expect(lines(run)[0]).toContain(join(spools, spool!));
    const recovered = spawnSync(process.execPath, [cli, 'recover', join(spools, spool!), '-o', output()], { encoding: 'utf8' });
    expect(recovered.stderr).toMatch(/recovered \d+ events \(0 dropped/);
    expect(recovered.status).toBe(0);
    expect(numbers(output())).toEqual([...Array.from({ length: 40 }, (_, i) => i + 1), ...Array.from({ length: 10 }, (_, i) => i + 1)]);
    expect(metaOf(output())).toMatchObject({ complete: true, command: ['sh', '-c', script] });
  });

  test('that may only be read is refused before anything runs', ({ skip }) => {
    if (!mounted || spawnSync('mount', ['-o', 'remount,ro', full]).status !== 0) skip('mounting is not permitted here');
    const words = ['--force', '-o', join(full, 'x.irr'), '--', probe];
    const run = spawnSync(process.execPath, [cli, 'record', '--spool', join(folder, 'spool'), ...words], { encoding: 'utf8' });
    expect([run.status, run.stdout]).toEqual([2, '']);
    expect(lines(run)[0]).toMatch(/x\.irr: cannot be written here$/);
    expect(readdirSync(join(folder, 'spool'))).toEqual([]);
    const spool = record([probe], {}, ['--spool', full]);
    expect([spool.status, spool.stdout]).toEqual([2, '']);
    expect(lines(spool)[0]).toMatch(/cannot make the spool \(EROFS\)$/);
    tidy('full');
  });

  test('of the spool: events are lost, counted and told, the program is not disturbed', ({ skip }) => {
    if (!mounted) skip('mounting is not permitted here');
    spawnSync('mount', ['-o', 'remount,size=7m', full]);
    const run = record([probe], { CALLS: '1500', BYTES: '8000' }, ['--spool', full]);
    expect(run.stdout).toBe(`[${probe}]`);
    expect(run.status).toBe(0);
    const dropped = Number(/\((\d+) dropped\)/.exec(run.stderr)?.[1]);
    const stored = numbers(output());
    const gaps = eventsOf(output()).filter((e) => e.kind === Kind.GAP);
    expect(Number(gaps.reduce((sum, e) => sum + e.ret, 0n))).toBe(dropped);
    // beside the calls a lost event may be of the end of the process
    expect(stored.length + dropped).toBeGreaterThanOrEqual(1500);
    expect(stored.length + dropped).toBeLessThan(1510);
    expect(stored).toEqual([...new Set(stored)].sort((a, b) => a - b));
    expect(metaOf(output()).dropped).toBe(dropped);
    expect(readdirSync(full)).toEqual([]);
  });
});
