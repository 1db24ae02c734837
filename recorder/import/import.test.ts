import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { TraceWriter } from '../../store/append.ts';
import {
  encodeFrame,
  type Frame,
  FrameCursor,
  Kind,
  MMIO_SOURCE_SHIFT,
  MmioHow,
  MmioSource,
  makeArgs,
  makeFrame,
  RegionKind,
  State,
} from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { TraceSide } from '../../store/side.ts';
import { anyFrame, TEST_META } from '../../store/testing.ts';
import { verifyTrace } from '../../store/verify.ts';
import { RowIndex } from '../index-row.ts';
import { FTRACE } from './ftrace.ts';
import { MMIOTRACE } from './mmiotrace.ts';
import { cmdqvRegions, mappedRegions, vmallocRegions } from './regions.ts';
import { framesOf, imported, say, tempFolder, wordOf } from './testing.ts';

const logs = join(import.meta.dirname, '../../fixtures/logs');
const folder = tempFolder();
beforeEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
});
afterAll(() => rmSync(folder, { recursive: true }));

const sourceOf = (f: Frame): number => f.request >>> MMIO_SOURCE_SHIFT;
const isStore = (f: Frame): boolean => (f.request & 15) === MmioHow.STORE;
const hex = (n: bigint): string => `0x${BigInt.asUintN(64, n).toString(16)}`;
/** Without what a merge gives anew. */
const content = (f: Frame): object => ({ ...f, seq: 0, parts: f.kind === Kind.RETURN ? f.parts.slice(1) : f.parts });

describe('an NVMe controller: what its driver (vfio-pci) and the program did', () => {
  const recording = join(logs, 'mmiotrace.irr');

  test('together they are every access that the emulated device saw, in its order', () => {
    const { frames, result } = imported(folder, MMIOTRACE, join(logs, 'mmiotrace.txt'), { recording });
    const bar = 0xc000000000n;
    const accesses = frames.filter((f) => f.kind === Kind.MMIO);
    const told = accesses.map((f) => {
      const address = sourceOf(f) === MmioSource.TRAPPED ? bar + wordOf(f, 1) : wordOf(f, 0);
      return `memory_region_ops_${isStore(f) ? 'write' : 'read'} addr ${hex(address)} value ${hex(f.ret)} size ${wordOf(f, 2)}`;
    });
    const device = readFileSync(join(logs, 'mmiotrace.qemu.txt'), 'utf8').trimEnd().split('\n');
    expect(told).toEqual(device.map((line) => line.replace(/ name '.*'$/, '')));
    expect(accesses.filter((f) => sourceOf(f) === MmioSource.TRAPPED)).toHaveLength(3);
    expect(result).toMatchObject({ lost: 0, marks: 2, disorder: 0, foreign: new Map() });
  });

  test('each lies inside the call that made the kernel do it', () => {
    const { frames } = imported(folder, MMIOTRACE, join(logs, 'mmiotrace.txt'), { recording });
    let calls = 0;
    for (const f of frames) {
      if (f.kind !== Kind.MMIO || sourceOf(f) !== MmioSource.MMIOTRACE) continue;
      const call = frames.findLast((c) => c.seq < f.seq && (c.kind === Kind.IOCTL || c.kind === Kind.READ))!;
      expect(f.tEnter).toBeGreaterThan(call.tEnter);
      expect(f.tEnter).toBeLessThan(call.tExit);
      calls++;
    }
    expect(calls).toBe(89);
  });

  test('the recording is as it was, and all of it is in the new trace', () => {
    const copy = join(folder, 'recording.irr');
    copyFileSync(recording, copy);
    const before = readFileSync(copy);
    const { frames, path } = imported(folder, MMIOTRACE, join(logs, 'mmiotrace.txt'), { recording: copy });
    expect(readFileSync(copy).equals(before)).toBe(true);
    const own = framesOf(recording);
    const kept = frames.filter((f) => f.kind !== Kind.REGION && !(f.kind === Kind.MMIO && sourceOf(f) === MmioSource.MMIOTRACE));
    expect(kept.map(content)).toEqual(own.map(content));
    expect(verifyTrace(path)).toMatchObject({ ok: true, complete: true });
    const reader = TraceReader.open(path);
    expect(reader.meta).toMatchObject({ source: 'preload + import mmiotrace', command: ['/opt/vfio'], complete: true });
    expect(reader.meta.imports).toMatchObject([{ format: 'mmiotrace', file: 'mmiotrace.txt', lost: 0, foreign: 0 }]);
    reader.close();
  });
});

describe('an SMMU and its driver', () => {
  test('rwmmio events are what the emulated SMMU saw', () => {
    const regions = mappedRegions(join(logs, 'rwmmio.vmallocinfo.txt'), cmdqvRegions('0x9050000', undefined));
    const recording = join(logs, 'rwmmio.irr');
    const { frames } = imported(folder, FTRACE, join(logs, 'rwmmio.txt'), { recording, regions });
    const mapping = frames.find((f) => f.kind === Kind.REGION && f.request === RegionKind.CMDQV)!;
    expect(say(mapping)).toBe('region 2 0x9050000+0x1000@0xffff800080d95000 CMDQV');
    const base = wordOf(mapping, 2);
    const accesses = frames.filter((f) => f.kind === Kind.MMIO);
    const told = accesses.map((f) => {
      expect(wordOf(f, 2)).toBe(4n);
      return `smmuv3_${isStore(f) ? 'write' : 'read'}_mmio addr: ${hex(wordOf(f, 0) - base)} val:${hex(f.ret)} size: 0x4(0)`;
    });
    const device = readFileSync(join(logs, 'rwmmio.qemu.txt'), 'utf8');
    expect(told.length).toBe(77);
    // the device tells of its boot and its end as well
    expect(device).toContain(`\n${told.join('\n')}\n`);
    const [pid] = new Set(accesses.map((f) => f.pid));
    expect(frames.find((f) => f.kind === Kind.START)).toMatchObject({ pid });
  });
});

/** A recording of frames as they are given, of which each has its `seq`. */
function recordingOf(name: string, frames: readonly (Partial<Frame> & { kind: number })[], monotonicNs = 0n): string {
  const path = join(folder, name);
  const writer = TraceWriter.create(path, { ...TEST_META, clock: { realtimeNs: 0n, monotonicNs } });
  const rows = new RowIndex(uapiTable('linux-7.2'));
  const cursor = new FrameCursor();
  for (const f of frames) {
    const bytes = encodeFrame(makeFrame({ pid: 1, tid: 1, ...f }));
    writer.append(bytes, 0, rows.row(cursor.at(bytes, 0)));
  }
  writer.finish();
  return path;
}

const call = (tEnter: bigint, tExit: bigint, state: number = State.RETURNED) => ({
  kind: Kind.IOCTL,
  request: 0x3b81,
  tEnter,
  tExit,
  state,
});
const returned = (seq: number, tEnter: bigint, tExit: bigint) => ({
  kind: Kind.RETURN,
  request: 0x3b81,
  tEnter,
  tExit,
  parts: [makeArgs(seq)],
});
const access = (us: number, value = us): string => `R 4 0.${String(us).padStart(6, '0')} 1 0xc0 0x${value.toString(16)} 0x0 0\n`;
const order = (frames: readonly Frame[]): string =>
  frames.map((f) => (f.kind === Kind.MMIO ? `m${f.ret}` : `k${f.kind}@${f.tEnter}`)).join(' ');

describe('merging', () => {
  test('calls that return later: the number of the call is that of the new trace, and what happened meanwhile lies between', () => {
    const recording = recordingOf('r.irr', [
      call(1_000n, 0n, State.ENTERED),
      call(3_000n, 0n, State.ENTERED),
      call(4_000n, 5_000n),
      returned(2, 3_000n, 6_500n),
      returned(1, 1_000n, 9_500n),
      call(20_000n, 21_000n),
    ]);
    const { frames } = imported(folder, MMIOTRACE, [0, 2, 6, 8, 30].map((us) => access(us)).join(''), { recording });
    expect(order(frames)).toBe('m0 k1@1000 m2 k1@3000 k1@4000 m6 k16@3000 m8 k16@1000 k1@20000 m30');
    expect(frames.filter((f) => f.kind === Kind.RETURN).map((f) => wordOf(f, 0))).toEqual([4n, 2n]);
  });

  test('a return that the recorder noticed late does not hold up what came before it', () => {
    const recording = recordingOf('r.irr', [
      call(1_000n, 0n, State.ENTERED),
      returned(1, 1_000n, 50_000n),
      call(10_000n, 11_000n),
      call(60_000n, 61_000n),
    ]);
    const { frames } = imported(folder, MMIOTRACE, access(20) + access(55), { recording });
    expect(order(frames)).toBe('k1@1000 k16@1000 k1@10000 m20 m55 k1@60000');
  });

  test('a log with microseconds: an access does not come before the call that was entered in that microsecond', () => {
    const recording = recordingOf('r.irr', [call(1_700n, 9_000n), call(2_000n, 9_000n)]);
    const { frames } = imported(folder, MMIOTRACE, access(1), { recording });
    expect(order(frames)).toBe('k1@1700 m1 k1@2000');
    expect(frames[1]!.tEnter).toBe(1_000n);
  });

  test('any recording, any log: nothing is lost or doubled, each keeps its order, and the order is by time', () => {
    const times = fc.array(fc.nat(3000), { maxLength: 60 }).map((list) => list.sort((a, b) => a - b));
    fc.assert(
      fc.property(times, fc.array(fc.nat(3), { minLength: 1, maxLength: 60 }), (calls, steps) => {
        rmSync(join(folder, 'p.irr'), { force: true });
        const recording = recordingOf('p.irr', [
          call(0n, 1n),
          ...calls.map((t) => call(BigInt(t) * 100n, BigInt(t) * 100n + 1n)),
          call(400_000n, 400_001n),
        ]);
        const at = (i: number): number => steps.slice(0, i + 1).reduce((a, b) => a + b, 0);
        const log = steps.map((_, i) => access(at(i), i)).join('');
        const { frames } = imported(folder, MMIOTRACE, log, { recording });
        const key = (f: Frame): bigint => (f.kind === Kind.MMIO ? f.tEnter + 999n : f.tEnter);
        expect(frames.filter((f) => f.kind === Kind.MMIO).map((f) => Number(f.ret))).toEqual(steps.map((_, i) => i));
        expect(frames.filter((f) => f.kind === Kind.IOCTL)).toHaveLength(calls.length + 2);
        for (let i = 1; i < frames.length; i++) expect(key(frames[i]!)).toBeGreaterThanOrEqual(key(frames[i - 1]!));
        expect(frames.map((f) => f.seq)).toEqual(frames.map((_, i) => i + 1));
      }),
      { numRuns: 12 },
    );
  });

  test('a recording of a stranger: whatever its frames are, they are in the new trace', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 20 }), (strange) => {
        rmSync(join(folder, 'p.irr'), { force: true });
        const recording = recordingOf('p.irr', [call(0n, 1n), ...strange]);
        const { frames } = imported(folder, MMIOTRACE, access(0) + access(5), { recording, offset: 0n });
        const kept = frames.filter((f) => !(f.kind === Kind.MMIO && f.tid === 0 && f.parts.length === 1));
        const numbered = (f: Frame): object => (f.kind === Kind.RETURN ? { ...f, seq: 0, parts: f.parts.length } : { ...f, seq: 0 });
        const before = framesOf(recording).filter((f) => !(f.kind === Kind.MMIO && f.tid === 0 && f.parts.length === 1));
        expect(kept.map(numbered)).toEqual(before.map(numbered));
      }),
      { numRuns: 12 },
    );
  });

  test('marks and notes of the recording stay at their events; those of the log become notes', () => {
    const recording = recordingOf('r.irr', [call(1_000n, 2_000n), call(10_000n, 11_000n)]);
    const side = TraceSide.open(recording);
    side.setMark('a', 2);
    side.addNote(1, 'first');
    side.close();
    const { path, frames } = imported(folder, MMIOTRACE, `${access(0)}MARK 0.000005 in between \xc3\xa9\n${access(6)}`, { recording });
    expect(order(frames)).toBe('m0 k1@1000 m6 k1@10000');
    const now = TraceSide.open(path, { readonly: true });
    expect(now.marks()).toEqual([{ name: 'a', seq: 4 }]);
    expect(now.notes().map(({ seq, text }) => [seq, text.slice(0, 10)])).toEqual([
      [2, 'first'],
      [2, 'in between'],
    ]);
    now.close();
  });

  test('lost events are gaps, and count as dropped', () => {
    const { frames, path, result } = imported(
      folder,
      MMIOTRACE,
      `MARK 0.000000 Lost 3 events.\n${access(5)}MARK 0.000000 Lost 4 events.\n${access(6)}`,
    );
    expect(frames.map(say)).toEqual([
      'gap 3 mmiotrace: mmiotrace lost them here or before',
      'R 4 0xc0 = 0x5',
      'gap 4 mmiotrace: mmiotrace lost them here or before',
      'R 4 0xc0 = 0x6',
    ]);
    const reader = TraceReader.open(path);
    expect([result.lost, reader.meta.dropped]).toEqual([7, 7]);
    reader.close();
  });

  test('events that stand out of order are put in order', () => {
    const { frames, result } = imported(folder, MMIOTRACE, [5, 9, 7, 8, 1, 9].map((us, i) => access(us, i)).join(''));
    expect(frames.map((f) => f.ret)).toEqual([4n, 0n, 2n, 3n, 1n, 5n]);
    expect(result.disorder).toBe(0);
  });

  test('times that no clock has are left out; an access that ends before it begins takes no time', () => {
    const { frames, result } = imported(folder, MMIOTRACE, `R 4 9999999999.999999 1 0xc0 0x1 0x0 0\n${access(5)}`);
    expect(frames.map(say)).toEqual(['R 4 0xc0 = 0x5']);
    expect([...result.foreign]).toEqual([['a time that no clock has', 1]]);
    const line = (us: number, name: string): string => `  x-1 [000] 1.00000${us}: ${name}: f width=8 val=0x1 addr=0xc0\n`;
    const odd = imported(folder, FTRACE, line(5, 'rwmmio_write') + line(4, 'rwmmio_post_write'));
    expect(odd.frames.map((f) => f.tExit - f.tEnter)).toEqual([0n]);
  });

  test('times are moved by what the user says', () => {
    const recording = recordingOf('r.irr', [call(1_000_000_000n, 2_000_000_000n), call(3_000_000_000n, 3_000_000_001n)]);
    const { frames } = imported(folder, MMIOTRACE, access(10), { recording, offset: 1_500_000_000n });
    expect(order(frames)).toBe('k1@1000000000 m10 k1@3000000000');
    expect(frames[1]!.tEnter).toBe(1_500_010_000n);
  });
});

describe('what cannot be', () => {
  const refused = (log: string, options: Parameters<typeof imported>[3] = {}, format = MMIOTRACE): { message: string; hint: string } => {
    try {
      imported(folder, format, log, options);
    } catch (error) {
      expect(existsSync(join(folder, 'out.irr.partial'))).toBe(false);
      const { message, hint } = error as { message: string; hint: string };
      return { message: message.replaceAll(folder, '.'), hint };
    }
    throw new Error('it was not refused');
  };

  test('another format, or nothing', () => {
    expect(refused('')).toMatchObject({ message: './log.txt: no event of mmiotrace is in it (the file has no lines)' });
    expect(refused(access(1), {}, FTRACE)).toMatchObject({ hint: 'it looks like mmiotrace: import mmiotrace' });
    expect(refused(readFileSync(join(logs, 'rwmmio.txt'), 'utf8'))).toMatchObject({ hint: 'it looks like ftrace: import ftrace' });
    expect(refused('MARK 1.000000 nothing but words\n')).toMatchObject({ message: expect.stringContaining('no event of mmiotrace') });
    expect(existsSync(join(folder, 'out.irr'))).toBe(false);
  });

  test('clocks that have nothing in common', () => {
    const recording = recordingOf('r.irr', [call(1_000_000_000n, 2_000_000_000n)], 1_000_000_000n);
    expect(refused(access(10), { recording })).toMatchObject({
      message: './log.txt: its times (0.000010 to 0.000010 s) are not those of the recording (1.000000 to 2.000000 s, CLOCK_MONOTONIC)',
      hint: expect.stringContaining('--clock-offset'),
    });
  });

  test('an output that is there, or that is what is read', () => {
    writeFileSync(join(folder, 'out.irr'), 'precious');
    expect(refused(access(1), { force: false })).toMatchObject({ message: './out.irr: exists already' });
    expect(readFileSync(join(folder, 'out.irr'), 'utf8')).toBe('precious');
    const recording = recordingOf('r.irr', [call(1n, 2n)]);
    expect(refused(access(1), { recording, output: recording })).toMatchObject({ message: './r.irr: is what is read' });
    // refused late: what was to be replaced is still there
    expect(refused('nothing\n')).toMatchObject({ message: expect.stringContaining('no event') });
    expect(readFileSync(join(folder, 'out.irr'), 'utf8')).toBe('precious');
  });

  test('a recording that has not come to its end', () => {
    const path = join(folder, 'running.irr');
    const writer = TraceWriter.create(path, { ...TEST_META, complete: false });
    writer.flush();
    expect(refused(access(1), { recording: path })).toMatchObject({ hint: 'wait for its end, or recover it first' });
    writer.close();
  });

  test('addresses that the kernel hid', () => {
    const list = join(folder, 'list.txt');
    writeFileSync(list, '0x00000000abcd1000-0x00000000abcd3000    8192 __ioremap_prot+0xac/0xb0 phys=0x0000000009050000 ioremap\n');
    expect(() => vmallocRegions(list, [])).toThrow('the kernel hid the addresses');
    expect(() => cmdqvRegions('here', undefined)).toThrow('--cmdqv: "here" is no range of addresses');
    expect(() => cmdqvRegions('0x10+0', undefined)).toThrow('is no range');
  });
});
