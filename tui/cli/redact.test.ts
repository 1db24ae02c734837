import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { CLASS_NAMES } from '../../replayer/redact/classes.ts';
import { longs, Script, words } from '../../replayer/script.ts';
import { FileKind, Kind, makePart, PartKind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { TraceSide } from '../../store/side.ts';
import { verifyTrace } from '../../store/verify.ts';
import { capture } from './capture.ts';
import type { Options } from './commands.ts';
import { sampleTrace } from './sample.ts';

const traces = join(import.meta.dirname, '../../fixtures/traces');
const fixtures = readdirSync(traces).filter((name) => name.endsWith('.irr'));
const folder = mkdtempSync(join(tmpdir(), 'irr-redact-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

async function redacted(trace: string, options: Options = {}): Promise<string> {
  const output = join(folder, `${++files}.irr`);
  await capture('redact', [trace], { output, ...options });
  expect(verifyTrace(output).problems).toEqual([]);
  return output;
}

/** Everything that is in a file: its bytes, and its frames unpacked. */
function everything(path: string): Buffer {
  const reader = TraceReader.open(path);
  const frames = [...reader.scan()].map((b) => Buffer.from(b.buffer.subarray(b.offsets[0], b.offsets[b.count])));
  reader.close();
  return Buffer.concat([readFileSync(path), ...frames]);
}

/** Addresses of a trace that the program had memory at, as eight bytes. */
function pointersOf(path: string): Set<bigint> {
  const reader = TraceReader.open(path);
  const found = new Set<bigint>();
  for (let seq = 1; seq <= reader.last; seq++) for (const p of reader.frame(seq)!.parts) if (p.address >= 0x1_0000n) found.add(p.address);
  reader.close();
  return found;
}

const json = async (command: string, args: readonly string[]): Promise<Record<string, unknown>> =>
  JSON.parse((await capture(command, args, { json: true })).out) as Record<string, unknown>;

/** A MAP of two megabytes, as the recorder tells of it. */
function mapped(text: string): string {
  const table = uapiTable('linux-7.2');
  const s = new Script(table);
  s.open(3);
  const map = Buffer.concat([words(40, 7, 1, 0), longs(0x7f00_0020_0000, 0x20_0000, 0x20_0000)]);
  const parts = [makePart(PartKind.IN, map), makePart(PartKind.OUT, map), makePart(PartKind.TEXT, Buffer.from(text))];
  s.add({ kind: Kind.IOCTL, ...s.behind(3), request: 0x3b85, parts });
  return sampleTrace(s.frames, table);
}

describe('redact', () => {
  test.each([
    ['pages=2097152 shared', true],
    ['pages=2097152 of /home/me', false],
  ])('what the recorder says of memory: %s', async (text, stays) => {
    const reader = TraceReader.open(await redacted(mapped(text)));
    const said = Buffer.from(reader.frame(2)!.parts.find((p) => p.kind === PartKind.TEXT)!.bytes).toString();
    reader.close();
    expect(said === text).toBe(stays);
    expect(said).not.toContain('home');
  });

  test.each(fixtures)('%s: nothing that was taken out is in the new file, and the session is the same', async (name) => {
    const trace = join(traces, name);
    const output = await redacted(trace);
    const bytes = everything(output);
    const pointers = pointersOf(trace);
    expect(pointers.size).toBeGreaterThan(5);
    expect([...pointers].filter((p) => bytes.includes(longs(p)))).toEqual([]);
    for (const secret of ['/opt/v', '/opt/s', '/opt/i', 'iommufdrr', 'iommufd-selftest-', '/dev/shm', 'vmm\0', 'QEMU TCG'])
      expect(bytes.includes(secret)).toBe(false);
    expect(await json('check', [output])).toEqual(await json('check', [trace]));
    const calls = async (path: string): Promise<string> => (await capture('stats', [path], { sort: 'name' })).out.replace(path, '');
    expect(await calls(output)).toBe(await calls(trace));
  });

  test.each(fixtures)('%s: no difference, and it is said how much was not compared', async (name) => {
    const trace = join(traces, name);
    const output = await redacted(trace);
    const report = await json('diff', [trace, output]);
    expect(report).toMatchObject({ equal: true, differences: [] });
    expect(report.redacted).toBeGreaterThan(0);
    expect((await capture('diff', [output, trace])).out).toMatch(/not compared: [\d,]+ values?, redacted/);
    const kept = await redacted(trace, { keep: CLASS_NAMES.slice() });
    expect(await json('diff', [trace, kept])).toMatchObject({ equal: true, differences: [], redacted: 0 });
    // each alone: what it changes, and nothing else, is left aside
    for (const alone of CLASS_NAMES) {
      const without = await redacted(trace, { keep: CLASS_NAMES.filter((sort) => sort !== alone) });
      expect(await json('diff', [trace, without]), alone).toMatchObject({ equal: true, differences: [] });
    }
  });

  test.each([
    ['vmm-6.12.irr', 'vmm-7.2.irr'],
    ['vfio-6.12.irr', 'vfio-7.2.irr'],
    ['pci-6.12.irr', 'pci-7.2.irr'],
    ['selftest-basic-7.2.irr', 'selftest-viommu-7.2.irr'],
  ])('%s and %s redacted compare as they do', async (first, second) => {
    const [a, b] = [join(traces, first), join(traces, second)];
    const [x, y] = [await redacted(a), await redacted(b)];
    const of = async (p: string, q: string): Promise<unknown> => {
      const { matched, count, differences } = await json('diff', [p, q]);
      const told = (differences as Record<string, unknown>[]).map(({ seqA, seqB, kind, call, field }) => ({
        seqA,
        seqB,
        kind,
        call,
        field,
      }));
      return { matched, count, told };
    };
    // of the originals the same is left aside where one of the two is redacted
    const mixed = await of(x, b);
    expect(await of(x, y)).toEqual(mixed);
    expect(await of(a, y)).toEqual(mixed);
    expect(mixed).toEqual(await of(a, b));
  });

  test.each(fixtures)('%s: as lines of JSON and back', async (name) => {
    const output = await redacted(join(traces, name));
    const [text, again, same] = ['a.jsonl', 'a.irr', 'b.jsonl'].map((suffix) => join(folder, `${++files}${suffix}`)) as [
      string,
      string,
      string,
    ];
    await capture('export', [output], { format: 'jsonl', output: text });
    await capture('import', ['jsonl', text], { output: again });
    await capture('export', [again], { format: 'jsonl', output: same });
    expect(readFileSync(same).equals(readFileSync(text))).toBe(true);
    const digestOf = (path: string): string => {
      const reader = TraceReader.open(path);
      const { digest } = reader;
      reader.close();
      return digest;
    };
    expect(digestOf(again)).toBe(digestOf(output));
  });

  test('a file that is in the way is left alone, and nothing else is left', async () => {
    const output = join(folder, 'taken.irr');
    writeFileSync(`${output}.partial`, 'mine');
    await expect(capture('redact', [join(traces, fixtures[0]!)], { output })).rejects.toThrow('exists already');
    expect(readFileSync(`${output}.partial`, 'utf8')).toBe('mine');
    expect(existsSync(output)).toBe(false);
  });

  test('what is secret in a session made for it', async () => {
    const s = new Script(uapiTable('linux-7.2'), 100);
    s.start(1, 1, '/home/alice/build/secret-vmm');
    s.open(3);
    s.open(9, FileKind.UNKNOWN, '/home/alice/guest-image.raw');
    s.found(11, FileKind.VFIO_DEVICE, 1);
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    const map = (va: bigint, length: number): number =>
      s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: 1, user_va: va, length }, { iova: va & 0xff_ffffn });
    const [first, second, far] = [0x7f12_3456_7000n, 0x7f12_3456_9000n, 0x7f99_0000_0123n];
    for (const va of [first, second, far, first]) map(va, 0x2000);
    s.test(
      3,
      'ACCESS_RW',
      1,
      { iova: 0, length: 16, uptr: 0x7ffc_1234_5678n },
      {},
      { nestedIn: { uptr: Buffer.from('hunter2-password') } },
    );
    s.add({
      kind: 1,
      fd: 3,
      file: 1,
      fileKind: FileKind.IOMMUFD,
      request: 0x3bee,
      parts: [{ kind: 1, flags: 0, slot: 0, wanted: 16n, address: 0n, bytes: longs(16, 0x5555_1234_0000n) }],
    });
    s.write(9, Buffer.from('PRIVATE KEY'));
    const trace = sampleTrace(s.frames, s.table, {
      kernel: '7.2.1-alice-debug+',
      command: ['/home/alice/build/secret-vmm', '--device=0000:3b:00.1', '--pass', 'hunter2'],
      cwd: '/home/alice',
      hostname: 'workstation-17',
    });
    const side = TraceSide.open(trace);
    side.addNote(2, 'alice looked here');
    side.setMark('alice', 2);
    side.close();
    const output = await redacted(trace);
    const bytes = everything(output);
    for (const secret of ['alice', 'secret-vmm', 'guest-image', 'hunter2', 'PRIVATE', 'workstation', '3b:00', 'debug'])
      expect(bytes.includes(secret), secret).toBe(false);
    for (const va of [first, second, far, 0x5555_1234_0000n]) expect(bytes.includes(longs(va))).toBe(false);
    const reader = TraceReader.open(output);
    expect(reader.meta.kernel).toMatch(/^7\.2\.1-build-[0-9a-f]{10}$/);
    expect(reader.meta.command[1]).toMatch(/^word-/);
    const vas = [6, 7, 8, 9].map((seq) => Buffer.from(reader.frame(seq)!.parts[0]!.bytes).readBigUInt64LE(16)) as [
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    // the same for the same, what lies together still does, order and place in the page stay
    expect(vas[3]).toBe(vas[0]);
    expect(vas[1] - vas[0]).toBe(second - first);
    expect(vas[2] > vas[1]).toBe(true);
    expect(vas.map((va) => va & 0xfffn)).toEqual([0n, 0n, 0x123n, 0n]);
    reader.close();
    const again = await redacted(trace);
    expect(everything(again).equals(bytes)).toBe(false);
  });
});
