import { describe, expect, test } from 'vitest';
import { errnoName } from '../../hw/errno.ts';
import { uapiTable } from '../../hw/uapi/table.ts';
import { FrameCursor, Kind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { drained } from '../diff/align/align.ts';
import { tableOf } from '../fold.ts';
import { programOf } from '../program/program-of.ts';
import { framesSource, Script } from '../script.ts';
import { why } from '../why.ts';
import { disagreementsIn } from './choose.ts';
import { Judge } from './judge.ts';
import { type Reduction, reduction } from './testing.ts';

const open = (name: string): TraceReader => TraceReader.open(new URL(`../../fixtures/traces/${name}`, import.meta.url).pathname);

/** Calls that failed, each errno of each call once. */
function failures(reader: TraceReader): { readonly seq: number; readonly text: string }[] {
  const found = new Map<string, number>();
  const cursor = new FrameCursor();
  for (const batch of reader.scan(1)) {
    for (let i = 0; i < batch.count; i++) {
      const f = cursor.at(batch.buffer, batch.offsets[i]!);
      const key = `${f.request}/${f.error}`;
      if (f.kind === Kind.IOCTL && f.error !== 0 && !found.has(key)) found.set(key, batch.first + i);
    }
  }
  return [...found.values()].map((seq) => ({ seq, text: `errno == ${errnoName(reader.frame(seq)!.error)}` }));
}

/** Numbers that stand for nothing, by the original's events. */
function strays(r: Reduction): Map<number, number> {
  const { result } = r.found!.attempt;
  return new Map(result.was.map((seq, i) => [seq, result.strays[i]!]));
}

describe.each(['vmm-7.2.irr', 'selftest-viommu-7.2.irr', 'selftest-pasid-7.2.irr', 'pci-7.2.irr'])('%s', (name) => {
  const reader = open(name);
  const table = tableOf(reader.meta);
  const whole = drained(programOf(reader, table));
  test.each(failures(reader))('event $seq, $text', ({ seq, text }) => {
    const r = reduction(reader, seq, text);
    const { attempt } = r.found!;
    const { frames } = attempt.run;
    // it still shows it, by the same rule, and is not longer
    const last = new FrameCursor().at(frames[attempt.at]!, 0);
    expect(errnoName(last.error)).toBe(errnoName(reader.frame(seq)!.error));
    expect(last.request).toBe(reader.frame(seq)!.request);
    expect(frames.length).toBeLessThanOrEqual(seq);
    const source = framesSource(frames, table.dialect);
    expect(why(source, table, attempt.at + 1)?.rule).toBe(why(reader, table, seq)?.rule);
    // it could have been: nothing in it names what the recording's own event did not
    for (const [was, n] of strays(r)) {
      const step = whole.steps.find((s) => s.seq === was)!;
      const before = step.uses.filter(
        (u) => u.ended || ['nothing'].includes(whole.symbols[u.symbol]!.sort) || whole.symbols[u.symbol]!.step < 0,
      );
      expect(n).toBeLessThanOrEqual(before.length);
    }
    // no single event can go
    const judge = new Judge(r.options);
    judge.allowsUnsure = attempt.unsure !== '';
    const { result } = attempt;
    const all = result.program.steps.map((_, i) => i);
    for (const i of all) {
      if (i === result.chosen || result.needs.tells(i)) continue;
      const alone = all.filter((x) => x !== i);
      if (alone.every((x) => result.needs.of(x).every((n) => n !== i))) expect(judge.attempt(result, alone)).toBeUndefined();
    }
  });
});

test('an answer that the rules would not give stays as it was', () => {
  const s = new Script(uapiTable('linux-7.2'), 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 2 });
  s.ioctl(3, 'IOMMU_DESTROY', { id: 1 }, {});
  // nothing holds it
  s.ioctl(3, 'IOMMU_DESTROY', { id: 2 }, {}, { error: 16 });
  const source = { ...s.source(), meta: { dialect: 'linux-7.2', source: 'preload' } };
  const [{ field, rule, seq } = { field: '', rule: '', seq: 0 }] = disagreementsIn(source, s.table, undefined);
  expect(seq).toBe(s.seq);
  const { found } = reduction(source, seq, '', { kept: { what: 'disagrees' }, otherwise: { field, rule }, rule: undefined });
  const { frames } = found!.attempt.run;
  expect(frames.length).toBe(4);
  expect(disagreementsIn(framesSource(frames, 'linux-7.2'), s.table, undefined)).toMatchObject([{ seq: 4, field, rule }]);
});

test('what it finds is the same each time', () => {
  const reader = open('vmm-7.2.irr');
  const [{ seq, text } = { seq: 0, text: '' }] = failures(reader);
  const [a, b] = [reduction(reader, seq, text), reduction(reader, seq, text)];
  expect(a.found!.attempt.run.frames.map((f) => f.toString('hex'))).toEqual(b.found!.attempt.run.frames.map((f) => f.toString('hex')));
});
