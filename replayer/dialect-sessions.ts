/**
 * For tests: the session that a VMM of each kernel or posted series makes on a Grace machine, as a recorder would have stored
 * it. The answers are those of the rules of that kernel, and of the hardware where the rules leave them open.
 */
import { errnoNumber } from '../hw/errno.ts';
import { mmap } from '../hw/iommufd/mmap.ts';
import { regionAt } from '../hw/iommufd/regions.ts';
import { cmdqvInfo, type Hardware, MEMORY, MEMORY_BYTES, names, type Series, smmuInfo, u32, u64 } from '../hw/iommufd/series-testing.ts';
import { type CallOptions, Program, type Values } from '../hw/iommufd/testing.ts';
import { type DialectName, uapiTable } from '../hw/uapi/table.ts';
import { FileKind, Kind, makeArgs, makePart, type Part, PartKind, Start } from '../store/frame.ts';
import { Script } from './script.ts';

/** Two queues and four stream ids for each VINTF, command queues of 8 KiB at most. */
const HARDWARE: Hardware = { log2Queues: 1, log2Sids: 2, log2Commands: 9 };
const IOMMUFD = 3;
const PAGE0 = 0x1_0000;
const PAGE = 0x1000;
const ADDRESS = 0x7f00_0000_0000;

/** A program of a dialect, and the log of what it does. */
class Recording {
  readonly dialect: DialectName;
  readonly script: Script;
  readonly program: Program;
  /** name of each step: its event */
  readonly steps = new Map<string, number>();
  /** the same descriptors, with the calls that the dialect may not have */
  readonly #layout = new Program('linux-7.2');
  #maps = 0;

  constructor(dialect: DialectName) {
    this.dialect = dialect;
    this.script = new Script(uapiTable(dialect));
    this.program = new Program(dialect);
    this.script.start(Start.EXEC);
  }
  open(kind: 'iommufd' | 'vfio-device'): number {
    const fd = this.program.open(kind);
    this.#layout.open(kind);
    if (kind === 'iommufd') this.script.open(fd);
    else this.script.open(fd, FileKind.VFIO_DEVICE, `/dev/vfio/devices/vfio${fd}`);
    return fd;
  }
  close(fd: number): void {
    this.program.close(fd);
    this.script.close(fd);
  }

  /** Makes a call. → errno */
  call(step: string, name: string, values: Values = {}, options: CallOptions & { readonly fd?: number } = {}): string {
    const { fd = IOMMUFD } = options;
    const there = this.program.model.table.byName(name) !== undefined;
    const request = (there ? this.program : this.#layout).request(fd, name, values, options);
    const errno = there ? this.program.call(fd, name, values, options) : 'ENOTTY';
    const before = request.struct.bytes;
    const parts: Part[] = [makePart(PartKind.IN, before)];
    for (let at = 0; at + 8 <= before.length; at += 4) {
      const memory = request.nested(at);
      if (memory !== undefined) parts.push(makePart(PartKind.NESTED_IN, memory.bytes, at));
    }
    parts.push(makePart(PartKind.OUT, errno === '' && this.program.out.length > 0 ? this.program.out : before));
    const written = errno === '' ? [...this.program.nestedOut, ...this.#told(name, options)] : [];
    for (const [at, bytes] of written) if (bytes !== undefined) parts.push(makePart(PartKind.NESTED_OUT, bytes, at));
    const result = { error: errnoNumber(errno) ?? 0, ret: errno === '' ? 0n : -1n };
    this.steps.set(step, this.script.add({ kind: Kind.IOCTL, ...this.script.behind(fd), request: request.request, parts, ...result }));
    return errno;
  }
  #told(name: string, options: CallOptions): [number, Uint8Array][] {
    const table = this.program.model.table;
    return Object.entries(options.told?.nested ?? {}).map(([field, bytes]) => [table.offsetOf(name, field), bytes]);
  }
  out(name: string, field: string): number {
    return this.program.u32(name, field);
  }

  /** Maps, and unmaps again unless told to keep it. → errno */
  mmap(step: string, offset: number, length: number, keep = false): string {
    const { context } = this.program.fds.get(IOMMUFD)!;
    const { traits } = this.program.model;
    const answer = mmap(context!, traits, { length: BigInt(length), prot: 3, flags: 1, offset: BigInt(offset) });
    const address = ADDRESS + PAGE0 * ++this.#maps;
    const result = { error: errnoNumber(answer.errno) ?? 0, ret: answer.errno === '' ? BigInt(address) : -1n };
    const parts = [makeArgs(0, length, 3, 1, offset)];
    this.steps.set(step, this.script.add({ kind: Kind.MMAP, ...this.script.behind(IOMMUFD), ...result, parts }));
    if (answer.errno !== '') return answer.errno;
    this.program.model.mapped(`${address}`, context!, regionAt(context!.regions, traits.queueRules, BigInt(offset))?.owner);
    if (keep) this.#kept = [address, length];
    else this.#munmap(address, length);
    return '';
  }
  #kept: readonly [number, number] | undefined;
  munmap(): void {
    if (this.#kept) this.#munmap(...this.#kept);
  }
  #munmap(address: number, length: number): void {
    this.program.model.unmapped(`${address}`);
    this.script.munmap(address, length);
  }
}

export interface DialectSession {
  readonly script: Script;
  /** name of each step: its event */
  readonly steps: ReadonlyMap<string, number>;
}

/** DEVICE 1, IOAS 2, nest parent 3 (not on 6.12); memory at MEMORY. */
function begin(r: Recording): void {
  r.open('iommufd');
  r.call('bind', 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: IOMMUFD }, { fd: r.open('vfio-device') });
  const old = r.dialect === 'linux-6.12';
  const { table, traits } = r.program.model;
  const [out, asked] = ['out_data_type', 'in_data_type'].map((f) => (table.has('IOMMU_GET_HW_INFO', f) ? f : 'data_type'));
  const info = (step: string, bytes: Uint8Array, type: number, values: Values): void => {
    const told = { values: { [out!]: type, data_len: bytes.length, out_capabilities: 1 }, nested: { data_uptr: bytes } };
    r.call(step, 'IOMMU_GET_HW_INFO', { dev_id: 1, data_len: 64, data_uptr: 0x1000, ...values }, { told });
  };
  if (old) info('information', new Uint8Array(64), 0, {});
  else info('information', smmuInfo(r.dialect, HARDWARE), 2, {});
  // kernels that know no input type have the field all the same, under the name of what it brings
  info('information, type 3', cmdqvInfo(HARDWARE), 3, { flags: 1, [traits.hwInfoInputType ? asked! : out!]: 3 });
  r.call('IOAS', 'IOMMU_IOAS_ALLOC');
  const parent = { flags: 1, dev_id: 1, pt_id: 2 };
  r.call('nest parent', 'IOMMU_HWPT_ALLOC', parent, old ? { told: { errno: 'EOPNOTSUPP' } } : {});
  r.call('memory', 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 2, user_va: 0x10_0000, length: MEMORY_BYTES, iova: MEMORY });
}

/** A vIOMMU with a VINTF. → its id and the offset of its page 0 */
function vintf(r: Recording, step: string): readonly [number, number] {
  const nested = { data_uptr: new Uint8Array(16) };
  const hwpt = r.dialect === 'linux-6.12' ? 0 : 3;
  const values = { type: 2, dev_id: 1, hwpt_id: hwpt, data_len: 16 };
  if (r.call(step, 'IOMMU_VIOMMU_ALLOC', values, { nested }) !== '') return [0, 0];
  const bytes = [...r.program.nestedOut.values()][0]!;
  const offset = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  return [r.out('IOMMU_VIOMMU_ALLOC', 'out_viommu_id'), Number(offset)];
}

/** → id */
function queue(r: Recording, step: string, dialect: Series, viommu: number, index: number): number {
  const { call, base, out } = names(dialect);
  const at = MEMORY + PAGE * index;
  const common = { viommu_id: viommu, type: 1 };
  if (dialect === 'vcmdq-v1') {
    const nested = { data_uptr: new Uint8Array([...u32(index, 8), ...u64(BigInt(at))]) };
    if (r.call(step, call, { ...common, data_len: 16 }, { nested }) !== '') return 0;
  } else if (r.call(step, call, { ...common, index, [base]: at, length: PAGE }) !== '') return 0;
  return r.out(call, out);
}

const unmap = (r: Recording, step: string): string => r.call(step, 'IOMMU_IOAS_UNMAP', { ioas_id: 2, iova: MEMORY, length: MEMORY_BYTES });
const destroy = (r: Recording, step: string, id: number): string => r.call(step, 'IOMMU_DESTROY', { id });

/** vDEVICEs, two queues in both orders, UNMAP under them. Leaves the vIOMMU with nothing on it. */
function queues(r: Recording, dialect: Series, a: number, b: number): void {
  const vdevice = (step: string, virtId: number): number => {
    const errno = r.call(step, 'IOMMU_VDEVICE_ALLOC', { viommu_id: a, dev_id: 1, virt_id: virtId });
    return errno === '' ? r.out('IOMMU_VDEVICE_ALLOC', 'out_vdevice_id') : 0;
  };
  const wide = vdevice('vDEVICE of 21 bits', 0x10_0000);
  if (wide !== 0) destroy(r, 'end of it', wide);
  const ends = [vdevice('vDEVICE', 1), vdevice('second vDEVICE', 2)].filter((id) => id !== 0);
  for (const [i, id] of ends.entries()) destroy(r, `end of vDEVICE ${i}`, id);
  const early = queue(r, 'queue 1 first', dialect, b, 1);
  if (early !== 0) destroy(r, 'end of queue 1 of b', early);
  const first = queue(r, 'queue 0', dialect, a, 0);
  r.call('IOAS after a queue', 'IOMMU_IOAS_ALLOC');
  const second = queue(r, 'queue 1', dialect, a, 1);
  const gone = unmap(r, 'UNMAP under queues') === '';
  const wrong = destroy(r, 'queue 0 before 1', first);
  destroy(r, 'end of queue 1', second);
  if (wrong !== '') destroy(r, 'end of queue 0', first);
  if (!gone) unmap(r, 'UNMAP after queues');
}

/** mmap of both ways, and the end of a vIOMMU that is mapped. */
function mappings(r: Recording, a: readonly [number, number], b: readonly [number, number]): void {
  r.mmap('half of it', a[1], PAGE0 / 2);
  r.mmap('page 7', b[1] + 7 * PAGE, PAGE0);
  r.mmap('page 8', b[1] + 8 * PAGE, PAGE0);
  r.mmap('all of it', a[1], PAGE0, true);
  const held = destroy(r, 'end of a mapped one', a[0]) !== '';
  r.munmap();
  if (held) destroy(r, 'end of a', a[0]);
  const [c] = vintf(r, 'vIOMMU c');
  destroy(r, 'end of c', c);
  destroy(r, 'end of b', b[0]);
}

/** What a VMM of this dialect does. */
export function dialectSession(dialect: DialectName): DialectSession {
  const r = new Recording(dialect);
  begin(r);
  const a = vintf(r, 'vIOMMU a');
  if (dialect === 'linux-6.12') {
    r.mmap('all of it', 0, PAGE0);
    unmap(r, 'UNMAP under queues');
  } else {
    const b = vintf(r, 'vIOMMU b');
    queues(r, dialect, a[0], b[0]);
    mappings(r, a, b);
  }
  for (const fd of [...r.program.fds.keys()].reverse()) r.close(fd);
  return { script: r.script, steps: r.steps };
}
