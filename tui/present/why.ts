/** Why the call under the cursor ended as it did, and what is in the way of the queues that the event is about. Pure. */
import type { QueueWhy } from '../../replayer/cmdqv-why.ts';
import type { Why } from '../../replayer/why.ts';
import { clean, type Line, line, type Span, span } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';
import type { WhyState } from '../why-run.ts';

/** `queues`: those that the event is about, by the state at it; they are known without the rules. */
export function whyLines(state: WhyState, queues: readonly QueueWhy[], glyphs: Glyphs): Line[] {
  const own = ownLines(state, glyphs);
  const said = state.kind === 'known' && state.why.queues.length > 0 ? state.why.queues : queues;
  return [...own, ...said.flatMap((q) => queueLines(q, glyphs))];
}

const put = (label: string, ...parts: readonly (Span | string)[]): Line => line('  ', span(label.padEnd(9), 'dim'), ...parts);

/** A line that one can follow to the event that it speaks of. */
const leading = (l: Line, seq: number): Line => (seq > 0 ? { ...l, link: seq } : l);

function ownLines(state: WhyState, glyphs: Glyphs): Line[] {
  switch (state.kind) {
    case 'none':
      return [];
    case 'running':
      return [put('why', span(`${glyphs.ellipsis} the rules are run along the log: ${Math.floor(100 * state.done)} %`, 'job'))];
    case 'far':
      return [put('why', span('e', 'key'), span(` works it out: the rules have to be run over ${state.events} events`, 'dim'))];
    case 'known':
      return knownLines(state.why);
    default:
      return state satisfies never;
  }
}

function knownLines(w: Why): Line[] {
  const failed = w.errno !== '';
  const lines: Line[] = [];
  if (failed) lines.push(put('why', span(clean(w.explanation), 'strong')));
  else if (w.explanation !== '') lines.push(put('why', clean(w.explanation)));
  if (w.field !== undefined) lines.push(put('field', clean(w.field)));
  if (w.wanted !== undefined) lines.push(put('passes', clean(w.wanted)));
  for (const b of w.because) lines.push(leading(put('because', span(clean(b.text), 'object')), b.seq));
  if (w.rule !== '') lines.push(put('rule', span(w.rule, 'dim')));
  if (w.otherwise !== undefined) lines.push(put('', span(`the rules of this kernel say ${clean(w.otherwise)}`, 'error')));
  return lines;
}

/** A hardware queue: what is in its way, and the events that put it so. */
function queueLines(q: QueueWhy, glyphs: Glyphs): Line[] {
  const name = `${q.name}${q.object === 0 ? '' : ` (HW_QUEUE ${q.object})`}`;
  if (q.troubles.length === 0) return [put('queue', name, span('  nothing is in its way, as far as the log tells', 'dim'))];
  return q.troubles.flatMap((t) => {
    const grave = t.kind === 'error' || t.kind === 'enable';
    return [
      put('queue', span(`${grave ? `${glyphs.error} ` : ''}${clean(t.text.replace(q.name, name))}`, grave ? 'error' : 'changed')),
      ...t.because.map((b) => leading(put('because', span(clean(b.text))), b.seq)),
    ];
  });
}
