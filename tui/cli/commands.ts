/**
 * The command line as a table: verbs, arguments, options, examples, exit statuses. Parsing, help, completion and the tests
 * derive from it; a new command is one row here and one file that `load` names.
 */
import { MACHINES } from '../../hw/iommufd/machine.ts';
import { DIALECTS } from '../../hw/uapi/table.ts';
import { CLASS_NAMES } from '../../replayer/redact/classes.ts';
import type { Out } from './output.ts';

export interface OptionRow {
  /** as commander reads it: `-o, --output <file>` */
  readonly flags: string;
  readonly text: string;
  readonly choices?: readonly string[];
  readonly default?: string;
  /** may be given several times */
  readonly many?: true;
  /** what a shell completes its value with, where `choices` does not say */
  readonly completes?: 'file' | 'trace';
}

export interface ArgumentRow {
  /** as commander reads it: `<trace>`, `[trace]`, `<command...>` */
  readonly name: string;
  readonly text: string;
  readonly choices?: readonly string[];
  readonly completes?: 'file' | 'trace' | 'command';
}

/** Values of options by camelCase name, as commander gives them: `true` for a bare flag. */
export type Options = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** What a command gets beside its arguments. */
export interface Io {
  /** opens standard output; `page` = long output that may go through a pager */
  out(page?: boolean): Out;
  /** one line on standard error; escaped */
  note(text: string): void;
}

export type Run = (args: readonly string[], options: Options, io: Io) => Promise<number>;

export interface CommandRow {
  readonly name: string;
  readonly summary: string;
  readonly description?: string;
  readonly args: readonly ArgumentRow[];
  readonly options: readonly OptionRow[];
  /** arguments of an example, and what it is for */
  readonly examples: readonly (readonly [string, string])[];
  /** exit statuses beside 0 (done) and 2 (wrong use, unreadable input), or instead of them where the command has `failure` */
  readonly exits?: readonly (readonly [string, string])[];
  /** exits as the program that it runs does: 0 and 2 have no meaning of their own beside `exits` */
  readonly ownStatus?: true;
  /** the status for wrong use and unreadable input, by the words of the command line, where it is not always 2 */
  readonly troubleStatus?: (words: readonly string[]) => number;
  /** everything behind the first argument belongs to the program that is run */
  readonly passThrough?: true;
  readonly load: () => Promise<{ readonly run: Run }>;
}

export const PROGRAM = 'iommufd-rr';
export const SUMMARY = "Record what a program does with Linux's iommufd, and step through it afterwards.";

const TRACE: ArgumentRow = { name: '<trace>', text: 'an .irr file', completes: 'trace' };
const JSON_OPTION: OptionRow = { flags: '--json', text: 'print JSON for scripts' };
const COLOR: OptionRow = {
  flags: '--color <when>',
  text: 'colours: always, never, or auto (terminal, and no NO_COLOR)',
  choices: ['always', 'never', 'auto'],
  default: 'auto',
};
const AT: OptionRow = { flags: '--at <point>', text: 'event number, `end`, `50%`, or `@12.5` (seconds since the start)', default: 'end' };
const MODEL: OptionRow = {
  flags: '--model <dialect>',
  text: 'rules of another kernel or patch series: linux-6.12, linux-7.2, hw-queue-v4 …',
};
const CONTEXT: OptionRow = { flags: '--context <n>', text: 'only this context (one open of /dev/iommu), numbered from 1' };

export const COMMANDS: readonly CommandRow[] = [
  {
    name: 'record',
    summary: 'run a program and record what it does with iommufd and VFIO',
    description:
      'The program runs as it would bare, with its own terminal, arguments and signals; the capture library is loaded into it and into what it ' +
      'starts. Events pass through a spool in shared memory into the trace. What is left when the recorder is killed, `recover` makes a trace of. ' +
      "With --on model no hardware is needed: the kernel's rules answer the program, with the mock driver for devices and two PCI functions at /dev/vfio/devices/vfio0 and vfio1, behind a plain IOMMU without nesting, or (--machine grace) behind an SMMUv3 with the CMDQV of a Tegra241, whose queues work: page 0 of a VINTF is looked at every 0.5 ms, commands are fetched from the program's memory, errors come as vEVENTs. It is a model: no device does DMA, and their registers only keep what is written.",
    args: [{ name: '<command...>', text: 'the program and its arguments', completes: 'command' }],
    options: [
      { flags: '-o, --output <file>', text: 'the trace (default: the name of the program and a number, here)', completes: 'file' },
      { flags: '--force', text: 'replace the file if it exists' },
      { flags: '--mmio', text: 'loads and stores through mappings of iommufd and VFIO devices as well, each with its width and value' },
      { flags: '--kvm', text: 'MMIO of guests that KVM leaves to the program as well, and their memory slots' },
      {
        flags: '--sample-queues <ms>',
        text: 'read CMDQV queues (page 0, new commands) every so many milliseconds as well, by a thread in the program',
      },
      { flags: '--spool <dir>', text: 'folder of the spool; must be on a file system with shared mappings', completes: 'file' },
      {
        flags: '--on <what>',
        text: 'what answers the calls: the kernel, or the model of its rules (then no /dev/iommu is needed)',
        choices: ['kernel', 'model'],
        default: 'kernel',
      },
      {
        flags: '--dialect <name>',
        text: 'with --on model: the kernel or patch series whose rules answer (default: the newest kernel)',
        choices: DIALECTS,
      },
      {
        flags: '--machine <name>',
        text: 'with --on model: the machine, plain (pages alone) or grace (SMMUv3 and Tegra241 CMDQV)',
        choices: MACHINES,
        default: 'plain',
      },
    ],
    examples: [
      ['record -o bug.irr -- ./vmm --iommufd', 'record into bug.irr'],
      ['record -o boot.irr -- qemu-system-x86_64 -object iommufd,id=i0 …', 'a guest boot'],
      ['record --kvm --mmio -- qemu-system-x86_64 -accel kvm …', 'with what the guest does to devices, and what the program then does'],
      ['record --mmio -- ./driver /dev/vfio/devices/vfio0', 'with every register that the program reads and writes'],
      ['record --on model --dialect hw-queue-v9 -- ./vmm', 'what a patch series would answer, on any machine'],
      ['record --on model --machine grace --mmio -- ./vmm', 'with a CMDQV that works, and every access to it'],
    ],
    exits: [
      ['n', "the program's own status; 128 + n if signal n ended it"],
      [
        '2',
        'wrong use: no such program, one that cannot be recorded, an output that cannot be written (nothing was run); or there was no room for all of the trace (the program was not disturbed, the rest is in the spool)',
      ],
    ],
    passThrough: true,
    ownStatus: true,
    load: () => import('./record.ts'),
  },
  {
    name: 'recover',
    summary: 'make a trace of what a killed or foreign recording left',
    description:
      'SPOOL is the file that a killed recorder left (it is named in the unfinished trace: info), or that a program wrote alone, with IRR_SPOOL=FILE and ' +
      'LD_PRELOAD=libiommufd-rr.so in its environment. Without --output the unfinished trace itself is completed. The spool stays.',
    args: [{ name: '<spool>', text: 'a spool file', completes: 'file' }],
    options: [
      { flags: '-o, --output <file>', text: 'the trace', completes: 'file' },
      { flags: '--force', text: 'replace the file if it exists' },
    ],
    examples: [['recover /dev/shm/iommufd-rr-4711-0a1b2c3d.spool -o bug.irr', 'what was recorded before the kill']],
    load: () => import('./recover.ts'),
  },
  {
    name: 'import',
    summary: "make a trace of another tool's log, or of what export wrote",
    description:
      'jsonl is what export --format jsonl wrote, perhaps with fields that were edited since; it becomes the same trace again. The others are logs: ' +
      "Loads and stores of the kernel's own drivers, as the kernel's tracing shows them, become events. With --with they are put into one timeline with a recording, by " +
      'CLOCK_MONOTONIC: set trace_clock to mono before the log is taken. The recording itself is not changed. Lines that are no accesses are left out and counted; words written to ' +
      'trace_marker become notes; what the log says it lost becomes a gap.',
    args: [
      {
        name: '<format>',
        text: 'jsonl: of export; mmiotrace: of an x86 kernel; ftrace: rwmmio events (CONFIG_TRACE_MMIO_ACCESS), text of trace, trace-cmd report or perf script',
        choices: ['jsonl', 'mmiotrace', 'ftrace'],
      },
      { name: '<file>', text: 'the log; - for standard input; jsonl may be packed (gzip, zstd)', completes: 'file' },
    ],
    options: [
      { flags: '-o, --output <file>', text: 'the trace', completes: 'file' },
      { flags: '--force', text: 'replace the file if it exists' },
      { flags: '--with <trace>', text: 'a recording of the same time, to be merged with the log', completes: 'trace' },
      {
        flags: '--clock <name>',
        text: 'the trace_clock that the log was taken with (default: taken for mono)',
        choices: ['mono', 'boot', 'tai', 'mono_raw', 'local', 'global', 'perf', 'uptime'],
      },
      { flags: '--clock-offset <seconds>', text: 'what to add to the times of the log to have CLOCK_MONOTONIC' },
      { flags: '--cmdqv <range>', text: 'where the CMDQV lies: physical address, or ADDRESS+LENGTH' },
      { flags: '--cmdqv-virtual <range>', text: "the kernel's virtual address of it, which rwmmio events have" },
      {
        flags: '--vmallocinfo <file>',
        text: 'copy of /proc/vmallocinfo of that kernel: what its virtual addresses stand for',
        completes: 'file',
      },
    ],
    examples: [
      ['import jsonl bug.jsonl -o edited.irr', 'a trace as text, back again'],
      ['import mmiotrace mmio.txt -o mmio.irr', "what an x86 kernel's drivers did"],
      ['import ftrace trace.txt --with vmm.irr -o both.irr', "a recording, and the kernel's accesses between its calls"],
      ['import ftrace trace.txt --cmdqv 0x24200000 --vmallocinfo vmallocinfo.txt -o cmdqv.irr', 'registers of the CMDQV by name'],
    ],
    load: () => import('./import.ts'),
  },
  {
    name: 'simulate',
    summary: 'run a scenario on the models of kernel and hardware, as a trace',
    description:
      'A scenario is a text of steps: what a VMM and its guest do with iommufd and a Tegra241 CMDQV. The kernel answers by its rules, the hardware takes commands, ' +
      'fails and recovers by its model, and what a recording would have seen becomes a trace like any other. SCENARIO is a file, or the name of one that comes with the program.',
    args: [{ name: '[scenario]', text: 'a .scn file, or one of those that --list names', completes: 'file' }],
    options: [
      {
        flags: '-o, --output <file>',
        text: 'the trace (default: the name of the scenario, here); an existing file is not replaced',
        completes: 'file',
      },
      { flags: '--dialect <name>', text: 'the kernel or patch series whose rules answer (default: the newest kernel)', choices: DIALECTS },
      { flags: '--list', text: 'the scenarios that come with the program' },
      COLOR,
    ],
    examples: [
      ['simulate --list', 'what there is'],
      ['simulate error -o error.irr', 'a command that a guest may not send, the vEVENT, the recovery'],
      ['simulate my.scn --dialect hw-queue-v4', 'a scenario of your own, by the rules of a patch series'],
    ],
    load: () => import('./simulate.ts'),
  },
  {
    name: 'info',
    summary: 'what is in a trace: machine, command, events, whether it is whole',
    args: [TRACE],
    options: [JSON_OPTION, COLOR],
    examples: [
      ['info bug.irr', 'the essentials in a few lines'],
      ['info --json bug.irr', 'the same as one JSON object'],
    ],
    load: () => import('./info.ts'),
  },
  {
    name: 'verify',
    summary: 'check a trace against its checksums',
    args: [TRACE],
    options: [JSON_OPTION, COLOR],
    examples: [['verify bug.irr', 'prints OK, or every place that is damaged']],
    exits: [['1', 'the trace is damaged']],
    load: () => import('./verify.ts'),
  },
  {
    name: 'show',
    summary: 'the events, decoded',
    description:
      'CALLSET picks events by number: 4, 100-200, 10-, -20, 1000-2000/errors, @file (one set per line), and lists of these with commas. ' +
      'EXPR picks by content: errno != 0 && call == IOMMU_HW_QUEUE_ALLOC, object == viommu 4, took > 1ms, flags & NEST_PARENT, created(hw_queue).',
    args: [
      { name: '[trace]', text: 'an .irr file; the newest one here where there is none', completes: 'trace' },
      { name: '[callset]', text: 'which events by number' },
    ],
    options: [
      { flags: '-w, --where <expr>', text: 'only events that meet the expression' },
      { flags: '-e, --errors', text: 'only calls that failed' },
      { flags: '-n, --limit <n>', text: 'stop after n events' },
      { flags: '--last <n>', text: 'the last n events of those that match' },
      { flags: '--full', text: 'whole arrays and bytes, exact times, what each descriptor is: nothing is left out' },
      { flags: '--verbose', text: 'as --full, with whole constant names' },
      { flags: '--raw', text: 'numbers instead of names' },
      { flags: '--hex', text: 'below each event its bytes, in and out' },
      { flags: '--changes', text: 'below each event what it changed in the state' },
      { flags: '--notes', text: 'only events that have a bookmark or a note, and these below them' },
      { flags: '--resolve', text: 'say of every object id what it stands for, and the event of its birth: viommu_id=6<VIOMMU@8>' },
      { flags: '--no-resolve', text: 'say it of none (otherwise: where the field leaves it open)' },
      { flags: '--abs-time', text: 'time of day (UTC) instead of seconds since the start' },
      { flags: '--relative', text: 'seconds since the previous printed event' },
      { flags: '--no-pager', text: 'do not page on a terminal' },
      JSON_OPTION,
      COLOR,
    ],
    examples: [
      ['show bug.irr 100-200', 'events 100 to 200'],
      ["show bug.irr -w 'errno != 0 && call ~ HW_QUEUE' --changes", 'failed hardware-queue calls, and what they changed'],
      ['show bug.irr --notes', 'what somebody has noted in the screens (keys m and a)'],
      ['show bug.irr --json -w "object == 7" | jq .call', 'every call that names object 7, for scripts'],
    ],
    load: () => import('./show.ts'),
  },
  {
    name: 'stats',
    summary: 'calls, errors and latencies, by call and by process; ways of invalidation',
    description:
      'A guest invalidates by its VMM, with IOMMU_HWPT_INVALIDATE, or by hardware queues of its own. Where a trace has either, both are counted side by side: ioctls, exits, ' +
      'accesses of page 0, commands by name. Exits need record --kvm, accesses record --mmio; what was not recorded is a question mark.',
    args: [TRACE],
    options: [
      { flags: '-w, --where <expr>', text: 'only events that meet the expression' },
      { flags: '--sort <by>', text: 'order of the calls', choices: ['time', 'count', 'errors', 'name'], default: 'time' },
      JSON_OPTION,
      COLOR,
    ],
    examples: [
      ['stats bug.irr', 'where the time went, and what failed how'],
      ["stats bug.irr -w 'pid == 4711' --sort errors", 'one process, most errors first'],
    ],
    load: () => import('./stats.ts'),
  },
  {
    name: 'state',
    summary: 'the objects of the kernel at a point of the recording',
    args: [TRACE],
    options: [AT, CONTEXT, { flags: '--digest', text: 'only the SHA-256 of the state' }, JSON_OPTION, COLOR],
    examples: [
      ['state bug.irr --at 1204', 'contexts, objects and mappings after event 1204'],
      ['state bug.irr --at 50% --digest', 'one line that is equal for equal states'],
    ],
    load: () => import('./state.ts'),
  },
  {
    name: 'graph',
    summary: 'the objects as a picture: text, dot, mermaid, svg',
    args: [TRACE],
    options: [
      AT,
      CONTEXT,
      { flags: '-f, --format <format>', text: 'how to draw it', choices: ['text', 'dot', 'mermaid', 'svg'], default: 'text' },
      { flags: '-o, --output <file>', text: 'write there, not to standard output', completes: 'file' },
      { flags: '--ascii', text: 'draw without box characters' },
      { flags: '--json', text: 'print nodes and edges as JSON for scripts' },
      COLOR,
    ],
    examples: [
      ['graph bug.irr --at 1204', 'a tree for the terminal'],
      ['graph bug.irr --at 1204 --format svg -o bug.svg', 'a picture for a report'],
    ],
    load: () => import('./graph.ts'),
  },
  {
    name: 'why',
    summary: 'why a call failed, or what it changed',
    description:
      'Says which rule of the kernel fired, with the values and objects that made it fire and the events that made those. The rules are those of the ' +
      'kernel that was recorded, or of another one (--model): the same call is then explained as that kernel would have it.',
    args: [TRACE, { name: '<seq>', text: 'number of the event' }],
    options: [MODEL, JSON_OPTION, COLOR],
    examples: [
      ['why bug.irr 1204', 'the rule behind the errno of event 1204'],
      ['why bug.irr 1204 --model linux-6.12', 'and what Linux 6.12 would have said'],
    ],
    load: () => import('./why.ts'),
  },
  {
    name: 'check',
    summary: "check a trace against the kernel's rules",
    description:
      'Every ioctl of iommufd is predicted from the state before it: errno, ids, every output. What differs is a finding, in the kernel, in the rules, or between ' +
      'two kernels. What the log does not determine (memory of the program, private state of a driver) is counted by reason, never guessed.',
    args: [TRACE],
    options: [MODEL, JSON_OPTION, COLOR],
    examples: [
      ['check bug.irr', 'against the rules of the kernel it was recorded on'],
      ['check bug.irr --model linux-6.12', 'what an older kernel would have answered otherwise'],
    ],
    exits: [['1', 'the log and the rules disagree']],
    load: () => import('./check.ts'),
  },
  {
    name: 'diff',
    summary: 'where two sessions part, and why',
    description:
      'Calls are matched by what they mean, not by number or time: ids, descriptors, pids and addresses may be others. What differs is shown causes first, each with both events, ' +
      'the objects that they name, the rule behind each answer, and whether it is what the rules of that kernel say; what follows from a cause is folded under it. ' +
      'For git bisect run: --since GOOD TRACE says with its exit status whether TRACE is good (0), bad (1), or cannot be judged (125): it is incomplete, of another program, cannot be ' +
      'read, or (with --bad) did not come to where the bad one parts from the good one, or does there what neither did. What is wrong with the command itself is 128, which ends the bisection.',
    args: [
      { ...TRACE, name: '<a>' },
      { name: '[b]', text: 'the second .irr file', completes: 'trace' },
    ],
    options: [
      { flags: '-n, --limit <n>', text: 'causes that are shown (default: 10; 200 with --html)' },
      { flags: '--all', text: 'every cause, and every difference that follows from one' },
      { flags: '--stat', text: 'only counts: a line for each sort of difference and call' },
      { flags: '--timing', text: 'compare latencies too, call by call, by a significance test; a call that differs is a difference' },
      {
        flags: '--threshold <n>',
        text: 'with --timing: the least factor by which a call must be slower or faster to differ, or percentage (default: 1.25, which is 25%)',
      },
      {
        flags: '--same <trace>',
        text: 'with --timing: another recording like a: what differs as much between these is no difference. One recording is one boot, one load, one placement; three or more show how far these alone move a call',
        many: true,
        completes: 'trace',
      },
      {
        flags: '-i, --ignore <expr>',
        text: 'differences do not count where this is true of either event, nor what follows from them',
        many: true,
      },
      {
        flags: '--rules <file>',
        text: 'a file of such expressions, a line each: name: expression  # comment',
        many: true,
        completes: 'file',
      },
      {
        flags: '--preset <name>',
        text: 'differences that are known do not count: known (between the two that were recorded), 6.12..7.2, vcmdq-v2..hw-queue-v4, hw-queue-v4..7.2 …',
        many: true,
      },
      {
        flags: '--far',
        text: 'ask the rules of the kernels about what differs however far into the traces; else within the first million events: it takes some seconds a million',
      },
      { flags: '--since <good>', text: 'for git bisect run: judge the one trace that is given against this one', completes: 'trace' },
      { flags: '--bad <trace>', text: 'with --since: only the first difference of this trace counts', completes: 'trace' },
      { flags: '--html <file>', text: 'write one self-contained page', completes: 'file' },
      {
        flags: '--width <n>',
        text: 'columns of the text (default: those of the terminal, else 80); from 160 on both sides stand beside each other',
      },
      { flags: '--no-pager', text: 'do not page on a terminal' },
      JSON_OPTION,
      COLOR,
    ],
    examples: [
      ['diff good.irr bad.irr', 'the first differences, with their reasons'],
      ["diff good.irr bad.irr --ignore 'call == IOMMU_TEST_CMD' --stat", 'how many of what, one call left aside'],
      [
        'diff before.irr after.irr --timing --same before2.irr --same before3.irr',
        'which calls became slower, by more than from run to run',
      ],
      ['diff --since good.irr new.irr', "git bisect run sh -c './boot new.irr || exit 125; iommufd-rr diff --since good.irr new.irr'"],
      ['diff --since good.irr --bad bad.irr new.irr', 'the same, looking for the one difference with which bad.irr begins'],
    ],
    exits: [
      ['0', 'no difference, or none that counts; with --since: good'],
      ['1', 'differences; with --since: bad'],
      ['125', 'with --since: cannot tell'],
      ['128', 'with --since: wrong use, or the good trace or the rules cannot be read'],
    ],
    troubleStatus: (words) => (words.some((word) => /^--since(=|$)/.test(word)) ? 128 : 2),
    load: () => import('./diff.ts'),
  },
  {
    name: 'rerun',
    summary: 'the calls of a recording once more, on the model or a kernel; what went otherwise',
    description:
      'Every call is issued again, by the same processes in the same order, with the ids, descriptors, IOVAs and offsets that it gets now. What comes of it is a trace of its own, which is compared ' +
      'with the recording as diff does. The model answers by the rules of a kernel; what it cannot know (what hardware is, how memory lies) is as it was recorded, and is told. ' +
      'On the kernel of this machine a small program issues the calls, in processes and threads like those that were recorded, with memory like theirs; it records each call before it makes it. With --emit-plan another machine can do it, which needs nothing but that program (irr-rerun).',
    args: [TRACE],
    options: [
      {
        flags: '--on <what>',
        text: 'who answers: the model of kernel and hardware, or the kernel of this machine',
        choices: ['model', 'kernel'],
        default: 'model',
      },
      {
        flags: '-o, --output <file>',
        text: 'the new trace (default: TRACE-rerun.irr, here); an existing file is not replaced',
        completes: 'file',
      },
      {
        flags: '--dialect <name>',
        text: 'the kernel or patch series whose rules answer (default: that of the recording)',
        choices: DIALECTS,
      },
      {
        flags: '--dry-run',
        text: 'print the steps, with names for the numbers that will be others, and what cannot be done again; issue nothing',
      },
      {
        flags: '--emit-plan <file>',
        text: 'kernel: write what irr-rerun needs to issue the calls on another machine; issue nothing',
        completes: 'file',
      },
      { flags: '--mmio', text: 'kernel: also the loads and stores of mapped regions' },
      { flags: '--vfio', text: 'kernel: do not ask before VFIO devices, real hardware, are touched' },
      { flags: '--durable', text: 'kernel: what is recorded is on the disk before every call; the spool OUTPUT.spool stays' },
      { flags: '--verbose', text: 'kernel: name every call on standard error before it is made' },
      { flags: '--timeout <seconds>', text: 'kernel: what a call may take longer than it took in the recording (default: 10)' },
      { flags: '-n, --limit <n>', text: 'causes of differences that are shown (default: all)' },
      { flags: '--all', text: 'with every difference that follows from one' },
      JSON_OPTION,
      COLOR,
    ],
    examples: [
      ['rerun bug.irr -o again.irr', 'does the model of that kernel answer as it did?'],
      ['rerun bug.irr --dialect linux-6.12 -o older.irr', 'what an older kernel would answer to the same program'],
      ['rerun bug.irr --on kernel -o here.irr', 'what the kernel of this machine answers'],
      ['rerun bug.irr --on kernel --emit-plan bug.plan', 'for a guest: there irr-rerun bug.plan -o bug.spool, here recover bug.spool'],
      ['rerun bug.irr --dry-run', 'what the steps are'],
    ],
    exits: [
      ['1', 'something went otherwise than in the recording'],
      ['3', 'kernel: a call did not return; the new trace names it'],
    ],
    load: () => import('./rerun.ts'),
  },
  {
    name: 'reduce',
    summary: 'the shortest session that still shows something',
    description:
      'Of the events that are such as EXPR says the earliest is taken, or the one of --at. First the calls are found that it can rest on, by what they name and make; then whatever can go without it goes, part by part, ' +
      'until no single call can. Each session on the way could have been: no call names what nobody has made, unless it did so before. The model of the kernel answers, or the kernel of this machine; the call is to be refused by the same rule as in the recording. ' +
      'EXPR is a filter expression (help expressions); numbers in it that are given anew each time (events, times, processes, descriptors, ids) only say which event is meant. Or it is lint(RULE), a lint of check; disagrees, an answer that the rules ' +
      'would not give; differs(DIALECT), a call that the rules of another kernel answer otherwise; each of these may go on with && EXPR.',
    args: [TRACE],
    options: [
      { flags: '--keep <expr>', text: 'what is still to be shown' },
      { flags: '--at <seq>', text: 'number of the event that is meant, where several are such' },
      {
        flags: '--on <what>',
        text: 'who answers the calls of each session: the model of kernel and hardware, or the kernel of this machine',
        choices: ['model', 'kernel'],
        default: 'model',
      },
      {
        flags: '--oracle <command>',
        text: 'ask a command whether a session still shows it: it is given the path of a trace, and exits with 0 (still shows it), 1 (does not) or 125 (cannot tell)',
      },
      {
        flags: '-o, --output <file>',
        text: 'the new trace (default: TRACE-reduced.irr, here); an existing file is not replaced',
        completes: 'file',
      },
      { flags: '--mmio', text: 'kernel: also the loads and stores of mapped regions' },
      { flags: '--vfio', text: 'kernel: do not ask before VFIO devices, real hardware, are touched' },
      { flags: '--timeout <seconds>', text: 'kernel: what a call may take longer than it took in the recording (default: 10)' },
      JSON_OPTION,
      COLOR,
    ],
    examples: [
      ["reduce bug.irr --keep 'errno == EBUSY' -o small.irr", 'the first EBUSY, and what it needs'],
      ["reduce bug.irr --keep 'errno != 0' --at 1204 -o small.irr", 'event 1204'],
      ["reduce bug.irr --keep 'lint(leak)' -o small.irr", 'a context that ends with objects in it'],
      ["reduce bug.irr --keep 'differs(linux-6.12)' -o small.irr", 'where an older kernel answers otherwise'],
      ["reduce bug.irr --keep 'errno == EIO' --on kernel -o small.irr", 'every session on the way is issued on the kernel of this machine'],
      ['reduce bug.irr --oracle ./still-crashes.sh -o small.irr', 'by a script that runs it and looks'],
    ],
    exits: [
      ['1', 'the model, the kernel or the oracle does not show it in the whole session; nothing was written'],
      ['3', 'kernel: a call hangs; the shortest so far was written'],
      ['130', 'stopped by Ctrl-C; the shortest so far was written'],
    ],
    load: () => import('./reduce.ts'),
  },
  {
    name: 'export',
    summary: 'a trace in a form for other programs',
    description:
      'jsonl: all that is in the trace, an event a line, in the words of show --json; a field may be edited by hand, and import jsonl makes a trace of it again. ' +
      'Without an edit it is the same trace, bookmarks, notes and digests too. ' +
      'c: a program that makes the same calls, with names for what the kernel chose, in the recorded order of processes and threads; it says what goes otherwise, and exits with 0 or 1. ' +
      'It compiles without warnings and needs no headers of a new kernel. kselftest: the same as a test of the kernel’s harness. syz: a program in syzkaller’s text, one sequence. ' +
      'Only iommufd and VFIO are opened by such a program, and no other program is started; what it does not do again it says in its first lines. A long trace is to be made short first: reduce, slice.',
    args: [TRACE],
    options: [
      { flags: '-f, --format <format>', text: 'what to write', choices: ['jsonl', 'c', 'kselftest', 'syz'] },
      { flags: '--descriptions', text: 'of syz: write what describes the calls that syzkaller does not describe itself, not the program' },
      { flags: '-o, --output <file>', text: 'write there, not to standard output', completes: 'file' },
      { flags: '--force', text: 'replace the file if it exists; make a program of a long trace too' },
    ],
    examples: [
      ['export bug.irr --format jsonl -o bug.jsonl', 'as text, to be edited'],
      ['export bug.irr --format jsonl | jq -c \'select(.errno == "EBUSY")\'', 'for scripts'],
      ['export small.irr --format c -o bug.c && gcc -Wall -Wextra -pthread -o bug bug.c', 'a reproducer'],
    ],
    load: () => import('./export.ts'),
  },
  {
    name: 'redact',
    summary: 'a copy of a trace without what says whose it is',
    description:
      'Addresses of memory, paths, arguments, places on the PCI bus, data of the program and words about the machine become others: the same one for the same one, all through the trace, by a ' +
      'key that is thrown away. Addresses keep their order and their place in the page, regions that lie together still do; calls, ids, IOVAs, lengths, times, pids and answers stay, so that ' +
      'check finds the same. Bookmarks and notes are left out. Not recognised, so look before you send: secrets in registers and configuration space of devices, IOVAs that a program chose equal to its addresses.',
    args: [TRACE],
    options: [
      { flags: '-o, --output <file>', text: 'the new trace', completes: 'file' },
      { flags: '--force', text: 'replace the file if it exists' },
      {
        flags: '--keep <class>',
        text: 'leave something as it is: pointers, paths, arguments, data, bdfs, host, notes',
        choices: CLASS_NAMES,
        many: true,
      },
      JSON_OPTION,
    ],
    examples: [
      ['redact bug.irr -o share.irr', 'and how much of what was changed'],
      ['redact bug.irr -o share.irr --keep paths --keep arguments', 'with names of programs and files'],
    ],
    load: () => import('./redact.ts'),
  },
  {
    name: 'slice',
    summary: 'a window of a trace, with the earlier events that it stands on',
    description:
      'Before the events of RANGE come, as they were, those earlier ones without which the state at its beginning would be another: what made the objects, files, mappings and areas that are there. ' +
      'The state at the end is the same, but for numbers of events and contexts, and for what had ended before; what a call of the window names that had ended is there, too, so its lints are told. All registers and queues of a CMDQV follow from many events: those stay.',
    args: [
      TRACE,
      {
        name: '<range>',
        text: 'by number or by time: 100..200, 100-200, 10.., 4, @12.5..@13 (seconds since the start), @14:03:59.., 25%..50%',
      },
    ],
    options: [
      { flags: '-o, --output <file>', text: 'the new trace', completes: 'file' },
      { flags: '--force', text: 'replace the file if it exists' },
      JSON_OPTION,
    ],
    examples: [
      ['slice long.irr 120000..120400 -o bug.irr', 'where it went wrong, and what that stands on'],
      ['slice long.irr @12.5..@13 -o bug.irr', 'half a second of it'],
    ],
    load: () => import('./slice.ts'),
  },
  {
    name: 'annotate',
    summary: 'notes and bookmarks of events, as the screens have them',
    description:
      'They are kept in the trace, or in a file beside it where the trace cannot be written or is still recorded; no digest changes by them. An event has one note: another takes its place.',
    args: [TRACE, { name: '[seq]', text: 'number of the event' }, { name: '[text...]', text: 'the note' }],
    options: [
      { flags: '--mark <name>', text: 'a bookmark of this name; one that there is moves here' },
      { flags: '--remove', text: 'take the note and the bookmarks of the event away; with --mark that bookmark alone' },
      { flags: '--list', text: 'what there is' },
      JSON_OPTION,
    ],
    examples: [
      ["annotate bug.irr 1204 'the guest has reset the queue here'", 'show --notes and the screens show it'],
      ['annotate bug.irr 1204 --mark a', "in the screens: 'a jumps to it"],
      ['annotate bug.irr --list', 'all of them'],
    ],
    load: () => import('./annotate.ts'),
  },
  {
    name: 'tui',
    summary: 'step through a trace, both ways, with the objects of that instant',
    description: `Also: ${PROGRAM} TRACE. Keys are those of less and vi; ? lists them. With a second trace both are shown beside each other, aligned by what their calls mean.`,
    args: [TRACE, { name: '[other]', text: 'a second trace to compare with', completes: 'trace' }],
    options: [
      { ...AT, text: `${AT.text}; where to begin`, default: '1' },
      { flags: '--follow', text: 'the recording is still running: begin at its end and show what comes' },
      { flags: '--ascii', text: 'draw without box characters' },
      { flags: '--plain', text: 'line by line, for a screen reader or a script: commands in, lines out' },
      { flags: '--no-mouse', text: 'leave the mouse to the terminal (F2 changes it)' },
      COLOR,
    ],
    examples: [
      ['bug.irr', 'open a trace at its first event'],
      ['tui run.irr --follow', 'while it is recorded'],
      ['tui bug.irr --at end', 'at its last'],
      ['tui good.irr bad.irr', 'where two sessions part'],
    ],
    load: () => import('./tui.ts'),
  },
  {
    name: 'demo',
    summary: 'a session from first look to the moment where it went wrong',
    args: [{ name: '[trace]', text: 'show this session instead', completes: 'trace' }],
    options: [COLOR],
    examples: [['demo', 'takes some seconds, asks nothing']],
    load: () => import('./demo.ts'),
  },
  {
    name: 'bench',
    summary: 'how to measure the speed of the program on your machine',
    args: [],
    options: [],
    examples: [['bench', 'says what to run']],
    load: () => import('./bench.ts'),
  },
  {
    name: 'completion',
    summary: 'a completion script for your shell',
    args: [{ name: '<shell>', text: 'bash, zsh or fish', choices: ['bash', 'zsh', 'fish'] }],
    options: [],
    examples: [
      ['completion bash > ~/.local/share/bash-completion/completions/iommufd-rr', 'for bash'],
      ['completion fish > ~/.config/fish/completions/iommufd-rr.fish', 'for fish'],
    ],
    load: () => import('./completion.ts'),
  },
];

/** Exit statuses of every command; a command's own rows come on top. */
export const EXITS: readonly (readonly [string, string])[] = [
  ['0', 'done'],
  ['2', 'wrong use, or input that cannot be read'],
];

export const commandRow = (name: string): CommandRow | undefined => COMMANDS.find((row) => row.name === name);
