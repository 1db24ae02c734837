/**
 * The table against fixtures/abi/*.json, which a compiler made from the real headers: every row of the one must have its row
 * in the other, with the same numbers. Rows of VFIO that those files do not have say `source: 'header'` and are held by the
 * static asserts of emit-asserts.test.ts instead.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DIALECTS, type UapiTable, uapiTable } from './table.ts';
import type { Command, Field, FileRole, Nested, ObjectType, Struct, Target } from './types.ts';

interface JsonField {
  name: string;
  offset: number;
  size: number;
  ctype: string;
  union?: string;
  dir?: string;
  enum?: string;
  ref?: string[];
  creates?: string;
  creates_fd?: string;
  fd?: string;
  destroys?: boolean;
  must_be?: number;
  uptr?: string;
  uptr_dir?: string;
  uptr_len?: string;
  since?: string;
  note?: string;
}
interface JsonStruct {
  name: string;
  size: number;
  fields?: JsonField[];
}
interface JsonIoctl {
  name: string;
  nr: number;
  request: string;
  struct: string | null;
  size: number;
  min_size?: number;
  min_size_last_field?: string;
  target: string;
  fields?: JsonField[];
  since?: string;
  arg?: string;
}
interface JsonPayload {
  for: string;
  discriminator: string;
  const: string;
  value: number | null;
  struct: string;
  dir: string;
}
interface Abi {
  dialect: string;
  ioctls: JsonIoctl[];
  vfio_ioctls: JsonIoctl[];
  structs: JsonStruct[];
  payloads: JsonPayload[];
  enums: Record<string, Record<string, number>>;
}

const abiOf = (dialect: string): Abi =>
  JSON.parse(readFileSync(new URL(`../../fixtures/abi/${dialect}.json`, import.meta.url), 'utf8')) as Abi;

const TARGETS: Record<string, Target> = {
  iommufd: 'iommufd',
  'iommufd (compat)': 'vfio-container',
  'vfio group': 'vfio-group',
  'vfio device': 'vfio-device',
};
const ARGS: Record<string, Command['arg']> = {
  none: 'none',
  'integer extension number': 'int',
  'integer iommu type': 'int',
  'pointer to s32 fd': 'fd-pointer',
  'pointer to NUL-terminated device name': 'string',
};
const FDS: Record<string, FileRole> = {
  iommufd: 'IOMMUFD',
  'memfd or VFIO dma-buf': 'FILE',
  'mock dma-buf': 'DMABUF',
  'fault queue file': 'FAULT',
  'vEVENTQ file': 'VEVENTQ',
  'mock access file': 'ACCESS',
};
/** One object type had three names in the series; the table has the last one. */
const CREATES: Record<string, ObjectType[]> = {
  'HWPT_PAGING|HWPT_NESTED': ['HWPT_PAGING', 'HWPT_NESTED'],
  'ACCESS (id hidden)': ['ACCESS'],
  VQUEUE: ['HW_QUEUE'],
  VCMDQ: ['HW_QUEUE'],
};

/**
 * Slips in fixtures/abi, which are kept as they came: vcmdq-v1 says that `type` is an `iommu_vcmdq_type`, but lists only
 * `iommu_vcmdq_data_type` and notes that this is its name in that version.
 */
const SLIPS: Record<string, Record<string, string>> = { 'vcmdq-v1': { iommu_vcmdq_type: 'iommu_vcmdq_data_type' } };

/** The same of the field that says what is behind a pointer: hw-queue-v5 gives it the name that its struct does not have. */
const FIELD_SLIPS: Record<string, Record<string, string>> = { 'hw-queue-v5': { out_data_type: 'data_type' } };

test('the slips of fixtures/abi are slips', () => {
  for (const [dialect, names] of Object.entries(FIELD_SLIPS)) {
    const fields = abiOf(dialect)
      .ioctls.find((c) => c.name === 'IOMMU_GET_HW_INFO')!
      .fields!.map((f) => f.name);
    for (const [wrong, right] of Object.entries(names)) expect([fields.includes(wrong), fields.includes(right)]).toEqual([false, true]);
  }
  for (const [dialect, names] of Object.entries(SLIPS)) {
    const { enums } = abiOf(dialect);
    for (const [wrong, right] of Object.entries(names)) expect([wrong in enums, right in enums]).toEqual([false, true]);
  }
});

/** What fixtures/abi say of a field, in words of the table. */
function expected(f: JsonField, dialect = ''): Record<string, unknown> {
  const array = /^(.*)\[(\d+)\]$/.exec(f.ctype);
  const base = array?.[1] ?? f.ctype;
  const type = base === '__u64 __user *' ? 'u64' : base.replace('__aligned_', '').replace('__', '');
  const [union, arm] = f.union?.split(':') ?? [];
  return {
    name: f.name,
    offset: f.offset,
    size: f.size,
    type,
    count: array === null ? undefined : Number(array[2]),
    union,
    arm,
    dir: f.dir,
    enum: f.enum === undefined ? undefined : (SLIPS[dialect]?.[f.enum] ?? f.enum),
    ref: f.ref?.map((r) => (r === 'by op' ? 'OP' : r)),
    creates: f.creates === undefined ? undefined : (CREATES[f.creates] ?? [f.creates]),
    destroys: f.destroys,
    fd: f.fd ?? f.creates_fd,
    zero: f.must_be === undefined ? undefined : true,
    uptr: f.uptr?.replace(/(?<=^by )\w+$/, (by) => FIELD_SLIPS[dialect]?.[by] ?? by),
    uptr_dir: f.uptr_dir?.replace(' (bits OR-ed in)', ''),
    uptr_len: f.uptr_len,
    since: f.since,
  };
}

/** A pointer's row in the words of fixtures/abi. */
function uptrWords(table: UapiTable, command: string, field: Field, nested: Nested): string {
  const { length } = nested;
  const last = (name: string): string => name.slice(name.indexOf('.') + 1);
  switch (nested.of) {
    case 'struct':
      return length.rule === 'field' ? `${nested.struct}[${length.field}]` : '';
    case 'payload':
      return `by ${table.payloads(command, field.name)[0]?.by}`;
    case 'entries':
      return `by ${table.payloads(command, field.name)[0]?.by}, ${length.rule === 'product' ? `${length.b} entries of ${nested.entry}` : ''}`;
    case 'bitmap':
      return field.arm === undefined ? 'u64 bitmap words' : 'bitmap';
    case 'bytes':
    case 'memory':
      if (length.rule === 'fixed') return `u8[${length.bytes}]`;
      return `memory[${length.rule === 'field' ? last(length.field) : ''}]${field.arm === undefined ? ' (mapped, not copied)' : ''}`;
  }
}

/** The same of our field. `more` takes what the table says and the file leaves open. */
function actual(table: UapiTable, owner: string, f: Field, want: Record<string, unknown>, more: Set<string>): Record<string, unknown> {
  const { nested } = f;
  const have: Record<string, unknown> = {
    name: f.name,
    offset: f.offset,
    size: f.size,
    type: f.type,
    count: f.count,
    union: f.union,
    arm: f.arm,
    dir: f.dir,
    enum: f.enum ?? f.flags,
    ref: f.ref,
    creates: f.creates,
    destroys: f.destroys,
    fd: f.fd === undefined ? undefined : Object.keys(FDS).find((k) => FDS[k] === f.fd),
    zero: f.zero,
    uptr: nested === undefined ? undefined : uptrWords(table, owner, f, nested),
    uptr_dir: nested?.dir,
    uptr_len: nested?.of === 'payload' && nested.length.rule === 'field' ? nested.length.field : undefined,
    since: f.since,
  };
  for (const key of ['dir', 'enum', 'ref', 'fd', 'uptr', 'uptr_dir', 'since', 'zero']) {
    if (want[key] !== undefined || have[key] === undefined) continue;
    if (key !== 'dir' && key !== 'since') more.add(`${owner}.${f.name} ${key} ${String(have[key])}`);
    have[key] = undefined;
  }
  return have;
}

/** Compares the fields of a struct both ways, an embedded struct with its own fields in its place. */
function compareFields(table: UapiTable, owner: string, struct: Struct, json: JsonField[], abi: Abi, more: Set<string>): void {
  const want: Record<string, unknown>[] = [];
  for (const f of json) {
    if (f.ctype.endsWith('[]')) {
      const element = f.ctype.replace('struct ', '').slice(0, -2);
      const { trailing } = struct;
      expect({ owner, name: trailing?.name, offset: trailing?.offset, element: trailing?.struct ?? `__${trailing?.type}` }).toEqual({
        owner,
        name: f.name,
        offset: f.offset,
        element,
      });
      expect(f.size).toBe(0);
    } else if (f.ctype.startsWith('struct ')) {
      const inner = abi.structs.find((s) => s.name === f.ctype.slice('struct '.length));
      expect(inner?.size, f.ctype).toBe(f.size);
      for (const g of inner?.fields ?? []) want.push(expected({ ...g, name: `${f.name}.${g.name}`, offset: f.offset + g.offset }));
    } else want.push(expected(f, abi.dialect));
  }
  expect(struct.trailing === undefined, `${owner}: trailing array`).toBe(!json.some((f) => f.ctype.endsWith('[]')));
  expect(struct.fields.map((f) => f.name).sort(), owner).toEqual(want.map((f) => f.name).sort());
  for (const w of want) {
    const f = struct.byName.get(w.name as string);
    if (f !== undefined) expect({ owner, ...actual(table, owner, f, w, more) }).toEqual({ owner, ...w });
  }
}

function compareCommand(table: UapiTable, json: JsonIoctl, abi: Abi, more: Set<string>): void {
  const command = table.byName(json.name);
  expect(command, json.name).toBeDefined();
  if (command === undefined) return;
  const { struct } = command;
  expect({
    name: command.name,
    nr: command.nr,
    request: `0x${command.request.toString(16)}`,
    struct: struct?.name ?? null,
    size: struct?.size ?? 0,
    target: command.target,
    source: command.source,
    arg: command.arg,
  }).toEqual({
    name: json.name,
    nr: json.nr,
    request: json.request,
    struct: json.struct,
    size: json.size,
    target: TARGETS[json.target],
    source: 'abi',
    arg: json.arg === undefined ? 'struct' : ARGS[json.arg],
  });
  if (json.since !== undefined) expect(command.since, json.name).toBe(json.since);
  expect(table.command(command.target, command.request)).toBe(command);
  if (struct === undefined) return;
  expect({ name: json.name, min: struct.min }).toEqual({ name: json.name, min: json.min_size ?? json.size });
  const last = json.min_size_last_field === undefined ? undefined : struct.byName.get(json.min_size_last_field);
  if (json.min_size_last_field !== undefined) expect((last?.offset ?? 0) + (last?.size ?? 0), json.name).toBe(json.min_size);
  compareFields(table, json.name, struct, json.fields ?? [], abi, more);
}

/** The one place where the table knows more than fixtures/abi, word by word. */
const more = new Map<string, Set<string>>();

describe.each(DIALECTS)('%s', (dialect) => {
  const abi = abiOf(dialect);
  const table = uapiTable(dialect);
  const said = new Set<string>();
  more.set(dialect, said);

  test('is the file it should be', () => {
    expect(abi.dialect).toBe(dialect);
    expect(abi.ioctls.length + abi.vfio_ioctls.length).toBeGreaterThan(30);
  });

  test('commands, both ways', () => {
    for (const json of [...abi.ioctls, ...abi.vfio_ioctls]) compareCommand(table, json, abi, said);
    const rows = table.commands.filter((c) => c.source === 'abi').map((c) => c.name);
    expect(rows.sort()).toEqual([...abi.ioctls, ...abi.vfio_ioctls].map((j) => j.name).sort());
  });

  test('structs, both ways', () => {
    const own = new Set(table.commands.map((c) => c.struct?.name));
    for (const json of abi.structs) {
      const struct = table.struct(json.name);
      expect({ name: json.name, size: struct?.size, source: struct?.source }).toEqual({ name: json.name, size: json.size, source: 'abi' });
      if (struct !== undefined) compareFields(table, json.name, struct, json.fields ?? [], abi, said);
    }
    const rows = [...table.structs.values()].filter((s) => s.source === 'abi' && !own.has(s.name)).map((s) => s.name);
    expect(rows.sort()).toEqual(abi.structs.map((s) => s.name).sort());
  });

  test('payloads and records, both ways', () => {
    const want = abi.payloads.map((p) =>
      [
        p.for.replace(/ \((nested HWPT|vIOMMU)\)$/, ''),
        FIELD_SLIPS[dialect]?.[p.discriminator] ?? p.discriminator,
        p.const,
        p.value,
        p.struct,
        p.dir,
      ].join(' | '),
    );
    const have: string[] = [];
    for (const command of table.commands) {
      for (const f of command.struct?.fields ?? []) {
        for (const p of table.payloads(command.name, f.name)) {
          if (p.source === 'abi') have.push([`${command.name}.${f.name}`, p.by, p.constant, p.value, p.struct?.name, p.dir].join(' | '));
        }
      }
    }
    for (const [constant, value] of table.enum('iommu_veventq_type')?.members ?? []) {
      const struct = table.vevent(value);
      const what = 'vEVENTQ read() payload after iommufd_vevent_header';
      if (struct !== undefined) have.push([what, 'veventq type', constant, value, struct.name, 'out'].join(' | '));
    }
    for (const [call, dir] of [
      ['read', 'out'],
      ['write', 'in'],
    ] as const) {
      const struct = table.record('FAULT', call);
      if (struct !== undefined) have.push([`fault fd ${call}() record`, '-', '-', '', struct.name, dir].join(' | '));
    }
    expect(have.sort()).toEqual(want.sort());
    for (const p of abi.payloads) {
      const object = /\((nested HWPT|vIOMMU)\)$/.exec(p.for)?.[1];
      if (object === undefined) continue;
      const row = table.payloads('IOMMU_HWPT_INVALIDATE', 'data_uptr').find((r) => r.struct?.name === p.struct);
      expect(row?.object).toBe(object === 'vIOMMU' ? 'VIOMMU' : 'HWPT_NESTED');
    }
  });

  test('enums, flags and selftest constants, both ways', () => {
    const have: Record<string, Record<string, number>> = {};
    const constants = abi.enums.selftest_constants ?? {};
    for (const e of table.enums.values()) {
      if (e.header === 'vfio.h' || e.header === 'kvm.h' || e.ours) continue;
      // members that an enum borrows from the selftest are compared as constants
      have[e.name] = Object.fromEntries([...e.members].filter(([name]) => e.name === 'selftest_constants' || !(name in constants)));
      for (const [name, value] of e.members) if (name in constants) expect([name, value]).toEqual([name, constants[name]]);
    }
    expect(have).toEqual(abi.enums);
  });
});

test('what the table says beyond fixtures/abi', () => {
  const all = [...new Set([...more.values()].flatMap((s) => [...s]))].sort();
  expect(all).toMatchInlineSnapshot(`
    [
      "IOMMU_TEST_CMD.access_pages.flags enum anonymous:MOCK_FLAGS_ACCESS_WRITE",
      "IOMMU_TEST_CMD.access_rw.flags enum anonymous:MOCK_ACCESS_RW_WRITE",
      "IOMMU_TEST_CMD.create_access.flags enum anonymous:MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES",
      "IOMMU_TEST_CMD.mock_domain_flags.dev_flags enum anonymous:MOCK_FLAGS_DEVICE_NO_DIRTY",
      "IOMMU_TEST_CMD.trigger_iopf.perm enum iommu_hwpt_pgfault_perm",
      "VFIO_DEVICE_ATTACH_IOMMUFD_PT.flags enum vfio_device_attach_flags",
      "VFIO_DEVICE_BIND_IOMMUFD.flags enum vfio_device_bind_flags",
      "VFIO_DEVICE_DETACH_IOMMUFD_PT.flags enum vfio_device_detach_flags",
      "VFIO_DEVICE_FEATURE.flags enum vfio_device_feature",
      "VFIO_DEVICE_GET_INFO.flags enum vfio_device_info_flags",
      "VFIO_DEVICE_GET_IRQ_INFO.flags enum vfio_irq_info_flags",
      "VFIO_DEVICE_GET_REGION_INFO.flags enum vfio_region_info_flags",
      "VFIO_DEVICE_SET_IRQS.flags enum vfio_irq_set_flags",
      "VFIO_GROUP_GET_STATUS.flags enum vfio_group_status_flags",
      "VFIO_IOMMU_DIRTY_PAGES.flags enum vfio_dirty_pages_flags",
      "VFIO_IOMMU_GET_INFO.flags enum vfio_iommu_info_flags",
      "VFIO_IOMMU_MAP_DMA.flags enum vfio_dma_map_flags",
      "VFIO_IOMMU_MAP_DMA.vaddr uptr memory[size] (mapped, not copied)",
      "VFIO_IOMMU_MAP_DMA.vaddr uptr_dir mapped",
      "VFIO_IOMMU_UNMAP_DMA.flags enum vfio_dma_unmap_flags",
      "iommu_hw_info_arm_smmuv3.flags enum iommu_hw_info_arm_smmuv3_flags",
      "iommu_hw_info_vtd.flags enum iommu_hw_info_vtd_flags",
      "iommu_hwpt_invalidate_selftest.flags enum iommu_test_invalidate_flags",
      "iommu_hwpt_pgfault.dev_id ref DEVICE",
      "iommu_hwpt_pgfault.flags enum iommu_hwpt_pgfault_flags",
      "iommu_hwpt_pgfault.perm enum iommu_hwpt_pgfault_perm",
      "iommu_hwpt_selftest.pagetable_type enum anonymous:MOCK_IOMMUPT_DEFAULT",
      "iommu_hwpt_vtd_s1.flags enum iommu_hwpt_vtd_s1_flags",
      "iommu_hwpt_vtd_s1_invalidate.__reserved zero true",
      "iommu_hwpt_vtd_s1_invalidate.flags enum iommu_hwpt_vtd_s1_invalidate_flags",
      "iommu_viommu_invalidate_selftest.flags enum iommu_test_invalidate_flags",
      "vfio_bitmap.data uptr u64 bitmap words",
      "vfio_bitmap.data uptr_dir inout",
    ]
  `);
});

test('every enum that a field names is there, and every member borrowed from the selftest', () => {
  const table = uapiTable('linux-7.2');
  let seen = 0;
  for (const struct of table.structs.values()) {
    for (const f of struct.fields) {
      for (const name of [f.enum, f.flags]) {
        if (name === undefined) continue;
        seen++;
        expect(table.enum(name), `${struct.name}.${f.name}`).toBeDefined();
      }
    }
  }
  expect(seen).toBeGreaterThan(50);
  expect(table.enumName('iommu_viommu_type', 0xdeadbeef)).toBe('IOMMU_VIOMMU_TYPE_SELFTEST');
});

test('short names are unambiguous within an enum', () => {
  for (const dialect of DIALECTS) {
    for (const e of uapiTable(dialect).enums.values()) {
      if (e.kind === 'constants') continue;
      const values = new Map<string, number>();
      for (const [name, value] of e.members) {
        const short = e.short.get(name) ?? '';
        expect(short).toMatch(/^[A-Za-z_]\w*$/);
        expect([e.name, short, values.get(short) ?? value]).toEqual([e.name, short, value]);
        values.set(short, value);
      }
    }
  }
});

test('an operation of IOMMU_TEST_CMD has the arm of its name, and every arm an operation', () => {
  const other: Readonly<Record<string, string>> = {
    md_check_map: 'check_map',
    md_check_refs: 'check_refs',
    set_temp_memory_limit: 'memory_limit',
    md_check_iotlb: 'check_iotlb',
    dev_check_cache: 'check_dev_cache',
    pasid_check_hwpt: 'pasid_check',
  };
  for (const dialect of DIALECTS) {
    const table = uapiTable(dialect);
    for (const op of table.testOps) {
      const name = op.name.replace('IOMMU_TEST_OP_', '').toLowerCase();
      expect([op.name, op.arm]).toEqual([op.name, other[name] ?? name]);
      expect(op.fields.length).toBeGreaterThan(0);
    }
    const arms = new Set(table.struct('iommu_test_cmd')?.fields.flatMap((f) => f.arm ?? []));
    expect([...arms].sort()).toEqual(table.testOps.map((op) => op.arm).sort());
  }
  expect(uapiTable('linux-7.2').testOps).toHaveLength(23);
});
