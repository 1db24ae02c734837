/** For tests of the screens: hand-made sessions as models, lines as text, keys as a person types them. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { uapiTable } from '../hw/uapi/table.ts';
import { Script } from '../replayer/script.ts';
import { Start } from '../store/frame.ts';
import { sampleTrace } from './cli/sample.ts';
import { sampleSession } from './cli/sample-session.ts';
import { TraceModel } from './model.ts';
import { InputParser, type Key } from './term/input.ts';
import type { Line } from './term/text.ts';

/** A model over a temporary trace; `dispose` closes it and removes the file. */
export interface TestModel {
  readonly model: TraceModel;
  dispose(): void;
}

/** Opens a session as a trace; without one, the sample session of the command line's tests. */
export function testModel(session: Pick<ReturnType<typeof sampleSession>, 'frames' | 'table'> = sampleSession()): TestModel {
  const path = sampleTrace(session.frames, session.table);
  const model = TraceModel.open(path);
  return {
    model,
    dispose: () => {
      model.close();
      rmSync(dirname(path), { recursive: true });
    },
  };
}

/** Lines as they read. */
export const textOf = (lines: readonly Line[]): string => lines.map((l) => l.spans.map((s) => s.text).join('')).join('\n');

/** A line with its styles: `call(DESTROY)  error(= EBUSY)`. */
export const styledText = (l: Line): string => l.spans.map((s) => (s.token === undefined ? s.text : `${s.token}(${s.text})`)).join('');

/** The keys of bytes that a terminal sends in one piece. */
export function keysOf(typed: string): readonly Key[] {
  const parser = new InputParser();
  return [...parser.push(typed), ...parser.flush()];
}

/** A long session: IOAS and what hangs on it come, are mapped and unmapped, and go; one call in fifty fails. */
export function longSession(events: number): Pick<ReturnType<typeof sampleSession>, 'frames' | 'table'> {
  const table = uapiTable('linux-7.2');
  const s = new Script(table, 77);
  s.start(Start.EXEC, 1, '/usr/bin/vmm');
  s.open(3);
  for (let id = 1; s.seq < events; id++) {
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: id });
    for (let i = 0; i < 20; i++)
      s.ioctl(3, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: id, user_va: 0x10000, length: 0x1000, iova: 0x1000 * i });
    s.ioctl(3, 'IOMMU_IOAS_UNMAP', { ioas_id: id, iova: 0, length: 0x1000 }, { length: 0x1000 });
    for (let i = 0; i < 20; i++) s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: id, val64: i });
    s.ioctl(3, 'IOMMU_DESTROY', { id: 999 }, {}, { error: 2 });
    if (id % 3 === 0) s.ioctl(3, 'IOMMU_DESTROY', { id: id - 1 });
  }
  return { table, frames: s.frames };
}
