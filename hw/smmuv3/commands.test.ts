import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesOf, greatest } from '../bits.ts';
import {
  COMMANDS,
  commandBytes,
  commandText,
  decodeCommand,
  decodeCommands,
  decodeWords,
  encodeCommand,
  parseCommand,
} from './commands.ts';

const textOf = (name: string, values: Record<string, number | bigint> = {}): string =>
  commandText(decodeWords(...encodeCommand(name, values)));

describe('opcodes', () => {
  test.each([
    ['PREFETCH_CFG', 0x01],
    ['CFGI_STE', 0x03],
    ['CFGI_ALL', 0x04],
    ['CFGI_CD', 0x05],
    ['CFGI_CD_ALL', 0x06],
    ['TLBI_NH_ALL', 0x10],
    ['TLBI_NH_ASID', 0x11],
    ['TLBI_NH_VA', 0x12],
    ['TLBI_NH_VAA', 0x13],
    ['TLBI_EL2_ALL', 0x20],
    ['TLBI_EL2_ASID', 0x21],
    ['TLBI_EL2_VA', 0x22],
    ['TLBI_S12_VMALL', 0x28],
    ['TLBI_S2_IPA', 0x2a],
    ['TLBI_NSNH_ALL', 0x30],
    ['ATC_INV', 0x40],
    ['PRI_RESP', 0x41],
    ['RESUME', 0x44],
    ['CMD_SYNC', 0x46],
  ])('%s is 0x%s', (name, opcode) => {
    expect(encodeCommand(name)[0]).toBe(BigInt(opcode));
    expect(COMMANDS.filter((c) => c.opcode === opcode).map((c) => c.name)).toEqual([name]);
  });
  test('these are all', () => expect(COMMANDS).toHaveLength(19));
});

/** the two words with all bits of one field set, opcode aside */
describe('fields', () => {
  test.each([
    ['TLBI_NH_VA', 'NUM', 0x1_f000n, 0n],
    ['TLBI_NH_VA', 'SCALE', 0x1f0_0000n, 0n],
    ['TLBI_NH_VA', 'VMID', 0xffff_0000_0000n, 0n],
    ['TLBI_NH_VA', 'ASID', 0xffff_0000_0000_0000n, 0n],
    ['TLBI_NH_VA', 'LEAF', 0n, 1n],
    ['TLBI_NH_VA', 'TTL', 0n, 0x300n],
    ['TLBI_NH_VA', 'TG', 0n, 0xc00n],
    ['TLBI_NH_VA', 'VA', 0n, 0xffff_ffff_ffff_f000n],
    ['TLBI_S2_IPA', 'IPA', 0n, 0x000f_ffff_ffff_f000n],
    ['ATC_INV', 'SSV', 0x800n, 0n],
    ['ATC_INV', 'GLOBAL', 0x200n, 0n],
    ['ATC_INV', 'SSID', 0xffff_f000n, 0n],
    ['ATC_INV', 'SID', 0xffff_ffff_0000_0000n, 0n],
    ['ATC_INV', 'SIZE', 0n, 0x3fn],
    ['ATC_INV', 'ADDR', 0n, 0xffff_ffff_ffff_f000n],
    ['CFGI_STE', 'LEAF', 0n, 1n],
    ['CFGI_ALL', 'RANGE', 0n, 0x1fn],
    ['CFGI_CD', 'SSID', 0xffff_f000n, 0n],
    ['PREFETCH_CFG', 'SIZE', 0n, 0x1fn],
    ['PRI_RESP', 'GRPID', 0n, 0x1ffn],
    ['PRI_RESP', 'RESP', 0n, 0x3000n],
    ['RESUME', 'RESP', 0x3000n, 0n],
    ['RESUME', 'STAG', 0n, 0xffffn],
    ['CMD_SYNC', 'CS', 0x3000n, 0n],
    ['CMD_SYNC', 'MSH', 0xc0_0000n, 0n],
    ['CMD_SYNC', 'MSIATTR', 0xf00_0000n, 0n],
    ['CMD_SYNC', 'MSIDATA', 0xffff_ffff_0000_0000n, 0n],
    ['CMD_SYNC', 'MSIADDR', 0n, 0x000f_ffff_ffff_fffcn],
  ])('%s.%s', (name, key, w0, w1) => {
    const f = COMMANDS.find((c) => c.name === name)!.fields.find((x) => x.name === key)!;
    const opcode = encodeCommand(name)[0];
    expect(encodeCommand(name, { [key]: greatest(f) })).toEqual([opcode | w0, w1]);
    expect(decodeWords(opcode | w0, w1).values[key]).toBe(greatest(f));
    expect(() => encodeCommand(name, { [key]: greatest(f) * 2n + 1n })).toThrow(key);
  });
  test('no two of a command overlap', () => {
    for (const c of COMMANDS) {
      const all = encodeCommand(c.name, Object.fromEntries(c.fields.map((f) => [f.name, greatest(f)])));
      const bits = [...all].map((w) => w.toString(2).replaceAll('0', '').length).reduce((a, b) => a + b);
      const opcode = c.opcode.toString(2).replaceAll('0', '').length;
      expect([c.name, bits - opcode]).toEqual([c.name, c.fields.reduce((n, f) => n + f.bits[0] - f.bits[1] + 1, 0)]);
    }
  });
});

describe('who takes what', () => {
  test('a queue of a guest', () =>
    expect(COMMANDS.filter((c) => c.guestQueue).map((c) => c.name)).toEqual(['TLBI_NH_ASID', 'TLBI_NH_VA', 'ATC_INV', 'CMD_SYNC']));
  test('IOMMU_HWPT_INVALIDATE', () =>
    expect(COMMANDS.filter((c) => c.invalidate !== undefined).map((c) => c.opcode)).toEqual([
      0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40,
    ]));
});

describe('text', () => {
  test.each([
    ['TLBI_NH_VA', { ASID: 3, VA: 0x7f00_0000_0000n, LEAF: 1 }, 'TLBI_NH_VA asid 3 va 0x7f0000000000 leaf'],
    ['TLBI_NH_VA', { ASID: 3, VA: 0x1000n, NUM: 7, SCALE: 2, TG: 1, TTL: 3 }, 'TLBI_NH_VA asid 3 va 0x1000 num 7 scale 2 ttl 3 tg 4K'],
    ['TLBI_NH_ASID', { VMID: 1 }, 'TLBI_NH_ASID vmid 1 asid 0'],
    ['TLBI_NSNH_ALL', {}, 'TLBI_NSNH_ALL'],
    ['ATC_INV', { SID: 0x10, SSID: 5, SSV: 1, SIZE: 52 }, 'ATC_INV ssv sid 0x10 ssid 0x5 size 52'],
    ['ATC_INV', { GLOBAL: 1 }, 'ATC_INV sid 0 global'],
    ['CMD_SYNC', { MSH: 3, MSIATTR: 15 }, 'CMD_SYNC msh ISH msiattr 0xf'],
    ['RESUME', { SID: 8, STAG: 2, RESP: 1 }, 'RESUME sid 0x8 resp RETRY stag 2'],
  ])('%s', (name, values, text) => expect(textOf(name, values as Record<string, number | bigint>)).toBe(text));

  test('an opcode that nobody knows', () => expect(commandText(decodeWords(0x1_0000_0077n, 5n))).toBe('?0x77 0x100000077 0x5'));
  test('bits that nobody knows', () => expect(commandText(decodeWords(0x1_0110n, 2n))).toBe('TLBI_NH_ALL ?word0 0x10100 ?word1 0x2'));
  test('a command that is cut', () => {
    const [whole, cut] = decodeCommands(new Uint8Array([...commandBytes('CFGI_ALL', { RANGE: 31 }), 0x46, 1]));
    expect([whole, cut].map((c) => commandText(c!))).toEqual(['CFGI_ALL range 31', 'bytes:4601']);
  });
  test('bytes behind', () => {
    expect(commandText(decodeCommand(new Uint8Array([...commandBytes('TLBI_EL2_ALL'), 0xab])))).toBe('TLBI_EL2_ALL bytes:ab');
  });
  test.each(['', 'TLBI', 'TLBI_NH_VA asid', 'TLBI_NH_VA asid 65536', 'TLBI_NH_VA colour 3', '?0x77 0x1', 'CMD_SYNC cs LOUD'])(
    '"%s" is no command',
    (text) => {
      expect(parseCommand(text)).toBeUndefined();
    },
  );
});

test('two words, their text and their bytes say the same', () => {
  const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const opcode = fc.oneof(fc.constantFrom(...COMMANDS.map((c) => c.opcode)), fc.nat(255));
  fc.assert(
    fc.property(word, word, opcode, fc.boolean(), (a, w1, op, sparse) => {
      const w0 = ((sparse ? a & 0xffff_0000_0000n : a) & ~0xffn) | BigInt(op);
      const c = decodeCommand(bytesOf([w0, w1]));
      expect(c.words).toEqual([w0, w1]);
      expect(parseCommand(commandText(c))).toEqual([w0, w1]);
      if (c.row === undefined) return;
      const [e0, e1] = encodeCommand(c.row.name, c.values);
      expect([e0 | c.unknown[0], e1 | c.unknown[1]]).toEqual([w0, w1]);
    }),
  );
});

test('any bytes are commands', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const commands = decodeCommands(bytes);
      expect(commands.length).toBe(Math.ceil(bytes.length / 16));
      const again = commands.flatMap((c) => (c.rest.length > 0 ? [...c.rest] : [...bytesOf(c.words)]));
      expect(again).toEqual([...bytes]);
      for (const c of commands) expect(commandText(c)).not.toBe('');
    }),
  );
});
