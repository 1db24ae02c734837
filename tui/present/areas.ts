/** The IOVA map of an IOAS as lines: areas that follow each other with the same rights are one line with a count. Pure. */
import type { Area, AreaTree } from '../../replayer/areas.ts';
import { hex, lengthOf, plus, type U64 } from '../../replayer/u64.ts';
import { sizeText } from './detail.ts';

export interface AreaLine {
  readonly text: string;
  /** the event has to do with one of them */
  readonly marked: boolean;
}

/** Areas that are looked at, and lines that are made, of one IOAS. */
const LOOKED = 1024;
const MOST = 8;

const FLAGS = [
  [4, 'R'],
  [2, 'W'],
  [1, 'F'],
] as const;

/** `RWF`: readable, writeable, at a fixed IOVA */
const flagsText = (flags: number): string => FLAGS.map(([bit, letter]) => ((flags & bit) === 0 ? '-' : letter)).join('');

function sourceText(a: Area): string {
  if (a.kind === 'memory') return `memory ${hex(a.source)}`;
  return a.kind === 'file' ? `${a.file > 0 ? `file ${a.file}` : `fd ${a.fd}`} ${hex(a.source)}` : 'source ?';
}

/** `0x1000+0x2000  8 KiB  RWF  memory 0x7f…, event 14` */
export function areaText(a: Area): string {
  const size = sizeText(BigInt(lengthOf(a.start, a.last)));
  const range = `${hex(a.start)}+${hex(lengthOf(a.start, a.last))}`;
  return [range, size, flagsText(a.flags), `${sourceText(a)}, event ${a.seq}`].filter((t) => t !== '').join('  ');
}

interface Run {
  readonly first: Area;
  last: U64;
  count: number;
  marked: boolean;
}

/** Lines of a tree, at most some; around those that were touched (their first IOVAs), where there are more. */
export function areaLines(tree: AreaTree, touched: ReadonlySet<U64>, ellipsis: string): AreaLine[] {
  const runs: Run[] = [];
  let looked = 0;
  for (const area of tree) {
    if (++looked > LOOKED) break;
    addTo(runs, area, touched.has(area.start));
  }
  // what was touched is shown wherever it is
  if (looked > LOOKED)
    for (const start of touched) {
      const area = tree.from(start);
      if (area !== undefined && area.start === start && area.start > (runs.at(-1)?.last ?? 0))
        runs.push({ first: area, last: area.last, count: 1, marked: true });
    }
  const at = runs.findIndex((r) => r.marked);
  const from = Math.max(0, Math.min(at - (MOST >> 1), runs.length - MOST));
  const shown = runs.slice(from, from + MOST);
  const counted = (some: readonly Run[]): number => some.reduce((n, r) => n + r.count, 0);
  const before = counted(runs.slice(0, from));
  const after = tree.count - before - counted(shown);
  const more = (n: number, where: string): AreaLine[] =>
    n <= 0 ? [] : [{ text: `${ellipsis} ${n} area${n === 1 ? '' : 's'} ${where}`, marked: false }];
  return [...more(before, 'before'), ...shown.map((r) => ({ text: runText(r), marked: r.marked })), ...more(after, 'more')];
}

function addTo(runs: Run[], area: Area, marked: boolean): void {
  const run = runs.at(-1);
  const follows = run !== undefined && plus(run.last, 1) === area.start && run.first.flags === area.flags && run.first.kind === area.kind;
  // what the event touched stands alone
  if (follows && !marked && !run.marked) {
    run.last = area.last;
    run.count++;
  } else runs.push({ first: area, last: area.last, count: 1, marked });
}

function runText(r: Run): string {
  if (r.count === 1) return areaText(r.first);
  const length = lengthOf(r.first.start, r.last);
  const size = sizeText(BigInt(length));
  return [`${hex(r.first.start)}+${hex(length)}`, size, flagsText(r.first.flags), `${r.count} areas`].filter((t) => t !== '').join('  ');
}
