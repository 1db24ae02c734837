/** `import`: the front end of the importers. */
import type { Format } from '../../recorder/import/format.ts';
import { formatNamed } from '../../recorder/import/formats.ts';
import { type ImportResult, importLog } from '../../recorder/import/import.ts';
import { cmdqvRegions, mappedRegions } from '../../recorder/import/regions.ts';
import { importJsonl } from '../../recorder/jsonl/import.ts';
import type { Io, Options, Run } from './commands.ts';
import { PROGRAM } from './commands.ts';
import { UsageError } from './errors.ts';
import { Progress } from './output.ts';
import { version } from './version.ts';

const text = (options: Options, name: string): string | undefined => (typeof options[name] === 'string' ? options[name] : undefined);

/** Sorts of lines that are told by name. */
const MOST_SORTS = 6;

/** Options that say what a log of another tool does not. */
const OF_LOGS = ['with', 'clock', 'clockOffset', 'cmdqv', 'cmdqvVirtual', 'vmallocinfo'];

export const run: Run = async ([name = '', input = ''], options, io) => {
  const output = text(options, 'output');
  if (output === undefined) throw new UsageError('import: where shall the trace go?', 'say it with --output FILE');
  if (name === 'jsonl') return jsonl(input, output, options, io);
  const format = formatNamed(name) as Format;
  const recording = text(options, 'with');
  const offset = offsetOf(options, recording);
  const cmdqv = cmdqvRegions(text(options, 'cmdqv'), text(options, 'cmdqvVirtual'));
  const list = text(options, 'vmallocinfo');
  const regions = list === undefined ? cmdqv : mappedRegions(list, cmdqv);
  const progress = new Progress('importing');
  const force = options.force === true;
  const result = importLog({
    format,
    input,
    output,
    force,
    tool: `${PROGRAM} ${version()}`,
    recording,
    offset,
    regions,
    progress: (done, total) => progress.update(done, total),
  });
  progress.done();
  for (const line of report(result, recording, offset)) io.note(line);
  io.note(`imported ${counted(result.imported, 'event')} of ${format.name} (${lostText(result)}): ${result.events} events in ${output}`);
  return 0;
};

/** What `export --format jsonl` wrote. */
async function jsonl(input: string, output: string, options: Options, io: Io): Promise<number> {
  const extra = OF_LOGS.find((name) => options[name] !== undefined);
  if (extra !== undefined)
    throw new UsageError(
      `--${extra.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}: is of logs of other tools, and jsonl is a whole trace`,
    );
  const progress = new Progress('importing');
  const result = await importJsonl({
    input,
    output,
    force: options.force === true,
    progress: (done, total) => progress.update(done, total),
  });
  progress.done();
  const sides = [counted(result.marks, 'bookmark'), counted(result.notes, 'note')].filter((text) => !text.startsWith('0 '));
  io.note(`imported ${counted(result.events, 'event')}${sides.length === 0 ? '' : ` with ${sides.join(' and ')}`} in ${output}`);
  return 0;
}

/** What is to be added to the times of the log, nanoseconds; undefined where it has to be assumed that they are CLOCK_MONOTONIC. */
function offsetOf(options: Options, recording: string | undefined): bigint | undefined {
  const said = text(options, 'clockOffset');
  const clock = text(options, 'clock');
  if (said !== undefined) {
    const match = /^([+-]?)(\d{1,10})(?:\.(\d{1,9}))?$/.exec(said);
    if (match === null) throw new UsageError(`--clock-offset: "${said}" is no number of seconds`, 'for example -12.5');
    const ns = BigInt(`${match[2]}${(match[3] ?? '').padEnd(9, '0')}`);
    return match[1] === '-' ? -ns : ns;
  }
  if (clock === undefined) return undefined;
  if (clock === 'mono') return 0n;
  if (recording !== undefined)
    throw new UsageError(
      `--clock ${clock}: that is not the clock of the recording, which is CLOCK_MONOTONIC (mono)`,
      'say what to add to the times of the log with --clock-offset SECONDS, or take it with: echo mono > /sys/kernel/tracing/trace_clock',
    );
  return 0n;
}

const counted = (n: number, one: string): string => `${n} ${n === 1 ? one : `${one}s`}`;

function lostText(r: ImportResult): string {
  return r.lost === 0 ? 'none lost, as far as it says' : `${r.lost} lost`;
}

/** What is worth to be known of an import, a line each. */
function report(r: ImportResult, recording: string | undefined, offset: bigint | undefined): string[] {
  const lines: string[] = [];
  const left = [...r.foreign.values()].reduce((a, b) => a + b, 0);
  if (left > 0) {
    const sorts = [...r.foreign].sort((a, b) => b[1] - a[1]);
    const named = sorts.slice(0, MOST_SORTS).map(([what, n]) => `${n} ${what}`);
    if (sorts.length > MOST_SORTS) named.push(`${sorts.length - MOST_SORTS} other sorts`);
    lines.push(`${counted(left, 'line')} of the log left out: ${named.join(', ')}`);
  }
  if (r.marks > 0)
    lines.push(`${counted(r.marks, 'mark')} of the log became notes${r.marksLeft > 0 ? `, ${r.marksLeft} more did not` : ''}`);
  if (r.disorder > 0) lines.push(`${counted(r.disorder, 'event')} of the log stood so far out of order that they could not be put right`);
  if (recording === undefined) return lines;
  if (offset === undefined)
    lines.push(
      'the log does not say what clock its times are of: taken for CLOCK_MONOTONIC (trace_clock mono), like those of the recording',
    );
  if (r.inside === 0) lines.push('no event of the log lies between the first and the last of the recording');
  return lines;
}
