import { describe, expect, test } from 'vitest';
import { jsonText } from '../../hw/json-text.ts';
import { Progress, paint, render, short, wantsColor, writeError } from './output.ts';

describe('colours', () => {
  test.each([
    ['auto', true, {}, true],
    ['auto', false, {}, false],
    ['auto', true, { NO_COLOR: '1' }, false],
    ['auto', true, { NO_COLOR: '' }, true],
    ['auto', true, { TERM: 'dumb' }, false],
    ['auto', false, { FORCE_COLOR: '1' }, true],
    ['auto', true, { FORCE_COLOR: '0' }, true],
    ['auto', false, { CLICOLOR_FORCE: '1' }, true],
    ['auto', false, { CLICOLOR_FORCE: '1', NO_COLOR: '1' }, false],
    ['always', false, { NO_COLOR: '1' }, true],
    ['never', true, { FORCE_COLOR: '1' }, false],
  ] as const)('--color=%s, terminal %s, %j: %s', (choice, tty, env, wanted) => {
    expect(wantsColor(choice, tty, env)).toBe(wanted);
  });

  test('text is escaped before the colour is put around it', () => {
    expect(render(paint('error', 'a\x1b[0mb'), true)).toBe('\x1b[31ma\\x1b[0mb\x1b[0m');
    expect(render(paint('error', 'a\x1b[0mb'), false)).toBe('a\\x1b[0mb');
    expect(render('\u202e\x07', true)).toBe('\\u{202e}\\x07');
  });
});

test('JSON has u64 as hexadecimal strings, and nothing that a terminal obeys', () => {
  const value = { a: 1n << 63n, b: -1n, c: 'x\x1b\x7f\x9b\u202e\u{e0041}"\n', d: [1, null] };
  const text = jsonText(value);
  expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  expect(JSON.parse(text)).toEqual({ a: '0x8000000000000000', b: '0xffffffffffffffff', c: value.c, d: [1, null] });
});

describe('progress', () => {
  test('is silent for half a second, then shows a line, and takes it away', () => {
    let now = 0;
    let shown = '';
    const progress = new Progress(
      'folding',
      (text) => (shown += text),
      () => now,
    );
    progress.update(10, 100);
    now = 499;
    progress.update(40, 100);
    expect(shown).toBe('');
    now = 1000;
    progress.update(50, 100);
    expect(shown).toBe('\rfolding 50 %  50/100  50/s  1 s left\x1b[K');
    now = 1050;
    progress.update(60, 100);
    expect(shown.split('\r')).toHaveLength(2);
    progress.done();
    expect(shown.endsWith('\r\x1b[K')).toBe(true);
  });
  test('never appears where the work was short, or there is no terminal', () => {
    let shown = '';
    const progress = new Progress(
      'x',
      (text) => (shown += text),
      () => 0,
    );
    progress.update(1, 2);
    progress.done();
    expect(shown).toBe('');
  });
});

test('big numbers are short', () => {
  expect([0, 999, 1000, 3_900_000, 10_400_000, 288_000, 5e9].map(short)).toEqual(['0', '999', '1.0k', '3.9M', '10M', '288k', '5.0G']);
});

test('errors of writing say what is the matter', () => {
  const error = (code: string): Error => Object.assign(new Error('boom'), { code });
  expect(writeError(error('ENOSPC'), 'x.svg').message).toBe('cannot write to x.svg: no space left on the device');
  expect(writeError(error('EWHATEVER'), 'x.svg').message).toBe('cannot write to x.svg: boom');
});
