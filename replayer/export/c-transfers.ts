/** read(2) and write(2) in C: records of queues by their structs, other bytes as they are. */
import { FileKind, type Part, PartKind } from '../../store/frame.ts';
import type { Step } from '../program/program.ts';
import { plain } from './c-numbers.ts';
import type { Statement, StepText } from './c-step.ts';
import { byteItems, initialiser } from './c-text.ts';
import { hasPosition, numberAt, usesIn, wordOf } from './parts.ts';

const EFAULT = 14;
/** Records that a queue's file gives or takes. */
const MOST_DATA = 65536;

function countOf(step: Step): bigint {
  const asked = wordOf(step, 0).value;
  return asked > BigInt(MOST_DATA) ? BigInt(MOST_DATA) : asked;
}

export class Transfers {
  readonly #step: StepText;

  constructor(step: StepText) {
    this.#step = step;
  }

  read(step: Step): Statement {
    const count = countOf(step);
    const room = Math.max(1, Number(count));
    const out = step.parts.find((p) => p.kind === PartKind.OUT);
    const queue = step.fileKind === FileKind.FAULT || step.fileKind === FileKind.VEVENTQ;
    const struct = step.fileKind === FileKind.FAULT ? this.#step.numbers.used.table.record('FAULT', 'read') : undefined;
    const records = struct !== undefined && count > 0n && Number(count) % struct.size === 0 && count <= MOST_DATA ? struct : undefined;
    const bad = step.error === EFAULT;
    const buffer =
      records === undefined
        ? `__u8 data[${room}] __attribute__((aligned(8)));`
        : `${this.#step.numbers.used.struct(records)} data[${Number(count) / records.size}];`;
    const lines = queue && step.ret > 0n ? [`${this.#step.numbers.used.helper('await_event')}(${this.#step.fd(step)});`] : [];
    const at = bad ? this.#step.numbers.nowhere() : 'data';
    const size = records === undefined || bad ? plain(count, false) : 'sizeof(data)';
    const call = hasPosition(step)
      ? `pread(${this.#step.fd(step)}, ${at}, ${size}, ${this.#step.number(step, 1)})`
      : `read(${this.#step.fd(step)}, ${at}, ${size})`;
    const declare = bad ? [] : [buffer];
    if (step.error === 0 && step.returned && queue) {
      lines.push(...this.#step.checked(step, call, 'got'), this.#step.around.style.same(step.seq, 'got', String(step.ret)));
      return { declare: [...declare, 'ssize_t got;'], lines: [...lines, ...this.#records(step, out, records?.size)], notes: [] };
    }
    lines.push(...this.#step.checked(step, call));
    return { declare, lines, notes: this.#step.notes(step) };
  }

  /** Cookies of faults. */
  #records(step: Step, out: Part | undefined, each: number | undefined): string[] {
    const lines: string[] = [];
    if (out === undefined) return lines;
    const start = out.bytes.byteOffset - step.frame.byteOffset;
    const cookie = this.#step.numbers.used.table.record('FAULT', 'read')?.byName.get('cookie')?.offset ?? -1;
    for (const d of step.defines) {
      if (!this.#step.around.wanted.has(d.symbol) || d.at < start) continue;
      const to = this.#step.numbers.variable(d.symbol);
      const at = d.at - start;
      if (each !== undefined && at % each === cookie) lines.push(`${to} = data[${Math.floor(at / each)}].cookie;`);
      else lines.push(`memcpy(&${to}, (char *)data + ${at}, ${d.width});`);
    }
    return lines;
  }

  write(step: Step): Statement {
    const given = step.parts.find((p) => p.kind === PartKind.IN);
    const count = countOf(step);
    const position = hasPosition(step);
    const name = position ? 'pwrite' : 'write';
    const more = position ? `, ${this.#step.number(step, 1)}` : '';
    if (given === undefined || given.bytes.length === 0) return this.#writeUnknown(step, name, more, Number(count));
    const uses = usesIn(step, given);
    const struct = step.fileKind === FileKind.FAULT ? this.#step.numbers.used.table.record('FAULT', 'write') : undefined;
    if (struct !== undefined && given.bytes.length % struct.size === 0 && count === BigInt(given.bytes.length)) {
      const rows: string[] = [];
      for (let i = 0; i < given.bytes.length; i += struct.size) {
        const items = struct.fields.map(
          (f) => `.${f.name} = ${this.#step.numbers.field(f, numberAt(given.bytes, i + f.offset, f.size), uses.get(i + f.offset))}`,
        );
        rows.push(`{ ${items.join(', ')} }`);
      }
      const declare = initialiser(`${this.#step.numbers.used.struct(struct)} data[${rows.length}] =`, rows);
      return { declare, lines: this.#step.checked(step, `${name}(${this.#step.fd(step)}, data, sizeof(data)${more})`), notes: [] };
    }
    const room = Math.max(given.bytes.length, Math.min(Number(count), MOST_DATA));
    const declare = initialiser(`__u8 data[${room}] =`, byteItems(given.bytes));
    const stores = [...uses].map(([at, u]) => `memcpy(data + ${at}, &(__u${8 * u.width}){ ${this.#step.numbers.symbol(u)} }, ${u.width});`);
    return {
      declare,
      lines: [...stores, ...this.#step.checked(step, `${name}(${this.#step.fd(step)}, data, ${plain(count, false)}${more})`)],
      notes: this.#step.notes(step),
    };
  }

  /** Of a write that failed: no cookie and no code is like this. */
  #writeUnknown(step: Step, name: string, more: string, count: number): Statement {
    const notes = count === 0 ? [] : ['the recording has not the bytes that were to be written'];
    if (count === 0 || count > MOST_DATA || step.error === EFAULT) {
      const lines = this.#step.checked(step, `${name}(${this.#step.fd(step)}, ${this.#step.numbers.nowhere()}, ${count}${more})`);
      return { declare: [], lines, notes };
    }
    const lines = [
      'memset(data, 0xff, sizeof(data));',
      ...this.#step.checked(step, `${name}(${this.#step.fd(step)}, data, sizeof(data)${more})`),
    ];
    return { declare: [`__u8 data[${count}];`], lines, notes };
  }
}
