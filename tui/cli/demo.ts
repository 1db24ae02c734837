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

/** A command of the program with its options, and what a person would type for it. */
type Step = readonly [typed: string, command: string, args: readonly string[], options: Options];

/** What is shown of a trace whose event `seq` is the interesting one: what to say first, and the commands. */
function steps(trace: string, seq: number): readonly (readonly [string, readonly Step[]])[] {
  const short = trace.replace(/^.*\//, '');
  const at = String(seq);
  const before = `${Math.max(1, seq - 3)}-${seq}`;
  const errors = 'error && kind == ioctl';
  const digest: Step = [`state ${short} --at ${at} --digest`, 'state', [trace], { at, digest: true }];
  return [
    ['What was recorded:', [[`info ${short}`, 'info', [trace], {}]]],
    [
      `Every call is decoded, with what it changed; event ${seq} is the one to look at:`,
      [[`show ${short} ${before} --changes`, 'show', [trace, before], { changes: true }]],
    ],
    ['Calls that failed:', [[`show ${short} -w '${errors}' -n 5`, 'show', [trace], { where: errors, limit: '5' }]]],
    ['The objects of the kernel at that moment:', [[`graph ${short} --at ${at}`, 'graph', [trace], { at, format: 'text' }]]],
    ['The same log gives the same state, always:', [digest, digest]],
  ];
}

export const run: Run = async ([given], options, io) => {
  const trace = given ?? recordedTrace();
  const out = io.out();
  if (given === undefined) out.line(paint('heading', `${reason()} This session was recorded elsewhere: ${trace.replace(/^.*\//, '')}.`));
  const opened = openTrace(trace);
  const seq = interesting(opened);
  opened.reader.close();
  for (const [text, commands] of steps(trace, seq)) {
    out.line();
    out.line(paint('heading', text));
    for (const [typed, command, args, given] of commands) {
      out.line(paint('dim', '$ '), paint('call', `${PROGRAM} ${typed}`));
      const { run } = await commandRow(command)!.load();
      await run(args, { ...given, color: options.color, pager: false }, io);
    }
  }
  out.line();
  out.line(paint('heading', `To step through it, both ways: ${PROGRAM} ${trace}`));
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
