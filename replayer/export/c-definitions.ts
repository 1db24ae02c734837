/** The headers' definitions that a reproducer needs, for headers that are older than the calls. */
import { releaseOf } from '../../hw/uapi/emit-asserts.ts';
import type { Field, Header, Scalar, Struct } from '../../hw/uapi/types.ts';
import type { Used } from './used.ts';

const C_TYPE: Readonly<Record<Scalar, string>> = {
  u8: '__u8',
  u16: '__u16',
  u32: '__u32',
  u64: '__aligned_u64',
  s32: '__s32',
  s64: '__s64',
  le64: '__aligned_le64',
};

/** Structs with those that are in them, those first. */
function withInner(used: Used, header: Header): Struct[] {
  const all = new Map<string, Struct>();
  const add = (struct: Struct | undefined): void => {
    if (struct === undefined || all.has(struct.name)) return;
    for (const f of struct.fields) if (f.embedded !== undefined) add(used.table.struct(f.embedded));
    if (struct.trailing?.struct !== undefined) add(used.table.struct(struct.trailing.struct));
    all.set(struct.name, struct);
  };
  for (const s of used.structs.values()) add(s);
  return [...all.values()].filter((s) => s.header === header);
}

/** Fields of a struct as C declares them. `prefix`: what their names begin with and C does not say. */
function members(fields: readonly Field[], prefix: string, indent: string, used: Used): string[] {
  const lines: string[] = [];
  for (let i = 0; i < fields.length; ) {
    const f = fields[i]!;
    if (f.union !== undefined && prefix === '') {
      let end = i;
      while (fields[end]?.union === f.union) end++;
      lines.push(...union(fields.slice(i, end), indent, used));
      i = end;
      continue;
    }
    const name = f.name.slice(prefix.length);
    const dot = name.indexOf('.');
    if (dot >= 0) {
      const inner = prefix + name.slice(0, dot + 1);
      const all = fields.filter((o) => o.name.startsWith(inner));
      if (f.embedded !== undefined) lines.push(`${indent}struct ${f.embedded} ${name.slice(0, dot)};`);
      else lines.push(`${indent}struct {`, ...members(all, inner, `${indent}\t`, used), `${indent}} ${name.slice(0, dot)};`);
      i += all.length;
      continue;
    }
    lines.push(`${indent}${C_TYPE[f.type]} ${name}${f.count === undefined ? '' : `[${f.count}]`};`);
    i++;
  }
  return lines;
}

/** A union's arms are those that are used; what others take is room. */
function union(fields: readonly Field[], indent: string, used: Used): string[] {
  const lines = [`${indent}union {`];
  const arms = new Map<string, Field[]>();
  for (const f of fields) {
    if (f.arm === undefined) lines.push(`${indent}\t${C_TYPE[f.type]} ${f.name};`);
    else arms.set(f.arm, [...(arms.get(f.arm) ?? []), f]);
  }
  const others = [...arms.keys()].filter((arm) => !used.arms.has(arm));
  for (const [arm, of] of arms)
    if (used.arms.has(arm)) lines.push(`${indent}\tstruct {`, ...members(of, `${arm}.`, `${indent}\t\t`, used), `${indent}\t} ${arm};`);
  const start = Math.min(...fields.map((f) => f.offset));
  const bytes = Math.max(...fields.map((f) => f.offset + f.size)) - start;
  if (others.length > 0) lines.push(`${indent}\t__aligned_u64 others[${Math.ceil(bytes / 8)}]; /* ${others.length} more structs */`);
  lines.push(`${indent}};`);
  return lines;
}

function structDefinition(struct: Struct, used: Used): string[] {
  const { trailing } = struct;
  const lines = [`struct ${struct.name} {`, ...members(struct.fields, '', '\t', used)];
  if (trailing !== undefined)
    lines.push(`\t${trailing.struct === undefined ? C_TYPE[trailing.type ?? 'u8'] : `struct ${trailing.struct}`} ${trailing.name}[];`);
  return [...lines, '};'];
}

/** All of a header that is used. Empty: nothing. */
export function definitions(used: Used, header: Header): string[] {
  const lines: string[] = [];
  for (const c of [...used.commands.values()].sort((a, b) => a.nr - b.nr))
    if (c.header === header) lines.push(`#define ${c.name} _IO(';', 0x${c.nr.toString(16)})`);
  for (const [name, c] of used.constants) if (c.header === header) lines.push(`#define ${name} ${constant(c.value)}`);
  for (const s of withInner(used, header)) lines.push('', ...structDefinition(s, used));
  return lines[0] === '' ? lines.slice(1) : lines;
}

const constant = (value: number): string => (value > 9 ? `0x${value.toString(16)}` : String(value));

/** The Linux release whose header has all of it: [6, 17]. */
export function needed(used: Used, header: Header): readonly [number, number] {
  let most: readonly [number, number] = [0, 0];
  const need = (since: string): void => {
    const r = releaseOf(since);
    if (r[0] > most[0] || (r[0] === most[0] && r[1] > most[1])) most = r;
  };
  for (const c of used.commands.values()) if (c.header === header) need(c.since);
  for (const c of used.constants.values()) if (c.header === header) need(c.since);
  for (const s of withInner(used, header)) {
    need(s.since);
    const reach = used.reach.get(s.name) ?? s.size;
    for (const f of s.fields) if (f.offset < reach) need(f.since ?? '');
  }
  return most;
}

/** What a program has of headers: includes where those of the machine are new enough, else definitions of its own. */
export function headerSections(used: Used, dialect: string, privateHeader: string | undefined): string[] {
  const sections: string[] = [];
  for (const header of ['iommufd.h', 'vfio.h'] as const) {
    const own = definitions(used, header);
    if (own.length > 0) sections.push(guarded(used, dialect, header, own));
  }
  const own = definitions(used, 'iommufd_test.h');
  if (own.length === 0) return sections;
  const about = '/* of drivers/iommu/iommufd/iommufd_test.h, which is private to the kernel */';
  sections.push(
    privateHeader === undefined
      ? [about, ...own].join('\n')
      : [`#if __has_include("${privateHeader}")`, `#include "${privateHeader}"`, '#else', about, ...own, '#endif'].join('\n'),
  );
  return sections;
}

function guarded(used: Used, dialect: string, header: Header, own: readonly string[]): string {
  const [major, minor] = needed(used, header);
  if (!dialect.startsWith('linux-')) return [`/* as the series ${dialect} has them: no release does */`, ...own].join('\n');
  return [
    `#if LINUX_VERSION_CODE >= KERNEL_VERSION(${major}, ${minor}, 0) && !defined(OWN_DEFINITIONS)`,
    `#include <linux/${header}>`,
    `#else /* older headers: what is used here of those of Linux ${major}.${minor} */`,
    ...own,
    '#endif',
  ].join('\n');
}
