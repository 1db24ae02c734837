import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseWhen, sinceStart, wallText } from './when.ts';

const SECOND = 1_000_000_000n;
/** 2026-08-01 23:59:58.5 UTC */
const BEGAN = BigInt(Date.UTC(2026, 7, 1, 23, 59, 58)) * 1_000_000n + SECOND / 2n;
const at = (text: string, here = 0n): bigint | undefined => {
  const when = parseWhen(text);
  return when === undefined ? undefined : sinceStart(when, BEGAN, here);
};

describe('times', () => {
  test('since the start, from here, of day', () => {
    expect([at('@12.004'), at('12.004s'), at('@5'), at('@5ms'), at('1.5m'), at('@7ns')]).toEqual([
      12_004_000_000n,
      12_004_000_000n,
      5n * SECOND,
      5_000_000n,
      90n * SECOND,
      7n,
    ]);
    expect([at('+1.5s', SECOND), at('-200ms', SECOND), at('- 2 s', SECOND)]).toEqual([2_500_000_000n, 800_000_000n, -SECOND]);
    expect([at('23:59:59'), at('0:00:00.25'), at('00:00')]).toEqual([SECOND / 2n, 1_750_000_000n, 1_500_000_000n]);
    expect([at('2026-08-02 00:00:01'), at('2026-08-01T23:59:58Z')]).toEqual([2_500_000_000n, -SECOND / 2n]);
  });

  test('what is no time', () => {
    for (const text of ['12', '+5', '@', 's', '1.2.3s', '24:00', '1:60', '2026-02-30 1:00', '2026-13-01 1:00', '12x', '+@5', '']) {
      expect(parseWhen(text), text).toBeUndefined();
    }
    fc.assert(fc.property(fc.string(), (text) => void parseWhen(text)));
  });

  test('a time as it is printed is the time', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n * SECOND), (ns) => {
        const whole = ns - (ns % 1000n);
        // to the microsecond: as much as is printed
        expect(at(wallText(BEGAN + whole))).toBe(whole);
      }),
    );
    expect(wallText(-5n)).toBe('-5 ns');
  });
});
