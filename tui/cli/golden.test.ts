import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from './capture.ts';
import { COMMANDS, type Options } from './commands.ts';
import { commandHelp, programHelp } from './help.ts';
import { sampleTrace } from './sample.ts';
import { sampleSession } from './sample-session.ts';

const GOLDEN = '../../fixtures/golden/cli';
let trace: string;

beforeAll(() => {
  const { frames, table } = sampleSession();
  trace = sampleTrace(frames, table);
});
afterAll(() => rmSync(dirname(trace), { recursive: true }));

/** What each file of fixtures/golden/cli shows: command, further arguments, options. */
const CASES: readonly (readonly [file: string, command: string, args: readonly string[], options: Options])[] = [
  ['info.txt', 'info', [], {}],
  ['info.json', 'info', [], { json: true }],
  ['verify.txt', 'verify', [], {}],
  ['show.txt', 'show', [], {}],
  ['show-full.txt', 'show', [], { full: true }],
  ['show-verbose.txt', 'show', [], { verbose: true }],
  ['show-raw.txt', 'show', [], { raw: true }],
  ['show-resolve-changes.txt', 'show', [], { resolve: true, changes: true }],
  ['show-hex.txt', 'show', ['6,8,26'], { hex: true }],
  ['show-abs-time.txt', 'show', ['1-5'], { absTime: true }],
  ['show-relative.txt', 'show', ['/errors'], { relative: true }],
  ['show.jsonl', 'show', [], { json: true }],
  ['show-full.jsonl', 'show', ['8,23,26'], { json: true, full: true, changes: true }],
  ['show-where.txt', 'show', [], { where: 'object == viommu && !created(veventq) || took > 1ms', changes: true }],
  ['stats.txt', 'stats', [], { sort: 'name' }],
  ['stats.json', 'stats', [], { json: true, sort: 'errors' }],
  ['stats-where.txt', 'stats', [], { where: 'created() || destroyed(viommu)' }],
  ['state.txt', 'state', [], { at: '20' }],
  ['state.json', 'state', [], { at: '20', json: true }],
  ['state-end.txt', 'state', [], {}],
  ['graph.txt', 'graph', [], { at: '20' }],
  ['graph-ascii.txt', 'graph', [], { at: '20', ascii: true }],
  ['graph.json', 'graph', [], { at: '20', json: true }],
  ['graph.dot', 'graph', [], { at: '20', format: 'dot' }],
  ['graph.svg', 'graph', [], { at: '20', format: 'svg' }],
  ['graph.mmd', 'graph', [], { at: '20', format: 'mermaid' }],
];

describe('a session of every kind of event', () => {
  test.each(CASES)('%s', async (file, command, args, options) => {
    const { out, status, notes } = await capture(command, [trace, ...args], options);
    expect({ status, notes }).toEqual({ status: 0, notes: [] });
    await expect(out.replaceAll(trace, 'sample.irr').replace(/[\d,]+ bytes, [\d.]+ bytes per event/, 'N bytes')).toMatchFileSnapshot(
      `${GOLDEN}/${file}`,
    );
  });

  test('in colours: the same text', async () => {
    const plain = await capture('show', [trace], { changes: true });
    const colored = await capture('show', [trace], { changes: true }, true);
    expect(colored.out).toContain('\x1b[31m= -1 EIO');
    expect(colored.out.replace(/\x1b\[\d*m/g, '')).toBe(plain.out);
  });
});

/** Scenarios as a person sees them. */
const SCENARIOS: readonly (readonly [file: string, scenario: string, command: string, args: readonly string[], options: Options])[] = [
  ['show.txt', 'error', 'show', [], {}],
  ['show-full.txt', 'error', 'show', ['74-92'], { full: true }],
  ['show.jsonl', 'error', 'show', ['74-92'], { json: true }],
  ['state.txt', 'error', 'state', [], { at: '79' }],
  ['show.txt', 'boot', 'show', [], { changes: true }],
  ['state.txt', 'boot', 'state', [], { at: '80%' }],
  ['state.json', 'boot', 'state', [], { at: '80%', json: true }],
  ['stats.txt', 'trapped', 'stats', [], { sort: 'name' }],
  ['stats.txt', 'direct', 'stats', [], { sort: 'name' }],
  ['stats.json', 'direct', 'stats', [], { json: true, sort: 'name' }],
  ['show-full.txt', 'unknown-type', 'show', [], { full: true }],
  ['check.txt', 'unknown-type', 'check', [], {}],
  ['show.txt', 'overflow', 'show', [], { where: 'kind == read || kind == queue' }],
];

describe('scenarios', () => {
  const folder = mkdtempSync(join(tmpdir(), 'irr-golden-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  test.each(SCENARIOS)('%s of %s', async (file, scenario, command, args, options) => {
    const trace = join(folder, `${scenario}.irr`);
    if (!existsSync(trace)) await capture('simulate', [scenario], { output: trace });
    const { out, status } = await capture(command, [trace, ...args], options);
    expect(status).toBe(0);
    await expect(out.replaceAll(trace, `${scenario}.irr`)).toMatchFileSnapshot(`${GOLDEN}/scenario-${scenario}-${file}`);
  });

  test('of a type that no table knows every byte is told', async () => {
    const { out } = await capture('show', [join(folder, 'unknown-type.irr')], { full: true });
    expect(out).toContain(
      'type=65 dev_id=1 hwpt_id=3 data_len=24 data_uptr=0x50000020 bytes:0102030405060708090a0b0c0d0e0f101112131415161718',
    );
    expect(out).toContain('efr=0xffffffff efr2=0x1');
  });
});

describe('help', () => {
  test('of the program', async () => {
    await expect(programHelp('0.0.0')).toMatchFileSnapshot(`${GOLDEN}/help.txt`);
  });
  test.each(COMMANDS)('of $name', async (row) => {
    await expect(commandHelp(row)).toMatchFileSnapshot(`${GOLDEN}/help-${row.name}.txt`);
  });
  test('lines fit a terminal', () => {
    for (const row of COMMANDS) for (const line of commandHelp(row).split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });
});
