/** Words that Tab completes in a prompt. Pure. */
import { ERRNO_NAMES } from '../../hw/errno.ts';
import { CHANGE_WORDS, COLUMNS, FLAGS, OBJECT_WORDS, type Vocabulary } from '../../replayer/query.ts';
import { registerWords } from '../../replayer/query-registers.ts';

/** Letters match without regard to case, unless there is a capital among those that were typed. */
export const isExact = (text: string): boolean => /\p{Lu}/u.test(text);

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

/** Words that mean something in front of an operator or a bracket alone. */
export const CONDITION_WORDS: readonly string[] = [...Object.keys(COLUMNS), 'object', 'reg', ...CHANGE_WORDS];

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

/** What may stand where the cursor is: names that begin with what is typed there, else those that have it inside; capitals count first. */
export function completionAt(text: string, cursor: number, words: readonly string[]): Completion | undefined {
  const before = [...text].slice(0, cursor).join('');
  const typed = WORD.exec(before)?.[0] ?? '';
  if (typed === '') return undefined;
  const wanted = typed.toUpperCase();
  const ways: readonly ((word: string) => boolean)[] = [
    ...(isExact(typed) ? [(w: string) => w.startsWith(typed), (w: string) => w.includes(typed)] : []),
    (w) => w.toUpperCase().startsWith(wanted),
    (w) => w.toUpperCase().includes(wanted),
  ];
  for (const fits of ways) {
    const found = words.filter((w) => w !== typed && fits(w)).slice(0, MOST);
    if (found.length > 0) return { start: cursor - [...typed].length, words: found, index: -1 };
  }
  return undefined;
}
