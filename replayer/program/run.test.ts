import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameCursor, Kind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { drained } from '../diff/align/align.ts';
import { compareForCauses } from '../diff/kept.ts';
import { causesText } from '../diff/testing.ts';
import { foldInto, tableOf } from '../fold.ts';
import { machineOf } from '../recorded-machine.ts';
import { framesSource } from '../script.ts';
import { emptyState } from '../state.ts';
import type { Program } from './program.ts';
import { type ProgramSource, programOf } from './program-of.ts';
import { type ModelRun, type ModelRunOptions, runOnModel } from './run.ts';

const folder = new URL('../../fixtures/traces/', import.meta.url).pathname;
const traces = readdirSync(folder).filter((f) => f.endsWith('.irr'));

const open = (name: string): TraceReader => TraceReader.open(folder + name);
const programIn = (source: ProgramSource): Program => drained(programOf(source, tableOf(source.meta)));

function causes(reader: TraceReader, run: ModelRun, options: ModelRunOptions = {}): string[] {
  const source = framesSource(run.frames, options.dialect ?? reader.meta.dialect);
  const sides = [
    { source: reader, table: tableOf(reader.meta) },
    { source, table: tableOf(source.meta) },
  ] as const;
  return causesText(drained(compareForCauses(...sides)).report);
}

for (const name of traces) {
  test(`${name}: the model answers as the kernel did`, () => {
    const reader = open(name);
    const run = runOnModel(programIn(reader), { machine: machineOf(reader.meta) });
    expect(run.report.disagreements).toEqual([]);
    expect(run.frames.length).toBe(reader.last);
    expect(causes(reader, run)).toEqual([]);
    reader.close();
  });
}

describe('what is taken from the recording', () => {
  test('of the selftest nothing', () => {
    const reader = open('selftest-viommu-7.2.irr');
    expect(runOnModel(programIn(reader)).taken).toEqual([]);
    reader.close();
  });
  test('of hardware what it is', () => {
    const reader = open('vfio-7.2.irr');
    const { taken } = runOnModel(programIn(reader));
    expect(new Set(taken.map((t) => t.reason))).toContain('driver-private');
    expect(taken.length).toBeGreaterThan(0);
    reader.close();
  });
});

test('another kernel answers by its own rules', () => {
  const reader = open('vmm-7.2.irr');
  const found = causes(reader, runOnModel(programIn(reader), { dialect: 'linux-6.12' }), { dialect: 'linux-6.12' });
  expect(found.filter((c) => !c.startsWith(' '))).toMatchInlineSnapshot(`
    [
      "errno 3/3 IOMMU_VIOMMU_ALLOC (ioctls)",
      "errno 24/24 IOMMU_IOAS_CHANGE_PROCESS (ioctls)",
      "errno 25/25 IOMMU_IOAS_MAP_FILE (ioctls)",
      "errno 26/26 IOMMU_IOAS_MAP_FILE (ioctls)",
      "output 29/29 IOMMU_GET_HW_INFO (GET_HW_INFO capabilities)",
      "errno 63/63 IOMMU_VIOMMU_ALLOC (ioctls)",
      "errno 64/64 IOMMU_VIOMMU_ALLOC (ioctls)",
      "errno 65/65 IOMMU_VIOMMU_ALLOC (ioctls)",
      "errno 80/80 IOMMU_TEST_CMD DEV_CHECK_CACHE (selftest operations)",
      "errno 89/88 IOMMU_TEST_CMD TRIGGER_VEVENT (selftest operations)",
      "errno 90/89 IOMMU_TEST_CMD TRIGGER_VEVENT (selftest operations)",
      "errno 91/90 IOMMU_TEST_CMD TRIGGER_VEVENT (selftest operations)",
      "errno 93/92 IOMMU_TEST_CMD TRIGGER_VEVENT (selftest operations)",
      "errno 106/105 IOMMU_IOAS_UNMAP (?)",
      "errno 110/109 IOMMU_TEST_CMD MOCK_DOMAIN_FLAGS (selftest device flags)",
    ]
  `);
  reader.close();
});

/** Some of the steps of a trace, in their order. */
const subsets = (program: Program): fc.Arbitrary<number[]> =>
  fc
    .array(fc.boolean(), { minLength: program.steps.length, maxLength: program.steps.length })
    .map((keep) => keep.flatMap((k, i) => (k ? [i] : [])));

for (const name of ['vmm-7.2.irr', 'selftest-viommu-7.2.irr', 'pci-7.2.irr']) {
  const reader = open(name);
  const program = programIn(reader);
  const table = tableOf(reader.meta);
  reader.close();

  test(`${name}: any part of it runs, by the rules, and gives a session that runs again as it did`, () => {
    fc.assert(
      fc.property(subsets(program), (steps) => {
        const run = runOnModel(program, { steps });
        expect(run.report.disagreements).toEqual([]);
        const source = framesSource(run.frames, program.dialect);
        foldInto(emptyState(), source, table);
        const again = runOnModel(drained(programOf(source, table)));
        const text = (frame: Buffer, i: number): string => `${steps[run.stepOf[i]!] ?? '-'} ${frame.toString('hex')}`;
        expect(again.frames.map(text)).toEqual(run.frames.map(text));
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });
}

test('a step whose maker is left out names nothing', () => {
  const reader = open('vmm-7.2.irr');
  const program = programIn(reader);
  const makers = new Set(program.symbols.filter((s) => s.sort === 'object' && s.type === 'IOAS').map((s) => s.step));
  const steps = program.steps.flatMap((_, i) => (makers.has(i) ? [] : [i]));
  const run = runOnModel(program, { steps });
  const cursor = new FrameCursor();
  const map = program.steps.findIndex((s) => s.kind === Kind.IOCTL && s.request === 0x3b85 && s.error === 0);
  expect(cursor.at(run.frames[run.stepOf.indexOf(map)]!, 0).error).toBe(2);
  reader.close();
});
