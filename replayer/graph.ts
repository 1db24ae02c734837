/** The object graph as nodes and edges, for renderers: what is there, what stands on what, who holds it. */
import { readerOf, viewQueue } from '../hw/cmdqv/state.ts';
import { troubles } from '../hw/cmdqv/trouble.ts';
import type { UapiTable } from '../hw/uapi/table.ts';
import { placeOf, vintfOf } from './cmdqv.ts';
import { parentsOf } from './json.ts';
import type { KernelObject, Uid } from './object-types.ts';
import { type References, referencesOf, usersOf } from './references.ts';
import { type Context, FILE_KINDS, type Mapping, type SessionState } from './state.ts';
import { hex } from './u64.ts';
import { objectName } from './words.ts';

export type NodeKind = 'context' | 'object' | 'process' | 'mapping';
export type EdgeKind =
  /** stands on: the kernel counts it as a user */
  | 'parent'
  /** knows, without holding */
  | 'names'
  /** a device is attached to a HWPT */
  | 'attached'
  /** a process holds a descriptor */
  | 'fd'
  /** an address space shows its region */
  | 'mmap'
  /** belongs to the context, where it stands on nothing else */
  | 'in';

export interface GraphNode {
  /** unique in the graph: "c1", "o12", "p4711", "m3" */
  readonly key: string;
  readonly kind: NodeKind;
  /** what it is called: "VIOMMU 6", "process 4711" */
  readonly label: string;
  /** what else there is to say, a few words each */
  readonly details: readonly string[];
  /** of an object */
  readonly type?: KernelObject['type'];
  readonly context?: number;
  readonly id?: number;
  /** not made by an event of the log */
  readonly inferred: boolean;
}

/** From what uses to what is used. */
export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly kind: EdgeKind;
  /** '' where the kind says it all */
  readonly label: string;
}

export interface Graph {
  readonly seq: number;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

export interface GraphOptions {
  /** only these contexts; default: all */
  readonly contexts?: readonly number[];
  /** processes and their descriptors; default true */
  readonly processes?: boolean;
  /** mappings of iommufd and VFIO memory; default true */
  readonly mappings?: boolean;
  /** names for types and flags; default: numbers */
  readonly table?: UapiTable;
}

export function graphOf(state: SessionState, options: GraphOptions = {}): Graph {
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  const contexts = [...state.contexts.values()]
    .filter((c) => !options.contexts || options.contexts.includes(c.context))
    .sort((a, b) => a.context - b.context);
  for (const c of contexts) addContext(state, c, nodes, edges, options.table);
  if (options.processes ?? true) addProcesses(state, contexts, nodes, edges);
  if (options.mappings ?? true) addMappings(state, contexts, nodes, edges);
  return { seq: state.seq, nodes, edges };
}

const contextKey = (c: Pick<Context, 'context'>): string => `c${c.context}`;
const objectKey = (uid: Uid): string => `o${uid}`;
/** Our number of the object that a node is; 0 for other nodes. */
export const uidOfNode = (node: GraphNode): Uid => (node.kind === 'object' ? Number(node.key.slice(1)) : 0);

function addContext(state: SessionState, c: Context, nodes: GraphNode[], edges: GraphEdge[], table: UapiTable | undefined): void {
  const kind = FILE_KINDS[state.files.get(c.file)?.kind ?? 1] ?? 'IOMMUFD';
  const details = [`${kind} file ${c.file < 0 ? '?' : c.file}`, ...(c.accountedTo === 0 ? [] : [`accounted to ${c.accountedTo}`])];
  nodes.push({
    key: contextKey(c),
    kind: 'context',
    label: `context ${c.context}`,
    details,
    context: c.context,
    inferred: c.origin === 'inferred',
  });
  const references = referencesOf(state, c);
  for (const o of [...c.objects.values()].sort((a, b) => a.uid - b.uid)) {
    nodes.push({
      key: objectKey(o.uid),
      kind: 'object',
      label: objectName(o),
      details: [...objectDetails(c, o, table), ...hardwareDetails(state, o), usersText(references, o.uid)],
      type: o.type,
      context: c.context,
      id: o.id,
      inferred: o.origin === 'inferred',
    });
    addObjectEdges(c, o, edges);
  }
}

const usersText = (references: References, uid: Uid): string => {
  const n = usersOf(references, uid);
  return `${n} user${n === 1 ? '' : 's'}`;
};

const hexNumber = (n: number): string => `0x${n.toString(16)}`;

/** A constant by its short name: TEGRA241_CMDQV. */
function named(table: UapiTable | undefined, enumName: string, value: number): string {
  const full = table?.enumName(enumName, value);
  return (full && table?.enum(enumName)?.short.get(full)) ?? hexNumber(value);
}

/** The bits of a value by their short names; what has no name stays a number. */
function flagNames(table: UapiTable | undefined, enumName: string, value: number): string {
  const names: string[] = [];
  let rest = value;
  for (const [full, bit] of table?.enum(enumName)?.members ?? []) {
    if (bit === 0 || (rest & bit) !== bit) continue;
    names.push(table?.enum(enumName)?.short.get(full) ?? full);
    rest &= ~bit;
  }
  if (rest !== 0 || names.length === 0) names.push(hexNumber(rest >>> 0));
  return names.join('|');
}

/** What an object is beside its name. */
function objectDetails(c: Context, o: KernelObject, table: UapiTable | undefined): string[] {
  switch (o.type) {
    case 'IOAS': {
      const n = c.areas.get(o.uid)?.count ?? 0;
      return [
        `${n} area${n === 1 ? '' : 's'}`,
        ...(c.compat === o.uid ? ['for VFIO type1'] : []),
        ...(o.hugePages ? [] : ['no huge pages']),
      ];
    }
    case 'DEVICE':
      return o.file !== 0 ? [`VFIO file ${o.file < 0 ? '?' : o.file}`] : o.selftest !== 0 ? ['mock'] : [];
    case 'HWPT_PAGING':
      return [
        ...(o.auto ? ['automatic'] : []),
        ...(o.flags === 0 ? [] : [flagNames(table, 'iommufd_hwpt_alloc_flags', o.flags)]),
        ...(o.dirtyTracking ? ['dirty tracking'] : []),
      ];
    case 'HWPT_NESTED':
      return [`data ${named(table, 'iommu_hwpt_data_type', o.dataType)}`];
    case 'ACCESS':
      return [`file ${o.file < 0 ? '?' : o.file}`];
    case 'FAULT':
      return o.cookies.length === 0 ? [] : [`${o.cookies.length} unanswered`];
    case 'VIOMMU':
      return [
        `type ${named(table, 'iommu_viommu_type', o.kind)}`,
        ...(o.region ? [`mmap ${hex(o.region.offset)}+${hex(o.region.length)}`] : []),
      ];
    case 'VDEVICE':
      return [`virtual id ${hex(o.virtId)}`];
    case 'VEVENTQ':
      return [
        `type ${named(table, 'iommu_veventq_type', o.kind)}`,
        `depth ${o.depth}`,
        `${o.events} read`,
        ...(o.lost === 0 ? [] : [`${o.lost} lost`]),
      ];
    case 'HW_QUEUE':
      return [`type ${named(table, 'iommu_hw_queue_type', o.kind)}`, `index ${o.index}`, `${hex(o.iova)}+${hex(o.length)}`];
    case 'SELFTEST':
      return [];
    default:
      return o satisfies never;
  }
}

/** What stands behind an object in the CMDQV: the VINTF of a vIOMMU, the LVCMDQ of a queue and how it is. */
function hardwareDetails(state: SessionState, o: KernelObject): string[] {
  const { cmdqv } = state;
  if (o.type === 'VIOMMU') {
    const vintf = vintfOf(cmdqv, o.uid);
    return vintf === undefined ? [] : [`VINTF${vintf.index}`];
  }
  const at = o.type === 'HW_QUEUE' ? placeOf(cmdqv, o.uid) : undefined;
  if (at === undefined) return [];
  const { vintf, queue } = at;
  const { enabled, prod, cons } = viewQueue(readerOf(cmdqv), vintf.index, queue.lvcmdq);
  const [worst] = troubles(cmdqv, vintf, queue);
  return [
    `VINTF${vintf.index}.LVCMDQ${queue.lvcmdq}`,
    enabled === undefined ? 'on or off ?' : enabled ? 'on' : 'off',
    `PROD ${prod ?? '?'} CONS ${cons ?? '?'}`,
    ...(worst === undefined || worst.kind === 'pending' || worst.kind === 'no-sync' ? [] : [`stuck: ${TROUBLES[worst.kind]}`]),
  ];
}

const TROUBLES = {
  error: 'an error',
  enable: 'its enable is not answered',
  disabled: 'commands wait',
  contradiction: 'PROD and CONS',
} as const;

/** Roles in which an object is only named, not held. */
const NAMED: ReadonlySet<string> = new Set(['device', 'selftest']);

function addObjectEdges(c: Context, o: KernelObject, edges: GraphEdge[]): void {
  const from = objectKey(o.uid);
  let held = false;
  for (const [role, uid] of Object.entries(parentsOf(o))) {
    if (uid === 0 || !c.objects.has(uid)) continue;
    const named = NAMED.has(role) && o.type !== 'VDEVICE';
    // a mock device and its SELFTEST name each other: one edge is enough
    if (o.type === 'DEVICE') continue;
    edges.push({ from, to: objectKey(uid), kind: named ? 'names' : 'parent', label: role === 'parent' ? '' : role });
    held ||= !named;
  }
  if (o.type === 'DEVICE') {
    for (const a of o.attachments) {
      if (!c.objects.has(a.hwpt)) continue;
      edges.push({ from, to: objectKey(a.hwpt), kind: 'attached', label: a.pasid === 0 ? '' : `PASID ${a.pasid}` });
    }
  }
  if (!held) edges.push({ from, to: contextKey(c), kind: 'in', label: '' });
}

function addProcesses(state: SessionState, contexts: readonly Context[], nodes: GraphNode[], edges: GraphEdge[]): void {
  const byFile = new Map(contexts.map((c) => [c.file, contextKey(c)]));
  const byObject = new Map<number, string>();
  for (const f of state.files.values()) {
    const c = state.contexts.get(f.context);
    if (c && contexts.includes(c) && c.objects.has(f.object)) byObject.set(f.file, objectKey(f.object));
  }
  for (const pid of [...state.fds.keys()].sort((a, b) => a - b)) {
    const mine: GraphEdge[] = [];
    for (const [fd, file] of [...state.fds.get(pid)!].sort((a, b) => a[0] - b[0])) {
      const to = byFile.get(file) ?? byObject.get(file);
      if (to) mine.push({ from: `p${pid}`, to, kind: 'fd', label: `fd ${fd}` });
    }
    if (mine.length === 0) continue;
    const p = state.processes.get(pid);
    nodes.push({
      key: `p${pid}`,
      kind: 'process',
      label: `process ${pid}`,
      details: p?.exe ? [p.exe] : [],
      inferred: p?.origin === 'inferred',
    });
    edges.push(...mine);
  }
}

function addMappings(state: SessionState, contexts: readonly Context[], nodes: GraphNode[], edges: GraphEdge[]): void {
  const all: Mapping[] = [];
  for (const maps of state.mappings.values()) all.push(...maps.values());
  all.sort((a, b) => a.memory - b.memory || (a.address < b.address ? -1 : 1));
  all.forEach((m, i) => {
    const c = contexts.find((x) => x.context === m.context);
    if (!c) return;
    const key = `m${i + 1}`;
    const device = state.files.get(m.file)?.object ?? 0;
    const uid = m.viommu !== 0 ? m.viommu : device;
    const to = c.objects.has(uid) ? objectKey(uid) : contextKey(c);
    const details = [`${hex(m.address)}+${hex(m.length)}`, ...(m.region < 0 ? [] : [`region ${m.region}`])];
    nodes.push({ key, kind: 'mapping', label: `mmap of ${m.memory}`, details, context: c.context, inferred: false });
    edges.push({ from: key, to, kind: 'mmap', label: '' });
  });
}
