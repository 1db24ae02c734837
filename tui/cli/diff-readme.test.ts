/** What the README says of `diff` is what it does. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { capture } from './capture.ts';

const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');
const trace = (name: string): string => fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url));
const AB = [trace('vmm-6.12.irr'), trace('vmm-7.2.irr')] as const;
const rules = join(tmpdir(), `irr-readme-${process.pid}.rules`);
afterAll(() => rmSync(rules, { force: true }));

/** Lines of a block of code that begins with this one, without their indent. */
function block(first: string): string[] {
  const lines = readme.split('\n');
  const from = lines.indexOf(`    ${first}`);
  expect(from, first).toBeGreaterThan(0);
  const end = lines.findIndex((l, i) => i > from && l !== '' && !l.startsWith('    '));
  return lines.slice(from, end).map((l) => l.slice(4));
}

test('its report, but for what is left out', async () => {
  const [, ...lines] = block('$ iommufd-rr diff vmm-6.12.irr vmm-7.2.irr');
  const { out } = await capture('diff', AB, { width: '80' });
  let at = 0;
  for (const part of lines
    .join('\n')
    .split(/^…$/m)
    .map((p) => p.trim())) {
    if (part === '') continue;
    const found = out.indexOf(`${part}\n`, at);
    expect(found, part).toBeGreaterThanOrEqual(at);
    at = found + part.length;
  }
  expect(at).toBe(out.length - 1);
});

test('its rules', async () => {
  writeFileSync(rules, block('# our VMM probes these first').join('\n'));
  const { out } = await capture('diff', AB, { width: '80', rules: [rules] });
  expect(out).toMatch(/ignored: [\d,]+ by probes/);
  expect(out).toMatch(/ignored: [\d,]+ by debugging/);
});

test('the shape of its JSON', async () => {
  const { out } = await capture('diff', AB, { json: true, timing: true });
  const read = JSON.parse(out) as Record<string, unknown> & { differences: Record<string, unknown>[] };
  const shape = /`--json` prints one line: `([^`]*)`/.exec(readme)?.[1] ?? '';
  const names = (text: string): string[] => [...text.matchAll(/[a-zA-Z]+/g)].map(([name]) => name);
  const own = names(shape.replace(/: \{[^{}]*\}/, '').replace(/: \[.*\](?=, ignored)/, ''));
  expect([...own, 'timing'].sort()).toEqual(Object.keys(read).sort());
  const cause = names((/differences: \[\{(.*)\}\], ignored/.exec(shape)?.[1] ?? '').replace(/: \[\{[^\]]*\}\]/g, ''));
  for (const difference of read.differences) expect(Object.keys(difference).sort()).toEqual(cause.sort());
});
