/** `record --mmio`: loads and stores of a program through a mapped region, in every form, from many threads, access by access. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Frame, FrameFlag, Kind, MmioFlag, MmioHow, PartKind } from '../store/frame.ts';
import { eventsOf } from './testing.ts';

const root = resolve(import.meta.dirname, '..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const client = join(root, 'dist/clients/mmio');
const built = existsSync(cli) && existsSync(client);
const decoder = process.arch !== 'x64' || existsSync(join(root, 'dist/recorder/shim/libiommufd-rr-decode.so'));
if (!built) console.warn('recorder/mmio.test.ts: skipped, the program or its clients were not built');
else if (!decoder) console.warn('recorder/mmio.test.ts: skipped, there is no Zydis to decode instructions with (libzydis-dev)');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-mmio-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const record = (...command: string[]) =>
  spawnSync(
    process.execPath,
    [cli, 'record', '--mmio', '--on', 'model', '--force', '--spool', folder, '-o', join(folder, 'x.irr'), '--', client, ...command],
    {
      encoding: 'utf8',
      timeout: 120_000,
    },
  );

const words = (frame: Frame): bigint[] => {
  const args = frame.parts.find((p) => p.kind === PartKind.ARGS)!.bytes;
  const view = new DataView(args.buffer, args.byteOffset, args.byteLength);
  return Array.from({ length: args.length / 8 }, (_, i) => view.getBigUint64(8 * i, true));
};

/** The low bytes of a number as they lie in memory. */
const inMemory = (value: bigint, width: number): string => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt.asUintN(64, value));
  return b.toString('hex', 0, width);
};
const bytesOf = (frame: Frame, kind: number): string => Buffer.from(frame.parts.find((p) => p.kind === kind)?.bytes ?? []).toString('hex');

/** A recorded access, as the client writes down what it expects: `HOW WIDTH OFFSET FLAGS LOADED STORED`. */
function line(frame: Frame): string {
  const [, offset = 0n, wide = 0n, , flags = 0n, replaced = 0n] = words(frame);
  const width = Number(wide);
  const known = (flags & BigInt(MmioFlag.STEPPED)) === 0n;
  const value = (part: number, word: bigint): string => (width > 8 ? bytesOf(frame, part) : inMemory(word, width));
  const loaded = known && frame.request !== MmioHow.STORE ? value(PartKind.OUT, frame.ret) : '-';
  const stored = known && frame.request !== MmioHow.LOAD ? value(PartKind.IN, frame.request === MmioHow.BOTH ? replaced : frame.ret) : '-';
  return `${frame.request} ${width} 0x${offset.toString(16)} ${flags} ${loaded} ${stored}`;
}

/** Every thread has a part of the region below this for itself; from SHARED on it belongs to all. */
const LANES = 0x2000n;
const SHARED = 0x3000n;

/** Holds a trace against what the client has written down. `least`: accesses that every thread must have made. */
function compare(expected: string, least: number): void {
  const wanted = new Map<string, string[]>();
  let shared = '';
  for (const text of readFileSync(expected, 'utf8').trimEnd().split('\n')) {
    const [tid = '', ...rest] = text.split(' ');
    if (tid === '0') shared = rest[4]!;
    else wanted.set(tid, [...(wanted.get(tid) ?? []), rest.join(' ')]);
  }
  expect(wanted.size).toBe(8);
  const frames = eventsOf(join(folder, 'x.irr')).filter((f) => f.kind === Kind.MMIO);
  for (const [tid, lines] of wanted) {
    const got = frames.filter((f) => f.tid === Number(tid) && words(f)[1]! < LANES).map(line);
    expect(lines.length).toBeGreaterThan(least);
    lines.forEach((want, i) => {
      expect(`${i}: ${got[i]}`).toBe(`${i}: ${want}`);
    });
    expect(got.length).toBe(lines.length);
  }
  // every add to the counter that all have found another value
  const adds = frames.filter((f) => f.request === MmioHow.BOTH && words(f)[1] === SHARED && wanted.has(String(f.tid)));
  expect(adds.map((f) => Number(f.ret)).sort((a, b) => a - b)).toEqual(Array.from({ length: Number(shared) }, (_, i) => i));
  for (const f of adds) expect(words(f)[5]).toBe(f.ret + 1n);
  // and what was stored as a whole was never read in pieces
  const whole = frames.filter((f) => words(f)[1] === SHARED + 64n && wanted.has(String(f.tid)));
  expect(whole).toHaveLength(2 * Number(shared));
  for (const f of whole) expect(BigInt.asUintN(32, f.ret)).toBe(BigInt.asUintN(64, f.ret) >> 32n);
}

describe.skipIf(!built || !decoder)('record --mmio', () => {
  test('eight threads, every form: each access once, whole, with its width and value', () => {
    const expected = join(folder, 'expected');
    const done = record('-t', '8', '-n', '15', '-e', expected);
    expect(done.stderr).toMatch(/^iommufd-rr: recorded \d+ events \(0 dropped\) in \S+\n$/);
    expect(done.stdout).toMatch(/\nok\n$/);
    expect(done.status).toBe(0);

    compare(expected, 15 * 200);
  });

  test('a mapping says where its alias is; the file and the instruction are those of the access', () => {
    record('-t', '1', '-n', '1');
    const events = eventsOf(join(folder, 'x.irr'));
    const map = events.find((f) => f.kind === Kind.MMAP)!;
    const mapped = words(map);
    expect(mapped).toHaveLength(6);
    expect(mapped[5]).not.toBe(0n);
    expect(mapped[5]).not.toBe(BigInt.asUintN(64, map.ret));
    const access = events.find((f) => f.kind === Kind.MMIO)!;
    const [address, offset, , ip] = words(access);
    expect(access.file).toBe(map.file);
    expect(access.fileKind).toBe(map.fileKind);
    expect(access.fd).toBe(-1);
    expect(address).toBe(BigInt.asUintN(64, map.ret) + offset!);
    expect(ip).not.toBe(0n);
    expect(access.tExit).toBeGreaterThan(0n);
    expect(events.filter((f) => f.kind === Kind.MMIO && f.flags & FrameFlag.SIGNAL)).toEqual([]);
  });

  test('without --mmio nothing is trapped, and no mapping says so', () => {
    const plain = spawnSync(
      process.execPath,
      [cli, 'record', '--on', 'model', '--force', '--spool', folder, '-o', join(folder, 'x.irr'), '--', client, '-t', '2', '-n', '1'],
      { encoding: 'utf8', timeout: 60_000 },
    );
    expect(plain.stdout).toMatch(/\nok\n$/);
    const events = eventsOf(join(folder, 'x.irr'));
    expect(events.filter((f) => f.kind === Kind.MMIO)).toEqual([]);
    for (const f of events) if (f.kind === Kind.MMAP) expect(words(f)).toHaveLength(5);
  });
});

const CROSS = 'aarch64-linux-gnu-gcc';
const cross = spawnSync(CROSS, ['--version']).status === 0 && spawnSync('qemu-aarch64', ['--version']).status === 0;
if (!cross) console.warn(`recorder/mmio.test.ts: aarch64 skipped, there is no ${CROSS} or no qemu-aarch64 (qemu-user)`);

describe.skipIf(!built || !cross)('aarch64', () => {
  const shim = join(root, 'recorder/shim');
  const clients = join(root, 'fixtures/clients');

  test('the shim can be cross-compiled, and needs nothing but libc', () => {
    const made = spawnSync('make', ['-C', shim, `OUT=${folder}/arm64`, `CC=${CROSS}`], { encoding: 'utf8' });
    expect(made.status, made.stderr).toBe(0);
    const needs = spawnSync('aarch64-linux-gnu-readelf', ['-d', `${folder}/arm64/libiommufd-rr.so`], { encoding: 'utf8' }).stdout;
    expect([...needs.matchAll(/NEEDED.*\[(.*)\]/g)].map((m) => m[1])).toEqual(['libc.so.6']);
  });

  // once in some 300 runs, on a machine with far too much to do, QEMU's user mode (7.2) ended with a segmentation fault
  test('eight threads, every form, recorded without a recorder and recovered', { retry: 1 }, () => {
    const program = join(folder, 'mmio-arm64');
    const sources = readdirSync(shim).filter((name) => /^irr_.*\.c$/.test(name) && name !== 'irr_decode.c');
    // the shim's sources are part of the program: a file counts as a device then
    const made = spawnSync(
      CROSS,
      [
        '-std=gnu11',
        '-O2',
        '-DIRR_DIRECT',
        '-ftls-model=initial-exec',
        '-I',
        shim,
        '-o',
        program,
        ...['mmio.c', 'mmio_arm64.c'].map((name) => join(clients, name)),
      ].concat(
        sources.map((name) => join(shim, name)),
        ['-ldl', '-pthread'],
      ),
      { encoding: 'utf8' },
    );
    expect(made.status, made.stderr).toBe(0);
    const spool = join(folder, 'arm64.spool');
    const expected = join(folder, 'expected64');
    const ran = spawnSync('qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', program, '-f', '-t', '8', '-n', '15', '-e', expected], {
      encoding: 'utf8',
      timeout: 120_000,
      env: { IRR_SPOOL: spool, IRR_MMIO: '1' },
    });
    expect(ran.stdout, ran.stderr).toMatch(/\nok\n$/);
    const recovered = spawnSync(process.execPath, [cli, 'recover', spool, '--force', '-o', join(folder, 'x.irr')], { encoding: 'utf8' });
    expect(recovered.status, recovered.stderr).toBe(0);
    compare(expected, 15 * 80);
  });
});
