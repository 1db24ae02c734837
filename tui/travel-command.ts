/** What of a command line is about travelling. Pure. */
import { parseWhen, type When } from './when.ts';

export type TravelCommand =
  | { readonly kind: 'time'; readonly when: When }
  | { readonly kind: 'by'; readonly events: number }
  | { readonly kind: 'run'; readonly condition: string; readonly direction: 1 | -1 }
  | { readonly kind: 'watch'; readonly condition: string }
  /** undefined: all of them */
  | { readonly kind: 'unwatch'; readonly id: number | undefined }
  | { readonly kind: 'mark' | 'unmark' | 'visit'; readonly name: string }
  | { readonly kind: 'note'; readonly text: string };

/** First words, in full and as gdb and vim shorten them; what follows is for the row. */
const ROWS: readonly (readonly [words: RegExp, make: (rest: string) => TravelCommand | undefined])[] = [
  [/^(?:run|continue|c)$/, (condition) => run(condition, 1)],
  [/^(?:back|reverse-continue|rc)$/, (condition) => run(condition, -1)],
  [/^(?:watch|w)$/, (condition) => (condition === '' ? undefined : { kind: 'watch', condition })],
  [
    /^(?:delete|unwatch)$/,
    (rest) => (/^(\d{1,9})?$/.test(rest) ? { kind: 'unwatch', id: rest === '' ? undefined : Number(rest) } : undefined),
  ],
  [/^(?:mark|m)$/, (name) => named('mark', name)],
  [/^(?:delmarks?|unmark)$/, (name) => named('unmark', name)],
  [/^(?:note|n)$/, (text) => ({ kind: 'note', text })],
];

const run = (condition: string, direction: 1 | -1): TravelCommand | undefined =>
  condition === '' ? undefined : { kind: 'run', condition, direction };
const named = (kind: 'mark' | 'unmark' | 'visit', name: string): TravelCommand | undefined =>
  /^[A-Za-z]$/.test(name) ? { kind, name } : undefined;

/** undefined where the line is about something else. */
export function parseTravel(line: string): TravelCommand | undefined {
  const text = line.trim();
  const target = text.replace(/^(?:goto|g) +/, '');
  const when = parseWhen(target);
  if (when !== undefined) return { kind: 'time', when };
  const by = /^([+-]) ?(\d{1,15})$/.exec(target);
  if (by !== null) return { kind: 'by', events: Number(`${by[1]}${by[2]}`) };
  const visited = /^'([A-Za-z])$/.exec(target);
  if (visited !== null) return { kind: 'visit', name: visited[1]! };
  const [, first = '', rest = ''] = /^(\S+)\s*(.*)$/s.exec(text) ?? [];
  return ROWS.find(([words]) => words.test(first))?.[1](rest);
}
