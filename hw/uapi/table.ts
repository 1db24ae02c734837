/**
 * The table of the uAPI as the rest of the program reads it: one per dialect, made from the rows of spec/ once and kept.
 */
import { buildEnum, buildStruct, type DialectName, dialectRowsOf, type Rows } from './build.ts';
import { dialectRows } from './spec/dialects.ts';
import { chainRows } from './spec/enums.ts';
import { kvmCommands, kvmEnums } from './spec/kvm.ts';
import { recordRows, veventRows } from './spec/structs.ts';
import {
  type Command,
  type CommandRow,
  type Enum,
  type KvmCommandRow,
  type Payload,
  SCALAR_BYTES,
  type Struct,
  type Target,
  type TestOp,
} from './types.ts';

export type { DialectName } from './build.ts';

export const DIALECTS: readonly DialectName[] = Object.keys(dialectRows) as DialectName[];

/** Type byte ';' in bits 15:8 of every request; direction and size are 0. */
export const REQUEST_TYPE = 0x3b00;

export class UapiTable {
  readonly dialect: DialectName;
  readonly commands: readonly Command[];
  readonly structs: ReadonlyMap<string, Struct>;
  readonly enums: ReadonlyMap<string, Enum>;
  readonly testOps: readonly TestOp[];
  private readonly byRequest = new Map<Target, Map<number, Command>>();
  private readonly commandByName: ReadonlyMap<string, Command>;
  private readonly payloadsOf = new Map<string, Payload[]>();
  private readonly opByValue: ReadonlyMap<number, TestOp>;

  /** calls of KVM: known by request and name, and no part of {@link commands} */
  readonly kvm: readonly Command[];

  /** @param dialect one of {@link DIALECTS}; throws on a row that names something that is not there */
  constructor(dialect: DialectName) {
    this.dialect = dialect;
    const rows = dialectRowsOf(dialect);
    const structs = new Map<string, Struct>();
    const find = (name: string): Struct => {
      const made = structs.get(name);
      if (made !== undefined) return made;
      const row = rows.structs.get(name);
      if (row === undefined) throw new Error(`uapi: ${dialect} has no struct ${name}`);
      const struct = buildStruct(name, row, find);
      structs.set(name, struct);
      return struct;
    };
    for (const name of rows.structs.keys()) find(name);
    this.commands = [...rows.commands].map(([name, row]) => makeCommand(name, row, find));
    for (const c of this.commands) if (c.struct !== undefined) structs.set(c.struct.name, c.struct);
    this.structs = structs;
    this.enums = makeEnums(rows);
    this.kvm = Object.entries(kvmCommands).map(([name, row]) => makeKvm(name, row, find));
    this.testOps = makeOps(rows, structs.get('iommu_test_cmd'));
    this.commandByName = new Map([...this.commands, ...this.kvm].map((c) => [c.name, c]));
    this.opByValue = new Map(this.testOps.map((op) => [op.value, op]));
    for (const c of this.commands) for (const t of answersOn(c)) this.addRequest(t, c);
    for (const c of this.kvm) this.addRequest(c.target, c);
    this.addPayloads(rows);
  }

  /** The command that a request is on such a file; undefined for a number that this dialect does not have. */
  command(target: Target, request: number): Command | undefined {
    return this.byRequest.get(target)?.get(request);
  }
  byName(name: string): Command | undefined {
    return this.commandByName.get(name);
  }
  struct(name: string): Struct | undefined {
    return this.structs.get(name);
  }
  enum(name: string): Enum | undefined {
    return this.enums.get(name);
  }
  /** Full name of a constant, the first where two have one value: enumName('iommu_hw_queue_type', 1) */
  enumName(enumName: string, value: number | bigint): string | undefined {
    return this.enums.get(enumName)?.names.get(Number(value));
  }
  /** Value of a constant by its full name, from any enum; throws on an unknown name. */
  constant(name: string): number {
    for (const e of this.enums.values()) {
      const value = e.members.get(name);
      if (value !== undefined) return value;
    }
    throw new Error(`uapi: ${this.dialect} has no constant ${name}`);
  }
  has(command: string, field: string): boolean {
    return this.commandByName.get(command)?.struct?.byName.has(field) ?? false;
  }
  /** Byte offset of a field, for hot paths that read it themselves; throws on an unknown name, so look it up at start-up. */
  offsetOf(command: string, field: string): number {
    const found = this.commandByName.get(command)?.struct?.byName.get(field);
    if (found === undefined) throw new Error(`uapi: ${this.dialect} has no ${command}.${field}`);
    return found.offset;
  }
  /** Bytes of a scalar field; throws on an unknown name. */
  widthOf(command: string, field: string): 1 | 2 | 4 | 8 {
    const found = this.commandByName.get(command)?.struct?.byName.get(field);
    if (found === undefined) throw new Error(`uapi: ${this.dialect} has no ${command}.${field}`);
    return SCALAR_BYTES[found.type];
  }
  /** All payload rows of a pointer or trailing array of a command. */
  payloads(command: string, field: string): readonly Payload[] {
    return this.payloadsOf.get(`${command}.${field}`) ?? [];
  }
  /**
   * The struct that a pointer or trailing array holds for a value of its discriminator. One value of
   * IOMMU_HWPT_INVALIDATE.data_type (SELFTEST) has two structs: `entryBytes` (entry_len) tells which.
   */
  payload(command: Command, pointerField: string, discriminator: number, entryBytes?: number): Struct | undefined {
    const rows = this.payloads(command.name, pointerField).filter((p) => (discriminator & p.mask) >>> 0 === p.value);
    const exact = entryBytes === undefined ? undefined : rows.findLast((p) => p.struct !== undefined && p.struct.size <= entryBytes);
    return (exact ?? rows[0])?.struct;
  }
  /** IOMMU_TEST_CMD's operation. */
  testOp(op: number): TestOp | undefined {
    return this.opByValue.get(op);
  }
  /** The record that a read or write of an event file moves; a vEVENTQ's is a header, see {@link vevent}. */
  record(file: 'FAULT' | 'VEVENTQ', call: 'read' | 'write'): Struct | undefined {
    const row = recordRows.find((r) => r.file === file && r.call === call);
    return row === undefined ? undefined : this.structs.get(row.struct);
  }
  /** What follows the header in a vEVENTQ of that type. */
  vevent(type: number): Struct | undefined {
    for (const [constant, struct] of Object.entries(veventRows)) {
      if (this.enums.get('iommu_veventq_type')?.members.get(constant) === type) return this.structs.get(struct);
    }
    return undefined;
  }
  /** Struct of a capability in a chain; undefined for one that is not known. */
  capability(chain: string, id: number): Struct | undefined {
    const rows: Readonly<Record<string, string>> = (chainRows as Readonly<Record<string, Readonly<Record<string, string>>>>)[chain] ?? {};
    const name = rows[this.enumName(chain, id) ?? ''];
    return name === undefined ? undefined : this.structs.get(name);
  }

  private addRequest(target: Target, command: Command): void {
    const known = this.byRequest.get(target) ?? new Map<number, Command>();
    known.set(command.request, command);
    this.byRequest.set(target, known);
  }

  private addPayloads(rows: Rows): void {
    for (const row of rows.payloads) {
      const value = [...this.enums.values()].map((e) => e.members.get(row.equals)).find((v) => v !== undefined);
      const struct = row.struct === undefined ? undefined : this.structs.get(row.struct);
      // a dialect without the command, the constant or the struct has no such payload
      if (!this.commandByName.has(row.command) || value === undefined || (row.struct !== undefined && struct === undefined)) continue;
      const { command, equals, mask, ...rest } = row;
      const payload: Payload = {
        ...rest,
        struct,
        mask: (mask ?? 0xffff_ffff) >>> 0,
        value,
        constant: equals,
        min: row.min ?? struct?.min ?? 0,
        source: row.source ?? 'abi',
      };
      const key = `${command}.${row.field}`;
      this.payloadsOf.set(key, [...(this.payloadsOf.get(key) ?? []), payload]);
    }
  }
}

/** iommufd emulates the container on its own file, and its alias /dev/vfio/vfio takes iommufd's own calls. */
function answersOn(command: Command): readonly Target[] {
  if (command.target === 'iommufd' || command.target === 'vfio-container') return ['iommufd', 'vfio-container'];
  return [command.target];
}

function makeCommand(name: string, row: CommandRow, find: (name: string) => Struct): Command {
  const header = name === 'IOMMU_TEST_CMD' ? 'iommufd_test.h' : row.target === 'iommufd' ? 'iommufd.h' : 'vfio.h';
  const struct = row.struct === undefined ? undefined : buildStruct(row.struct, { header, ...row, fields: row.fields ?? [] }, find);
  return {
    name,
    nr: row.nr,
    request: REQUEST_TYPE | row.nr,
    target: row.target,
    struct,
    arg: row.arg ?? 'struct',
    ...(row.argEnum === undefined ? {} : { argEnum: row.argEnum }),
    since: row.since,
    ...(row.returns === undefined ? {} : { returns: row.returns }),
    note: row.note,
    source: row.source ?? 'abi',
    header,
  };
}

function makeKvm(name: string, row: KvmCommandRow, find: (name: string) => Struct): Command {
  const struct = row.struct === undefined ? undefined : buildStruct(row.struct, { header: 'kvm.h', fields: row.fields ?? [] }, find);
  const { request, target, note, arg = 'struct' } = row;
  return { name, nr: request & 0xff, request, target, struct, arg, since: '', note, source: 'header', header: 'kvm.h' };
}

function makeEnums(rows: Rows): Map<string, Enum> {
  const constants = rows.enums.get('selftest_constants')?.members ?? {};
  const enums = new Map<string, Enum>();
  const numbers: Record<string, number> = { IOMMUFD_CMD_BASE: 0x80 };
  for (const [name, row] of rows.commands) {
    if (row.target === 'iommufd' && row.nr < 0xa0) numbers[name.replace('IOMMU_', 'IOMMUFD_CMD_')] = row.nr;
  }
  enums.set('IOMMUFD_CMD', buildEnum('IOMMUFD_CMD', { kind: 'constants', prefix: 'IOMMUFD_CMD_', members: numbers }, {}));
  for (const [name, row] of rows.enums) enums.set(name, buildEnum(name, row, constants));
  const ops = Object.fromEntries([...rows.ops].map(([name, op]) => [name, op.value]));
  enums.set(
    'IOMMU_TEST_OP',
    buildEnum('IOMMU_TEST_OP', { header: 'iommufd_test.h', kind: 'enum', prefix: 'IOMMU_TEST_OP_', members: ops }, {}),
  );
  for (const [name, row] of Object.entries(kvmEnums)) enums.set(name, buildEnum(name, { header: 'kvm.h', ...row }, {}));
  return enums;
}

function makeOps(rows: Rows, struct: Struct | undefined): TestOp[] {
  return [...rows.ops].map(([name, op]) => ({ name, ...op, fields: struct?.fields.filter((f) => f.arm === op.arm) ?? [] }));
}

const tables = new Map<DialectName, UapiTable>();

/** The table of a dialect, made at the first call and the same object afterwards. */
export function uapiTable(dialect: DialectName): UapiTable {
  let table = tables.get(dialect);
  if (table === undefined) {
    table = new UapiTable(dialect);
    tables.set(dialect, table);
  }
  return table;
}

/**
 * The dialect to read a recording by when nothing better is known. Release strings as uname -r gives them. Kernels before
 * 6.13 are read as linux-6.12, others, and what is no release string, as linux-7.2: it has every field there is, and
 * structs say how much of them was used.
 */
export function dialectForKernel(release: string): DialectName {
  const match = /^(\d{1,4})\.(\d{1,4})(?:\D|$)/.exec(release);
  if (match === null) return 'linux-7.2';
  const major = Number(match[1]);
  return major < 6 || (major === 6 && Number(match[2]) < 13) ? 'linux-6.12' : 'linux-7.2';
}

/** By numbers of FileKind in store/frame.ts and of enum irr_file in irr_frame.h. */
const TARGETS: readonly (Target | undefined)[] = [
  undefined,
  'iommufd',
  'vfio-device',
  'vfio-group',
  'vfio-container',
  ...new Array<undefined>(4).fill(undefined),
  'kvm',
  'kvm-vm',
  'kvm-vcpu',
];

/** What calls on a file of such a kind are for. */
export function targetOfFileKind(fileKind: number): Target | undefined {
  return TARGETS[fileKind];
}
