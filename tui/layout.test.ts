import { describe, expect, test } from 'vitest';
import { ALWAYS, type Layout, type LayoutInput, layout, PANES, type PaneId, type Rect } from './layout.ts';

/** The rectangles as a drawing, scaled down: one character is `sx` x `sy` cells. Overlaps show as `*`, gaps as `.`. */
function draw(l: Layout, columns: number, rows: number, sx: number, sy: number): string {
  const grid = Array.from({ length: rows }, () => Array.from({ length: columns }, () => '.'));
  const put = (r: Rect, c: string): void => {
    for (let y = r.y; y < r.y + r.height; y++) for (let x = r.x; x < r.x + r.width; x++) grid[y]![x] = grid[y]![x] === '.' ? c : '*';
  };
  put(l.header, 'h');
  for (const b of l.boxes) put(b, String(PANES.indexOf(b.pane) + 1));
  put(l.strip, 'o');
  put(l.status, 's');
  put(l.hints, 'k');
  expect(
    grid.flat().filter((c) => c === '*' || c === '.'),
    'gaps and overlaps',
  ).toEqual([]);
  const keep = (y: number): boolean => y === 0 || y >= l.strip.y || (y - 1) % sy === 0;
  return grid
    .filter((_, y) => keep(y))
    .map((row) => row.filter((_, x) => x % sx === 0).join(''))
    .join('\n');
}

const at = (columns: number, rows: number, more: Partial<LayoutInput> = {}): LayoutInput => ({
  columns,
  rows,
  focus: 'events',
  recent: [],
  zoom: false,
  panes: ALWAYS,
  ...more,
});
const picture = (columns: number, rows: number, sx: number, sy: number, more: Partial<LayoutInput> = {}): string =>
  `\n${draw(layout(at(columns, rows, more)), columns, rows, sx, sy)}\n`;

describe('layout', () => {
  test('60x15: one box, Tab goes through the panes', () => {
    expect(picture(60, 15, 6, 4)).toBe(`
hhhhhhhhhh
1111111111
1111111111
1111111111
ssssssssss
kkkkkkkkkk
`);
    expect(picture(60, 15, 6, 4, { focus: 'objects' })).toBe(`
hhhhhhhhhh
3333333333
3333333333
3333333333
ssssssssss
kkkkkkkkkk
`);
  });

  test('80x24: events above, the other panes share a box below', () => {
    const events = `
hhhhhhhhhh
1111111111
1111111111
1111111111
1111111111
2222222222
2222222222
2222222222
oooooooooo
ssssssssss
kkkkkkkkkk
`;
    expect(picture(80, 24, 8, 3)).toBe(events);
    expect(picture(80, 24, 8, 3, { focus: 'detail', recent: ['objects'] })).toBe(events);
    expect(picture(80, 24, 8, 3, { focus: 'objects' })).toBe(events.replaceAll('2', '3'));
    expect(picture(80, 24, 8, 3, { recent: ['objects'] })).toBe(events.replaceAll('2', '3'));
  });

  test('140x40: three boxes', () => {
    expect(picture(140, 40, 10, 4)).toBe(`
hhhhhhhhhhhhhh
11111111113333
11111111113333
11111111113333
11111111113333
11111111113333
11111111113333
22222222223333
22222222223333
22222222223333
oooooooooooooo
oooooooooooooo
ssssssssssssss
kkkkkkkkkkkkkk
`);
  });

  test('140x40 with all panes: the queues have a box, devices share that of the objects', () => {
    expect(picture(140, 40, 10, 4, { panes: PANES })).toMatchInlineSnapshot(`
      "
      hhhhhhhhhhhhhh
      11111111133333
      11111111133333
      11111111133333
      11111111133333
      11111111133333
      11111111166666
      22222222266666
      22222222266666
      22222222266666
      oooooooooooooo
      oooooooooooooo
      ssssssssssssss
      kkkkkkkkkkkkkk
      "
    `);
    expect(layout(at(140, 40, { panes: PANES })).boxes.map((b) => b.tabs)).toEqual([
      ['events'],
      ['detail', 'changed'],
      ['objects', 'devices'],
      ['cmdqv'],
    ]);
  });

  test('200x60: columns, and a box for nearly every pane', () => {
    expect(picture(200, 60, 10, 8, { panes: PANES })).toMatchInlineSnapshot(`
      "
      hhhhhhhhhhhhhhhhhhhh
      11111111113333366666
      11111111113333366666
      11111111113333366666
      11111111113333366666
      11111111113333366666
      22222222224444455555
      22222222224444455555
      oooooooooooooooooooo
      oooooooooooooooooooo
      ssssssssssssssssssss
      kkkkkkkkkkkkkkkkkkkk
      "
    `);
    expect(picture(200, 60, 10, 8)).toMatchInlineSnapshot(`
      "
      hhhhhhhhhhhhhhhhhhhh
      11111111111111133333
      11111111111111133333
      11111111111111133333
      11111111111111133333
      11111111111111133333
      22222222222222244444
      22222222222222244444
      oooooooooooooooooooo
      oooooooooooooooooooo
      ssssssssssssssssssss
      kkkkkkkkkkkkkkkkkkkk
      "
    `);
  });

  test('of panes that share a box the one last looked at is on top', () => {
    const shown = (recent: readonly PaneId[]): PaneId[] => layout(at(140, 40, { recent, panes: PANES })).boxes.map((b) => b.pane);
    expect(shown(['events', 'changed', 'devices', 'detail', 'objects'])).toEqual(['events', 'changed', 'devices', 'cmdqv']);
    expect(shown(['detail', 'changed', 'objects', 'devices'])).toEqual(['events', 'detail', 'objects', 'cmdqv']);
  });

  test('zoom gives the focused pane everything, at every size', () => {
    for (const pane of PANES) {
      const l = layout(at(140, 40, { focus: pane, zoom: true, panes: PANES }));
      expect(l.boxes).toEqual([{ x: 0, y: 1, width: 140, height: 35, pane, tabs: PANES }]);
    }
  });

  test('the focused pane is always on the screen, and no size makes a gap', () => {
    for (let columns = 40; columns <= 220; columns += 20) {
      for (let rows = 10; rows <= 70; rows += 6) {
        for (const focus of PANES) {
          const l = layout(at(columns, rows, { focus, panes: PANES }));
          draw(l, columns, rows, 1, 1);
          expect(l.boxes.some((b) => b.pane === focus)).toBe(true);
          expect(l.boxes.every((b) => b.height >= 5 && b.width >= 40)).toBe(true);
        }
      }
    }
  });

  test('below 40x10 there is no pane', () => {
    expect(layout(at(39, 24)).plan).toBe('small');
    expect(layout(at(80, 9)).boxes).toEqual([]);
    expect(layout(at(40, 10)).boxes).toHaveLength(1);
  });
});
