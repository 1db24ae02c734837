#!/usr/bin/env node
/** The program: finds the command in the table, reads its options, runs it, and says in one line what went wrong. */
import { escapeText } from '../../hw/quote.ts';
import { nearest } from '../../replayer/nearest.ts';
import { IrrError } from '../../store/errors.ts';
import { COMMANDS, type CommandRow, commandRow, type Io, PROGRAM } from './commands.ts';
import { UsageError } from './errors.ts';
import { commandHelp, programHelp, TOPICS } from './help.ts';
import { type ColorChoice, type Out, OutputClosed, standardOut } from './output.ts';
import { parseOne } from './parse-one.ts';
import { version } from './version.ts';

/** A word that is no command is perhaps a trace: `iommufd-rr bug.irr` opens it. */
const looksLikeTrace = (word: string): boolean => /\.irr$/.test(word) || word.includes('/');

function unknownCommand(word: string): UsageError {
  const meant = nearest(word, [...COMMANDS.map((row) => row.name), 'help']);
  return new UsageError(
    `no command is called "${word}"`,
    `${meant === undefined ? '' : `did you mean ${meant}? `}${PROGRAM} --help lists them`,
  );
}

/** One line (or a line and what belongs below it) on standard error. */
function note(text: string): void {
  process.stderr.write(`${PROGRAM}: ${text.split('\n').map(escapeText).join('\n')}\n`);
}

/** Prints text that is ours. */
async function say(text: string): Promise<number> {
  const out = standardOut('never', false);
  out.text(text);
  await out.end();
  return 0;
}

async function help(words: readonly string[]): Promise<number> {
  const name = words[0];
  if (name === undefined) return say(programHelp(version()));
  const topic = TOPICS.find((t) => t.name === name);
  if (topic !== undefined) return say(await topic.text());
  const row = commandRow(name);
  if (row === undefined) throw unknownCommand(name);
  return say(commandHelp(row));
}

async function runCommand(row: CommandRow, words: readonly string[]): Promise<number> {
  // the library that reads options is loaded where there are some
  const parsed = parseOne(row, words) ?? (await import('./parse.ts')).parseOptions(row, words);
  if (parsed === 'help') return say(commandHelp(row));
  const { args, options } = parsed;
  let opened: Out | undefined;
  const io: Io = {
    out: (page = false) => {
      opened ??= standardOut((options.color as ColorChoice | undefined) ?? 'auto', page);
      return opened;
    },
    note,
  };
  const { run } = await row.load();
  let status: number;
  try {
    status = await run(args, options, io);
  } catch (error) {
    // What was found before is worth having, and stands before the complaint.
    if (!(error instanceof OutputClosed)) await opened?.end();
    throw error;
  }
  await opened?.end();
  return status;
}

async function dispatch(words: readonly string[]): Promise<number> {
  const [first, ...rest] = words;
  if (first === undefined) {
    process.stderr.write(programHelp(version()));
    return 2;
  }
  if (first === '-h' || first === '--help') return say(programHelp(version()));
  if (first === '-V' || first === '--version') return say(`${PROGRAM} ${version()}`);
  if (first === 'help') return help(rest);
  const row = commandRow(first);
  if (row !== undefined) return runCommand(row, rest);
  const tui = commandRow('tui');
  if (tui !== undefined && looksLikeTrace(first)) return runCommand(tui, words);
  if (first.startsWith('-'))
    throw new UsageError(`unknown option "${first}"`, `options stand behind the command: ${PROGRAM} COMMAND ${first}`);
  throw unknownCommand(first);
}

/** Runs the program. → exit status */
export async function main(words: readonly string[]): Promise<number> {
  try {
    return await dispatch(words);
  } catch (error) {
    if (error instanceof OutputClosed) return 0;
    report(error);
    return commandRow(words[0] ?? '')?.troubleStatus?.(words) ?? 2;
  }
}

function report(error: unknown): void {
  if (error instanceof IrrError) {
    note(error.message);
    if (error.hint !== undefined) process.stderr.write(`  hint: ${escapeText(error.hint)}\n`);
  } else {
    note(`this is a mistake of the program: ${error instanceof Error ? error.message : String(error)}`);
    process.stderr.write('  hint: please report it with the output of IRR_DEBUG=1\n');
  }
  if (process.env.IRR_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

process.exitCode = await main(process.argv.slice(2));
