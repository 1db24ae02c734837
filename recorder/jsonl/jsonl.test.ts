import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { errnoName } from '../../hw/errno.ts';
import { jsonText } from '../../hw/json-text.ts';
import { TraceWriter } from '../../store/append.ts';
import { IrrError } from '../../store/errors.ts';
import { encodeFrame, type Frame, Kind, makeArgs, makePart, type Part, PartKind, State } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';
import { TraceReader } from '../../store/read.ts';
import { TraceSide } from '../../store/side.ts';
import { anyFrameBytes, TEST_META, writeTrace } from '../../store/testing.ts';
import { verifyTrace } from '../../store/verify.ts';
import { jsonLines } from './export.ts';
import { importJsonl } from './import.ts';

const folder = mkdtempSync(join(tmpdir(), 'irr-jsonl-'));
afterAll(() => rmSync(folder, { recursive: true }));
/** FC_RUNS: for once, many */
const RUNS = Number(process.env.FC_RUNS ?? 60);
let files = 0;
const fresh = (suffix: string): string => join(folder, `${++files}${suffix}`);
/** What other tests, and one run of many, have left. */
const sweep = (): void => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
};

function textOf(path: string): string {
  const reader = TraceReader.open(path);
  const text = [...jsonLines(reader)].join('');
  reader.close();
  return text;
}

async function traceOf(text: string | Buffer): Promise<string> {
  const [input, output] = [fresh('.jsonl'), fresh('.irr')];
  writeFileSync(input, text);
  await importJsonl({ input, output, force: false });
  return output;
}

/** Everything that two traces must have in common to be the same. */
function contents(path: string): object {
  const reader = TraceReader.open(path);
  const side = TraceSide.open(path, { readonly: true });
  const { ok, problems } = verifyTrace(path);
  const frames = createHash('sha256');
  for (const b of reader.scan()) frames.update(b.buffer.subarray(b.offsets[0], b.offsets[b.count]));
  const seen = {
    digest: reader.digest,
    ok,
    problems,
    meta: reader.meta,
    frames: frames.digest('hex'),
    chunks: reader.query('SELECT first, events FROM chunks'),
    rows: createHash('sha256')
      .update(jsonText(reader.rows({ limit: 100_000 })))
      .digest('hex'),
    marks: side.marks(),
    notes: side.notes().map(({ seq, text }) => ({ seq, text })),
  };
  side.close();
  reader.close();
  return seen;
}

async function expectSame(path: string): Promise<string> {
  const text = textOf(path);
  const again = await traceOf(text);
  expect(contents(again)).toEqual(contents(path));
  expect(textOf(again)).toBe(text);
  return text;
}

const traces = join(import.meta.dirname, '../../fixtures/traces');
const fixtures = readdirSync(traces).filter((name) => name.endsWith('.irr'));

describe('there and back', () => {
  test.each(fixtures)('%s', async (name) => {
    const text = await expectSame(join(traces, name));
    const lines = text.trimEnd().split('\n');
    const raw = lines.filter((line) => line.includes('"frame":'));
    expect(raw).toEqual([]);
    // a command that the table knows is told by its fields
    expect(lines.filter((line) => /"kind":"ioctl","call":"[A-Z].*"parts":.*"bytes"/.test(line))).toEqual([]);
  });

  test('texts that are no UTF-8, calls told in two, gaps', async () => {
    const bad = Buffer.from([0x2f, 0xff, 0xfe, 0x00, 0x1b, 0x5b, 0xc3, 0x28, 0xed, 0xa0, 0x80]);
    const plain = { seq: 0, flags: 0, fileKind: 1, tEnter: 7n, tExit: 9n, pid: 4, tid: 4, fd: 3, file: 1, error: 0, ret: 0n };
    const frames: Frame[] = [];
    const add = (kind: number, request: number, parts: readonly Part[], more: Partial<Frame> = {}): void => {
      frames.push({ ...plain, kind, request, state: State.RETURNED, parts, ...more });
    };
    for (const kind of [Kind.OPEN, Kind.EXEC, Kind.START, Kind.FD, Kind.GAP, Kind.REGION, Kind.MMIO])
      for (const slot of [0, 1, 2, 3, 9]) add(kind, 1, [makePart(PartKind.TEXT, bad, slot), makeArgs(1, 2, 3)]);
    const alloc = Buffer.alloc(12, 1);
    add(Kind.IOCTL, 0x3b81, [makePart(PartKind.IN, alloc)], { state: State.ENTERED, tExit: 0n });
    for (const [seq, error] of [
      [frames.length, 0],
      [frames.length, 14],
      [0xffff_ffff_ffffn, 4],
    ] as const)
      for (const request of [0, 0x3b81]) add(Kind.RETURN, request, [makeArgs(seq), makePart(PartKind.OUT, alloc)], { error });
    add(Kind.GAP, 2, [makePart(PartKind.TEXT, Buffer.from('lost\n\u001b[2J'))], { ret: 7n });
    const path = fresh('.irr');
    const writer = TraceWriter.create(path, { ...TEST_META, dialect: 'linux-7.2' }, { errorName: errnoName });
    for (const f of frames) writer.append(encodeFrame(f), 0, { call: 'x', context: 0, object: 0 });
    writer.finish();
    const text = await expectSame(path);
    expect(text).not.toContain('\u001b');
  });

  test('a made-up session of several chunks', async () => {
    await expectSame(writeTrace(fresh('.irr'), 9000));
  }, 30_000);

  test('any frames in any chunks, any marks and notes', async () => {
    const steps = fc.array(fc.tuple(anyFrameBytes, fc.nat(9)), { maxLength: 30 });
    const side = fc.array(fc.tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 5 }), fc.nat(40)), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(steps, side, fc.constantFrom('linux-6.12', 'linux-7.2', 'vcmdq-v2', 'none'), async (list, notes, dialect) => {
        const path = fresh('.irr');
        const meta: TraceMeta = { ...TEST_META, dialect, extra: { a: [1, null, 'x'] } };
        const writer = TraceWriter.create(path, meta, { errorName: errnoName });
        for (const [bytes, n] of list) {
          if (n === 0) writer.endChunk();
          writer.append(bytes, 0, n === 1 ? { call: '\u0007"', context: 2 ** 32 - 1, object: 7 } : { call: 'x', context: n, object: 0 });
        }
        writer.finish();
        const open = TraceSide.open(path);
        for (const [text, seq] of notes) {
          open.setMark(text, seq);
          open.addNote(seq, text + text);
        }
        open.close();
        await expectSame(path);
        sweep();
      }),
      { numRuns: RUNS },
    );
  }, 900_000);
});

describe('edited by hand', () => {
  const script = (): string[] => textOf(join(traces, 'vmm-7.2.irr')).trimEnd().split('\n');
  const at = (lines: readonly string[], call: string): number =>
    lines.findIndex((line) => line.includes(`"call":"${call}"`) && line.includes('"errno":null'));

  test('a field', async () => {
    const lines = script();
    const i = at(lines, 'IOMMU_IOAS_MAP');
    const before = JSON.parse(lines[i]!) as { seq: number; args: { length: string; flags: string[] } };
    lines[i] = lines[i]!.replace(`"length":"${before.args.length}"`, '"length":"0x123000"').replace('"IOMMU_IOAS_MAP_READABLE"', '"0x40"');
    const path = await traceOf(`\ufeff${lines.join('\r\n')}`);
    const after = JSON.parse(textOf(path).split('\n')[i]!) as typeof before;
    expect(after).toEqual({
      ...before,
      args: { ...before.args, length: '0x123000', flags: [...before.args.flags.filter((f) => f !== 'IOMMU_IOAS_MAP_READABLE'), '0x40'] },
    });
    expect(verifyTrace(path)).toMatchObject({ ok: true, problems: [] });
  });

  test('events taken out: the others are numbered anew, and so is who names them', async () => {
    const c = (seq: number, more: object): string =>
      JSON.stringify({
        seq,
        pid: 1,
        kind: 'ioctl',
        fileKind: 'iommufd',
        file: 1,
        fd: 3,
        request: '0x3b80',
        args: { id: seq },
        parts: [{ kind: 1 }],
        ...more,
      });
    const [head] = script();
    const lines = [
      head,
      '{"note":"here","seq":7}',
      c(2, {}),
      c(5, { state: 'entered', ret: null }),
      '{"seq":7,"pid":1,"kind":"return","returnOf":5,"parts":[{"kind":5}]}',
    ];
    const out = textOf(await traceOf(lines.join('\n')))
      .trimEnd()
      .split('\n');
    expect(out[1]).toBe('{"note":"here","seq":3}');
    expect(JSON.parse(out[4]!)).toMatchObject({ seq: 3, kind: 'return', returnOf: 2 });
    expect(JSON.parse(out[3]!)).toMatchObject({ seq: 2, call: 'IOMMU_DESTROY', args: { size: 8, id: 5 } });
  });

  const head =
    '{"format":"iommufd-rr events","v":1,"meta":{"v":1,"tool":"t","kernel":"","machine":"x86_64","cpu":"","command":[],"cwd":"","dialect":"linux-7.2","clock":{"realtimeNs":"0x0","monotonicNs":"0x0"},"complete":true,"dropped":0}}';
  const map = '"pid":1,"kind":"ioctl","fileKind":"iommufd","request":"0x3b85"';
  test.each([
    ['', 'is empty'],
    ['{"format":"other"}', ':1: no trace as lines of JSON: the first line is'],
    ['{"format":"iommufd-rr events","v":2}', ':1: version 2 of the format is not known'],
    [head.replace('"dropped":0', '"dropped":-1'), ':1: meta.dropped: '],
    [head.replace('"0x0"', '"0"'), ':1: meta.clock.realtimeNs: '],
    [`${head}\n[1]`, ':2: [1] is no event'],
    [`${head}\n{"pid":1,"kind":"exit"`, ':2: no JSON: .* it is the last line and has no end, so the file may be cut short'],
    [`${head}\n{"pid":NaN}\n`, ':2: no JSON: '],
    [`${head}\n{"pid":1,"pid":2}\n`, ':2: the key "pid" stands there twice'],
    [`${head}\n{"pid":1,"p\\u0069d":2}\n`, ':2: the key "pid" stands there twice'],
    [`${head}\n${'['.repeat(100_000)}\n`, ':2: nested deeper than 32'],
    [Buffer.from(`${head}\n{"pid":1,"kind":"\xff"}\n`, 'latin1'), ':2: not UTF-8'],
    [`${head}\n{"pid":1,"kind":"a\u0000b"}\n`, ':2: no JSON: '],
    [`${head}\n{"pid":-1,"kind":"exit"}\n`, ':2: pid: -1 is no whole number from 0 to 4294967295'],
    [`${head}\n{"pid":1.5,"kind":"exit"}\n`, ':2: pid: 1.5 is no whole number'],
    [`${head}\n{"pid":"1","kind":"exit"}\n`, ':2: pid: "1" is no whole number'],
    [`${head}\n{"pid":1,"kind":"jump"}\n`, ':2: kind: "jump" is no kind of event'],
    [`${head}\n{"pid":1,"kind":"exit\u007f\u0085"}\n`, ':2: kind: "exit\\u007f\\u0085" is no kind of event'],
    [`${head}\n{"pid":1,"kind":"exit","rett":1}\n`, ':2: an event has no "rett"'],
    [`${head}\n{"pid":1,"kind":"exit","errno":"EFOO"}\n`, ':2: errno: "EFOO" is the name of no error'],
    [`${head}\n{"seq":5,"pid":1,"kind":"exit"}\n{"seq":5,"pid":1,"kind":"exit"}\n`, ':3: seq: 5 is no whole number from 6'],
    [`${head}\n{${map},"call":"IOMMU_DESTROY"}\n`, ':2: call: "IOMMU_DESTROY" is not what the line is of, "IOMMU_IOAS_MAP"'],
    [`${head}\n{${map},"args":{"iovaa":1},"parts":[{"kind":1}]}\n`, ':2: args: iommu_ioas_map has no field "iovaa"'],
    [
      `${head}\n{${map},"args":{"ioas_id":"0x100000000"},"parts":[{"kind":1}]}\n`,
      ':2: args.ioas_id: "0x100000000" is no number of 32 bits',
    ],
    [
      `${head}\n{${map},"args":{"flags":["FIXED"]},"parts":[{"kind":1}]}\n`,
      ':2: args.flags: iommufd_ioas_map_flags of linux-7.2 has no "FIXED"',
    ],
    [
      `${head}\n{${map},"args":{"size":4294967295},"parts":[{"kind":1}]}\n`,
      ':2: args.size: 4294967295 is no whole number from 0 to 67108864',
    ],
    [`${head}\n{${map},"args":{"iova":1}}\n`, ':2: "args": no part of the event is made of it'],
    [`${head}\n{${map},"parts":[{"kind":1}]}\n`, ':2: parts[0]: no field says what is in it'],
    [`${head}\n{${map},"parts":[{"kind":1,"bytes":"0g"}]}\n`, ':2: parts[0].bytes: "0g" is no row of bytes'],
    [`${head}\n{"frame":"00"}\n`, ':2: frame: 1 bytes are no frame'],
    [`${head}\n{"pid":1,"kind":"exit"}\n{"mark":"a","seq":1}\n`, ':3: a mark stands before the first event'],
    [`${head}\n{"__proto__":{"kind":"exit"},"pid":1}\n`, ':2: an event has no "__proto__"'],
    [`${head}\n{"pid":1,"kind":"open","args":{"path":"\\ud800"},"parts":[{"kind":6}]}\n`, ':2: args.path: "\\ud800" is no text'],
  ])('%#: refused in one line, and nothing is left', async (text, message) => {
    const [input, output] = [fresh('.jsonl'), fresh('.irr')];
    writeFileSync(input, text);
    const before = readdirSync(folder);
    const error = await importJsonl({ input, output, force: false }).then(
      () => new Error('taken'),
      (e: Error) => e,
    );
    const pattern = message.split('.*').map((piece) => piece.replace(/[[\]().{}+?^$|\\]/g, '\\$&'));
    expect(error.message.replace(input, '')).toMatch(new RegExp(`^(: )?${pattern.join('.*')}`));
    expect(error.message).not.toContain('\n');
    expect(readdirSync(folder)).toEqual(before);
  });

  test('any line that somebody broke is taken, or refused by its number, and nothing is left', async () => {
    const lines = script().slice(0, 60);
    sweep();
    const edit = fc.oneof(
      fc.record({ at: fc.nat(3000), put: fc.string({ unit: 'binary', maxLength: 4 }), take: fc.nat(6) }),
      fc.record({ at: fc.nat(3000), put: fc.constantFrom('[', '{', '"', '0x', 'null', '-1', '1e99', ',"parts":[]'), take: fc.nat(2) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: lines.length - 1 }), edit, async (i, { at, put, take }) => {
        const line = lines[i]!;
        const place = at % line.length;
        const [input, output] = [fresh('.jsonl'), fresh('.irr')];
        writeFileSync(
          input,
          lines.map((l, n) => (n === i ? line.slice(0, place) + put.replaceAll('\n', ' ') + line.slice(place + take) : l)).join('\n'),
        );
        const error = await importJsonl({ input, output, force: false }).then(
          () => undefined,
          (e: Error) => e,
        );
        const left = readdirSync(folder).filter((name) => join(folder, name) !== input);
        sweep();
        if (error === undefined) expect(left).toHaveLength(1);
        else {
          expect(left).toEqual([]);
          expect(error).toBeInstanceOf(IrrError);
          expect(error.message.replace(input, '')).toMatch(/^:(\d+): \P{Cc}+$/u);
          // a call that never was may be named by a later line
          expect(Number(/^:(\d+)/.exec(error.message.replace(input, ''))![1])).toBeGreaterThanOrEqual(i + 1);
        }
      }),
      { numRuns: RUNS },
    );
  }, 900_000);

  test('packed', async () => {
    const text = script().join('\n');
    const plain = await traceOf(text);
    expect(contents(await traceOf(gzipSync(text)))).toEqual(contents(plain));
    await expect(traceOf(gzipSync(text).subarray(0, -20))).rejects.toThrow(/its gzip is damaged or cut short/);
  });
});
