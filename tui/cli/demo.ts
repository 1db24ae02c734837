/** `demo`: a session, from its recording to the picture of the moment where it went wrong. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseQuery } from '../../replayer/query.ts';
import { vocabularyOf } from '../../replayer/query-fields.ts';
import { commandRow, type Options, PROGRAM, type Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { eachEvent } from './events.ts';
import { paint } from './output.ts';
import { packageFolder } from './package-folder.ts';
import { type Opened, openTrace } from './trace.ts';

/** The best recorded session, where it is there. */
const BEST = 'vmm-7.2.irr';

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

interface Moment {
  readonly seq: number;
  /** is it a call that failed? */
  readonly failed: boolean;
}

function interesting(opened: Opened): Moment {
  for (const text of MOMENTS) {
    const parsed = parseQuery(text, vocabularyOf(opened.table));
    if (!parsed.ok) throw new Error(parsed.error.message);
    for (const event of eachEvent(opened, parsed.query)) return { seq: event.seq, failed: event.frame.error !== 0 };
  }
  return { seq: opened.reader.last, failed: false };
}

/** A command of the program with its options, and what a person would type for it. */
type Step = readonly [typed: string, command: string, args: readonly string[], options: Options];

/** What is shown of a trace whose event `seq` is the interesting one: what to say first, and the commands. */
function steps(trace: string, { seq, failed }: Moment, folder: string): readonly (readonly [string, readonly Step[]])[] {
  const short = nameOf(trace);
  const [small, source] = [join(folder, 'small.irr'), join(folder, 'small.c')];
  const keep = 'errno != 0';
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
    ["Why did it fail? The kernel's rule, and the objects that it looked at:", [[`why ${short} ${at}`, 'why', [trace, at], {}]]],
    ['The objects of the kernel at that moment:', [[`graph ${short} --at ${at}`, 'graph', [trace], { at, format: 'text' }]]],
    ["Every call against the kernel's rules, and what else is odd in the session:", [[`check ${short}`, 'check', [trace], {}]]],
    ['The same log gives the same state, always:', [digest, digest]],
    ...(failed
      ? ([
          [
            'The shortest session in which it still fails, and a program for somebody else to see it fail:',
            [
              [`reduce ${short} --keep '${keep}' --at ${at} -o ${small}`, 'reduce', [trace], { keep, at, output: small }],
              [`export ${small} --format c -o ${source}`, 'export', [small], { format: 'c', output: source }],
            ],
          ],
        ] as const)
      : []),
  ];
}

/** The client that is recorded: it needs the kernel's mock driver, or the model's. */
const CLIENT = ['dist', 'clients', 'vmm'] as const;
/** Its status where there is nothing to run on. */
const NOTHING = 77;

/** A trace made here and now; undefined where that cannot be. Its output would only confuse. */
function recordedHere(client: string, on: 'kernel' | 'model'): string | undefined {
  const trace = join(mkdtempSync(join(tmpdir(), 'iommufd-rr-demo-')), 'vmm.irr');
  const program = process.argv[1] ?? '';
  const ran = spawnSync(process.execPath, [program, 'record', '--on', on, '-o', trace, '--', client], { stdio: 'ignore', timeout: 60_000 });
  return ran.status !== NOTHING && existsSync(trace) ? trace : undefined;
}

const nameOf = (path: string): string => path.replace(/^.*\//, '');

/** The trace to show, and where it comes from: the kernel, the model of it, or a session that was recorded elsewhere. */
function chosenTrace(): { trace: string; origin: string } {
  const client = packageFolder(...CLIENT);
  if (client !== undefined) {
    const onKernel = mayOpen('/dev/iommu') ? recordedHere(client, 'kernel') : undefined;
    if (onKernel !== undefined)
      return { trace: onKernel, origin: `Recorded here and now, from a small VMM on the kernel's mock driver: ${onKernel}.` };
    const onModel = recordedHere(client, 'model');
    if (onModel !== undefined)
      return {
        trace: onModel,
        origin: `${reason()} So a small VMM was recorded here and now on the model of the kernel's rules (record --on model): ${onModel}.`,
      };
  }
  const trace = recordedTrace();
  return { trace, origin: `${reason()} So this is a session that was recorded elsewhere: ${nameOf(trace)}.` };
}

export const run: Run = async ([given], options, io) => {
  const { trace, origin } = given === undefined ? chosenTrace() : { trace: given, origin: undefined };
  const out = io.out();
  if (origin !== undefined) out.line(paint('heading', origin));
  const opened = openTrace(trace);
  const moment = interesting(opened);
  opened.reader.close();
  for (const [text, commands] of steps(trace, moment, mkdtempSync(join(tmpdir(), 'iommufd-rr-demo-')))) {
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

function mayOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why nothing is recorded here. */
function reason(): string {
  if (!existsSync('/dev/iommu')) return 'This machine has no /dev/iommu.';
  if (!mayOpen('/dev/iommu')) return '/dev/iommu may not be opened here.';
  if (packageFolder(...CLIENT) === undefined) return 'The client that would be recorded is not built (make -C fixtures/clients).';
  return 'This kernel has no mock driver (CONFIG_IOMMUFD_TEST) to run a VMM on.';
}
