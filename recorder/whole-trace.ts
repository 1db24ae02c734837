/** Frames that were made here and not recorded, as a trace: it has its name only when it is whole, and nothing that is there is replaced. */
import { linkSync, lstatSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DIALECTS, uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import { IrrError, StoreError } from '../store/errors.ts';
import { FrameCursor } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import { SIDE_FILES } from '../store/open.ts';
import { RowIndex } from './index-row.ts';

/** About a session that no machine has seen. Its times are made up, from 0. */
export const NOWHERE = {
  v: 1,
  kernel: '',
  machine: '',
  cpu: '',
  cwd: '',
  clock: { realtimeNs: 0n, monotonicNs: 0n },
  complete: true,
  dropped: 0,
  exit: { status: 0 },
} as const satisfies Partial<TraceMeta>;

/** May the trace be made there? Throws a StoreError or IrrError that says why not: for who wants to know before the work. */
export function checkFree(output: string): void {
  if (lstatSync(output, { throwIfNoEntry: false }) !== undefined) throw new StoreError('exists', output, { hint: 'choose another name' });
  if (statSync(dirname(output), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new IrrError('no-folder', `${output}: the folder ${dirname(output)} does not exist`, { hint: 'make it, or choose another name' });
}

/** Writes the trace. Throws a StoreError or IrrError. */
export function writeWhole(output: string, frames: Iterable<Buffer>, meta: TraceMeta): void {
  checkFree(output);
  const working = `${output}.${process.pid}.partial`;
  try {
    writeTrace(working, frames, meta);
    placeWhole(working, output);
  } finally {
    for (const side of ['', ...SIDE_FILES]) rmSync(working + side, { force: true });
  }
}

function writeTrace(path: string, frames: Iterable<Buffer>, meta: TraceMeta): void {
  const rows = new RowIndex(uapiTable(DIALECTS.find((d) => d === meta.dialect) ?? 'linux-7.2'));
  const writer = TraceWriter.create(path, meta);
  try {
    const cursor = new FrameCursor();
    for (const frame of frames) writer.append(frame, 0, rows.row(cursor.at(frame, 0)));
    writer.flush();
    writer.finish();
  } finally {
    writer.close();
  }
}

/** A link fails where the name is taken, a rename would replace it; some file systems have no links. */
function placeWhole(working: string, output: string): void {
  try {
    linkSync(working, output);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new StoreError('exists', output, { hint: 'choose another name', cause: error });
    renameSync(working, output);
  }
}
