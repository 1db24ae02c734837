/** Every scenario in every dialect through every command: each works, and says nothing that it does not know. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { EventLike } from '../../hw/event-text.ts';
import { DIALECTS } from '../../hw/uapi/table.ts';
import { FileKind, Kind } from '../../store/frame.ts';
import { TraceModel } from '../model.ts';
import { detailLines } from '../present/detail.ts';
import { changeLines } from '../present/effects.ts';
import { makeTheme } from '../term/theme.ts';
import { textOf } from '../testing.ts';
import { capture } from './capture.ts';
import type { Options } from './commands.ts';

const scenarios = join(import.meta.dirname, '../../fixtures/scenarios');
const names = readdirSync(scenarios).filter((name) => name.endsWith('.scn'));
/** linux-6.12 has no queues */
const dialects = DIALECTS.filter((d) => d !== 'linux-6.12');

const folder = mkdtempSync(join(tmpdir(), 'irr-simulate-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function simulated(scenario: string, dialect: string): Promise<string> {
  const output = join(folder, `${scenario}-${dialect}.irr`);
  const { status, notes } = await capture('simulate', [join(scenarios, scenario)], { output, dialect });
  expect({ status, notes }).toEqual({ status: 0, notes: [expect.stringMatching(/^simulated \d+ events on /)] });
  return output;
}

const COMMANDS: readonly (readonly [command: string, options: Options])[] = [
  ['info', {}],
  ['verify', {}],
  ['show', {}],
  ['show', { full: true, changes: true }],
  ['show', { raw: true }],
  ['show', { json: true, verbose: true }],
  ['stats', {}],
  ['stats', { json: true }],
  ['state', { at: 'end' }],
  ['state', { at: '60%' }],
  ['state', { at: '60%', json: true }],
  ['graph', { at: '60%', format: 'text' }],
  ['graph', { at: '60%', format: 'svg' }],
];
const { glyphs } = makeTheme(true, false);
/** What the screen says of an event. */
const detailOf = (model: TraceModel, event: EventLike): string =>
  textOf(
    detailLines({
      event,
      context: model.context,
      resolve: (field, id) => model.resolve(event, field, id),
      changes: changeLines(model.changes, model.names, glyphs),
      why: [],
      width: 100,
      glyphs,
    }),
  );

/** Marks of a value that nobody had. */
const NOTHING = /undefined|NaN|\[object|Infinity/;
const CONTROL = /[^\n\P{Cc}]/u;

describe.each(dialects)('%s', (dialect) => {
  test.each(names)('%s', async (name) => {
    const trace = await simulated(name, dialect);
    for (const [command, options] of COMMANDS) {
      const { status, out } = await capture(command, [trace], options);
      expect([command, options, status]).toEqual([command, options, 0]);
      expect(out).not.toBe('');
      expect(out).not.toMatch(NOTHING);
      expect(out).not.toMatch(CONTROL);
    }
    expect((await capture('check', [trace])).out).not.toMatch(NOTHING);
    const model = TraceModel.open(trace);
    for (let seq = 1; seq <= model.last; seq++) {
      model.approach(seq, Number.POSITIVE_INFINITY);
      const frame = model.event(seq)!;
      expect(JSON.stringify(Object.values(model.listed(seq)!).map(String))).not.toMatch(NOTHING);
      expect(detailOf(model, frame)).not.toMatch(NOTHING);
      // each explanation goes through the whole trace: one by one on the newest kernel alone
      if (frame.kind !== Kind.IOCTL || frame.fileKind >= FileKind.KVM || (dialect !== dialects[0] && frame.error === 0)) continue;
      const why = await capture('why', [trace, String(seq)]);
      expect(why.status).toBe(0);
      expect(why.out).not.toMatch(NOTHING);
    }
    model.close();
  });
});

describe('simulate', () => {
  test('names the scenarios that come with it, and finds them by name', async () => {
    const { out } = await capture('simulate', [], { list: true });
    expect(out.split('\n').map((line) => `${line.split(' ')[0]}.scn`)).toEqual([...names.sort(), '.scn']);
    const output = join(folder, 'by-name.irr');
    expect((await capture('simulate', ['boot'], { output })).status).toBe(0);
    expect(existsSync(output)).toBe(true);
  });

  const refused = async (scenario: string, options: Options): Promise<string> => {
    const before = readdirSync(folder);
    const error = await capture('simulate', [scenario], options).then(
      () => undefined,
      (e: Error) => e,
    );
    expect(readdirSync(folder)).toEqual(before);
    return error?.message ?? 'nothing was refused';
  };

  test('a mistake is told with its line, and nothing is written', async () => {
    const bad = join(folder, 'bad.scn');
    writeFileSync(bad, '# one\nvmm\n\ndevice vsid=0x8\nsend 0 TLBI_NH_ALL\n');
    const output = join(folder, 'bad.irr');
    expect(await refused(bad, { output })).toBe(`${bad}:5: send before boot`);
    expect(await refused(join(scenarios, 'boot.scn'), { output, dialect: 'linux-6.12' })).toMatch(
      /boot\.scn:3: IOMMU_HWPT_ALLOC fails with/,
    );
    expect(await refused('no-such', { output })).toBe('no-such: there is no such file or scenario');
    expect(await refused(folder, { output })).toMatch(/is no file$/);
    expect(await refused('boot', { output: join(folder, 'none', 'x.irr') })).toMatch(/the folder .*none does not exist$/);
    expect(await refused('boot', { output, dialect: 'linux-9' })).toMatch(/there is no dialect linux-9$/);
  });

  test('what is there stays', async () => {
    const output = join(folder, 'taken.irr');
    writeFileSync(output, 'mine');
    expect(await refused('boot', { output })).toMatch(/taken\.irr: exists already$/);
    expect(readFileSync(output, 'utf8')).toBe('mine');
  });
});
