/**
 * The fold against what a real kernel did. observed/*.jsonl are the lines that the clients of fixtures/clients printed on
 * Linux 7.2.12 (`dist/clients/vmm`, `dist/clients/vfio` in fixtures/kernel/guest): each call with its answer. The kernel
 * says by EBUSY who still uses an object, so every IOMMU_DESTROY is a question about the references of the state.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { errnoNumber } from '../hw/errno.ts';
import { uapiTable } from '../hw/uapi/table.ts';
import { FileKind, Fork, Found, Kind, makeArgs } from '../store/frame.ts';
import { brokenInvariants, danglingReferences } from './invariants.ts';
import { referencesOf, usersOf } from './references.ts';
import { type IoctlOptions, longs, Script, type Values, words } from './script.ts';
import { objectById } from './state.ts';
import { Timeline } from './timeline.ts';

interface Line {
  readonly pid: number;
  readonly kind: string;
  readonly call?: string;
  readonly request?: string;
  readonly path?: string;
  readonly fd: number;
  readonly args: Readonly<Record<string, number | string>>;
  readonly out: Readonly<Record<string, number | string>>;
  readonly ret: number;
  readonly errno: string | null;
  readonly address?: string;
  readonly bytes?: string;
}

const table = uapiTable('linux-7.2');

/** Fields that a struct or an operation has; the lines also tell of nested buffers. */
function fieldsOf(name: string, values: Line['args']): Values {
  const fields = table.byName(name)?.struct?.fields ?? [];
  const op = name === 'IOMMU_TEST_CMD' ? table.testOp(Number(values.op)) : undefined;
  const known = Object.entries(values).map(([k, v]): [string | undefined, bigint] => {
    const field = op?.fields.find((f) => f.name.endsWith(`.${k}`)) ?? fields.find((f) => f.name === k);
    return [field?.name, BigInt(v)];
  });
  return Object.fromEntries(known.filter(([k]) => k !== undefined));
}

/** What the lines leave out, because it is the same in every call of the client. */
const LEFT_OUT: Readonly<Record<string, (l: Line) => Values>> = {
  IOMMU_HWPT_ALLOC: (l) => ({ flags: Number(l.args.fault_id ?? 0) === 0 ? 0 : 4 }),
  IOMMU_VIOMMU_ALLOC: () => ({ type: 0xdead_beef, data_len: 24, data_uptr: 0x1000 }),
  IOMMU_VEVENTQ_ALLOC: () => ({ type: 0xbeef_beef }),
  IOMMU_HW_QUEUE_ALLOC: () => ({ type: 0xdead_beef }),
  IOMMU_IOAS_IOVA_RANGES: () => ({ num_iovas: 8, allowed_iovas: 0x1000 }),
};

function nestedOf(l: Line): Partial<IoctlOptions> {
  const { out } = l;
  if (l.call === 'IOMMU_IOAS_IOVA_RANGES' && out.start !== undefined) {
    return { nestedOut: { allowed_iovas: longs(BigInt(out.start), BigInt(out.last!)) } };
  }
  if (l.call !== 'IOMMU_VIOMMU_ALLOC' || out.out_mmap_offset === undefined) return {};
  return { nestedOut: { data_uptr: Buffer.concat([words(0, 0), longs(BigInt(out.out_mmap_offset), BigInt(out.out_mmap_length!))]) } };
}

/** Descriptors that calls return, which a recorder reports. */
const FD_OUT: Readonly<Record<string, number>> = {
  out_fault_fd: FileKind.FAULT,
  out_veventq_fd: FileKind.VEVENTQ,
  out_access_fd: FileKind.ACCESS,
};

function ioctlOf(s: Script, l: Line): void {
  const error = l.errno === null ? undefined : errnoNumber(l.errno);
  const input = { ...LEFT_OUT[l.call!]?.(l), ...fieldsOf(l.call!, l.args) };
  // operations are told apart by args.op also on return
  const output = fieldsOf(l.call!, { ...(l.args.op === undefined ? {} : { op: l.args.op }), ...l.out });
  s.ioctl(l.fd, l.call!, input, output, { ...nestedOf(l), ...(error === undefined ? {} : { error }) });
  if (error !== undefined) return;
  for (const [name, kind] of Object.entries(FD_OUT)) if (name in l.out) s.found(Number(l.out[name]), kind);
}

/** The session that a recorder would have stored. */
function sessionOf(lines: readonly Line[]): { readonly script: Script; readonly seqs: Map<Line, number> } {
  const s = new Script(table, lines[0]!.pid);
  const seqs = new Map<Line, number>();
  s.start();
  for (const l of lines) {
    s.pid = l.pid;
    const failed = l.errno !== null;
    if (l.kind === 'open') s.open(l.ret, l.path === '/dev/iommu' ? FileKind.IOMMUFD : FileKind.VFIO_DEVICE, l.path!);
    else if (l.kind === 'ioctl' && l.call) ioctlOf(s, l);
    else if (l.kind === 'close') s.close(l.fd);
    else if (l.kind === 'dup') s.dup(l.fd, l.ret, 1);
    else if (l.kind === 'mmap' && !failed) s.mmap(l.fd, Number(l.address), Number(l.args.length), Number(l.args.offset));
    else if (l.kind === 'munmap' && !failed) s.munmap(Number(l.args.addr), Number(l.args.length));
    else if (l.kind === 'read' && l.bytes && !failed) s.read(l.fd, Buffer.from(l.bytes, 'hex'));
    else if (l.kind === 'write' && l.bytes && !failed) s.write(l.fd, Buffer.from(l.bytes, 'hex'));
    else if (l.kind === 'fork') s.fork(l.ret, Fork.FORK);
    else if (l.kind === 'exit') s.exit();
    else if (l.kind === 'sendfd') s.add({ kind: Kind.SENDFD, ...s.behind(l.fd), ret: 1n, parts: [makeArgs(9, 0)] });
    else if (l.kind === 'fd') s.found(l.fd, FileKind.IOMMUFD, Found.RECEIVED, 1);
    else continue;
    seqs.set(l, s.seq);
  }
  s.pid = lines[0]!.pid;
  return { script: s, seqs };
}

const linesOf = (name: string): Line[] =>
  readFileSync(new URL(`observed/${name}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l) as Line)
    .filter((l) => l.pid !== undefined);

describe.each(['vmm-7.2', 'vfio-7.2'])('%s', (name) => {
  const lines = linesOf(name);
  const { script, seqs } = sessionOf(lines);

  test('who uses an object is what the kernel says of its destruction', () => {
    const timeline = new Timeline(script.source(), { table });
    let asked = 0;
    for (const l of lines) {
      if (l.call !== 'IOMMU_DESTROY' || !['EBUSY', 'ENOENT', null].includes(l.errno) || l.fd < 0) continue;
      timeline.seek(seqs.get(l)! - 1);
      const c = timeline.state.contexts.get(1)!;
      const object = objectById(c, Number(l.args.id));
      const users = object && usersOf(referencesOf(timeline.state, c), object.uid);
      const line = JSON.stringify(l);
      if (l.errno === 'ENOENT') expect(object, line).toBeUndefined();
      else if (l.errno === 'EBUSY') expect(users, line).toBeGreaterThan(1);
      else expect(users, line).toBe(1);
      asked++;
    }
    expect(asked).toBeGreaterThanOrEqual(8);
  });

  test('nothing is used that the log did not make, at any event, and nothing is left', () => {
    const timeline = new Timeline(script.source(), { table });
    for (let i = 1; i <= script.seq; i++) {
      timeline.step();
      expect(danglingReferences(timeline.state)).toEqual([]);
      expect(brokenInvariants(timeline.state)).toEqual([]);
    }
    expect(timeline.state.contexts.size).toBe(0);
    expect(timeline.state.files.size).toBe(0);
  });
});

test('vmm-7.2: queues, events and areas', () => {
  const lines = linesOf('vmm-7.2');
  const { script, seqs } = sessionOf(lines);
  const timeline = new Timeline(script.source(), { table });
  timeline.seek(seqs.get(lines.findLast((l) => l.kind === 'read')!)!);
  const c = timeline.state.contexts.get(1)!;
  expect(objectById(c, 11)).toMatchObject({ type: 'VEVENTQ', events: 3, lost: 1, sequence: 3, depth: 2 });
  expect(objectById(c, 7)).toMatchObject({ type: 'FAULT', faults: 2, responses: 1, cookies: [{ cookie: 1, device: 4 }] });
  // the unmap of the queues' area was refused, the one beside it not
  timeline.seek(seqs.get(lines.find((l) => l.out?.out_stdev_id === 16)!)!);
  const later = timeline.state.contexts.get(1)!;
  const areas = [...later.areas.get(later.ids.get(1)!)!].map((a) => a.start);
  expect(areas).toEqual([0x200_0000]);
});
