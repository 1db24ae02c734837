/** Hardware queues that work, on the model's machine: what a guest has put into them, and what a recording has of it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Frame, Kind, QueueWhy } from '../store/frame.ts';
import { eventsOf, type Sample, samplesOf } from './testing.ts';

const root = resolve(import.meta.dirname, '..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const client = join(root, 'dist/clients/cmdqv');
const built = existsSync(cli) && existsSync(client);
const decodes = process.arch !== 'x64' || existsSync(join(root, 'dist/recorder/shim/libiommufd-rr-decode.so'));
if (!built) console.warn('recorder/queue-model.test.ts: skipped, the program or its clients were not built');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-queue-model-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Records the client. → events, and what it has put into each queue, `WORD WORD`, in order */
function record(options: string, words: string): { events: Frame[]; samples: Sample[]; sent: string[][] } {
  const [trace, file] = [join(folder, 'x.irr'), join(folder, 'sent')];
  const model = ['record', '--on', 'model', '--machine', 'grace', '--force', '--spool', folder, '-o', trace];
  const all = [cli, ...model, ...options.split(' ').filter(Boolean), '--', client, '--sent', file, ...words.split(' ').filter(Boolean)];
  const done = spawnSync(process.execPath, all, { encoding: 'utf8', timeout: 60_000 });
  expect(done.stdout, done.stderr).toMatch(/\{"done":true,"steps":\d+,"failures":0\}\n$/);
  expect(done.status).toBe(0);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  const events = eventsOf(trace);
  return { events, samples: samplesOf(events), sent: [0, 1].map((q) => lines.filter((l) => l[0] === `${q}`).map((l) => l.slice(2))) };
}
const text = (s: Sample): string[] => s.commands.map(([a, b]) => `0x${a.toString(16)} 0x${b.toString(16)}`);
const of = (samples: readonly Sample[], q: number, why: number): Sample[] => samples.filter((s) => s.index === q && s.why === why);

describe.skipIf(!built || !decodes)('record --mmio --on model', () => {
  test.each([
    ['two queues of 16', '--rounds 10'],
    ['the smallest', '--queues 1 --log2 1 --rounds 5'],
    ['eight threads', '--log2 6 --threads 8 --rounds 10'],
    ['memory by MAP_FILE', '--map-file --log2 6 --rounds 100'],
    ['vcmdq-v1', '--series 1 --rounds 5', '--dialect vcmdq-v1'],
    ['vcmdq-v3', '--series 3 --rounds 5', '--dialect vcmdq-v3'],
    ['hw-queue-v5', '--series 5 --rounds 5', '--dialect hw-queue-v5'],
  ])('every command once, in order, over errors and a reboot: %s', (_, words = '', dialect = '') => {
    const { samples, sent } = record(`--mmio ${dialect}`, words);
    for (const q of [0, 1]) {
      const rung = of(samples, q, QueueWhy.PROD);
      expect(rung.flatMap(text)).toEqual(sent[q]);
      expect(rung.every((s) => !s.fault && s.registers?.length === 8)).toBe(true);
      // within the life of a queue each goes on where the one before it ended
      const next = new Map<number, number>();
      for (const s of samples.filter((x) => x.index === q)) {
        if (s.why === QueueWhy.ALLOC) next.set(s.id, 0);
        if (s.why !== QueueWhy.PROD || s.commands.length === 0) continue;
        expect(s.first).toBe(next.get(s.id));
        next.set(s.id, (s.first + s.commands.length) & ((2 << s.log2) - 1));
      }
    }
  });

  test('an error: what the hardware says, and the command that it stands at', () => {
    const { samples } = record('--mmio', '--rounds 3');
    const errors = samples.filter((s) => s.why === QueueWhy.ERROR);
    expect(errors.length).toBeGreaterThan(0);
    for (const s of errors) {
      const [cons = 0, prod = 0, , , gerror = 0, gerrorn = 0] = s.registers!;
      expect(cons >>> 24).toBeGreaterThan(0);
      expect(gerror ^ gerrorn).toBe(1);
      // from CONS on, though all of it was told before
      expect(s.first).toBe(cons & ((2 << s.log2) - 1));
      expect(s.commands.length).toBe((prod - s.first) & ((2 << s.log2) - 1));
    }
  });
});

describe.skipIf(!built)('record --on model', () => {
  test('every queue is read when it is made and before it is destroyed', () => {
    const { events, samples } = record('', '--rounds 3');
    const made = events.filter((f) => f.kind === Kind.IOCTL && f.request === 0x3b94 && f.error === 0);
    expect(made.length).toBeGreaterThan(2);
    // what the thread that made it does next; its call may have been stored before it returned
    const next = made.map((f) => events.find((e) => e.seq > f.seq && e.tid === f.tid && e.kind !== Kind.RETURN)?.seq);
    expect(samples.filter((s) => s.why === QueueWhy.ALLOC).map((s) => s.seq)).toEqual(next);
    const ids = new Set(samples.filter((s) => s.why === QueueWhy.ALLOC).map((s) => s.id));
    for (const s of samples.filter((x) => x.why === QueueWhy.DESTROY)) expect(ids).toContain(s.id);
    expect(samples.filter((s) => s.why === QueueWhy.DESTROY).length).toBeGreaterThanOrEqual(made.length);
    expect(samples.some((s) => s.why === QueueWhy.ERROR)).toBe(true);
    expect(samples.some((s) => s.why === QueueWhy.PROD || s.why === QueueWhy.PERIODIC)).toBe(false);
  });

  test('--sample-queues: what was seen was sent, in its order', () => {
    const { samples, sent } = record('--sample-queues 1', '--log2 8 --threads 4 --rounds 60');
    for (const q of [0, 1]) {
      let at = 0;
      let seen = 0;
      for (const command of of(samples, q, QueueWhy.PERIODIC).flatMap(text)) {
        const found = sent[q]!.indexOf(command, at);
        expect(found, command).toBeGreaterThanOrEqual(0);
        at = found + 1;
        seen++;
      }
      expect(seen).toBeGreaterThan(sent[q]!.length / 4);
    }
  });

  test('the vIOMMU can be destroyed as without a recorder: the shim keeps no mapping of its own', () => {
    const { events } = record('--sample-queues 1', '--rounds 2');
    const last = events.filter((f) => f.kind === Kind.IOCTL && f.request === 0x3b80).at(-1)!;
    expect(last.error).toBe(0);
  });
});
