import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keysOf } from './testing.ts';
import { choose, SPEEDS, type TravelFacts } from './travel.ts';
import { parseTravel } from './travel-command.ts';
import type { Arrival } from './trips.ts';
import { type Facts, initialUi, type Ui } from './ui.ts';
import { reduce } from './ui-state.ts';

const KEYS = ['c1', 'o1', 'o3', undefined, 'p7'];
const travel: TravelFacts = {
  mark: (name) => ({ a: 40, z: 9999 })[name],
  marksAt: (seq) => (seq === 40 ? ['a'] : []),
  note: (seq) => (seq === 40 ? 'here' : undefined),
  mistake: (text) => (text.includes('bad') ? 'at "bad" (column 1): no' : undefined),
  when: (when) => (when.from === 'start' ? Number(when.ns / 1_000_000_000n) : 'the log ends at 5 s'),
  objects: () => KEYS,
  links: () => [
    { seq: 5, line: 2 },
    { seq: 7, line: 4 },
  ],
};
const facts: Facts = { first: 1, last: 5000, extent: () => ({ lines: 100, cells: 200 }), travel };

const type = (ui: Ui, text: string): Ui => keysOf(text).reduce((u, key) => reduce(u, { type: 'key', key }, facts), ui);
const start = (): Ui => initialUi(80, 24, 1);
const arrive = (ui: Ui, arrival: Partial<Arrival>): Ui =>
  reduce(ui, { type: 'arrived', id: ui.job!.id, arrival: { say: '', error: false, ...arrival } }, facts);

describe('places', () => {
  test('H goes back over jumps, L forward again; steps leave no places', () => {
    const ui = type(start(), 'jj100Gjj:200\r');
    expect(ui.travel.past).toEqual([3, 102]);
    expect(type(ui, 'H').cursor).toBe(102);
    expect(type(ui, 'HH').cursor).toBe(3);
    expect(type(ui, '2H').cursor).toBe(3);
    expect(type(ui, 'HHL').cursor).toBe(102);
    expect(type(ui, 'HHLL').cursor).toBe(200);
    expect(type(ui, '\x1b[1;3D').cursor).toBe(102);
    expect(type(ui, '\x0f\x1b[1;3C').cursor).toBe(200);
    expect(type(ui, 'HHH').message?.text).toBe('no place before this one');
    expect(type(ui, 'L').message?.text).toBe('no place behind this one');
    // a jump from there forgets what lay ahead
    expect(type(ui, 'HH7GL').cursor).toBe(7);
  });

  test("'' goes between two places", () => {
    const ui = type(start(), '100G');
    expect([type(ui, "''").cursor, type(ui, "''''").cursor]).toEqual([1, 100]);
  });

  test('any sequence of jumps, and as many times back, returns; and forward again is where it was', () => {
    const jump = fc.oneof(
      fc.integer({ min: 1, max: 5000 }).map((n) => `${n}G`),
      fc.integer({ min: 0, max: 99 }).map((n) => `${n + 1}%`),
      fc.integer({ min: 1, max: 5000 }).map((n) => `:${n}\r`),
      fc.constantFrom("'a", 'G', 'gg', ':@77\r', "''", ':+5\r', ':-3\r'),
    );
    fc.assert(
      fc.property(fc.array(jump, { maxLength: 30 }), fc.array(jump, { maxLength: 10 }), (before, jumps) => {
        const from = before.reduce(type, start());
        const to = jumps.reduce(type, from);
        const moved = to.travel.past.length - from.travel.past.length;
        const back = 'H'.repeat(moved);
        expect(type(to, back).cursor).toBe(from.cursor);
        expect(type(to, back).travel.past).toEqual(from.travel.past);
        expect(type(to, back + 'L'.repeat(moved))).toMatchObject({ cursor: to.cursor, travel: { past: to.travel.past, future: [] } });
      }),
      { numRuns: 200 },
    );
  });

  test('what a search finds is a jump, too', () => {
    const ui = type(start(), ']e');
    const found = reduce(ui, { type: 'found', id: ui.job!.id, seq: 400 }, facts);
    expect(type(found, 'H').cursor).toBe(1);
  });
});

describe('bookmarks and notes', () => {
  test('m and a letter asks for a bookmark; its letter goes there', () => {
    const ui = type(start(), '30Gmb');
    expect(ui.travel.request).toEqual({ id: 1, request: { kind: 'mark', name: 'b', seq: 30 } });
    expect(ui.message?.text).toBe('bookmark b at 30');
    expect(type(ui, 'ma').message?.text).toBe('bookmark a at 30, it was at 40');
    expect([type(ui, "'a").cursor, type(ui, "'aH").cursor]).toEqual([40, 30]);
    expect(type(ui, "'q").message).toEqual({ text: 'no bookmark q: mq sets it', error: true });
    expect(type(ui, "'z")).toMatchObject({ cursor: 5000, message: { error: true } });
    expect(type(ui, ':mark c\r').travel.request?.request).toEqual({ kind: 'mark', name: 'c', seq: 30 });
    expect(type(ui, ":'a\r").cursor).toBe(40);
  });

  test('and can be taken away', () => {
    expect(type(start(), 'm-').message?.text).toBe('no bookmark at event 1');
    expect(type(start(), "'am-").travel.request?.request).toEqual({ kind: 'unmark', names: ['a'] });
    expect(type(start(), ':delmark a\r').travel.request?.request).toEqual({ kind: 'unmark', names: ['a'] });
    expect(type(start(), ':delmark q\r').message?.error).toBe(true);
  });

  test('a note is written in a prompt that holds the one that is there', () => {
    const ui = type(start(), "'aa");
    expect(ui.prompt).toEqual({ kind: 'note', text: 'here', cursor: 4 });
    expect(type(ui, '!\r').travel.request?.request).toEqual({ kind: 'note', seq: 40, text: 'here!' });
    expect(type(ui, '\x15\r').travel.request?.request).toEqual({ kind: 'note', seq: 40, text: '' });
    expect(type(ui, '\x1b').travel.request).toBeUndefined();
    expect(type(start(), ':note so\r').travel.request?.request).toEqual({ kind: 'note', seq: 1, text: 'so' });
  });

  test('M shows them, ? the keys', () => {
    expect(type(start(), 'M')).toMatchObject({ mode: 'help', page: 'places' });
    expect(type(start(), 'Mq?')).toMatchObject({ mode: 'help', page: 'keys' });
  });
});

describe('watches', () => {
  test('w asks for a condition, c and C run to it', () => {
    expect(type(start(), 'c').message?.text).toContain('w asks for a condition');
    const ui = type(start(), 'werrno == EBUSY\r');
    expect(ui.travel.watches).toEqual([{ id: 1, text: 'errno == EBUSY' }]);
    expect(type(ui, 'c').job).toMatchObject({ kind: 'travel', direction: 1, from: 1, aim: { to: 'watch', watches: ui.travel.watches } });
    expect(type(ui, 'ccc').job).toMatchObject({ id: 1, times: 3 });
    expect(type(ui, 'cC').job).toMatchObject({ id: 2, direction: -1 });
    expect(type(ui, 'wtook > 1s\r:delete 1\r').travel.watches).toEqual([{ id: 2, text: 'took > 1s' }]);
    expect(type(ui, 'W').travel.watches).toEqual([]);
    expect(type(ui, ':delete 9\r').message?.text).toBe('no watch 9');
    expect(type(ui, 'c\x1b')).toMatchObject({ job: undefined, message: { text: 'stopped' } });
  });

  test('a condition with a mistake is asked for again, with what is wrong and where', () => {
    const ui = type(start(), 'wbad\r');
    expect(ui).toMatchObject({
      mode: 'prompt',
      prompt: { kind: 'watch', text: 'bad' },
      message: { text: 'at "bad" (column 1): no', error: true },
    });
    expect(type(ui, '\x15errno != 0\r').travel.watches).toHaveLength(1);
    expect(type(start(), ':run bad\r')).toMatchObject({ job: undefined, message: { error: true } });
  });

  test(':run and :back need no watch', () => {
    expect(type(start(), ':run errno  != 0\r').job).toMatchObject({ direction: 1, aim: { watches: [{ id: 0, text: 'errno  != 0' }] } });
    expect(type(start(), ':back took > 1s\r').job).toMatchObject({ direction: -1 });
    const there = arrive(type(start(), ':run x\r'), { seq: 33, say: 'stopped at 33' });
    expect(there).toMatchObject({ cursor: 33, job: undefined, message: { text: 'stopped at 33' }, travel: { past: [1] } });
    expect(arrive(type(start(), ':run x\r'), { say: 'never', error: true })).toMatchObject({ cursor: 1, message: { error: true } });
  });

  test('an arrival that comes too late is not taken', () => {
    const ui = type(start(), ':run x\r');
    const moved = type(ui, 'j');
    expect(reduce(moved, { type: 'arrived', id: ui.job!.id, arrival: { seq: 9, say: '', error: false } }, facts)).toBe(moved);
  });
});

describe('along', () => {
  test.each([
    [']o', 'object', 1],
    ['[o', 'object', -1],
    [']t', 'thread', 1],
    ['[p', 'process', -1],
    [']r', 'register', 1],
    ['[c', 'call', -1],
  ] as const)('%s goes along', (keys, along, direction) => {
    const ui = type(start(), keys);
    expect(ui.job).toMatchObject({ kind: 'travel', direction, times: 1, aim: { to: 'along', along, key: undefined, follow: undefined } });
    expect(type(ui, keys).job).toMatchObject({ id: 1, times: 2 });
  });

  test('what was followed to an event is followed on from there, and from nowhere else', () => {
    const subject = { along: 'thread', label: 'thread 7', where: 'tid', value: 7 } as const;
    const there = arrive(type(start(), ']t'), { seq: 20, follow: subject });
    expect(type(there, ']t').job).toMatchObject({ aim: { follow: subject } });
    expect(type(there, '[t').job).toMatchObject({ aim: { follow: subject } });
    expect(type(there, ']c').job).toMatchObject({ aim: { follow: undefined } });
    expect(type(there, 'j]t').job).toMatchObject({ aim: { follow: undefined } });
  });

  test('in Objects the chosen object counts, Enter goes to where it was created, gc and gd to its ends', () => {
    const ui = reduce(type(start(), '3'), { type: 'expire' }, facts);
    expect(type(ui, 'j').travel.object).toBe('c1');
    expect(type(ui, 'jj').travel.object).toBe('o1');
    expect(type(ui, 'jjjj').travel.object).toBe('p7');
    expect(type(ui, 'jjjjk').travel.object).toBe('o3');
    expect(type(ui, 'jj]o').job).toMatchObject({ aim: { along: 'object', key: 'o1' } });
    expect(type(ui, 'jj\r').job).toMatchObject({ aim: { to: 'birth', key: 'o1' } });
    expect(type(ui, 'jjgd').job).toMatchObject({ aim: { to: 'death', key: 'o1' } });
    expect(type(ui, 'jj1gc').job).toMatchObject({ aim: { to: 'birth', key: undefined } });
  });

  test('the chosen line is the nearest node', () => {
    expect(choose([undefined, undefined], undefined, 0, 1)).toBeUndefined();
    expect(choose(KEYS, undefined, 3, 1)).toEqual({ key: 'p7', line: 4 });
    expect(choose(KEYS, 'gone', 9, -1)).toEqual({ key: 'p7', line: 4 });
    expect(choose(KEYS, 'o3', 0, 1)).toEqual({ key: 'p7', line: 4 });
  });

  test('references in Detail are chosen by ]] and opened by Enter there, or gf', () => {
    expect([type(start(), ']]').travel.link, type(start(), ']]]]').travel.link, type(start(), ']]]]]]').travel.link]).toEqual([0, 1, 0]);
    expect(type(start(), '[[').travel.link).toBe(1);
    expect(type(start(), 'gf').cursor).toBe(5);
    expect(type(start(), ']]]]gf')).toMatchObject({ cursor: 7, travel: { link: -1, past: [1] } });
    expect(type(start(), '[[\r\r')).toMatchObject({ cursor: 7 });
  });
});

describe('time', () => {
  test('jumps', () => {
    expect(type(start(), ':@77\r').cursor).toBe(77);
    expect(type(start(), ':12:00\r').message?.text).toBe('the log ends at 5 s');
    expect(type(start(), '50G:+7\r').cursor).toBe(57);
    expect(type(start(), '50G:-7\r').cursor).toBe(43);
  });

  test('play goes on until any key is pressed; < and > change the speed', () => {
    const ui = type(start(), 'p');
    expect(ui.travel.playing).toBe(true);
    const on = reduce(ui, { type: 'played', seq: 9, say: undefined, ends: false }, facts);
    expect([on.cursor, on.travel.playing, on.travel.past]).toEqual([9, true, []]);
    expect(type(on, '>>')).toMatchObject({ travel: { playing: true, speed: SPEEDS.indexOf(10) } });
    expect(type(on, '<').message?.text).toBe('plays ×½ as fast as it was recorded');
    // the key that stops does nothing else
    for (const key of ['j', 'q', '\x1b', 'p', ' '])
      expect(type(on, key)).toMatchObject({ cursor: 9, quit: false, travel: { playing: false } });
    expect(reduce(type(on, 'j'), { type: 'played', seq: 12, say: undefined, ends: false }, facts).cursor).toBe(9);
    expect(reduce(on, { type: 'played', seq: 5000, say: 'end', ends: true }, facts)).toMatchObject({
      cursor: 5000,
      travel: { playing: false },
    });
    expect(type(start(), 'Gp').message?.text).toBe('this is the last event');
  });
});

describe('copy', () => {
  test.each([
    ['yt', 'text'],
    ['yj', 'json'],
    ['yw', 'why'],
    ['yc', 'command'],
  ])('%s', (keys, what) => {
    const ui = type(start(), keys);
    expect(ui.job).toMatchObject({ kind: 'travel', aim: { to: 'copy', what } });
    expect(arrive(ui, { copy: 'x', say: 'copied' }).travel.request?.request).toEqual({ kind: 'copy', text: 'x' });
  });
});

test('command lines', () => {
  expect(parseTravel('run  errno == EBUSY ')).toEqual({ kind: 'run', condition: 'errno == EBUSY', direction: 1 });
  expect(parseTravel('rc a')).toEqual({ kind: 'run', condition: 'a', direction: -1 });
  expect(parseTravel('goto +1.5s')).toEqual({ kind: 'time', when: { from: 'here', ns: 1_500_000_000n } });
  for (const text of ['run', 'mark', 'mark ab', 'mark 1', 'delete x', 'xyz', '', 'watch']) expect(parseTravel(text), text).toBeUndefined();
});
