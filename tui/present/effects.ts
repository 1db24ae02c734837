/** What an event did to the state, as marks and a few words. Pure. */
import type { Change } from '../../replayer/change.ts';
import { changesText, type NameOf, objectName } from '../../replayer/words.ts';
import { clean, type Line, line, span } from '../term/text.ts';
import type { Glyphs, Token } from '../term/theme.ts';

export type Mark = 'created' | 'destroyed' | 'changed';

export interface Effect {
  readonly mark: Mark;
  /** objects created and ended, from the longest form to the shortest: "creates VIOMMU 6", "VIOMMU 6"; empty where only other things changed */
  readonly words: readonly string[];
  /** a queue of a CMDQV is known to have failed since then */
  readonly fault: boolean;
}

/** CONS_INDX.ERR */
const CONS_ERROR = 0x7f00_0000n;
const FAILS: readonly (readonly [name: RegExp, bits: bigint])[] = [
  [/\.GERROR$/, -1n],
  [/\.CONS_INDX$/, CONS_ERROR],
  [/_ERR_MAP_\d+$/, -1n],
];

/** Bits of a register that say that something failed, and that were not known to be so before. */
const fails = (c: Change): boolean => {
  if (c.op !== 'cmdqv.register' || c.to === undefined) return false;
  const bits = FAILS.find(([name]) => name.test(c.name))?.[1] ?? 0n;
  return (c.to.value & c.to.known & bits & ~(c.from === undefined ? 0n : c.from.value & c.from.known)) !== 0n;
};

/** The effect of an event in a few words; undefined where it changed nothing. */
export function effectOf(changes: readonly Change[]): Effect | undefined {
  if (changes.length === 0) return undefined;
  const created: string[] = [];
  const ended: string[] = [];
  for (const c of changes) {
    if (c.op === 'object.create') created.push(objectName(c.object));
    else if (c.op === 'object.end') ended.push(objectName(c.object));
    else if (c.op === 'context.begin') created.push(`context ${c.context.context}`);
    else if (c.op === 'context.end') ended.push(`context ${c.context.context}`);
  }
  const both = (say: (verb: string, names: readonly string[]) => string): string =>
    [say('creates', created), say('ends', ended)].filter((w) => w !== '').join(', ');
  const words = created.length + ended.length === 0 ? [] : [both(inFull), both(byName), both(byCount)];
  return { mark: created.length > 0 ? 'created' : ended.length > 0 ? 'destroyed' : 'changed', words, fault: changes.some(fails) };
}

const inFull = (verb: string, names: readonly string[]): string => (names.length === 0 ? '' : `${verb} ${names.join(', ')}`);
const byName = (_verb: string, names: readonly string[]): string => names.join(', ');
const byCount = (verb: string, names: readonly string[]): string =>
  names.length === 0 ? '' : `${verb} ${names.length} object${names.length === 1 ? '' : 's'}`;

/** First words of a change → how it looks. */
const VERBS: readonly (readonly [RegExp, Mark])[] = [
  [/^(creates|infers|begins|opens|maps|pins|attaches)\b/, 'created'],
  [/^(destroys|buries|ends|closes|unmaps|unpins|releases|detaches)\b/, 'destroyed'],
];

/** How a sentence about a change looks, by its verb. */
export const verbMark = (text: string): Mark => VERBS.find(([verb]) => verb.test(text))?.[1] ?? 'changed';

/** All changes of an event, one line each: `+ creates VIOMMU 6`. */
export function changeLines(changes: readonly Change[], nameOf: NameOf, glyphs: Glyphs): Line[] {
  return changesText(changes, nameOf).map((text) => {
    const mark = verbMark(text);
    return line('  ', span(`${glyphs[mark]} `, mark satisfies Token), span(clean(text)));
  });
}
