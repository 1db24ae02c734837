/** All bookmarks, notes and watches, and where they are kept. Pure. */
import { clean, type Line, line, span, wrap } from '../term/text.ts';
import type { Travel } from '../travel.ts';

/** What is shown of the marks of a trace. */
export interface ShownMarks {
  readonly all: readonly { readonly name: string; readonly seq: number }[];
  readonly notes: readonly { readonly seq: number; readonly text: string }[];
  readonly place: 'trace' | 'beside' | 'memory';
  readonly trouble: string | undefined;
}

const KEPT = {
  trace: 'kept in the trace',
  beside: 'kept in a file beside the trace',
  memory: 'kept nowhere: they last as long as this screen',
} as const;

export function placesLines(marks: ShownMarks, travel: Pick<Travel, 'watches' | 'past'>, width: number): Line[] {
  const section = (title: string, rows: readonly Line[], none: string): Line[] => [
    line(' ', span(title, 'title')),
    ...(rows.length === 0 ? [line('   ', span(none, 'dim'))] : rows.flatMap((row) => wrap(row, width, 14))),
    line(''),
  ];
  const row = (key: string, seq: number | undefined, text: string): Line =>
    line('   ', span(key.padEnd(4), 'key'), seq === undefined ? '' : span(`${String(seq).padStart(6)}  `), clean(text));
  const noted = new Map(marks.notes.map((n) => [n.seq, n.text]));
  return [
    ...section(
      'Bookmarks',
      marks.all.map((m) => row(`'${clean(m.name)}`, m.seq, noted.get(m.seq) ?? '')),
      'none: m and a letter sets one',
    ),
    ...section(
      'Notes',
      marks.notes.map((n) => row('', n.seq, n.text)),
      'none: a writes one',
    ),
    ...section(
      'Watches',
      travel.watches.map((w) => row(String(w.id), undefined, w.text)),
      'none: w asks for a condition',
    ),
    ...section(
      'Places before, H goes back',
      [...travel.past]
        .reverse()
        .slice(0, 9)
        .map((seq) => row('', seq, '')),
      'none',
    ),
    line(
      '   ',
      span(marks.trouble === undefined ? KEPT[marks.place] : clean(marks.trouble), marks.trouble === undefined ? 'dim' : 'error'),
    ),
  ];
}
