import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RegionKind } from '../../store/frame.ts';
import { MMIOTRACE } from './mmiotrace.ts';
import { frameOf, parse, sayAll, wordOf } from './testing.ts';

const LOG = `VERSION 20070824
PCIDEV 0030 1b360010 b c000000004 0 c001 0 0 0 0 4000 0 40 0 0 0 0 vfio-pci
PCIDEV 00f8 80862918 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 
MARK 3.000001 it begins
MAP 8.277033 1 0xc000002000 0xffa0000000244000 0x1000 0x0 0
R 8 8.328558 1 0xc000002000 0xff08200f0107ff01 0x0 0
W 4 8.349350 1 0xc000002008 0xfee002b8 0xffffffff81234567 42
UNKNOWN 8.349351 1 0xc00000200c 0f,c7,08 0xffffffff81234568 0
MARK 0.000000 Lost 17 events.
UNMAP 8.373062 1 0x0 0
`;

describe('mmiotrace', () => {
  test('every kind of line', () => {
    const { events, foreign, lost } = parse(MMIOTRACE, LOG);
    expect(sayAll(events)).toEqual([
      '3000001000 region 1 0xc000000000+0x4000@0x0 PCI 00:06.0 BAR 0 (1b36:0010 vfio-pci)',
      '3000001000 note it begins',
      '8277033000 region 1 0xc000002000+0x1000@0xffa0000000244000 PCI 00:06.0 BAR 0 (1b36:0010 vfio-pci)',
      '8328558000 R 8 0xc000002000 = 0xff08200f0107ff01',
      '8349350000 W 4 0xc000002008 = 0xfee002b8',
      '8349351000 B 0 0xc00000200c = ?',
      '8373062000 region 1 0xc000002000+0x1000@0x0 PCI 00:06.0 BAR 0 (1b36:0010 vfio-pci)',
    ]);
    expect(foreign).toEqual({});
    expect(lost).toEqual([{ events: 17, words: expect.stringContaining('mmiotrace'), time: 8349351000n }]);
    const store = frameOf(events[4]!);
    expect([store.tid, wordOf(store, 3)]).toEqual([42, 0xffffffff81234567n]);
  });

  test('a loss that is told twice is one (lines of a kernel whose buffer was too small)', () => {
    const head = 'VERSION 20070824\nMARK 0.000000 Lost 92 events.\nPCIDEV 00f8 80862918 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 \n';
    const rest = 'CPU:0 [LOST 92 EVENTS]\nUNMAP 9.752703 1 0x0 0\nR 4 10.269424 3 0xc000000008 0x10400 0x0 0\n';
    expect(parse(MMIOTRACE, head + rest).lost).toEqual([{ events: 92, words: 'lost on CPU 0', time: undefined }]);
    const more = `${rest}MARK 0.000000 Lost 10 events.\nCPU:0 [LOST 7 EVENTS]\nR 4 11.000000 3 0xc000000008 0x10400 0x0 0\n`;
    expect(parse(MMIOTRACE, head + more).lost.map(({ events, time }) => [events, time])).toEqual([
      [92, undefined],
      [7, undefined],
      [3, 10269424000n],
    ]);
    const trace = parse(
      MMIOTRACE,
      '# tracer: mmiotrace\n#\n# entries-in-buffer/entries-written: 94/186   #P:1\n#\nUNMAP 9.752703 1 0x0 0\n',
    );
    expect(trace.lost.map((l) => l.events)).toEqual([92]);
  });

  test('lines end in CR LF as well', () => {
    expect(sayAll(parse(MMIOTRACE, LOG.replaceAll('\n', '\r\n')).events)).toEqual(sayAll(parse(MMIOTRACE, LOG).events));
  });

  test('a mapping that shows the CMDQV is told as that', () => {
    const cmdqv = { physical: 0x24200000n, length: 0x830000n, virtual: 0n, kind: RegionKind.CMDQV, name: 'CMDQV' };
    const { events } = parse(MMIOTRACE, 'MAP 1.000000 3 0x24100000 0xffa0000000000000 0x200000 0x0 0\n', { regions: [cmdqv] });
    expect(sayAll(events)).toEqual(['1000000000 region 2 0x24200000+0x100000@0xffa0000000100000 CMDQV']);
  });

  test('what is no line of it is counted, by sort; a line that was cut at the end is not taken', () => {
    const { events, foreign } = parse(
      MMIOTRACE,
      'hello\nR 4 8.1\nW 4 8.000000 1 0xc0 0x1 0x0\n\n# tracer: nop\nUNMAP 9.000000 7 0x0 0\nR 4 8.000000 1 0xc0 0x1 0x0 0',
    );
    expect(events).toEqual([]);
    expect(foreign).toEqual({
      'not mmiotrace': 1,
      'R, not understood': 1,
      'W, not understood': 1,
      'UNMAP of what was mapped before': 1,
      cut: 1,
    });
  });

  test('a log that was cut anywhere, or damaged, gives the events of its whole lines', () => {
    const all = sayAll(parse(MMIOTRACE, LOG).events);
    fc.assert(
      fc.property(fc.nat(LOG.length), (length) => {
        const some = sayAll(parse(MMIOTRACE, LOG.slice(0, length)).events);
        expect(all.slice(0, some.length)).toEqual(some);
      }),
    );
    fc.assert(
      fc.property(fc.nat(LOG.length - 1), fc.uint8Array({ minLength: 1, maxLength: 40 }), (at, bytes) => {
        const text = Buffer.concat([Buffer.from(LOG.slice(0, at)), bytes, Buffer.from(LOG.slice(at))]);
        for (const e of parse(MMIOTRACE, text).events) expect(e.time).toBeGreaterThanOrEqual(0n);
      }),
    );
  });
});
