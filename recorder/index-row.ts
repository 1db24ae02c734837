/**
 * The columns of an event that need knowledge of iommufd: the call's name, its context, the object that it is about. For
 * queries only; what the state is, the replayer says.
 */
import { callName } from '../hw/event-words.ts';
import { targetOfFileKind, type UapiTable } from '../hw/uapi/table.ts';
import type { EventRow } from '../store/append.ts';
import { FileKind, type FrameCursor, Kind, PartKind } from '../store/frame.ts';

/** Offsets of the ids of a command: of the object it makes, of the object it names. -1 none. */
interface Ids {
  readonly made: number;
  readonly named: number;
  /** offset of the descriptor that stands for the context, for VFIO_DEVICE_BIND_IOMMUFD */
  readonly context: number;
}

export class RowIndex {
  readonly #table: UapiTable;
  readonly #names = new Map<number, string>();
  readonly #ids = new Map<number, Ids | undefined>();
  /** context by open file: an iommufd is one itself, a bound device belongs to one */
  readonly #contexts = new Map<number, number>();
  /** open file by pid and descriptor, as far as it was seen: to find the iommufd that a BIND names */
  readonly #files = new Map<string, number>();
  /** context of the latest call by thread, for descriptors that the call returned */
  readonly #latest = new Map<number, number>();
  #last = 0;

  constructor(table: UapiTable) {
    this.#table = table;
  }

  row(f: FrameCursor): EventRow {
    const call = this.#name(f);
    const context = this.#context(f);
    const object = f.kind === Kind.IOCTL ? this.#object(f) : 0;
    if (f.kind === Kind.IOCTL) this.#latest.set(f.tid, context);
    return { call, context, object };
  }

  #name(f: FrameCursor): string {
    const key = (f.request * 256 + f.fileKind) * 256 + f.kind;
    let name = this.#names.get(key);
    if (name === undefined) {
      name = callName({ kind: f.kind, fileKind: f.fileKind, request: f.request }, this.#table);
      this.#names.set(key, name);
    }
    return name;
  }

  #context(f: FrameCursor): number {
    const file = f.file;
    if (file === 0) return 0;
    let context = this.#contexts.get(file);
    if (context === undefined && (f.fileKind === FileKind.IOMMUFD || f.fileKind === FileKind.VFIO_CONTAINER)) {
      context = ++this.#last;
      this.#contexts.set(file, context);
    }
    if (f.kind === Kind.OPEN || f.kind === Kind.FD || f.kind === Kind.DUP) {
      if (f.ret32 >= 0) this.#files.set(`${f.pid} ${f.ret32}`, file);
      if (context === undefined && f.kind === Kind.FD && f.fileKind !== FileKind.VFIO_DEVICE) {
        context = this.#latest.get(f.tid);
        if (context !== undefined) this.#contexts.set(file, context);
      }
    }
    if (f.kind === Kind.IOCTL && f.fileKind === FileKind.VFIO_DEVICE && f.error === 0) {
      const at = this.#idsOf(f)?.context ?? -1;
      if (at >= 0 && f.part(PartKind.IN) && f.partBytes >= at + 4) {
        const iommufd = this.#files.get(`${f.pid} ${f.buffer.readInt32LE(f.partStart + at)}`);
        context = iommufd === undefined ? undefined : this.#contexts.get(iommufd);
        if (context !== undefined) this.#contexts.set(file, context);
      }
    }
    return context ?? 0;
  }

  #idsOf(f: FrameCursor): Ids | undefined {
    const key = f.request * 256 + f.fileKind;
    if (!this.#ids.has(key)) {
      const target = targetOfFileKind(f.fileKind);
      const fields = (target && this.#table.command(target, f.request)?.struct?.fields) ?? [];
      const offset = (test: (x: (typeof fields)[number]) => boolean): number =>
        fields.find((x) => x.arm === undefined && test(x))?.offset ?? -1;
      this.#ids.set(key, {
        made: offset((x) => x.creates !== undefined),
        named: offset((x) => x.ref !== undefined || x.destroys === true),
        context: offset((x) => x.fd === 'IOMMUFD' && x.dir === 'in'),
      });
    }
    return this.#ids.get(key);
  }

  #object(f: FrameCursor): number {
    const ids = this.#idsOf(f);
    if (!ids) return 0;
    if (ids.made >= 0 && f.error === 0 && f.part(PartKind.OUT) && f.partBytes >= ids.made + 4)
      return f.buffer.readUInt32LE(f.partStart + ids.made);
    if (ids.named >= 0 && f.part(PartKind.IN) && f.partBytes >= ids.named + 4) return f.buffer.readUInt32LE(f.partStart + ids.named);
    return 0;
  }
}
