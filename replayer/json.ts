/** The state as JSON: complete, in a fixed order, the same on every machine. Ids instead of our own numbers; u64 as "0x…". */
import type { Area, AreaTree } from './areas.ts';
import { cmdqvJson, globalJson } from './cmdqv-json.ts';
import type { KernelObject, Range, Uid } from './object-types.ts';
import { type Holder, type References, referencesOf, usersOf } from './references.ts';
import { type Context, FILE_KINDS, type Mapping, type OpenFile, type PendingCall, type Process, type SessionState } from './state.ts';
import { hex, lengthOf } from './u64.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

const byKey = <K extends number | bigint | string, V>(map: ReadonlyMap<K, V>): [K, V][] => [...map].sort((a, b) => (a[0] < b[0] ? -1 : 1));

/** Everything but `seq` and `digest`: what the digest is of. */
export function stateBody(s: SessionState): JsonObject {
  const global = globalJson(s);
  return {
    dropped: s.dropped,
    processes: [...byKey(s.processes), ...byKey(s.exited)].sort((a, b) => a[0] - b[0]).map(([pid, p]) => processJson(s, pid, p)),
    files: byKey(s.files).map(([, f]) => fileJson(s, f)),
    contexts: byKey(s.contexts).map(([, c]) => contextJson(s, c)),
    calls: byKey(s.calls).map(([, c]) => callJson(c)),
    sent: byKey(s.sent).map(([file, count]) => ({ file, count })),
    cmdqv: cmdqvJson(s),
    ...(global === undefined ? {} : { cmdqvGlobal: global }),
  };
}

const fdsJson = (fds: ReadonlyMap<number, number> | undefined): Json => (fds ? byKey(fds).map(([fd, file]) => ({ fd, file })) : []);

function processJson(s: SessionState, pid: number, p: Process): JsonObject {
  const { parent, exe, startTime, live, birth, end, status, origin, memory } = p;
  const before = s.before.get(pid);
  return {
    pid,
    parent,
    exe,
    startTime: hex(startTime),
    live,
    birth,
    ...(live ? {} : { end, status }),
    origin,
    ...(memory === pid ? {} : { memory }),
    fds: live ? fdsJson(s.fds.get(pid)) : [],
    ...(before && live ? { before: fdsJson(before) } : {}),
  };
}

/** The id of the object that a file stands for; null where no call told it. */
const idOf = (c: Context | undefined, uid: Uid): number | null => c?.objects.get(uid)?.id || null;

function fileJson(s: SessionState, f: OpenFile): JsonObject {
  const { file, birth, origin, path, context, holds, revoked, regions, irqs, triggers } = f;
  return {
    file,
    kind: FILE_KINDS[f.kind] ?? `KIND_${f.kind}`,
    birth,
    origin,
    path,
    holders: s.holders.get(file) ?? 0,
    ...(context === 0 ? {} : { context }),
    ...(f.object === 0 ? {} : { object: idOf(s.contexts.get(context), f.object) }),
    ...(holds.length === 0 ? {} : { holds }),
    ...(revoked ? { revoked } : {}),
    ...(regions.length === 0
      ? {}
      : { regions: regions.map((r) => ({ index: r.index, flags: r.flags, size: hex(r.size), offset: hex(r.offset) })) }),
    ...(irqs.length === 0 ? {} : { irqs: irqs.map((i) => ({ ...i })) }),
    ...(triggers.length === 0 ? {} : { triggers: triggers.map((t) => ({ ...t })) }),
  };
}

function callJson(c: PendingCall): JsonObject {
  const { seq, pid, tid, kind, request, fd, file } = c;
  return { seq, pid, tid, kind, request, fd, file };
}

// ---- contexts ----

function contextJson(s: SessionState, c: Context): JsonObject {
  const references = referencesOf(s, c);
  const fds: Json[] = [];
  for (const [pid, table] of byKey(s.fds)) {
    for (const [fd, file] of byKey(table)) if (file === c.file) fds.push({ pid, fd });
  }
  return {
    context: c.context,
    file: c.file,
    kind: FILE_KINDS[s.files.get(c.file)?.kind ?? 0] ?? 'UNKNOWN',
    createdAt: c.birth,
    origin: c.origin,
    fds,
    compat: idOf(c, c.compat),
    rlimitMode: c.rlimitMode < 0 ? null : c.rlimitMode,
    accountedTo: c.accountedTo || null,
    objects: [...c.objects.values()].sort(byId).map((o) => objectJson(s, c, o, references)),
    tombstones: byKey(c.ended)
      .filter(([id, e]) => e.how === 'tombstone' && !c.ids.has(id))
      .map(([id]) => id),
    ended: byKey(c.ended)
      .filter(([id]) => !c.ids.has(id))
      .map(([id, e]) => ({ id, type: e.type, createdAt: e.birth, endedAt: e.seq, how: e.how })),
    mmaps: mappingsOf(s, c),
  };
}

/** By id; those whose id is not known last, in order of birth. */
const byId = (a: KernelObject, b: KernelObject): number => (a.id || 2 ** 33) - (b.id || 2 ** 33) || a.uid - b.uid;

function mappingsOf(s: SessionState, c: Context): Json {
  const found: Json[] = [];
  for (const [, maps] of byKey(s.mappings)) {
    for (const [, m] of byKey(maps)) if (m.context === c.context) found.push(mappingJson(c, m));
  }
  return found;
}

function mappingJson(c: Context, m: Mapping): JsonObject {
  return {
    pid: m.memory,
    address: hex(m.address),
    length: hex(m.length),
    file: m.file,
    offset: hex(m.offset),
    prot: m.prot,
    ...(m.viommu === 0 ? {} : { viommu: idOf(c, m.viommu) }),
    ...(m.region < 0 ? {} : { region: m.region }),
    seq: m.seq,
  };
}

// ---- objects ----

function objectJson(s: SessionState, c: Context, o: KernelObject, references: References): JsonObject {
  const { id, type, origin, birth, call } = o;
  return {
    id: id || null,
    type,
    origin,
    createdAt: birth,
    ...(call !== 0 && call !== birth ? { call } : {}),
    users: usersOf(references, o.uid),
    parents: parentsJson(c, o),
    ...ownJson(s, c, o),
    references: (references.get(o.uid) ?? []).map((h) => holderJson(c, h)),
  };
}

/** Fields of an object that name other objects, by role. */
export function parentsOf(o: KernelObject): Readonly<Record<string, Uid>> {
  switch (o.type) {
    case 'HWPT_PAGING':
      return { ioas: o.ioas, device: o.device, fault: o.fault };
    case 'HWPT_NESTED':
      return { parent: o.parent, device: o.device, fault: o.fault };
    case 'ACCESS':
      return { ioas: o.ioas };
    case 'VIOMMU':
      return { hwpt: o.hwpt, device: o.device };
    case 'VDEVICE':
      return { viommu: o.viommu, device: o.device };
    case 'VEVENTQ':
    case 'HW_QUEUE':
      return { viommu: o.viommu };
    case 'DEVICE':
      return { selftest: o.selftest };
    case 'SELFTEST':
      return { device: o.device };
    default:
      return {};
  }
}

function parentsJson(c: Context, o: KernelObject): JsonObject {
  const known = Object.entries(parentsOf(o)).filter(([, uid]) => uid !== 0);
  return Object.fromEntries(known.map(([role, uid]) => [role, idOf(c, uid)]));
}

function ownJson(s: SessionState, c: Context, o: KernelObject): JsonObject {
  switch (o.type) {
    case 'IOAS':
      return {
        compat: c.compat === o.uid,
        hugePages: o.hugePages,
        allowed: o.allowed.map(rangeJson),
        reserved: o.reserved.map(rangeJson),
        usable: o.usable ? { ...o.usable, ranges: o.usable.ranges.map(rangeJson), alignment: hex(o.usable.alignment) } : null,
        areas: areasJson(c.areas.get(o.uid)),
      };
    case 'DEVICE': {
      const { file, hardware } = o;
      return {
        file: file || null,
        hardware: hardware ? { ...hardware, capabilities: hex(hardware.capabilities) } : null,
        attachments: o.attachments.map((a) => ({ pasid: a.pasid, hwpt: idOf(c, a.hwpt), seq: a.seq })),
      };
    }
    case 'HWPT_PAGING':
      return { flags: o.flags, dataType: o.dataType, auto: o.auto, dirtyTracking: o.dirtyTracking };
    case 'HWPT_NESTED':
      return { flags: o.flags, dataType: o.dataType };
    case 'ACCESS':
      return { file: o.file || null, flags: o.flags, pins: pinsJson(c, o.uid) };
    case 'FAULT': {
      const { file, reads, faults, responses, cookies } = o;
      return { file, open: s.files.has(file), reads, faults, responses, cookies: cookies.map((k) => ({ ...k })) };
    }
    case 'VIOMMU':
      return { kind: o.kind, region: o.region ? { offset: hex(o.region.offset), length: hex(o.region.length) } : null };
    case 'VDEVICE':
      return { virtId: hex(o.virtId) };
    case 'VEVENTQ': {
      const { file, kind, depth, reads, events, lost, untold, sequence } = o;
      return { file, open: s.files.has(file), kind, depth, reads, events, lost, untold, sequence: sequence < 0 ? null : sequence };
    }
    case 'HW_QUEUE':
      return { kind: o.kind, index: o.index, iova: hex(o.iova), length: hex(o.length) };
    case 'SELFTEST':
      return {};
    default:
      return o satisfies never;
  }
}

const rangeJson = (r: Range): Json => ({ start: hex(r.start), last: hex(r.last) });

function areasJson(tree: AreaTree | undefined): Json {
  const areas: Json[] = [];
  for (const a of tree ?? []) areas.push(areaJson(a));
  return areas;
}

function areaJson(a: Area): JsonObject {
  const source: JsonObject =
    a.kind === 'memory'
      ? { user_va: hex(a.source) }
      : a.kind === 'file'
        ? { fd: a.fd, offset: hex(a.source), ...(a.file === 0 ? {} : { file: a.file }) }
        : {};
  return { iova: hex(a.start), length: hex(lengthOf(a.start, a.last)), flags: a.flags, kind: a.kind, ...source, seq: a.seq };
}

function pinsJson(c: Context, access: Uid): Json {
  return [...c.pins.values()]
    .filter((p) => p.access === access)
    .sort((a, b) => a.item - b.item)
    .map((p) => ({ item: p.item, iova: hex(p.iova), length: hex(p.length), seq: p.seq }));
}

function holderJson(c: Context, h: Holder): JsonObject {
  switch (h.kind) {
    case 'object':
      return { by: 'object', id: idOf(c, h.uid), type: c.objects.get(h.uid)?.type ?? null };
    case 'attachment':
      return { by: 'attachment', device: idOf(c, h.device), pasid: h.pasid, hwpt: idOf(c, h.hwpt) };
    case 'file':
      return { by: 'file', file: h.file };
    case 'mapping':
      return { by: 'mmap', pid: h.mapping.memory, address: hex(h.mapping.address) };
    case 'access':
      return { by: 'internal ACCESS', queue: idOf(c, h.queue) };
    case 'driver':
      return { by: 'driver' };
    default:
      return h satisfies never;
  }
}
