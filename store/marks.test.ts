import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { TraceWriter } from './append.ts';
import { Marks } from './marks.ts';
import { TraceReader } from './read.ts';
import { TraceSide } from './side.ts';
import { appendSynthetic, TEST_META, writeTrace } from './testing.ts';

const dir = mkdtempSync(join(tmpdir(), 'irr-marks-'));
afterAll(() => rmSync(dir, { recursive: true }));
const whole = writeTrace(join(dir, 'whole.irr'), 30);

let path = '';
let n = 0;
beforeEach(() => {
  path = join(dir, `t${++n}.irr`);
  copyFileSync(whole, path);
});

/** Opens the trace anew, as the next screen would. */
function opened<T>(look: (marks: Marks) => T): T {
  const reader = TraceReader.open(path);
  try {
    return look(new Marks(reader));
  } finally {
    reader.close();
  }
}
const contents = (m: Marks) => ({ marks: m.all, notes: m.notes, trouble: m.trouble });
const beside = (): string => `${path}.marks`;

/** A trace whose recording has not come to its end. */
function recording(): TraceWriter {
  const writer = TraceWriter.create(join(dir, `live${++n}.irr`), TEST_META);
  appendSynthetic(writer, 10);
  writer.flush();
  path = writer.path;
  return writer;
}

describe('in a finished trace', () => {
  test('marks and notes are kept, moved, replaced and taken away; the log is what it was', () => {
    const digest = TraceReader.open(whole).digest;
    opened((m) => {
      m.setMark('b', 20);
      m.setMark('a', 25);
      m.setMark('a', 5);
      m.setNote(7, 'first');
      m.setNote(7, 'here it begins');
      m.setNote(3, 'ü');
      expect([m.place, m.version, m.mark('a'), m.namesAt(20)]).toEqual(['trace', 6, 5, ['b']]);
    });
    expect(opened(contents)).toEqual({
      marks: [
        { name: 'a', seq: 5 },
        { name: 'b', seq: 20 },
      ],
      notes: [
        { seq: 3, text: 'ü' },
        { seq: 7, text: 'here it begins' },
      ],
      trouble: undefined,
    });
    opened((m) => {
      m.setMark('a', undefined);
      m.setNote(7, '');
    });
    expect(opened((m) => [m.all.length, m.notes.length])).toEqual([1, 1]);
    const reader = TraceReader.open(path);
    expect(reader.digest).toBe(digest);
    reader.close();
    expect(existsSync(beside())).toBe(false);
  });

  test('several notes of one event, as another program may have made them, are one', () => {
    const side = TraceSide.open(path);
    side.addNote(4, 'one');
    side.addNote(4, 'two');
    side.close();
    expect(opened((m) => m.note(4))).toBe('one / two');
    opened((m) => m.setNote(4, 'three'));
    expect(opened((m) => m.notes)).toEqual([{ seq: 4, text: 'three' }]);
  });
});

describe('beside a trace', () => {
  test('that is still recorded: nothing is written into it, and nothing waits', () => {
    const writer = recording();
    const side = (): number => TraceSide.open(path, { readonly: true }).marks().length;
    opened((m) => {
      m.setMark('x', 4);
      expect([m.place, m.trouble]).toEqual(['beside', undefined]);
    });
    expect(side()).toBe(0);
    appendSynthetic(writer, 10);
    writer.flush();
    expect(opened((m) => m.mark('x'))).toBe(4);
    writer.finish();
    // finished, the trace takes what is new, and what was beside it is still seen
    opened((m) => m.setMark('y', 5));
    expect(opened((m) => m.all.map((k) => k.name))).toEqual(['x', 'y']);
    expect(side()).toBe(1);
    // and can be taken away there, too
    opened((m) => m.setMark('x', undefined));
    expect(opened((m) => m.all.map((k) => k.name))).toEqual(['y']);
  });

  test.skipIf(process.getuid?.() === 0)('that may not be written, and in memory where nothing may be', () => {
    const folder = join(dir, 'ro');
    mkdirSync(folder, { recursive: true });
    path = join(folder, 'ro.irr');
    copyFileSync(whole, path);
    chmodSync(path, 0o444);
    const before = readFileSync(path);
    opened((m) => m.setNote(3, 'kept'));
    expect(opened((m) => [m.note(3), m.trouble])).toEqual(['kept', undefined]);
    expect(readFileSync(path).equals(before)).toBe(true);
    chmodSync(folder, 0o555);
    opened((m) => {
      m.setMark('a', 2);
      expect([m.place, m.mark('a')]).toEqual(['memory', 2]);
      expect(m.trouble).toMatch(/^\S+ro\.irr\.marks: permission denied; marks and notes last as long as this screen$/);
    });
    chmodSync(folder, 0o755);
    expect(opened((m) => m.mark('a'))).toBeUndefined();
  });

  test('a file that is damaged, foreign, too long or no file is one line, and is left alone', () => {
    recording().flush();
    const ours = (() => {
      opened((m) => m.setMark('a', 3));
      return readFileSync(beside(), 'utf8');
    })();
    const wrong: readonly (readonly [text: string, why: RegExp])[] = [
      [ours.slice(0, -20), /damaged/],
      ['', /damaged/],
      ['[]', /damaged/],
      [ours.replace('"seq": 3', '"seq": -3'), /damaged/],
      [ours.replace(/0x[0-9a-f]+/, '0x1'), /another recording/],
      [ours + ' '.repeat(5 * 2 ** 20), /too long/],
    ];
    for (const [text, why] of wrong) {
      writeFileSync(beside(), text);
      opened((m) => {
        expect(m.trouble).toMatch(why);
        expect(m.trouble).not.toContain('\n');
        expect(m.all).toEqual([]);
        m.setMark('b', 4);
        expect([m.place, m.mark('b')]).toEqual(['memory', 4]);
      });
      expect(readFileSync(beside(), 'utf8')).toBe(text);
    }
    rmSync(beside());
    mkdirSync(beside());
    expect(opened((m) => m.trouble)).toContain('not a regular file');
  });

  test('whatever is in the file, it is read or refused', () => {
    recording().flush();
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        writeFileSync(beside(), text);
        expect(opened((m) => [m.all, m.trouble === undefined])).toEqual([[], false]);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a trace that is no longer there', () => {
  test('another one that has taken its place is not written into, and nothing is put beside it', () => {
    const reader = TraceReader.open(path);
    const marks = new Marks(reader);
    marks.setMark('a', 5);
    rmSync(path);
    copyFileSync(whole, path);
    marks.setMark('b', 7);
    marks.setNote(7, 'lost');
    expect([marks.place, marks.mark('a'), marks.mark('b'), marks.note(7)]).toEqual(['memory', 5, 7, 'lost']);
    reader.close();
    expect(opened(contents)).toEqual({ marks: [], notes: [], trouble: undefined });
    expect(existsSync(beside())).toBe(false);
  });

  test('where there is none, that is said once, and marks last as long as the screen', () => {
    const reader = TraceReader.open(path);
    const marks = new Marks(reader);
    rmSync(path);
    marks.setMark('a', 5);
    expect(marks.trouble).toBe(`${path}: is no longer the trace that was opened; marks and notes last as long as this screen`);
    marks.setMark('b', 6);
    expect([marks.trouble, marks.mark('a'), marks.mark('b'), existsSync(beside())]).toEqual([undefined, 5, 6, false]);
    reader.close();
  });
});
