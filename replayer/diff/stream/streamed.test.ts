/** The search for causes finds the same in a comparison of streams as in one that is in memory as a whole. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { encodeFrame, type Frame, Kind } from '../../../store/frame.ts';
import { TraceReader } from '../../../store/read.ts';
import { tableOf } from '../../fold.ts';
import { framesSource } from '../../script.ts';
import type { CauseOptions } from '../causes/causes.ts';
import type { Report } from '../causes/report.ts';
import type { Side } from '../compare.ts';
import { renumbered, reportOf, SPACES, type SpaceDraw, spacesPlayed } from '../testing.ts';
import { NearSide } from './side.ts';
import { streamForCauses } from './streamed.ts';

const FOLDER = fileURLToPath(new URL('../../../fixtures/traces/', import.meta.url));
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.irr'));
const table = uapiTable('linux-7.2');
const RUNS = { numRuns: Number(process.env.FC_RUNS ?? 40) };
const SHIFT = { pid: 4000, fd: 20, file: 50, id: 1000, address: 0x7000_0000n, time: 12_345n };

const readers: TraceReader[] = [];
afterAll(() => {
  for (const r of readers) r.close();
});
function fixture(name: string): Side {
  const reader = TraceReader.open(FOLDER + name);
  readers.push(reader);
  return { source: reader, table: tableOf(reader.meta) };
}

/** Blocks that end after few events, so that small sessions have many. */
const SMALL = { sizes: { about: 8, least: 4, most: 16 }, interval: 64 };
const streamed = (a: Side, b: Side, small: boolean, options: CauseOptions = {}): Promise<Report> => {
  const of = (s: Side) => ({ ...s, side: new NearSide(s.source, s.table, small ? SMALL : {}) });
  return streamForCauses(of(a), of(b), options);
};
const text = (report: Report): unknown =>
  JSON.parse(JSON.stringify({ ...report, ignored: [...report.ignored] }, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)));

/** They have nothing in common but that both fork: what a thing is used for in another thread tells compare.ts which call is which. */
const OTHERWISE: ReadonlySet<string> = new Set(['pci-6.12.irr vmm-7.2.irr', 'pci-7.2.irr vmm-7.2.irr']);

describe.each(NAMES)('%s', (name) => {
  test('and all other recordings', async () => {
    const a = fixture(name);
    for (const other of NAMES) {
      if (OTHERWISE.has(`${name} ${other}`)) continue;
      const b = fixture(other);
      expect([other, text(await streamed(a, b, false))]).toEqual([other, text(reportOf(a, b))]);
    }
  });
});

test('a limit of what the rules are asked about', async () => {
  const [a, b] = [fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr')];
  const report = await streamed(a, b, true, { longest: 2 });
  expect(text(report)).toEqual(text(reportOf(a, b, { longest: 2 })));
  expect(report.limits.length).toBe(2);
});

// sessions: calls about some address spaces

const played = (draws: readonly SpaceDraw[]): Frame[] => spacesPlayed(table, draws, (i) => 0x10_0000 * (i + 1));
const draws = fc.array(fc.tuple(fc.nat(SPACES - 1), fc.nat(4), fc.nat(6)), { minLength: 2, maxLength: 60 });
const sideOf = (frames: readonly Frame[], shift = false): Side => {
  const numbered = frames.map((f, i) => ({ ...f, seq: i + 1 }));
  return { source: framesSource(shift ? renumbered(numbered, table, SHIFT) : numbered.map(encodeFrame), table.dialect), table };
};

describe('sessions of any calls, with other numbers', () => {
  const edits = fc.array(fc.tuple(fc.constantFrom('less', 'errno', 'exchanged'), fc.nat()), { minLength: 1, maxLength: 4 });

  test('and some calls less, with another errno or elsewhere', async () => {
    await fc.assert(
      fc.asyncProperty(draws, edits, async (d, changes) => {
        const frames = played(d);
        let edited = frames;
        for (const [what, where] of changes) {
          const at = 2 + SPACES + (where % d.length);
          const f = edited[at];
          if (f === undefined || f.kind !== Kind.IOCTL) continue;
          const next = edited[at + 1];
          if (what === 'less') edited = edited.filter((o) => o !== f);
          else if (what === 'errno') edited = edited.map((o) => (o === f ? { ...o, error: o.error === 5 ? 12 : 5 } : o));
          else if (next?.kind === Kind.IOCTL) edited = [...edited.slice(0, at), next, f, ...edited.slice(at + 2)];
        }
        const [a, b] = [sideOf(frames), sideOf(edited, true)];
        expect(text(await streamed(a, b, false))).toEqual(text(reportOf(a, b)));
      }),
      RUNS,
    );
  });
});
