import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import { emptyPrompt, typeInto } from '../prompt.ts';
import { completionAt, wordsOf } from './complete.ts';
import { complete, NO_FINDING } from './ui-find.ts';

const words = wordsOf(vocabularyOf(uapiTable('linux-7.2')));
const filter = (text: string, cursor = [...text].length) => ({ ...emptyPrompt('filter'), text, cursor });

describe('words', () => {
  test('calls by both their names, errors, fields, registers: each once', () => {
    for (const word of ['IOMMU_IOAS_MAP', 'IOAS_MAP', 'EBUSY', 'errno', 'ioas_id', 'call', 'reg']) expect(words).toContain(word);
    expect(new Set(words).size).toBe(words.length);
  });

  test('those that begin so come first, those that have it inside where none begins so; capitals count where there are some', () => {
    expect(completionAt('EBU', 3, words)?.words).toEqual(['EBUSY']);
    expect(completionAt('ebus', 4, words)?.words).toEqual(['EBUSY']);
    expect(completionAt('Fo', 2, ['foo', 'Foo', 'aFo'])?.words).toEqual(['Foo']);
    expect(completionAt('FO', 2, ['foo', 'xfo'])?.words).toEqual(['foo']);
    expect(completionAt('o', 1, ['foo', 'x'])?.words).toEqual(['foo']);
    expect(completionAt('', 0, words)).toBeUndefined();
    expect(completionAt('errno == ', 9, words)).toBeUndefined();
    expect(completionAt('no_such_word', 12, words)).toBeUndefined();
  });
});

/** What stands before the cursor, some of it a piece of a word. */
const typed = fc.tuple(
  fc.string({ unit: fc.constantFrom(...'a= (&漢\u{1f600}'), maxLength: 6 }),
  fc.constantFrom('', ' ', '('),
  fc
    .tuple(fc.constantFrom(...words), fc.nat(12), fc.integer({ min: 1, max: 5 }))
    .map(([w, at, n]) => w.slice(at % w.length, (at % w.length) + n)),
  fc.constantFrom('', ' && ', '漢'),
);

test('Tab replaces the piece of a word before the cursor and nothing else; pressed on, it comes round', () => {
  fc.assert(
    fc.property(typed, ([before, gap, piece, after]) => {
      const head = `${before}${gap}${piece}`;
      const prompt = filter(head + after, [...head].length);
      const first = completionAt(prompt.text, prompt.cursor, words);
      // what stands before the cursor, back to the first character that no name has; what is behind it does not count
      const word = head.split(/[^\p{L}\p{N}_.]/u).at(-1)!;
      const offered = word !== '' && words.some((w) => w !== word && w.toUpperCase().includes(word.toUpperCase()));
      expect([first !== undefined, first?.start]).toEqual([offered, offered ? [...head].length - [...word].length : undefined]);
      let [now, find] = [prompt, NO_FINDING] as const as [typeof prompt, typeof NO_FINDING];
      const seen: string[] = [];
      for (let n = 0; n < (first?.words.length ?? 0) + 1; n++) {
        const next = complete(now, find, words);
        [now, find] = [next.prompt, next.find];
        seen.push([...now.text].slice(first?.start ?? 0, now.cursor).join(''));
        if (first === undefined) continue;
        expect([...now.text].slice(0, first.start)).toEqual([...prompt.text].slice(0, first.start));
        expect([...now.text].slice(now.cursor).join('')).toBe(after);
      }
      if (first === undefined) {
        expect([now, find]).toEqual([prompt, NO_FINDING]);
        return;
      }
      const replaced = [...head].slice(first.start).join('');
      expect(head.endsWith(replaced) && replaced !== '').toBe(true);
      expect(seen).toEqual([...first.words, first.words[0]]);
      for (const word of first.words) {
        expect(words).toContain(word);
        expect(word.toUpperCase()).toContain(replaced.toUpperCase());
      }
      // all begin so, or none does
      const begins = first.words.map((w) => w.toUpperCase().startsWith(replaced.toUpperCase()));
      expect(begins.every((b) => b === begins[0])).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('what is typed behind a completed word begins anew', () => {
  const done = complete(filter('EBU'), NO_FINDING, words);
  expect(done.prompt.text).toBe('EBUSY');
  expect(typeInto(done.prompt, ' ').text).toBe('EBUSY ');
});
