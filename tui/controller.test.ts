import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { Script } from '../replayer/script.ts';
import { COUNT_DELAY, Controller } from './controller.ts';
import { ACTIONS } from './keymap.ts';
import { cells } from './term/text.ts';
import { makeTheme } from './term/theme.ts';
import { keysOf, longSession, type TestModel, testModel } from './testing.ts';
import { loadRules } from './why-run.ts';

const opened: TestModel[] = [];
const shared = testModel(longSession(5000));
const sample = testModel();
opened.push(shared, sample);
beforeAll(() => loadRules());
afterAll(() => {
  for (const o of opened) o.dispose();
});

/** Time stands still but for `tick` milliseconds with every look at the clock: each slice ends after a few looks. */
let tick = 0;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
  let now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => (now += tick));
  tick = 0;
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function start(over: TestModel = shared, columns = 80, rows = 24) {
  const hooks = { changed: vi.fn(), redraw: vi.fn(), suspend: vi.fn(), quit: vi.fn(), failed: vi.fn() };
  const controller = new Controller(over.model, makeTheme(false, true), columns, rows, hooks);
  const type = (typed: string): void => {
    for (const key of keysOf(typed)) controller.key(key);
  };
  /** What is on the screen, without attributes. */
  const screen = (): string =>
    controller
      .screenful(false)
      .blocks.flatMap((b) => b.rows)
      .join('\n')
      .replace(/\x1b\[[0-9;]*m/g, '');
  return { controller, hooks, type, screen };
}
const fresh = (events = 5000): TestModel => {
  const made = testModel(longSession(events));
  opened.push(made);
  return made;
};

describe('keys', () => {
  test('move the cursor at once; the state is there with the next picture', () => {
    const { controller, type, hooks, screen } = start();
    type('jj');
    expect([controller.ui.cursor, controller.keys, controller.idle, shared.model.at]).toEqual([3, 2, true, 3]);
    expect(hooks.changed).toHaveBeenCalledTimes(2);
    expect(screen()).toContain('+ creates IOAS 1');
    type('k');
    expect(shared.model.at).toBe(2);
  });

  test('a burst is so many keys, and a count with its key one move', () => {
    const { controller, type } = start();
    type('jjjjk20j');
    expect([controller.ui.cursor, controller.keys]).toEqual([24, 8]);
  });

  test('quit, redraw and suspend are passed on', () => {
    const { controller, type, hooks } = start();
    type('\x0c\x1a');
    expect([hooks.redraw, hooks.suspend, hooks.quit].map((h) => h.mock.calls.length)).toEqual([1, 1, 0]);
    type('q');
    expect(hooks.quit).toHaveBeenCalledTimes(1);
    expect(controller.idle).toBe(true);
  });
});

describe('a long way', () => {
  test('is gone in slices, with keys in between; the picture says so', () => {
    tick = 20;
    const { controller, type, screen } = start(fresh());
    type('G');
    const last = controller.ui.cursor;
    expect(last).toBeGreaterThanOrEqual(5000);
    expect(controller.idle).toBe(false);
    // list and cursor are there already, the state is not
    expect(screen()).toMatch(/reading> \d+ %/);
    expect(screen()).toContain(`event ${last}/${last}`);
    vi.advanceTimersToNextTimer();
    type('gg');
    expect(controller.ui.cursor).toBe(1);
    while (!controller.idle) vi.advanceTimersToNextTimer();
    expect(screen()).not.toContain('reading');
  });

  test('ends at the cursor', () => {
    tick = 20;
    const far = fresh();
    const { controller, type } = start(far);
    type('G');
    let slices = 0;
    for (; !controller.idle; slices++) vi.advanceTimersToNextTimer();
    expect(slices).toBeGreaterThanOrEqual(2);
    expect(far.model.at).toBe(far.model.last);
  });
});

describe('jobs', () => {
  test('a search runs beside the keys and is stopped by Esc', () => {
    tick = 20;
    const { controller, type, screen } = start(fresh());
    type('/no such text\r');
    vi.advanceTimersToNextTimer();
    expect(controller.ui.job).toBeDefined();
    expect(screen()).toMatch(/searching> \d+ % {2}Esc stops/);
    type('\x1b');
    expect(controller.ui.job).toBeUndefined();
    while (!controller.idle) vi.advanceTimersToNextTimer();
    expect(screen()).toContain('stopped');
    expect(controller.ui.cursor).toBe(1);
  });

  test('its result moves the cursor and the state', () => {
    const over = fresh();
    const { controller, type } = start(over);
    type(']e');
    while (!controller.idle) vi.advanceTimersToNextTimer();
    expect(over.model.event(controller.ui.cursor)!.error).toBe(2);
    expect(over.model.at).toBe(controller.ui.cursor);
    type('[e');
    while (!controller.idle) vi.advanceTimersToNextTimer();
    expect(controller.ui.message?.text).toBe('no earlier event that failed');
  });

  test('a mistake in the background is passed on', () => {
    tick = 20;
    const over = fresh();
    const { type, hooks } = start(over);
    type('G');
    vi.spyOn(over.model.timeline, 'seek').mockImplementation(() => {
      throw new Error('damaged');
    });
    vi.advanceTimersToNextTimer();
    expect(hooks.failed).toHaveBeenCalledWith(new Error('damaged'));
  });
});

describe('a digit', () => {
  test('moves the focus; after a while it is no count any more', () => {
    const { controller, type, hooks } = start();
    type('3');
    expect([controller.ui.focus, controller.ui.keys.count, controller.idle]).toEqual(['objects', '3', false]);
    vi.advanceTimersByTime(COUNT_DELAY);
    expect([controller.ui.focus, controller.ui.keys.count, controller.idle]).toEqual(['objects', '', true]);
    expect(hooks.changed).toHaveBeenCalledTimes(2);
  });
  test('with a key behind it is a count, and nothing is left waiting', () => {
    const { controller, type } = start();
    type('3j');
    expect([controller.ui.focus, controller.ui.cursor, controller.idle]).toEqual(['events', 4, true]);
  });
});

test('what the event touched is brought into view in the object tree', () => {
  const over = fresh(4000);
  const { controller, type, screen } = start(over, 140, 40);
  type('G');
  while (!controller.idle) vi.advanceTimersToNextTimer();
  const made = Array.from({ length: 60 }, (_, i) => over.model.last - i).find((n) => over.model.listed(n)?.call === 'IOAS_ALLOC')!;
  type(`${made}G`);
  expect(screen()).toMatch(/\+ (\||`)- IOAS \d+/);
  expect(controller.ui.scroll.objects.top).toBeGreaterThan(0);
  // once: who scrolls away afterwards stays there
  type('\t\tgg');
  expect(screen()).toContain('context 1');
  expect(controller.ui.scroll.objects.top).toBe(0);
});

describe('a filter that is typed', () => {
  const settle = (controller: Controller): void => {
    while (!controller.idle) vi.advanceTimersToNextTimer();
  };

  test('keeps the list as it was until it is a condition, and says what it lacks', () => {
    const { controller, type, screen } = start(sample);
    type('ggjj&');
    settle(controller);
    const listed = (): number => screen().match(/ 0\.0000\d\d /g)?.length ?? 0;
    const whole = listed();
    for (const [typed, said] of [
      ['errno', /"errno" begins a condition; Enter looks for the text/],
      [' ==', /errno/],
      [' EBUS', /no errno is called "EBUS"/],
    ] as const) {
      type(typed);
      settle(controller);
      expect(listed(), typed).toBe(whole);
      expect(screen(), typed).toMatch(said);
      expect(controller.ui.cursor, typed).toBe(3);
    }
    type('Y');
    settle(controller);
    expect(screen()).toContain('& errno == EBUSY (2 of 33)');
    expect(controller.ui.cursor).toBe(13);
    // a condition that does not go on yet: the list of the last one
    type(' &&');
    settle(controller);
    expect(screen()).toContain('& errno == EBUSY (2 of 33)');
    type('\x15errno\r');
    settle(controller);
    expect(screen()).toContain('& errno (0 of 33)');
  });

  test('looks from where the prompt was opened, however fast the keys come', () => {
    const ends = [true, false].map((slowly) => {
      const { controller, type } = start(sample);
      type('gg20j&');
      for (const key of 'object == 4711') {
        type(key);
        if (slowly) settle(controller);
      }
      settle(controller);
      return controller.ui.cursor;
    });
    expect(ends).toEqual([21, 21]);
  });
});

describe('play', () => {
  test('is at each event when its recorded time has passed, never before, and a frame later at most', () => {
    const table = uapiTable('linux-7.2');
    const s = new Script(table, 1);
    const offsets = [0, 1, 2, 40.5, 41, 700, 735, 1500.25];
    for (const ms of offsets) {
      s.now = 1e9 + ms * 1e6;
      s.open(3);
    }
    const over = testModel({ table, frames: s.frames });
    opened.push(over);
    const { controller, type } = start(over);
    for (const [keys, factor] of [
      ['ggp', 1],
      ['gg<p', 0.5],
      ['gg>>p', 2],
    ] as const) {
      let clock = 0;
      vi.mocked(performance.now).mockImplementation(() => clock);
      type(keys);
      const reached = new Map([[controller.ui.cursor, 0]]);
      while (!controller.idle) {
        clock++;
        vi.advanceTimersByTime(1);
        if (!reached.has(controller.ui.cursor)) reached.set(controller.ui.cursor, clock);
      }
      expect(controller.ui.cursor).toBe(offsets.length);
      offsets.forEach((ms, i) => {
        const at = [...reached].find(([seq]) => seq > i)![1];
        expect(at, `event ${i + 1} at ${keys}`).toBeGreaterThanOrEqual(Math.floor(ms / factor));
        expect(at, `event ${i + 1} at ${keys}`).toBeLessThanOrEqual(ms / factor + 34);
      });
    }
  });
});

test('after close nothing is called back', () => {
  tick = 20;
  const { controller, type, hooks } = start(fresh());
  type('G');
  controller.close();
  hooks.changed.mockClear();
  vi.runAllTimers();
  expect(hooks.changed).not.toHaveBeenCalled();
});

test('whatever is typed at whatever size, every row of the picture is as wide as its rectangle', () => {
  const all = ACTIONS.flatMap((a) => Object.values(a.keys).flat()).flatMap((keys) => keys.split(' '));
  const key = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...new Set(all)) },
    { weight: 1, arbitrary: fc.constantFrom('9', '0', 'x', 'ä', '漢') },
  );
  const step = fc.oneof(
    { weight: 12, arbitrary: key },
    { weight: 1, arbitrary: fc.record({ columns: fc.integer({ min: 1, max: 200 }), rows: fc.integer({ min: 1, max: 60 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, ascii) => {
      const hooks = { changed: vi.fn(), redraw: vi.fn(), suspend: vi.fn(), quit: vi.fn(), failed: vi.fn() };
      const controller = new Controller(sample.model, makeTheme(true, ascii), 80, 24, hooks);
      for (const s of steps) {
        if (typeof s !== 'string') controller.resize(s.columns, s.rows);
        else controller.key([...s].length === 1 ? { name: s, text: s } : { name: s });
        for (const { rows, width, height } of controller.screenful(true).blocks) {
          expect(rows).toHaveLength(height);
          for (const row of rows) expect(cells(row.replace(/\x1b\[[0-9;]*m/g, ''))).toBe(width);
        }
      }
      controller.close();
      expect(hooks.failed).not.toHaveBeenCalled();
    }),
    { numRuns: 30 },
  );
});
