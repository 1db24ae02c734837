/** Words that Tab completes in a prompt. Pure. */
import { ERRNO_NAMES } from '../../hw/errno.ts';
import { CHANGE_WORDS, COLUMNS, FLAGS, OBJECT_WORDS, type Vocabulary } from '../../replayer/query.ts';
import { registerWords } from '../../replayer/query-registers.ts';

/** Part of a prompt's text, in code points, and the words that may stand there. */
export interface Completion {
  readonly start: number;
  readonly words: readonly string[];
  /** which of them stands there now */
  readonly index: number;
}

const WORD = /[\p{L}\p{N}_.]*$/u;
/** Words that are offered at most. */
const MOST = 200;

/** Everything that can be typed by name. */
export function wordsOf(vocabulary: Vocabulary): readonly string[] {
  const short = vocabulary.calls.map((name) => name.replace(/^(IOMMU|VFIO)_/, ''));
  const all = [
    ...Object.keys(COLUMNS),
    'reg',
    ...FLAGS,
    ...CHANGE_WORDS,
    ...Object.keys(OBJECT_WORDS),
    ...vocabulary.fields,
    ...vocabulary.calls,
    ...short,
    ...ERRNO_NAMES,
    ...registerWords(),
  ];
  return [...new Set(all)];
}

/** What may stand where the cursor is: names that begin with what is typed there, letters of any case; then those that have it inside. */
export function completionAt(text: string, cursor: number, words: readonly string[]): Completion | undefined {
  const before = [...text].slice(0, cursor).join('');
  const typed = WORD.exec(before)?.[0] ?? '';
  if (typed === '') return undefined;
  const wanted = typed.toUpperCase();
  const begin = words.filter((w) => w.toUpperCase().startsWith(wanted));
  const inside = words.filter((w) => !w.toUpperCase().startsWith(wanted) && w.toUpperCase().includes(wanted));
  const found = (begin.length > 0 ? begin : inside).filter((w) => w !== typed);
  return found.length === 0 ? undefined : { start: cursor - [...typed].length, words: found.slice(0, MOST), index: -1 };
}
