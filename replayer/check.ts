/**
 * The kernel's rules against a log: every recorded call is predicted from the state before it, and the prediction compared
 * with what the kernel answered. Where they differ, the recorded answer is taken over, so that one difference is one finding.
 */
import { errnoName } from '../hw/errno.ts';
import type { Answer, Registers } from '../hw/iommufd/call.ts';
import type { MachineName } from '../hw/iommufd/machine.ts';
import { mmap } from '../hw/iommufd/mmap.ts';
import { Model } from '../hw/iommufd/model.ts';
import { type Reply, readFault, readVeventq, writeFault } from '../hw/iommufd/queues.ts';
import { DRIVER, UNSEEN } from '../hw/iommufd/reasons.ts';
import { regionAt } from '../hw/iommufd/regions.ts';
import type { Fault, FileKind as ModelFileKind, OpenFile, Veventq, Viommu } from '../hw/iommufd/state.ts';
import { type DialectName, targetOfFileKind, type UapiTable } from '../hw/uapi/table.ts';
import { mapDevice, transfer } from '../hw/vfio/access.ts';
import { FileKind, Found, FrameCursor, Kind, PartKind, State } from '../store/frame.ts';
import { Asked } from './asked.ts';
import type { Change } from './change.ts';
import { Folder } from './decide.ts';
import { type Difference, differences, hexOf } from './differences.ts';
import type { FrameSource } from './fold.ts';
import { destroyedBy, type Lint, Linter } from './lints.ts';
import { planOf } from './plan.ts';
import { emptyState, type SessionState } from './state.ts';

/** One thing that the rules say otherwise than the log. */
export interface Disagreement extends Difference {
  readonly seq: number;
  readonly call: string;
  /** the rule that the prediction rests on, '' for a success */
  readonly rule: string;
  readonly reason: string;
}

export interface CheckReport {
  /** dialect of the rules */
  readonly model: DialectName;
  readonly events: number;
  /** calls that there are rules for, and that were determined */
  predicted: number;
  agree: number;
  /** calls that are no ioctl of iommufd, VFIO's container, or that the rules do not know: by name */
  readonly unknown: Map<string, number>;
  /** calls whose errno the state does not determine, by reason */
  readonly unpredictable: Map<string, number>;
  /** outputs of predicted calls that the state does not determine, by reason */
  readonly undetermined: Map<string, number>;
  readonly disagreements: Disagreement[];
  readonly lints: Lint[];
}

export interface CheckOptions {
  /** rules to check against; default: those of the log's dialect */
  readonly model?: DialectName;
  /** the log was recorded on the model: its VFIO devices are those of this machine of the model */
  readonly machine?: MachineName | undefined;
  readonly onProgress?: (seq: number) => void;
  /** disagreements that are kept; all are counted. default 1000 */
  readonly keep?: number;
}

const MODEL_KIND: Readonly<Record<number, ModelFileKind>> = {
  [FileKind.IOMMUFD]: 'iommufd',
  [FileKind.VFIO_CONTAINER]: 'container',
  [FileKind.VFIO_DEVICE]: 'vfio-device',
  [FileKind.VFIO_GROUP]: 'vfio-group',
};

/** What makes a HW queue, under its names in the series. */
const QUEUES = new Set(['IOMMU_HW_QUEUE_ALLOC', 'IOMMU_VQUEUE_ALLOC', 'IOMMU_VCMDQ_ALLOC']);

/** IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 */
const SMMUV3_COMMANDS = 1;

const bump = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};

export class Checker {
  /** the recorded kernel: its state follows the log */
  readonly recorded: Model;
  /** whose rules are asked; of the same state */
  readonly model: Model;
  readonly report: CheckReport;
  readonly #table: UapiTable;
  readonly #folder: Folder;
  readonly #state: SessionState = emptyState();
  readonly #keep: number;
  /** descriptors that a call brought, until the log numbers their files: 'pid fd' */
  readonly #made = new Map<string, Omit<OpenFile, 'file'>>();
  /** descriptors whose files the recorder does not follow: 'pid fd' */
  readonly #strange = new Map<string, OpenFile>();
  /** contexts that were there before the log */
  readonly #older = new Set<number>();
  /** calls that had not returned when they were stored: their frame, by seq */
  readonly #entered = new Map<number, Buffer>();
  readonly #linter = new Linter();
  /** vIOMMUs that are mapped, or were, by the folded state's number of them */
  readonly #mapped = new Map<number, Viommu>();
  #nextStrange = -1_000_000;
  #changes: readonly Change[] = [];

  constructor(table: UapiTable, events: number, options: CheckOptions = {}) {
    this.recorded = new Model(table.dialect);
    this.model =
      options.model === undefined || options.model === table.dialect ? this.recorded : new Model(options.model, this.recorded.kernel);
    if (options.machine !== undefined) this.recorded.plug(options.machine);
    this.#table = table;
    this.#folder = new Folder(planOf(table), this.#state);
    this.#keep = options.keep ?? 1000;
    this.report = {
      model: this.model.traits.dialect,
      events,
      predicted: 0,
      agree: 0,
      unknown: new Map(),
      unpredictable: new Map(),
      undetermined: new Map(),
      disagreements: [],
      lints: this.#linter.found,
    };
  }

  /** Is a descriptor still to come that a call has made? The log tells of it in an event of its own. */
  get awaited(): boolean {
    return this.#made.size > 0;
  }

  /** The state that the log has led to. */
  get state(): SessionState {
    return this.#state;
  }

  /** The log has ended. */
  finish(): void {
    this.#linter.finish(this.#state.seq);
  }

  /** Takes the next event. */
  take(f: FrameCursor, seq: number): void {
    if (f.kind === Kind.IOCTL) this.#ioctl(f, seq);
    else if (f.kind === Kind.MMAP || f.kind === Kind.READ || f.kind === Kind.WRITE) this.#other(f, seq);
    else if (f.kind === Kind.RETURN) this.#returned(f, seq);
    const changes = this.#folder.fold(f.buffer, f.offset);
    this.#state.seq = seq;
    if (f.kind === Kind.OPEN || f.kind === Kind.FD) this.#appears(f);
    this.#changes = changes;
    this.#linter.take(f, seq, changes, this.#state, destroyedBy(f));
    for (const change of changes) this.#follow(change, seq);
  }

  /** What the rules say to the call of a frame, before it is folded; undefined where it is none of theirs. */
  ask(f: FrameCursor, seq: number): { readonly asked: Asked; readonly answer: Answer | undefined } | undefined {
    const asked = this.#asked(f, seq);
    return asked === undefined ? undefined : { asked, answer: this.model.decide(asked) };
  }

  /** Was the context or device that a file is of there before the log, so that the rules do not know its state? */
  isOlder(file: number): boolean {
    const known = this.recorded.kernel.files.get(file);
    return this.#older.has(file) || (known?.context !== undefined && this.#older.has(known.context.file));
  }

  /** What the last event that was taken changed in the state that the log leads to. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  #ioctl(f: FrameCursor, seq: number): void {
    if (f.state === State.ENTERED) {
      this.#entered.set(seq, Buffer.from(f.buffer.subarray(f.offset, f.offset + f.bytes)));
      return;
    }
    const asked = this.#asked(f, seq);
    if (asked === undefined) return;
    this.#compare(asked, seq);
    if (asked.errno === 'EFAULT' && QUEUES.has(asked.name)) this.#linter.queueRefused(seq, this.#field(asked, 'length'));
    if (asked.errno === 'EIO' && asked.name === 'IOMMU_HWPT_INVALIDATE') this.#invalidation(asked, seq);
  }

  /** Of commands for an SMMUv3 more count as done than were sent. */
  #invalidation(asked: Asked, seq: number): void {
    const fields = asked.command?.struct?.byName;
    const after = asked.after?.bytes;
    const [type, done] = [fields?.get('data_type')?.offset, fields?.get('entry_num')?.offset];
    if (after === undefined || type === undefined || done === undefined || after.length < done + 4) return;
    const view = new DataView(after.buffer, after.byteOffset);
    if (view.getUint32(type, true) === SMMUV3_COMMANDS) this.#linter.commandsRefused(seq, view.getUint32(done, true));
  }

  /** A 64-bit field of a struct that came in; 0 where it has none. */
  #field(asked: Asked, name: string): bigint {
    const row = this.#table.command(asked.target, asked.request)?.struct?.byName.get(name);
    const { bytes } = asked.struct;
    if (row === undefined || bytes.length < row.offset + 8) return 0n;
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(row.offset, true);
  }

  /** What the rules say to mmap, read and write; undefined where the file is none of theirs, or the log does not say enough. */
  reply(f: FrameCursor, model: Model = this.model): Reply | undefined {
    const file = model.kernel.files.get(f.file);
    if (file?.kind === 'vfio-device') return this.#older.has(f.file) ? undefined : deviceReply(f, file);
    if (file?.context === undefined || this.#older.has(file.context.file) || f.state === State.ENTERED) return undefined;
    const words = f.part(PartKind.ARGS) ? f.partBytes >> 3 : 0;
    const word = (i: number): bigint => (f.part(PartKind.ARGS) && i < words ? f.buffer.readBigUInt64LE(f.partStart + 8 * i) : 0n);
    const { traits } = model;
    const kind = file.object?.type;
    if (f.kind === Kind.MMAP) {
      if (file.kind !== 'iommufd') return undefined;
      return mmap(file.context, traits, { length: word(1), prot: Number(word(2)), flags: Number(word(3)), offset: word(4) });
    }
    const count = Number(word(0));
    if (f.kind === Kind.READ && kind === 'VEVENTQ')
      return ofHardware(file.object as Veventq, readVeventq(file.object as Veventq, traits, count));
    if (f.kind === Kind.READ && kind === 'FAULT') return ofHardware(file.object as Fault, readFault(file.object as Fault, count));
    if (f.kind !== Kind.WRITE || kind !== 'FAULT') return undefined;
    if (f.part(PartKind.IN)) {
      const bytes = f.buffer.subarray(f.partStart, f.partStart + f.partBytes);
      return ofHardware(file.object as Fault, writeFault(file.object as Fault, bytes, count));
    }
    // an older recorder kept nothing of a write that failed: its length alone may tell
    const said = writeFault(file.object as Fault, new Uint8Array(0), count);
    return said.errno === 'EFAULT' ? { ...said, unsure: UNSEEN } : said;
  }

  #other(f: FrameCursor, seq: number): void {
    const said = this.reply(f);
    if (said === undefined) return;
    const { report } = this;
    const observed = f.error === 0 ? '' : errnoName(f.error);
    if (said.unsure !== undefined) {
      bump(report.unpredictable, said.unsure);
      return;
    }
    report.predicted++;
    const found: Difference[] = [];
    if (said.errno !== observed) found.push({ field: 'errno', predicted: said.errno || 'success', observed: observed || 'success' });
    else if (said.ret !== undefined && said.ret !== f.ret)
      found.push({ field: 'ret', predicted: String(said.ret), observed: String(f.ret) });
    else if (said.bytes !== undefined && said.bytes.length > 0 && f.part(PartKind.OUT)) {
      const there = f.buffer.subarray(f.partStart, f.partStart + Math.min(f.partBytes, said.bytes.length));
      if (!there.equals(said.bytes.subarray(0, there.length)))
        found.push({ field: 'data', predicted: hexOf(said.bytes), observed: hexOf(there) });
    }
    const call = f.kind === Kind.MMAP ? 'mmap' : f.kind === Kind.READ ? 'read' : 'write';
    if (found.length === 0) report.agree++;
    for (const d of found) report.disagreements.push({ seq, call, ...d, rule: said.refusal?.rule ?? '', reason: said.refusal?.text ?? '' });
    // a read that brought other bytes than foreseen has emptied the queue all the same
    if (said.errno === '' && observed === '') said.commit();
  }

  /** A call that took long: its answer is compared when it comes, with the state of then. */
  #returned(f: FrameCursor, seq: number): void {
    if (!f.part(PartKind.ARGS) || f.partBytes < 8) return;
    const call = Number(f.buffer.readBigUInt64LE(f.partStart));
    const frame = this.#entered.get(call);
    this.#entered.delete(call);
    if (frame === undefined) return;
    const asked = this.#asked(new FrameCursor().at(frame, 0), call, f);
    if (asked !== undefined) this.#compare(asked, seq);
  }

  #asked(f: FrameCursor, seq: number, back: FrameCursor = f): Asked | undefined {
    const target = targetOfFileKind(f.fileKind);
    if (target !== 'iommufd' && target !== 'vfio-container' && target !== 'vfio-device') return undefined;
    const file = this.model.kernel.files.get(f.file);
    return file === undefined ? undefined : new Asked(this, target, file, this.#table.command(target, f.request), f, seq, back);
  }

  /** What a descriptor of a process stands for. */
  fileOf(pid: number, fd: number): OpenFile | undefined | 'unknown' {
    if (fd < 0) return undefined;
    const file = this.#state.fds.get(pid)?.get(fd);
    const known = file === undefined ? undefined : this.model.kernel.files.get(file);
    return known ?? this.#strange.get(`${pid} ${fd}`) ?? 'unknown';
  }

  /** A mapping of a BAR or a vIOMMU's region in a range of a process's addresses. */
  registersAt(pid: number, address: bigint, length: bigint): Registers | undefined {
    const memory = this.#state.processes.get(pid)?.memory ?? pid;
    for (const m of this.#state.mappings.get(memory)?.values() ?? []) {
      const start = BigInt(m.address);
      if (start >= address + length || start + BigInt(m.length) <= address) continue;
      const file = this.recorded.kernel.files.get(m.file);
      if (file?.kind === 'vfio-device') return { address: start, seq: m.seq, object: file.object };
      if (file?.kind === 'iommufd') return { address: start, seq: m.seq, object: this.#mapped.get(m.viommu) };
    }
    return undefined;
  }

  #compare(asked: Asked, seq: number): void {
    const { report } = this;
    if (this.#older.has(asked.file.file)) {
      bump(report.unpredictable, 'not in the log');
      return;
    }
    const answer = this.model.decide(asked);
    if (answer === undefined) {
      bump(report.unknown, asked.name);
      return;
    }
    if (answer.errno !== asked.errno && answer.mayBe(asked.errno) !== undefined) {
      bump(report.unpredictable, answer.mayBe(asked.errno)!);
      this.#adopt(asked);
      return;
    }
    report.predicted++;
    const found = differences(asked, answer);
    if (found.length === 0) {
      report.agree++;
      for (const reason of answer.undeterminedOutputs.values()) bump(report.undetermined, reason);
      // what the rules leave open, the log says
      if (this.model === this.recorded && answer.undeterminedOutputs.size === 0) {
        this.#note(asked, answer);
        answer.commit();
      } else this.#adopt(asked);
      return;
    }
    if (report.disagreements.length < this.#keep) {
      const { refusal } = answer;
      for (const d of found)
        report.disagreements.push({ seq, call: asked.name, ...d, rule: refusal?.rule ?? '', reason: refusal?.text ?? '' });
    }
    this.#adopt(asked);
  }

  /** The recorded answer, whatever the rules say. */
  #adopt(asked: Asked): void {
    const forced = this.recorded.decide(asked, asked.observed);
    if (forced === undefined) return;
    if (asked.errno === '') this.#note(asked, forced);
    forced.commit();
  }

  /** Notes the descriptors that a call brought. */
  #note(asked: Asked, answer: Answer): void {
    for (const [field, made] of answer.files) {
      const fd = field === '' ? Number(asked.observed.ret) : readFd(asked, field);
      if (fd === undefined || fd < 0) continue;
      const key = `${asked.process} ${fd}`;
      this.#made.set(key, made);
      // the log may number its file, or not
      if (made.kind === 'dmabuf') this.#strange.set(key, { ...made, file: this.#nextStrange-- });
    }
  }

  /** A file appears in the log: opened, created by a call, or found. */
  #appears(f: FrameCursor): void {
    if (f.file === 0 || f.ret32 < 0 || f.error !== 0) return;
    const key = `${f.pid} ${f.ret32}`;
    this.#strange.delete(key);
    if (this.model.kernel.files.has(f.file)) return;
    const made = this.#made.get(key);
    if (f.kind === Kind.FD && f.request === Found.CREATED && made !== undefined) {
      this.#made.delete(key);
      this.model.adopt(f.file, made);
      return;
    }
    const kind = MODEL_KIND[f.fileKind];
    if (kind === undefined) return;
    const named = kind === 'vfio-device' && f.kind === Kind.OPEN && f.part(PartKind.TEXT);
    this.model.open(f.file, kind, named ? f.buffer.toString('latin1', f.partStart, f.partStart + f.partBytes) : '');
    if (f.kind === Kind.FD) this.#older.add(f.file);
  }

  #closed(number: number, seq: number): void {
    const file = this.model.kernel.files.get(number);
    const queue = file?.object;
    const waiting = queue?.type === 'VEVENTQ' || queue?.type === 'FAULT' ? queue.waiting.length : 0;
    if (queue !== undefined && waiting > 0)
      this.#linter.add(seq, 'events-unread', `${queue.type} ${queue.id} is closed with ${waiting} unread event${waiting === 1 ? '' : 's'}`);
    this.model.close(number);
  }

  #mapping(change: Extract<Change, { readonly op: 'mapping.add' | 'mapping.remove' }>): void {
    const { mapping } = change;
    const key = `${mapping.memory} ${mapping.address}`;
    if (change.op === 'mapping.remove') {
      this.model.unmapped(key);
      return;
    }
    const context = this.model.kernel.contexts.get(mapping.file);
    if (context === undefined) return;
    const { regions } = context;
    // what is left of a mapping, or copied by a fork, belongs to what it belonged to
    const known = this.#mapped.get(mapping.viommu) ?? regionAt(regions, this.recorded.traits.queueRules, BigInt(mapping.offset))?.owner;
    const owner = known !== undefined && context.objects.get(known.id) === known ? known : undefined;
    if (owner !== undefined && mapping.viommu !== 0) this.#mapped.set(mapping.viommu, owner);
    this.model.mapped(key, context, owner);
  }

  /** What the fold saw end, or be mapped. */
  #follow(change: Change, seq: number): void {
    if (change.op === 'file' && change.to === undefined) this.#closed(change.file, seq);
    else if (change.op === 'mapping.add' || change.op === 'mapping.remove') this.#mapping(change);
  }
}

/** What waits in a queue comes from the hardware, but for the mock driver's: only what is asked amiss is known. */
function ofHardware(queue: Veventq | Fault, said: Reply): Reply {
  const real =
    queue.type === 'VEVENTQ'
      ? queue.viommu.device.driver.name !== 'mock'
      : [...queue.context.objects.values()].some(
          (o) => (o.type === 'HWPT_PAGING' || o.type === 'HWPT_NESTED') && o.fault === queue && o.device.driver.name !== 'mock',
        );
  return real && said.refusal?.rule.endsWith('.count') !== true ? { ...said, unsure: DRIVER } : said;
}

function readFd(asked: Asked, field: string): number | undefined {
  const at = asked.command?.struct?.byName.get(field)?.offset;
  const { out } = asked.observed;
  if (at === undefined || out === undefined || out.length < at + 4) return undefined;
  return new DataView(out.buffer, out.byteOffset).getInt32(at, true);
}

/** What the rules say to mmap, read and write of a VFIO device; undefined where the log does not say enough. */
function deviceReply(f: FrameCursor, file: OpenFile): Reply | undefined {
  if (f.state === State.ENTERED || !f.part(PartKind.ARGS)) return undefined;
  const words = Array.from({ length: f.partBytes >> 3 }, (_, i) => f.buffer.readBigUInt64LE(f.partStart + 8 * i));
  const at = BigInt.asIntN(64, words[f.kind === Kind.MMAP ? 4 : 1] ?? -1n);
  if (f.kind === Kind.MMAP) {
    const length = words[1] ?? 0n;
    return length === 0n || at % 4096n !== 0n ? undefined : mapDevice(file, { length, flags: Number(words[3] ?? 0n), offset: at });
  }
  if (at < -1n || errnoName(f.error) === 'EFAULT') return undefined;
  const count = Number(words[0] ?? 0n);
  // a write that failed has no bytes in the log; what they were does not matter
  const bytes = f.part(PartKind.IN) ? f.partBytes : Math.min(count, 65536);
  const data = f.kind === Kind.WRITE ? new Uint8Array(bytes) : undefined;
  if (data !== undefined && f.part(PartKind.IN)) data.set(f.buffer.subarray(f.partStart, f.partStart + f.partBytes));
  return transfer(file, { count, offset: at < 0n ? undefined : at, data });
}

/** Checks a whole log. */
export function check(source: FrameSource, table: UapiTable, options: CheckOptions = {}): CheckReport {
  const checker = new Checker(table, source.last, options);
  const cursor = new FrameCursor();
  for (const batch of source.scan(1)) {
    for (let i = 0; i < batch.count; i++) checker.take(cursor.at(batch.buffer, batch.offsets[i]!), batch.first + i);
    options.onProgress?.(batch.first + batch.count - 1);
  }
  checker.finish();
  return checker.report;
}
