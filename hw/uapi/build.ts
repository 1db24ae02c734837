/**
 * From rows to a table: edits applied, then places computed as a C compiler for 64-bit Linux does (a field at the alignment
 * of its type, a struct as long as a multiple of its greatest alignment). Our own mistakes in rows throw here, at start-up.
 */
import type { DialectRow, Edit } from './spec/dialects.ts';
import { dialectRows } from './spec/dialects.ts';
import { iommufdEnums, testEnums, vfioEnums } from './spec/enums.ts';
import { iommufdCommands } from './spec/iommufd.ts';
import { testCommands, testOps } from './spec/selftest.ts';
import { payloadRows, structRows } from './spec/structs.ts';
import { vfioContainerCommands, vfioDeviceCommands, vfioGroupCommands, vfioPayloadRows, vfioStructRows } from './spec/vfio.ts';
import {
  type CommandRow,
  type Enum,
  type EnumRow,
  type Field,
  type FieldRow,
  type Header,
  type PayloadRow,
  SCALAR_BYTES,
  type Struct,
  type StructRow,
  type TestOpRow,
  type Trailing,
} from './types.ts';

export type DialectName = keyof typeof dialectRows;

/** All rows of one dialect. */
export interface Rows {
  readonly commands: Map<string, CommandRow>;
  readonly structs: Map<string, StructRow>;
  readonly enums: Map<string, EnumRow>;
  readonly payloads: PayloadRow[];
  readonly ops: Map<string, TestOpRow>;
}

/** Rows of one header. */
function headed<R extends { readonly header?: Header }>(rows: Readonly<Record<string, R>>, header: Header): (readonly [string, R])[] {
  return Object.entries(rows).map(([name, row]) => [name, { header, ...row }] as const);
}

function mainline(): Rows {
  const commands: Record<string, CommandRow> = {
    ...iommufdCommands,
    ...testCommands,
    ...vfioDeviceCommands,
    ...vfioGroupCommands,
    ...vfioContainerCommands,
  };
  const structs = new Map([...headed<StructRow>(structRows, 'iommufd.h'), ...headed<StructRow>(vfioStructRows, 'vfio.h')]);
  return {
    commands: new Map(Object.entries(commands)),
    structs,
    enums: new Map([
      ...headed<EnumRow>(iommufdEnums, 'iommufd.h'),
      ...headed<EnumRow>(testEnums, 'iommufd_test.h'),
      ...headed<EnumRow>(vfioEnums, 'vfio.h'),
    ]),
    payloads: [...payloadRows, ...vfioPayloadRows],
    ops: new Map(Object.entries(testOps satisfies Record<string, TestOpRow> as Record<string, TestOpRow>)),
  };
}

function need<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`uapi: no ${what}`);
  return value;
}

/** Changes the row that a struct's fields are in: a command's, or a struct's own. */
function editStruct(rows: Rows, name: string, change: (row: StructRow) => StructRow): void {
  for (const [key, row] of rows.commands) {
    if (row.struct === name) {
      rows.commands.set(key, { ...row, ...change({ ...row, fields: need(row.fields, `fields of ${name}`) }) });
      return;
    }
  }
  rows.structs.set(name, change(need(rows.structs.get(name), `struct ${name}`)));
}

function remove<T>(map: Map<string, T>, name: string): void {
  if (!map.delete(name)) throw new Error(`uapi: no ${name} to remove`);
}

function editFields(row: StructRow, field: string, by: readonly FieldRow[]): StructRow {
  const at = row.fields.findIndex((f) => f.name === field);
  if (at < 0) throw new Error(`uapi: no field ${field}`);
  const next = { ...row, fields: row.fields.toSpliced(at, 1, ...by) };
  if (row.min !== field) return next;
  const to = by[0]?.name ?? next.fields[at - 1]?.name;
  return { ...next, min: need(to, `minimum without ${field}`) };
}

/** A field with another name still says what is behind a pointer of its struct. */
function renameDiscriminator(rows: Rows, struct: string, from: string, to: string): void {
  for (const [i, row] of rows.payloads.entries())
    if (row.by === from && rows.commands.get(row.command)?.struct === struct) rows.payloads[i] = { ...row, by: to };
}

function removeArms(rows: Rows, struct: string, arms: readonly string[]): void {
  editStruct(rows, struct, (row) => {
    const union = need(row.arms, `arms of ${struct}`);
    const left = Object.fromEntries(Object.entries(union.rows).filter(([arm]) => !arms.includes(arm)));
    return { ...row, arms: { ...union, rows: left } };
  });
  for (const [name, op] of rows.ops) if (arms.includes(op.arm)) rows.ops.delete(name);
}

function editMembers(rows: Rows, edit: Extract<Edit, { edit: 'remove-members' | 'add-members' }>): void {
  const row = rows.enums.get(edit.enum);
  if (edit.edit === 'add-members') {
    const fresh = { kind: edit.kind ?? 'enum', prefix: edit.prefix ?? '', members: edit.members };
    rows.enums.set(
      edit.enum,
      row === undefined
        ? edit.selftest === undefined
          ? fresh
          : { ...fresh, selftest: edit.selftest }
        : { ...row, members: { ...row.members, ...edit.members } },
    );
    return;
  }
  const members: Record<string, number> = { ...need(row, `enum ${edit.enum}`).members };
  for (const member of edit.members) {
    if (!(member in members)) throw new Error(`uapi: no ${member} to remove`);
    delete members[member];
  }
  rows.enums.set(edit.enum, { ...need(row, edit.enum), members });
}

function applyEdit(rows: Rows, edit: Edit): void {
  switch (edit.edit) {
    case 'remove-command':
      remove(rows.commands, edit.command);
      break;
    case 'add-command':
      rows.commands.set(edit.command, edit.row);
      break;
    case 'remove-field':
      editStruct(rows, edit.struct, (row) => editFields(row, edit.field, []));
      break;
    case 'replace-field':
      editStruct(rows, edit.struct, (row) => editFields(row, edit.field, [edit.row]));
      renameDiscriminator(rows, edit.struct, edit.field, edit.row.name);
      break;
    case 'remove-arm':
      removeArms(rows, edit.struct, edit.arms);
      break;
    case 'remove-struct':
      for (const name of edit.structs) remove(rows.structs, name);
      break;
    case 'add-struct':
      rows.structs.set(edit.struct, edit.row);
      break;
    case 'add-payload':
      rows.payloads.push(edit.row);
      break;
    case 'remove-enum':
      for (const name of edit.enums) remove(rows.enums, name);
      break;
    case 'remove-members':
    case 'add-members':
      editMembers(rows, edit);
      break;
    default:
      edit satisfies never;
  }
}

/** The rows of a dialect: those of linux-7.2 with the dialect's edits, and those of the dialects it stands on, applied. */
export function dialectRowsOf(dialect: DialectName): Rows {
  const row: DialectRow = dialectRows[dialect];
  const rows = row.on === null ? mainline() : dialectRowsOf(row.on as DialectName);
  for (const edit of row.edits) applyEdit(rows, edit);
  return rows;
}

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Lays out fields one after another; `find` gives an embedded struct. */
class Layout {
  readonly fields: Field[] = [];
  end = 0;
  align = 1;
  /** the union that is open, where it begins, and how far its longest member reaches */
  private union: { readonly name: string; readonly start: number; end: number } | undefined;
  private readonly find: (name: string) => Struct;
  constructor(find: (name: string) => Struct) {
    this.find = find;
  }

  add(row: FieldRow): void {
    if (this.union !== undefined && (row.union !== this.union.name || row.arm !== undefined)) this.closeUnion();
    const { type, count, embed, ...meaning } = row;
    const inner = embed === undefined ? undefined : this.find(embed);
    const align = inner === undefined ? SCALAR_BYTES[type] : inner.fields.reduce((a, f) => Math.max(a, SCALAR_BYTES[f.type]), 1);
    const size = inner?.size ?? SCALAR_BYTES[type] * (count ?? 1);
    this.align = Math.max(this.align, align);
    if (row.union !== undefined && row.arm === undefined) {
      this.union ??= { name: row.union, start: roundUp(this.end, align), end: this.end };
      this.end = this.union.start;
    }
    const offset = roundUp(this.end, align);
    this.end = offset + size;
    if (this.union !== undefined) this.union.end = Math.max(this.union.end, this.end);
    if (inner === undefined)
      this.fields.push({ ...meaning, label: row.name, type, ...(count === undefined ? {} : { count }), offset, size });
    else
      for (const f of inner.fields)
        this.fields.push({
          ...f,
          name: `${row.name}.${f.name}`,
          label: `${row.name}.${f.label}`,
          offset: offset + f.offset,
          embedded: inner.name,
        });
  }

  closeUnion(): void {
    if (this.union !== undefined) this.end = this.union.end;
    this.union = undefined;
  }

  /** A union of anonymous structs: each arm laid out from the same place. */
  addArms(union: string, rows: Readonly<Record<string, readonly FieldRow[]>>): void {
    this.closeUnion();
    let align = 1;
    for (const fields of Object.values(rows)) for (const f of fields) align = Math.max(align, SCALAR_BYTES[f.type]);
    const start = roundUp(this.end, align);
    let end = start;
    for (const [arm, fields] of Object.entries(rows)) {
      this.end = start;
      for (const f of fields) this.add({ ...f, name: `${arm}.${f.name}`, union, arm });
      end = Math.max(end, this.end);
    }
    this.end = roundUp(end, align);
  }
}

export function buildStruct(name: string, row: StructRow, find: (name: string) => Struct): Struct {
  const layout = new Layout(find);
  for (const field of row.fields) {
    if (row.arms?.before === field.name) layout.addArms(row.arms.union, row.arms.rows);
    layout.add(field);
  }
  layout.closeUnion();
  const end = layout.end;
  const element = row.trailing?.struct === undefined ? undefined : find(row.trailing.struct);
  const trailing: Trailing | undefined =
    row.trailing === undefined
      ? undefined
      : { ...row.trailing, offset: end, stride: element?.size ?? SCALAR_BYTES[row.trailing.type ?? 'u8'] };
  if (element !== undefined) for (const f of element.fields) layout.align = Math.max(layout.align, SCALAR_BYTES[f.type]);
  const size = roundUp(end, layout.align);
  const outer = new Set(layout.fields.map((f) => f.name));
  const fields = layout.fields.map((f) => {
    const inside = f.arm === undefined ? f.name : f.name.slice(f.arm.length + 1);
    return f.arm === undefined || outer.has(inside) ? f : { ...f, label: inside };
  });
  const byName = new Map(fields.map((f) => [f.name, f]));
  if (byName.size !== fields.length) throw new Error(`uapi: ${name} has two fields of one name`);
  const last = row.min === undefined ? undefined : need(byName.get(row.min), `${name}.${row.min}`);
  return {
    name,
    size,
    min: last === undefined ? size : last.offset + last.size,
    fields,
    byName,
    ...(trailing === undefined ? {} : { trailing }),
    since: row.since ?? '',
    source: row.source ?? 'abi',
    header: row.header ?? 'iommufd.h',
  };
}

/** `constants`: where members of the selftest are found; one that the dialect does not have is left out. */
export function buildEnum(name: string, row: EnumRow, constants: Readonly<Record<string, number>>): Enum {
  const members = new Map(Object.entries(row.members));
  for (const member of row.selftest ?? []) {
    const value = constants[member];
    if (value !== undefined) members.set(member, value);
  }
  const names = new Map<number, string>();
  const short = new Map<string, string>();
  const prefixes = typeof row.prefix === 'string' ? [row.prefix] : row.prefix;
  for (const [member, value] of members) {
    if (!names.has(value)) names.set(value, member);
    const prefix = prefixes.find((p) => member.startsWith(p) && member.length > p.length) ?? '';
    short.set(member, member.slice(prefix.length));
  }
  return {
    name,
    kind: row.kind,
    members,
    names,
    short,
    since: row.since ?? {},
    ours: row.ours ?? false,
    header: row.header ?? 'iommufd.h',
  };
}
