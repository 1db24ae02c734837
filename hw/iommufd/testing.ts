/** For tests: calls against a model, as a program makes them. */
import type { DialectName } from '../uapi/table.ts';
import { type Command, SCALAR_BYTES } from '../uapi/types.ts';
import type { Answer, Memory, Request } from './call.ts';
import { Model } from './model.ts';
import type { FileKind, OpenFile } from './state.ts';

export type Values = Readonly<Record<string, number | bigint>>;
type Buffers = Readonly<Record<string, Uint8Array>>;

export interface CallOptions {
  /** what pointer fields point to */
  readonly nested?: Buffers;
  /** bytes of the struct */
  readonly size?: number;
  /** what a kernel answers where the rules leave it open: fields, and buffers by their pointer */
  readonly told?: { readonly errno?: string; readonly values?: Values; readonly nested?: Buffers };
}

/** A program with one process and its descriptors. */
export class Program {
  readonly model: Model;
  #seq = 0;
  #files = 0;
  readonly fds = new Map<number, OpenFile>();
  /** the struct after the last call */
  out: Uint8Array = new Uint8Array(0);
  /** buffers that the last call wrote, by offset of their pointer */
  nestedOut: Answer['nestedOut'] = new Map();

  constructor(dialect: DialectName = 'linux-7.2') {
    this.model = new Model(dialect);
  }

  /** Opens /dev/iommu. → descriptor */
  open(kind: FileKind = 'iommufd'): number {
    return this.#descriptor(this.model.open(++this.#files, kind));
  }
  close(fd: number): void {
    const file = this.fds.get(fd);
    this.fds.delete(fd);
    if (file !== undefined && ![...this.fds.values()].includes(file)) this.model.close(file.file);
  }

  /** Makes a call with these fields, in a struct of `size` bytes (default: what the dialect has). '' for success */
  call(fd: number, name: string, values: Values = {}, options: CallOptions = {}): string {
    const request = this.request(fd, name, values, options);
    let answer = this.model.decide(request);
    if (answer === undefined) throw new Error(`no rule for ${name}`);
    if (answer.errno === '' && options.told !== undefined) answer = this.#told(request, answer, name, options.told);
    if (answer.errno === '') {
      this.out = answer.out ?? new Uint8Array(0);
      this.nestedOut = answer.nestedOut;
      for (const made of answer.files.values()) {
        const number = ++this.#files;
        this.model.adopt(number, made);
        this.#descriptor(this.model.kernel.files.get(number)!);
      }
    }
    answer.commit();
    return answer.errno;
  }

  /** The answer, without its effect. */
  ask(fd: number, name: string, values: Values = {}, options: CallOptions = {}): Answer | undefined {
    return this.model.decide(this.request(fd, name, values, options));
  }

  request(fd: number, name: string, values: Values, options: CallOptions): Request {
    const { table } = this.model;
    const command = table.byName(name)!;
    const size = options.size ?? command.struct?.size ?? 0;
    const bytes = new Uint8Array(Math.max(size, command.struct?.size ?? 0, 8));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, size, true);
    put(bytes, command, values);
    const nested = new Map<number, Memory>();
    for (const [field, content] of Object.entries(options.nested ?? {})) {
      const at = table.offsetOf(name, field);
      nested.set(at, { bytes: content, wanted: BigInt(content.length), fault: false });
      if (view.getBigUint64(at, true) === 0n) view.setBigUint64(at, 0x1000n, true);
    }
    return {
      target: command.target,
      file: this.fds.get(fd)!,
      request: command.request,
      arg: BigInt(values.arg ?? 0),
      struct: { bytes: bytes.subarray(0, size), wanted: BigInt(size), fault: false },
      seq: ++this.#seq,
      process: 1,
      nested: (offset) => nested.get(offset),
      fileOf: (n) => this.fds.get(n),
    };
  }

  #told(request: Request, answer: Answer, name: string, told: NonNullable<CallOptions['told']>): Answer {
    const { table } = this.model;
    const out = answer.out?.slice() ?? new Uint8Array(0);
    put(out, table.byName(name)!, told.values ?? {});
    if (told.errno !== undefined) return this.model.decide(request, { errno: told.errno, ret: -1n, out: undefined })!;
    const nested = new Map(Object.entries(told.nested ?? {}).map(([field, bytes]) => [table.offsetOf(name, field), bytes]));
    return this.model.decide(request, { errno: '', ret: answer.ret, out, nested: (offset) => nested.get(offset) })!;
  }

  /** A 32-bit output of the last call. */
  u32(name: string, field: string): number {
    return new DataView(this.out.buffer, this.out.byteOffset).getUint32(this.model.table.offsetOf(name, field), true);
  }
  u64(name: string, field: string): bigint {
    return new DataView(this.out.buffer, this.out.byteOffset).getBigUint64(this.model.table.offsetOf(name, field), true);
  }

  #descriptor(file: OpenFile): number {
    let fd = 3;
    while (this.fds.has(fd)) fd++;
    this.fds.set(fd, file);
    return fd;
  }
}

/** Writes fields of a struct. Throws for a name that it does not have. */
function put(bytes: Uint8Array, command: Command, values: Values): void {
  for (const [field, value] of Object.entries(values)) {
    const f = command.struct?.byName.get(field);
    if (f === undefined) throw new Error(`${command.name} has no ${field}`);
    const width = SCALAR_BYTES[f.type];
    for (let i = 0; i < width; i++) bytes[f.offset + i] = Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 0xffn);
  }
}
