/**
 * Bytes of a terminal → keys. One read may hold many keys ("jjj" are three), and a key may be spread over reads; both are
 * handled here and nowhere else. A lone Esc is told from the start of a sequence by time: the caller runs a timer while
 * {@link InputParser.pending} and calls {@link InputParser.flush} when it ends.
 */
import { StringDecoder } from 'node:string_decoder';

/**
 * A key. `name` is the character itself (`j`, `G`, `?`) or one of: space enter tab backspace esc up down left right home
 * end pageup pagedown insert delete f1…f12 paste unknown; with `ctrl-`, `alt-`, `shift-` in front, in this order. The mouse
 * has click wheelup wheeldown.
 */
export interface Key {
  readonly name: string;
  /** what it types: one character, or the text of a paste; absent for keys that type nothing */
  readonly text?: string;
  /** of the mouse: the cell, from 0 */
  readonly at?: { readonly x: number; readonly y: number };
}

/** The key of a name, without modifiers. */
export const keyNamed = (name: string): Key =>
  [...name].length === 1 ? { name, text: name } : name === 'space' ? { name, text: ' ' } : { name };

/** Milliseconds after which a lone Esc byte is the Esc key. Sequences arrive in one piece, or nearly. */
export const ESC_DELAY = 50;
/** Milliseconds of silence after which a paste ends whose end mark was lost on the way: else it would swallow every key. */
export const PASTE_DELAY = 5000;
const CTRL_C = '\x03';
/** A paste longer than this is cut: nothing here wants one. */
const PASTE_LIMIT = 65_536;
const PASTE_END = '\x1b[201~';

/** Final byte of CSI and SS3 sequences. */
const FINALS: Readonly<Record<string, string>> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  E: 'clear',
  F: 'end',
  H: 'home',
  M: 'enter',
  P: 'f1',
  Q: 'f2',
  R: 'f3',
  S: 'f4',
  Z: 'tab',
};
/** First parameter of `CSI n ~`. */
const TILDES: Readonly<Record<number, string>> = {
  1: 'home',
  2: 'insert',
  3: 'delete',
  4: 'end',
  5: 'pageup',
  6: 'pagedown',
  7: 'home',
  8: 'end',
  11: 'f1',
  12: 'f2',
  13: 'f3',
  14: 'f4',
  15: 'f5',
  17: 'f6',
  18: 'f7',
  19: 'f8',
  20: 'f9',
  21: 'f10',
  23: 'f11',
  24: 'f12',
};
const CONTROLS: Readonly<Record<number, string>> = {
  0: 'ctrl-space',
  8: 'backspace',
  9: 'tab',
  13: 'enter',
  27: 'esc',
  28: 'ctrl-\\',
  29: 'ctrl-]',
  30: 'ctrl-^',
  31: 'ctrl-_',
  127: 'backspace',
};

const CSI = /^\x1b\[([\x30-\x3f]*)([\x20-\x2f]*)([\x40-\x7e])/;
const CSI_PART = /^\x1b\[[\x30-\x3f]*[\x20-\x2f]*$/;

export class InputParser {
  readonly #decoder = new StringDecoder('utf8');
  #buffer = '';
  #paste: string | undefined;

  /** How many milliseconds to wait for more: after a lone Esc, the beginning of a sequence, or of a paste; undefined: nothing waits. */
  get pending(): number | undefined {
    if (this.#paste !== undefined) return PASTE_DELAY;
    return this.#buffer === '' ? undefined : ESC_DELAY;
  }

  /** Takes what was read; returns the keys that are complete. */
  push(bytes: Uint8Array | string): Key[] {
    const read = typeof bytes === 'string' ? bytes : this.#decoder.write(Buffer.from(bytes));
    // read alone it was pressed, not pasted
    const lost = this.#paste !== undefined && read === CTRL_C ? this.#parse(true) : [];
    this.#buffer += read;
    return [...lost, ...this.#parse(false)];
  }

  /** The time for more bytes is over: what waits is taken as it stands. */
  flush(): Key[] {
    return this.#parse(true);
  }

  #parse(final: boolean): Key[] {
    const keys: Key[] = [];
    while (this.#buffer !== '' || (final && this.#paste !== undefined)) {
      if (this.#paste !== undefined) {
        const pasted = this.#pasted(final);
        if (pasted === undefined) break;
        keys.push(pasted);
        continue;
      }
      const taken = next(this.#buffer, final);
      if (taken === undefined) break;
      this.#buffer = this.#buffer.slice(taken.length);
      if (taken.key.name === 'paste') this.#paste = '';
      else if (taken.key !== NOTHING) keys.push(taken.key);
    }
    return keys;
  }

  /** Collects a bracketed paste; a key once its end is there, or will not come any more. */
  #pasted(final: boolean): Key | undefined {
    const end = this.#buffer.indexOf(PASTE_END);
    // a part of the end mark may be the last thing read
    const upTo = end >= 0 ? end : final ? this.#buffer.length : Math.max(0, this.#buffer.length - PASTE_END.length + 1);
    this.#paste = ((this.#paste ?? '') + this.#buffer.slice(0, upTo)).slice(0, PASTE_LIMIT);
    this.#buffer = this.#buffer.slice(upTo);
    if (end < 0 && !final) return undefined;
    if (end >= 0) this.#buffer = this.#buffer.slice(PASTE_END.length);
    const text = this.#paste;
    this.#paste = undefined;
    return { name: 'paste', text };
  }
}

interface Taken {
  readonly key: Key;
  readonly length: number;
}

const UNKNOWN: Key = { name: 'unknown' };
/** What is no key: a button that is let go. */
const NOTHING: Key = { name: 'nothing' };

/** Buttons of SGR mouse reports (mode 1006), without the bits of Shift, Alt and Ctrl. */
const BUTTONS: Readonly<Record<number, string>> = { 0: 'click', 64: 'wheelup', 65: 'wheeldown' };
const MODIFIERS = 4 | 8 | 16;

function mouse(params: string, end: string): Key {
  const [button = -1, x = 0, y = 0] = params.slice(1).split(';').map(Number);
  const name = BUTTONS[button & ~MODIFIERS];
  return end === 'M' && name !== undefined && x >= 1 && y >= 1 ? { name, at: { x: x - 1, y: y - 1 } } : NOTHING;
}

/** The first key of `s`; undefined where more must be read first. */
function next(s: string, final: boolean): Taken | undefined {
  if (!s.startsWith('\x1b')) {
    const c = String.fromCodePoint(s.codePointAt(0)!);
    return { key: plain(c), length: c.length };
  }
  if (s.length === 1) return final ? { key: { name: 'esc' }, length: 1 } : undefined;
  if (s[1] === '\x1b') return { key: { name: 'esc' }, length: 1 };
  if (s[1] === '[') return csi(s, final);
  if (s[1] === 'O') {
    if (s.length === 2) return final ? { key: { name: 'alt-O' }, length: 2 } : undefined;
    const name = FINALS[s[2]!];
    return { key: name === undefined ? UNKNOWN : { name }, length: 3 };
  }
  const c = String.fromCodePoint(s.codePointAt(1)!);
  return { key: { name: `alt-${plain(c).name}` }, length: 1 + c.length };
}

function csi(s: string, final: boolean): Taken | undefined {
  const match = CSI.exec(s);
  if (match === null) {
    if (!final && CSI_PART.test(s)) return undefined;
    if (s.length === 2) return { key: { name: 'alt-[' }, length: 2 };
    // not a sequence: drop the two bytes that promised one, and read on behind them
    return { key: UNKNOWN, length: 2 };
  }
  const [all, params, , end] = match as unknown as [string, string, string, string];
  // an X10 mouse report has three bytes behind it; nobody asked for one, but they are no keys
  if (all === '\x1b[M') return s.length >= 6 || final ? { key: UNKNOWN, length: Math.min(6, s.length) } : undefined;
  return { key: sequence(params, end), length: all.length };
}

function sequence(params: string, end: string): Key {
  if (/^<\d+;\d+;\d+$/.test(params) && (end === 'M' || end === 'm')) return mouse(params, end);
  const [first = '', second = ''] = params.split(';');
  const code = Number.parseInt(first, 10);
  const bits = (Number.parseInt(second, 10) || 1) - 1;
  if (end === '~') {
    if (code === 200) return { name: 'paste' };
    return named(TILDES[code], bits);
  }
  if (end === 'u' && Number.isInteger(code) && code <= 0x10ffff) {
    const key = plain(String.fromCodePoint(code));
    return bits === 0 ? key : named(key.name, bits);
  }
  if (end === 'Z') return { name: 'shift-tab' };
  // with parameters the first is 1; anything else is a report (focus, position, mouse) that nobody asked for
  if (!/^(1(;[0-9]+)?)?$/.test(params)) return UNKNOWN;
  return named(FINALS[end], bits);
}

/** Modifier bits of xterm: 1 shift, 2 alt, 4 ctrl. */
function named(name: string | undefined, bits: number): Key {
  if (name === undefined) return UNKNOWN;
  return { name: (bits & 4 ? 'ctrl-' : '') + (bits & 2 ? 'alt-' : '') + (bits & 1 ? 'shift-' : '') + name };
}

function plain(c: string): Key {
  const code = c.codePointAt(0)!;
  const control = CONTROLS[code];
  if (control !== undefined) return { name: control };
  if (code < 32) return { name: `ctrl-${String.fromCharCode(code + 96)}` };
  if (code === 32) return { name: 'space', text: ' ' };
  if (code >= 0x80 && code < 0xa0) return UNKNOWN;
  return { name: c, text: c };
}
