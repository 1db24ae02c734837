import fc from 'fast-check';
import { expect, test } from 'vitest';
import { unknownBits } from '../bits.ts';
import { IDR_FIELDS, idrText } from './idr.ts';

test('registers by their fields', () => {
  // what QEMU's device says: stage 1 and 2, AArch64, 16-bit ASIDs, two-level stream tables; queues of 2^19; 48 bits
  const idr0 = (1n << 1n) | 1n | (2n << 2n) | (1n << 4n) | (1n << 12n) | (1n << 18n) | (2n << 21n) | (1n << 27n);
  expect(idrText([idr0, (19n << 21n) | (19n << 16n) | 16n, 0n, (1n << 10n) | (2n << 11n) | 0x14n, 0n, 0x74n | 5n])).toBe(
    'IDR0 S2P S1P TTF AArch64 COHACC ASID16 VMID16 TTENDIAN LE ST_LVL 2LVL, IDR1 SIDSIZE 16 EVTQS 19 CMDQS 19, ' +
      'IDR3 HAD XNX RIL BBM 2, IDR5 OAS 48 GRAN4K GRAN16K GRAN64K',
  );
  expect(idrText([0n, 0n, 0n, 0n, 0n, 0n])).toBe('');
  expect(idrText([1n << 31n, 0n, 6n])).toBe('IDR0 ?0x80000000, IDR2 ?0x6');
});

test('no two fields of a register overlap, and none is beyond it', () => {
  for (const word of [0, 1, 3, 5]) {
    const of = IDR_FIELDS.filter((f) => f.word === word);
    expect(of.reduce((n, f) => n + f.bits[0] - f.bits[1] + 1, 0)).toBe(
      [...of.reduce((m, f) => m | f.mask, 0n).toString(2)].filter((b) => b === '1').length,
    );
    for (const f of of) expect(f.bits[0]).toBeLessThan(32);
  }
});

test('what no field takes is said', () => {
  const word = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n });
  fc.assert(
    fc.property(fc.array(word, { minLength: 6, maxLength: 6 }), (words) => {
      const rest = unknownBits(words, IDR_FIELDS);
      for (const bits of rest) if (bits !== 0n) expect(idrText(words)).toContain(`?0x${bits.toString(16)}`);
    }),
  );
});
