/** An event as text for the clipboard. Nothing in it can act on a terminal, whoever pastes it. */
import { resolve } from 'node:path';
import { eventText, type TextOptions } from '../hw/event-text.ts';
import { jsonText } from '../hw/json-text.ts';
import { escapeText } from '../hw/quote.ts';
import { changesText } from '../replayer/words.ts';
import { eventJson } from './cli/event-json.ts';
import { shellWord } from './cli/shell-word.ts';
import { goTo } from './journey.ts';
import type { TraceModel } from './model.ts';
import { textOptions } from './present/event.ts';
import { whyLines } from './present/why.ts';
import { makeTheme } from './term/theme.ts';
import type { Arrival } from './trips.ts';

export type CopyWhat = 'text' | 'json' | 'why' | 'command';

/** Bytes of the longest text that is sent to a terminal's clipboard; many take no more than 100 000 as base64. */
export const COPY_LIMIT = 72_000;

/** Milliseconds of work between two yields. */
const PATIENCE = 6;

/** What was asked for of one event; may last, as the why goes through the log. */
export function* copied(model: TraceModel, seq: number, what: CopyWhat): Generator<number, Arrival, void> {
  if (model.event(seq) === undefined) return { say: 'the trace has no events', error: true };
  if (what !== 'command') yield* goTo(model, seq, () => 0);
  const text = what === 'why' ? yield* whyText(model, seq) : MADE[what](model, seq);
  if (text === undefined) return { say: `event ${seq} is no call that there are rules for`, error: true };
  const safe = text.split('\n').map(escapeText).join('\n');
  const bytes = Buffer.byteLength(safe);
  if (bytes > COPY_LIMIT) {
    return { say: `${bytes} bytes are too many to copy: iommufd-rr show`, error: true };
  }
  return { copy: safe, say: `${NAMES[what]} of ${seq} copied: ${bytes} bytes by OSC 52`, error: false };
}

const NAMES: Readonly<Record<CopyWhat, string>> = { text: 'text', json: 'JSON', why: 'why', command: 'command line' };

const MADE: Readonly<Record<Exclude<CopyWhat, 'why'>, (model: TraceModel, seq: number) => string>> = {
  text: textOfEvent,
  json: (model, seq) => {
    const { reader, meta, table } = model;
    const row = reader.rows({ from: seq, to: seq, limit: 1 })[0]!;
    const event = { seq, row, frame: reader.frame(seq)!, changes: model.changes, before: model.state };
    const changes = changesText(model.changes, model.names);
    return jsonText(eventJson(event, { path: reader.path, reader, meta, table }, textOf(model), changes));
  },
  command: (model, seq) => `iommufd-rr show ${shellWord(resolve(model.reader.path))} ${seq}`,
};

/** In the style that nothing is left out of. */
const textOf = (model: TraceModel): TextOptions => ({
  ...textOptions(model.contextHere),
  style: 'full',
  errorText: true,
});

function textOfEvent(model: TraceModel, seq: number): string {
  const t = eventText(model.event(seq)!, textOf(model));
  const head = [t.seq, t.time, t.who, t.call, t.result, t.notes].filter((part) => part !== '').join(' ');
  return [head, ...changesText(model.changes, model.names).map((change) => `    ${change}`)].join('\n');
}

function* whyText(model: TraceModel, seq: number): Generator<number, string | undefined, void> {
  while (!model.why.work(seq, true, performance.now() + PATIENCE)) {
    const state = model.why.state(seq, true);
    yield state.kind === 'running' ? state.done : 0;
  }
  yield* goTo(model, seq, () => 1);
  const { glyphs } = makeTheme(false, true);
  const lines = whyLines(model.why.state(seq, true), model.queueWhys(model.event(seq)!), glyphs);
  if (lines.length === 0) return undefined;
  const t = eventText(model.event(seq)!, textOf(model));
  const text = lines.map((l) =>
    l.spans
      .map((s) => s.text)
      .join('')
      .trimEnd(),
  );
  return [`event ${seq}: ${t.call} ${t.result}`.trimEnd(), ...text, ...changesText(model.changes, model.names).map((c) => `  ${c}`)].join(
    '\n',
  );
}
