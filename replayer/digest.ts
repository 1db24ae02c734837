/** The state as one JSON object, and its digest: SHA-256 over canonical JSON (keys sorted, no space). */
import { createHash } from 'node:crypto';
import { type Json, stateBody } from './json.ts';
import type { SessionState } from './state.ts';

/** Characters gathered before they go on. */
const PIECE = 1 << 16;

/** Writes canonical JSON to `sink` piece by piece: a state may be longer than a string can be. */
function writeCanonical(value: Json, sink: (text: string) => void): void {
  let text = '';
  const put = (s: string): void => {
    text += s;
    if (text.length < PIECE) return;
    sink(text);
    text = '';
  };
  const write = (v: Json): void => {
    if (v === null || typeof v !== 'object') {
      put(JSON.stringify(v));
      return;
    }
    if (Array.isArray(v)) {
      v.forEach((x, i) => {
        put(i === 0 ? '[' : ',');
        write(x);
      });
      put(v.length === 0 ? '[]' : ']');
      return;
    }
    const entries = Object.entries(v as { readonly [key: string]: Json }).sort((a, b) => (a[0] < b[0] ? -1 : 1));
    put('{');
    entries.forEach(([key, x], i) => {
      put(`${i === 0 ? '' : ','}${JSON.stringify(key)}:`);
      write(x);
    });
    put('}');
  };
  write(value);
  sink(text);
}

function digestOf(body: Json): string {
  const hash = createHash('sha256');
  writeCanonical(body, (text) => hash.update(text, 'utf8'));
  return hash.digest('hex');
}

/** SHA-256, in hex, over the canonical JSON of everything in the state but its place in the log. */
export const digest = (state: SessionState): string => digestOf(stateBody(state));

/** The whole state as plain JSON values: `{v, seq, digest, dropped, processes, files, contexts, calls, sent, cmdqv}`. */
export function stateJson(
  state: SessionState,
): { readonly v: 1; readonly seq: number; readonly digest: string } & { readonly [key: string]: Json } {
  const body = stateBody(state);
  return { v: 1, seq: state.seq, digest: digestOf(body), ...body };
}
