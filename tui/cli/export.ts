/** `export`: a trace in a form for other programs. */
import { closeSync, fsyncSync, openSync, rmSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { jsonLines } from '../../recorder/jsonl/export.ts';
import { checkOutput, place } from '../../recorder/output-file.ts';
import { type Form, KSELFTEST, OWN } from '../../replayer/export/c-forms.ts';
import { cProgram } from '../../replayer/export/c-program.ts';
import { callsOf } from '../../replayer/export/issued.ts';
import { syzProgram } from '../../replayer/export/syz.ts';
import type { Program } from '../../replayer/program/program.ts';
import { programOf } from '../../replayer/program/program-of.ts';
import { storeError } from '../../store/errors.ts';
import { PARTIAL } from '../../store/open.ts';
import type { Io, Options, Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { finished } from './long-work.ts';
import { FdSink, Progress } from './output.ts';
import { type Opened, openTrace } from './trace.ts';

/** Gives the text of a trace, a piece at a time. */
type Format = (opened: Opened, options: Options) => Iterable<string>;

const inC =
  (form: Form): Format =>
  (opened, options) => [cProgram(programFor(opened, options), form, basename(opened.path)).text];

const FORMATS: Readonly<Record<string, Format>> = {
  jsonl: ({ reader }) => jsonLines(reader),
  c: inC(OWN),
  kselftest: inC(KSELFTEST),
  syz: (opened, options) => {
    const { text, descriptions } = syzProgram(programFor(opened, options), basename(opened.path));
    return [options.descriptions === true ? descriptions : text];
  },
};

/** Calls beyond these make a program that nobody reads. */
const MOST_CALLS = 1000;

/** The program of a trace, if it is one that fits a reproducer. */
function programFor({ reader, table, path }: Opened, options: Options): Program {
  const program = finished('reading', programOf(reader, table), reader.last);
  const calls = callsOf(program);
  if (calls === 0)
    throw new UsageError(`export: ${basename(path)} has no call that could be made again`, 'see what it has: iommufd-rr show');
  if (calls > MOST_CALLS && options.force !== true)
    throw new UsageError(
      `export: ${basename(path)} has ${calls} calls: too many for a program that somebody is to read`,
      'take those that matter first (reduce, or slice), or say --force',
    );
  return program;
}

/** Pieces after which a reader that cannot keep up is waited for. */
const OFTEN = 256;

export const run: Run = async ([path = ''], options, io) => {
  const format = typeof options.format === 'string' ? FORMATS[options.format] : undefined;
  if (format === undefined) throw new UsageError('export: as what?', `say it with --format: ${Object.keys(FORMATS).join(', ')}`);
  if (options.descriptions === true && options.format !== 'syz')
    throw new UsageError('export: --descriptions goes with --format syz', 'leave it out, or say --format syz');
  const opened = openTrace(path);
  try {
    if (typeof options.output === 'string') toFile(opened, format(opened, options), options.output, options, io);
    else await toOutput(format(opened, options), io);
  } finally {
    opened.reader.close();
  }
  return 0;
};

async function toOutput(pieces: Iterable<string>, io: Io): Promise<void> {
  const out = io.out();
  let n = 0;
  for (const piece of pieces) {
    out.raw(piece);
    if (++n % OFTEN === 0) await out.drain();
  }
}

function toFile(opened: Opened, pieces: Iterable<string>, name: string, options: Options, io: Io): void {
  const output = resolve(name);
  checkOutput(output, options.force === true, [opened.path]);
  const partial = output + PARTIAL;
  const progress = new Progress('exporting');
  let fd: number;
  try {
    fd = openSync(partial, 'wx');
  } catch (error) {
    throw storeError(error, partial);
  }
  try {
    const sink = new FdSink(fd, name);
    let n = 0;
    for (const piece of pieces) {
      sink.write(piece);
      if (++n % OFTEN === 0) progress.update(n, opened.reader.last);
    }
    sink.flush();
    fsyncSync(fd);
    closeSync(fd);
    place(partial, output, options.force === true);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  progress.done();
  io.note(`exported ${opened.reader.last} events to ${name}`);
}
