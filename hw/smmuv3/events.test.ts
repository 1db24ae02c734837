import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesOf, greatest, wordsOf } from '../bits.ts';
import { decodeEvent, EVENTS, encodeEvent, eventByName, eventText } from './events.ts';

test('kinds that a vEVENTQ gets', () => {
  expect(EVENTS.filter((e) => e.vevent).map((e) => e.id)).toEqual([0x04, 0x06, 0x08, 0x0a, 0x10, 0x11, 0x12, 0x13]);
});

describe('fields', () => {
  test.each([
    ['F_TRANSLATION', 'SSV', [0x800n, 0n, 0n, 0n]],
    ['F_TRANSLATION', 'SSID', [0xffff_f000n, 0n, 0n, 0n]],
    ['C_BAD_CD', 'SID', [0xffff_ffff_0000_0000n, 0n, 0n, 0n]],
    ['F_TRANSLATION', 'STAG', [0n, 0xffffn, 0n, 0n]],
    ['F_TRANSLATION', 'STALL', [0n, 0x8000_0000n, 0n, 0n]],
    ['F_TRANSLATION', 'PnU', [0n, 1n << 33n, 0n, 0n]],
    ['F_TRANSLATION', 'InD', [0n, 1n << 34n, 0n, 0n]],
    ['F_TRANSLATION', 'RnW', [0n, 1n << 35n, 0n, 0n]],
    ['F_TRANSLATION', 'S2', [0n, 1n << 39n, 0n, 0n]],
    ['F_TRANSLATION', 'CLASS', [0n, 3n << 40n, 0n, 0n]],
    ['F_TRANSLATION', 'TT_READ', [0n, 1n << 44n, 0n, 0n]],
    ['F_TRANSLATION', 'ADDR', [0n, 0n, 2n ** 64n - 1n, 0n]],
    ['F_TRANSLATION', 'IPA', [0n, 0n, 0n, 0x000f_ffff_ffff_f000n]],
    ['F_STE_FETCH', 'FETCH', [0n, 0n, 0n, 0x000f_ffff_ffff_fff8n]],
  ])('%s.%s', (name, key, words) => {
    const row = eventByName(name)!;
    const value = greatest(row.fields.find((f) => f.name === key)!);
    const [w0, ...more] = wordsOf(encodeEvent(name, { [key]: value }));
    expect([w0! & ~0xffn, ...more]).toEqual(words);
    expect(decodeEvent(encodeEvent(name, { [key]: value })).values[key]).toBe(value);
  });
});

describe('text', () => {
  test.each([
    ['C_BAD_CD', { SID: 8 }, 'C_BAD_CD sid 0x8'],
    ['F_TRANSLATION', { SID: 8, RnW: 1, CLASS: 2, ADDR: 0x1000 }, 'F_TRANSLATION sid 0x8 RnW class IN addr 0x1000'],
    ['F_TRANSLATION', { SID: 8, SSV: 1, SSID: 0, STALL: 1, STAG: 9 }, 'F_TRANSLATION sid 0x8 ssid 0 stag 9 stall class CD addr 0'],
    ['C_BAD_SUBSTREAMID', { SSID: 7 }, 'C_BAD_SUBSTREAMID sid 0 (ssid 0x7)'],
    ['F_VMS_FETCH', { FETCH: 0x40 }, 'F_VMS_FETCH sid 0 fetch 0x40'],
  ])('%s %o', (name, values, text) => expect(eventText(decodeEvent(encodeEvent(name, values as Record<string, number>)))).toBe(text));
  test('a kind that nobody knows', () =>
    expect(eventText(decodeEvent(bytesOf([0x8_0000_00een, 1n, 2n, 3n])))).toBe('?0xee 0x8000000ee 0x1 0x2 0x3'));
  test('bits that nobody knows', () =>
    expect(eventText(decodeEvent(bytesOf([0x104n, 1n, 0n, 0n])))).toBe('C_BAD_STE sid 0 ?word0 0x100 ?word1 0x1'));
  test('a record that is cut, and one with more behind it', () => {
    expect(eventText(decodeEvent(new Uint8Array([0x10, 0])))).toBe('bytes:1000');
    expect(eventText(decodeEvent(new Uint8Array([...encodeEvent('C_BAD_STE'), 0xff])))).toBe('C_BAD_STE sid 0 bytes:ff');
  });
});

test('every record is its fields and what is not known', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.constantFrom(...EVENTS), fc.boolean(), (bytes, row, known) => {
      if (known) bytes[0] = row.id;
      const e = decodeEvent(bytes);
      expect(eventText(e)).not.toBe('');
      if (e.row === undefined) return;
      const again = wordsOf(encodeEvent(e.row.name, e.values)).map((w, i) => w | e.unknown[i]!);
      expect(bytesOf(again)).toEqual(bytes);
    }),
  );
});
