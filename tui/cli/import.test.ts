import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { FORMATS } from '../../recorder/import/formats.ts';
import { capture } from './capture.ts';
import { commandRow, type Options } from './commands.ts';
import { parseOptions } from './parse.ts';

const logs = join(import.meta.dirname, '../../fixtures/logs');
const folder = mkdtempSync(join(tmpdir(), 'irr-cli-import-'));
const output = join(folder, 'o.irr');
afterAll(() => rmSync(folder, { recursive: true }));

/** What is said of an import, without names of folders. */
async function said(format: string, log: string, options: Options = {}): Promise<string[]> {
  const { notes, status, out } = await capture('import', [format, log], { output, force: true, ...options });
  expect([status, out]).toEqual([0, '']);
  return notes.map((line) => line.replaceAll(folder, '.'));
}

function wrong(format: string, log: string, options: Options = {}): Promise<void> {
  return capture('import', [format, log], { output, force: true, ...options }).then(
    () => Promise.reject(new Error('it was accepted')),
    (error: Error & { hint?: string; code?: string }) => {
      expect(error.code).toEqual(expect.any(String)); // of ours: the program ends with status 2
      expect(error.message).not.toContain('\n');
      throw new Error(`${error.message.replaceAll(folder, '.')} | ${error.hint}`);
    },
  );
}

const write = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('import', () => {
  test('the command line names the formats that there are', () => {
    expect(commandRow('import')!.args[0]!.choices).toEqual(['jsonl', ...FORMATS.map((f) => f.name)]);
    expect(() => parseOptions(commandRow('import')!, ['vcd', 'x'])).toThrow('"vcd" is none of jsonl, mmiotrace, ftrace');
  });

  test('a log alone: what was left out, what became notes, how many', async () => {
    const log = write(
      'log.txt',
      `${'hello\n'.repeat(3)}MARK 1.000000 here\nR 4 1.000001 1 0xc0 0x1 0x0 0\nMARK 0.000000 Lost 5 events.\nR 4 1.0`,
    );
    expect(await said('mmiotrace', log)).toEqual([
      '4 lines of the log left out: 3 not mmiotrace, 1 cut',
      '1 mark of the log became notes',
      'imported 2 events of mmiotrace (5 lost): 2 events in ./o.irr',
    ]);
    const info = await capture('info', [output]);
    expect(info.out).toContain('started   nobody knows when');
    expect(info.out).toMatch(
      /recorded {2}by iommufd-rr .*, import mmiotrace\nimported {2}log\.txt \(mmiotrace\): 2 events, 4 lines left out\n/,
    );
    expect(info.out).toContain('5 dropped, 1 gap in the log');
    expect(JSON.parse((await capture('info', [output], { json: true })).out)).toMatchObject({
      started: null,
      imports: [{ format: 'mmiotrace', file: 'log.txt', events: 2, lost: 5, foreign: 4 }],
    });
  });

  test('with a recording: what clock the log is taken for, unless it is said', async () => {
    const options = { with: join(logs, 'rwmmio.irr'), vmallocinfo: join(logs, 'rwmmio.vmallocinfo.txt'), cmdqv: '0x9050000' };
    const assumed = await said('ftrace', join(logs, 'rwmmio.txt'), options);
    expect(assumed).toEqual([
      '2 marks of the log became notes',
      'the log does not say what clock its times are of: taken for CLOCK_MONOTONIC (trace_clock mono), like those of the recording',
      'imported 95 events of ftrace (none lost, as far as it says): 148 events in ./o.irr',
    ]);
    const known = await said('ftrace', join(logs, 'rwmmio.txt'), { ...options, clock: 'mono' });
    expect(known).toEqual(assumed.filter((line) => !line.includes('clock')));
    const far = await said('ftrace', join(logs, 'rwmmio.txt'), { ...options, clockOffset: '+1000.5' });
    expect(far).toContain('no event of the log lies between the first and the last of the recording');
    const shown = await capture('show', [output], { where: 'by ~ arm_smmu_hw_info && task == "vfio"', full: true });
    expect(shown.out.split('\n')[0]).toMatch(/ mmio_read32\(.*\) = 0xd44101b .*rwmmio.*by "arm_smmu_hw_info\+0xac\/0x108 -> readl_relaxed/);
  });

  test.each<[string, string, Options, string]>([
    ['no output', '', { output: undefined }, 'import: where shall the trace go?'],
    ['no log', join(folder, 'none.txt'), {}, './none.txt: no such file or directory'],
    ['a folder', folder, {}, '.: is a directory, not a log'],
    ['no recording', '', { with: join(folder, 'none.irr') }, './none.irr: no such file or directory'],
    ['a log as recording', '', { with: join(logs, 'rwmmio.txt') }, 'not a trace'],
    ['an offset that is none', '', { clockOffset: '1h' }, '--clock-offset: "1h" is no number of seconds'],
    ['an offset before the boot', '', { clockOffset: '-1000' }, 'a time of the log is no time of CLOCK_MONOTONIC'],
    ['another clock, with a recording', '', { clock: 'boot', with: join(logs, 'mmiotrace.irr') }, '--clock boot: that is not the clock'],
    ['a place that is none', '', { cmdqv: '24200000h' }, '--cmdqv: "24200000h" is no range of addresses'],
    ['a list without devices', '', { vmallocinfo: join(logs, 'mmiotrace.txt') }, 'mmiotrace.txt: no mapping of a device is in it'],
    ['no folder for the output', '', { output: join(folder, 'none/o.irr') }, 'the folder ./none does not exist'],
  ])('%s: one line', async (_, log, options, message) => {
    await expect(wrong('mmiotrace', log === '' ? join(logs, 'mmiotrace.txt') : log, options)).rejects.toThrow(message);
  });
});
