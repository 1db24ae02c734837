/** What the rules of both kernels say to events of one trace, each from the state that the trace has led to. */
import { errnoName } from '../../../hw/errno.ts';
import type { Answer } from '../../../hw/iommufd/call.ts';
import { Model } from '../../../hw/iommufd/model.ts';
import type { Reply } from '../../../hw/iommufd/queues.ts';
import type { DialectName, UapiTable } from '../../../hw/uapi/table.ts';
import { FrameCursor, Kind, PartKind, State } from '../../../store/frame.ts';
import type { Asked } from '../../asked.ts';
import type { Checker } from '../../check.ts';
import { differences } from '../../differences.ts';
import type { FrameSource } from '../../fold.ts';
import { Explainer, type Why } from '../../why.ts';
import type { Opinion } from './report.ts';

export interface Judgement {
  /** undefined: there are no rules for it */
  readonly why: Why | undefined;
  /** of the rules of the kernel that was recorded */
  readonly own: Opinion;
  /** of the rules of the other side's kernel */
  readonly other: Opinion;
}

/** One of the two traces. */
export interface Recording {
  readonly source: FrameSource;
  readonly table: UapiTable;
}

/** Events between two yields. */
const SLICE = 1024;
const AGREES: Opinion = { kind: 'agrees' };
const open = (because: string): Opinion => ({ kind: 'open', because });

/**
 * Judges the events `seqs`, ascending, on one way along the trace, which ends at the last of them; yields how far it is, from 0 to 1.
 * `other`: dialect of the other side.
 */
export function* judge(trace: Recording, other: DialectName, seqs: Int32Array): Generator<number, Map<number, Judgement>> {
  const found = new Map<number, Judgement>();
  const last = seqs.at(-1) ?? 0;
  if (last === 0) return found;
  const explainer = new Explainer(trace.table, trace.source.last);
  const { checker } = explainer;
  const theirs = other === trace.table.dialect ? checker.recorded : new Model(other, checker.recorded.kernel);
  const cursor = new FrameCursor();
  let next = 0;
  for (const { buffer, offsets, first, count } of trace.source.scan(1, last)) {
    for (let i = 0; i < count; i++) {
      const seq = first + i;
      if (seq % SLICE === 0) yield seq / last;
      if (seq !== seqs[next]) {
        explainer.take(buffer, offsets[i]!);
        continue;
      }
      next++;
      const opinions = opinionsOf(checker, theirs, cursor.at(buffer, offsets[i]!), seq);
      found.set(seq, { ...opinions, why: explainer.explain(buffer, offsets[i]!) });
    }
  }
  return found;
}

type Opinions = Omit<Judgement, 'why'>;
const both = (opinion: Opinion): Opinions => ({ own: opinion, other: opinion });

function opinionsOf(checker: Checker, theirs: Model, f: FrameCursor, seq: number): Opinions {
  if (f.state === State.ENTERED) return both(open('the call had not returned'));
  if (checker.isOlder(f.file)) return both(open('not in the log'));
  if (f.kind === Kind.MMAP || f.kind === Kind.READ || f.kind === Kind.WRITE) {
    const of = (model: Model): Opinion => opinionOfReply(checker.reply(f, model), f);
    return { own: of(checker.recorded), other: of(theirs) };
  }
  const asked = f.kind === Kind.IOCTL ? checker.ask(f, seq)?.asked : undefined;
  if (asked === undefined) return both(open('there are no rules for it'));
  return { own: opinionOf(asked, checker.recorded.decide(asked)), other: opinionOf(asked, theirs.decide(asked)) };
}

function opinionOf(asked: Asked, answer: Answer | undefined): Opinion {
  if (answer === undefined) return open('there are no rules for it');
  const { errno } = answer;
  const rule = answer.refusal?.rule ?? '';
  if (errno !== asked.errno) {
    const reason = answer.mayBe(asked.errno);
    return reason === undefined ? { kind: 'disagrees', expected: errno, rule } : open(reason);
  }
  const [found] = differences(asked, answer);
  if (found !== undefined) return { kind: 'disagrees', expected: errno, rule, field: found.field };
  const [left] = errno === '' ? answer.undeterminedOutputs.entries() : [];
  return left === undefined ? AGREES : { kind: 'agrees', but: left[1] };
}

function opinionOfReply(said: Reply | undefined, f: FrameCursor): Opinion {
  if (said === undefined) return open('there are no rules for it');
  if (said.unsure !== undefined) return open(said.unsure);
  const errno = f.error === 0 ? '' : errnoName(f.error);
  const rule = said.refusal?.rule ?? '';
  if (said.errno !== errno) return { kind: 'disagrees', expected: said.errno, rule };
  if (said.ret !== undefined && said.ret !== f.ret) return { kind: 'disagrees', expected: errno, rule, field: 'ret' };
  if (said.bytes === undefined || said.bytes.length === 0 || !f.part(PartKind.OUT)) return AGREES;
  const there = f.buffer.subarray(f.partStart, f.partStart + Math.min(f.partBytes, said.bytes.length));
  return there.equals(said.bytes.subarray(0, there.length)) ? AGREES : { kind: 'disagrees', expected: errno, rule, field: 'data' };
}
