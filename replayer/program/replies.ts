import { FileKind, Found, FRAME_AT, Kind, Open } from '../../store/frame.ts';
import type { Form, How } from '../diff/meaning/forms.ts';
import type { EventBytes } from '../event.ts';
import type { U64 } from '../u64.ts';
import type { FieldSink } from './fields.ts';
import type { Draft } from './numbers.ts';
import { Numbers } from './numbers.ts';
import type { Event } from './things.ts';

/** Words of ARGS. */
const WORD = { parent: 0, queue: 0, peer: 2, peerFd: 3, via: 4 } as const;

export class Replies extends Numbers implements FieldSink {
  #event!: Event;

  answer(e: EventBytes, draft: Draft, image: number, event: Event): void {
    this.begin(e, draft, image);
    this.#event = event;
    switch (e.kind) {
      case Kind.IOCTL:
        this.#answeredIoctl();
        break;
      case Kind.OPEN:
        if (e.error === 0) this.#result(e.ret, e.request >= Open.OPEN);
        break;
      case Kind.DUP:
        if (e.error === 0) this.#result(e.ret, false);
        break;
      case Kind.FD:
        this.#found();
        break;
      case Kind.MMAP:
      case Kind.MREMAP:
        this.#placed();
        break;
      case Kind.READ:
        if (e.fileKind === FileKind.FAULT && e.error === 0) this.#faults();
        break;
      case Kind.WRITE:
        if (e.fileKind === FileKind.FAULT && e.error === 0) this.#answeredFaults();
        break;
      case Kind.FORK:
        this.#forked();
        break;
      case Kind.START:
        this.#pid(WORD.parent);
        break;
      case Kind.QUEUE:
        this.#queue();
        break;
    }
  }

  pointer(): void {}

  /** The hardware queue that the recorder looked at. */
  #queue(): void {
    const e = this.e;
    const c = this.things.context(e);
    const known = c === undefined || e.args.bytes < 8 ? undefined : this.things.object(c, e.arg32(WORD.queue));
    if (known !== undefined) this.echo(this.word(WORD.queue), 4, known);
  }

  #answeredIoctl(): void {
    const e = this.e;
    const command = this.fields.command(e);
    const forms = command === undefined ? undefined : this.fields.of(command);
    if (
      e.error === 0 &&
      e.ret > 0 &&
      (command?.returns?.fd !== undefined || command?.name === 'IOMMU_TEST_CMD' || e.request >>> 8 !== 0x3b)
    )
      this.#result(e.ret, false);
    if (forms === undefined || e.out.bytes < 0) return;
    if (e.error === 0 && command?.name === 'VFIO_DEVICE_GET_REGION_INFO')
      this.#window(forms.struct.byName.get('index')?.offset, forms.struct.byName.get('offset')?.offset);
    if (e.error === 0) this.fields.answered(e, forms, this);
  }

  #window(index: number | undefined, offset: number | undefined): void {
    const e = this.e;
    if (index === undefined || offset === undefined || e.out.bytes < offset + 8) return;
    const told = this.things.tellWindow(e.file, e.u32(e.in, index), BigInt(e.u64(e.out, offset)), this.#event.step);
    if (told === undefined) return;
    if (told.isNew) this.define(e.out.start + offset, 8, told.symbol);
    else this.echo(e.out.start + offset, 8, { symbol: told.symbol, addend: 0n, ended: false });
  }

  field(f: Form, how: How, at: number, value: U64): void {
    const e = this.e;
    const name = f.name.text;
    if (f.field.fd !== undefined && (how === 'created' || how === 'file')) {
      const symbol = this.things.fd(e.pid, Number(value) | 0);
      if (symbol !== undefined) this.#made(at, 4, symbol);
    } else if (how === 'created' || how === 'object') this.#answeredId(at, Number(value));
    else if (how === 'iova' && this.#event.chose && f.output) {
      const symbol = this.things.areaMade(e.seq);
      if (symbol !== undefined) this.#made(at, 8, symbol);
    } else if (how === 'offset' || name.endsWith('mmap_length')) this.#answeredRegion(how === 'offset' ? 'offset' : 'length', at, value);
    else if (f.field.name === 'access_pages.out_access_pages_id')
      this.define(at, 4, this.things.tellItem(this.accessFile(), Number(value), this.#event.step));
  }

  /** Does the struct say what was asked with, still? */
  #isRepeated(at: number): boolean {
    const e = this.e;
    const asked = at - e.out.start + e.in.start - e.offset;
    if (e.in.bytes < 0 || at < e.out.start || at >= e.out.start + e.out.bytes) return false;
    const offset = at - e.out.start;
    if (offset + 4 > e.in.bytes || e.u32(e.out, offset) !== e.u32(e.in, offset)) return false;
    return this.draft.uses.some((u) => u.at === asked);
  }

  #answeredId(at: number, id: number): void {
    const c = this.things.context(this.e);
    if (id === 0 || c === undefined || this.#isRepeated(at)) return;
    const known = this.things.object(c, id);
    if (known === undefined) return;
    if (known.ended) this.echo(at, 4, known);
    else this.#made(at, 4, known.symbol);
  }

  /** It has made the thing: then the number makes it known. */
  #made(at: number, width: 4 | 8, symbol: number): void {
    if (this.things.symbols.at(symbol).step === this.#event.step) this.define(at, width, symbol);
    else if (!this.#isRepeated(at)) this.echo(at, width, { symbol, addend: 0n, ended: false });
  }

  #answeredRegion(which: 'offset' | 'length', at: number, value: U64): void {
    for (const s of this.#event.regions) {
      const symbol = s[which];
      if (this.things.symbols.at(symbol).recorded === BigInt(value)) this.#made(at, 8, symbol);
    }
  }

  /** A descriptor that a call returned. */
  #result(fd: number, header: boolean): void {
    const e = this.e;
    const symbol = fd < 0 ? undefined : this.things.fd(e.pid, fd);
    if (symbol === undefined) return;
    this.#made4(FRAME_AT.ret + e.offset, symbol);
    if (header && e.fd === fd) this.#made4(FRAME_AT.fd + e.offset, symbol);
  }
  #made4(at: number, symbol: number): void {
    this.#made(at, 4, symbol);
  }

  #found(): void {
    const e = this.e;
    const symbol = e.fd < 0 ? undefined : this.things.fd(e.pid, e.fd);
    if (symbol !== undefined) {
      this.#made4(FRAME_AT.fd + e.offset, symbol);
      if (e.ret === e.fd) this.#made4(FRAME_AT.ret + e.offset, symbol);
    }
    if (e.request !== Found.RECEIVED && e.request !== Found.PIDFD) return;
    this.#pid(WORD.peer);
    const peer = this.things.fd(e.arg32(WORD.peer), e.arg32(WORD.peerFd));
    if (peer !== undefined && e.args.bytes >= 8 * WORD.peerFd + 8)
      this.echo(this.word(WORD.peerFd), 4, { symbol: peer, addend: 0n, ended: false });
    const via = e.args.bytes >= 8 * WORD.via + 8 ? e.arg32(WORD.via) : -1;
    if (via >= 0) this.echo(this.word(WORD.via), 4, { symbol: this.things.foreign(e.pid, via, 'SOCKET'), addend: 0n, ended: false });
  }

  #pid(word: number): void {
    const e = this.e;
    const known = e.args.bytes < 8 * word + 8 ? undefined : this.things.members.known(e.arg32(word));
    if (known !== undefined) this.echo(this.word(word), 4, { symbol: known.symbol, addend: 0n, ended: false });
  }

  #placed(): void {
    const e = this.e;
    const known = e.error === 0 ? this.things.mapping(e.pid, e.ret64) : undefined;
    if (known !== undefined && known.addend === 0n) this.#made(FRAME_AT.ret + e.offset, 8, known.symbol);
    else if (known !== undefined) this.echo(FRAME_AT.ret + e.offset, 8, known);
  }

  #faults(): void {
    const e = this.e;
    const struct = this.fields.forms.table.record('FAULT', 'read');
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return;
    this.fields.records(e, e.out, struct, this);
    let last = -1;
    for (let i = 0; i + struct.size <= e.out.bytes; i += struct.size) {
      const cookie = e.u32(e.out, i + at);
      // the records of one group follow each other
      const known = cookie === last ? this.things.cookie(e.file, cookie) : undefined;
      if (known !== undefined) this.echo(e.out.start + i + at, 4, known);
      else this.define(e.out.start + i + at, 4, this.things.tellCookie(e.file, cookie, this.#event.step));
      last = cookie;
    }
  }

  #answeredFaults(): void {
    const e = this.e;
    const struct = this.fields.forms.table.record('FAULT', 'write');
    const at = struct?.byName.get('cookie')?.offset;
    if (struct === undefined || at === undefined) return;
    for (let i = 0; i + struct.size <= Math.min(e.in.bytes, e.ret); i += struct.size)
      this.things.answerCookie(e.file, e.u32(e.in, i + at), this.#event.step, this.#event.ends);
  }

  #forked(): void {
    const e = this.e;
    const child = e.error === 0 && e.ret > 0 ? this.things.members.known(e.ret) : undefined;
    if (child === undefined || child.pid === e.pid) return;
    this.things.members.forked(child, this.things.members.of(e.pid), this.#event.step);
    this.#made4(FRAME_AT.ret + e.offset, child.symbol);
  }
}
