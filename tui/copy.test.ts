import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shellWord } from './cli/shell-word.ts';
import { COPY_LIMIT, type CopyWhat, copied } from './copy.ts';
import { Screen } from './term/screen.ts';
import { testModel } from './testing.ts';
import type { Arrival } from './trips.ts';
import { loadRules } from './why-run.ts';

const { model, dispose } = testModel();
beforeAll(() => loadRules());
afterAll(dispose);

function copy(seq: number, what: CopyWhat): Arrival {
  const way = copied(model, seq, what);
  for (;;) {
    const next = way.next();
    if (next.done === true) return next.value;
  }
}

describe('what is copied', () => {
  test('the text, with what it changed', () => {
    expect(copy(8, 'text').copy).toMatch(/^8 0\.000008\S* 4711 ioctl\(8<iommufd#1>, IOMMU_VIOMMU_ALLOC, .*\) = 0.*\n {4}creates VIOMMU 6$/);
  });
  test('JSON that can be read', () => {
    expect(JSON.parse(copy(13, 'json').copy ?? '')).toMatchObject({
      v: 1,
      seq: 13,
      call: 'IOMMU_DESTROY',
      errno: 'EBUSY',
      args: { id: 5 },
    });
  });
  test('the why', () => {
    const said = copy(13, 'why');
    expect(said.copy).toMatch(/^event 13: ioctl\(.*IOMMU_DESTROY.*EBUSY.*\n {2}why +HWPT_PAGING 5 is held .*\n(.*\n)* {2}because {2}/);
    expect(said.say).toMatch(/^why of 13 copied: \d+ bytes by OSC 52$/);
    expect(copy(1, 'why')).toEqual({ say: 'event 1 is no call that there are rules for', error: true });
  });
  test('a command line that shows the event', () => {
    const { say } = copy(13, 'command');
    // with the longest number of an event and of bytes, on 60 columns
    expect(say.length + '10000000'.length - 2 + 3).toBeLessThan(58);
    expect(copy(13, 'command').copy).toBe(`iommufd-rr show ${shellWord(model.reader.path)} 13`);
  });
  test('nothing of any event can act on a terminal, whoever pastes it', () => {
    for (let seq = 1; seq <= model.last; seq++) {
      for (const what of ['text', 'json', 'why', 'command'] as const)
        expect(copy(seq, what).copy ?? '').not.toMatch(/[^\n\P{Cc}]|[\u202a-\u202e]/u);
    }
  });
  test('what is too long is not sent', () => {
    const event = model.event.bind(model);
    const long = { ...event(22)!, parts: [{ ...event(22)!.parts[0]!, bytes: new Uint8Array(COPY_LIMIT).fill(0x61) }] };
    model.event = () => long;
    try {
      expect(copy(22, 'text')).toMatchObject({ error: true, say: expect.stringContaining('too many to copy') });
    } finally {
      model.event = event;
    }
  });
});

test('any word comes through a shell as it was', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', minLength: 1 }).filter((s) => !s.includes('\0') && Buffer.from(s).toString() === s),
      (word) => {
        expect(
          execFileSync('bash', ['--norc', '-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8', env: { LC_ALL: 'C.UTF-8' } }),
        ).toBe(word);
      },
    ),
    { numRuns: 40 },
  );
});

test('the clipboard is OSC 52 with base64, while the screen is ours', () => {
  const written: string[] = [];
  const terminal = { write: (data: string) => written.push(data) > 0, on: () => {}, off: () => {} };
  const screen = new Screen(terminal);
  screen.copy('before');
  expect(written).toEqual([]);
  screen.enter();
  screen.copy('a\x1b]\u00fc');
  expect(written.at(-1)).toBe(`\x1b]52;c;${Buffer.from('a\x1b]\u00fc').toString('base64')}\x07`);
  screen.leave();
});
