import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dialectSession } from '../../replayer/dialect-sessions.ts';
import { capture } from './capture.ts';
import { sampleTrace } from './sample.ts';

const root = join(import.meta.dirname, '../..');
const trace = join(root, 'fixtures/traces/vmm-7.2.irr');
const golden = (name: string): string => join(root, 'fixtures/golden/cli', name);

describe('why', () => {
  test.each([
    ['a held object', '66'],
    ['a queue out of order', '101'],
    ['a locked area', '106'],
    ['a success', '75'],
  ])('%s', async (name, seq) => {
    const { out, status } = await capture('why', [trace, seq], {});
    expect(status).toBe(0);
    await expect(out).toMatchFileSnapshot(golden(`why-${name.replaceAll(' ', '-')}.txt`));
  });

  test('as JSON, with the objects in the way', async () => {
    const { out } = await capture('why', [trace, '72'], { json: true });
    expect(JSON.parse(out)).toMatchObject({
      v: 1,
      seq: 72,
      call: 'IOMMU_DESTROY',
      errno: 'EBUSY',
      rule: 'destroy.in-use',
      because: [
        { type: 'VIOMMU', object: 5 },
        { type: 'MAPPING', object: 5, seq: 71 },
      ],
    });
  });

  test('of what is no call: exit 2', async () => {
    await expect(capture('why', [trace, '1'], {})).rejects.toThrow('event 1 is no call that there are rules for');
  });

  test('by the rules of another kernel', async () => {
    const { out } = await capture('why', [trace, '75'], { model: 'linux-6.12' });
    expect(out).toContain('the rules of this model say ENOTTY: there is no command 0x3b91');
  });
});

describe('why of one mmap under several rules', () => {
  const { script, steps } = dialectSession('vcmdq-v2');
  const recorded = sampleTrace(script.frames, script.table);
  const half = String(steps.get('half of it'));
  const why = async (options: Readonly<Record<string, string | boolean>>): Promise<string> =>
    (await capture('why', [recorded, half], options)).out;

  test('allowed where a mapping may be shorter than the region', async () => {
    const out = await why({});
    expect(out).toContain('mmap succeeds');
    expect(out).toContain('the first 0x8000 of 0x10000 bytes of the region of VIOMMU 4');
    expect(out).not.toContain('the rules of this model');
    await expect(out).toMatchFileSnapshot(golden('why-mmap-vcmdq-v2.txt'));
  });

  test('refused where it may not, and why', async () => {
    const out = await why({ model: 'hw-queue-v4' });
    expect(out).toContain('the rules of this model say ENXIO: length 0x8000, and the region of VIOMMU 4 has 0x10000');
    expect(out).toContain('passes   offset 0x0 and length 0x10000');
    await expect(out).toMatchFileSnapshot(golden('why-mmap-hw-queue-v4.txt'));
    expect(JSON.parse(await why({ model: 'hw-queue-v4', json: true }))).toMatchObject({
      call: 'mmap',
      errno: '',
      rule: 'mmap.length',
      field: 'length',
      because: [{ type: 'VIOMMU', object: 4 }],
    });
  });

  test('the other way round: refused by the recorded kernel, for its reason, and allowed by the others', async () => {
    const later = dialectSession('hw-queue-v4');
    const trace = sampleTrace(later.script.frames, later.script.table);
    const seq = String(later.steps.get('half of it'));
    const own = (await capture('why', [trace, seq], {})).out;
    expect(own).toContain('mmap fails with ENXIO');
    expect(own).toContain('rule     mmap.length');
    const { out } = await capture('why', [trace, seq], { model: 'vcmdq-v2' });
    expect(out).toContain('length 0x8000, and the region of VIOMMU 4 has 0x10000');
    expect(out).toContain('the rules of this model say success: the first 0x8000 of 0x10000 bytes of the region of VIOMMU 4');
  });
});

describe('check', () => {
  test('against the kernel that was recorded: exit 0', async () => {
    const { out, status } = await capture('check', [trace], {});
    expect(status).toBe(0);
    await expect(out).toMatchFileSnapshot(golden('check.txt'));
  });

  test('against another one: exit 1, and every difference in a line', async () => {
    const { out, status } = await capture('check', [trace], { model: 'linux-6.12' });
    expect(status).toBe(1);
    await expect(out).toMatchFileSnapshot(golden('check-6.12.txt'));
  });

  test('as JSON', async () => {
    const { out } = await capture('check', [trace], { json: true });
    expect(JSON.parse(out)).toMatchObject({ v: 1, model: 'linux-7.2', disagreements: [] });
  });

  test('rules that there are not: exit 2', async () => {
    await expect(capture('check', [trace], { model: 'linux-2.6' })).rejects.toThrow('there are no rules called "linux-2.6"');
  });
});
