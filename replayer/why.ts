/**
 * Why a call ended as it did: the rule that fired, with the values and the objects that made it fire, and the events that
 * made those; of a success, what it changed.
 */
import { errnoName } from '../hw/errno.ts';
import { callName } from '../hw/event-words.ts';
import type { Answer, Refusal } from '../hw/iommufd/call.ts';
import { reasonText } from '../hw/iommufd/reasons.ts';
import type { KObject } from '../hw/iommufd/state.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import { FrameCursor, Kind } from '../store/frame.ts';
import { accessIn } from './access-place.ts';
import type { Asked } from './asked.ts';
import { Checker, type CheckOptions } from './check.ts';
import { type QueueWhy, queuesIn, queueWhy } from './cmdqv-why.ts';
import type { FrameSource } from './fold.ts';
import { destroyedBy } from './lints.ts';
import type { Uid } from './object-types.ts';
import { contextOfFile } from './state.ts';
import { changesText, namesFor } from './words.ts';

/** An object that the answer rests on. */
export interface Because {
  /** id */
  readonly object: number;
  readonly type: string;
  /** the event that made it; 0 where the log does not show it */
  readonly seq: number;
  readonly text: string;
}

export interface Why {
  readonly seq: number;
  readonly call: string;
  /** '' for success */
  readonly errno: string;
  /** name of the rule; '' where no rule explains the answer. Of a success that these rules refuse: theirs, as are field, wanted and because */
  readonly rule: string;
  /** of a success: the check that let it pass, where there is something to say */
  readonly explanation: string;
  readonly field: string | undefined;
  /** what would have passed */
  readonly wanted: string | undefined;
  readonly because: readonly Because[];
  /** the kernel of the rules says otherwise: what it would have said */
  readonly otherwise: string | undefined;
  /** what it changed, in words */
  readonly changes: readonly string[];
  /** the hardware queues that it is about, and what is in their way: of one that it destroys, what was */
  readonly queues: readonly QueueWhy[];
}

/** Explains events on a way along the log, one after another: for who comes by many, or cannot wait for the whole way. */
export class Explainer {
  /** The rules, with the state before the next event. */
  readonly checker: Checker;
  readonly #cursor = new FrameCursor();

  /** `last`: number of the log's last event. */
  constructor(table: UapiTable, last: number, options: CheckOptions = {}) {
    this.checker = new Checker(table, last, { ...options, keep: 0 });
  }

  /** The event that was taken last; 0 before the first. */
  get at(): number {
    return this.checker.state.seq;
  }

  /** Takes the next event; `frame`: where its bytes begin. */
  take(buffer: Buffer, frame: number): void {
    this.checker.take(this.#cursor.at(buffer, frame), this.at + 1);
  }

  /** Takes the next event and explains it; undefined where it is no call that there are rules for. */
  explain(buffer: Buffer, frame: number): Why | undefined {
    const seq = this.at + 1;
    const found = explain(this.checker, this.#cursor.at(buffer, frame), seq);
    // what is not explained has not been taken
    if (this.at < seq) this.checker.take(this.#cursor.at(buffer, frame), seq);
    return found;
  }
}

/** Explains event `seq`; undefined where it is no call that there are rules for. */
export function why(source: FrameSource, table: UapiTable, seq: number, options: CheckOptions = {}): Why | undefined {
  const explainer = new Explainer(table, source.last, options);
  for (const batch of source.scan(1, seq)) {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.first + i;
      if (at === seq) return explainer.explain(batch.buffer, batch.offsets[i]!);
      explainer.take(batch.buffer, batch.offsets[i]!);
    }
  }
  return undefined;
}

function explain(checker: Checker, f: FrameCursor, seq: number): Why | undefined {
  if (f.kind === Kind.MMIO || f.kind === Kind.QUEUE) return explainQueue(checker, f, seq);
  if (f.kind === Kind.MMAP || f.kind === Kind.READ || f.kind === Kind.WRITE) return explainOther(checker, f, seq);
  if (f.kind !== Kind.IOCTL) return undefined;
  const found = checker.ask(f, seq);
  if (found?.answer === undefined) return undefined;
  const { answer, asked } = found;
  const { name, observed } = asked;
  const said = answer.errno === observed.errno;
  const reason = said ? undefined : answer.mayBe(observed.errno);
  const refusal = said ? answer.refusal : refusalOf(checker, asked, answer);
  const because = (refusal?.because ?? []).flatMap((o) => [becauseOf(o), ...(refusal?.rule === HELD ? mappingsOf(checker, f, o) : [])]);
  const destroyed = destroyedQueues(checker, f);
  checker.take(f, seq);
  return {
    seq,
    call: name,
    errno: observed.errno,
    rule: refusal?.rule ?? '',
    explanation: observed.errno === '' ? '' : explanation(refusal, reason),
    field: refusal?.field,
    wanted: refusal?.wanted,
    because,
    otherwise: said || reason !== undefined ? undefined : otherwise(answer.errno, answer.refusal),
    changes: changesText(checker.changes, namesFor(checker.state, checker.changes)),
    queues: [...destroyed, ...madeQueues(checker)],
  };
}

/**
 * What refused a call, where the rules that were asked say otherwise: those of the recorded kernel, if they are others and know;
 * else, along the recorded answer, what would have to be so. Of a success: what the rules that were asked would refuse.
 */
function refusalOf(checker: Checker, asked: Asked, answer: Answer): Refusal | undefined {
  if (asked.errno === '') return answer.mayBe('') === undefined ? answer.refusal : undefined;
  const own = checker.recorded === checker.model ? undefined : checker.recorded.decide(asked);
  if (own !== undefined && own.errno === asked.errno) return own.refusal;
  return checker.model.decide(asked, asked.observed)?.refusal;
}

/** mmap, and read and write of queues. */
function explainOther(checker: Checker, f: FrameCursor, seq: number): Why | undefined {
  const said = checker.reply(f);
  if (said === undefined) return undefined;
  const observed = f.error === 0 ? '' : errnoName(f.error);
  const agrees = said.errno === observed;
  const own = agrees ? said : checker.reply(f, checker.recorded);
  const explains = own?.errno === observed ? own : undefined;
  const refusal = observed === '' && !agrees ? said.refusal : explains?.refusal;
  const call = f.kind === Kind.MMAP ? 'mmap' : f.kind === Kind.READ ? 'read' : 'write';
  checker.take(f, seq);
  return {
    seq,
    call,
    errno: observed,
    rule: refusal?.rule ?? '',
    explanation: observed === '' ? (explains?.allowed ?? '') : explanation(refusal, agrees ? undefined : said.unsure),
    field: refusal?.field,
    wanted: refusal?.wanted,
    because: (refusal?.because ?? explains?.because ?? []).map(becauseOf),
    otherwise: agrees || said.unsure !== undefined ? undefined : otherwise(said.errno, said.refusal, said.allowed),
    changes: changesText(checker.changes, namesFor(checker.state, checker.changes)),
    queues: f.kind === Kind.READ ? whyOf(checker, queuesIn(checker.state, f.frame())) : [],
  };
}

/** A load, a store, a queue that was read beside the program: undefined where it is none of a CMDQV. */
function explainQueue(checker: Checker, f: FrameCursor, seq: number): Why | undefined {
  const frame = f.frame();
  const access = accessIn(checker.state, frame);
  checker.take(f, seq);
  const queues = queuesIn(checker.state, frame);
  if (access === undefined && queues.length === 0) return undefined;
  return {
    seq,
    call: [callName(frame, checker.recorded.table), ...(access?.pieces.map((p) => p.place.name) ?? [])].join(' '),
    errno: f.error === 0 ? '' : errnoName(f.error),
    rule: '',
    explanation: '',
    field: undefined,
    wanted: undefined,
    because: [],
    otherwise: undefined,
    changes: changesText(checker.changes, namesFor(checker.state, checker.changes)),
    queues: whyOf(checker, queues),
  };
}

const whyOf = (checker: Checker, queues: readonly Uid[]): QueueWhy[] =>
  queues.map((uid) => queueWhy(checker.state, uid)).filter((w) => w !== undefined);

/** Of a queue that a call names to destroy: as it is before. */
function destroyedQueues(checker: Checker, f: FrameCursor): QueueWhy[] {
  const id = destroyedBy(f);
  const uid = id === undefined ? undefined : contextOfFile(checker.state, f.file)?.ids.get(id);
  return uid === undefined ? [] : whyOf(checker, [uid]);
}

const madeQueues = (checker: Checker): QueueWhy[] =>
  whyOf(
    checker,
    checker.changes.flatMap((c) => (c.op === 'object.create' && c.object.type === 'HW_QUEUE' ? [c.object.uid] : [])),
  );

function explanation(refusal: Refusal | undefined, reason: string | undefined): string {
  if (reason !== undefined) return `the log does not show why: ${reasonText(reason)}`;
  return refusal === undefined || refusal.text === '' ? 'no rule explains this answer' : refusal.text;
}

function otherwise(errno: string, refusal: Refusal | undefined, allowed?: string): string {
  const text = errno === '' ? allowed : refusal?.text;
  return `${errno === '' ? 'success' : errno}${text === undefined ? '' : `: ${text}`}`;
}

/** The rule of a DESTROY that is refused because something holds the object. */
const HELD = 'destroy.in-use';

/** Mappings of a vIOMMU's region, which hold it and are no objects. */
function mappingsOf(checker: Checker, f: FrameCursor, o: KObject): Because[] {
  if (o.type !== 'VIOMMU') return [];
  const context = [...checker.state.contexts.values()].find((c) => c.file === f.file);
  const viommu = context?.ids.get(o.id);
  return [...checker.state.mappings.values()]
    .flatMap((all) => [...all.values()])
    .filter((m) => m.pins && viommu !== undefined && m.viommu === viommu)
    .map((m) => ({
      object: o.id,
      type: 'MAPPING',
      seq: m.seq,
      text: `mapping of process ${m.memory} at 0x${m.address.toString(16)}, made at event ${m.seq}`,
    }));
}

function becauseOf(o: KObject): Because {
  return { object: o.id, type: o.type, seq: o.birth, text: `${o.type} ${o.id}${o.birth > 0 ? `, made at event ${o.birth}` : ''}` };
}
