import { describe, expect, test } from 'vitest';
import { ACTIONS, actionByName, help, hints, type KeyState, keyText, NO_KEYS, PLACES, type Place, press } from './keymap.ts';

const places = Object.keys(PLACES) as Place[];
const bound = (place: Place): { keys: string; name: string }[] =>
  ACTIONS.flatMap((a) => PLACES[place].flatMap((w) => (a.keys[w] ?? []).map((keys) => ({ keys, name: a.name }))));

/** Presses keys one after the other, as the program does; returns the actions. */
function type(place: Place, keys: string[]): string[] {
  let state: KeyState = NO_KEYS;
  const out: string[] = [];
  for (const key of keys) {
    const p = press(state, key, place);
    state = p.kind === 'pending' ? p.keys : NO_KEYS;
    if (p.kind === 'action') out.push(p.count === undefined ? p.action : `${p.count} ${p.action}`);
  }
  return out;
}

describe('keymap', () => {
  test.each(places)('in %s no key means two things, and none is the beginning of another', (place) => {
    const all = bound(place);
    for (const a of all) {
      for (const b of all) {
        if (a === b) continue;
        expect(a.keys, `${a.name} and ${b.name}`).not.toBe(b.keys);
        expect(b.keys.startsWith(`${a.keys} `), `${a.name} (${a.keys}) hides ${b.name} (${b.keys})`).toBe(false);
      }
    }
  });

  test('names are unique and every action has a key', () => {
    expect(new Set(ACTIONS.map((a) => a.name)).size).toBe(ACTIONS.length);
    for (const a of ACTIONS) {
      expect(a.name).toMatch(/^[a-z]+\.[a-zA-Z]+$/);
      expect(Object.values(a.keys).flat().length, a.name).toBeGreaterThan(0);
      expect(actionByName(a.name)).toBe(a);
    }
    expect(actionByName('time.nothing')).toBeUndefined();
  });

  test('the keys of the screen plan', () => {
    expect(type('events', ['j', 'down', 'k', 'up'])).toEqual(['time.step', 'time.step', 'time.reverseStep', 'time.reverseStep']);
    expect(type('events', ['g', 'g', 'G', ']', 'e', '[', 'e'])).toEqual(['time.first', 'time.last', 'error.next', 'error.previous']);
    expect(type('text', ['j', 's', 'S', 'J', 'z', 'x'])).toEqual([
      'scroll.down',
      'time.step',
      'time.reverseStep',
      'change.next',
      'pane.zoom',
      'detail.hex',
    ]);
  });

  test('counts go with the actions that take one', () => {
    expect(type('events', ['9', '0', 'j'])).toEqual(['90 time.step']);
    expect(type('events', ['9', 'g', 'g'])).toEqual(['9 time.first']);
    expect(type('events', ['8', ']', 'e'])).toEqual(['8 error.next']);
    expect(type('events', ['9', 'z'])).toEqual(['pane.zoom']);
    expect(type('events', ['0', 'j'])).toEqual(['time.step']);
  });

  test('an unknown key ends a sequence and a count', () => {
    expect(type('events', ['g', 'ä', 'j'])).toEqual(['time.step']);
    expect(type('events', ['9', 'ä', 'j'])).toEqual(['time.step']);
    expect(type('prompt', ['a', 'enter'])).toEqual(['prompt.accept']);
  });

  test('hints join what belongs together, and the help names every key', () => {
    expect(hints('events').slice(0, 3)).toEqual([
      { keys: 'j/k', text: 'step' },
      { keys: 'J/K', text: 'change' },
      { keys: ']e/[e', text: 'error' },
    ]);
    for (const place of ['events', 'text'] as const) {
      expect(help(place).at(-1)?.title).toBe('In a prompt');
      const shown = help(place).flatMap((g) => g.rows.flatMap((r) => r.keys.split(' ')));
      for (const { keys } of bound(place)) expect(shown).toContain(keyText(keys));
    }
  });
});
