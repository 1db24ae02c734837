/** Hardware queues, read by the shim: what a client puts into queues of its own, ring by ring, and what is in the log of it. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Frame, Kind, MmioHow, QueueWhy } from '../store/frame.ts';
import { eventsOf, samplesOf } from './testing.ts';

const root = resolve(import.meta.dirname, '..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const shim = join(root, 'recorder/shim');
const decoder = join(root, 'dist/recorder/shim/libiommufd-rr-decode.so');
const built = existsSync(cli);
const decodes = process.arch !== 'x64' || existsSync(decoder);
const CROSS = 'aarch64-linux-gnu-gcc';
const cross = spawnSync(CROSS, ['--version']).status === 0 && spawnSync('qemu-aarch64', ['--version']).status === 0;
if (!built) console.warn('recorder/queue.test.ts: skipped, the program was not built');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-queue-'));
  if (built) build('queue', process.env.CC ?? 'cc');
  if (existsSync(decoder)) copyFileSync(decoder, join(folder, 'libiommufd-rr-decode.so'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The client and the shim's sources, one program: its own memfd is an iommufd to it. */
function build(name: string, cc: string, source = 'queue.c'): void {
  const sources = readdirSync(shim).filter((file) => /^irr_.*\.c$/.test(file) && file !== 'irr_decode.c');
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-DIRR_DIRECT', '-ftls-model=initial-exec', '-I', shim];
  const files = [join(root, 'fixtures/clients', source), ...sources.map((file) => join(shim, file))];
  const made = spawnSync(cc, [...flags, '-o', join(folder, name), ...files, '-ldl', '-pthread'], { encoding: 'utf8' });
  expect(made.status, made.stderr).toBe(0);
}

/** Commands in a frame, at most: more go into several. */
const IN_A_FRAME = 4096;

const QUEUE_MMIO = { IRR_MMIO: '1' } as const;
type Line = readonly [queue: number, w0: bigint, w1: bigint];

/** Runs the client. → its events, and the commands that it wrote, in each queue's order */
function run(
  words: string,
  env: Record<string, string>,
  wrapper: readonly string[] = [],
  program = 'queue',
): { events: Frame[]; wrote: Line[]; stdout: string } {
  const spool = join(folder, 'x.spool');
  const expected = join(folder, 'expected');
  rmSync(spool, { force: true });
  const [first = '', ...rest] = [...wrapper, join(folder, program), '-e', expected, ...words.split(' ')];
  const ran = spawnSync(first, rest, { encoding: 'utf8', timeout: 60_000, env: { IRR_SPOOL: spool, ...env } });
  expect([ran.status, ran.signal], ran.stderr).toEqual([0, null]);
  const recovered = spawnSync(process.execPath, [cli, 'recover', spool, '--force', '-o', join(folder, 'x.irr')], { encoding: 'utf8' });
  expect(recovered.status, recovered.stderr).toBe(0);
  const lines = readFileSync(expected, 'utf8').trimEnd().split('\n').filter(Boolean);
  const wrote = lines.map((line) => line.split(' ')).map(([q, w0, w1]): Line => [Number(q), BigInt(w0!), BigInt(w1!)]);
  return { events: eventsOf(join(folder, 'x.irr')), wrote, stdout: ran.stdout };
}

const hex = (c: readonly [bigint, bigint]): string => `0x${c[0].toString(16)} 0x${c[1].toString(16)}`;
const ofQueue = (wrote: readonly Line[], q: number): string[] => wrote.filter((l) => l[0] === q).map((l) => hex([l[1], l[2]]));

/** Every command once, in order, each frame going on where the one before it ended. */
function exact(events: readonly Frame[], wrote: readonly Line[], queues: number, log2: number): void {
  const samples = samplesOf(events);
  for (let q = 0; q < queues; q++) {
    const rung = samples.filter((s) => s.index === q && s.why === QueueWhy.PROD);
    expect(rung.flatMap((s) => s.commands).map(hex)).toEqual(ofQueue(wrote, q));
    let next = 0;
    for (const s of rung) {
      expect([s.log2, s.first, s.fault, s.registers?.length]).toEqual([log2, next, false, 8]);
      next = (next + s.commands.length) & ((2 << log2) - 1);
      if (s.commands.length < IN_A_FRAME) expect(s.registers?.[1]).toBe(next);
    }
  }
}

/** What was sampled is what was written, in its order, though not all of it. → commands of queue 0 that were seen */
function inOrder(events: readonly Frame[], wrote: readonly Line[], queues: number): number {
  let seen = 0;
  for (let q = 0; q < queues; q++) {
    const all = ofQueue(wrote, q);
    let at = 0;
    for (const s of samplesOf(events).filter((x) => x.index === q && x.why === QueueWhy.PERIODIC))
      for (const command of s.commands.map(hex)) {
        const found = all.indexOf(command, at);
        expect(found, `${s.seq}: ${command} behind ${at}`).toBeGreaterThanOrEqual(0);
        at = found + 1;
        if (q === 0) seen++;
      }
  }
  return seen;
}

describe.skipIf(!built || !decodes)('with --mmio, at every ring', () => {
  test.each([
    ['plain', '-n 400 -l 4', 1, 4],
    ['the smallest', '-n 50 -l 1', 1, 1],
    ['64 KiB and more in one ring', '-n 20000 -l 13', 1, 13],
    ['eight threads, eight queues', '-q 8 -n 2000 -l 5', 8, 5],
    ['a page at a time, scattered', '-n 4000 -l 10 -m pieces', 1, 10],
    ['MAP_FILE', '-n 1000 -l 9 -m file', 1, 9],
    ['MAP_FILE, its descriptor closed', '-n 1000 -l 9 -m closed', 1, 9],
    ['IOAS_COPY', '-n 400 -l 9 -m copy', 1, 9],
    ['VFIO_IOMMU_MAP_DMA', '-n 400 -l 9 -m vfio', 1, 9],
    ['between 100000 maps', '-n 400 -l 9 -m churn', 1, 9],
    ['vcmdq-v1', '-q 2 -n 400 -l 6 -d v1', 2, 6],
    ['page 0 mapped anew', '-q 2 -n 400 -l 4 remap', 2, 4],
    ['half by a child', '-q 2 -n 400 -l 4 fork', 2, 4],
  ] as const)('every command once and in order: %s', (_, words, queues, log2) => {
    const { events, wrote } = run(words, QUEUE_MMIO);
    exact(events, wrote, queues, log2);
  });

  test('a frame lies behind the store that it is of, and behind what made the queue, before what destroys it', () => {
    const { events } = run('-n 40 -l 4', QUEUE_MMIO);
    const of = (request: number): number => events.find((f) => f.kind === Kind.IOCTL && f.request === request)!.seq;
    const samples = samplesOf(events);
    const alloc = samples.find((s) => s.why === QueueWhy.ALLOC)!;
    expect(alloc).toMatchObject({ seq: of(0x3b94) + 1, first: 0, commands: [], registers: [0, 0, 0, 0, 0, 0, 0, 0] });
    const destroy = samples.find((s) => s.why === QueueWhy.DESTROY)!;
    expect(events[destroy.seq]).toMatchObject({ kind: Kind.IOCTL, request: 0x3b80 });
    expect(destroy.commands).toEqual([]);
    for (const s of samples.filter((x) => x.why === QueueWhy.PROD)) {
      const store = events[s.seq - 2]!;
      expect([store.kind, store.request]).toEqual([Kind.MMIO, MmioHow.STORE]);
      expect(Number(store.ret)).toBe(s.registers?.[1]);
    }
  });

  test('a vEVENT that names a queue: its registers, and the command that it stopped at', () => {
    const { events } = run('-q 3 -n 100 -l 4 error', QUEUE_MMIO);
    const errors = samplesOf(events).filter((s) => s.why === QueueWhy.ERROR);
    expect(errors.map((s) => s.index)).toEqual([0, 1, 2]);
    for (const s of errors) {
      expect(s.registers![0]! >>> 24).toBe(1);
      expect(s.registers![4]).toBe(1);
      expect(s.commands[0]).toEqual([0xffn, 0x1234n]);
      expect(events[s.seq - 2]!.kind).toBe(Kind.READ);
    }
  });

  test('memory that cannot be read is said to be so, once', () => {
    const samples = samplesOf(run('-n 10 -l 4 hole', QUEUE_MMIO).events);
    const last = samples.filter((s) => s.why === QueueWhy.PROD).at(-1)!;
    expect([last.fault, last.commands]).toEqual([true, []]);
    expect(samples.at(-1)).toMatchObject({ why: QueueWhy.DESTROY, registers: expect.any(Array) });
  });

  test('memory that nobody has mapped: registers alone', () => {
    const samples = samplesOf(run('-n 10 -l 4 -m none', QUEUE_MMIO).events);
    expect(samples.every((s) => s.fault && s.commands.length === 0 && s.registers?.length === 8)).toBe(true);
  });
});

test('maps: what lies behind an IOVA, by any maps, unmaps and copies', () => {
  build('maps', process.env.CC ?? 'cc', 'maps.c');
  for (const seed of ['1', '2', '3']) {
    const env = { IRR_SPOOL: join(folder, 'maps.spool') };
    const done = spawnSync(join(folder, 'maps'), [seed, '100000'], { encoding: 'utf8', env });
    expect([done.stdout, done.status]).toEqual(['ok\n', 0]);
  }
});

describe.skipIf(!built)('without --mmio', () => {
  test('at ALLOC and DESTROY, and no thread of ours', () => {
    const { events } = run('-q 2 -n 20 -l 5', {});
    expect(samplesOf(events).map((s) => [s.why, s.index])).toEqual([
      [QueueWhy.ALLOC, 0],
      [QueueWhy.ALLOC, 1],
      [QueueWhy.DESTROY, 1],
      [QueueWhy.DESTROY, 0],
    ]);
  });

  test('what was done since ALLOC and fits the queue is there at DESTROY', () => {
    const { events, wrote } = run('-n 20 -l 5', {});
    const destroy = samplesOf(events).find((s) => s.why === QueueWhy.DESTROY)!;
    expect(destroy.commands.map(hex)).toEqual(ofQueue(wrote, 0));
  });

  test('page 0 that is unmapped first is read before', () => {
    const { events, wrote } = run('-n 20 -l 5 gone', {});
    const samples = samplesOf(events);
    expect(samples.map((s) => [s.why, s.registers?.length])).toEqual([
      [QueueWhy.ALLOC, 8],
      [QueueWhy.PERIODIC, 8],
      [QueueWhy.DESTROY, undefined],
    ]);
    expect(samples[1]?.commands.map(hex)).toEqual(ofQueue(wrote, 0));
  });

  test('a program that ends without DESTROY', () => {
    const { events, wrote } = run('-n 20 -l 5 exit', {});
    expect(samplesOf(events).at(-1)?.commands.map(hex)).toEqual(ofQueue(wrote, 0));
  });

  test.each(['', '-m file', '-m closed', '-m pieces'])('every millisecond: what was seen was written, in order %s', (memory) => {
    const { events, wrote } = run(`-q 4 -n 1500 -l 9 -s 20 ${memory}`.trim(), { IRR_SAMPLE_QUEUES: '1' });
    expect(inOrder(events, wrote, 4)).toBeGreaterThan(1000);
    const periodic = samplesOf(events).filter((s) => s.why === QueueWhy.PERIODIC);
    expect(periodic.length).toBeGreaterThan(20);
    expect(new Set(periodic.map((s) => s.index)).size).toBe(4);
    // a queue whose registers are what they were is not told again
    for (const q of [0, 1, 2, 3]) {
      const told = periodic.filter((s) => s.index === q).map((s) => JSON.stringify([s.registers, s.first]));
      expect(told.every((t, i) => t !== told[i - 1])).toBe(true);
    }
  });

  test.each([
    ['nobody asks for samples', {}, '', 'tasks 1 1 1\n'],
    ['from the first queue to the last', { IRR_SAMPLE_QUEUES: '1' }, '', 'tasks 1 2 1\n'],
    ['until there is a filter', { IRR_SAMPLE_QUEUES: '1' }, 'confine', 'confined 1\ntasks 1 2 1\n'],
  ] as const)('the thread is there: %s', (_, env, what, said) => {
    expect(run(`-q 2 -n 50 -l 4 ${what} tasks`.replace('  ', ' '), { ...env }).stdout).toBe(`${said}ok\n`);
  });

  test.each([{ IRR_SAMPLE_QUEUES: '1' }, { IRR_SAMPLE_QUEUES: '1', ...QUEUE_MMIO }])(
    'page 0 that comes and goes under a sampler leaves the program whole %j',
    (env) => {
      const { events } = run('-q 2 -n 50 -l 4 storm', decodes ? { ...env } : { IRR_SAMPLE_QUEUES: '1' });
      expect(samplesOf(events).filter((s) => s.why === QueueWhy.PERIODIC).length).toBeGreaterThan(50);
    },
  );

  test('a child that is forked goes on being sampled', () => {
    const { events, wrote } = run('-q 2 -n 1500 -l 9 -s 20 fork', { IRR_SAMPLE_QUEUES: '1' });
    inOrder(events, wrote, 2);
  });
});

describe.skipIf(!built || !cross)('aarch64, under qemu-user', () => {
  test('at every ring, and every millisecond', () => {
    build('queue-arm64', CROSS);
    const qemu = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'];
    const rung = run('-q 4 -n 300 -l 5', QUEUE_MMIO, qemu, 'queue-arm64');
    exact(rung.events, rung.wrote, 4, 5);
    const sampled = run('-q 2 -n 500 -l 9 -s 50', { IRR_SAMPLE_QUEUES: '1' }, qemu, 'queue-arm64');
    expect(inOrder(sampled.events, sampled.wrote, 2)).toBeGreaterThan(100);
  });
});
