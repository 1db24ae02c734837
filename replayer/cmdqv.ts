/**
 * What a log tells of the CMDQV of a Tegra241 (hw/cmdqv): the part of a session's state that calls, accesses, samples and
 * events move. One CMDQV is followed: a log does not say which of several a vIOMMU is on. Numbers of VINTFs are those that the
 * driver gives, the lowest that is free, as if no other program had one.
 */

import { entryOf } from '../hw/cmdqv/indexes.ts';
import type { CmdqvState, Size, Value, Vintf } from '../hw/cmdqv/state.ts';
import { COMMAND_BYTES } from '../hw/smmuv3/commands.ts';
import type { Uid } from './object-types.ts';
import type { U64 } from './u64.ts';

/** What is known of a register, and the event that brought it: the one since which it is that. */
export interface Known extends Value {
  readonly since: number;
  /** what that event did: undefined where it was no access */
  readonly by: 'store' | 'load' | undefined;
}

/** Commands that a sample brought. */
export interface Chunk {
  /** the entry that the first one is, wrap bit and all */
  readonly first: number;
  readonly log2: number;
  readonly entries: Uint8Array;
  readonly seq: number;
}

/** Of a HW queue, beside its registers. */
export interface QueueNotes {
  readonly queue: Uid;
  readonly context: number;
  /** oldest first */
  readonly chunks: readonly Chunk[];
  /** the last event that read it beside the program, 0 none */
  readonly sampled: number;
  /** the last read of a vEVENT that named it, 0 none */
  readonly told: number;
}

/** Where a guest sees its CMDQV. */
export interface Window {
  /** number of the VM's open file */
  readonly vm: number;
  readonly context: number;
  readonly viommu: Uid;
  /** guest physical address of its CONFIG page */
  readonly address: U64;
}

/** Physical addresses that are the CMDQV, as an importer told. */
export interface Aperture {
  readonly physical: U64;
  readonly length: U64;
  /** the kernel's address of it, 0 not known */
  readonly virtual: U64;
}

/** As hw/cmdqv has it, and what the log alone knows. Only change.ts writes it. */
export interface Cmdqv extends CmdqvState {
  size: Size;
  readonly registers: Map<string, Known>;
  readonly vintfs: Map<number, Vintf>;
  readonly queues: Map<Uid, QueueNotes>;
  /** by number of the VM's open file */
  readonly windows: Map<number, Window>;
  /** what guests stored or loaded last: by VM, then by name of the register */
  readonly guests: Map<number, Map<string, Known>>;
  aperture: Aperture | undefined;
}

export const emptyCmdqv = (): Cmdqv => ({
  size: {},
  registers: new Map(),
  vintfs: new Map(),
  queues: new Map(),
  windows: new Map(),
  guests: new Map(),
  aperture: undefined,
});

export const copyCmdqv = (c: Cmdqv): Cmdqv => ({
  size: c.size,
  registers: new Map(c.registers),
  vintfs: new Map(c.vintfs),
  queues: new Map(c.queues),
  windows: new Map(c.windows),
  guests: new Map([...c.guests].map(([vm, seen]) => [vm, new Map(seen)])),
  aperture: c.aperture,
});

/** How much a copy copies, in map entries. */
export function sizeOfCmdqv(c: Cmdqv): number {
  let size = c.registers.size + c.vintfs.size + c.queues.size;
  for (const seen of c.guests.values()) size += seen.size;
  return size;
}

/** Objects are named by their number in the recording. */
export const keyOf = (uid: Uid): string => `${uid}`;
export const uidOf = (key: string): Uid => Number(key);

/** The VINTF of a vIOMMU. */
export function vintfOf(c: Cmdqv, viommu: Uid): Vintf | undefined {
  const key = keyOf(viommu);
  for (const v of c.vintfs.values()) if (v.key === key) return v;
  return undefined;
}

export interface QueuePlace {
  readonly vintf: Vintf;
  readonly queue: Vintf['queues'][number];
}

/** VINTF and LVCMDQ of a HW queue. */
export function placeOf(c: Cmdqv, queue: Uid): QueuePlace | undefined {
  const key = keyOf(queue);
  for (const vintf of c.vintfs.values()) for (const q of vintf.queues) if (q.key === key) return { vintf, queue: q };
  return undefined;
}

/** Bytes of the entry at a pointer, as the newest sample that has it shows it. */
export function entryAt(chunks: readonly Chunk[], pointer: number): Uint8Array | undefined {
  for (let i = chunks.length - 1; i >= 0; i--) {
    const { first, log2, entries } = chunks[i]!;
    const at = COMMAND_BYTES * ((entryOf(pointer, log2) - entryOf(first, log2) + 2 ** log2) % 2 ** log2);
    if (at + COMMAND_BYTES <= entries.length) return entries.subarray(at, at + COMMAND_BYTES);
  }
  return undefined;
}

/** Memory of the queues of a VINTF as far as samples show it, by the addresses that hw/cmdqv asks for. */
export function memoryOf(c: Cmdqv, vintf: Vintf | undefined): (address: bigint, bytes: number) => Uint8Array | undefined {
  return (address) => {
    for (const q of vintf?.queues ?? []) {
      const at = address - q.base;
      if (at < 0n || at >= BigInt(COMMAND_BYTES) << BigInt(q.log2)) continue;
      const found = entryAt(c.queues.get(uidOf(q.key))?.chunks ?? [], Number(at / BigInt(COMMAND_BYTES)));
      if (found !== undefined) return found;
    }
    return undefined;
  };
}
