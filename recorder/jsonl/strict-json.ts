/** JSON of one line, as strictly as a format needs that people edit: no key twice, no bottomless nesting, nothing but UTF-8. */
import { JsonError, shown } from '../../hw/uapi/json-value.ts';

/** Deeper than any line of ours. */
const DEEPEST = 32;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The value of a line. Throws a JsonError. */
export function strictJson(bytes: Buffer): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new JsonError('not UTF-8; save the file as UTF-8');
  }
  checkKeys(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new JsonError(`no JSON: ${(error as Error).message.replace(/\p{Cc}/gu, '?')}`);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const LIST = 0x5b;
const END = 0x5d;
const COLON = 0x3a;

/** Throws where an object has a key twice or things lie too deep in each other. Whether it is JSON at all, JSON.parse says. */
function checkKeys(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case OPEN:
        open.push(new Set());
        break;
      case LIST:
        open.push(undefined);
        break;
      case CLOSE:
      case END:
        open.pop();
        break;
      case QUOTE: {
        const from = i;
        i = endOfString(text, i + 1);
        if (i < 0) return;
        if (text.charCodeAt(i + 1) === COLON || colonFollows(text, i + 1)) addKey(open.at(-1), text, from, i);
        break;
      }
    }
    if (open.length > DEEPEST) throw new JsonError(`nested deeper than ${DEEPEST}; no event is`);
  }
}

/** Where the string that began before `from` ends; -1: it does not. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

function colonFollows(text: string, from: number): boolean {
  for (let at = from; ; at++) {
    const c = text.charCodeAt(at);
    if (c === COLON) return true;
    if (c !== 0x20 && c !== 0x09) return false;
  }
}

function addKey(keys: Set<string> | undefined, text: string, from: number, to: number): void {
  if (keys === undefined) return;
  const raw = text.slice(from + 1, to);
  let key = raw;
  if (raw.includes('\\')) {
    try {
      key = JSON.parse(text.slice(from, to + 1)) as string;
    } catch {
      return;
    }
  }
  if (keys.has(key)) throw new JsonError(`the key ${shown(key)} stands there twice; take one away`);
  keys.add(key);
}
