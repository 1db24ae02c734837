/**
 * A trace of any length for measuring the screens: sessions of the scenarios one after the other, each a program of its own
 * that begins, works and ends, with bursts of maps between them. The same every time.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runScenario } from '../../hw/scenario/script.ts';
import { uapiTable } from '../../hw/uapi/table.ts';
import { RowIndex } from '../../recorder/index-row.ts';
import { framesOf } from '../../recorder/simulate.ts';
import { TraceWriter } from '../../store/append.ts';
import { Exit, encodeFrame, FRAME_AT, type Frame, FrameCursor, Kind, makeFrame, makePart, PartKind } from '../../store/frame.ts';

const DIALECT = 'linux-7.2';
const EVENT_NS = 1000n;
const FLUSH = 4096;

const MAP = 0x3b85;
const UNMAP = 0x3b86;
/** maps and unmaps of a program */
const BURST = 1000;
const PAGE = 4096n;
/** beyond what the scenarios map */
const FREE = 0x100_0000_0000n;

/** An area mapped and unmapped again, as the program of this call does it. */
function burst(map: Frame): Buffer[] {
  const ioas = Buffer.from(map.parts.find((part) => part.kind === PartKind.IN)!.bytes).readUInt32LE(8);
  const struct = (bytes: number, words: readonly (readonly [at: number, value: bigint])[], own: number): Buffer => {
    const b = Buffer.alloc(bytes);
    b.writeUInt32LE(bytes, 0);
    b.writeUInt32LE(ioas, own);
    for (const [at, value] of words) b.writeBigUInt64LE(value, at);
    return b;
  };
  const call = (request: number, bytes: Buffer): Buffer =>
    encodeFrame({ ...map, request, parts: [makePart(PartKind.IN, bytes), makePart(PartKind.OUT, bytes)] });
  return Array.from({ length: BURST / 2 }, (_, i) => {
    const iova = FREE + PAGE * BigInt(i);
    const mapped = struct(
      40,
      [
        [16, 0x7000_0000_0000n + PAGE * BigInt(i)],
        [24, PAGE],
        [32, iova],
      ],
      8,
    );
    mapped.writeUInt32LE(7, 4);
    return [
      call(MAP, mapped),
      call(
        UNMAP,
        struct(
          24,
          [
            [8, iova],
            [16, PAGE],
          ],
          4,
        ),
      ),
    ];
  }).flat();
}

/** One program after the other: frames of each scenario with a burst of maps in it, and its end. */
function sessions(folder: string): Buffer[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.scn'))
    .sort();
  const cursor = new FrameCursor();
  return names.flatMap((name) => {
    const frames = framesOf(runScenario(readFileSync(join(folder, name), 'utf8'), DIALECT));
    const at = frames.findIndex((f) => cursor.at(f, 0).request === MAP && cursor.kind === Kind.IOCTL && cursor.error === 0);
    if (at >= 0) frames.splice(at + 1, 0, ...burst(cursor.at(frames[at]!, 0).frame()));
    const pid = frames[0]!.readUInt32LE(FRAME_AT.pid);
    return [...frames, encodeFrame(makeFrame({ kind: Kind.EXIT, request: Exit.EXIT, pid, tid: pid }))];
  });
}

/** Writes the trace; `scenarios`: the folder with them; `edit` may change what is in a frame, not its length. */
export function writeLongTrace(path: string, events: number, scenarios: string, edit?: (frame: Buffer, seq: number) => void): void {
  const block = sessions(scenarios);
  const rows = new RowIndex(uapiTable(DIALECT));
  const writer = TraceWriter.create(path, {
    v: 1,
    tool: 'bench',
    source: 'simulation',
    kernel: '',
    machine: '',
    cpu: '',
    command: ['bench'],
    cwd: '',
    dialect: DIALECT,
    clock: { realtimeNs: 0n, monotonicNs: 0n },
    complete: true,
    dropped: 0,
    exit: { status: 0 },
  });
  try {
    const cursor = new FrameCursor();
    let program = 0;
    let files = 0;
    let most = 0;
    for (let seq = 1; seq <= events; seq++) {
      const source = block[(seq - 1) % block.length]!;
      const frame = Buffer.from(source);
      if (frame[FRAME_AT.kind] === Kind.START) {
        program++;
        files += most;
        most = 0;
      }
      const file = frame.readUInt32LE(FRAME_AT.file);
      most = Math.max(most, file);
      if (file > 0) frame.writeUInt32LE(file + files, FRAME_AT.file);
      frame.writeBigUInt64LE(BigInt(seq), FRAME_AT.seq);
      frame.writeUInt32LE(100 + (program % 30_000), FRAME_AT.pid);
      frame.writeUInt32LE(100 + (program % 30_000), FRAME_AT.tid);
      const t = EVENT_NS * BigInt(seq);
      frame.writeBigUInt64LE(t, FRAME_AT.tEnter);
      frame.writeBigUInt64LE(t + EVENT_NS / 2n, FRAME_AT.tExit);
      edit?.(frame, seq);
      writer.append(frame, 0, rows.row(cursor.at(frame, 0)));
      if (seq % FLUSH === 0) writer.flush();
    }
    writer.flush();
    writer.finish();
  } finally {
    writer.close();
  }
}
