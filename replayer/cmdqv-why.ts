/** Why a hardware queue does not get on: what is wrong with it (hw/cmdqv/trouble.ts), and the events that put it so. */

import { entryOf } from '../hw/cmdqv/indexes.ts';
import { valueText } from '../hw/cmdqv/state.ts';
import { commandAt, type Trouble, type TroubleKind, troubles } from '../hw/cmdqv/trouble.ts';
import type { EventLike } from '../hw/event-text.ts';
import { Kind } from '../store/frame.ts';
import { accessIn, queueIn } from './access-place.ts';
import { type Known, memoryOf, placeOf, type QueueNotes, type QueuePlace, uidOf, vintfOf } from './cmdqv.ts';
import { vmOf } from './cmdqv-fold.ts';
import type { Uid } from './object-types.ts';
import type { SessionState } from './state.ts';

/** An event that has a part in it. */
export interface QueueEvent {
  readonly seq: number;
  readonly text: string;
}

export interface QueueTrouble {
  readonly kind: TroubleKind;
  readonly text: string;
  /** in order */
  readonly because: readonly QueueEvent[];
}

/** A queue, and what is in its way. */
export interface QueueWhy {
  /** `VINTF1.LVCMDQ0` */
  readonly name: string;
  readonly vintf: number;
  readonly lvcmdq: number;
  readonly context: number;
  /** id of its HW_QUEUE; 0 where no call told it */
  readonly object: number;
  /** the worst first; empty: nothing, as far as the log tells */
  readonly troubles: readonly QueueTrouble[];
}

/** Where a value comes from, as the end of a sentence. */
function howKnown(v: Known): string {
  if (v.by !== undefined) return v.by === 'store' ? 'stored' : 'loaded';
  if (v.from === 'seen') return 'read';
  return v.from === 'sampled' ? 'read beside the program' : 'which follows from';
}

const registerEvent = (name: string, v: Known): QueueEvent => ({
  seq: v.since,
  text: `${name} is ${valueText(name, v)}, ${howKnown(v)}${v.from === 'model' ? '' : ' at'} event ${v.since}`,
});

/** The read of a vEVENT that named the queue since its last error was acknowledged, 0 none. */
export function toldOf(state: SessionState, at: QueuePlace, notes: QueueNotes | undefined): number {
  const acknowledged = state.cmdqv.registers.get(`VINTF${at.vintf.index}.LVCMDQ${at.queue.lvcmdq}.GERRORN`);
  const told = notes?.told ?? 0;
  return told > (acknowledged?.since ?? 0) ? told : 0;
}

function becauseOf(state: SessionState, t: Trouble, at: QueuePlace, notes: QueueNotes | undefined): QueueEvent[] {
  const { cmdqv } = state;
  const found: QueueEvent[] = t.registers.flatMap((name) => {
    const v = cmdqv.registers.get(name);
    return v === undefined ? [] : [registerEvent(name, v)];
  });
  const chunk = notes?.chunks.at(-1);
  const command = t.at === undefined ? undefined : commandAt(at.queue, t.at, memoryOf(cmdqv, at.vintf));
  if (t.at !== undefined && command !== undefined && chunk !== undefined)
    found.push({ seq: chunk.seq, text: `entry ${entryOf(t.at, at.queue.log2)} is ${command}, as event ${chunk.seq} read it` });
  if (t.kind === 'error') {
    const told = toldOf(state, at, notes);
    found.push({
      seq: told,
      text: told > 0 ? `a vEVENT named the queue at event ${told}` : 'no vEVENT that was read names the queue for this error',
    });
  }
  return found.sort((a, b) => (a.seq || Number.MAX_SAFE_INTEGER) - (b.seq || Number.MAX_SAFE_INTEGER));
}

/** What is in the way of a HW queue; undefined where it is no queue of a CMDQV. */
export function queueWhy(state: SessionState, uid: Uid): QueueWhy | undefined {
  const { cmdqv } = state;
  const at = placeOf(cmdqv, uid);
  if (at === undefined) return undefined;
  const { vintf, queue } = at;
  const notes = cmdqv.queues.get(uid);
  const context = notes?.context ?? 0;
  return {
    name: `VINTF${vintf.index}.LVCMDQ${queue.lvcmdq}`,
    vintf: vintf.index,
    lvcmdq: queue.lvcmdq,
    context,
    object: state.contexts.get(context)?.objects.get(uid)?.id ?? 0,
    troubles: troubles(cmdqv, vintf, queue, memoryOf(cmdqv, vintf)).map((t) => ({
      kind: t.kind,
      text: t.text,
      because: becauseOf(state, t, at, notes),
    })),
  };
}

/** HW queues that an event is about: whose registers it touches, that it reads, or that its vEVENTs name. The state is the one after it. */
export function queuesIn(state: SessionState, event: EventLike): Uid[] {
  const { cmdqv } = state;
  if (cmdqv.vintfs.size === 0) return [];
  if (event.kind === Kind.QUEUE) {
    const found = queueIn(state, event);
    return found === undefined ? [] : [found.uid];
  }
  if (event.kind === Kind.READ) return [...cmdqv.queues.values()].filter((n) => n.told === event.seq).map((n) => n.queue);
  const access = accessIn(state, event);
  if (access === undefined) return [];
  const guest = access.place.of === undefined ? undefined : cmdqv.windows.get(vmOf(state, event.file) ?? -1);
  const found = new Set<Uid>();
  for (const { place } of access.pieces) {
    const vintf =
      guest !== undefined ? vintfOf(cmdqv, guest.viommu) : place.vintf === undefined ? undefined : cmdqv.vintfs.get(place.vintf);
    const queue = vintf?.queues.find((q) => q.lvcmdq === place.lvcmdq);
    if (queue !== undefined) found.add(uidOf(queue.key));
  }
  return [...found];
}
