/** What a spool looks like (`recorder/shim/irr_spool.h`), and an empty one. */
import { closeSync, openSync, writeSync } from 'node:fs';

/** Bytes of a segment, and of the header. */
const SEGMENT = 1 << 20;
const DATA = 0x100000;
const STATES = 0x10000;
const SLOT_FREE = 1;
const SLOT_KEPT = 4;
/** Slots that every process has mapped; every other one is made by the recorder, for those that cannot grow the file. */
const WINDOW = 256;

/** recorder/frame.test.ts holds this and irr_spool.h together. Offsets and lengths in bytes. */
export const LAYOUT = {
  version: 1,
  segment: SEGMENT,
  stride: 64,
  slots: 65_536,
  states: STATES,
  dir: 0x20000,
  data: DATA,
  mark: [0x4d525249, 0x31455246],
  window: WINDOW,
  slotFree: SLOT_FREE,
  slotKept: SLOT_KEPT,
  /** kind of a part: room that was reserved and not needed; the parts end there */
  partUnused: 0,
  /** flag of parts whose data lie in PART frames */
  partSpilled: 8,
} as const;

/** Offsets of the header's fields that change while programs run, bytes. */
export const SPOOL_AT = { tail: 8192, files: 8256, lost: 8320, stop: 8384, recorder: 8385, mmio: 8386, kvm: 8387, sampleMs: 8388 } as const;

/** Offsets of the header's fields that do not change, bytes. */
export const SPOOL_FIELD = {
  magic: 0,
  version: 8,
  segment: 12,
  realtime: 16,
  monotonic: 24,
  creator: 32,
  frameVersion: 36,
  bootId: 40,
  uname: 80,
  cpu: 405,
  recording: 533,
  trace: 573,
} as const;
/** Bytes of each field of uname(2) in the header. */
export const UNAME = 65;

export interface SpoolHeader {
  readonly realtimeNs: bigint;
  readonly monotonicNs: bigint;
  readonly creator: number;
  readonly kernel: string;
  readonly machine: string;
  readonly cpu: string;
  /** id that the trace shares, '' where no recorder made the spool */
  readonly recording: string;
  /** where the recorder writes, '' without one */
  readonly trace: string;
}

/** Makes an empty spool with `slots` segments ready, so that the traced program need not grow the file itself. */
export function createSpool(
  path: string,
  header: Omit<SpoolHeader, 'creator'> & {
    readonly bootId: string;
    readonly mmio?: boolean;
    readonly kvm?: boolean;
    readonly sampleMs?: number;
  },
  slots = 4,
): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    const b = Buffer.alloc(DATA);
    b.writeUInt32LE(1, SPOOL_FIELD.version);
    b.writeUInt32LE(SEGMENT, SPOOL_FIELD.segment);
    b.writeBigUInt64LE(header.realtimeNs, SPOOL_FIELD.realtime);
    b.writeBigUInt64LE(header.monotonicNs, SPOOL_FIELD.monotonic);
    b.writeUInt32LE(process.pid, SPOOL_FIELD.creator);
    b.writeUInt32LE(1, SPOOL_FIELD.frameVersion);
    b.write(header.bootId.slice(0, 39), SPOOL_FIELD.bootId);
    b.write(header.kernel.slice(0, UNAME - 1), SPOOL_FIELD.uname + 2 * UNAME);
    b.write(header.machine.slice(0, UNAME - 1), SPOOL_FIELD.uname + 4 * UNAME);
    b.write(header.cpu.slice(0, 127), SPOOL_FIELD.cpu);
    b.write(header.recording.slice(0, 39), SPOOL_FIELD.recording);
    b.write(header.trace.slice(0, 4095), SPOOL_FIELD.trace);
    b[SPOOL_AT.recorder] = 1;
    if (header.mmio === true) b[SPOOL_AT.mmio] = 1;
    if (header.kvm === true) b[SPOOL_AT.kvm] = 1;
    b.writeUInt32LE(header.sampleMs ?? 0, SPOOL_AT.sampleMs);
    const zeros = Buffer.alloc(SEGMENT);
    for (let slot = 0; slot < slots; slot++) {
      writeSync(fd, zeros, 0, SEGMENT, DATA + slot * SEGMENT);
      b[STATES + slot] = SLOT_FREE;
    }
    for (let slot = slots; slot < WINDOW; slot += 2) b[STATES + slot] = SLOT_KEPT;
    b.write('IRRSPOOL', SPOOL_FIELD.magic, 'latin1');
    writeSync(fd, b, 0, DATA, 0);
  } finally {
    closeSync(fd);
  }
}
