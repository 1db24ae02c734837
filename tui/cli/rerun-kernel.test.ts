import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { rerunProgram } from '../../recorder/rerun.ts';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';
import { sampleSession } from './sample-session.ts';

const TRACES = new URL('../../fixtures/traces/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'irr-rerun-kernel-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

describe('--emit-plan', () => {
  test('a plan, and nothing else', async () => {
    const options = { on: 'kernel', emitPlan: at('vmm.plan') };
    const { status, out, notes } = await capture('rerun', [`${TRACES}vmm-7.2.irr`], options);
    expect([status, out]).toEqual([0, '']);
    expect(notes).toEqual([
      `wrote the plan of 184 steps to ${at('vmm.plan')}: irr-rerun issues it, iommufd-rr recover makes a trace of what that records`,
    ]);
    expect(existsSync(at('vmm.plan'))).toBe(true);
  });

  test('what is not issued is told', async () => {
    const { frames, table } = sampleSession();
    const trace = sampleTrace(frames, table);
    const { notes } = await capture('rerun', [trace], { on: 'kernel', emitPlan: at('sample.plan') });
    rmSync(join(trace, '..'), { recursive: true });
    expect(notes[0]).toMatch(/^3 events are not issued again: a program that was not recorded \(1\), events were lost here \(1\)/);
  });

  test.skipIf(existsSync('/dev/iommu'))('where there is no iommufd nothing is issued', async () => {
    await capture('rerun', [`${TRACES}vmm-7.2.irr`], { on: 'kernel', emitPlan: at('none.plan') });
    const { status, stderr } = spawnSync(rerunProgram(), [at('none.plan'), '-o', at('none.spool')], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^irr-rerun: \/dev\/iommu: No such file or directory: .*\n$/)]);
    expect(existsSync(at('none.spool'))).toBe(false);
  });

  test('an existing file is not replaced', async () => {
    writeFileSync(at('there.plan'), '');
    const options = { on: 'kernel', emitPlan: at('there.plan') };
    await expect(capture('rerun', [`${TRACES}vmm-7.2.irr`], options)).rejects.toThrow(/exists already/);
  });

  test('wrong use', async () => {
    const trace = `${TRACES}vmm-7.2.irr`;
    await expect(capture('rerun', [trace], { emitPlan: at('model.plan') })).rejects.toThrow(/--emit-plan goes with --on kernel/);
    await expect(capture('rerun', [trace], { on: 'kernel', emitPlan: at('x'), timeout: '0' })).rejects.toThrow(/--timeout 0/);
    await expect(capture('rerun', [trace], { on: 'kernel', emitPlan: at('x'), timeout: 'soon' })).rejects.toThrow(/--timeout soon/);
    expect(existsSync(at('x'))).toBe(false);
  });
});
