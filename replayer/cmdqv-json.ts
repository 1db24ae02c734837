/** The CMDQV as JSON: VINTFs with their queues and registers, what is global, what guests see. Unknown is null. */

import { advance, entryOf } from '../hw/cmdqv/indexes.ts';
import { named, type Place } from '../hw/cmdqv/places.ts';
import { implemented, registerText } from '../hw/cmdqv/registers.ts';
import { type Queue, type Reader, readerOf, type Value, type Vintf, viewQueue } from '../hw/cmdqv/state.ts';
import { commandAt, errorNames, troubles } from '../hw/cmdqv/trouble.ts';
import { type Cmdqv, type Known, memoryOf, uidOf } from './cmdqv.ts';
import type { Json } from './json.ts';
import type { Uid } from './object-types.ts';
import type { SessionState } from './state.ts';
import { hex } from './u64.ts';

type JsonObject = { readonly [key: string]: Json };

/** Commands that wait, of a queue: listed at most. */
const MOST_PENDING = 32;

/** An object and its context, by our number. */
function objectOf(s: SessionState, uid: Uid): { readonly id: number | null; readonly context: number | null } {
  for (const c of s.contexts.values()) {
    const o = c.objects.get(uid);
    if (o !== undefined) return { id: o.id || null, context: c.context };
  }
  return { id: null, context: null };
}

const hexOf = (n: bigint): string => `0x${n.toString(16)}`;

/** What a name stands for; the same names come again and again. */
const rows = new Map<string, { readonly place: Place | undefined; readonly bits: bigint; readonly padded: string }>();
const MOST_ROWS = 4096;

function rowOf(name: string): { readonly place: Place | undefined; readonly bits: bigint; readonly padded: string } {
  const known = rows.get(name);
  if (known !== undefined) return known;
  const place = named(name);
  const bits = place?.register === undefined ? -1n : implemented(place.register);
  // `SID_MATCH_2` comes before `SID_MATCH_10`
  const row = { place, bits, padded: name.replace(/\d+/g, (n) => n.padStart(4, '0')) };
  if (rows.size < MOST_ROWS) rows.set(name, row);
  return row;
}

function registerJson(name: string, v: Known): JsonObject {
  const { place, bits } = rowOf(name);
  const whole = (v.known & bits) === bits;
  return {
    value: whole ? hexOf(v.value) : null,
    text: place?.register === undefined ? hexOf(v.value) : registerText(place.register, place.index, v.value, v.known),
    from: v.from,
    since: v.since,
    ...(v.by === undefined ? {} : { by: v.by }),
    ...(whole ? {} : { known: hexOf(v.known), bits: hexOf(v.value & v.known) }),
  };
}

/** Names of registers in order of their numbers: `SID_MATCH_2` before `SID_MATCH_10`. */
export const sortedNames = (names: Iterable<string>): string[] => [...names].sort((a, b) => (rowOf(a).padded < rowOf(b).padded ? -1 : 1));

/** Registers of an owner by the last part of their names. */
function registersOf(owned: Owned, owner: string): JsonObject {
  const found = owned.get(owner) ?? [];
  return Object.fromEntries(found.map(([name, v]) => [name.slice(owner.length + 1), registerJson(name, v)]));
}

/** Registers by what has them, in order. */
type Owned = ReadonlyMap<string, readonly (readonly [string, Known])[]>;

function owned(c: Cmdqv): Owned {
  const all = new Map<string, (readonly [string, Known])[]>();
  for (const name of sortedNames(c.registers.keys())) {
    const owner = name.slice(0, name.lastIndexOf('.'));
    const list = all.get(owner);
    const entry = [name, c.registers.get(name)!] as const;
    if (list === undefined) all.set(owner, [entry]);
    else list.push(entry);
  }
  return all;
}

/** VINTFs that are taken, and others of which the log has seen something: the kernel's own. */
export function cmdqvJson(s: SessionState): Json {
  const { cmdqv } = s;
  const registers = owned(cmdqv);
  return vintfNumbers(cmdqv).map((n) => vintfJson(s, registers, n, cmdqv.vintfs.get(n)));
}

const VINTF = /^VINTF(\d+)\./;

/** Numbers of the VINTFs that are taken, and of others of which the log has seen something. Ascending. */
export function vintfNumbers(c: Cmdqv): number[] {
  const found = new Set(c.vintfs.keys());
  for (const [name, v] of c.registers) {
    const n = VINTF.exec(name)?.[1];
    if (n !== undefined && v.from !== 'model') found.add(Number(n));
  }
  return [...found].sort((a, b) => a - b);
}

function vintfJson(s: SessionState, registers: Owned, number: number, v: Vintf | undefined): JsonObject {
  const { cmdqv } = s;
  const of = v === undefined ? undefined : objectOf(s, uidOf(v.key));
  const queues = v?.queues ?? [];
  const prefix = `VINTF${number}.LVCMDQ`;
  const others = [...registers.keys()]
    .filter((owner) => owner.startsWith(prefix))
    .map((owner) => Number(owner.slice(prefix.length)))
    .filter((n) => !queues.some((q) => q.lvcmdq === n));
  return {
    vintf: number,
    viommu: of?.id ?? null,
    context: of?.context ?? null,
    // nobody tells it
    inferred: v !== undefined,
    page0: v === undefined ? null : seenHow(s, uidOf(v.key)),
    sids: (v?.sids ?? []).map((x) => ({ slot: x.slot, vdevice: objectOf(s, uidOf(x.key)).id })),
    lvcmdqs: [
      ...queues.map((q) => queueJson(s, registers, v!, q)),
      ...others.map((n) => ({
        index: n,
        queue: null,
        ...viewJson(cmdqv, number, n),
        registers: registersOf(registers, `VINTF${number}.LVCMDQ${n}`),
      })),
    ],
    registers: registersOf(registers, `VINTF${number}`),
  };
}

/** How the log knows of page 0: 'trapped': loads and stores of the program are there; 'sampled': what was read beside it; 'unmapped'. */
export function seenHow(s: SessionState, viommu: Uid): string {
  let how = 'unmapped';
  for (const maps of s.mappings.values())
    for (const m of maps.values()) {
      if (m.viommu !== viommu) continue;
      if (!m.trapped) return 'sampled';
      how = 'trapped';
    }
  return how;
}

function rawOf(from: Reader, vintf: number, lvcmdq: number, name: string): Json {
  const v: Value = from.get(`VINTF${vintf}.LVCMDQ${lvcmdq}.${name}`);
  return v.known === 0n ? null : Number(v.value & v.known);
}

function viewJson(c: Cmdqv, vintf: number, lvcmdq: number): JsonObject {
  const from = readerOf(c);
  const { prod, cons, enabled, acknowledged, err, used, errors, log2 } = viewQueue(from, vintf, lvcmdq);
  return {
    log2size: log2 ?? null,
    prod: prod ?? null,
    cons: cons ?? null,
    enabled: enabled ?? null,
    acknowledged: acknowledged ?? null,
    gerror: rawOf(from, vintf, lvcmdq, 'GERROR'),
    gerrorn: rawOf(from, vintf, lvcmdq, 'GERRORN'),
    err: err ?? null,
    errors: errors === undefined ? null : errorNames(errors),
    used: used ?? null,
  };
}

function queueJson(s: SessionState, registers: Owned, v: Vintf, q: Queue): JsonObject {
  const { cmdqv } = s;
  const uid = uidOf(q.key);
  const notes = cmdqv.queues.get(uid);
  const memory = memoryOf(cmdqv, v);
  const view = viewQueue(readerOf(cmdqv), v.index, q.lvcmdq);
  const waiting = view.used === undefined || view.used > 2 ** q.log2 ? 0 : view.used;
  const pending = Array.from({ length: Math.min(waiting, MOST_PENDING) }, (_, i) => {
    const at = advance(view.cons!, i, q.log2);
    return { index: entryOf(at, q.log2), text: commandAt(q, at, memory) ?? null };
  });
  const each = cmdqv.size.log2Queues;
  return {
    index: q.lvcmdq,
    vcmdq: each === undefined ? null : v.index * 2 ** each + q.lvcmdq,
    queue: objectOf(s, uid).id,
    base: hexOf(q.base),
    ...viewJson(cmdqv, v.index, q.lvcmdq),
    done: q.done,
    unsynced: q.unsynced ?? null,
    pending,
    troubles: troubles(cmdqv, v, q, memory).map((t) => ({ kind: t.kind, text: t.text })),
    sampled: notes?.sampled || null,
    told: notes?.told || null,
    known: knownEntries(cmdqv, uid),
    registers: registersOf(registers, `VINTF${v.index}.LVCMDQ${q.lvcmdq}`),
  };
}

/** Entries that samples brought and that may still be in the way. */
function knownEntries(c: Cmdqv, queue: Uid): Json {
  return (c.queues.get(queue)?.chunks ?? []).map((k) => ({
    first: k.first,
    entries: k.entries.length / 16,
    sampled: k.seq,
    bytes: Buffer.from(k.entries).toString('hex'),
  }));
}

/** What is not a VINTF's: the CMDQV's own registers, its size, guests. undefined where nothing is known. */
export function globalJson(s: SessionState): JsonObject | undefined {
  const { cmdqv } = s;
  const { size, registers, aperture } = cmdqv;
  const shown = new Set(vintfNumbers(cmdqv));
  const rest = [...registers].filter(([name]) => !shown.has(Number(VINTF.exec(name)?.[1] ?? -1)));
  const sizes = Object.entries(size).filter((e): e is [string, number] => e[1] !== undefined);
  if (rest.length === 0 && sizes.length === 0 && aperture === undefined && cmdqv.windows.size === 0) return undefined;
  const vms = [...cmdqv.windows.keys()].sort((a, b) => a - b);
  return {
    size: Object.fromEntries(sizes.sort((a, b) => (a[0] < b[0] ? -1 : 1))),
    ...(aperture === undefined
      ? {}
      : {
          aperture: {
            physical: hex(aperture.physical),
            length: hex(aperture.length),
            virtual: aperture.virtual === 0 ? null : hex(aperture.virtual),
          },
        }),
    registers: Object.fromEntries(sortedNames(rest.map(([name]) => name)).map((name) => [name, registerJson(name, registers.get(name)!)])),
    guests: vms.map((vm) => guestJson(s, vm)),
  };
}

function guestJson(s: SessionState, vm: number): JsonObject {
  const w = s.cmdqv.windows.get(vm)!;
  const seen: ReadonlyMap<string, Known> = s.cmdqv.guests.get(vm) ?? new Map();
  return {
    vm,
    window: hex(w.address),
    viommu: s.contexts.get(w.context)?.objects.get(w.viommu)?.id ?? null,
    registers: Object.fromEntries(
      sortedNames(seen.keys()).map((name) => {
        const v = seen.get(name)!;
        return [name, registerJson(name, v)];
      }),
    ),
  };
}
