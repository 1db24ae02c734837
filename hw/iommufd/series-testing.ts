/** For tests: programs of the posted series and of mainline, on the mock driver and on a Grace machine. */
import { DIALECTS, type DialectName } from '../uapi/table.ts';
import { mmap } from './mmap.ts';
import { SELFTEST_VIOMMU } from './mock.ts';
import type { Reply } from './queues.ts';
import { regionAt } from './regions.ts';
import { Program } from './testing.ts';

/** Kernels with HW queues. */
export type Series = Exclude<DialectName, 'linux-6.12'>;

export const SERIES: readonly Series[] = [
  'vcmdq-v1',
  'vcmdq-v2',
  'vcmdq-v3',
  'hw-queue-v4',
  'hw-queue-v5',
  'hw-queue-v6',
  'hw-queue-v7',
  'hw-queue-v8',
  'hw-queue-v9',
  'linux-7.2',
];
if (SERIES.length + 1 !== DIALECTS.length) throw new Error('a dialect is missing');

/** A row of the matrix: what each series has, in the order of SERIES. */
export const row = <T>(...values: readonly T[]): readonly (readonly [Series, T])[] => {
  if (values.length !== SERIES.length) throw new Error(`a row of ${values.length}`);
  return SERIES.map((d, i) => [d, values[i]!]);
};
/** The same for each. */
export const same = <T>(value: T): readonly (readonly [Series, T])[] => SERIES.map((d) => [d, value]);

export const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
export const u64 = (...values: bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(values).buffer);

/** Name of the command that makes a queue, and of its fields. */
export function names(dialect: Series): { readonly call: string; readonly base: string; readonly out: string } {
  if (dialect === 'vcmdq-v1' || dialect === 'vcmdq-v2') return { call: 'IOMMU_VCMDQ_ALLOC', base: 'addr', out: 'out_vcmdq_id' };
  if (dialect === 'vcmdq-v3') return { call: 'IOMMU_VQUEUE_ALLOC', base: 'addr', out: 'out_vqueue_id' };
  return { call: 'IOMMU_HW_QUEUE_ALLOC', base: dialect === 'hw-queue-v4' ? 'base_addr' : 'nesting_parent_iova', out: 'out_hw_queue_id' };
}

export interface QueueValues {
  readonly index?: number;
  readonly base?: number | bigint;
  /** bytes */
  readonly length?: number | bigint;
  readonly type?: number;
  readonly viommu?: number;
}

export interface MmapValues {
  readonly offset?: number;
  readonly length?: number;
  readonly prot?: number;
  readonly flags?: number;
}

/** Guest memory: IOVA, bytes */
export const MEMORY = 0x200_0000;
export const MEMORY_BYTES = 0x1_0000;

/** What both kinds of machine have in common. */
abstract class Machine {
  readonly dialect: Series;
  readonly p: Program;
  readonly fd: number;
  #maps = 0;
  protected abstract readonly queueType: number;
  /** id of the first vIOMMU */
  abstract readonly viommu: number;
  abstract readonly ioas: number;

  constructor(dialect: Series) {
    this.dialect = dialect;
    this.p = new Program(dialect);
    this.fd = this.p.open();
  }
  must(name: string, values: Parameters<Program['call']>[2] = {}, options: Parameters<Program['call']>[3] = {}, fd = this.fd): void {
    const errno = this.p.call(fd, name, values, options);
    if (errno !== '') throw new Error(`${this.dialect}: ${name} fails with ${errno}`);
  }
  /** Maps guest memory. */
  memory(iova = MEMORY, va = 0x10_0000): string {
    return this.p.call(this.fd, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: this.ioas, user_va: va, length: MEMORY_BYTES, iova });
  }
  unmap(iova = MEMORY, length = MEMORY_BYTES): string {
    return this.p.call(this.fd, 'IOMMU_IOAS_UNMAP', { ioas_id: this.ioas, iova, length });
  }
  destroy(id: number): string {
    return this.p.call(this.fd, 'IOMMU_DESTROY', { id });
  }
  queueRequest(v: QueueValues): readonly [string, Parameters<Program['call']>[2], Parameters<Program['call']>[3]] {
    const { call, base } = names(this.dialect);
    const common = { viommu_id: v.viommu ?? this.viommu, type: v.type ?? this.queueType };
    const [at, length] = [BigInt(v.base ?? MEMORY), BigInt(v.length ?? 0x1000)];
    if (this.dialect !== 'vcmdq-v1') return [call, { ...common, index: v.index ?? 0, [base]: at, length }, {}];
    const log2 = Math.log2(Number(length) / 16);
    return [call, { ...common, data_len: 16 }, { nested: { data_uptr: new Uint8Array([...u32(v.index ?? 0, log2), ...u64(at)]) } }];
  }
  queue(v: QueueValues = {}): string {
    return this.p.call(this.fd, ...this.queueRequest(v));
  }
  /** What the rules say, and may say, to a queue. */
  askQueue(v: QueueValues): { readonly errno: string; readonly rule: string; mayBe(errno: string): string | undefined } {
    const answer = this.p.ask(this.fd, ...this.queueRequest(v))!;
    return { errno: answer.errno, rule: answer.refusal?.rule ?? '', mayBe: (errno) => answer.mayBe(errno) };
  }
  queueId(): number {
    const { call, out } = names(this.dialect);
    return this.p.u32(call, out);
  }
  /** What mmap is answered; a success is mapped. → key to unmap it */
  mmap(m: MmapValues = {}): Reply & { readonly key: string } {
    const { context } = this.p.fds.get(this.fd)!;
    const { traits } = this.p.model;
    const offset = BigInt(m.offset ?? 0);
    const request = { length: BigInt(m.length ?? 0x1000), prot: m.prot ?? 3, flags: m.flags ?? 1, offset };
    const reply = mmap(context!, traits, request);
    const key = `${++this.#maps}`;
    const region = regionAt(context!.regions, traits.queueRules, offset);
    if (reply.errno === '') this.p.model.mapped(key, context!, region?.ended === true ? undefined : region?.owner);
    return { ...reply, key };
  }
}

/** The mock driver: IOAS 1, SELFTEST 2, DEVICE 3, HWPT 4, nest parent 5, VIOMMU 6; 64 KiB mapped at MEMORY. */
export class Mock extends Machine {
  readonly queueType = SELFTEST_VIOMMU;
  readonly viommu = 6;
  readonly ioas = 1;

  constructor(dialect: Series) {
    super(dialect);
    this.must('IOMMU_IOAS_ALLOC');
    this.must('IOMMU_TEST_CMD', { op: 2, id: 1 });
    this.must('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 });
    this.must('IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5 });
    if (this.memory() !== '') throw new Error('no memory');
  }
  /** A vIOMMU that shows memory. → offset and length */
  shown(): readonly [number, number] {
    const nested = { data_uptr: new Uint8Array(24) };
    this.must('IOMMU_VIOMMU_ALLOC', { type: SELFTEST_VIOMMU, dev_id: 3, hwpt_id: 5, data_len: 24 }, { nested });
    const bytes = [...this.p.nestedOut.values()][0]!;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return [Number(view.getBigUint64(8, true)), Number(view.getBigUint64(16, true))];
  }
}

/** What the hardware of a test has. */
export interface Hardware {
  readonly log2Queues: number;
  readonly log2Sids: number;
  /** IDR1.CMDQS */
  readonly log2Commands: number;
}
export const HARDWARE: Hardware = { log2Queues: 1, log2Sids: 1, log2Commands: 9 };

/** struct iommu_hw_info_arm_smmuv3 as a series has it. */
export function smmuInfo(dialect: DialectName, h: Hardware = HARDWARE, cmdqv = true): Uint8Array {
  const words = new Array<number>(10).fill(0);
  const tells = ['vcmdq-v2', 'vcmdq-v3', 'hw-queue-v4'].includes(dialect);
  if (tells && cmdqv) {
    words[0] = 1;
    words[1] = (h.log2Sids << 12) | (h.log2Queues << 4) | 1;
  }
  words[3] = h.log2Commands << 21;
  return u32(...words);
}
export const cmdqvInfo = (h: Hardware = HARDWARE): Uint8Array => new Uint8Array([0, 0, 0, 0, 1, h.log2Queues, h.log2Sids, 0]);

/** A Grace machine with a VFIO device: DEVICE 1, IOAS 2, nest parent 3; 64 KiB mapped at MEMORY. No vIOMMU yet: it gets id 4. */
export class Grace extends Machine {
  readonly queueType = 1;
  readonly viommu = 4;
  readonly ioas = 2;
  readonly vfio: number;

  constructor(dialect: Series) {
    super(dialect);
    this.vfio = this.device();
    this.must('IOMMU_IOAS_ALLOC');
    this.must('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 });
    if (this.memory() !== '') throw new Error('no memory');
  }
  /** One more VFIO device. → descriptor */
  device(): number {
    const vfio = this.p.open('vfio-device');
    this.must('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: this.fd }, {}, vfio);
    return vfio;
  }
  /** The log tells what the device is behind. */
  known(h: Hardware = HARDWARE, cmdqv = true): this {
    const type = this.p.model.table.has('IOMMU_GET_HW_INFO', 'out_data_type') ? 'out_data_type' : 'data_type';
    const tell = (bytes: Uint8Array, kind: number, values: Readonly<Record<string, number>>): void =>
      this.must(
        'IOMMU_GET_HW_INFO',
        { dev_id: 1, data_len: bytes.length, data_uptr: 0x1000, ...values },
        { told: { values: { [type]: kind, data_len: bytes.length, out_capabilities: 1 }, nested: { data_uptr: bytes } } },
      );
    tell(smmuInfo(this.dialect, h, cmdqv), 2, {});
    if (this.p.model.traits.hwInfoInputType && cmdqv) tell(cmdqvInfo(h), 3, { flags: 1, [this.askedType]: 3 });
    return this;
  }
  /** The field that asks for a kind of information. */
  get askedType(): string {
    return this.p.model.table.has('IOMMU_GET_HW_INFO', 'in_data_type') ? 'in_data_type' : 'data_type';
  }
  /** Makes a vIOMMU with a VINTF. */
  vintf(length = 16): string {
    const nested = { data_uptr: new Uint8Array(Math.max(length, 16)) };
    return this.p.call(this.fd, 'IOMMU_VIOMMU_ALLOC', { type: 2, dev_id: 1, hwpt_id: 3, data_len: length }, { nested });
  }
  vintfId(): number {
    return this.p.u32('IOMMU_VIOMMU_ALLOC', 'out_viommu_id');
  }
  /** What the last vIOMMU showed: offset and length. */
  shown(): readonly [number, number] {
    const bytes = [...this.p.nestedOut.values()][0]!;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return [Number(view.getBigUint64(0, true)), Number(view.getBigUint64(8, true))];
  }
  vdevice(virtId: number | bigint, device = 1, viommu: number = this.viommu): string {
    return this.p.call(this.fd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: viommu, dev_id: device, virt_id: virtId });
  }
}
