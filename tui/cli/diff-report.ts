/** Compares two opened traces and says what came of it. */
import { callName } from '../../hw/event-words.ts';
import { compareTraces, type FieldPair, How } from '../../replayer/diff/compare.ts';
import type { Cause, Difference, Report, SideView, Sort } from '../../replayer/diff/report.ts';
import { machineOf } from '../../replayer/recorded-machine.ts';
import { Explainer, type Why } from '../../replayer/why.ts';
import { Kind } from '../../store/frame.ts';
import type { Opened } from './trace.ts';

/** Yields how far it is, from 0 to 1. */
export function* reportOf(a: Opened, b: Opened): Generator<number, Report> {
  const comparison = yield* compareTraces({ source: a.reader, table: a.table }, { source: b.reader, table: b.table });
  const causes: Cause[] = [];
  const stat = new Map<string, { sort: Sort; call: string; causes: number; consequences: number; ignored: number }>();
  const whys = { a: explainer(a), b: explainer(b) };
  let [same, matched] = [0, 0];
  for (let row = 0; row < comparison.rows; row++) {
    const [i, j, how] = [comparison.a[row]!, comparison.b[row]!, comparison.how[row]! as How];
    if (i !== 0 && j !== 0) matched++;
    if (how === How.SAME) {
      same++;
      continue;
    }
    const fields = comparison.fields(row);
    const difference: Difference = { how, a: i, b: j, sort: sortOf(how, fields), call: callOf(a, i, b, j) };
    causes.push({
      difference,
      fields,
      consequences: [],
      a: i === 0 ? undefined : view(whys.a(i)),
      b: j === 0 ? undefined : view(whys.b(j)),
      known: undefined,
    });
    const key = `${difference.sort} ${difference.call}`;
    const line = stat.get(key) ?? { sort: difference.sort, call: difference.call, causes: 0, consequences: 0, ignored: 0 };
    line.causes++;
    stat.set(key, line);
    yield 1;
  }
  const [eventsA, eventsB] = [a.reader.last, b.reader.last];
  return { eventsA, eventsB, same, matched, differences: causes.length, ignored: new Map(), causes, stat: [...stat.values()], limits: [] };
}

function sortOf(how: How, fields: readonly FieldPair[]): Sort {
  if (how === How.ONLY_A) return 'only-a';
  if (how === How.ONLY_B) return 'only-b';
  const differing = fields.filter((f) => f.differs);
  return differing.some((f) => f.name === 'errno') ? 'errno' : differing.some((f) => f.answer) ? 'output' : 'question';
}

/** A name that only one of the two knows is better than a number. */
function callOf(a: Opened, i: number, b: Opened, j: number): string {
  const [ofA, ofB] = [i === 0 ? '' : nameOf(a, i), j === 0 ? '' : nameOf(b, j)];
  return ofA === '' || (ofA.startsWith('0x') && ofB !== '') ? ofB : ofA;
}

function nameOf(opened: Opened, seq: number): string {
  const frame = opened.reader.frame(seq);
  return frame === undefined ? '' : callName(frame, opened.table);
}

function view(why: Why | undefined): SideView {
  if (why === undefined) return { why, opinion: { kind: 'open', because: 'there are no rules for it' } };
  return {
    why,
    opinion: why.otherwise === undefined ? { kind: 'agrees' } : { kind: 'disagrees', expected: why.otherwise, rule: why.rule },
  };
}

/** Explains events in ascending order; one that comes too late is not explained. */
function explainer({ reader, table, meta }: Opened): (seq: number) => Why | undefined {
  const rules = new Explainer(table, reader.last, { machine: machineOf(meta) });
  return (seq) => {
    let found: Why | undefined;
    if (reader.frame(seq)?.kind === Kind.GAP) return undefined;
    for (const batch of rules.at < seq ? reader.scan(rules.at + 1, seq) : []) {
      for (let i = 0; i < batch.count && rules.at < seq; i++) {
        if (rules.at + 1 === seq) found = rules.explain(batch.buffer, batch.offsets[i]!);
        else rules.take(batch.buffer, batch.offsets[i]!);
      }
    }
    return found;
  };
}
