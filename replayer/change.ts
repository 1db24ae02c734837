/**
 * Changes: what an event did to the state. A change carries old and new, so `apply` and `revert` are exact inverses; they
 * are the only functions that write a state.
 */

import type { Size, Vintf } from '../hw/cmdqv/state.ts';
import { type Area, AreaTree } from './areas.ts';
import type { Aperture, Known, QueueNotes, Window } from './cmdqv.ts';
import type { EndedObject, EndHow, KernelObject, Uid } from './object-types.ts';
import {
  type Context,
  copyContext,
  type Mapping,
  type OpenFile,
  type PendingCall,
  type Pin,
  type Process,
  pinKey,
  type SessionState,
} from './state.ts';

export type ContextField = 'compat' | 'rlimitMode' | 'accountedTo';

export type Change =
  /** a process begins (`from` is what had the pid before), is known better or ends */
  | { readonly op: 'process'; readonly pid: number; readonly from?: Process | undefined; readonly to: Process }
  /** a descriptor; 0 stands for none. before: in the table of an image that has been replaced */
  | { readonly op: 'fd'; readonly pid: number; readonly fd: number; readonly from: number; readonly to: number; readonly before: boolean }
  /** an open file appears, is known better or is released */
  | { readonly op: 'file'; readonly file: number; readonly from?: OpenFile | undefined; readonly to?: OpenFile | undefined }
  | { readonly op: 'context.begin'; readonly context: Context }
  /** its objects have ended before; `context` is what was left of it */
  | { readonly op: 'context.end'; readonly context: Context }
  | { readonly op: 'context.set'; readonly context: number; readonly field: ContextField; readonly from: number; readonly to: number }
  | { readonly op: 'object.create'; readonly context: number; readonly object: KernelObject }
  | {
      readonly op: 'object.end';
      readonly context: number;
      readonly object: KernelObject;
      readonly how: EndHow;
      /** of an IOAS: the areas that went with it; not to be changed */
      readonly areas?: AreaTree | undefined;
      readonly ended: EndedObject;
      /** the one that had the id before */
      readonly previous?: EndedObject | undefined;
    }
  | { readonly op: 'object.set'; readonly context: number; readonly from: KernelObject; readonly to: KernelObject }
  | { readonly op: 'area.add' | 'area.remove'; readonly context: number; readonly ioas: Uid; readonly id: number; readonly area: Area }
  | { readonly op: 'pin.add' | 'pin.remove'; readonly context: number; readonly pin: Pin }
  | { readonly op: 'mapping.add' | 'mapping.remove'; readonly mapping: Mapping }
  | { readonly op: 'call.enter' | 'call.return'; readonly call: PendingCall }
  | { readonly op: 'sent'; readonly file: number; readonly from: number; readonly to: number }
  | { readonly op: 'dropped'; readonly from: number; readonly to: number }
  /** a register of the CMDQV; undefined: nothing is known of it */
  | { readonly op: 'cmdqv.register'; readonly name: string; readonly from: Known | undefined; readonly to: Known | undefined }
  /** a VINTF, its stream ids and queues */
  | { readonly op: 'cmdqv.vintf'; readonly vintf: number; readonly from: Vintf | undefined; readonly to: Vintf | undefined }
  | { readonly op: 'cmdqv.size'; readonly from: Size; readonly to: Size }
  | { readonly op: 'cmdqv.queue'; readonly queue: Uid; readonly from: QueueNotes | undefined; readonly to: QueueNotes | undefined }
  | { readonly op: 'cmdqv.window'; readonly vm: number; readonly from: Window | undefined; readonly to: Window | undefined }
  | {
      readonly op: 'cmdqv.seen';
      readonly vm: number;
      readonly name: string;
      readonly from: Known | undefined;
      readonly to: Known | undefined;
    }
  | { readonly op: 'cmdqv.aperture'; readonly from: Aperture | undefined; readonly to: Aperture | undefined };

/** Adds or takes away one holder of a file. */
function hold(s: SessionState, file: number, by: 1 | -1): void {
  const n = (s.holders.get(file) ?? 0) + by;
  if (n === 0) s.holders.delete(file);
  else s.holders.set(file, n);
}

/** Replaces the value of a key in a map of maps; inner maps come and go with their first and last key. */
function setInner<K, L, V>(outer: Map<K, Map<L, V>>, key: K, inner: L, value: V | undefined): void {
  let map = outer.get(key);
  if (value === undefined) {
    map?.delete(inner);
    if (map?.size === 0) outer.delete(key);
    return;
  }
  if (!map) {
    map = new Map();
    outer.set(key, map);
  }
  map.set(inner, value);
}

function setFd(s: SessionState, c: Change & { op: 'fd' }, from: number, to: number): void {
  setInner(c.before ? s.before : s.fds, c.pid, c.fd, to === 0 ? undefined : to);
  if (to !== 0) hold(s, to, 1);
  if (from !== 0) hold(s, from, -1);
}

function setProcess(s: SessionState, pid: number, from: Process | undefined, to: Process | undefined): void {
  if (from) (from.live ? s.processes : s.exited).delete(pid);
  if (to) (to.live ? s.processes : s.exited).set(pid, to);
}

function setFile(s: SessionState, file: number, from: OpenFile | undefined, to: OpenFile | undefined, forward: boolean): void {
  if (to) s.files.set(file, to);
  else s.files.delete(file);
  if (from?.holds !== to?.holds) {
    for (const held of to?.holds ?? []) hold(s, held, 1);
    for (const held of from?.holds ?? []) hold(s, held, -1);
  }
  if (file < 0 && forward && !from) s.nextUnnumbered = file - 1;
  if (file < 0 && !forward && !to) s.nextUnnumbered = file;
}

function addObject(c: Context, o: KernelObject, areas: AreaTree | undefined): void {
  c.objects.set(o.uid, o);
  if (o.id !== 0) c.ids.set(o.id, o.uid);
  if (o.type === 'IOAS') c.areas.set(o.uid, areas ? areas.clone() : new AreaTree());
}

function dropObject(c: Context, o: KernelObject): void {
  c.objects.delete(o.uid);
  if (o.id !== 0) c.ids.delete(o.id);
  if (o.type === 'IOAS') c.areas.delete(o.uid);
}

/** Takes `from` away and puts `to` there. An inferred object may turn out to be of another type, a hidden id be told. */
function setObject(c: Context, from: KernelObject, to: KernelObject): void {
  c.objects.set(to.uid, to);
  if (from.id !== to.id) {
    if (from.id !== 0) c.ids.delete(from.id);
    if (to.id !== 0) c.ids.set(to.id, to.uid);
  }
  if (from.type === to.type) return;
  if (from.type === 'IOAS') c.areas.delete(from.uid);
  if (to.type === 'IOAS') c.areas.set(to.uid, new AreaTree());
}

function setArea(s: SessionState, c: Change & { op: 'area.add' | 'area.remove' }, add: boolean): void {
  const tree = s.contexts.get(c.context)!.areas.get(c.ioas)!;
  if (add) tree.insert(c.area);
  else tree.remove(c.area.start);
}

function endObject(s: SessionState, c: Change & { op: 'object.end' }, forward: boolean): void {
  const context = s.contexts.get(c.context)!;
  const { id } = c.object;
  if (forward) dropObject(context, c.object);
  else addObject(context, c.object, c.areas);
  if (id === 0) return;
  const last = forward ? c.ended : c.previous;
  if (last) context.ended.set(id, last);
  else context.ended.delete(id);
}

function createObject(s: SessionState, c: Change & { op: 'object.create' }, forward: boolean): void {
  const context = s.contexts.get(c.context)!;
  if (forward) addObject(context, c.object, undefined);
  else dropObject(context, c.object);
  s.nextUid = forward ? c.object.uid + 1 : c.object.uid;
}

function setContext(s: SessionState, c: Change & { op: 'context.begin' | 'context.end' }, add: boolean): void {
  const { context } = c.context;
  if (add) s.contexts.set(context, copyContext(c.context));
  else s.contexts.delete(context);
  if (c.op === 'context.begin') s.nextContext = add ? context + 1 : context;
}

function setMapping(s: SessionState, m: Mapping, add: boolean): void {
  setInner(s.mappings, m.memory, m.address, add ? m : undefined);
  hold(s, m.file, add ? 1 : -1);
}

function setCall(s: SessionState, call: PendingCall, add: boolean): void {
  if (add) s.calls.set(call.seq, call);
  else s.calls.delete(call.seq);
  if (call.file !== 0) hold(s, call.file, add ? 1 : -1);
}

function setSent(s: SessionState, file: number, from: number, to: number): void {
  if (to === 0) s.sent.delete(file);
  else s.sent.set(file, to);
  for (let n = Math.max(from, 0); n < to; n++) hold(s, file, 1);
  for (let n = from; n > Math.max(to, 0); n--) hold(s, file, -1);
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

type CmdqvChange = Extract<Change, { readonly op: `cmdqv.${string}` }>;

function setCmdqv({ cmdqv }: SessionState, c: CmdqvChange, forward: boolean): void {
  switch (c.op) {
    case 'cmdqv.register':
      setOrDelete(cmdqv.registers, c.name, forward ? c.to : c.from);
      return;
    case 'cmdqv.vintf':
      setOrDelete(cmdqv.vintfs, c.vintf, forward ? c.to : c.from);
      return;
    case 'cmdqv.size':
      cmdqv.size = forward ? c.to : c.from;
      return;
    case 'cmdqv.queue':
      setOrDelete(cmdqv.queues, c.queue, forward ? c.to : c.from);
      return;
    case 'cmdqv.window':
      setOrDelete(cmdqv.windows, c.vm, forward ? c.to : c.from);
      return;
    case 'cmdqv.seen':
      setInner(cmdqv.guests, c.vm, c.name, forward ? c.to : c.from);
      return;
    case 'cmdqv.aperture':
      cmdqv.aperture = forward ? c.to : c.from;
      return;
    default:
      c satisfies never;
  }
}

function write(s: SessionState, c: Change, forward: boolean): void {
  switch (c.op) {
    case 'area.add':
      setArea(s, c, forward);
      return;
    case 'area.remove':
      setArea(s, c, !forward);
      return;
    case 'object.create':
      createObject(s, c, forward);
      return;
    case 'object.end':
      endObject(s, c, forward);
      return;
    case 'object.set':
      setObject(s.contexts.get(c.context)!, forward ? c.from : c.to, forward ? c.to : c.from);
      return;
    case 'fd':
      setFd(s, c, forward ? c.from : c.to, forward ? c.to : c.from);
      return;
    case 'file':
      setFile(s, c.file, forward ? c.from : c.to, forward ? c.to : c.from, forward);
      return;
    case 'process':
      setProcess(s, c.pid, forward ? c.from : c.to, forward ? c.to : c.from);
      return;
    case 'context.begin':
      setContext(s, c, forward);
      return;
    case 'context.end':
      setContext(s, c, !forward);
      return;
    case 'context.set':
      s.contexts.get(c.context)![c.field] = forward ? c.to : c.from;
      return;
    case 'pin.add':
    case 'pin.remove': {
      const { pins } = s.contexts.get(c.context)!;
      const key = pinKey(c.pin.access, c.pin.item);
      if ((c.op === 'pin.add') === forward) pins.set(key, c.pin);
      else pins.delete(key);
      return;
    }
    case 'mapping.add':
    case 'mapping.remove':
      setMapping(s, c.mapping, (c.op === 'mapping.add') === forward);
      return;
    case 'call.enter':
    case 'call.return':
      setCall(s, c.call, (c.op === 'call.enter') === forward);
      return;
    case 'sent':
      setSent(s, c.file, forward ? c.from : c.to, forward ? c.to : c.from);
      return;
    case 'dropped':
      s.dropped = forward ? c.to : c.from;
      return;
    default:
      setCmdqv(s, c, forward);
  }
}

/** Makes a change. The state must be the one that it was decided on. */
export function apply(s: SessionState, c: Change): void {
  write(s, c, true);
}

/** Takes the newest change back. */
export function revert(s: SessionState, c: Change): void {
  write(s, c, false);
}

/** Takes a list of changes back, newest first. */
export function revertAll(s: SessionState, changes: readonly Change[]): void {
  for (let i = changes.length - 1; i >= 0; i--) write(s, changes[i]!, false);
}

/** Makes changes again that were taken back, oldest first. */
export function applyAll(state: SessionState, changes: readonly Change[]): void {
  for (const c of changes) apply(state, c);
}
