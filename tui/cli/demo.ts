/** `demo`: a session, from its recording to the picture of the moment where it went wrong. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseQuery } from '../../replayer/query.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import { commandRow, type Options, PROGRAM, type Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { eachEvent } from './events.ts';
import { paint } from './output.ts';
import { type Opened, openTrace } from './trace.ts';

/** The best recorded session, where it is there. */
const BEST = 'vmm-7.2.irr';

/** A folder of the package, from the sources or from what is built of them. */
function packageFolder(...path: readonly string[]): string | undefined {
  const here = dirname(fileURLToPath(import.meta.url));
  return ['../..', '../../..'].map((up) => join(here, up, ...path)).find((folder) => existsSync(folder));
}

function recordedTrace(): string {
  const folder = packageFolder('fixtures', 'traces');
  const names = folder === undefined ? [] : readdirSync(folder).filter((name) => name.endsWith('.irr'));
  const name = names.includes(BEST) ? BEST : names.sort()[0];
  if (folder === undefined || name === undefined)
    throw new UsageError('demo: this copy has no recorded sessions', 'they are in fixtures/traces of the repository');
  return join(folder, name);
}

/** The questions whose first answer is the moment to look at, the best one first. */
const MOMENTS = [
  'errno == EIO && call == IOMMU_HW_QUEUE_ALLOC',
  'errno == EBUSY && call == IOMMU_DESTROY',
  'error && kind == ioctl',
  'kind == ioctl',
];

function interesting(opened: Opened): number {
  for (const text of MOMENTS) {
    const parsed = parseQuery(text, vocabularyOf(opened.table));
    if (!parsed.ok) throw new Error(parsed.error.message);
    for (const event of eachEvent(opened, parsed.query)) return event.seq;
  }
  return opened.reader.last;
}

export const run: Run = async ([given], options, io) => {
  const trace = given ?? recordedTrace();
  const out = io.out();
  const say = (text: string): void => out.line(paint('heading', text));
  /** One command of the program, as a person would type it. */
  const show = async (shown: string, name: string, args: readonly string[], given: Options): Promise<void> => {
    out.line();
    out.line(paint('dim', '$ '), paint('call', `${PROGRAM} ${shown}`));
    await commandRow(name)!
      .load()
      .then(({ run }) => run(args, { ...given, color: options.color }, io));
  };
  const short = trace.replace(/^.*\//, '');
  if (given === undefined) say(`${reason()} This session was recorded elsewhere: ${short}.`);
  const opened = openTrace(trace);
  const seq = interesting(opened);
  const text = opened.reader.select('seq = ?', [seq])[0];
  opened.reader.close();
  await show(`info ${short}`, 'info', [trace], {});
  out.line();
  say(`Every call is decoded, with what it changed. Event ${seq} is the one to look at:`);
  await show(`show ${short} ${Math.max(1, seq - 3)}-${seq} --changes`, 'show', [trace, `${Math.max(1, seq - 3)}-${seq}`], {
    changes: true,
    pager: false,
  });
  if (text?.errno !== 0) {
    out.line();
    say('What else failed:');
    await show(`show ${short} -w 'error && kind == ioctl' -n 5`, 'show', [trace], {
      where: 'error && kind == ioctl',
      limit: '5',
      pager: false,
    });
  }
  out.line();
  say('The objects of the kernel at that moment:');
  await show(`graph ${short} --at ${seq}`, 'graph', [trace], { at: String(seq), format: 'text' });
  out.line();
  say('The same log gives the same state, always:');
  await show(`state ${short} --at ${seq} --digest`, 'state', [trace], { at: String(seq), digest: true });
  await show(`state ${short} --at ${seq} --digest`, 'state', [trace], { at: String(seq), digest: true });
  out.line();
  say(`To step through it, both ways: ${PROGRAM} ${trace}`);
  return 0;
};

/** Why nothing is recorded here. */
function reason(): string {
  try {
    accessSync('/dev/iommu', constants.R_OK | constants.W_OK);
    return 'No client is built here that could be recorded (make -C fixtures/clients).';
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing ? 'This machine has no /dev/iommu.' : '/dev/iommu may not be opened here.';
  }
}
