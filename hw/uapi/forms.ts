/**
 * What the words of a field say in the language of the hardware: a command, an event record, a stream table entry. A row of
 * spec/ names the form; text and JSON say it beside the words, which are never lost.
 */
import { bytesOf, setBits } from '../bits.ts';
import { register, registerText } from '../cmdqv/registers.ts';
import { commandText, decodeWords } from '../smmuv3/commands.ts';
import { decodeEvent, eventText } from '../smmuv3/events.ts';
import { idrText } from '../smmuv3/idr.ts';
import { decodeSte, steText } from '../smmuv3/ste.ts';
import type { FormName } from './types.ts';

const FORMS: Readonly<Record<FormName, (words: readonly bigint[]) => string>> = {
  'smmuv3-command': ([w0 = 0n, w1 = 0n]) => commandText(decodeWords(w0, w1)),
  'smmuv3-event': (words) => eventText(decodeEvent(bytesOf(words))),
  'smmuv3-ste': (words) => steText(decodeSte(bytesOf(words))),
  'smmuv3-idr': idrText,
  'lvcmdq-map': ([low = 0n, high = 0n]) => `LVCMDQ ${low === 0n && high === 0n ? 'none' : setBits(low | (high << 64n)).join(',')}`,
  'cmdqv-param': ([param = 0n]) => (param === 0n ? '' : registerText(register('PARAM', 'CMDQV'), 0, param).replace(/^\S+ \((.*)\)$/, '$1')),
};

/** `TLBI_NH_VA asid 3 va 0x7f0000000000 leaf`; undefined where there is nothing to say. Never throws. */
export function formText(form: FormName, words: readonly (number | bigint)[]): string | undefined {
  const text = FORMS[form](words.map((w) => BigInt.asUintN(64, BigInt(w))));
  return text === '' ? undefined : text;
}
