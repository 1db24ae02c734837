import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { KSELFTEST } from './c-forms.ts';
import { cProgram } from './c-program.ts';
import { complaints, harnessIn, hasCompiler, recorded } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'irr-kselftest-'));
const iommu = harnessIn(folder);
afterAll(() => rmSync(folder, { recursive: true }));

test('a session of one process', async () => {
  const { text } = cProgram(recorded('vfio-6.12'), KSELFTEST, 'vfio-6.12.irr');
  await expect(text).toMatchFileSnapshot('../../fixtures/golden/export/vfio-6.12.kselftest.c');
});

// the harness itself compares signed with unsigned, and has parameters that it does not use: the kernel builds it with -Wall
test
  .skipIf(!hasCompiler)
  .each(['vmm-7.2', 'vfio-7.2', 'selftest-basic-7.2', 'selftest-viommu-7.2', 'selftest-pasid-7.2', 'smmu-7.2-arm64'])(
  '%s compiles without a warning',
  (name) => {
    const { text } = cProgram(recorded(name), KSELFTEST, '');
    expect(text).toContain('\nTEST(recorded)\n');
    expect(complaints(text, ['-O1', '-c', '-o', '/dev/null', '-Wno-sign-compare', '-Wno-unused-parameter'], iommu)).toBe('');
  },
);
