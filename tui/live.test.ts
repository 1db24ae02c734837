import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { StoreError } from '../store/errors.ts';
import { Live } from './live.ts';
import type { TraceModel } from './model.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A recording that is at hand: `next` is what the next looks find, a number of events or what is thrown. */
function recording(spool?: string) {
  const next: (number | Error | 'complete')[] = [];
  const said: string[] = [];
  const state = { last: 10, complete: false, atEnd: true };
  const model = {
    get last() {
      return state.last;
    },
    get meta() {
      return { complete: state.complete, spool };
    },
    refresh: () => {
      const now = next.shift() ?? 0;
      if (now instanceof Error) throw now;
      if (now === 'complete') state.complete = true;
      else state.last += now;
      return now !== 0;
    },
  };
  const live = new Live(model as unknown as TraceModel, {
    end: () => {
      said.push(`end? ${state.last}`);
      return state.atEnd;
    },
    grew: (end) => said.push(`grew ${state.last} ${end}`),
    ended: (text, error) => said.push(`ended ${text}${error ? ' !' : ''}`),
    gone: (text) => said.push(`gone ${text}`),
    changed: () => said.push(`changed ${live.text}`),
    failed: (error) => said.push(`failed ${(error as Error).message}`),
  });
  return { live, next, said, state, look: (times = 1) => vi.advanceTimersByTime(200 * times) };
}

describe('a recording that is followed', () => {
  test('where the cursor is, is asked before the list grows; nothing grows where nothing came', () => {
    const { live, next, said, state, look } = recording();
    live.follow(true);
    expect(live.text).toBe('FOLLOWING');
    next.push(5);
    look();
    expect(said.slice(0, 2)).toEqual(['end? 10', 'grew 15 true']);
    state.atEnd = false;
    next.push(1);
    look();
    expect(said).toContain('grew 16 false');
    said.length = 0;
    look();
    expect(said).not.toContainEqual(expect.stringMatching(/^grew/));
    live.close();
  });

  test('without a recorder nothing comes: it is said once, and taken back when something comes all the same', () => {
    const { live, next, said, look } = recording('/no/such.spool');
    live.follow(true);
    look(9);
    expect(live.text).toBe('FOLLOWING 0/s');
    look(20);
    expect(live.text).toBe('NO RECORDER');
    expect(said.filter((s) => s.startsWith('gone'))).toEqual(['gone nobody records here, and there is no spool to recover from']);
    next.push(5);
    look();
    expect(live.text).toMatch(/^FOLLOWING \d+\/s$/);
    live.close();
  });

  test('the speed is that of the last two seconds, and 0 when nothing comes any more', () => {
    const { live, next, look } = recording();
    live.follow(true);
    next.push(...Array.from({ length: 10 }, () => 20));
    look(10);
    expect(live.text).toBe('FOLLOWING 100/s');
    next.push(...Array.from({ length: 10 }, () => 200));
    look(5);
    expect(Number(/(\d+)\/s/.exec(live.text)?.[1])).toBeGreaterThan(400);
    look(5);
    expect(live.text).toBe('FOLLOWING 1000/s');
    look(11);
    expect(live.text).toBe('FOLLOWING 0/s');
    live.close();
  });

  test('the same speed is not told twice', () => {
    const { live, said, look } = recording();
    live.follow(true);
    look(8);
    expect(said.filter((s) => s.startsWith('changed'))).toEqual(['changed FOLLOWING 0/s']);
    live.close();
  });

  test('its end is told once, and nobody looks any more', () => {
    const { live, next, said, look } = recording();
    live.follow(true);
    next.push(7, 'complete', 9);
    look(6);
    expect(said.filter((s) => s.startsWith('ended'))).toEqual(['ended the recording has ended: 17 events']);
    expect([live.text, next, vi.getTimerCount()]).toEqual(['', [9], 0]);
  });

  test('a writer that is at it just now is waited for; what cannot be read is told, and a mistake is passed on', () => {
    const { live, next, said, look } = recording();
    live.follow(true);
    next.push(new StoreError('busy', 'x.irr'), new StoreError('in-progress', 'x.irr'), 3);
    look(3);
    expect(said).toContain('grew 13 true');
    expect(said.some((s) => /^(ended|failed)/.test(s))).toBe(false);
    next.push(new TypeError('oops'));
    look();
    expect(said).toContain('failed oops');
    next.push(new StoreError('damaged', 'x.irr'));
    look(3);
    expect(said.filter((s) => s.startsWith('ended'))).toEqual(['ended followed no longer: x.irr: damaged !']);
    expect([live.text, vi.getTimerCount()]).toEqual(['', 0]);
  });

  test('to begin twice is to begin once; closed it is silent, and it can be followed again', () => {
    const { live, next, said, look } = recording();
    live.follow(true);
    live.follow(true);
    expect(vi.getTimerCount()).toBe(1);
    live.follow(false);
    live.follow(false);
    next.push(4);
    look(5);
    expect([said, live.text, vi.getTimerCount()]).toEqual([[], '', 0]);
    live.follow(true);
    look();
    expect(said).toContain('grew 14 true');
    // the pause does not count for the speed
    expect(live.text).toBe('FOLLOWING 20/s');
    live.close();
  });
});
