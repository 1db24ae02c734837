/** For tests: a program on the mock driver. */
import type { DialectName } from '../uapi/table.ts';
import { pinnedIn } from './access.ts';
import { Program, type Values } from './testing.ts';

export const VA = 0x7000_0000n;
export const IOVA = 0x0100_0000n;
export const PAGE = 0x1000n;
export const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** IOMMU_TEST_OP_* */
export const OP = {
  addReserved: 1,
  mockDomain: 2,
  checkMap: 3,
  checkRefs: 4,
  createAccess: 5,
  destroyPages: 6,
  accessPages: 7,
  accessRw: 8,
  memoryLimit: 9,
  replace: 10,
  replaceIoas: 11,
  mockDomainFlags: 12,
  dirty: 13,
  checkIotlb: 14,
  triggerIopf: 15,
  checkCache: 16,
  triggerVevent: 17,
  pasidAttach: 18,
  pasidReplace: 19,
  pasidDetach: 20,
  pasidCheck: 21,
  dmabufGet: 22,
  dmabufRevoke: 23,
} as const;

/** A program with an iommufd and IOAS 1. */
export class Session {
  readonly p: Program;
  readonly fd: number;

  constructor(dialect: DialectName = 'linux-7.2') {
    this.p = new Program(dialect);
    this.fd = this.p.open();
    this.#must('IOMMU_IOAS_ALLOC', {});
  }
  call(name: string, values: Values = {}, nested: Readonly<Record<string, Uint8Array>> = {}): string {
    return this.p.call(this.fd, name, values, { nested });
  }
  test(op: number, values: Values = {}, nested: Readonly<Record<string, Uint8Array>> = {}): string {
    return this.call('IOMMU_TEST_CMD', { op, ...values }, nested);
  }
  rule(op: number, values: Values = {}): string | undefined {
    return this.p.ask(this.fd, 'IOMMU_TEST_CMD', { op, ...values })?.refusal?.rule;
  }
  out(field: string): number {
    return this.p.u32('IOMMU_TEST_CMD', field);
  }
  map(length: bigint, values: Values = {}): string {
    return this.call('IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: VA, length, iova: IOVA, ...values });
  }
  /** → descriptor */
  access(pins: boolean, ioas = 1): number {
    this.#must('IOMMU_TEST_CMD', { op: OP.createAccess, id: ioas, 'create_access.flags': pins ? 1 : 0 });
    return Math.max(...this.p.fds.keys());
  }
  object<T>(id: number): T {
    const found = [...this.p.model.kernel.contexts.values()][0]?.objects.get(id);
    if (found === undefined) throw new Error(`there is no object ${id}`);
    return found as T;
  }
  /** stretches of memory at VA that are pinned */
  pinned(): number {
    const range = { start: VA, last: VA + 16n * PAGE - 1n };
    return pinnedIn(this.p.model.kernel.contexts.values(), 1, range).length;
  }

  #must(name: string, values: Values): void {
    const errno = this.call(name, values);
    if (errno !== '') throw new Error(`${name}: ${errno}`);
  }
}
