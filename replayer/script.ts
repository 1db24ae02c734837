/**
 * Sessions written by hand: frames as a recorder would store them, one call after another. For tests, benchmarks and
 * demonstrations; it knows descriptors and file numbers, not the kernel: results are given.
 */
import type { UapiTable } from '../hw/uapi/table.ts';
import type { Field } from '../hw/uapi/types.ts';
import {
  Close,
  encodeFrame,
  FileKind,
  Fork,
  Found,
  type Frame,
  FrameFlag,
  Kind,
  makeArgs,
  makeFrame,
  makePart,
  Open,
  type Part,
  PartKind,
  Rw,
  Start,
  State,
} from '../store/frame.ts';
import type { FrameBatch } from '../store/read.ts';
import type { TimelineSource } from './timeline.ts';

/** Values of a struct's fields, by name; the rest is 0, `size` and `argsz` are the struct's. */
export type Values = Readonly<Record<string, number | bigint>>;

export interface IoctlOptions {
  /** errno; the call fails */
  readonly error?: number;
  readonly ret?: number;
  /** nested buffers, by the name of their pointer */
  readonly nestedIn?: Readonly<Record<string, Uint8Array>>;
  readonly nestedOut?: Readonly<Record<string, Uint8Array>>;
  /** bytes behind the struct */
  readonly tail?: Uint8Array;
  /** the call is stored before it returns: see `returns` */
  readonly entered?: boolean;
}

const TARGETS = {
  [FileKind.IOMMUFD]: 'iommufd',
  [FileKind.VFIO_CONTAINER]: 'iommufd',
  [FileKind.VFIO_DEVICE]: 'vfio-device',
  [FileKind.VFIO_GROUP]: 'vfio-group',
} as const;

/** u32 words, little-endian. */
export function words(...values: readonly number[]): Buffer {
  const b = Buffer.alloc(4 * values.length);
  values.forEach((v, i) => {
    b.writeUInt32LE(v >>> 0, 4 * i);
  });
  return b;
}

/** u64 words, little-endian. */
export function longs(...values: readonly (number | bigint)[]): Buffer {
  const b = Buffer.alloc(8 * values.length);
  values.forEach((v, i) => {
    b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(v)), 8 * i);
  });
  return b;
}

const text = (t: string, slot = 0): Part => makePart(PartKind.TEXT, Buffer.from(t), slot);

export class Script {
  readonly table: UapiTable;
  readonly frames: Buffer[] = [];
  /** the process that makes the next calls */
  pid = 100;
  /** nanoseconds; goes on by 1000 with each event */
  now = 1_000_000;
  /** flags of the next frames */
  flags = 0;
  #files = 0;
  #fds = new Map<string, { readonly file: number; readonly kind: number }>();

  constructor(table: UapiTable, pid = 100) {
    this.table = table;
    this.pid = pid;
  }

  /** number of the last event */
  get seq(): number {
    return this.frames.length;
  }

  add(f: Partial<Frame> & { readonly kind: number }): number {
    const seq = this.frames.length + 1;
    this.now += 1000;
    const t = { tEnter: BigInt(this.now), tExit: f.state === State.ENTERED ? 0n : BigInt(this.now + 500) };
    this.frames.push(encodeFrame(makeFrame({ pid: this.pid, tid: this.pid, flags: this.flags, ...t, ...f, seq })));
    return seq;
  }

  /** What the recorder knows of a descriptor of the current process. */
  behind(fd: number): { readonly fd: number; readonly file: number; readonly fileKind: number } {
    const known = this.#fds.get(`${this.pid}/${fd}`);
    return { fd, file: known?.file ?? 0, fileKind: known?.kind ?? FileKind.UNKNOWN };
  }
  knows(fd: number, file: number, kind: number, pid = this.pid): void {
    this.#fds.set(`${pid}/${fd}`, { file, kind });
  }

  // ---- processes ----

  start(how: number = Start.EXEC, parent = 1, exe = '/bin/vmm', inherits?: number): number {
    const args = inherits === undefined ? makeArgs(parent, this.pid * 10) : makeArgs(parent, this.pid * 10, inherits);
    return this.add({ kind: Kind.START, request: how, parts: [args, text(exe)] });
  }
  /** The current process forks; the child's descriptors are the parent's. */
  fork(child: number, how: number = Fork.FORK): number {
    for (const [key, f] of [...this.#fds]) {
      const [pid, fd] = key.split('/');
      if (Number(pid) === this.pid) this.knows(Number(fd), f.file, f.kind, child);
    }
    return this.add({ kind: Kind.FORK, request: how, ret: BigInt(child) });
  }
  exit(status = 0): number {
    return this.add({ kind: Kind.EXIT, request: 1, ret: BigInt(status) });
  }

  // ---- descriptors ----

  open(fd: number, kind: number = FileKind.IOMMUFD, path = '/dev/iommu'): number {
    const file = ++this.#files;
    this.knows(fd, file, kind);
    return this.add({
      kind: Kind.OPEN,
      request: Open.OPEN,
      ret: BigInt(fd),
      fd,
      file,
      fileKind: kind,
      parts: [makeArgs(0, 2, 0), text(path)],
    });
  }
  /** The recorder reports a descriptor; `file` 0: as a new file. */
  found(fd: number, kind: number, how: number = Found.CREATED, file = 0): number {
    const number = file || ++this.#files;
    this.knows(fd, number, kind);
    return this.add({
      kind: Kind.FD,
      request: how,
      fd,
      file: number,
      fileKind: kind,
      ret: BigInt(fd),
      parts: [makeArgs(0, 0, 0, 0), text('link')],
    });
  }
  close(fd: number): number {
    const seq = this.add({ kind: Kind.CLOSE, request: Close.CLOSE, ...this.behind(fd) });
    this.#fds.delete(`${this.pid}/${fd}`);
    return seq;
  }
  dup(fd: number, to: number, how = 2): number {
    const f = this.behind(fd);
    const seq = this.add({ kind: Kind.DUP, request: how, ...f, ret: BigInt(to), parts: [makeArgs(to, 0)] });
    this.knows(to, f.file, f.fileKind);
    return seq;
  }

  // ---- calls ----

  /** An ioctl by name: fields before the call, and those that the kernel has written. */
  ioctl(fd: number, name: string, input: Values = {}, output: Values = {}, options: IoctlOptions = {}): number {
    const f = this.behind(fd);
    const target = TARGETS[f.fileKind as keyof typeof TARGETS] ?? 'iommufd';
    const command = this.table.byName(name);
    if (!command) throw new Error(`${this.table.dialect} has no ${name}`);
    const fields = command.struct?.fields ?? [];
    const parts = this.#structParts(command.struct?.size ?? 0, fields, input, output, options);
    const failed = options.error !== undefined;
    return this.add({
      kind: Kind.IOCTL,
      ...f,
      fileKind: f.fileKind || (target === 'iommufd' ? FileKind.IOMMUFD : FileKind.UNKNOWN),
      request: command.request,
      state: options.entered ? State.ENTERED : State.RETURNED,
      error: options.error ?? 0,
      ret: BigInt(options.ret ?? (failed ? -1 : 0)),
      parts,
    });
  }

  #structParts(size: number, fields: readonly Field[], input: Values, output: Values, options: IoctlOptions): Part[] {
    if (size === 0) return [makeArgs(Number(input.arg ?? 0))];
    const tail = options.tail ?? Buffer.alloc(0);
    const before = Buffer.concat([Buffer.alloc(size), tail]);
    put(before, fields, { size: size, argsz: before.length });
    put(before, fields, input);
    const after = Buffer.from(before);
    put(after, fields, output);
    const slot = (name: string): number => fields.find((x) => x.name === name || x.name.endsWith(`.${name}`))?.offset ?? 0;
    const nested = (kind: typeof PartKind.NESTED_IN | typeof PartKind.NESTED_OUT, all: IoctlOptions['nestedIn'] = {}): Part[] =>
      Object.entries(all).map(([name, bytes]) => makePart(kind, bytes, slot(name)));
    const parts = [makePart(PartKind.IN, before), ...nested(PartKind.NESTED_IN, options.nestedIn)];
    if (!options.entered) parts.push(makePart(PartKind.OUT, after), ...nested(PartKind.NESTED_OUT, options.nestedOut));
    return parts;
  }

  /** IOMMU_TEST_CMD: fields of its arm by their own names. */
  test(fd: number, op: string, id: number, input: Values = {}, output: Values = {}, options: IoctlOptions = {}): number {
    let row: { readonly value: number; readonly fields: readonly Field[] } | undefined;
    for (let v = 0; v < 64 && !row; v++) {
      const known = this.table.testOp(v);
      if (known?.name === `IOMMU_TEST_OP_${op}`) row = known;
    }
    if (!row) throw new Error(`no IOMMU_TEST_OP_${op}`);
    const full = (values: Values): Values =>
      Object.fromEntries(
        Object.entries(values).map(([k, v]) => [row.fields.find((x) => x.name === k || x.name.endsWith(`.${k}`))?.name ?? k, v]),
      );
    return this.ioctl(fd, 'IOMMU_TEST_CMD', { op: row.value, id, ...full(input) }, full(output), options);
  }

  /** The RETURN event of a call that was stored as entered. */
  returns(seq: number, name: string, output: Values = {}, error = 0): number {
    const command = this.table.byName(name)!;
    const after = Buffer.alloc(command.struct?.size ?? 0);
    put(after, command.struct?.fields ?? [], output);
    const parts = [makeArgs(seq), ...(after.length > 0 ? [makePart(PartKind.OUT, after)] : [])];
    return this.add({ kind: Kind.RETURN, error, ret: error === 0 ? 0n : -1n, parts });
  }

  mmap(fd: number, address: number, length: number, offset: number): number {
    return this.add({ kind: Kind.MMAP, ...this.behind(fd), ret: BigInt(address), parts: [makeArgs(0, length, 3, 1, offset)] });
  }
  munmap(address: number, length: number): number {
    return this.add({ kind: Kind.MUNMAP, parts: [makeArgs(address, length)] });
  }
  mremap(from: number, oldLength: number, length: number, to: number, flags = 1): number {
    return this.add({ kind: Kind.MREMAP, ret: BigInt(to), parts: [makeArgs(from, oldLength, length, flags, to)] });
  }
  read(fd: number, bytes: Uint8Array): number {
    const parts = [makeArgs(bytes.length, -1), makePart(PartKind.OUT, bytes)];
    return this.add({ kind: Kind.READ, request: Rw.PLAIN, ...this.behind(fd), ret: BigInt(bytes.length), parts });
  }
  write(fd: number, bytes: Uint8Array, ret = bytes.length): number {
    const parts = [makeArgs(bytes.length, -1), makePart(PartKind.IN, bytes)];
    return this.add({ kind: Kind.WRITE, request: Rw.PLAIN, ...this.behind(fd), ret: BigInt(ret), parts });
  }
  /** The next frames are a vfork child's, or not any more. */
  vfork(on: boolean): void {
    this.flags = on ? FrameFlag.VFORK : 0;
  }

  /** The session as something to fold; frames come in batches of `page` events. */
  source(page = 8192): TimelineSource {
    return framesSource(this.frames, this.table.dialect, page);
  }
}

function put(to: Buffer, fields: readonly Field[], values: Values): void {
  for (const [name, value] of Object.entries(values)) {
    const f = fields.find((x) => x.name === name);
    if (!f) {
      if (name === 'size' || name === 'argsz') continue;
      throw new Error(`no field ${name}`);
    }
    const bytes = longs(value).subarray(0, Math.min(f.size, 8));
    to.set(bytes, f.offset);
  }
}

/** Frames, numbered from 1, as something to fold. */
export function framesSource(frames: readonly Buffer[], dialect: string, page = 8192): TimelineSource {
  return {
    last: frames.length,
    meta: { dialect },
    *scan(from = 1, to = frames.length): Generator<FrameBatch> {
      const end = Math.min(to, frames.length);
      for (let first = Math.max(1, from); first <= end; first += page) {
        const some = frames.slice(first - 1, Math.min(first - 1 + page, end));
        const offsets = new Uint32Array(some.length + 1);
        some.forEach((f, i) => {
          offsets[i + 1] = offsets[i]! + f.length;
        });
        yield { first, count: some.length, buffer: Buffer.concat(some), offsets };
      }
    },
  };
}
