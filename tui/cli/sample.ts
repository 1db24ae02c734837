/** Traces for tests, written like real ones: frames with their rows, into a temporary folder. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callName } from '../../hw/event-words.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { TraceWriter } from '../../store/append.ts';
import { FileKind, FrameCursor } from '../../store/frame.ts';
import type { TraceMeta } from '../../store/meta.ts';

const META: TraceMeta = {
  v: 1,
  tool: 'iommufd-rr 0.1.0',
  source: 'test',
  kernel: '7.2.12',
  machine: 'x86_64',
  cpu: 'test cpu',
  command: ['./vmm', '--size', '2 MB'],
  cwd: '/home/somebody',
  dialect: 'linux-7.2',
  clock: { realtimeNs: 1_750_000_000_000_000_000n, monotonicNs: 1_000_000n },
  complete: true,
  dropped: 0,
  exit: { status: 0 },
};

/** Writes a trace of these frames. → its path */
export function sampleTrace(frames: readonly Buffer[], table: UapiTable, meta: Partial<TraceMeta> = {}, name = 'sample.irr'): string {
  const path = join(mkdtempSync(join(tmpdir(), 'irr-cli-')), name);
  const writer = TraceWriter.create(path, { ...META, dialect: table.dialect, ...meta });
  const cursor = new FrameCursor();
  for (const frame of frames) {
    cursor.at(frame, 0);
    writer.append(frame, 0, { call: callName(cursor, table), context: cursor.fileKind === FileKind.IOMMUFD ? cursor.file : 0, object: 0 });
  }
  writer.flush();
  writer.finish();
  writer.close();
  return path;
}
