/** Arguments of events beside ioctls as JSON and back. The words are those of event-words.ts. */
import { CLOSE_RANGE_FLAGS, flagNames, flagValue, MAP_FLAGS, MREMAP_FLAGS, OPEN_FLAGS, PROT_FLAGS } from './event-flags.ts';
import type { EventLike } from './event-text.ts';
import { ARG_WORDS, FOUND, FRAME_NUMBERS, GAP, KIND_NAMES, kindName, QUEUE, REGION, START, TEXTS, type WordForm } from './event-words.ts';
import { jsonNumber } from './json-text.ts';
import { JsonError, numberIn, shown, wordOf } from './uapi/json-value.ts';

const PART = FRAME_NUMBERS.part;
const FLAG_WORDS = { open: OPEN_FLAGS, prot: PROT_FLAGS, map: MAP_FLAGS, mremap: MREMAP_FLAGS, close_range: CLOSE_RANGE_FLAGS } as const;

/** What `request` says of events that are no calls. */
const HOW: Readonly<Record<string, readonly string[]>> = { fd: FOUND, gap: GAP, start: START, queue: QUEUE, region: REGION };

/** Whether `args.how` says what the event's request is. */
export const saysHow = (kind: string): boolean => HOW[kind] !== undefined;

/** u64 words of the event's ARGS part. */
export function argsOf(frame: EventLike): bigint[] {
  const bytes = frame.parts.find((p) => p.kind === PART.ARGS)?.bytes;
  if (bytes === undefined) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 3 }, (_, i) => view.getBigUint64(8 * i, true));
}

const MMAP = KIND_NAMES.indexOf('mmap');
const MREMAP = KIND_NAMES.indexOf('mremap');
const MMIO = KIND_NAMES.indexOf('mmio');

/** A number, or `"0x…"` for an address and for what a number cannot hold. */
export function retJson(frame: EventLike): number | bigint {
  const address = (frame.kind === MMAP || frame.kind === MREMAP || frame.kind === MMIO) && frame.error === 0;
  const n = Number(frame.ret);
  return address || !Number.isSafeInteger(n) ? frame.ret : n;
}

/** Arguments by name; words that have no name stand in `rest`. */
export function argsJson(frame: EventLike, machine: string): Record<string, unknown> {
  const kind = kindName(frame.kind);
  const args: Record<string, unknown> = {};
  wordsJson(kind, argsOf(frame), machine, args);
  for (const part of frame.parts) if (part.kind === PART.TEXT) args[textName(kind, part.slot)] = textJson(kind, part.slot, part.bytes);
  if (kind === 'gap') args.lost = Number(frame.ret);
  const how = HOW[kind];
  if (how !== undefined) args.how = how[frame.request] ?? frame.request;
  else if (kind.startsWith('kind_')) args.request = frame.request;
  return args;
}

/** Puts the words of an ARGS part into `args`, those that have a name by their name. */
export function wordsJson(kind: string, words: readonly bigint[], machine: string, args: Record<string, unknown>): void {
  const names = ARG_WORDS[kind] ?? [];
  words.forEach((word, i) => {
    const known = names[i];
    if (known !== undefined) args[known.name] = wordJson(word, known.form, machine);
  });
  if (words.length > names.length) args.rest = words.slice(names.length);
}

export const textName = (kind: string, slot: number): string => TEXTS[kind]?.[slot] ?? `text${slot}`;

/** A text; an argument vector as a list. */
export function textJson(kind: string, slot: number, bytes: Uint8Array): string | string[] {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  if (textName(kind, slot) !== 'argv') return text;
  return text === '' ? [] : text.split('\0');
}

/** Flags as a list of names, descriptors and counts as numbers, the rest as `"0x…"`. */
function wordJson(word: bigint, form: WordForm, machine: string): unknown {
  switch (form) {
    case 'fd':
      return Number(BigInt.asIntN(32, word));
    case 'dec':
      return jsonNumber(word);
    case 'hex':
      return word;
    default:
      return word === 0n && form !== 'open' ? [] : flagNames(FLAG_WORDS[form], word, machine).split('|');
  }
}

// ---- and back ----

const isNames = (json: unknown): json is string[] => Array.isArray(json) && json.every((name) => typeof name === 'string');

/** The words that {@link wordsJson} told; undefined where there are none. Throws a JsonError. */
export function wordsFrom(kind: string, args: Readonly<Record<string, unknown>>, machine: string): bigint[] {
  const names = ARG_WORDS[kind] ?? [];
  const last = names.findLastIndex((n) => Object.hasOwn(args, n.name));
  const words = names.slice(0, last + 1).map(({ name, form }) => {
    if (!Object.hasOwn(args, name)) throw new JsonError(`args.${name} is missing`);
    return wordFrom(args[name], form, `args.${name}`, machine);
  });
  if (args.rest === undefined) return words;
  if (!Array.isArray(args.rest)) throw new JsonError(`args.rest: ${shown(args.rest)} is no list of numbers`);
  return [...words, ...args.rest.map((word: unknown, i) => wordOf(word, `args.rest[${i}]`))];
}

function wordFrom(json: unknown, form: WordForm, what: string, machine: string): bigint {
  if (form === 'fd' || form === 'dec' || form === 'hex' || !Array.isArray(json)) return wordOf(json, what);
  const value = isNames(json) ? flagValue(FLAG_WORDS[form], json, machine) : undefined;
  if (value === undefined) throw new JsonError(`${what}: ${shown(json)} has a flag of no such name`);
  return value;
}

/** The bytes of a text that {@link textJson} told. */
export function textFrom(json: unknown, what: string): Uint8Array {
  const list = typeof json === 'string' ? [json] : json;
  if (!isNames(list) || list.some((t) => /\p{Cs}/u.test(t))) throw new JsonError(`${what}: ${shown(json)} is no text`);
  return new TextEncoder().encode(list.join('\0'));
}

/** The request that `args.how` says. */
export function howFrom(kind: string, json: unknown): number {
  const known = typeof json === 'string' ? (HOW[kind]?.indexOf(json) ?? -1) : -1;
  if (known >= 0) return known;
  if (typeof json === 'number') return numberIn(json, 'args.how', 0, 0xffff_ffff);
  throw new JsonError(`args.how: ${shown(json)} is none of ${(HOW[kind] ?? []).join(', ')}`);
}
