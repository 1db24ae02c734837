import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TraceWriter } from '../store/append.ts';
import { encodeFrame, FileKind, type Frame, Gap, Kind, makeArgs, makePart, Open, PartKind, Start, State } from '../store/frame.ts';
import { TraceReader } from '../store/read.ts';
import { TEST_META } from '../store/testing.ts';
import { recover } from './recover.ts';
import { Spool } from './spool.ts';
import { LAYOUT } from './spool-layout.ts';
import { eventsOf, openDrain, SpoolMaker } from './testing.ts';

const cli = resolve(import.meta.dirname, '../dist/bin/iommufd-rr.js');
const run = (...words: string[]) => spawnSync(process.execPath, [cli, ...words], { encoding: 'utf8' });

let folder = '';
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'irr-recover-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});
const path = (name: string): string => join(folder, name);
const options = { tool: 'test' };

/** A session: a process opens /dev/iommu, makes IOASes and destroys some, one call never returns. */
function session(maker: SpoolMaker, from = 0, to = 60): void {
  const base = { pid: 70, tid: 70, fd: 3, file: 1, fileKind: FileKind.IOMMUFD };
  const text = (t: string, slot: number) => makePart(PartKind.TEXT, Buffer.from(t), slot);
  for (let n = from; n < to; n++) {
    const time = { tEnter: BigInt(1000 + 10 * n), tExit: BigInt(1005 + 10 * n) };
    if (n === 0)
      maker.call({
        kind: Kind.START,
        request: Start.EXEC,
        pid: 70,
        tid: 70,
        ...time,
        parts: [makeArgs(1, 500), text('/bin/vmm', 0), text('vmm\0-a\0b c', 1), text('vmm', 2), text('/srv', 3)],
      });
    else if (n === 1)
      maker.call({ ...base, ...time, kind: Kind.OPEN, request: Open.OPEN, ret: 3n, parts: [makeArgs(0, 2, 0), text('/dev/iommu', 0)] });
    else if (n === 30)
      maker.enter({ ...base, ...time, tExit: 0n, kind: Kind.IOCTL, request: 0x3b82, parts: [makePart(PartKind.IN, words(8, n))] });
    else if (n % 3 === 0) {
      const destroy = makePart(PartKind.IN, words(8, n - 1));
      maker.call({ ...base, ...time, kind: Kind.IOCTL, request: 0x3b80, parts: [destroy, { ...destroy, kind: PartKind.OUT }] });
    } else
      maker.call({
        ...base,
        ...time,
        kind: Kind.IOCTL,
        request: 0x3b81,
        parts: [makePart(PartKind.IN, words(12, 0, 0)), makePart(PartKind.OUT, words(12, 0, n))],
      });
  }
}
function words(...list: number[]): Buffer {
  const b = Buffer.alloc(4 * list.length);
  list.forEach((w, i) => {
    b.writeUInt32LE(w, 4 * i);
  });
  return b;
}

function digest(trace: string): string {
  const { status, stdout, stderr } = run('state', trace, '--digest');
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.trim();
}
const bytesOf = (trace: string): Buffer[] => eventsOf(trace).map(encodeFrame);

/** A recorder that takes what is there when it is asked to, and is killed. */
function killedRecorder(maker: SpoolMaker, trace: string): void {
  const { spool, writer, drain } = openDrain(maker.path, trace, existsSync(trace), 'rec-1');
  drain.step(false);
  drain.step(true);
  writer.close();
  spool.close();
}

describe('a spool without a recorder', () => {
  test('gives the same trace each time, with the command that it was', () => {
    const maker = new SpoolMaker(path('spool'), { machine: 'aarch64', kernel: '6.12.7', bootId: 'another' });
    session(maker);
    maker.reserve(64);
    maker.close();
    const before = readFileSync(path('spool'));
    expect(recover(path('spool'), path('a.irr'), options)).toEqual({ events: 61, dropped: 0, resumed: 0 });
    recover(path('spool'), path('b.irr'), options);
    expect(bytesOf(path('a.irr'))).toEqual(bytesOf(path('b.irr')));
    expect(digest(path('a.irr'))).toBe(digest(path('b.irr')));
    expect(readFileSync(path('spool')).equals(before)).toBe(true);
    const reader = TraceReader.open(path('a.irr'));
    expect(reader.meta).toMatchObject({ machine: 'aarch64', kernel: '6.12.7', command: ['vmm', '-a', 'b c'], cwd: '/srv', complete: true });
    reader.close();
    const last = eventsOf(path('a.irr')).at(-1) as Frame;
    expect(last).toMatchObject({ kind: Kind.GAP, request: Gap.HOLE, tEnter: 1590n });
    expect(readdirSync(folder).sort()).toEqual(['a.irr', 'b.irr', 'spool']);
  });

  test('needs an output, and replaces none without being told', () => {
    const maker = new SpoolMaker(path('spool'));
    session(maker);
    maker.close();
    expect(() => recover(path('spool'), undefined, options)).toThrow(/no unfinished trace belongs to it/);
    writeFileSync(path('x.irr'), 'precious');
    expect(() => recover(path('spool'), path('x.irr'), options)).toThrow(/exists already/);
    expect(readFileSync(path('x.irr'), 'utf8')).toBe('precious');
    recover(path('spool'), path('x.irr'), { ...options, force: true });
    expect(eventsOf(path('x.irr'))).toHaveLength(60);
    expect(readdirSync(folder).sort()).toEqual(['spool', 'x.irr']);
  });
});

describe('a spool of a killed recorder', () => {
  /** Stored up to event 25 and again up to 40; the rest in the spool alone. */
  function killed(name = 'spool', trace = path('t.irr')): SpoolMaker {
    const maker = new SpoolMaker(path(name), { recording: 'rec-1', trace });
    session(maker, 0, 25);
    killedRecorder(maker, trace);
    session(maker, 25, 40);
    killedRecorder(maker, trace);
    session(maker, 40);
    return maker;
  }
  function undisturbed(): string {
    const maker = new SpoolMaker(path('whole'));
    session(maker);
    maker.close();
    recover(path('whole'), path('whole.irr'), options);
    return path('whole.irr');
  }

  test('joins what was stored with what was not: as if nobody had been killed', () => {
    killed().close();
    const whole = undisturbed();
    expect(recover(path('spool'), path('a.irr'), options)).toEqual({ events: 60, dropped: 0, resumed: 40 });
    expect(bytesOf(path('a.irr'))).toEqual(bytesOf(whole));
    expect(digest(path('a.irr'))).toBe(digest(whole));
    // the unfinished trace is left as it was, so that it can be done again
    expect(recover(path('spool'), path('b.irr'), options)).toEqual({ events: 60, dropped: 0, resumed: 40 });
    expect(bytesOf(path('b.irr'))).toEqual(bytesOf(whole));
    expect(recover(path('spool'), undefined, options).events).toBe(60);
    expect(bytesOf(path('t.irr'))).toEqual(bytesOf(whole));
    // and now it is complete
    expect(() => recover(path('spool'), undefined, options)).toThrow(/nothing to recover, its trace .*t\.irr is complete/);
    expect(() => recover(path('spool'), path('c.irr'), options)).toThrow(/is complete/);
    expect(existsSync(path('c.irr'))).toBe(false);
  });

  test('a call that returned after the recorder was killed has its return', () => {
    const maker = new SpoolMaker(path('spool'), { recording: 'rec-1', trace: path('t.irr') });
    const call = { kind: Kind.IOCTL, request: 0x3b82, tEnter: 5n, tExit: 9n, parts: [makePart(PartKind.IN, words(8, 1))] };
    const at = maker.enter(call, 100);
    killedRecorder(maker, path('t.irr'));
    maker.leave(at, { ...call, ret: 4n, parts: [...call.parts, makePart(PartKind.OUT, words(8, 2))] });
    maker.close();
    recover(path('spool'), path('a.irr'), options);
    expect(eventsOf(path('a.irr')).map((e) => [e.kind, e.state, e.ret])).toEqual([
      [Kind.IOCTL, State.ENTERED, 0n],
      [Kind.RETURN, State.RETURNED, 4n],
    ]);
  });

  test('whose trace is gone, or another one, says what is missing', () => {
    const maker = new SpoolMaker(path('spool'), { recording: 'rec-1', trace: path('t.irr') });
    maker.call({ kind: Kind.IOCTL, tEnter: 1n });
    maker.pad(maker.tail, LAYOUT.segment - maker.tail);
    maker.tail = LAYOUT.segment;
    maker.call({ kind: Kind.IOCTL, tEnter: 2n });
    killedRecorder(maker, path('t.irr')); // gives the first segment back
    maker.call({ kind: Kind.IOCTL, tEnter: 3n });
    maker.close();
    const missing = (): void => {
      recover(path('spool'), path('a.irr'), { ...options, force: true });
      const events = eventsOf(path('a.irr'));
      expect(events.map((e) => [e.kind, e.tEnter])).toEqual([
        [Kind.GAP, 5n],
        [Kind.IOCTL, 2n],
        [Kind.IOCTL, 3n],
      ]);
      expect(Buffer.from(events[0]!.parts[0]!.bytes).toString()).toMatch(/^the first 1048576 bytes .* taken out before/);
    };
    renameSync(path('t.irr'), path('elsewhere'));
    missing();
    writeFileSync(path('t.irr'), 'no trace at all');
    missing();
    rmSync(path('t.irr'));
    TraceWriter.create(path('t.irr'), { ...TEST_META, recording: 'rec-2' }).finish();
    missing();
    rmSync(path('t.irr'));
    renameSync(path('elsewhere'), path('t.irr'));
    expect(recover(path('spool'), path('b.irr'), options)).toEqual({ events: 3, dropped: 0, resumed: 2 });
    expect(eventsOf(path('b.irr')).map((e) => e.tEnter)).toEqual([1n, 2n, 3n]);
  });

  test('a recording that was to replace a file does so when it is recovered, not before', () => {
    writeFileSync(path('x.irr'), 'precious');
    killed('spool', path('x.irr.partial')).close();
    expect(() => recover(path('spool'), path('x.irr'), options)).toThrow(/exists already/);
    expect(readFileSync(path('x.irr'), 'utf8')).toBe('precious');
    copyFileSync(path('spool'), path('copy'));
    expect(recover(path('spool'), path('x.irr'), { ...options, force: true }).events).toBe(60);
    expect(eventsOf(path('x.irr'))).toHaveLength(60);
    expect(readdirSync(folder).sort()).toEqual(['copy', 'spool', 'x.irr']);
    expect(() => recover(path('copy'), undefined, options)).toThrow(/x\.irr is complete/);
  });
});

describe('a recording that still runs', () => {
  const start = async (...command: string[]): Promise<{ spool: string; recorder: ChildProcess }> => {
    const recorder = spawn(process.execPath, [cli, 'record', '--spool', folder, '-o', path('x.irr'), '--', ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(recorder);
    await new Promise((done) => recorder.stdout!.once('data', done));
    return { spool: path(readdirSync(folder).find((name) => name.endsWith('.spool'))!), recorder };
  };

  test.skipIf(!existsSync(cli))(
    'is refused in one line; when its recorder was killed, it may be looked at; in the end it is whole',
    async () => {
      const { spool, recorder } = await start('sh', '-c', 'echo $$; exec sleep 30');
      const live = run('recover', spool, '-o', path('y.irr'));
      expect(live.status).toBe(2);
      expect(live.stderr.split('\n')[0]).toMatch(/its recording still runs \(process \d+\)$/);
      expect(live.stderr).toContain(String(recorder.pid));
      expect(existsSync(path('y.irr'))).toBe(false);

      const ended = new Promise((done) => recorder.once('exit', done));
      recorder.kill('SIGKILL');
      await ended;
      const unattended = run('recover', spool);
      expect(run('recover', spool, '-o', path('x.irr')).stderr).toBe(unattended.stderr);
      expect(unattended.stderr.split('\n')[0]).toMatch(/a program still writes into it \(process \d+\)$/);
      const program = Number(/process (\d+)\)/.exec(unattended.stderr)![1]);
      const looked = run('recover', spool, '-o', path('y.irr'));
      expect([looked.status, looked.stderr]).toEqual([0, expect.stringMatching(/recovered \d+ events \(0 dropped/)]);

      process.kill(program, 'SIGKILL');
      const mapped = (): boolean => existsSync(`/proc/${program}/maps`) && readFileSync(`/proc/${program}/maps`).length > 0;
      for (let i = 0; i < 100 && mapped(); i++) await sleep(20);
      expect(run('recover', spool, '-o', path('x.irr')).status).toBe(0);
      const starts = eventsOf(path('x.irr')).filter((e) => e.kind === Kind.START);
      expect(
        starts.map(
          (e) =>
            Buffer.from(e.parts.find((p) => p.slot === 1)!.bytes)
              .toString()
              .split('\0')[0],
        ),
      ).toEqual(['sh', 'sleep']);
    },
  );
});

test('a spool that may only be read is enough', () => {
  const maker = new SpoolMaker(path('spool'));
  session(maker);
  maker.close();
  execFileSync('chmod', ['444', path('spool')]);
  expect(recover(path('spool'), path('a.irr'), options).events).toBe(60);
  const spool = new Spool(path('spool'), false);
  expect(() => spool.stop()).toThrow();
  spool.close();
});
