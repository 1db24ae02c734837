/** Words for a command line that somebody pastes. */
import { escapeText } from '../../hw/quote.ts';

/** A word as a shell takes it. */
export const shellWord = (word: string): string => {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  const safe = escapeText(word);
  return safe === word ? `'${word.replaceAll("'", `'\\''`)}'` : `$'${[...Buffer.from(word)].map((b) => shellByte(b)).join('')}'`;
};
const shellByte = (b: number): string =>
  b >= 0x20 && b < 0x7f && b !== 0x27 && b !== 0x5c ? String.fromCharCode(b) : `\\x${b.toString(16).padStart(2, '0')}`;
