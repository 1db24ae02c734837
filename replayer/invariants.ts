/** Does the state hang together? For tests, and for the command line: what the log used and did not make, what is gone and still used. */

import { uidOf } from './cmdqv.ts';
import type { Uid } from './object-types.ts';
import { type Holder, referencesOf } from './references.ts';
import type { Context, SessionState } from './state.ts';
import { objectName } from './words.ts';

export interface Finding {
  /** inferred: used, but nothing in the log made it; dangling: used, but it has ended; broken: a bug of this program */
  readonly kind: 'inferred' | 'dangling' | 'broken';
  /** 0 where it is about no context */
  readonly context: number;
  /** id of the object, 0 where it is about none or its id is not known */
  readonly id: number;
  /** the event since which it is so, 0 not known */
  readonly seq: number;
  readonly text: string;
}

/** Objects and files that are used and that no event made, and references to objects that are no more. Empty for a whole log. */
export function danglingReferences(state: SessionState): Finding[] {
  const found: Finding[] = [];
  for (const f of state.files.values()) {
    if (f.origin !== 'inferred') continue;
    found.push({ kind: 'inferred', context: f.context, id: 0, seq: f.birth, text: `file ${f.file} was open before the log shows it` });
  }
  for (const c of state.contexts.values()) {
    for (const o of c.objects.values()) {
      if (o.origin !== 'inferred') continue;
      found.push({ kind: 'inferred', context: c.context, id: o.id, seq: o.birth, text: `${objectName(o)} is used, and no event made it` });
    }
    for (const [uid, holders] of referencesOf(state, c)) {
      if (c.objects.has(uid)) continue;
      for (const h of holders) found.push(dangling(c, uid, h));
    }
    for (const o of c.objects.values()) {
      if (o.type !== 'VDEVICE' || o.device === 0 || c.objects.has(o.device)) continue;
      found.push({
        kind: 'dangling',
        context: c.context,
        id: o.id,
        seq: o.birth,
        text: `${objectName(o)} stands for a DEVICE that has ended`,
      });
    }
  }
  return found.sort((a, b) => a.context - b.context || a.seq - b.seq || a.id - b.id || (a.text < b.text ? -1 : 1));
}

function dangling(c: Context, uid: Uid, h: Holder): Finding {
  const gone = [...c.ended.values()].find((e) => e.uid === uid);
  const what = gone ? `${objectName(gone)}, which ended at event ${gone.seq}` : 'an object that has ended';
  const holder = holderText(c, h);
  const id = h.kind === 'object' ? (c.objects.get(h.uid)?.id ?? 0) : 0;
  return { kind: 'dangling', context: c.context, id, seq: gone?.seq ?? 0, text: `${holder} still uses ${what}` };
}

function holderText(c: Context, h: Holder): string {
  const name = (uid: Uid): string => {
    const o = c.objects.get(uid);
    return o ? objectName(o) : 'an object';
  };
  switch (h.kind) {
    case 'object':
      return name(h.uid);
    case 'attachment':
      return `${name(h.device)}${h.pasid === 0 ? '' : ` PASID ${h.pasid}`}`;
    case 'file':
      return `file ${h.file}`;
    case 'mapping':
      return `a mapping of process ${h.mapping.memory}`;
    case 'access':
      return `the internal ACCESS of ${name(h.queue)}`;
    case 'driver':
      return 'a driver';
    default:
      return h satisfies never;
  }
}

/** What must hold in every state that the fold can make, whatever the log says. Empty, or there is a bug here. */
export function brokenInvariants(state: SessionState): Finding[] {
  const found: Finding[] = [];
  const broken = (context: number, id: number, text: string): void => {
    found.push({ kind: 'broken', context, id, seq: state.seq, text });
  };
  countHolders(state, broken);
  for (const [pid, table] of state.fds) {
    if (!state.processes.has(pid)) broken(0, 0, `descriptors of process ${pid}, which does not live`);
    for (const [fd, file] of table) if (!state.files.has(file)) broken(0, 0, `fd ${fd} of ${pid} is file ${file}, which is released`);
  }
  for (const f of state.files.values()) {
    if (!(state.holders.get(f.file) ?? 0)) broken(f.context, 0, `nobody holds file ${f.file}`);
    for (const held of f.holds) if (!state.files.has(held)) broken(f.context, 0, `file ${f.file} holds file ${held}, which is released`);
  }
  checkCmdqv(state, broken);
  for (const c of state.contexts.values()) {
    if (state.files.get(c.file)?.context !== c.context) broken(c.context, 0, `its file ${c.file} is another one's`);
    checkContext(c, broken);
  }
  return found;
}

type Broken = (context: number, id: number, text: string) => void;

/** Counts the holders of every file anew. */
function countHolders(state: SessionState, broken: Broken): void {
  const counted = new Map<number, number>();
  const hold = (file: number, by = 1): void => {
    if (file !== 0 && by > 0) counted.set(file, (counted.get(file) ?? 0) + by);
  };
  for (const tables of [state.fds, state.before]) for (const table of tables.values()) for (const file of table.values()) hold(file);
  for (const f of state.files.values()) for (const held of f.holds) hold(held);
  for (const maps of state.mappings.values()) for (const m of maps.values()) hold(m.file);
  for (const call of state.calls.values()) hold(call.file);
  for (const [file, n] of state.sent) hold(file, n);
  for (const file of new Set([...counted.keys(), ...state.holders.keys()])) {
    const has = state.holders.get(file) ?? 0;
    if (has !== (counted.get(file) ?? 0)) broken(0, 0, `file ${file} has ${counted.get(file) ?? 0} holders, ${has} are counted`);
  }
}

/** Every VINTF is a vIOMMU's that is there, every queue and stream id an object's. */
function checkCmdqv(state: SessionState, broken: Broken): void {
  const types = new Map<Uid, string>();
  for (const c of state.contexts.values()) for (const o of c.objects.values()) types.set(o.uid, o.type);
  const is = (key: string, type: string): boolean => types.get(uidOf(key)) === type;
  const queues = new Set<Uid>();
  for (const v of state.cmdqv.vintfs.values()) {
    if (!is(v.key, 'VIOMMU')) broken(0, 0, `VINTF${v.index} is of a vIOMMU that has ended`);
    for (const q of v.queues) {
      if (!is(q.key, 'HW_QUEUE')) broken(0, 0, `VINTF${v.index}.LVCMDQ${q.lvcmdq} is of a queue that has ended`);
      queues.add(uidOf(q.key));
    }
    for (const x of v.sids) if (!is(x.key, 'VDEVICE')) broken(0, 0, `a stream id of VINTF${v.index} is of a vDEVICE that has ended`);
  }
  for (const uid of state.cmdqv.queues.keys()) if (types.get(uid) !== 'HW_QUEUE') broken(0, 0, 'notes of a queue that has ended');
}

function checkContext(c: Context, broken: Broken): void {
  for (const [id, uid] of c.ids) if (c.objects.get(uid)?.id !== id) broken(c.context, id, 'its id leads to another object');
  for (const o of c.objects.values()) {
    if (o.id !== 0 && c.ids.get(o.id) !== o.uid) broken(c.context, o.id, 'its id does not lead to it');
    if ((o.type === 'IOAS') !== c.areas.has(o.uid)) broken(c.context, o.id, 'areas and IOAS do not match');
  }
  for (const [uid, tree] of c.areas) {
    let count = 0;
    let last: number | bigint = -1;
    for (const area of tree) {
      if (area.start <= last || area.last < area.start) broken(c.context, c.objects.get(uid)?.id ?? 0, 'its areas overlap');
      last = area.last;
      count++;
    }
    if (count !== tree.count) broken(c.context, c.objects.get(uid)?.id ?? 0, 'its areas are miscounted');
  }
  for (const pin of c.pins.values()) if (!c.objects.has(pin.access)) broken(c.context, 0, 'pages are pinned for an ACCESS that has ended');
}
