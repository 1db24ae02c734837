/** Descriptions in syzkaller's language (docs/syscall_descriptions_syntax.md there) of calls that it does not describe itself. */
import { fieldsOf } from '../../hw/uapi/codec.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import type { Command, Field, ObjectType, Scalar, Struct, TestOp } from '../../hw/uapi/types.ts';
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
const OURS = 'rr_';
const OP_AT = 4;

/** A call that is described: `bytes` of the struct are given; `object` is of the type whose id IOMMU_DESTROY is given. */
interface Call {
  readonly command: Command;
  readonly op: TestOp | undefined;
  readonly bytes: number;
  readonly object: ObjectType | undefined;
}

/** What tells a call from others of its command: `_VIOMMU` that is destroyed, `_16` bytes of a struct that has grown since. */
function variantOf({ command: { struct }, bytes, object }: Call): string {
  const short = struct === undefined || bytes >= struct.size ? '' : `_${bytes}`;
  return `${object === undefined ? '' : `_${object}`}${short}`;
}
const callName = (call: Call): string => `ioctl$${OURS}${call.op?.name ?? call.command.name}${variantOf(call)}`;
const structName = (struct: Struct, call: Call): string =>
  `${OURS}${struct.name}${call.op === undefined ? '' : `_${call.op.arm}`}${variantOf(call).toLowerCase()}`;

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

/** Types of object that a field makes or names; syzkaller has a resource of its own for the others. */
function typeOf(f: Field, call: Call): ObjectType | undefined {
  const named = f.creates?.[0] ?? f.ref?.[0];
  if (named === 'ANY') return call.object ?? 'IOAS';
  if (named !== 'OP') return named;
  const id = call.op?.id;
  return typeof id === 'object' ? id[0] : undefined;
}
const isOurs = (type: ObjectType | undefined): type is ObjectType => type !== undefined && OBJECT_RESOURCES[type] === undefined;
const resourceOf = (type: ObjectType): string => OBJECT_RESOURCES[type] ?? `${OURS}${type.toLowerCase()}`;

/** Bytes with ids, descriptors and pointers among them; `file` and the others are the names of a union's members. */
export type Piece = 'bytes' | 'id' | 'file' | 'pointer';
const PIECES = [
  '',
  `${OURS}piece [`,
  '\tbytes\tarray[int8]',
  '\tid\tioas_handle',
  '\tfile\tfd',
  '\tpointer\tptr64[inout, array[int8]]',
  '] [varlen]',
];

/** An ioctl that no struct describes: given bytes, or a number, and whether it answers with a descriptor. */
interface Raw {
  readonly given: 'BYTES' | 'NUMBER';
  readonly file: boolean;
}
const rawName = ({ given, file }: Raw): string => `ioctl$${OURS}${given}${file ? '_FD' : ''}`;

export class Descriptions {
  readonly #table: UapiTable;
  readonly #raw = new Map<string, Raw>();
  /** paths, by the name of the call */
  readonly #opens = new Map<string, string>();
  #pieces = false;
  readonly #calls = new Map<string, Call>();
  readonly #enums = new Set<string>();

  constructor(table: UapiTable) {
    this.#table = table;
  }

  /** → name of the call */
  need(command: Command, op: TestOp | undefined, bytes: number, object: ObjectType | undefined): string {
    // what has no type of ours is syzkaller's kind of IOAS
    const call = { command, op, bytes, object: isOurs(object) ? object : undefined };
    const name = callName(call);
    this.#calls.set(name, call);
    return name;
  }

  /** A call that no struct fits. → its name */
  raw(raw: Raw): string {
    const name = rawName(raw);
    this.#raw.set(name, raw);
    return name;
  }

  /** @param path of a device: word characters, '-' and '/'. → name of the call */
  open(path: string): string {
    const name = `openat$${OURS}${path.replace(/^\/dev\//, '').replace(/\W/g, '_')}`;
    this.#opens.set(name, path);
    return name;
  }

  /** Types of ours, by whether a call makes or is given the id. */
  #types(made: boolean): Set<ObjectType> {
    const types = new Set<ObjectType>();
    for (const call of this.#calls.values())
      for (const f of describedFields(call.command.struct!, call.op)) {
        const type = typeOf(f, call);
        if (f.offset + f.size <= call.bytes && (f.creates !== undefined) === made && isOurs(type)) types.add(type);
      }
    return types;
  }

  /** A resource must be made by a call and given to one: describes what is missing. → types of ours */
  #close(): readonly ObjectType[] {
    for (;;) {
      const made = this.#types(true);
      const given = this.#types(false);
      const before = this.#calls.size;
      for (const type of given)
        if (!made.has(type)) {
          const command = this.#table.commands.find((c) =>
            c.struct?.fields.some((f) => f.creates?.includes(type) === true && f.arm === undefined),
          );
          if (command?.struct !== undefined) this.need(command, undefined, command.struct.size, undefined);
        }
      const destroy = this.#table.commands.find((c) => c.name === 'IOMMU_DESTROY');
      for (const type of made)
        if (!given.has(type) && destroy?.struct !== undefined) this.need(destroy, undefined, destroy.struct.size, type);
      if (this.#calls.size === before) return [...made].sort();
    }
  }

  #type(f: Field, call: Call): string {
    const int = INT[f.type];
    if (call.op !== undefined && f.offset === OP_AT) return `const[${call.op.value}, ${int}]`;
    if (f.count !== undefined) return `array[${int}, ${f.count}]`;
    if (f.fd !== undefined) return FILE_RESOURCES[f.fd] ?? 'fd';
    if (f.ref?.[0] === 'OP' && call.op?.id === 'access-fd') return FILE_RESOURCES.ACCESS!;
    const type = typeOf(f, call);
    if (type !== undefined) return resourceOf(type);
    if (f.nested !== undefined && SCALAR_BYTES[f.type] === 8) {
      if (f.nested.dir === 'mapped') return 'vma64[opt]';
      if (f.nested.dir !== 'out') this.#pieces = true;
      return `ptr64[${f.nested.dir}, array[${f.nested.dir === 'out' ? 'int8' : `${OURS}piece`}], opt]`;
    }
    const enumName = f.enum ?? f.flags;
    // flags are given, never taken
    if (f.dir !== 'in' || enumName === undefined || (this.#table.enum(enumName)?.members.size ?? 0) === 0) return int;
    this.#enums.add(enumName);
    return `flags[${flagsName(enumName)}, ${int}]`;
  }

  #call(call: Call, name: string): { readonly head: string; readonly struct: string[] } {
    const { command, op, bytes } = call;
    const fd = command.target === 'iommufd' || command.target === 'vfio-container' ? 'fd_iommufd' : 'fd';
    const struct = command.struct!;
    const fields = describedFields(struct, op).filter((f) => f.offset + f.size <= bytes);
    const plain = (f: Field): string => f.name.slice(f.name.lastIndexOf('.') + 1);
    // an arm's field may be called as one in front of the union is
    const names = fields.map((f) =>
      f.arm !== undefined && fields.some((o) => o.arm === undefined && o.name === plain(f)) ? `${f.arm}_${plain(f)}` : plain(f),
    );
    const column = Math.floor(Math.max(...names.map((n) => n.length)) / 8) + 1;
    const rows = fields.map((f, i) => {
      const tabs = '\t'.repeat(column - Math.floor(names[i]!.length / 8));
      return `\t${names[i]}${tabs}${this.#type(f, call)}\t(${f.dir})`;
    });
    const size = op === undefined ? '' : ` [size[${struct.size}]]`;
    return {
      head: `${name}(fd ${fd}, cmd const[${hex(command.request)}], arg ptr[inout, ${structName(struct, call)}])${
        op?.returns === undefined ? '' : ` ${FILE_RESOURCES[op.returns.fd] ?? 'fd'}`
      }`,
      struct: ['', `${structName(struct, call)} {`, ...rows, `}${size}`],
    };
  }

  #rawCall({ given, file }: Raw, name: string): string {
    if (given === 'BYTES') this.#pieces = true;
    const arg = given === 'NUMBER' ? 'intptr' : `ptr[inout, array[${OURS}piece]]`;
    return `${name}(fd fd, cmd int32, arg ${arg})${file ? ' fd' : ''}`;
  }

  text(): string {
    if (this.#calls.size + this.#raw.size + this.#opens.size === 0) return '# syzkaller describes all calls of this program itself\n';
    const types = this.#close();
    const calls = [...this.#calls].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([name, call]) => this.#call(call, name));
    const raw = [...this.#raw].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([name, call]) => this.#rawCall(call, name));
    const opens = [...this.#opens]
      .sort()
      .map(([name, path]) => `${name}(fd const[0xffffffffffffff9c], file ptr[in, string["${path}"]], flags int32, mode const[0x0]) fd`);
    const flags = [...this.#enums]
      .sort()
      .map((e) => `${flagsName(e)} = ${[...new Set(this.#table.enum(e)!.members.values())].map(hex).join(', ')}`);
    return `${[
      '# For sys/linux of syzkaller, beside dev_iommu.txt, whose resources these use (then: make generate). All numbers are here: no',
      '# constant is to be extracted. Numbers that the kernel checks are plain integers, so that a program can give wrong ones.',
      '',
      ...types.map((type) => `resource ${resourceOf(type)}[int32]`),
      '',
      ...opens,
      ...raw,
      ...calls.map((c) => c.head),
      ...(this.#pieces ? PIECES : []),
      ...calls.flatMap((c) => c.struct),
      '',
      ...flags,
    ].join('\n')}\n`
      .replace(/\n\n\n+/g, '\n\n')
      .replace(/\n+$/, '\n');
  }
}

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const flagsName = (name: string): string => `${OURS}${name.replace(/\W/g, '_').toLowerCase()}`;
