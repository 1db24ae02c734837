import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { verifyTrace } from '../../store/verify.ts';
import { capture } from './capture.ts';
import { rangeOf } from './slice.ts';

const trace = join(import.meta.dirname, '../../fixtures/traces/vmm-7.2.irr');
const folder = mkdtempSync(join(tmpdir(), 'irr-slice-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('slice', () => {
  test('a window is a trace, says what it is, and does not take the place of another file', async () => {
    const output = join(folder, 'a.irr');
    const { notes } = await capture('slice', [trace, '93..149'], { output });
    expect(notes).toEqual([`sliced events 93 to 149 into ${output}: 57 events, before them 35 of the 92 earlier ones`]);
    expect(verifyTrace(output)).toMatchObject({ ok: true, events: 92, complete: true });
    expect((await capture('info', [output])).out).toContain('slice     events 93 to 149 of 187; the first 35 here');
    const info = JSON.parse((await capture('info', [output], { json: true })).out) as object;
    expect(info).toMatchObject({ slice: { from: 93, to: 149, prologue: 35, of: 187 } });
    const check = JSON.parse((await capture('check', [output], { json: true })).out) as { disagreements: object[] };
    expect(check.disagreements).toEqual([]);
    await expect(capture('slice', [trace, '1..2'], { output })).rejects.toThrow('exists already');
    await expect(capture('slice', [trace, '1..2'], { output: trace, force: true })).rejects.toThrow('is what is read');
    expect(readdirSync(folder)).toEqual(['a.irr']);
  });

  test.each(['boot', 'error', 'trapped', 'overflow'])(
    'of scenario %s: registers and queues of the CMDQV are what they were',
    async (scenario) => {
      const [whole, output] = [join(folder, `${scenario}.irr`), join(folder, `${scenario}-slice.irr`)];
      await capture('simulate', [scenario], { output: whole });
      const { out } = await capture('slice', [whole, '45..70'], { output, json: true });
      const { how, prologue } = JSON.parse(out) as { how: string; prologue: number };
      expect(how).toBe('needed');
      expect(prologue).toBeLessThan(44);
      const registers = async (path: string, at: string): Promise<unknown> => {
        const { cmdqv } = JSON.parse((await capture('state', [path], { at, json: true })).out) as { cmdqv: unknown };
        return JSON.parse(
          JSON.stringify(cmdqv, (key, value: unknown) => (['since', 'sampled', 'seq', 'createdAt'].includes(key) ? 0 : value)),
        );
      };
      expect(await registers(output, 'end')).toEqual(await registers(whole, '70'));
    },
  );

  /** Event n is entered n seconds after the start, which was at 12:00:00. */
  const NINE = { last: 9, began: 43_200n * 1_000_000_000n, seqAt: (ns: number): number => Math.min(10, Math.max(1, Math.ceil(ns / 1e9))) };

  test('ranges by time, by share, and as filters say them', () => {
    const of = (text: string): string => Object.values(rangeOf(text, NINE)).join('-');
    expect(of('@2.5..@4')).toBe('3-4');
    expect(of('@2..@4.999')).toBe('2-4');
    expect(of('2500ms..4s')).toBe('3-4');
    expect(of('@2.5..')).toBe('3-9');
    expect(of('..@2.5')).toBe('1-2');
    expect(of('@2.5')).toBe('2-2');
    expect(of('@12:00:03..@12:00:05.5')).toBe('3-5');
    expect(of('1970-01-01 12:00:03..')).toBe('3-9');
    expect(of('3..@5')).toBe('3-5');
    expect(of('50%..')).toBe('5-9');
    expect(of('seq in 2..5')).toBe('2-5');
    expect(of('t in 2.5..4')).toBe('3-4');
  });

  test('by time, of a trace', async () => {
    const all = (await capture('show', [trace], { json: true })).out.trimEnd().split('\n');
    const at = (seq: number): number => (JSON.parse(all[seq - 1]!) as { t: number }).t;
    const [low, high] = [at(93) / 1e9, at(149) / 1e9];
    const { out } = await capture('slice', [trace, `@${low.toFixed(9)}..@${high.toFixed(9)}`], {
      output: join(folder, 'time.irr'),
      json: true,
    });
    const { from, to } = JSON.parse(out) as { from: number; to: number };
    expect([from, to]).toEqual([93, 149]);
  });

  test('ranges', () => {
    expect(['4', '2..5', '2-5', '3..', '..3', '-3', '..'].map((text) => rangeOf(text, NINE))).toEqual(
      [
        [4, 4],
        [2, 5],
        [2, 5],
        [3, 9],
        [1, 3],
        [1, 3],
        [1, 9],
      ].map(([from, to]) => ({ from, to })),
    );
    for (const [text, message] of [
      ['5..2', 'is no range of events'],
      ['0', 'is no range of events'],
      ['3..10', 'there is no event 10'],
      ['1-2,5', 'a slice is one piece'],
      ['1-5/errors', 'a slice is one piece'],
      ['a', 'is no range of events'],
      ['', 'is no range of events'],
      ['1..2..3', 'is no range of events'],
      ['@9.5..', 'there is no event in it'],
      ['@2.5..@2.6', 'there is no event in it'],
      ['+1s..', 'is no range of events'],
      ['@5..@2', 'there is no event in it'],
      ['120%', 'there is no event in it'],
    ] as const)
      expect(() => rangeOf(text, NINE)).toThrow(message);
  });
});
