/** How each field of the uAPI is compared: worked out once per table from what the table says of the field. */
import { type UapiTable, uapiTable } from '../../../hw/uapi/table.ts';
import { type Command, type Field, type FileRole, type Payload, SCALAR_BYTES, type Struct } from '../../../hw/uapi/types.ts';
import { Hash } from './hash.ts';

/** The table that knows most. */
export const NEWEST = 'linux-7.2';

/** The table to read a trace's structs by: what only a newer mainline kernel knows is the same question on an older one all the same. */
export const readingTable = (table: UapiTable): UapiTable => (table.dialect.startsWith('linux-') ? uapiTable(NEWEST) : table);

/** kvm.h: memory of a VM is memory of the program */
export const VM_MEMORY = { pointer: 'userspace_addr', length: 'memory_size' } as const;

/** What a value is called, and a number in its place. */
export interface Name {
  readonly text: string;
  readonly hash: number;
}

/**
 * value: as it is. object, file: by who made it. created: the kernel's choice, of which only that there is one counts.
 * offset: the same, where 0 is a choice as good as any. handle: the same of numbers that only one file of the kernel's gives and takes; they come
 * back as cookie (of faults), item (of pinned pages) or window (of a VFIO device, where a region begins). address: of the program's memory; only that it is not NULL counts.
 * iova: the kernel's choice where the area was its choice, else as it is. log2: of so many entries of a queue. skip: says nothing (lengths of structs).
 */
export type How =
  | 'value'
  | 'object'
  | 'file'
  | 'created'
  | 'offset'
  | 'handle'
  | 'cookie'
  | 'item'
  | 'window'
  | 'address'
  | 'iova'
  | 'log2'
  | 'skip';

/** A field and how to read it. */
export interface Form {
  /** as the newest dialect calls it */
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
  /** the kernel reads what the pointer points to only where one of these bits of a field is set */
  readonly reads?: { readonly at: number; readonly mask: number };
  /** of entries: offset of the field with their number, into which the kernel writes how many it has done; -1: there is none */
  readonly done: number;
}

export interface StructForms {
  readonly struct: Struct;
  /** behind a pointer: in other dialects its fields are the call's own */
  readonly flat: boolean;
  readonly forms: readonly Form[];
}

/** Bytes of a descriptor. */
export const DESCRIPTOR = 4;
export interface Descriptors {
  /** offset of the first */
  readonly at: number;
  readonly count: number;
  readonly role: FileRole;
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

/** Calls of patch series that became another: the same step, in other words. */
const CALLS: Readonly<Record<string, string>> = { IOMMU_VCMDQ_ALLOC: 'IOMMU_HW_QUEUE_ALLOC', IOMMU_VQUEUE_ALLOC: 'IOMMU_HW_QUEUE_ALLOC' };

const QUEUE_FIELDS = {
  addr: 'nesting_parent_iova',
  base_addr: 'nesting_parent_iova',
  out_vcmdq_id: 'out_hw_queue_id',
  out_vqueue_id: 'out_hw_queue_id',
};
/** Of vcmdq-v1, where a struct of its own had what is in the call's since: the fields in the order of those. */
const NESTED_QUEUE = 'iommu_vcmdq_tegra241_cmdqv';
const NESTED_ORDER = ['index', 'nesting_parent_iova', 'length'];
/** Fields of patch series that became others, by struct. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  iommu_vcmdq_alloc: QUEUE_FIELDS,
  iommu_vqueue_alloc: QUEUE_FIELDS,
  iommu_hw_queue_alloc: QUEUE_FIELDS,
  iommu_viommu_tegra241_cmdqv: { out_vintf_page0_pgoff: 'out_vintf_mmap_offset', out_vintf_page0_pgsz: 'out_vintf_mmap_length' },
  iommu_viommu_selftest: { out_mmap_pgoff: 'out_mmap_offset', out_mmap_pgsz: 'out_mmap_length' },
  [NESTED_QUEUE]: { vcmdq_id: 'index', vcmdq_base: 'nesting_parent_iova', vcmdq_log2size: 'length' },
};
/** Structs whose layout never changed, though names did and what the kernel looks at: they are read as the newest dialect has them. */
const LASTING: ReadonlySet<string> = new Set(['iommu_hw_info']);

/** What a call is called here. */
export const callName = (name: string): string => CALLS[name] ?? name;

/** Pointers that the kernel reads through only with a flag, and writes through without it. */
const READS: Readonly<Record<string, { readonly field: string; readonly mask: number }>> = {
  'access_rw.uptr': { field: 'access_rw.flags', mask: 1 },
};

/** Fields with numbers of one file's own, by struct. */
const NUMBERS: Readonly<Record<string, Readonly<Record<string, How>>>> = {
  iommu_hwpt_pgfault: { cookie: 'handle' },
  iommu_hwpt_page_response: { cookie: 'cookie' },
  iommu_test_cmd: { 'access_pages.out_access_pages_id': 'handle', 'destroy_access_pages.access_pages_id': 'item' },
  vfio_region_info: { offset: 'handle' },
  vfio_device_ioeventfd: { offset: 'window' },
};

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
      const forms = struct.fields.map((f) => formOf(f, struct));
      if (struct.name === NESTED_QUEUE) forms.sort((x, y) => NESTED_ORDER.indexOf(x.name.text) - NESTED_ORDER.indexOf(y.name.text));
      made = { struct, forms, flat: struct.name === NESTED_QUEUE };
      this.#structs.set(struct, made);
    }
    return made;
  }

  /**
   * What is in the buffer behind a pointer, by the value of the field that decides. What this dialect does not know is told as
   * the newest mainline knows it: both sides say the same of it then.
   */
  payload(command: Command, pointer: string, numberIn: (field: string) => number, entryBytes?: number): Payload | undefined {
    const is = (p: Payload): boolean => (numberIn(p.by) & p.mask) >>> 0 === p.value;
    // one type has two structs: the size of an entry tells which
    const fits = (p: Payload): boolean => p.struct !== undefined && entryBytes !== undefined && p.struct.size <= entryBytes;
    const of = (rows: readonly Payload[]): Payload | undefined => rows.findLast((p) => is(p) && fits(p)) ?? rows.find(is);
    return of(this.table.payloads(command.name, pointer)) ?? of(uapiTable(NEWEST).payloads(callName(command.name), pointer));
  }

  /** Descriptors behind a struct, one after the other; undefined: what is there, if anything, is something else. */
  descriptors({ struct, command }: CommandForms, bytes: number, numberIn: (field: Field) => number): Descriptors | undefined {
    const { trailing } = struct;
    if (trailing === undefined || bytes <= trailing.offset) return undefined;
    const by = (name: string): number => {
      const field = struct.byName.get(name);
      return field === undefined ? 0 : numberIn(field);
    };
    const rows = trailing.payload === true ? this.table.payloads(command.name, trailing.name) : [];
    const role = trailing.fd ?? rows.find((p) => (by(p.by) & p.mask) >>> 0 === p.value)?.fd;
    if (role === undefined) return undefined;
    const there = Math.floor((bytes - trailing.offset) / DESCRIPTOR);
    return { at: trailing.offset, count: struct.byName.has('count') ? Math.min(there, by('count')) : there, role };
  }

  /** The struct behind a pointer, where it is one; `numberIn`: a field of the call's struct. */
  pointedTo(of: CommandForms, pointer: Field, numberIn: (field: Field) => number): Struct | undefined {
    const { nested } = pointer;
    if (nested?.of === 'struct') return nested.struct === undefined ? undefined : this.table.struct(nested.struct);
    if (nested?.of !== 'payload' && nested?.of !== 'entries') return undefined;
    const by = (name: string): number => {
      const field = of.struct.byName.get(name);
      return field === undefined ? 0 : numberIn(field);
    };
    const entryBytes = nested.entry === undefined ? undefined : by(nested.entry);
    return this.payload(of.command, pointer.name, by, entryBytes)?.struct;
  }

  #make(command: Command): CommandForms | undefined {
    const lasting = LASTING.has(command.struct?.name ?? '') ? uapiTable(NEWEST).struct(command.struct!.name) : undefined;
    const struct = lasting ?? command.struct;
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
    return { ...this.struct(struct), command, name: named(callName(command.name)), choice, arms };
  }
}

function formOf(field: Field, struct: Struct): Form {
  const width = SCALAR_BYTES[field.type];
  const plain = field.name.slice(field.name.lastIndexOf('.') + 1);
  const name = FIELDS[struct.name]?.[plain] ?? plain;
  const reads = READS[field.name];
  return {
    name: named(name),
    how: howOf(field, name, struct),
    ...(reads === undefined ? {} : { reads: { at: struct.byName.get(reads.field)?.offset ?? 0, mask: reads.mask } }),
    done: countAt(field, struct),
    field,
    offset: field.offset,
    width,
    count: field.count ?? 1,
    input: field.dir !== 'out',
    output: field.dir !== 'in',
    space: field.name.startsWith('dst_') ? 0 : field.name.startsWith('src_') ? 1 : -1,
  };
}

/** Offset of the number of entries behind a pointer: the factor of its length that is not the length of one. */
function countAt({ nested }: Field, struct: Struct): number {
  if (nested?.of !== 'entries' || nested.length.rule !== 'product') return -1;
  const { a, b } = nested.length;
  const field = struct.byName.get(a === nested.entry ? b : a);
  return field === undefined || field.dir === 'in' ? -1 : field.offset;
}

function howOf(field: Field, name: string, struct: Struct): How {
  if (field.offset === 0 && (name === 'size' || name === 'argsz')) return 'skip';
  if (struct.name === NESTED_QUEUE && name === 'length') return 'log2';
  // that there is a struct behind it says no more than its fields
  if (struct.name === 'iommu_vcmdq_alloc' && name.startsWith('data_')) return 'skip';
  if (field.creates !== undefined || (field.fd !== undefined && field.dir === 'out')) return 'created';
  if (field.fd !== undefined) return 'file';
  const number = NUMBERS[struct.name]?.[field.name];
  if (number !== undefined) return number;
  if (field.ref !== undefined) return 'object';
  if (field.nested !== undefined || name === VM_MEMORY.pointer) return 'address';
  if (field.dir !== 'in' && name.endsWith('mmap_offset')) return 'offset';
  // how far VFIO's capabilities are from the beginning depends on how many there are
  if (field.chain !== undefined) return 'skip';
  return field.type === 'u64' && /(^|\.|_)iova$/.test(name) && struct.header !== 'kvm.h' ? 'iova' : 'value';
}
