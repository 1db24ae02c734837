/** What `stats` says of both ways of invalidation, against what the scenarios do. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DIALECTS } from '../../hw/uapi/table.ts';
import { TraceReader } from '../../store/read.ts';
import { capture } from './capture.ts';
import type { PathwaysJson } from './pathways.ts';

const folder = mkdtempSync(join(tmpdir(), 'irr-pathways-'));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;

async function pathways(scenario: string, dialect = 'linux-7.2'): Promise<PathwaysJson & { readonly trace: string }> {
  const trace = join(folder, `${++made}.irr`);
  await capture('simulate', [scenario], { output: trace, dialect });
  const { out } = await capture('stats', [trace], { json: true });
  return { ...JSON.parse(out).pathways, trace };
}

/** Events by SQL, which counts by itself. */
function count(trace: string, where: string): number {
  const reader = TraceReader.open(trace);
  const n = Number(reader.query(`SELECT count(*) AS n FROM events WHERE ${where}`)[0]?.n ?? 0);
  reader.close();
  return n;
}

describe.each(DIALECTS.filter((d) => d !== 'linux-6.12'))('sixteen invalidations on %s', (dialect) => {
  test('trapped: a call and an exit for each', async () => {
    const { trapped, direct, otherExits } = await pathways('trapped', dialect);
    expect(trapped).toEqual({
      ioctls: 16,
      exits: 16,
      accesses: null,
      commands: 16,
      byCommand: { TLBI_NH_VA: 16 },
      invalidations: 16,
      commandsPerIoctl: 1,
      callsPerInvalidation: 2,
      onViommu: 16,
      onOthers: 0,
      refused: 0,
    });
    expect(direct).toMatchObject({ ioctls: 2, commands: 0, invalidations: 0, callsPerInvalidation: null, queues: 1 });
    expect(otherExits).toBe(0);
  });

  test('direct: the queue is made and destroyed, and that is all', async () => {
    const { trapped, direct, trace } = await pathways('direct', dialect);
    expect(trapped).toMatchObject({ ioctls: 0, exits: 0, commands: 0, invalidations: 0, commandsPerIoctl: null });
    const exits = count(trace, "call LIKE 'mmio_%'");
    expect(direct).toMatchObject({
      ioctls: 2,
      exits,
      accesses: null,
      commands: 32,
      byCommand: { TLBI_NH_VA: 16, CMD_SYNC: 16 },
      invalidations: 16,
      commandsPerIoctl: 16,
      callsPerInvalidation: Math.round(((2 + exits) / 16) * 1000) / 1000,
      queues: 1,
    });
  });
});

test('a queue that goes round is counted on, and a refused command too', async () => {
  const wrap = await pathways('wrap');
  expect(wrap.direct).toMatchObject({ byCommand: { TLBI_NH_ASID: 14, CMD_SYNC: 7 }, invalidations: 14, sampled: false });
  const scenario = join(folder, 'own.scn');
  writeFileSync(
    scenario,
    'vmm\ndevice vsid=0x8\nboot queues=1 log2=4\ninvalidate TLBI_NH_ALL; CFGI_CD sid 0x8; CMD_SYNC; ATC_INV sid 0x8\n',
  );
  const { trapped } = await pathways(scenario);
  // CMD_SYNC is the kernel's to send: the batch ends there
  expect(trapped.ioctls).toBe(1);
  expect(trapped.commands! + trapped.refused).toBe(4);
  expect(trapped.refused).toBeGreaterThan(0);
});

test('on a real SMMU: as its client made them', async () => {
  const trace = join(import.meta.dirname, '../../fixtures/traces/smmu-7.2-arm64.irr');
  const { trapped, direct } = JSON.parse((await capture('stats', [trace], { json: true })).out).pathways as PathwaysJson;
  expect(trapped.ioctls).toBe(count(trace, "call = 'IOMMU_HWPT_INVALIDATE'"));
  expect(trapped).toMatchObject({ onViommu: 37, onOthers: 3, exits: null });
  expect(Object.keys(trapped.byCommand)).not.toContain('?');
  expect(direct).toMatchObject({ queues: 0, exits: null });
});

test('a trace without either has no such table', async () => {
  const { trace, trapped } = await pathways('unknown-type');
  expect(trapped).toBeUndefined();
  expect((await capture('stats', [trace])).out).not.toContain('pathway');
});
