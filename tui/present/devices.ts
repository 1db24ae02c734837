/** The VFIO devices at the cursor: regions, interrupts with what they trigger, and what is mapped of them. Pure. */

import { IRQ_NAMES } from '../../hw/vfio/device.ts';
import { PCI_REGIONS } from '../../replayer/access-place.ts';
import type { Change } from '../../replayer/change.ts';
import type { Device } from '../../replayer/object-types.ts';
import type { Mapping, OpenFile, SessionState } from '../../replayer/state.ts';
import { hex } from '../../replayer/u64.ts';
import { objectName } from '../../replayer/words.ts';
import { FileKind } from '../../store/frame.ts';
import { clean, type Line, line, type Span, span, wrap } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';
import type { StateView } from './cmdqv.ts';
import { sizeText } from './detail.ts';

/** Of what does not fit into a line. */
const INDENT = 6;
/** Devices, triggers and mappings that are shown one by one. */
const MOST = 64;

/** Bits of a set and their names; the rest as a number. */
function bitsText(value: number, names: readonly (readonly [number, string])[]): string {
  const set = names.filter(([bit]) => (value & bit) !== 0).map(([, name]) => name);
  const rest = (names.reduce((n, [bit]) => n & ~bit, value) >>> 0) as number;
  return [...set, ...(rest === 0 ? [] : [`0x${rest.toString(16)}`])].join(' ');
}

/** VFIO_REGION_INFO_FLAG_* and VFIO_IRQ_INFO_* of include/uapi/linux/vfio.h; actions of VFIO_IRQ_SET. */
const REGION_FLAGS = [
  [1, 'read'],
  [2, 'write'],
  [4, 'mmap'],
  [8, 'caps'],
] as const;
const IRQ_FLAGS = [
  [1, 'eventfd'],
  [2, 'maskable'],
  [4, 'automasked'],
  [8, 'noresize'],
] as const;
const ACTIONS = [
  [8, 'masks'],
  [16, 'unmasks'],
  [32, 'triggers'],
] as const;

export function devicesView(state: SessionState, changes: readonly Change[], glyphs: Glyphs, width: number): StateView {
  const files = [...state.files.values()].filter((f) => f.kind === FileKind.VFIO_DEVICE).sort((a, b) => a.file - b.file);
  const lines: Line[] = [];
  const touched = touchedFiles(changes);
  let marked = -1;
  for (const f of files.slice(0, MOST)) {
    if (marked < 0 && touched.has(f.file)) marked = lines.length;
    lines.push(...deviceLines(state, f, touched.has(f.file), glyphs).flatMap((l) => wrap(l, width, INDENT)));
  }
  if (files.length > MOST) lines.push(line('  ', span(`${glyphs.ellipsis} ${files.length - MOST} more devices`, 'dim')));
  if (lines.length === 0) lines.push(line('  ', span('no VFIO device is open here', 'dim')));
  return { lines, marked };
}

function touchedFiles(changes: readonly Change[]): ReadonlySet<number> {
  return new Set(
    changes.flatMap((c) => (c.op === 'file' ? [c.file] : c.op === 'mapping.add' || c.op === 'mapping.remove' ? [c.mapping.file] : [])),
  );
}

const regionName = (index: number): string => PCI_REGIONS[index] ?? `region ${index}`;

function deviceLines(state: SessionState, f: OpenFile, changed: boolean, glyphs: Glyphs): Line[] {
  const put = (...parts: readonly (Span | string)[]): Line => line('  ', ...parts);
  const name = `vfio-device#${f.file < 0 ? '?' : f.file}`;
  const head: Line = {
    ...line(
      span(changed ? `${glyphs.changed} ` : '  ', 'changed'),
      span(name, changed ? 'changed' : 'strong'),
      `  ${clean(f.path)}`,
      span(`  ${descriptors(state, f.file)}`, 'dim'),
      span(f.origin === 'inferred' ? '  inferred' : '', 'dim'),
    ),
    pinned: 1,
  };
  const regions = f.regions.map((r) =>
    put(
      `  ${regionName(r.index).padEnd(9)} `,
      `${(sizeText(BigInt(r.size)) || hex(r.size)).padStart(9)}  ${bitsText(r.flags, REGION_FLAGS)}`,
      span(`  offset ${hex(r.offset)}`, 'dim'),
    ),
  );
  const irqs = f.irqs.map((i) =>
    put(`  ${(IRQ_NAMES[i.index] ?? `irq ${i.index}`).padEnd(9)} `, `${String(i.count).padStart(9)}  ${bitsText(i.flags, IRQ_FLAGS)}`),
  );
  const triggers = f.triggers.slice(0, MOST).map((t) => {
    const irq = `${IRQ_NAMES[t.index] ?? `irq ${t.index}`}[${t.sub}]`;
    return put(
      `  ${irq.padEnd(9)} `,
      `${glyphs.arrow} eventfd ${t.fd} of process ${t.pid}`,
      span(`  ${bitsText(t.action, ACTIONS)}`, 'dim'),
    );
  });
  if (f.triggers.length > MOST) triggers.push(put(span(`  ${glyphs.ellipsis} ${f.triggers.length - MOST} more`, 'dim')));
  return [head, ...bindingLines(state, f, put), ...regions, ...irqs, ...triggers, ...mappingLines(state, f, put, glyphs)];
}

function descriptors(state: SessionState, file: number): string {
  const found: string[] = [];
  for (const [pid, fds] of state.fds) for (const [fd, of] of fds) if (of === file) found.push(`fd ${fd} of ${pid}`);
  return found.length === 0 ? 'no descriptor' : found.slice(0, 4).join(', ');
}

function bindingLines(state: SessionState, f: OpenFile, put: (...parts: readonly (Span | string)[]) => Line): Line[] {
  const context = state.contexts.get(f.context);
  const object = context?.objects.get(f.object);
  if (context === undefined || object === undefined) return [put(span('  not bound', 'dim'))];
  const attached = object.type === 'DEVICE' ? attachments(object, (uid) => context.objects.get(uid)) : '';
  return [put('  ', span(objectName(object), 'object'), ` of context ${context.context}${attached}`)];
}

function attachments(device: Device, objectOf: (uid: number) => Parameters<typeof objectName>[0] | undefined): string {
  if (device.attachments.length === 0) return ', not attached';
  return device.attachments
    .map((a) => {
      const hwpt = objectOf(a.hwpt);
      return `, ${a.pasid === 0 ? '' : `PASID ${a.pasid} `}attached to ${hwpt === undefined ? '?' : objectName(hwpt)} since ${a.seq}`;
    })
    .join('');
}

function mappingLines(state: SessionState, f: OpenFile, put: (...parts: readonly (Span | string)[]) => Line, glyphs: Glyphs): Line[] {
  const all: Mapping[] = [];
  for (const maps of state.mappings.values()) for (const m of maps.values()) if (m.file === f.file) all.push(m);
  all.sort((a, b) => a.memory - b.memory || (a.address < b.address ? -1 : 1));
  const lines = all
    .slice(0, MOST)
    .map((m) =>
      put(
        '  mapped    ',
        `${hex(m.address)}+${hex(m.length)}`,
        `  ${m.region < 0 ? `offset ${hex(m.offset)}` : regionName(m.region)}`,
        span(`  process ${m.memory}, event ${m.seq}${m.trapped ? ', trapped' : ''}`, 'dim'),
      ),
    );
  if (all.length > MOST) lines.push(put(span(`  ${glyphs.ellipsis} ${all.length - MOST} more mappings`, 'dim')));
  return lines;
}
