/** Changes in words: "creates VIOMMU 6", "unmaps IOAS 1 0x1000000+0x2000". Text from the trace is raw: escape it before a terminal. */
import type { Change } from './change.ts';
import { cmdqvText, isBookkeeping, registersText } from './cmdqv-words.ts';
import { parentsOf } from './json.ts';
import type { KernelObject, Uid } from './object-types.ts';
import { FILE_KINDS, type Mapping, type OpenFile, type SessionState } from './state.ts';
import { hex, lengthOf } from './u64.ts';

/** "VIOMMU 6"; an object whose id no call told: "ACCESS ?". */
export const objectName = (o: Pick<KernelObject, 'type' | 'id'>): string => `${o.type} ${o.id === 0 ? '?' : o.id}`;

/** "vEVENTQ file 9" … */
const fileName = (f: Pick<OpenFile, 'file' | 'kind'>): string =>
  `${FILE_KINDS[f.kind] ?? `KIND_${f.kind}`} file ${f.file < 0 ? '?' : f.file}`;

/** How an object that is only known by our own number is called. */
export type NameOf = (context: number, uid: Uid) => string;
const unnamed: NameOf = (_context, uid) => `object #${uid}`;

/** Names for the objects that changes speak of: as the state after them knows them, or as the changes themselves do. */
export function namesFor(state: SessionState, changes: readonly Change[]): NameOf {
  return (context, uid) => {
    const known = state.contexts.get(context)?.objects.get(uid);
    if (known) return objectName(known);
    for (const c of changes) {
      if ((c.op === 'object.end' || c.op === 'object.create') && c.context === context && c.object.uid === uid) return objectName(c.object);
    }
    return unnamed(context, uid);
  };
}

/** One change, in a few words. */
export function changeText(c: Change, nameOf: NameOf = unnamed): string {
  switch (c.op) {
    case 'process':
      return processText(c);
    case 'fd':
      return fdText(c);
    case 'file':
      return fileText(c);
    case 'context.begin':
      return `begins context ${c.context.context}${c.context.origin === 'inferred' ? ' (inferred: it was there before the log)' : ''}`;
    case 'context.end':
      return `ends context ${c.context.context}`;
    case 'context.set':
      return contextText(c, nameOf);
    case 'object.create':
      return `${c.object.origin === 'inferred' ? 'infers' : 'creates'} ${objectName(c.object)}`;
    case 'object.end':
      return endText(c);
    case 'object.set':
      return setText(c, nameOf);
    case 'area.add':
    case 'area.remove':
      return areaText(c);
    case 'pin.add':
    case 'pin.remove':
      return `${c.op === 'pin.add' ? 'pins' : 'unpins'} ${hex(c.pin.iova)}+${hex(c.pin.length)} for ${nameOf(c.context, c.pin.access)}, item ${c.pin.item}`;
    case 'mapping.add':
    case 'mapping.remove':
      return mappingText(c.op === 'mapping.add', c.mapping, nameOf);
    case 'call.enter':
      return `call ${c.call.seq} is under way`;
    case 'call.return':
      return `call ${c.call.seq} is over`;
    case 'sent':
      return `file ${c.file}: ${Math.max(c.to, 0)} on the way in messages`;
    case 'dropped':
      return `${c.to - c.from} events are missing`;
    default:
      return cmdqvText(c);
  }
}

const REASONS = {
  destroy: '',
  close: ' (its file is closed)',
  release: ' (the iommufd is released)',
  auto: ' (automatic, last attachment gone)',
  tombstone: ' (its DEVICE went first; the id stays taken)',
  displaced: ' (inferred: its id was given again)',
} as const;

function endText(c: Change & { op: 'object.end' }): string {
  const verb = c.how === 'destroy' ? 'destroys' : c.how === 'tombstone' ? 'buries' : 'ends';
  const areas = c.areas && c.areas.count > 0 ? `, with ${c.areas.count} area${c.areas.count === 1 ? '' : 's'}` : '';
  return `${verb} ${objectName(c.object)}${areas}${REASONS[c.how]}`;
}

function processText(c: Change & { op: 'process' }): string {
  const { pid, to } = c;
  if (!to.live) return `process ${pid} exits, status ${to.status}`;
  if (!c.from?.live) return `process ${pid} ${to.origin === 'inferred' ? 'is there (inferred)' : 'begins'}`;
  return c.from.exe === to.exe ? `process ${pid} is known better` : `process ${pid} becomes ${to.exe}`;
}

const fdText = (c: Change & { op: 'fd' }): string => {
  if (c.before) return c.to === 0 ? `fd ${c.fd} of ${c.pid}'s old image is forgotten` : `fd ${c.fd} of ${c.pid}'s old image`;
  return c.to === 0 ? `closes fd ${c.fd} of ${c.pid}` : `fd ${c.fd} of ${c.pid} is file ${c.to < 0 ? '?' : c.to}`;
};

function fileText(c: Change & { op: 'file' }): string {
  if (!c.to) return `releases ${fileName(c.from ?? { file: c.file, kind: 0 })}`;
  if (!c.from) return `${c.to.origin === 'inferred' ? 'infers' : 'opens'} ${fileName(c.to)}`;
  const fields = changedFields(c.from, c.to);
  return `${fileName(c.to)}: ${fields.join(', ') || 'as before'}`;
}

function contextText(c: Change & { op: 'context.set' }, nameOf: NameOf): string {
  if (c.field === 'compat') return c.to === 0 ? 'VFIO calls have no IOAS' : `VFIO calls mean ${nameOf(c.context, c.to)}`;
  return c.field === 'rlimitMode' ? `rlimit mode ${c.to}` : `memory is accounted to process ${c.to}`;
}

const areaText = (c: Change & { op: 'area.add' | 'area.remove' }): string => {
  const range = `${hex(c.area.start)}+${hex(lengthOf(c.area.start, c.area.last))}`;
  return `${c.op === 'area.add' ? 'maps' : 'unmaps'} IOAS ${c.id === 0 ? '?' : c.id} ${range}`;
};

function mappingText(added: boolean, m: Mapping, nameOf: NameOf): string {
  const what = m.viommu !== 0 ? nameOf(m.context, m.viommu) : m.region >= 0 ? `region ${m.region} of file ${m.file}` : `file ${m.file}`;
  return `process ${m.memory} ${added ? 'maps' : 'unmaps'} ${what} at ${hex(m.address)}+${hex(m.length)}`;
}

/** Names of the fields that are not the same. */
function changedFields(from: object, to: object): string[] {
  const a = from as Readonly<Record<string, unknown>>;
  const b = to as Readonly<Record<string, unknown>>;
  return Object.keys(b).filter((key) => a[key] !== b[key]);
}

function setText(c: Change & { op: 'object.set' }, nameOf: NameOf): string {
  const { from, to } = c;
  const name = objectName(to);
  if (from.type !== to.type) return `${objectName(from)} turns out to be ${name}`;
  if (from.id !== to.id) return `${objectName(from)} turns out to have id ${to.id}`;
  if (from.origin !== to.origin) return `creates ${name} (seen in use before)`;
  if (from.type === 'DEVICE' && to.type === 'DEVICE' && from.attachments !== to.attachments) return attachText(c.context, from, to, nameOf);
  const roles = parentsOf(to);
  const before = parentsOf(from);
  const said = changedFields(from, to).map((field) => {
    if (!(field in roles)) return valueText(field, (to as unknown as Readonly<Record<string, unknown>>)[field]);
    if (roles[field] === 0) return `no ${field}`;
    return `${before[field] === 0 ? '' : 'now '}${field} ${nameOf(c.context, roles[field]!)}`;
  });
  return `${name}: ${said.join(', ') || 'as before'}`;
}

function attachText(
  context: number,
  from: KernelObject & { type: 'DEVICE' },
  to: KernelObject & { type: 'DEVICE' },
  nameOf: NameOf,
): string {
  const said: string[] = [];
  const pasidText = (pasid: number): string => (pasid === 0 ? '' : ` PASID ${pasid}`);
  for (const a of to.attachments) {
    if (from.attachments.includes(a)) continue;
    const old = from.attachments.find((o) => o.pasid === a.pasid);
    said.push(`${old ? 'moves' : 'attaches'} ${objectName(to)}${pasidText(a.pasid)} to ${nameOf(context, a.hwpt)}`);
  }
  for (const a of from.attachments) {
    if (to.attachments.some((o) => o.pasid === a.pasid)) continue;
    said.push(`detaches ${objectName(to)}${pasidText(a.pasid)} from ${nameOf(context, a.hwpt)}`);
  }
  return said.join(', ');
}

function valueText(field: string, value: unknown): string {
  if (Array.isArray(value)) return `${value.length} ${field}`;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return `${field} ${value}`;
  return `${field} learnt`;
}

/** Areas changed one after another, of which more are summed up. */
const MANY = 3;

/** The changes of one event, in words; long runs of areas, descriptors or objects are summed up. */
export function changesText(changes: readonly Change[], nameOf: NameOf = unnamed): string[] {
  const lines: string[] = [];
  for (let i = 0; i < changes.length; ) {
    const c = changes[i]!;
    let end = i + 1;
    const registers = registersText(changes, i);
    if (registers !== undefined || isBookkeeping(c)) {
      if (registers !== undefined) lines.push(registers.text);
      i = registers?.end ?? end;
      continue;
    }
    if (c.op === 'area.add' || c.op === 'area.remove') {
      while (end < changes.length && sameRun(c, changes[end]!)) end++;
    }
    if (end - i > MANY && (c.op === 'area.add' || c.op === 'area.remove')) {
      lines.push(`${c.op === 'area.add' ? 'maps' : 'unmaps'} ${end - i} areas of IOAS ${c.id === 0 ? '?' : c.id}`);
    } else for (const one of changes.slice(i, end)) lines.push(changeText(one, nameOf));
    i = end;
  }
  return lines;
}

const sameRun = (a: Change & { op: 'area.add' | 'area.remove' }, b: Change): boolean =>
  b.op === a.op && b.ioas === a.ioas && b.context === a.context;
