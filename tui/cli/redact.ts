/** `redact`: a trace fit to be shared. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoName } from '../../hw/errno.ts';
import { checkOutput, place } from '../../recorder/output-file.ts';
import { CLASS_NAMES, CLASSES, type ClassName } from '../../replayer/redact/classes.ts';
import { redactTrace } from '../../replayer/redact/trace.ts';
import { Marks } from '../../store/marks.ts';
import { PARTIAL, SIDE_FILES } from '../../store/open.ts';
import { TraceSide } from '../../store/side.ts';
import type { Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { Progress } from './output.ts';
import { openTrace } from './trace.ts';

export const run: Run = async ([path = ''], options, io) => {
  if (typeof options.output !== 'string') throw new UsageError('redact: where shall the new trace go?', 'say it with --output FILE');
  const keeps = new Set((options.keep ?? []) as ClassName[]);
  const force = options.force === true;
  const output = resolve(options.output);
  checkOutput(output, force, [path]);
  const opened = openTrace(path);
  const partial = output + PARTIAL;
  const progress = new Progress('redacting');
  const marks = new Marks(opened.reader);
  let made = false;
  try {
    const report = redactTrace(opened.reader, partial, {
      table: opened.table,
      keeps,
      errorName: errnoName,
      onProgress: (done, total) => progress.update(done, total),
    });
    made = true;
    const sides = marks.all.length + marks.notes.length;
    if (keeps.has('notes') && sides > 0) keep(partial, marks);
    place(partial, output, force);
    progress.done();
    const changed = { ...report.changed, notes: report.changed.notes + (keeps.has('notes') ? 0 : sides) };
    const out = io.out();
    if (options.json === true)
      out.json({ v: 1, output: options.output, events: report.events, regions: report.regions, changed, kept: [...keeps] });
    else {
      for (const name of CLASS_NAMES)
        out.line(`${(keeps.has(name) ? 'kept' : String(changed[name])).padStart(9)}  ${name.padEnd(9)}  ${CLASSES[name]}`);
    }
    io.note(`redacted ${report.events} events into ${options.output}; look at it before you send it: show ${options.output}`);
  } catch (error) {
    if (made) for (const side of ['', ...SIDE_FILES]) rmSync(partial + side, { force: true });
    throw error;
  } finally {
    opened.reader.close();
  }
  return 0;
};

function keep(path: string, marks: Marks): void {
  const side = TraceSide.open(path);
  try {
    side.putAll(marks.all, marks.notes);
  } finally {
    side.close();
  }
}
