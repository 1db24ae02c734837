import { EventEmitter } from 'node:events';
import xterm from '@xterm/headless';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Screen, type Terminal } from './screen.ts';

/** A terminal emulator of xterm's own making behind the interface of a tty. */
class Emulator extends EventEmitter implements Terminal {
  readonly term: InstanceType<typeof xterm.Terminal>;
  written = '';
  /** what `write` answers: false is a slow line */
  fast = true;
  columns: number;
  rows: number;
  constructor(columns: number, rows: number) {
    super();
    this.columns = columns;
    this.rows = rows;
    this.term = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 100 });
  }
  write(data: string): boolean {
    this.written += data;
    this.term.write(data);
    return this.fast;
  }
  async resize(columns: number, rows: number): Promise<void> {
    await this.settled();
    this.columns = columns;
    this.rows = rows;
    this.term.resize(columns, rows);
    this.emit('resize');
  }
  settled(): Promise<void> {
    return new Promise((done) => this.term.write('', done));
  }
  /** The cells as text, right blanks cut; with each style change marked when `styled`. */
  async cells(styled = false): Promise<string[]> {
    await this.settled();
    const buffer = this.term.buffer.active;
    return Array.from({ length: this.rows }, (_, y) => {
      const row = buffer.getLine(buffer.baseY + y);
      if (row === undefined) return '';
      if (!styled) return row.translateToString(true).trimEnd();
      let out = '';
      for (let x = 0; x < this.columns; x++) {
        const cell = row.getCell(x);
        out += `${cell?.getChars() || ' '}${cell?.isBold() ? 'B' : ''}${cell?.isInverse() ? 'I' : ''}${cell?.getFgColor()};`;
      }
      return out.replace(/( -1;)+$/, '');
    });
  }
}

const rowOf = (columns: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.tuple(
        fc.constantFrom('', '\x1b[31m', '\x1b[1m', '\x1b[7m', '\x1b[0m'),
        fc.string({ unit: fc.constantFrom(...'ab │─►漢é '), maxLength: 9 }),
      ),
      {
        maxLength: 12,
      },
    )
    .map((parts) => {
      let left = columns;
      let out = '';
      for (const [sgr, text] of parts) {
        out += sgr;
        for (const c of text) {
          const width = c === '漢' ? 2 : 1;
          if (left < width) return out;
          out += c;
          left -= width;
        }
      }
      return out;
    });

describe('screen', () => {
  test('after any frames and resizes the cells are those of the last frame', async () => {
    const step = fc.record({
      columns: fc.integer({ min: 8, max: 40 }),
      rows: fc.integer({ min: 2, max: 10 }),
      resize: fc.boolean(),
      slow: fc.boolean(),
      cursor: fc.option(fc.record({ x: fc.nat(7), y: fc.nat(1) }), { nil: undefined }),
      seed: fc.array(rowOf(40), { minLength: 0, maxLength: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const tty = new Emulator(20, 6);
        const screen = new Screen(tty);
        screen.enter();
        for (const s of steps) {
          if (s.resize) await tty.resize(s.columns, s.rows);
          tty.fast = !s.slow;
          // an empty write is no frame
          const frame = s.seed.map((row) => cut(row, tty.columns)).join('\n') || ' ';
          screen.cursor = s.cursor;
          screen.write(frame);
          if (s.slow) {
            tty.fast = true;
            tty.emit('drain');
          }
          const plain = new Emulator(tty.columns, tty.rows);
          const rows = frame.split('\n').slice(0, tty.rows);
          plain.write(`\x1b[?7l${rows.map((r, y) => `\x1b[${y + 1};1H${r}\x1b[0m`).join('')}`);
          expect(await tty.cells(true)).toEqual(await plain.cells(true));
          if (s.cursor !== undefined)
            expect([tty.term.buffer.active.cursorX, tty.term.buffer.active.cursorY]).toEqual([s.cursor.x, s.cursor.y]);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('a cursor that moves alone is moved, and hidden again', () => {
    const tty = new Emulator(40, 10);
    const screen = new Screen(tty);
    screen.enter();
    const moved = (cursor: { x: number; y: number } | undefined): string => {
      tty.written = '';
      screen.cursor = cursor;
      screen.write('/ab');
      return tty.written.replace(/\x1b\[\?2026[hl]/g, '');
    };
    moved({ x: 3, y: 0 });
    expect(moved({ x: 2, y: 0 })).toBe('\x1b[1;3H\x1b[?25h');
    expect(moved({ x: 2, y: 0 })).toBe('');
    expect(moved(undefined)).toBe('\x1b[?25l');
  });

  test('writes only the rows that changed, in one synchronized update', () => {
    const tty = new Emulator(40, 10);
    const screen = new Screen(tty);
    screen.enter();
    const rows = Array.from({ length: 10 }, (_, i) => `row ${i}`);
    screen.write(rows.join('\n'));
    tty.written = '';
    screen.write(rows.with(3, 'new').join('\n'));
    expect(tty.written).toBe('\x1b[?2026h\x1b[4;1Hnew\x1b[0m\x1b[K\x1b[?2026l');
    tty.written = '';
    screen.write(rows.with(3, 'new').join('\n'));
    expect(tty.written).toBe('');
  });

  test('never clears the scrollback, and gives the terminal back as it was', async () => {
    const tty = new Emulator(30, 6);
    tty.write('prompt$ iommufd-rr tui x.irr\r\nbefore');
    const before = await tty.cells();
    const screen = new Screen(tty);
    screen.enter();
    screen.write('a\nb\nc\nd\ne\nf');
    await tty.resize(20, 5);
    screen.write('A\nB');
    await tty.resize(30, 6);
    screen.leave();
    screen.leave();
    screen.write('late');
    expect(await tty.cells()).toEqual(before);
    expect(tty.term.modes).toMatchObject({ wraparoundMode: true, bracketedPasteMode: false });
    expect(tty.term.buffer.active.type).toBe('normal');
    expect(tty.written).not.toContain('\x1b[3J');
    expect(tty.listenerCount('resize') + tty.listenerCount('drain')).toBe(0);
  });

  test('on a slow line only the newest frame is painted', () => {
    const tty = new Emulator(20, 4);
    const screen = new Screen(tty);
    screen.enter();
    tty.fast = false;
    screen.write('one');
    tty.written = '';
    for (let i = 0; i < 100; i++) screen.write(`frame ${i}`);
    expect([tty.written, screen.busy]).toEqual(['', true]);
    tty.fast = true;
    tty.emit('drain');
    expect(tty.written).toContain('frame 99');
    expect(tty.written).not.toContain('frame 98');
    expect(screen.busy).toBe(false);
  });

  test('after leave and enter (suspend) the last frame is back', async () => {
    const tty = new Emulator(20, 4);
    const screen = new Screen(tty);
    screen.enter();
    screen.write('one\ntwo');
    screen.leave();
    tty.write('shell');
    screen.enter();
    expect(await tty.cells()).toEqual(['one', 'two', '', '']);
  });

  test('a frame larger than the terminal is cut, not scrolled', async () => {
    const tty = new Emulator(10, 3);
    const screen = new Screen(tty);
    screen.enter();
    screen.write(Array.from({ length: 9 }, (_, i) => `${i}`.repeat(10)).join('\n'));
    expect(await tty.cells()).toEqual(['0'.repeat(10), '1'.repeat(10), '2'.repeat(10)]);
  });
});

/** A row with its escape sequences, cut to `width` cells. */
function cut(row: string, width: number): string {
  let left = width;
  return (row.match(/\x1b\[[0-9;]*m|[\s\S]/gu) ?? [])
    .filter((c) => {
      if (c.startsWith('\x1b')) return true;
      left -= c === '漢' ? 2 : 1;
      return left >= 0;
    })
    .join('');
}
