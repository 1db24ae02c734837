/**
 * C from rows: the copy tables of the capture shim (recorder/shim/irr_uapi.gen.h).
 */
import { DIALECTS, type UapiTable, uapiTable } from './table.ts';
import type { Command, Field, FileRole, Nested, Target } from './types.ts';

/** The command that writes the header; also its first line. */
export const SHIM_HEADER_COMMAND = 'npx tsc -b hw && node dist/hw/uapi/emit-shim.js > recorder/shim/irr_uapi.gen.h';
export const SHIM_HEADER_PATH = 'recorder/shim/irr_uapi.gen.h';

/** enum irr_file; of KVM's calls there is no row here */
const TARGET: Readonly<Record<Target, number>> = {
  iommufd: 1,
  'vfio-container': 1,
  'vfio-device': 2,
  'vfio-group': 3,
  kvm: 9,
  'kvm-vm': 10,
  'kvm-vcpu': 11,
};
const DIR = { in: 1, out: 2, inout: 3 } as const;
const RULE = { field: 'IRR_LEN_FIELD', product: 'IRR_LEN_PRODUCT', fixed: 'IRR_LEN_FIXED', bitmap: 'IRR_LEN_BITMAP' } as const;
const FILE: Readonly<Partial<Record<FileRole, string>>> = {
  IOMMUFD: 'IRR_FILE_IOMMUFD',
  VFIO_DEVICE: 'IRR_FILE_VFIO_DEVICE',
  VFIO_GROUP: 'IRR_FILE_VFIO_GROUP',
  VFIO_CONTAINER: 'IRR_FILE_VFIO_CONTAINER',
  FAULT: 'IRR_FILE_FAULT',
  VEVENTQ: 'IRR_FILE_VEVENTQ',
  ACCESS: 'IRR_FILE_ACCESS',
  DMABUF: 'IRR_FILE_DMABUF',
};
/** strndup_user in vfio_group_ioctl_get_device_fd takes at most a page, NUL included. */
const STRING_MAX = 4096;

/** A row applies when (u(at) & mask) == value; absent: always. */
interface Selector {
  readonly at: number;
  readonly size: number;
  readonly mask: number;
  readonly value: number;
}
interface Place {
  readonly at: number;
  readonly size: number;
}
interface NestedRow {
  readonly command: Command;
  readonly comment: string;
  readonly ptr: Place;
  readonly dir: 'in' | 'out' | 'inout';
  readonly rule: keyof typeof RULE;
  readonly a: Place;
  readonly b: Place;
  readonly k: number;
  readonly need: number;
  readonly sel: Selector | undefined;
}
interface FdRow {
  readonly command: Command;
  readonly comment: string;
  readonly file: string;
  readonly at: number;
  readonly sel: Selector | undefined;
}

const nowhere: Place = { at: 0, size: 0 };
const FULL = 0xffff_ffff;

function selectorOf(command: Command, field: string, mask: number, value: number): Selector {
  const f = command.struct?.byName.get(field);
  if (f === undefined) throw new Error(`uapi: no ${command.name}.${field}`);
  return { at: f.offset, size: f.size, mask, value };
}

/** Which value of a selector a field needs: its own condition, or that its arm of the union is in use. */
function conditions(table: UapiTable, command: Command, field: Field): readonly (Selector | undefined)[] {
  const when = field.nested?.when;
  if (when !== undefined) return [selectorOf(command, when.field, when.mask, when.equals)];
  if (field.arm === undefined) return [undefined];
  return table.testOps.filter((op) => op.arm === field.arm).map((op) => selectorOf(command, 'op', FULL, op.value));
}

type PlaceOf = (field: string) => Place;

function nestedRow(command: Command, comment: string, ptr: Place, nested: Nested, place: PlaceOf, sel: Selector | undefined): NestedRow {
  if (nested.dir === 'mapped') throw new Error('uapi: mapped memory is not copied');
  const { length } = nested;
  let a = nowhere;
  let b = nowhere;
  let k = 0;
  if (length.rule === 'field') [a, k] = [place(length.field), length.times];
  else if (length.rule === 'product') [a, b] = [place(length.a), place(length.b)];
  else if (length.rule === 'bitmap') [a, b] = [place(length.length), place(length.page)];
  else k = length.bytes;
  const need = Math.max(...[ptr, a, b, sel ?? nowhere].map((p) => p.at + p.size));
  return { command, comment, ptr, dir: nested.dir, rule: length.rule, a, b, k, need, sel };
}

/** Pointers in a command's struct, and in what its trailing array holds. */
function nestedRows(table: UapiTable, command: Command): NestedRow[] {
  const { struct } = command;
  if (struct === undefined) return [];
  const rows: NestedRow[] = [];
  const place =
    (fields: ReadonlyMap<string, Field>, base: number): PlaceOf =>
    (name) => {
      const f = fields.get(name);
      if (f === undefined) throw new Error(`uapi: no ${command.name}.${name}`);
      return { at: base + f.offset, size: f.size };
    };
  for (const f of struct.fields) {
    if (f.nested === undefined || f.nested.dir === 'mapped') continue;
    const here = { at: f.offset, size: f.size };
    for (const sel of conditions(table, command, f))
      rows.push(nestedRow(command, `${command.name}.${f.name}`, here, f.nested, place(struct.byName, 0), sel));
  }
  const { trailing } = struct;
  for (const p of trailing?.payload === true ? table.payloads(command.name, trailing.name) : []) {
    for (const f of p.struct?.fields ?? []) {
      if (f.nested === undefined || f.nested.dir === 'mapped' || p.struct === undefined || trailing === undefined) continue;
      const sel = selectorOf(command, p.by, p.mask, p.value);
      const here = { at: trailing.offset + f.offset, size: f.size };
      const comment = `${command.name}.${trailing.name}, ${p.struct.name}.${f.name}`;
      rows.push(nestedRow(command, comment, here, f.nested, place(p.struct.byName, trailing.offset), sel));
    }
  }
  return rows;
}

function fdRows(table: UapiTable, command: Command): FdRow[] {
  const rows: FdRow[] = [];
  for (const f of command.struct?.fields ?? []) {
    const file = f.fd === undefined ? undefined : FILE[f.fd];
    if (f.dir !== 'out' || file === undefined) continue;
    for (const sel of conditions(table, command, f)) rows.push({ command, comment: `${command.name}.${f.name}`, file, at: f.offset, sel });
  }
  const returned = command.returns?.fd === undefined ? undefined : FILE[command.returns.fd];
  if (returned !== undefined) {
    const when = command.returns?.when;
    const sel = when === undefined ? undefined : selectorOf(command, when.field, when.mask, when.equals);
    rows.push({ command, comment: `${command.name} returns it`, file: returned, at: 0xffff, sel });
  }
  for (const op of command.name === 'IOMMU_TEST_CMD' ? table.testOps : []) {
    const file = op.returns === undefined ? undefined : FILE[op.returns.fd];
    if (file !== undefined)
      rows.push({ command, comment: `${op.name} returns it`, file, at: 0xffff, sel: selectorOf(command, 'op', FULL, op.value) });
  }
  return rows;
}

const keyOf = (row: NestedRow | FdRow): string => {
  const { command, comment: _, ...rest } = row;
  return JSON.stringify([TARGET[command.target], command.request, rest]);
};

/**
 * The union over all dialects. Where another dialect has the same number with a struct that is long enough but has no such
 * pointer, the row is narrowed to structs of exactly its dialect's size.
 */
function union<R extends NestedRow | FdRow>(rowsOf: (table: UapiTable, command: Command) => R[]): R[] {
  const perDialect = DIALECTS.map((d) => {
    const table = uapiTable(d);
    return { commands: table.commands, rows: table.commands.flatMap((c) => rowsOf(table, c)) };
  });
  const found = new Map<string, R>();
  for (const { rows } of perDialect) {
    for (const row of rows) {
      const key = keyOf(row);
      // a row with a selector is narrow already: a dialect without that operation or type refuses the call
      const clash =
        row.sel === undefined &&
        perDialect.some((other) => !other.rows.some((r) => keyOf(r) === key) && other.commands.some((c) => overlaps(c, row)));
      const size = row.command.struct?.size ?? 0;
      const chosen = clash ? { ...row, sel: { at: 0, size: 4, mask: FULL, value: size } } : row;
      if (!found.has(keyOf(chosen))) found.set(keyOf(chosen), chosen);
    }
  }
  return [...found.values()].sort(order);
}

/** Whether a call of `c` could be taken for one that `row` is about. */
function overlaps(c: Command, row: NestedRow | FdRow): boolean {
  if (c.request !== row.command.request || TARGET[c.target] !== TARGET[row.command.target]) return false;
  const need = 'need' in row ? row.need : row.at === 0xffff ? 0 : row.at + 4;
  return (c.struct?.size ?? 0) >= need;
}

function order(x: NestedRow | FdRow, y: NestedRow | FdRow): number {
  const at = (r: NestedRow | FdRow): number => ('ptr' in r ? r.ptr.at : r.at);
  return (
    TARGET[x.command.target] - TARGET[y.command.target] ||
    x.command.request - y.command.request ||
    at(x) - at(y) ||
    (x.sel?.value ?? 0) - (y.sel?.value ?? 0)
  );
}

const hex = (n: number): string => `0x${n.toString(16)}`;
const selText = (sel: Selector | undefined): string =>
  sel === undefined ? '' : `, .sel = ${sel.at}, .sel_size = ${sel.size}, .sel_mask = ${hex(sel.mask)}u, .sel_value = ${hex(sel.value)}u`;

function nestedText(row: NestedRow): string {
  const { command, ptr, a, b, k } = row;
  return (
    `\t/* ${row.comment} */\n\t{ .request = ${hex(command.request)}, .target = ${TARGET[command.target]}, .dir = ${DIR[row.dir]}, ` +
    `.rule = ${RULE[row.rule]}, .ptr = ${ptr.at}, .ptr_size = ${ptr.size}, .need = ${row.need}, ` +
    `.a = ${a.at}, .a_size = ${a.size}, .b = ${b.at}, .b_size = ${b.size}, .k = ${k}${selText(row.sel)} },\n`
  );
}

function fdText(row: FdRow): string {
  return (
    `\t/* ${row.comment} */\n\t{ .request = ${hex(row.command.request)}, .target = ${TARGET[row.command.target]}, ` +
    `.file = ${row.file}, .at = ${row.at === 0xffff ? '0xffff' : row.at}${selText(row.sel)} },\n`
  );
}

/** Requests whose argument is no struct with a length at its head. */
function fixedText(): string {
  const rows = new Map<string, string>();
  const commands = DIALECTS.flatMap((d) => uapiTable(d).commands).filter((c) => c.arg !== 'struct');
  for (const c of commands.sort((x, y) => TARGET[x.target] - TARGET[y.target] || x.request - y.request)) {
    const [arg, bytes] = (
      { 'fd-pointer': [1, 4], 'u32-pointer': [1, 4], int: [2, 0], none: [3, 0], string: [4, STRING_MAX], struct: [0, 0] } as const
    )[c.arg];
    const row = `{ .request = ${hex(c.request)}, .target = ${TARGET[c.target]}, .arg = ${arg}, .bytes = ${bytes} }`;
    rows.set(row, `\t/* ${c.name} */\n\t${row},\n`);
  }
  return [...rows.values()].join('');
}

/** The whole text of recorder/shim/irr_uapi.gen.h. */
export function shimHeader(): string {
  const nested = union(nestedRows).map(nestedText).join('');
  const fds = union(fdRows).map(fdText).join('');
  return `/* ${SHIM_HEADER_COMMAND} */
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an ioctl's struct points to and which descriptors it gives: the union over all dialects of the uAPI, from the rows
 * of hw/uapi/spec. Tables are sorted by target, then request. target: 1 iommufd and VFIO container, 2 VFIO device,
 * 3 VFIO group. u(x) is the unsigned little-endian number of x_size bytes at offset x of the struct as it was before the
 * call (lengths, selectors) or after it (descriptors). A number that is not in a table has a struct whose length is its
 * first u32, and nothing else to copy.
 */
#ifndef IRR_UAPI_GEN_H
#define IRR_UAPI_GEN_H

#include <stdint.h>
#include "irr_frame.h"

#define IRR_UAPI_DIALECTS "${DIALECTS.join(' ')}"

enum irr_len {
	IRR_LEN_FIELD = 1,   /* bytes = u(a) * k */
	IRR_LEN_PRODUCT = 2, /* bytes = u(a) * u(b) */
	IRR_LEN_FIXED = 3,   /* bytes = k */
	IRR_LEN_BITMAP = 4,  /* bytes = 8 * ceil(ceil(u(a) / u(b)) / 64): bits of length a in pages of b; 0 when u(b) is 0 */
};

/*
 * A user pointer at ptr, and how many bytes lie there. dir: 1 the kernel reads them, 2 writes, 3 both. The row applies when
 * the struct has at least need bytes and (sel_size == 0 or (u(sel) & sel_mask) == sel_value). Numbers come from the
 * program: products overflow, lengths lie.
 */
struct irr_nested {
	uint32_t request;
	uint8_t target;
	uint8_t dir;
	uint8_t rule;
	uint8_t sel_size;
	uint16_t sel;
	uint16_t ptr;
	uint16_t need;
	uint16_t a;
	uint16_t b;
	uint8_t a_size, b_size;
	uint8_t ptr_size;
	uint32_t k;
	uint64_t sel_value;
	uint64_t sel_mask;
};

/* A new descriptor, when the call succeeds: s32 at offset at of the struct, 0xffff: the return value. file: enum irr_file. */
struct irr_fd_out {
	uint32_t request;
	uint8_t target;
	uint8_t file;
	uint16_t at;
	uint8_t sel_size;
	uint16_t sel;
	uint64_t sel_value;
	uint64_t sel_mask;
};

/* Arguments that are no struct with a length. arg: 1 pointer to bytes, 2 integer, 3 none, 4 string of at most bytes with its NUL. */
struct irr_fixed {
	uint32_t request;
	uint8_t target;
	uint8_t arg;
	uint16_t bytes;
};

#ifdef __GNUC__
#define IRR_UAPI_TABLE static const __attribute__((unused))
#else
#define IRR_UAPI_TABLE static const
#endif

IRR_UAPI_TABLE struct irr_nested irr_nested_table[] = {
${nested}};

IRR_UAPI_TABLE struct irr_fd_out irr_fd_out_table[] = {
${fds}};

IRR_UAPI_TABLE struct irr_fixed irr_fixed_table[] = {
${fixedText()}};

#endif
`;
}
