/**
 * A program on the models of the kernel (hw/iommufd) and of a CMDQV (hw/cmdqv): it makes calls and accesses, and a list of
 * what happened comes out, as a recorder would have seen it. No clock, no chance: the same program gives the same list.
 */
import { apply, type Effect } from '../cmdqv/change.ts';
import { type Input, step } from '../cmdqv/model.ts';
import { locate } from '../cmdqv/places.ts';
import { type CmdqvState, digest, makeState, readerOf, type Size } from '../cmdqv/state.ts';
import type { Request } from '../iommufd/call.ts';
import { mmap } from '../iommufd/mmap.ts';
import { Model } from '../iommufd/model.ts';
import { readVeventq } from '../iommufd/queues.ts';
import { regionAt } from '../iommufd/regions.ts';
import type { FileKind, OpenFile, Veventq, Viommu } from '../iommufd/state.ts';
import { report } from '../iommufd/test-ops.ts';
import type { DialectName } from '../uapi/table.ts';
import { type Command, SCALAR_BYTES } from '../uapi/types.ts';
import { GuestMemory } from './memory.ts';
import { type Asked, changes, keyOf } from './mirror.ts';

export type Values = Readonly<Record<string, number | bigint>>;

export type KvmKind = 'kvm' | 'kvm-vm' | 'kvm-vcpu';
type AnyKind = FileKind | KvmKind;

/** What a recorder sees. Numbers of files, descriptors and addresses are the program's. */
export type SimEvent =
  | { readonly kind: 'open'; readonly fd: number; readonly file: number; readonly fileKind: AnyKind; readonly path: string }
  | { readonly kind: 'close'; readonly fd: number; readonly file: number; readonly fileKind: AnyKind }
  /** a descriptor that a call made */
  | { readonly kind: 'found'; readonly fd: number; readonly file: number; readonly fileKind: AnyKind }
  /** a call on KVM, for which there are no rules here; without a struct it has `arg` */
  | {
      readonly kind: 'kvm';
      readonly fd: number;
      readonly file: number;
      readonly fileKind: KvmKind;
      readonly request: number;
      readonly arg: bigint;
      readonly input: Uint8Array;
      readonly ret: bigint;
    }
  /** the program ends: what it had open is closed */
  | { readonly kind: 'exit'; readonly status: number }
  | {
      readonly kind: 'ioctl';
      readonly fd: number;
      readonly file: number;
      readonly fileKind: FileKind;
      readonly command: Command;
      readonly arg: bigint;
      readonly input: Uint8Array;
      readonly output: Uint8Array | undefined;
      /** by offset of their pointer */
      readonly nestedIn: ReadonlyMap<number, Uint8Array>;
      readonly nestedOut: ReadonlyMap<number, Uint8Array>;
      readonly errno: string;
      readonly ret: bigint;
    }
  | {
      readonly kind: 'mmap';
      readonly fd: number;
      readonly file: number;
      readonly address: bigint;
      readonly length: bigint;
      readonly offset: bigint;
      /** loads and stores through it are in the log */
      readonly trapped: boolean;
      readonly errno: string;
    }
  | { readonly kind: 'munmap'; readonly address: bigint; readonly length: bigint }
  | {
      readonly kind: 'read';
      readonly fd: number;
      readonly file: number;
      readonly fileKind: FileKind;
      readonly room: number;
      readonly bytes: Uint8Array;
      readonly errno: string;
    }
  /** a load or store: through a mapping of the program, or of a guest, which exits to it */
  | {
      readonly kind: 'mmio';
      readonly source: 'mapping' | 'exit';
      readonly store: boolean;
      /** of the mapping; of a guest's: its vCPU */
      readonly file: number;
      readonly address: bigint;
      /** in the file of the mapping; of a guest 0 */
      readonly offset: bigint;
      readonly width: number;
      readonly value: bigint;
    }
  /** queue memory and page 0, read beside the program */
  | {
      readonly kind: 'queue';
      readonly why: 'alloc' | 'destroy' | 'prod' | 'error' | 'sample';
      readonly file: number;
      readonly object: number;
      /** its number in the vIOMMU */
      readonly index: number;
      readonly log2: number;
      readonly first: number;
      readonly entries: Uint8Array;
      readonly page0: Uint8Array;
    };

/** An event, what the hardware did with it, and the digest of its state after that. */
export interface Happened {
  readonly event: SimEvent;
  readonly effects: readonly Effect[];
  /** what the driver did because of it, as inputs of the hardware's model */
  readonly inputs: readonly Input[];
  readonly digest: string;
}

export interface CallOptions {
  /** what pointer fields point to, by name */
  readonly nested?: Readonly<Record<string, Uint8Array>>;
  /** of a call that makes a queue: where, and how long */
  readonly asked?: Asked;
  /** what the kernel answers where the rules leave it open */
  readonly told?: { readonly values?: Values; readonly nested?: Readonly<Record<string, Uint8Array>> };
}

export interface Result {
  readonly errno: string;
  /** the struct after the call */
  u32(field: string): number;
  readonly nestedOut: ReadonlyMap<number, Uint8Array>;
}

const PROCESS = 1;

export class Session {
  readonly model: Model;
  readonly cmdqv: CmdqvState;
  readonly memory = new GuestMemory();
  readonly log: Happened[] = [];
  readonly fds = new Map<number, OpenFile>();
  readonly kvm = new Map<number, { readonly file: number; readonly fileKind: KvmKind }>();
  #files = 0;
  #address = 0x7000_0000_0000n;
  readonly #maps = new Map<
    bigint,
    { readonly file: OpenFile; readonly length: bigint; readonly offset: bigint; readonly viommu: Viommu | undefined }
  >();
  #known: ReturnType<typeof changes>['known'] = new Map();
  readonly #effects: Effect[] = [];
  readonly #inputs: Input[] = [];

  constructor(dialect: DialectName, size: Size) {
    this.model = new Model(dialect);
    this.cmdqv = makeState(size);
    this.hardware({ kind: 'reset' });
  }

  /** Something happens in the hardware; vEVENTs come to their queues. */
  hardware(input: Input): readonly Effect[] {
    const effects = step(this.cmdqv, input, (address, bytes) => this.memory.read(address, bytes));
    apply(this.cmdqv, effects);
    this.#effects.push(...effects);
    for (const e of effects) {
      if (e.kind === 'vevent') this.#event(e.viommu, e.map);
      if (e.kind === 'store') this.memory.write(e.address, e.bytes);
    }
    return effects;
  }

  #event(key: string, map: readonly [bigint, bigint]): void {
    const viommu = this.viommus().get(key);
    const queue = viommu?.veventqs.get(viommu.kind);
    if (queue === undefined) return;
    const data = new Uint8Array(16);
    new DataView(data.buffer).setBigUint64(0, map[0], true);
    new DataView(data.buffer).setBigUint64(8, map[1], true);
    report(queue, data);
  }

  /** vIOMMUs with a VINTF, by key. */
  viommus(): ReadonlyMap<string, Viommu> {
    return new Map([...changes(this.model.kernel, new Map()).known].map(([key, k]) => [key, k.viommu]));
  }

  open(fileKind: FileKind, path: string): number {
    const file = this.model.open(++this.#files, fileKind, path);
    const fd = this.#descriptor(file);
    this.add({ kind: 'open', fd, file: file.file, fileKind, path });
    return fd;
  }
  /** A file of KVM's. */
  #kvmFile(fileKind: KvmKind): { readonly fd: number; readonly file: number; readonly fileKind: KvmKind } {
    const made = { file: ++this.#files, fileKind };
    const fd = this.#free();
    this.kvm.set(fd, made);
    return { fd, ...made };
  }
  openKvm(): number {
    const made = this.#kvmFile('kvm');
    this.add({ kind: 'open', ...made, path: '/dev/kvm' });
    return made.fd;
  }
  /** An ioctl on a file of KVM's. → its result: a descriptor, where it makes one */
  callKvm(fd: number, request: number, given: { arg?: bigint; input?: Uint8Array; makes?: KvmKind } = {}): number {
    const at = { fd, ...this.kvm.get(fd)! };
    const made = given.makes === undefined ? undefined : this.#kvmFile(given.makes);
    const { arg = 0n, input = new Uint8Array(0) } = given;
    this.add({ kind: 'kvm', ...at, request, arg, input, ret: BigInt(made?.fd ?? 0) });
    if (made !== undefined) this.add({ kind: 'found', ...made });
    return made?.fd ?? 0;
  }
  closeKvm(fd: number): void {
    const at = this.kvm.get(fd)!;
    this.kvm.delete(fd);
    this.add({ kind: 'close', fd, ...at });
  }

  /** The program ends without giving anything back: the kernel does. */
  exit(status: number): void {
    for (const address of this.#maps.keys()) this.model.unmapped(`${address}`);
    this.#maps.clear();
    const files = new Set(this.fds.values());
    this.fds.clear();
    this.kvm.clear();
    for (const file of files) this.model.close(file.file);
    this.#followed();
    this.add({ kind: 'exit', status });
  }

  close(fd: number): void {
    const file = this.fds.get(fd)!;
    this.fds.delete(fd);
    if (![...this.fds.values()].includes(file)) this.model.close(file.file);
    this.#followed();
    this.add({ kind: 'close', fd, file: file.file, fileKind: file.kind });
  }

  /** A call by name; fields that are not given are 0. */
  call(fd: number, name: string, values: Values = {}, options: CallOptions = {}): Result {
    const { table } = this.model;
    const command = table.byName(name);
    const file = this.fds.get(fd);
    if (command === undefined || file === undefined) throw new Error(`${table.dialect} has no ${name}, or there is no descriptor ${fd}`);
    const nestedIn = new Map(Object.entries(options.nested ?? {}).map(([f, bytes]) => [table.offsetOf(name, f), bytes]));
    const input = structOf(command, values, nestedIn.keys());
    const request = this.#request(file, command, input, BigInt(values.arg ?? 0), nestedIn);
    let answer = this.model.decide(request);
    if (answer === undefined) throw new Error(`no rule for ${name}`);
    if (answer.errno === '' && options.told !== undefined) {
      const out = answer.out?.slice() ?? new Uint8Array(0);
      put(out, command, options.told.values ?? {});
      const told = new Map(Object.entries(options.told.nested ?? {}).map(([f, bytes]) => [table.offsetOf(name, f), bytes]));
      answer = this.model.decide(request, { errno: '', ret: answer.ret, out, nested: (offset) => told.get(offset) })!;
      for (const [offset, bytes] of told) (answer.nestedOut as Map<number, Uint8Array | undefined>).set(offset, bytes);
    }
    // a call that fails may have written too: how many entries were handled before
    const output = answer.errno === '' ? this.#returned(command, answer.out, answer.files) : answer.out?.slice();
    answer.commit();
    this.#followed(options.asked);
    const nestedOut = new Map([...answer.nestedOut].filter((e): e is [number, Uint8Array] => e[1] !== undefined));
    const { errno, ret } = answer;
    const at = { fd, file: file.file, fileKind: file.kind };
    this.add({
      kind: 'ioctl',
      ...at,
      command,
      arg: request.arg,
      input,
      output,
      nestedIn,
      nestedOut: errno === '' ? nestedOut : new Map(),
      errno,
      ret,
    });
    this.#report();
    const view = new DataView((output ?? input).buffer);
    return { errno, nestedOut, u32: (field) => view.getUint32(table.offsetOf(name, field), true) };
  }

  /** Descriptors that a call makes are written into its struct. */
  readonly #made: OpenFile[] = [];
  #returned(command: Command, out: Uint8Array | undefined, files: ReadonlyMap<string, Omit<OpenFile, 'file'>>): Uint8Array | undefined {
    const bytes = out?.slice();
    for (const [field, made] of files) {
      const number = ++this.#files;
      this.model.adopt(number, made);
      const file = this.model.kernel.files.get(number)!;
      const fd = this.#descriptor(file);
      if (field !== '' && bytes !== undefined) put(bytes, command, { [field]: fd });
      this.#made.push(file);
    }
    return bytes;
  }
  #report(): void {
    for (const file of this.#made.splice(0)) {
      const fd = [...this.fds].find(([, f]) => f === file)![0];
      this.add({ kind: 'found', fd, file: file.file, fileKind: file.kind });
    }
  }

  #request(file: OpenFile, command: Command, input: Uint8Array, arg: bigint, nested: ReadonlyMap<number, Uint8Array>): Request {
    return {
      target: command.target,
      file,
      request: command.request,
      arg,
      struct: { bytes: input, wanted: BigInt(input.length), fault: false },
      seq: this.log.length + 1,
      process: PROCESS,
      nested: (offset) => {
        const bytes = nested.get(offset);
        return bytes === undefined ? undefined : { bytes, wanted: BigInt(bytes.length), fault: false };
      },
      fileOf: (fd) => this.fds.get(fd),
      // physical memory is the program's, at the same addresses: it lies together, and is aligned as that is
      together: (pages, offset, length) => (pages.start + offset) % length === 0n,
    };
  }

  /** `trapped`: loads and stores through it are in the log. */
  mmap(fd: number, length: bigint, offset: bigint, trapped = false): { readonly errno: string; readonly address: bigint } {
    const file = this.fds.get(fd)!;
    const reply = mmap(file.context!, this.model.traits, { length, prot: 3, flags: 1, offset });
    const address = reply.errno === '' ? this.#address : -1n;
    if (reply.errno === '') {
      this.#address += length;
      const region = regionAt(file.context!.regions, this.model.traits.queueRules, offset);
      const viommu = region?.ended === true ? undefined : region?.owner;
      this.model.mapped(`${address}`, file.context!, viommu);
      this.#maps.set(address, { file, length, offset, viommu });
    }
    this.add({ kind: 'mmap', fd, file: file.file, address, length, offset, trapped, errno: reply.errno });
    return { errno: reply.errno, address };
  }
  munmap(address: bigint): void {
    const map = this.#maps.get(address)!;
    this.#maps.delete(address);
    this.model.unmapped(`${address}`);
    this.#followed();
    this.add({ kind: 'munmap', address, length: map.length });
  }

  /** read(2) of a vEVENTQ. */
  read(fd: number, room: number): Uint8Array {
    const file = this.fds.get(fd)!;
    const reply = readVeventq(file.object as Veventq, this.model.traits, room);
    reply.commit();
    const bytes = reply.bytes ?? new Uint8Array(0);
    this.add({ kind: 'read', fd, file: file.file, fileKind: file.kind, room, bytes, errno: reply.errno });
    return bytes;
  }

  /** A store through a mapping of page 0. `seen`: the recorder traps it. */
  store(address: bigint, offset: bigint, width: number, value: bigint, seen: boolean): void {
    const map = this.#maps.get(address)!;
    const vintf = this.vintfOf(map.viommu);
    if (vintf !== undefined)
      this.hardware({ kind: 'store', view: { kind: 'vintf', vintf, page: 0 }, offset, width, value, from: seen ? 'seen' : 'model' });
    if (seen)
      this.add({
        kind: 'mmio',
        source: 'mapping',
        store: true,
        file: map.file.file,
        address: address + offset,
        offset: map.offset + offset,
        width,
        value,
      });
  }
  /** A load of 4 bytes. The hardware has had the time that it needs for what came before. */
  load(address: bigint, offset: bigint, seen: boolean): bigint {
    this.hardware({ kind: 'run' });
    const map = this.#maps.get(address)!;
    const vintf = this.vintfOf(map.viommu);
    const value = vintf === undefined ? 0n : this.#loaded(vintf, offset);
    if (seen)
      this.add({
        kind: 'mmio',
        source: 'mapping',
        store: false,
        file: map.file.file,
        address: address + offset,
        offset: map.offset + offset,
        width: 4,
        value,
      });
    return value;
  }
  #loaded(vintf: number, offset: bigint): bigint {
    const { name } = locate(offset, { kind: 'vintf', vintf, page: 0 }, this.cmdqv.size);
    const { value } = readerOf(this.cmdqv).get(name);
    this.hardware({ kind: 'load', view: { kind: 'vintf', vintf, page: 0 }, offset, width: 4, value });
    return value;
  }
  vintfOf(viommu: Viommu | undefined): number | undefined {
    return [...this.cmdqv.vintfs.values()].find((v) => viommu !== undefined && v.key === keyOf(viommu))?.index;
  }

  /** Called with each event, when the state is that after it. */
  watch: (happened: Happened) => void = () => {};

  add(event: SimEvent): void {
    const happened = { event, effects: this.#effects.splice(0), inputs: this.#inputs.splice(0), digest: digest(this.cmdqv) };
    this.log.push(happened);
    this.watch(happened);
  }

  /** The driver does what the calls made it do. */
  #followed(asked?: Asked): void {
    const { inputs, known } = changes(this.model.kernel, this.#known, asked);
    this.#known = known;
    this.#inputs.push(...inputs);
    for (const input of inputs) this.hardware(input);
  }

  #free(): number {
    let fd = 3;
    while (this.fds.has(fd) || this.kvm.has(fd)) fd++;
    return fd;
  }
  #descriptor(file: OpenFile): number {
    const fd = this.#free();
    this.fds.set(fd, file);
    return fd;
  }
}

function structOf(command: Command, values: Values, pointers: Iterable<number>): Uint8Array {
  const size = command.struct?.size ?? 0;
  const bytes = new Uint8Array(size);
  if (size === 0) return bytes;
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  put(bytes, command, values);
  for (const at of pointers) if (view.getBigUint64(at, true) === 0n) view.setBigUint64(at, 0x5000_0000n + BigInt(at), true);
  return bytes;
}

/** Writes fields of a struct. Throws for a name that it does not have. */
function put(bytes: Uint8Array, command: Command, values: Values): void {
  for (const [field, value] of Object.entries(values)) {
    if (field === 'arg') continue;
    const f = command.struct?.byName.get(field);
    if (f === undefined) throw new Error(`${command.name} has no ${field}`);
    for (let i = 0; i < SCALAR_BYTES[f.type]; i++)
      bytes[f.offset + i] = Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 0xffn);
  }
}
