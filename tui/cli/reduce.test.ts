import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { TraceReader } from '../../store/read.ts';
import { capture } from './capture.ts';
import type { Options } from './commands.ts';

const TRACES = new URL('../../fixtures/traces/', import.meta.url).pathname;
const cli = new URL('../../dist/bin/iommufd-rr.js', import.meta.url).pathname;
const GOLDEN = '../../fixtures/golden/cli';
const folder = mkdtempSync(join(tmpdir(), 'irr-reduce-'));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
const reduce = async (name: string, options: Options) => {
  const output = join(folder, `${++made}.irr`);
  const result = await capture('reduce', [name.includes('/') ? name : `${TRACES}${name}`], { output, ...options });
  return { output, ...result };
};

const scenario = async (name: string): Promise<string> => {
  const output = join(folder, `${++made}.irr`);
  await capture('simulate', [name], { output });
  return output;
};

describe('on the model', () => {
  test('an errno: the call, and what it needs', async () => {
    const { status, out, output, notes } = await reduce('selftest-viommu-7.2.irr', { keep: 'errno == EBUSY && call == DESTROY' });
    expect(status).toBe(0);
    await expect(out).toMatchFileSnapshot(`${GOLDEN}/reduce.txt`);
    expect(notes).toEqual([expect.stringMatching(/^reduced \d+ events to \d+ in /)]);
    expect((await capture('check', [output])).status).toBe(0);
    expect((await capture('verify', [output])).status).toBe(0);
    expect((await capture('diff', [`${TRACES}selftest-viommu-7.2.irr`, output])).status).toBe(1);
  });

  test('JSON, and where each event was', async () => {
    const { out, output } = await reduce('vmm-7.2.irr', { keep: 'errno == ENOENT', json: true });
    const json = JSON.parse(out);
    const reader = TraceReader.open(output);
    expect(json).toMatchObject({ v: 1, output, of: 187, events: reader.last, complete: true, unsure: null });
    expect(json.was).toHaveLength(json.events);
    expect(reader.meta.reduced).toMatchObject({ of: 'vmm-7.2.irr', seq: json.seq, was: json.was, oracle: 'model' });
    reader.close();
    const info = await capture('info', [output]);
    expect(info.out).toMatch(/reduced +from the 187 events of vmm-7.2.irr, to what event \d+ needs \(errno == ENOENT\)/);
    expect(JSON.parse((await capture('info', [output], { json: true })).out)).toMatchObject({
      reduced: { of: 'vmm-7.2.irr', events: 187 },
    });
  });

  test('a lint, where a call is answered otherwise by another kernel, another event than the first', async () => {
    const { out: leak } = await reduce('vmm-7.2.irr', { keep: 'lint(destroy-order)' });
    expect(leak.trimEnd().split('\n').at(-1)).toContain('IOMMU_DESTROY');
    // its fault queue was named by a call that does not look at it without a flag
    expect(leak).not.toContain('FAULT_QUEUE');
    const { out: differs } = await reduce('vmm-7.2.irr', { keep: 'differs(linux-6.12)' });
    expect(differs.trimEnd().split('\n').at(-1)).toMatch(/^ +3 .*IOMMU_VIOMMU_ALLOC.* = -1 EOPNOTSUPP$/);
    const { out: later } = await reduce('vmm-7.2.irr', { keep: 'differs(linux-6.12) && call == IOAS_MAP_FILE' });
    expect(later.trimEnd().split('\n').at(-1)).toContain('IOMMU_IOAS_MAP_FILE');
  });
});

test('what read brought is more than nothing still; which event it is that a number means', async () => {
  const { out } = await reduce('vmm-7.2.irr', { keep: 'call == read && ret > 0 && fd >= 0 && seq > 50' });
  expect(out.trimEnd().split('\n').at(-1)).toMatch(/ read\(\w+_fd\d, \[.* = [1-9]\d*$/);
});

describe('hardware', () => {
  test('an error of a queue: what was done to the hardware stays, what only looked goes', async () => {
    const { out, output, notes } = await reduce(await scenario('error'), { keep: 'CONS_INDX.ERR == ILLEGAL' });
    await expect(out).toMatchFileSnapshot(`${GOLDEN}/reduce-cmdqv.txt`);
    expect(notes[1]).toContain('all that was done to the hardware before it stays');
    const shown = await capture('show', [output], { where: 'CONS_INDX.ERR == ILLEGAL' });
    expect(shown.out.split('\n').filter((line) => line.includes('queue_read'))).toHaveLength(1);
  });
  test('a queue that ends with an error: what the fold makes of it', async () => {
    const { output } = await reduce(await scenario('stuck'), { keep: 'lint(queue-stuck)' });
    expect((await capture('check', [output])).out).toContain('queue-stuck: HW_QUEUE');
  });
});

describe('--oracle', () => {
  const script = (text: string): string => {
    const path = join(folder, `${++made}.sh`);
    writeFileSync(path, text);
    return `sh ${path}`;
  };

  test('a command decides, on traces that it can read', async () => {
    const log = join(folder, 'asked');
    const command = script(`echo x >> ${log}; node ${cli} show "$1" --errors | grep -q EBUSY || exit 1`);
    const { status, out } = await reduce(await scenario('unknown-type'), { oracle: command });
    expect(status).toBe(0);
    expect(out).toContain('EBUSY');
    expect(out.trimEnd().split('\n')).toHaveLength(10);
    expect(readFileSync(log, 'utf8').length).toBeGreaterThan(4);
  });
  test('it cannot tell, or never shows it', async () => {
    const { status, notes, output } = await reduce('vfio-7.2.irr', { oracle: script('exit 1') });
    expect({ status, notes }).toEqual({ status: 1, notes: ['nothing was written: by the oracle the whole session does not show it'] });
    expect(existsSync(output)).toBe(false);
    expect((await reduce('vfio-7.2.irr', { oracle: script('exit 125') })).status).toBe(1);
  });
  test('it fails', async () => {
    await expect(reduce('vfio-7.2.irr', { oracle: '/no/such/command' })).rejects.toThrow(/the oracle has failed \(exit status 127\)/);
  });
});

test('Ctrl-C leaves the shortest so far', async () => {
  const output = join(folder, 'stopped.irr');
  const asked = join(folder, 'first');
  // the whole session shows it; from then on it takes its time
  const command = `sh -c '[ -e ${asked} ] && sleep 0.3; touch ${asked}; true'`;
  const child = spawn(process.execPath, [cli, 'reduce', `${TRACES}vmm-7.2.irr`, '--oracle', command, '-o', output]);
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  while (!existsSync(asked)) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 500));
  child.kill('SIGINT');
  const status = await new Promise((resolve) => child.on('exit', resolve));
  expect(status).toBe(130);
  expect(said).toMatch(/reduced 187 events to \d+ in .*: stopped, so it may not be the shortest/);
  const reader = TraceReader.open(output);
  expect(reader.last).toBeLessThanOrEqual(187);
  reader.close();
});

describe('wrong use', () => {
  test.each([
    [{}, /what shall stay/],
    [{ keep: 'errno == EBUSYY' }, /--keep: /],
    [{ keep: 'lint(nothing)' }, /no lint is called "nothing"/],
    [{ keep: 'differs(linux-1)' }, /no kernel is called "linux-1"/],
    [{ keep: 'errno == EXDEV' }, /no event of the trace is such/],
    [{ keep: 'errno == EXDEV', at: '3' }, /event 3 is not such/],
    [{ keep: 'errno == EBUSY', at: '100000' }, /no event 100000/],
  ])('%j', async (options, message) => {
    await expect(reduce('vmm-7.2.irr', options as Options)).rejects.toThrow(message);
  });
  test('an existing file is not replaced', async () => {
    const { output } = await reduce('vmm-7.2.irr', { keep: 'errno == ENOENT' });
    await expect(reduce('vmm-7.2.irr', { keep: 'errno == ENOENT', output })).rejects.toThrow(/exists already/);
  });
});
