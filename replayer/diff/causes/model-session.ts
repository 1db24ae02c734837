/** For tests: the log of a program on the rules of a kernel, call by call. */
import { errnoNumber } from '../../../hw/errno.ts';
import { type CallOptions, Program, type Values } from '../../../hw/iommufd/testing.ts';
import { type DialectName, uapiTable } from '../../../hw/uapi/table.ts';
import { Kind, makePart, type Part, PartKind, Start } from '../../../store/frame.ts';
import { Script } from '../../script.ts';
import type { Side } from '../compare.ts';

const NEWEST = 'linux-7.2';

export class ModelSession {
  readonly program: Program;
  readonly script: Script;
  readonly fd: number;
  readonly #dialect: DialectName;
  /** the same descriptors, with the calls that the dialect may not have */
  readonly #newest = new Program(NEWEST);

  constructor(dialect: DialectName) {
    this.#dialect = dialect;
    this.program = new Program(dialect);
    this.script = new Script(uapiTable(dialect));
    this.script.start(Start.EXEC);
    this.fd = this.program.open();
    this.#newest.open();
    this.script.open(this.fd);
  }

  get side(): Side {
    return { source: this.script.source(), table: uapiTable(this.#dialect) };
  }

  /** → errno, '' for success; a call that the kernel does not know is ENOTTY */
  call(name: string, values: Values = {}, options: CallOptions = {}): string {
    const there = this.program.model.table.byName(name) !== undefined;
    const request = (there ? this.program : this.#newest).request(this.fd, name, values, options);
    // what a call writes back though it fails
    const failed = there ? this.program.model.decide(request)?.out : undefined;
    const errno = there ? this.program.call(this.fd, name, values, options) : 'ENOTTY';
    const before = request.struct.bytes;
    const parts: Part[] = [makePart(PartKind.IN, before)];
    for (let at = 0; at + 8 <= before.length; at += 4) {
      const memory = request.nested(at);
      if (memory !== undefined) parts.push(makePart(PartKind.NESTED_IN, memory.bytes, at));
    }
    parts.push(makePart(PartKind.OUT, errno === '' && this.program.out.length > 0 ? this.program.out : (failed ?? before)));
    if (errno === '')
      for (const [at, bytes] of this.program.nestedOut) if (bytes !== undefined) parts.push(makePart(PartKind.NESTED_OUT, bytes, at));
    const result = { error: errnoNumber(errno) ?? 0, ret: errno === '' ? 0n : -1n };
    this.script.add({ kind: Kind.IOCTL, ...this.script.behind(this.fd), request: request.request, parts, ...result });
    return errno;
  }
}
