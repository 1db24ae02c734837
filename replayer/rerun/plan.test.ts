/** Holds the plan's C header and its TypeScript together, and what the issuing program makes of plans that are not right. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TraceReader } from '../../store/read.ts';
import { drained } from '../diff/align/align.ts';
import { tableOf } from '../fold.ts';
import { programOf } from '../program/program-of.ts';
import { compilePlan } from './compile.ts';
import * as layout from './plan.ts';
import { crc32, encodePlan, PLAN_AT, PLAN_HEADER, PLAN_RECORDS, type Plan, type PlanRecordName } from './plan.ts';
import { Rows, rowBytes } from './rows.ts';

const repository = resolve(import.meta.dirname, '../..');
const source = join(repository, 'recorder/rerun');
const header = readFileSync(join(source, 'irr_plan.h'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
const folder = mkdtempSync(join(tmpdir(), 'irr-plan-'));
afterAll(() => rmSync(folder, { recursive: true }));

const compiler = spawnSync('cc', ['--version']).status === 0;

function enumerators(name: string): Record<string, number> {
  let next = 0;
  const found: Record<string, number> = {};
  for (const item of new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)![1]!.split(',')) {
    const [key, value] = item.split('=').map((x) => x.trim());
    if (key === undefined || key === '') continue;
    next = value === undefined ? next : Number(value);
    found[key] = next++;
  }
  return found;
}

/** The constants of an object as the header calls them. */
const named = (prefix: string, numbers: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(numbers).map(([key, n]) => [`${prefix}${key.toUpperCase()}`, n]));

describe('the header says what plan.ts says', () => {
  test.each([
    ['irr_plan_table', { ...named('IRR_PLAN_', layout.PlanTable), IRR_PLAN_TABLES: layout.PLAN_TABLES }],
    ['irr_plan_flag', named('IRR_PLAN_', layout.PlanFlag)],
    ['irr_plan_sort', named('IRR_SORT_', layout.PlanSort)],
    ['irr_plan_file', named('IRR_MADE_', layout.PlanFile)],
    ['irr_plan_backing', named('IRR_BACKING_', layout.PlanBacking)],
    ['irr_plan_region_flag', named('IRR_REGION_', layout.PlanRegionFlag)],
    ['irr_plan_place', named('IRR_IN_', layout.PlanPlace)],
    ['irr_plan_how', named('IRR_MEMORY_', layout.PlanHow)],
    ['irr_plan_use_flag', named('IRR_USE_', layout.PlanUseFlag)],
  ])('enum %s', (name, numbers) => {
    expect(enumerators(name)).toEqual(numbers);
  });

  test('version and magic', () => {
    expect(header).toContain(`#define IRR_PLAN_MAGIC "${layout.PLAN_MAGIC}"`);
    expect(header).toContain(`#define IRR_PLAN_VERSION ${layout.PLAN_VERSION}u`);
  });

  test.skipIf(!compiler)('records: every field, its place and its width', () => {
    const rows: string[] = [];
    const expected: Record<string, string> = { header: String(PLAN_HEADER) };
    const snake = (field: string): string => field.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    for (const name of Object.keys(PLAN_RECORDS) as PlanRecordName[]) {
      let at = 0;
      for (const [field, type] of Object.entries(PLAN_RECORDS[name])) {
        const width = Number(type.slice(1)) / 8;
        expected[`${name}.${field}`] = `${at} ${width}`;
        at += width;
        const member = `struct irr_plan_${name}, ${snake(field)}`;
        rows.push(`R("${name}.${field}", offsetof(${member}), sizeof(((struct irr_plan_${name} *)0)->${snake(field)}))`);
      }
      expected[name] = `${rowBytes(PLAN_RECORDS[name])}`;
      rows.push(`S("${name}", sizeof(struct irr_plan_${name}))`);
    }
    for (const [field, at] of Object.entries(PLAN_AT)) {
      expected[`plan.${field}`] = String(at);
      rows.push(`S("plan.${field}", offsetof(struct irr_plan, ${field}))`);
    }
    rows.push('S("header", sizeof(struct irr_plan))');
    const program = `#include <stddef.h>\n#include <stdio.h>\n#include "irr_plan.h"\n#define R(n, a, w) printf("%s: %zu %zu\\n", n, a, w);\n#define S(n, a) printf("%s: %zu\\n", n, a);\nint main(void)\n{\n${rows.join('\n')}\n}\n`;
    writeFileSync(join(folder, 'layout.c'), program);
    execFileSync('cc', ['-std=gnu11', '-Wall', '-Werror', '-I', source, '-o', join(folder, 'layout'), join(folder, 'layout.c')]);
    const lines = execFileSync(join(folder, 'layout'), { encoding: 'utf8' }).trim().split('\n');
    expect(Object.fromEntries(lines.map((line) => line.split(': ')))).toEqual(expected);
  });

  test('the checksum is that of zlib', () => {
    for (const crc of [crc32, layout.ownCrc32]) expect(crc(Buffer.from('123456789'))).toBe(0xcbf43926);
  });
});

describe.skipIf(!compiler)('plans that are not right', () => {
  const binary = join(folder, 'irr-rerun');
  const traces = ['vmm-7.2', 'vfio-7.2', 'selftest-viommu-7.2'];
  const plans: Plan[] = [];
  beforeAll(() => {
    execFileSync('make', ['-s', '-C', source, `OUT=${folder}`]);
    for (const trace of traces) {
      const reader = TraceReader.open(join(repository, 'fixtures/traces', `${trace}.irr`));
      plans.push(compilePlan(drained(programOf(reader, tableOf(reader.meta)))).plan);
      reader.close();
    }
  }, 60_000);

  function checked(bytes: Buffer): { status: number | null; stdout: string; stderr: string } {
    const path = join(folder, 'a.plan');
    writeFileSync(path, bytes);
    return spawnSync(binary, ['--check', path], { encoding: 'utf8', timeout: 20_000 });
  }

  /** The checksum is made right again: what is looked at is the rest. */
  function mended(bytes: Buffer): Buffer {
    bytes.writeUInt32LE(crc32(bytes.subarray(PLAN_HEADER)), PLAN_AT.checksum);
    return bytes;
  }

  test('those of recordings are', () => {
    for (const plan of plans) {
      const { status, stdout, stderr } = checked(encodePlan(plan));
      expect([status, stderr]).toEqual([0, '']);
      expect(stdout).toContain(`${plan.steps.length} steps, ${plan.processes.length} processes, recorded on Linux 7.2`);
    }
  });

  test.each<[string, (b: Buffer) => Buffer, RegExp]>([
    ['empty', () => Buffer.alloc(0), /is no plan/],
    ['something else', () => Buffer.alloc(4096, 7), /is no plan/],
    ['cut short', (b) => b.subarray(0, b.length - 8), /bytes and ought to have/],
    ['one bit', (b) => Buffer.concat([b.subarray(0, -1), Buffer.of(b.at(-1)! ^ 1)]), /is damaged: its checksum is another/],
    [
      'another version',
      (b) => Buffer.concat([b.subarray(0, PLAN_AT.version), Buffer.of(99), b.subarray(PLAN_AT.version + 1)]),
      /is a plan of version 99; this program knows 1/,
    ],
  ])('%s', (_, change, said) => {
    const { status, stderr } = checked(change(encodePlan(plans[0]!)));
    expect(status).toBe(2);
    expect(stderr).toMatch(said);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  const first = (kind: number): number => [...plans[0]!.steps].findIndex((s) => s.kind === kind);
  const withStep = (index: number, change: object): Plan => ({ ...plans[0]!, steps: plans[0]!.steps.with(index, change) });
  const withText = (path: string): Plan => {
    const plan = plans[0]!;
    const step = plan.steps.at(first(2))!;
    const parts = [...plan.parts].map((p, i) =>
      i >= step.part && i < step.part + step.parts && p.kind === 6 ? { ...p, data: BigInt(plan.data.length), bytes: path.length } : p,
    );
    return { ...plan, parts: Rows.of(PLAN_RECORDS.part, parts), data: Buffer.concat([plan.data, Buffer.from(path)]) };
  };

  test.each<[string, () => Plan, RegExp]>([
    ['a file of somebody', () => withText('/etc/passwd'), /\(event 2, open\): it opens something other than iommufd and VFIO/],
    ['a file beside it', () => withText('/dev/iommu2'), /it opens something other/],
    ['a name that acts on a terminal', () => withText('/dev/vfio/\x1b[2J'), /it opens something other/],
    ['a way out of /dev', () => withText('/dev/vfio/../../etc/passwd'), /it opens something other/],
    ['an ioctl of a terminal', () => withStep(first(1), { request: 0x5412 }), /an ioctl of neither iommufd nor VFIO/],
    ['a queue', () => withStep(first(1), { kind: 20 }), /a call that is not issued/],
    ['an unknown kind', () => withStep(first(1), { kind: 200 }), /a call that is not issued/],
    ['a step of nobody', () => withStep(3, { process: 9 }), /step 3: nobody makes it/],
    ['parts out of the table', () => withStep(3, { part: 0xffff_fff0, parts: 0x20 }), /step 3: what it refers to is not there/],
    ['a child before its fork', () => withStep(3, { process: 1 }), /step 3: its process is not there yet/],
    ['a fork of another', () => withStep(first(10), { peer: 2 }), /is not its fork/],
    [
      'overlaps itself',
      () => ({ ...withStep(3, { overlap: 0, overlaps: 1 }), overlaps: [3] }),
      /step 3: it overlaps one that is not there/,
    ],
  ])('%s', (_, plan, said) => {
    const { status, stderr } = checked(encodePlan(plan()));
    expect(status).toBe(2);
    expect(stderr).toMatch(said);
  });

  test('any bytes that are others: refused in one line, or as good as before; never a crash', () => {
    const places = fc.array(fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.nat(plans.length - 1), places, (which, changes) => {
        const bytes = encodePlan(plans[which]!);
        for (const { at, value } of changes) bytes[8 + (at % (bytes.length - 8))] = value;
        const { status, stdout, stderr } = checked(mended(bytes));
        expect([0, 2]).toContain(status);
        expect((stdout + stderr).trim().split('\n')).toHaveLength(1);
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});
