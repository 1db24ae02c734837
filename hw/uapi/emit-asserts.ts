/**
 * C static asserts from rows: what a C header of a given release must agree with. A row that is younger than the header is
 * left out by a version check, one row at a time, so that an old header still holds what it knows.
 */
import type { UapiTable } from './table.ts';
import type { Command, Enum, Header, Struct } from './types.ts';

/** '6.15 (also stable backports)' or '6.17 or 6.18 (unverified)' to the last release named: surely there from then on. */
export function releaseOf(since: string): readonly [major: number, minor: number] {
  const all = [...since.matchAll(/(\d+)\.(\d+)/g)];
  const last = all.at(-1);
  return last === undefined ? [0, 0] : [Number(last[1]), Number(last[2])];
}

const later = (a: string, b: string): string => {
  const [x, y] = [releaseOf(a), releaseOf(b)];
  return x[0] * 1000 + x[1] >= y[0] * 1000 + y[1] ? a : b;
};

/** Asserts under the release that they need. */
class Asserts {
  private readonly bySince = new Map<string, string[]>();

  add(since: string, condition: string, what: string): void {
    const [major, minor] = releaseOf(since);
    const key = `KERNEL_VERSION(${major}, ${minor}, 0)`;
    this.bySince.set(key, [...(this.bySince.get(key) ?? []), `_Static_assert(${condition}, "${what}");`]);
  }
  text(): string {
    return [...this.bySince].map(([key, lines]) => `#if LINUX_VERSION_CODE >= ${key}\n${lines.join('\n')}\n#endif`).join('\n');
  }
}

/** Fields whose size is unsigned and signed compare the same way in C. */
function addStruct(out: Asserts, struct: Struct, since: string): void {
  const type = `struct ${struct.name}`;
  const youngest = struct.fields.reduce((s, f) => later(s, f.since ?? since), since);
  out.add(youngest, `sizeof(${type}) == ${struct.size}`, `sizeof ${struct.name}`);
  for (const f of struct.fields) {
    const path = `${struct.name}.${f.name}`;
    const at = later(f.since ?? since, since);
    out.add(at, `offsetof(${type}, ${f.name}) == ${f.offset}`, `offset of ${path}`);
    out.add(at, `sizeof(((${type} *)0)->${f.name}) == ${f.size}`, `size of ${path}`);
    if (f.count === undefined && !f.nested) {
      out.add(at, `((__typeof__(((${type} *)0)->${f.name}))-1 < 0) == ${f.type.startsWith('s') ? 1 : 0}`, `sign of ${path}`);
    }
  }
  const { trailing } = struct;
  if (trailing !== undefined) {
    out.add(since, `offsetof(${type}, ${trailing.name}) == ${trailing.offset}`, `offset of ${struct.name}.${trailing.name}`);
    out.add(since, `sizeof(((${type} *)0)->${trailing.name}[0]) == ${trailing.stride}`, `element of ${struct.name}.${trailing.name}`);
  }
}

function addEnum(out: Asserts, e: Enum): void {
  for (const [name, value] of e.members) {
    out.add(e.since[name] ?? e.since[''] ?? '0.0', `(long long)${name} == ${value}LL`, name);
  }
}

/** A C file whose every line holds, or the table is wrong. Of a header private to the kernel there is none. */
export function headerAsserts(table: UapiTable, header: Exclude<Header, 'iommufd_test.h'>): string {
  const out = new Asserts();
  const commands = table.commands.filter((c) => c.header === header);
  for (const c of commands) {
    out.add(c.since, `${c.name} == ${c.request}`, c.name);
    if (c.struct !== undefined) addStruct(out, c.struct, c.since);
  }
  const own = new Set(commands.map((c: Command) => c.struct?.name));
  for (const s of table.structs.values()) if (s.header === header && !own.has(s.name)) addStruct(out, s, s.since);
  const constants = table.enum('selftest_constants')?.members ?? new Map<string, number>();
  for (const e of table.enums.values()) {
    if (e.header !== header) continue;
    const members = new Map([...e.members].filter(([name]) => !constants.has(name)));
    const first =
      e.name === 'IOMMUFD_CMD'
        ? { ...e, since: Object.fromEntries(commands.map((c) => [c.name.replace('IOMMU_', 'IOMMUFD_CMD_'), c.since])) }
        : e;
    addEnum(out, { ...first, members });
  }
  return `#include <stddef.h>\n#include <linux/version.h>\n#include <linux/ioctl.h>\n#include <linux/${header}>\n${out.text()}\n`;
}
