import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SHIM_HEADER_COMMAND, SHIM_HEADER_PATH, shimHeader } from './emit-c.ts';

test('the committed shim header is what the rows give', () => {
  const committed = readFileSync(SHIM_HEADER_PATH, 'utf8');
  expect(committed.split('\n')[0]).toBe(`/* ${SHIM_HEADER_COMMAND} */`);
  expect(committed).toBe(shimHeader());
});

const gcc = (() => {
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

test.skipIf(!gcc)('the shim header compiles without a warning, alone', () => {
  execFileSync('gcc', ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-x', 'c', SHIM_HEADER_PATH], { stdio: 'pipe' });
});
