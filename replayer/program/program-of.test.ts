import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { encodeFrame, FRAME_AT } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { drained } from '../diff/align/align.ts';
import { compareForCauses } from '../diff/kept.ts';
import { causesText, framesOf as framesIn } from '../diff/testing.ts';
import { tableOf } from '../fold.ts';
import { framesSource } from '../script.ts';
import type { Program, SymbolSort } from './program.ts';
import { type ProgramSource, programOf } from './program-of.ts';
import { framesOf, recordedValues, type Values } from './values.ts';

const folder = new URL('../../fixtures/traces/', import.meta.url).pathname;
const traces = readdirSync(folder).filter((f) => f.endsWith('.irr'));

const programIn = (source: ProgramSource): Program => drained(programOf(source, tableOf(source.meta)));

/** Each sort of symbol by another number. Cookies, pins of accesses, eventfds and regions of VFIO devices are values to the comparison. */
const SHIFTS: Partial<Readonly<Record<SymbolSort, bigint>>> = {
  object: 40n,
  fd: 100n,
  memory: 0x10_0000_0000n,
  mapping: 0x20_0000_0000n,
  process: 5000n,
  iova: 0x100_0000n,
  offset: 0x10_0000n,
};

/** VFIO_DEVICE_SET_IRQS: a test gives it an iommufd for an eventfd */
const SET_IRQS = 0x3b6e;
const VALUES: ReadonlySet<string> = new Set(['EVENTFD', 'device region']);

function shifted(program: Program): Values {
  const values = recordedValues(program);
  const eventfds = new Set<number>();
  for (const step of program.steps)
    for (const u of step.uses) if (step.request === SET_IRQS && u.at !== FRAME_AT.fd) eventfds.add(u.symbol);
  for (const s of program.symbols) if (!VALUES.has(s.type) && !eventfds.has(s.index)) values[s.index]! += SHIFTS[s.sort] ?? 0n;
  return values;
}

for (const name of traces) {
  test(`${name}: recorded values give the recorded bytes`, () => {
    const reader = TraceReader.open(folder + name);
    const original = framesIn(reader).map(encodeFrame);
    const made = framesOf(programIn(reader));
    expect(made.length).toBe(original.length);
    made.forEach((frame, i) => {
      if (!frame.equals(original[i]!))
        expect({ seq: i + 1, hex: frame.toString('hex') }).toEqual({ seq: i + 1, hex: original[i]!.toString('hex') });
    });
    reader.close();
  });
  test(`${name}: other numbers are no difference`, () => {
    const reader = TraceReader.open(folder + name);
    const table = tableOf(reader.meta);
    const program = programIn(reader);
    const source = framesSource(framesOf(program, shifted(program)), reader.meta.dialect);
    const { report } = drained(compareForCauses({ source: reader, table }, { source, table }));
    expect(causesText(report)).toEqual([]);
    reader.close();
  });
}
