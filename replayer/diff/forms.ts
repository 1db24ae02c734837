/** How each field of the uAPI is compared: worked out once per table from what the table says of the field. */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { type Command, type Field, type Payload, SCALAR_BYTES, type Struct } from '../../hw/uapi/types.ts';
import { Hash } from './hash.ts';

/** What a value is called, and a number in its place. */
export interface Name {
  readonly text: string;
  readonly hash: number;
}

/**
 * value: as it is. object, file: by who made it. created: the kernel's choice, of which only that there is one counts.
 * address: of the program's memory; only that it is not NULL counts. iova: the kernel's choice where the area was its
 * choice, else as it is. skip: says nothing (lengths of structs).
 */
export type How = 'value' | 'object' | 'file' | 'created' | 'address' | 'iova' | 'skip';

/** A field and how to read it. */
export interface Form {
  readonly name: Name;
  readonly how: How;
  readonly field: Field;
  readonly offset: number;
  readonly width: 1 | 2 | 4 | 8;
  readonly count: number;
  readonly input: boolean;
  readonly output: boolean;
  /** iova: which of the call's objects has the address space: 0 the first, 1 the second, -1 the last before the field */
  readonly space: number;
}

export interface StructForms {
  readonly struct: Struct;
  readonly forms: readonly Form[];
}

/** IOMMU_TEST_CMD: `id` means what the operation says. */
export interface CommandForms extends StructForms {
  readonly command: Command;
  readonly name: Name;
  /** offset of the flags whose bit 0 says that the caller chose the IOVA; -1: there is no choice */
  readonly choice: number;
  readonly arms: ReadonlyMap<number, { readonly arm: string; readonly id: 'object' | 'file' | 'skip' }>;
}

export function nameOf(text: string): Name {
  return { text, hash: new Hash().text(text).key | 0 };
}

const names = new Map<string, Name>();
/** The same name is the same object. */
export function named(text: string): Name {
  const known = names.get(text) ?? nameOf(text);
  names.set(text, known);
  return known;
}

const CHOOSES: ReadonlySet<string> = new Set(['IOMMU_IOAS_MAP', 'IOMMU_IOAS_MAP_FILE', 'IOMMU_IOAS_COPY']);

/** The forms of all structs of a table. */
export class Forms {
  readonly table: UapiTable;
  readonly #commands = new Map<Command, CommandForms | undefined>();
  readonly #structs = new Map<Struct, StructForms>();

  constructor(table: UapiTable) {
    this.table = table;
  }

  /** undefined: a call whose argument is no struct */
  command(command: Command): CommandForms | undefined {
    if (!this.#commands.has(command)) this.#commands.set(command, this.#make(command));
    return this.#commands.get(command);
  }

  struct(struct: Struct): StructForms {
    let made = this.#structs.get(struct);
    if (made === undefined) {
      made = { struct, forms: struct.fields.flatMap((f) => formOf(f, struct) ?? []) };
      this.#structs.set(struct, made);
    }
    return made;
  }

  /** What is in the buffer behind a pointer, by the value of the field that decides. */
  payload(command: Command, pointer: string, numberIn: (field: string) => number): Payload | undefined {
    return this.table.payloads(command.name, pointer).find((p) => (numberIn(p.by) & p.mask) >>> 0 === p.value);
  }

  #make(command: Command): CommandForms | undefined {
    const { struct } = command;
    if (struct === undefined) return undefined;
    const arms = new Map(
      command.name !== 'IOMMU_TEST_CMD'
        ? []
        : this.table.testOps.map((op) => {
            const id = op.id === 'access-fd' ? 'file' : op.id === 'unused' ? 'skip' : 'object';
            return [op.value, { arm: op.arm, id }] as const;
          }),
    );
    const choice = CHOOSES.has(command.name) ? (struct.byName.get('flags')?.offset ?? -1) : -1;
    return { ...this.struct(struct), command, name: named(command.name), choice, arms };
  }
}

function formOf(field: Field, struct: Struct): Form | undefined {
  const width = SCALAR_BYTES[field.type];
  return {
    name: named(field.name.slice(field.name.lastIndexOf('.') + 1)),
    how: howOf(field, struct),
    field,
    offset: field.offset,
    width,
    count: field.count ?? 1,
    input: field.dir !== 'out',
    output: field.dir !== 'in',
    space: field.name.startsWith('dst_') ? 0 : field.name.startsWith('src_') ? 1 : -1,
  };
}

function howOf(field: Field, struct: Struct): How {
  const { name } = field;
  if (field.offset === 0 && (name === 'size' || name === 'argsz')) return 'skip';
  if (field.creates !== undefined || (field.fd !== undefined && field.dir === 'out')) return 'created';
  if (field.fd !== undefined) return 'file';
  if (field.ref !== undefined) return 'object';
  if (field.nested !== undefined) return 'address';
  if (field.dir !== 'in' && /(mmap_offset|pgoff)$/.test(name)) return 'created';
  // how far VFIO's capabilities are from the beginning depends on how many there are
  if (field.chain !== undefined) return 'skip';
  return field.type === 'u64' && /(^|\.|_)iova$/.test(name) && struct.header !== 'kvm.h' ? 'iova' : 'value';
}
