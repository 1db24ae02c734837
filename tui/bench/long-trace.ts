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
import { Exit, encodeFrame, FRAME_AT, FrameCursor, Kind, makeFrame } from '../../store/frame.ts';

const DIALECT = 'linux-7.2';
const EVENT_NS = 1000n;
const FLUSH = 4096;

/** One program after the other: frames of each scenario, and its end. */
function sessions(folder: string): Buffer[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.scn'))
    .sort();
  return names.flatMap((name) => {
    const frames = framesOf(runScenario(readFileSync(join(folder, name), 'utf8'), DIALECT));
    const pid = frames[0]!.readUInt32LE(FRAME_AT.pid);
    return [...frames, encodeFrame(makeFrame({ kind: Kind.EXIT, request: Exit.EXIT, pid, tid: pid }))];
  });
}

/** Writes the trace; `scenarios`: the folder with them. */
export function writeLongTrace(path: string, events: number, scenarios: string): void {
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
      writer.append(frame, 0, rows.row(cursor.at(frame, 0)));
      if (seq % FLUSH === 0) writer.flush();
    }
    writer.flush();
    writer.finish();
  } finally {
    writer.close();
  }
}
