/** Descriptions in syzkaller's language (docs/syscall_descriptions_syntax.md there) of calls that it does not describe itself. */
import { fieldsOf } from '../../hw/uapi/codec.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import type { Command, Field, Scalar, Struct, TestOp } from '../../hw/uapi/types.ts';
import { SCALAR_BYTES } from '../../hw/uapi/types.ts';
import { FILE_RESOURCES, OBJECT_RESOURCES } from './syz-known.ts';

const INT: Readonly<Record<Scalar, string>> = {
  u8: 'int8',
  u16: 'int16',
  u32: 'int32',
  s32: 'int32',
  u64: 'int64',
  s64: 'int64',
  le64: 'int64',
};

/** What begins the names that syzkaller does not have. */
export const OURS = 'rr_';

/** What a shorter struct than the newest is told from it by: `_16`. */
const short = (struct: Struct | undefined, bytes: number): string => (struct === undefined || bytes >= struct.size ? '' : `_${bytes}`);
const callOf = (command: Command, op: TestOp | undefined, bytes: number): string =>
  `ioctl$${OURS}${op?.name ?? command.name}${short(command.struct, bytes)}`;
const structOf = (struct: Struct, op: TestOp | undefined, bytes: number): string =>
  `${OURS}${struct.name}${op === undefined ? '' : `_${op.arm}`}${short(struct, bytes)}`;

/** Is a field a resource in descriptions, whose value may be a variable of a program? */
export const isResource = (f: Field): boolean => f.ref !== undefined || f.creates !== undefined || f.fd !== undefined;

/** Fields as descriptions have them: those of the operation's arm, and nothing behind it but padding. */
export function describedFields(struct: Struct, op: TestOp | undefined): readonly Field[] {
  const seen = new Set<number>();
  return [...fieldsOf(struct, op?.arm)]
    .filter((f) => op === undefined || f.arm === op.arm || f.offset < 16)
    .sort((a, b) => a.offset - b.offset || Number(a.dir === 'out') - Number(b.dir === 'out'))
    .filter((f) => (seen.has(f.offset) ? false : seen.add(f.offset)));
}

export class Descriptions {
  readonly #table: UapiTable;
  readonly #calls = new Map<string, { readonly command: Command; readonly op: TestOp | undefined; readonly bytes: number }>();
  readonly #resources = new Map<string, string>();
  readonly #enums = new Set<string>();

  constructor(table: UapiTable) {
    this.#table = table;
  }

  /** `bytes` of the struct that is given. → name of the call */
  need(command: Command, op: TestOp | undefined, bytes: number): string {
    const name = callOf(command, op, bytes);
    this.#calls.set(name, { command, op, bytes });
    return name;
  }

  #object(type: string): string {
    const known = OBJECT_RESOURCES[type];
    if (known !== undefined) return known;
    const name = `${OURS}${type.toLowerCase()}`;
    this.#resources.set(name, `resource ${name}[int32]`);
    return name;
  }
  #file(role: string): string {
    const known = FILE_RESOURCES[role];
    if (known !== undefined) return known;
    if (role === 'FILE' || role === 'ANY') return 'fd';
    const name = `fd_${OURS}${role.toLowerCase()}`;
    this.#resources.set(name, `resource ${name}[fd]`);
    return name;
  }

  #type(f: Field, op: TestOp | undefined): string {
    const int = INT[f.type];
    if (f.count !== undefined) return `array[${int}, ${f.count}]`;
    const named = f.creates?.[0] ?? (f.ref?.[0] === 'OP' ? this.#testId(op) : f.ref?.[0] === 'ANY' ? 'IOAS' : f.ref?.[0]);
    if (f.fd !== undefined) return this.#file(f.fd);
    if (named === 'access-fd') return FILE_RESOURCES.ACCESS!;
    if (named !== undefined && named !== 'unused') return this.#object(named);
    if (f.nested !== undefined && SCALAR_BYTES[f.type] === 8) {
      if (f.nested.dir === 'mapped') return 'vma64[opt]';
      return `ptr64[${f.nested.dir}, array[int8], opt]`;
    }
    const enumName = f.enum ?? f.flags;
    if (enumName === undefined || (this.#table.enum(enumName)?.members.size ?? 0) === 0) return int;
    this.#enums.add(enumName);
    return `flags[${flagsName(enumName)}, ${int}]`;
  }

  #testId(op: TestOp | undefined): string {
    return op === undefined || op.id === 'unused' ? 'unused' : op.id === 'access-fd' ? 'access-fd' : (op.id[0] ?? 'unused');
  }

  #call(
    { command, op, bytes }: { readonly command: Command; readonly op: TestOp | undefined; readonly bytes: number },
    name: string,
  ): { readonly head: string; readonly struct: string[] } {
    const fd = command.target === 'iommufd' || command.target === 'vfio-container' ? 'fd_iommufd' : 'fd';
    const head = (arg: string): string => `${name}(fd ${fd}, cmd const[${command.name}]${arg})`;
    const { struct } = command;
    if (struct === undefined || command.arg !== 'struct')
      return {
        head: head(command.arg === 'none' ? '' : command.arg === 'int' ? ', arg intptr' : ', arg ptr[in, array[int8]]'),
        struct: [],
      };
    const fields = describedFields(struct, op)
      .filter((f) => f.offset + f.size <= bytes)
      .map((f) => {
        const dir = f.dir === 'in' ? 'in' : f.dir;
        return `\t${f.name.slice(f.name.lastIndexOf('.') + 1)}\t${this.#type(f, op)}\t(${dir})`;
      });
    const size = op === undefined ? '' : ` [size[${struct.size}]]`;
    return {
      head: head(`, arg ptr[inout, ${structOf(struct, op, bytes)}]`),
      struct: ['', `${structOf(struct, op, bytes)} {`, ...fields, `}${size}`],
    };
  }

  text(): string {
    if (this.#calls.size === 0) return '# syzkaller describes all calls of this program itself\n';
    const calls = [...this.#calls].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([name, call]) => this.#call(call, name));
    const flags = [...this.#enums]
      .sort()
      .map((e) => `${flagsName(e)} = ${[...this.#table.enum(e)!.members.values()].map((v) => `0x${v.toString(16)}`).join(', ')}`);
    return `${[
      '# Beside sys/linux/dev_iommu.txt of syzkaller, whose resources these use. Numbers that the kernel checks are plain integers here,',
      '# so that a program can give wrong ones.',
      '',
      'include <uapi/linux/fcntl.h>',
      'include <uapi/linux/iommufd.h>',
      'include <uapi/linux/vfio.h>',
      'include <../drivers/iommu/iommufd/iommufd_test.h>',
      '',
      ...[...this.#resources.values()].sort(),
      '',
      ...calls.map((c) => c.head),
      ...calls.flatMap((c) => c.struct),
      '',
      ...flags,
    ].join('\n')}\n`.replace(/\n\n\n+/g, '\n\n');
  }
}

const flagsName = (name: string): string => `${OURS}${name.replace(/\W/g, '_').toLowerCase()}`;
