import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { headerAsserts } from '../../hw/uapi/emit-asserts.ts';
import { DIALECTS, uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, Kind, makeFrame, PartKind } from '../../store/frame.ts';
import { dialectSession } from '../dialect-sessions.ts';
import { drained } from '../diff/align/align.ts';
import type { Program } from '../program/program.ts';
import { programOf } from '../program/program-of.ts';
import { framesSource } from '../script.ts';
import { plots, session } from '../testing.ts';
import { oddFrames } from '../testing-frames.ts';
import { definitions } from './c-definitions.ts';
import { OWN } from './c-forms.ts';
import { cProgram } from './c-program.ts';
import { commentText, stringLiteral } from './c-text.ts';
import { complaints, hasCompiler, headersOf, otherHeaders, recorded } from './testing.ts';
import { Used } from './used.ts';

const GOLDEN = '../../fixtures/golden/export';
const TRACES = [
  'vmm-7.2',
  'vmm-6.12',
  'selftest-basic-7.2',
  'selftest-pasid-7.2',
  'selftest-viommu-7.2',
  'pci-7.2',
  'vfio-7.2',
  'smmu-7.2-arm64',
];
const inC = (program: Program, name = ''): string => cProgram(program, OWN, name).text;
const programFrom = (frames: readonly Buffer[], dialect: (typeof DIALECTS)[number] = 'linux-7.2'): Program =>
  drained(programOf(framesSource(frames, dialect), uapiTable(dialect)));

test.each(['vfio-7.2', 'vmm-6.12'])('%s', async (name) => {
  await expect(inC(recorded(name), `${name}.irr`)).toMatchFileSnapshot(`${GOLDEN}/${name}.c`);
});

describe.skipIf(!hasCompiler)('compiles without a warning', () => {
  test.each(TRACES)('%s, with the headers of this system', (name) => {
    expect(complaints(inC(recorded(name)), ['-O1', '-c', '-o', '/dev/null'])).toBe('');
  });
  test.skipIf(otherHeaders === undefined).each(TRACES)('%s, with those of UAPI_HEADERS', (name) => {
    expect(complaints(inC(recorded(name)), ['-fsyntax-only', ...headersOf(otherHeaders!)])).toBe('');
  });
  test.each(DIALECTS)('the session of %s', (dialect) => {
    const source = dialectSession(dialect).script.source();
    expect(complaints(inC(drained(programOf(source, uapiTable(dialect)))))).toBe('');
  });
  test('calls that no kernel would have let pass', () => {
    fc.assert(
      fc.property(plots, (plot) => {
        expect(complaints(inC(programFrom(session(plot).frames)))).toBe('');
      }),
      { numRuns: 12 },
    );
  });
});

test.skipIf(!hasCompiler)('what it defines itself is what the headers define', () => {
  for (const header of ['iommufd.h', 'vfio.h'] as const) {
    const table = uapiTable('linux-7.2');
    const used = new Used(table);
    for (const c of table.commands) used.command(c);
    for (const s of table.structs.values()) used.struct(s);
    for (const e of table.enums.values()) for (const name of e.members.keys()) used.constant(e.name, name);
    const own = definitions(used, header).join('\n');
    // the header's own numbering of its commands is nothing that a program names
    const asserts = headerAsserts(table, header)
      .replace(`#include <linux/${header}>`, `#include <linux/types.h>\n${own}`)
      .replace(/^#if LINUX.*$/gm, '#if 1')
      .replace(/^.*IOMMUFD_CMD_.*$/gm, '');
    expect(asserts.split('_Static_assert').length).toBeGreaterThan(300);
    expect(complaints(asserts, ['-fsyntax-only', '-Wno-type-limits'])).toBe('');
  }
});

describe('a trace from a stranger', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .constantFrom('*/ int main(void) { } /*', '"; system("id"); "', '??/\n', '\\', '\n#include "/etc/passwd"', '\u202e\x1b]0;x\x07')
      .map((t) => new TextEncoder().encode(t)),
  );
  test('nothing breaks out of a literal or a comment', () => {
    fc.assert(
      fc.property(bytes, (b) => {
        const literal = stringLiteral(b);
        expect(literal).toMatch(/^"(?:[ !#->@-[\]-~]|\\["\\]|\\[0-3][0-7]{2})*"$/);
        const comment = commentText(Buffer.from(b).toString('utf8'));
        expect(comment).not.toMatch(/\*\/|\/\*|[^ -~]|\\$|\?\?/);
      }),
    );
  });

  test('frames that no recorder writes', () => {
    fc.assert(
      fc.property(oddFrames({ bytes }), (frames) => {
        const program = programFrom(frames);
        const source = inC(program);
        expect(source).not.toMatch(/[^\n\t -~]/);
        if (hasCompiler) expect(complaints(source)).toBe('');
      }),
      { numRuns: 40 },
    );
  });

  test('paths, arguments and names of programs, in a program that compiles', () => {
    fc.assert(
      fc.property(bytes, bytes, (b, name) => {
        const text = (t: Uint8Array, slot = 0) => ({
          kind: PartKind.TEXT,
          flags: 0,
          slot,
          wanted: BigInt(t.length),
          address: 0n,
          bytes: t,
        });
        const words = (...w: bigint[]) => ({
          kind: PartKind.ARGS,
          flags: 0,
          slot: 0,
          wanted: 0n,
          address: 0n,
          bytes: new Uint8Array(new BigUint64Array(w).buffer),
        });
        const call = { pid: 5, tid: 5, fileKind: 1 };
        const frames = [
          makeFrame({
            ...call,
            kind: Kind.OPEN,
            ret: 3n,
            fd: 3,
            file: 1,
            parts: [words(0n, 2n, 0n), text(new TextEncoder().encode('/dev/iommu'))],
          }),
          makeFrame({ ...call, kind: Kind.OPEN, ret: 4n, fd: 4, file: 2, parts: [words(0n, 2n, 0n), text(b)] }),
          makeFrame({ ...call, kind: Kind.EXEC, parts: [text(b)] }),
          makeFrame({ ...call, kind: Kind.IOCTL, fd: 3, file: 1, request: 0x3b80, error: 22, parts: [{ ...text(b), kind: PartKind.IN }] }),
          makeFrame({
            ...call,
            kind: Kind.WRITE,
            fd: 3,
            file: 1,
            request: 1,
            error: 22,
            parts: [words(BigInt(b.length), 0n), { ...text(b), kind: PartKind.IN }],
          }),
        ].map((f, i) => encodeFrame({ ...f, seq: i + 1 }));
        const source = inC(programFrom(frames), Buffer.from(name).toString('latin1'));
        expect(source).not.toMatch(/[^\n\t -~]/);
        expect(source.match(/\bopen\(/g)).toHaveLength(1);
        if (hasCompiler) expect(complaints(source)).toBe('');
      }),
      { numRuns: 25 },
    );
  });
});
