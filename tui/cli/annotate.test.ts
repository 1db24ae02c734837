import { existsSync, rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { Script } from '../../replayer/script.ts';
import { TraceReader } from '../../store/read.ts';
import { capture } from './capture.ts';
import type { Options } from './commands.ts';
import { sampleTrace } from './sample.ts';

let trace = '';
beforeEach(() => {
  const s = new Script(uapiTable('linux-7.2'), 100);
  s.start();
  s.open(3);
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  trace = sampleTrace(s.frames, s.table);
});
const annotate = (words: readonly string[], options: Options = {}) => capture('annotate', [trace, ...words], options);
const listed = async (): Promise<string> => (await annotate([], { list: true })).out;

describe('annotate', () => {
  test('a note, another in its place, and none', async () => {
    const digest = (): string => {
      const reader = TraceReader.open(trace);
      const found = reader.digest;
      reader.close();
      return found;
    };
    const before = digest();
    expect((await annotate(['3', 'the', 'first IOAS'])).notes).toEqual(['noted at event 3']);
    expect(await listed()).toBe('3 the first IOAS\n');
    expect((await capture('show', [trace], { notes: true })).out).toContain('note: the first IOAS');
    expect((await annotate(['3', 'better'])).notes).toEqual(['noted at event 3, in place of: the first IOAS']);
    expect((await annotate(['3'], { remove: true })).notes).toEqual(['the note of event 3 is gone: better']);
    expect(await listed()).toBe('');
    expect(digest()).toBe(before);
  });

  test('bookmarks', async () => {
    await annotate(['2', 'here'], { mark: 'a' });
    expect((await annotate(['3'], { mark: 'a' })).notes).toEqual(['bookmark a was at event 2, and is now at event 3']);
    expect(await listed()).toBe('2 here\n3 bookmark a\n');
    expect((await annotate([], { list: true, json: true })).out).toBe(
      '{"v":1,"seq":2,"bookmarks":[],"note":"here"}\n{"v":1,"seq":3,"bookmarks":["a"],"note":null}\n',
    );
    expect((await annotate(['3'], { remove: true, mark: 'a' })).notes).toEqual(['bookmark a of event 3 is gone']);
  });

  test('what a terminal would obey is shown, not sent', async () => {
    await annotate(['1', 'red \u001b[31m']);
    expect(await listed()).not.toContain('\u001b');
  });

  test.each<[readonly string[], Options, string]>([
    [['0', 'x'], {}, 'there is no event 0'],
    [['4', 'x'], {}, 'there is no event 4'],
    [['x', 'x'], {}, 'there is no event x'],
    [['1'], {}, 'what is there to say?'],
    [[], {}, 'which event?'],
    [['1'], { remove: true }, 'event 1 has no note and no bookmark'],
    [['1', 'x'.repeat(5000)], {}, '5000 characters are too many'],
    [['1', 'x'], { remove: true }, '--remove takes no text'],
  ])('%j %j: %s', async (words, options, message) => {
    await expect(annotate(words, options)).rejects.toThrow(message);
    expect(existsSync(`${trace}.marks`)).toBe(false);
    rmSync(trace);
  });
});
