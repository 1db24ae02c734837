import { expect, test } from 'vitest';
import { COMMANDS } from './commands.ts';
import { parseOptions } from './parse.ts';
import { parseOne } from './parse-one.ts';

test.each(COMMANDS.map((row) => [row.name, row] as const))('%s: one word is read as the library reads it', (_, row) => {
  for (const word of ['a.irr', '20/errors', 'x y', '']) {
    const read = parseOne(row, [word]);
    if (read !== undefined) expect(read).toEqual(parseOptions(row, [word]));
  }
  for (const words of [[], ['-h'], ['--json'], ['-5'], ['a.irr', '--help'], ['a.irr', 'b.irr']])
    expect(parseOne(row, words)).toBeUndefined();
});

test('the screens are such a command', () => {
  const row = COMMANDS.find((r) => r.name === 'tui')!;
  expect(parseOne(row, ['a.irr'])).toEqual(parseOptions(row, ['a.irr']));
});
