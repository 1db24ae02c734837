import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ACTIONS } from './keymap.ts';
import { ALWAYS, PANES } from './layout.ts';
import { InputParser } from './term/input.ts';
import { type Facts, initialUi, pageOf, type Ui } from './ui.ts';
import { reduce } from './ui-state.ts';

const facts: Facts = { first: 1, last: 5000, extent: () => ({ lines: 100, cells: 200 }) };

/** Types what a person would, from a state. */
function type(ui: Ui, text: string, f: Facts = facts): Ui {
  const parser = new InputParser();
  return [...parser.push(text), ...parser.flush()].reduce((u, key) => reduce(u, { type: 'key', key }, f), ui);
}
const start = (columns = 80, rows = 24): Ui => initialUi(columns, rows, 1);

describe('the cursor', () => {
  test('steps both ways and stops at the ends', () => {
    expect(type(start(), 'jjj').cursor).toBe(4);
    expect(type(start(), 'jjjk').cursor).toBe(3);
    expect(type(start(), 'kkk').cursor).toBe(1);
    expect(type(start(), 'Gjjj').cursor).toBe(5000);
    expect(type(start(), '50j').cursor).toBe(51);
  });

  test('goes to an event by number, percentage, first and last', () => {
    expect(type(start(), '1204G').cursor).toBe(1204);
    expect(type(start(), '1204Ggg').cursor).toBe(1);
    expect(type(start(), '77gg').cursor).toBe(77);
    expect(type(start(), '50%').cursor).toBe(2501);
    expect(type(start(), ':1204\r').cursor).toBe(1204);
    expect(type(start(), ':goto 33\r').cursor).toBe(33);
    expect(type(start(), ':end\r').cursor).toBe(5000);
    expect(type(start(), ':100%\r').cursor).toBe(5000);
  });

  test('an event that is not there is said, and the nearest is shown', () => {
    const ui = type(start(), ':9999\r');
    expect(ui.cursor).toBe(5000);
    expect(ui.message).toEqual({ text: 'there is no event 9999: the log has 1 to 5000', error: true });
    expect(type(ui, 'k').message).toBeUndefined();
  });

  test('keeps its row inside the list, and the list full', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('j', 'k', '\x04', '\x15', ' ', 'b', 'G', 'gg', '90%', '7G', 'z', '\t', '1', '30j', '9k'), {
          maxLength: 30,
        }),
        fc.integer({ min: 40, max: 200 }),
        fc.integer({ min: 10, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
        (keys, columns, rows, last) => {
          const f = { ...facts, last };
          const ui = keys.reduce((u, k) => type(u, k, f), initialUi(columns, rows, 1));
          const page = pageOf(ui, 'events').lines;
          expect(ui.cursor).toBeGreaterThanOrEqual(1);
          expect(ui.cursor).toBeLessThanOrEqual(last);
          expect(ui.cursorRow).toBeGreaterThanOrEqual(0);
          expect(ui.cursorRow).toBeLessThan(page);
          // the first row shown is an event, and there is no blank row below the last event while some are above
          const top = ui.cursor - ui.cursorRow;
          expect(top).toBeGreaterThanOrEqual(1);
          if (top > 1) expect(top + page - 1).toBeLessThanOrEqual(last);
        },
      ),
      { numRuns: 400 },
    );
  });

  test('a resize keeps the cursor', () => {
    const ui = type(start(), '1204G');
    const small = reduce(ui, { type: 'resize', columns: 60, rows: 12 }, facts);
    expect([small.cursor, small.cursorRow < pageOf(small, 'events').lines]).toEqual([1204, true]);
  });
});

describe('panes', () => {
  test('Tab goes round, numbers go there, Enter opens and comes back', () => {
    expect(ALWAYS.map((_, i) => type(start(), '\t'.repeat(i)).focus)).toEqual(ALWAYS);
    expect(type(start(), '\t\t\t\t').focus).toBe('events');
    expect(type(start(), '\x1b[Z').focus).toBe('changed');
    expect(type(start(), '3').focus).toBe('objects');
    expect(type(start(), '\r').focus).toBe('detail');
    expect(type(start(), '\r\r').focus).toBe('events');
    expect(type(start(), '31').recent).toEqual(['events', 'objects']);
  });

  test('a pane that the trace has nothing for is not there, and says so', () => {
    const late = (ui: Ui): Ui => reduce(ui, { type: 'expire' }, facts);
    expect(type(start(), '6').message).toBeUndefined();
    expect(type(start(), '60j').cursor).toBe(61);
    expect(late(type(start(), '6'))).toMatchObject({ focus: 'events', message: { error: true, text: 'this trace has nothing for CMDQV' } });
    const more = reduce(start(), { type: 'panes', panes: ['cmdqv'] }, facts);
    expect(more.panes).toEqual([...ALWAYS, 'cmdqv']);
    expect(type(more, '6').focus).toBe('cmdqv');
    expect(type(more, '\t\t\t\t').focus).toBe('cmdqv');
    const all = reduce(more, { type: 'panes', panes: ['devices'] }, facts);
    expect(all.panes).toEqual(PANES);
    expect(reduce(all, { type: 'panes', panes: [] }, facts)).toBe(all);
  });

  test('t and T go round: times, lanes; each says what it is now', () => {
    const times = ['', 't', 'tt', 'ttt'].map((keys) => type(start(), keys).view.time);
    expect(times).toEqual(['start', 'previous', 'day', 'start']);
    const lanes = ['', 'T', 'TT', 'TTT'].map((keys) => type(start(), keys).view.lanes);
    expect(lanes).toEqual(['thread', 'process', 'context', 'thread']);
    expect(type(start(), 'TT').message).toEqual({ text: 'lanes are contexts', error: false });
    expect(type(start(), 'ttj').message).toBeUndefined();
  });

  test('x brings Detail onto the screen, too', () => {
    const hex = type(start(), '31x');
    expect([hex.hex, hex.recent[0], hex.focus]).toEqual([true, 'detail', 'events']);
    const zoomed = type(start(), '3zx');
    expect([zoomed.hex, zoomed.focus]).toEqual([true, 'detail']);
  });

  test('e asks for the why of this event alone, and brings Detail onto the screen', () => {
    const asked = type(start(), '5j3\x1b');
    const why = type(asked, 'e');
    expect([why.view.why, why.recent[0]]).toEqual([why.cursor, 'detail']);
    expect(type(why, 'j').view.why).not.toBe(type(why, 'j').cursor);
    expect(type(type(start(), 'z'), 'e').focus).toBe('detail');
  });

  test('a digit moves the focus, but typed on it is a count', () => {
    const typed = type(start(), '3');
    expect([typed.focus, typed.keys.count, typed.focusBefore]).toEqual(['objects', '3', 'events']);
    expect([type(typed, '0').focus, type(typed, '0').keys.count]).toEqual(['events', '30']);
    expect([type(typed, '0G').cursor, type(typed, '0G').focus]).toEqual([30, 'events']);
    expect([type(typed, 'j').cursor, type(typed, 'j').focus]).toEqual([4, 'events']);
  });

  test('when the time is over the digit was for the focus alone', () => {
    const late = reduce(type(start(), '3'), { type: 'expire' }, facts);
    expect([late.focus, late.keys.count]).toEqual(['objects', '']);
    expect(type(late, 'j')).toMatchObject({ cursor: 1, scroll: { objects: { top: 1 } } });
  });

  test('in a text pane j scrolls and s steps; the ends hold', () => {
    const ui = reduce(type(start(), '2'), { type: 'expire' }, facts);
    expect(type(ui, 'jj')).toMatchObject({ cursor: 1, scroll: { detail: { top: 2 } } });
    expect(type(ui, 'jjkkk').scroll.detail.top).toBe(0);
    expect(type(ui, 'G').scroll.detail.top).toBe(100 - pageOf(ui, 'detail').lines);
    expect(type(ui, 'Ggg').scroll.detail.top).toBe(0);
    expect(type(ui, 'ss')).toMatchObject({ cursor: 3, focus: 'detail' });
    expect(type(ui, 'ssS').cursor).toBe(2);
    expect(type(ui, '1204G')).toMatchObject({ cursor: 1204 });
  });

  test('a line that should be seen is brought into view', () => {
    const ui = reduce(start(140, 40), { type: 'reveal', pane: 'objects', line: 80 }, facts);
    const page = pageOf(ui, 'objects').lines;
    expect(ui.scroll.objects.top).toBeLessThanOrEqual(80);
    expect(ui.scroll.objects.top + page).toBeGreaterThan(80);
    expect(reduce(ui, { type: 'reveal', pane: 'objects', line: 80 }, facts)).toBe(ui);
  });

  test('h and l scroll sideways, as far as the text goes; a pane that is left is back at the beginning', () => {
    const ui = reduce(type(start(), '3'), { type: 'expire' }, facts);
    expect(type(ui, 'lll').scroll.objects.left).toBe(24);
    expect(type(ui, '99lh').scroll.objects.left).toBe(200 - 78 - 8);
    expect(type(ui, 'll\t').scroll.objects.left).toBe(0);
  });

  test('zoom, Esc', () => {
    expect(type(start(), 'z').zoom).toBe(true);
    expect(type(start(), 'zz').zoom).toBe(false);
    expect(type(start(), 'z\x1b').zoom).toBe(false);
    expect(type(start(), '\t\x1b').focus).toBe('events');
  });
});

describe('jobs', () => {
  test('a search through the log is a job, and its result moves the cursor', () => {
    const ui = type(start(), 'J');
    expect(ui.job).toMatchObject({ kind: 'change', direction: 1, times: 1, from: 1 });
    const found = reduce(ui, { type: 'found', id: ui.job!.id, seq: 400 }, facts);
    expect([found.cursor, found.job]).toEqual([400, undefined]);
  });

  test('the same key again goes on with the same job', () => {
    const ui = type(start(), 'JJJ');
    expect(ui.job).toMatchObject({ id: 1, times: 3 });
    expect(type(start(), 'J5J').job).toMatchObject({ id: 1, times: 6 });
    expect(type(ui, 'K').job).toMatchObject({ id: 2, times: 1, direction: -1 });
  });

  test('Esc and Ctrl-c stop it, a move forgets it, and a late result is not taken', () => {
    const ui = type(start(), ']e');
    expect(ui.job?.kind).toBe('error');
    for (const key of ['\x1b', '\x03', 'q'])
      expect(type(ui, key)).toMatchObject({ job: undefined, quit: false, message: { text: 'stopped' } });
    const moved = type(ui, 'j');
    expect(moved.job).toBeUndefined();
    expect(reduce(moved, { type: 'found', id: ui.job!.id, seq: 400 }, facts).cursor).toBe(2);
  });

  test('nothing found is said', () => {
    const ui = type(start(), '/no\x1b[31msuch\rj/unmap\r');
    const none = reduce(ui, { type: 'found', id: ui.job!.id, seq: undefined }, facts);
    expect([none.cursor, none.message?.text]).toEqual([2, 'no later event that matches "unmap"']);
  });

  test('n and N repeat a search; without one they say so', () => {
    expect(type(start(), 'n').message?.text).toContain('/ asks');
    const ui = type(start(), '/map\r');
    expect(ui.job).toMatchObject({ kind: 'search', text: 'map', direction: 1 });
    const found = reduce(ui, { type: 'found', id: ui.job!.id, seq: 9 }, facts);
    expect(type(found, 'N').job).toMatchObject({ kind: 'search', text: 'map', direction: -1, from: 9 });
  });
});

describe('the prompt', () => {
  const text = (keys: string): string | undefined => type(start(), keys).prompt?.text;
  test('edits a line', () => {
    expect(text('/abc')).toBe('abc');
    expect(text('/abc\x7f')).toBe('ab');
    expect(text('/abc\x1b[D\x1b[DX')).toBe('aXbc');
    expect(text('/abc def  \x17')).toBe('abc ');
    expect(text('/abc\x15x')).toBe('x');
    expect(text('/é漢\x7fz')).toBe('éz');
    expect(text('/abc\x01X\x05Y')).toBe('XabcY');
    expect(text('/\x1b[200~one\ntwo\x1b[201~!')).toBe('one!');
  });
  test('closes on Esc, Ctrl-c and a backspace too many, and keys are text while it is open', () => {
    for (const keys of ['/q\x1b', '/q\x03', '/\x7f'])
      expect(type(start(), keys)).toMatchObject({ mode: 'main', prompt: undefined, quit: false });
    expect(type(start(), '/qzJ').mode).toBe('prompt');
  });
  test('brings the last search back', () => {
    expect(type(start(), '/map\r/\x1b[A').prompt?.text).toBe('map');
  });
  test('a command may be an action, and what is none is said with its control characters escaped', () => {
    expect(type(start(), ':pane.zoom\r').zoom).toBe(true);
    expect(type(start(), ':q\r').quit).toBe(true);
    expect(type(start(), ':\x1b[200~a\u202eb\x1b[201~\r').message?.text).toContain('"a\\u{202e}b"');
    for (const a of ACTIONS) expect(() => type(start(), `:${a.name}\r`)).not.toThrow();
  });
});

describe('everything else', () => {
  test('help opens, scrolls and closes', () => {
    const ui = type(start(), '?');
    expect(ui.mode).toBe('help');
    expect(type(ui, 'jjk').scroll.help.top).toBe(1);
    for (const key of ['?', 'q', '\x1b']) expect(type(ui, key)).toMatchObject({ mode: 'main', quit: false });
  });

  test('quit, redraw, suspend', () => {
    expect(type(start(), 'q').quit).toBe(true);
    expect(type(start(), '\x03').quit).toBe(true);
    expect(type(start(), '\x0c')).toMatchObject({ redraws: 1 });
    expect(type(start(), '/\x1a')).toMatchObject({ suspends: 1, mode: 'prompt' });
  });

  test('Esc and a key in one read are two keys', () => {
    expect(type(start(), 'z\x1bj')).toMatchObject({ zoom: false, cursor: 2 });
  });

  test('an empty log has nowhere to go', () => {
    const empty: Facts = { first: 0, last: 0, extent: () => ({ lines: 0, cells: 0 }) };
    for (const keys of ['j', 'G', '5G', '50%', 'J', '\x04', ':3\r']) expect(type(initialUi(80, 24, 0), keys, empty).cursor).toBe(0);
  });

  test('the reducer is pure: the same keys give the same state, and no state is changed', () => {
    const keys = 'j5jJ/map\rn]e3z\t?q:77\r\x1b';
    const freeze = (ui: Ui): Ui => Object.freeze(ui);
    const run = (): Ui => {
      const parser = new InputParser();
      return [...parser.push(keys), ...parser.flush()].reduce((u, key) => freeze(reduce(u, { type: 'key', key }, facts)), freeze(start()));
    };
    expect(run()).toEqual(run());
  });
});
