import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesOf, greatest, wordsOf } from '../bits.ts';
import { decodeSte, encodeSte, GUEST_STE_MASKS, nestedConfig, STE_FIELDS, steText } from './ste.ts';

test('bits that a guest may set', () => expect(GUEST_STE_MASKS).toEqual([0xf80f_ffff_ffff_ffffn, 0x3800_00ffn]));

describe('fields', () => {
  test.each([
    ['V', 0, 1n],
    ['CFG', 0, 0xen],
    ['S1FMT', 0, 0x30n],
    ['S1CTXPTR', 0, 0x000f_ffff_ffff_ffc0n],
    ['S1CDMAX', 0, 0xf800_0000_0000_0000n],
    ['S1DSS', 1, 3n],
    ['S1CIR', 1, 0xcn],
    ['S1COR', 1, 0x30n],
    ['S1CSH', 1, 0xc0n],
    ['MEV', 1, 1n << 19n],
    ['S2FWB', 1, 1n << 25n],
    ['S1STALLD', 1, 1n << 27n],
    ['EATS', 1, 3n << 28n],
    ['STRW', 1, 3n << 30n],
    ['SHCFG', 1, 3n << 44n],
    ['S2VMID', 2, 0xffffn],
    ['VTCR', 2, 0x7_ffff_0000_0000n],
    ['S2AA64', 2, 1n << 51n],
    ['S2ENDI', 2, 1n << 52n],
    ['S2PTW', 2, 1n << 54n],
    ['S2S', 2, 1n << 57n],
    ['S2R', 2, 1n << 58n],
    ['S2TTB', 3, 0x000f_ffff_ffff_fff0n],
  ])('%s', (name, word, bits) => {
    const f = STE_FIELDS.find((x) => x.name === name)!;
    const words = wordsOf(encodeSte({ [name]: greatest(f) }, 64));
    expect(words.findIndex((w) => w !== 0n)).toBe(word);
    expect(words[word]).toBe(bits);
  });
  test('these are all', () => expect(STE_FIELDS).toHaveLength(23));
  test('a guest brings no stage 2', () => expect(() => encodeSte({ S2VMID: 1 })).toThrow('S2VMID'));
});

describe('what a nested HWPT makes of it', () => {
  const of = (values: Record<string, number>): unknown => nestedConfig(decodeSte(encodeSte(values)));
  test.each([
    [{ CFG: 7 }, { config: 'abort', ats: false }],
    [{ V: 1 }, { config: 'abort', ats: false }],
    [
      { V: 1, CFG: 4 },
      { config: 'bypass', ats: false },
    ],
    [
      { V: 1, CFG: 4, EATS: 1 },
      { config: 'bypass', ats: false },
    ],
    [
      { V: 1, CFG: 5 },
      { config: 'stage1', ats: false },
    ],
    [
      { V: 1, CFG: 5, EATS: 1 },
      { config: 'stage1', ats: true },
    ],
    [{ V: 1, CFG: 5, EATS: 2 }, { refused: 'EATS S1CHK' }],
    [{ V: 1, CFG: 7 }, { refused: 'CFG S1+S2' }],
    [{ V: 1, CFG: 5, MEV: 1 }, { refused: 'word 1 has bits 0x80000' }],
  ])('%o: %o', (values, wanted) => expect(of(values)).toEqual(wanted));
  test('too short', () => expect(nestedConfig(decodeSte(new Uint8Array(12)))).toEqual({ refused: '12 bytes are no entry' }));
});

test('text', () => {
  expect(steText(decodeSte(encodeSte({ V: 1, CFG: 5, S1CTXPTR: 0x8000_0000, S1CDMAX: 1, S1DSS: 2, S1CIR: 1 })))).toBe(
    'V cfg S1 s1ctxptr 0x80000000 s1cdmax 1 s1dss SSID0 s1cir WBRA',
  );
  expect(steText(decodeSte(new Uint8Array([...bytesOf([1n << 55n]), 7])))).toBe('cfg ABORT ?word0 0x80000000000000 bytes:07');
});

test('every entry is its fields and what is not known', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 72 }), (bytes) => {
      const e = decodeSte(bytes);
      const again = wordsOf(encodeSte(e.values, 8 * e.words.length)).map((w, i) => w | e.unknown[i]!);
      expect([...bytesOf(again), ...e.rest]).toEqual([...bytes]);
      expect(() => [steText(e), nestedConfig(e)]).not.toThrow();
    }),
  );
});
