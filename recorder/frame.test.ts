/** Holds the C headers of the shim and the TypeScript that reads what it writes together, name by name, both ways. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import * as frame from '../store/frame.ts';
import { LAYOUT, SPOOL_AT, SPOOL_FIELD } from './spool-layout.ts';

const shim = resolve(import.meta.dirname, 'shim');
const header = (name: string): string => readFileSync(join(shim, name), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
const text = header('irr_frame.h') + header('irr_spool.h');

/** Names of the constants of an enum of the headers. */
function enumerators(name: string): string[] {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(text)?.[1];
  if (body === undefined) throw new Error(`no enum ${name}`);
  return body
    .split(',')
    .map((x) => x.split('=')[0]!.trim())
    .filter((x) => x !== '');
}

/** Names of the fields of a struct of the headers. */
function members(name: string): string[] {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(text)?.[1];
  if (body === undefined) throw new Error(`no struct ${name}`);
  return body
    .split(';')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .flatMap((line) =>
      line
        .replace(/_Alignas\(\d+\)/, '')
        .replace(/^\s*(_Atomic\s+)?\w+/, '')
        .split(',')
        .map((x) => x.replace(/\[.*/, '').trim()),
    );
}

const ENUMS = [...text.matchAll(/enum (irr_\w+) \{/g)].map((m) => m[1]!);
const STRUCTS = [...text.matchAll(/struct (irr_\w+) \{/g)].map((m) => m[1]!);
const DEFINES = [...text.matchAll(/^#define (IRR_\w+) ./gm)].map((m) => m[1]!);

/** What the compiler makes of it all; numbers as decimal text, for there are 64-bit ones. */
function compile(): Record<string, string> {
  const row = (key: string, value: string): string => `\tprintf("\\"%s\\": \\"%llu\\",\\n", "${key}", (unsigned long long)(${value}));`;
  const rows = [
    ...ENUMS.flatMap(enumerators).map((name) => row(name, name)),
    ...DEFINES.filter((name) => name !== 'IRR_SPOOL_MAGIC').map((name) => row(name, name)),
    ...STRUCTS.flatMap((s) => [row(s, `sizeof(struct ${s})`), ...members(s).map((m) => row(`${s}.${m}`, `offsetof(struct ${s}, ${m})`))]),
  ];
  const folder = mkdtempSync(join(tmpdir(), 'irr-frame-'));
  const source = `#include <stdio.h>\n#include "irr_frame.h"\n#include "irr_spool.h"\nint main(void)\n{\n\tputs("{");\n${rows.join('\n')}\n\tprintf("\\"IRR_SPOOL_MAGIC\\": \\"%s\\"}\\n", IRR_SPOOL_MAGIC);\n}\n`;
  try {
    writeFileSync(join(folder, 'layout.c'), source);
    execFileSync('cc', ['-std=gnu11', '-Wall', '-Werror', '-I', shim, '-o', join(folder, 'layout'), join(folder, 'layout.c')]);
    return JSON.parse(execFileSync(join(folder, 'layout'), { encoding: 'utf8' }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** mark → seq, t_enter → tEnter */
const camel = (name: string): string => name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());

const ENUM_OF = {
  irr_kind: ['IRR_KIND_', frame.Kind],
  irr_state: ['IRR_STATE_', frame.State],
  irr_flag: ['IRR_FLAG_', frame.FrameFlag],
  irr_file: ['IRR_FILE_', frame.FileKind],
  irr_open: ['IRR_OPEN_', frame.Open],
  irr_close: ['IRR_CLOSE_', frame.Close],
  irr_dup: ['IRR_DUP_', frame.Dup],
  irr_rw: ['IRR_RW_', frame.Rw],
  irr_fork: ['IRR_FORK_', frame.Fork],
  irr_start: ['IRR_START_', frame.Start],
  irr_exit: ['IRR_EXIT_', frame.Exit],
  irr_found: ['IRR_FOUND_', frame.Found],
  irr_gap: ['IRR_GAP_', frame.Gap],
  irr_mmio_how: ['IRR_MMIO_', frame.MmioHow],
  irr_mmio_source: ['IRR_MMIO_', frame.MmioSource],
  irr_mmio_flag: ['IRR_MMIO_', frame.MmioFlag],
  irr_queue: ['IRR_QUEUE_', frame.QueueWhy],
  irr_region_kind: ['IRR_REGION_', frame.RegionKind],
  // a spool alone has these two: a reader of traces never meets them
  irr_part_kind: ['IRR_PART_', { UNUSED: LAYOUT.partUnused, ...frame.PartKind }],
  irr_part_flag: ['IRR_PART_', { ...frame.PartFlag, SPILLED: LAYOUT.partSpilled }],
  // three are between the writers
  irr_slot: ['IRR_SLOT_', { ABSENT: 0, FREE: LAYOUT.slotFree, USED: 2, GROWING: 3, KEPT: LAYOUT.slotKept }],
} as const;

const compiler = spawnSync('cc', ['--version']).status === 0;
if (!compiler) console.warn('recorder/frame.test.ts: skipped, there is no C compiler (cc)');

describe.skipIf(!compiler)('the layout in C and in TypeScript', () => {
  let c: Record<string, string> = {};
  beforeAll(() => {
    c = compile();
  });
  const number = (name: string): number => Number(c[name]);

  test('every enum of the headers is compared', () => {
    expect(Object.keys(ENUM_OF).sort()).toEqual([...ENUMS].sort());
    expect(STRUCTS.sort()).toEqual(['irr_frame', 'irr_holder', 'irr_part', 'irr_spool']);
  });

  test.each(Object.entries(ENUM_OF))('enum %s', (name, [prefix, constants]) => {
    const there = Object.fromEntries(enumerators(name).map((x) => [x, number(x)]));
    expect(there).toEqual(Object.fromEntries(Object.entries(constants).map(([key, value]) => [prefix + key, value])));
  });

  test('struct irr_frame', () => {
    const there = Object.fromEntries(members('irr_frame').map((m) => [m === 'mark' ? 'seq' : camel(m), number(`irr_frame.${m}`)]));
    expect(there).toEqual(frame.FRAME_AT);
    expect(number('irr_frame')).toBe(frame.FRAME_HEADER);
  });

  test('struct irr_part', () => {
    const there = Object.fromEntries(members('irr_part').map((m) => [camel(m), number(`irr_part.${m}`)]));
    expect({ ...there, data: number('irr_part') }).toEqual(frame.PART_AT);
    expect(number('irr_part')).toBe(frame.PART_HEADER);
  });

  test('struct irr_spool', () => {
    const names: Record<string, string> = {
      segment_bytes: 'segment',
      realtime_ns: 'realtime',
      monotonic_ns: 'monotonic',
      sysname: 'uname',
    };
    const rest = ['nodename', 'release', 'kversion', 'machine'];
    const there = members('irr_spool').filter((m) => !rest.includes(m));
    expect(Object.fromEntries(there.map((m) => [names[m] ?? camel(m), number(`irr_spool.${m}`)]))).toEqual({ ...SPOOL_FIELD, ...SPOOL_AT });
    rest.forEach((m, i) => {
      expect(number(`irr_spool.${m}`)).toBe(SPOOL_FIELD.uname + 65 * (i + 1));
    });
  });

  test('constants', () => {
    const mark = BigInt(c.IRR_MARK ?? '0');
    expect([Number(mark & 0xffff_ffffn), Number(mark >> 32n)]).toEqual(LAYOUT.mark);
    const others = Object.fromEntries(DEFINES.filter((name) => name !== 'IRR_MARK').map((name) => [name, c[name]]));
    expect(others).toEqual({
      IRR_FLAG_FILE_SHIFT: '8', // store/frame.ts reads the high byte
      IRR_MMIO_SOURCE_SHIFT: String(frame.MMIO_SOURCE_SHIFT),
      IRR_FRAME_VERSION: String(LAYOUT.version),
      IRR_SPOOL_MAGIC: 'IRRSPOOL',
      IRR_SPOOL_VERSION: String(LAYOUT.version),
      IRR_STRIDE: String(LAYOUT.stride),
      IRR_WINDOW: String(LAYOUT.window),
      IRR_SEGMENT_SHIFT: String(Math.log2(LAYOUT.segment)),
      IRR_SEGMENT: String(LAYOUT.segment),
      IRR_SLOTS: String(LAYOUT.slots),
      IRR_STATES: String(LAYOUT.states),
      IRR_DIR: String(LAYOUT.dir),
      IRR_HOLDERS: String(0xa0000), // between the writers
      IRR_HOLDER_MAX: '8192',
      IRR_DATA: String(LAYOUT.data),
    });
  });
});
