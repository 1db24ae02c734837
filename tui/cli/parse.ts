/** Words of the command line to arguments and options, by the table. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type CommandRow, type Options, PROGRAM } from './commands.ts';
import { UsageError } from './errors.ts';

/** Options of a command from its words, or that its help is asked for; commander's complaints become {@link UsageError}. */
export function parseOptions(row: CommandRow, words: readonly string[]): { args: string[]; options: Options } | 'help' {
  const command = new Command(row.name).exitOverride().helpOption('-h, --help').showSuggestionAfterError(true);
  command.configureOutput({ writeErr: () => {}, writeOut: () => {} });
  if (row.passThrough === true) command.passThroughOptions();
  for (const a of row.args) command.argument(a.name, a.text);
  for (const o of row.options) {
    const option = new Option(o.flags, o.text);
    if (o.choices !== undefined) option.choices([...o.choices]);
    if (o.default !== undefined) option.default(o.default);
    if (o.many === true) option.argParser((value: string, all: string[] | undefined) => [...(all ?? []), value]);
    command.addOption(option);
  }
  command.action(() => {});
  try {
    command.parse(row.passThrough === true ? [...words] : words.map(veil), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.code === 'commander.helpDisplayed') return 'help';
    if (error instanceof CommanderError || error instanceof InvalidArgumentError) throw usage(row, error.message);
    throw error;
  }
  const args = command.args.map(unveil);
  row.args.forEach((a, i) => {
    if (a.choices !== undefined && args[i] !== undefined && !a.choices.includes(args[i])) {
      throw new UsageError(`${row.name}: "${args[i]}" is none of ${a.choices.join(', ')}`);
    }
  });
  const options = Object.entries(command.opts()).map(([name, value]) => [name, typeof value === 'string' ? unveil(value) : value]);
  return { args, options: Object.fromEntries(options) as Options };
}

/** `-20/errors` is a set of events, not an option: no option begins with a digit. */
const veil = (word: string): string => (/^-\d/.test(word) ? `\0${word}` : word);
const unveil = (word: string): string => word.replace(/^\0/, '');

/** commander's message (`error: unknown option '--x'\n(Did you mean --y?)`) as ours. */
function usage(row: CommandRow, message: string): UsageError {
  const [first = '', ...more] = message.replace(/^error: /, '').split('\n');
  const meant = /Did you mean (.*)\?/.exec(more.join(' '))?.[1];
  return new UsageError(
    `${row.name}: ${first}`,
    `${meant === undefined ? '' : `did you mean ${meant}? `}${PROGRAM} ${row.name} --help says more`,
  );
}
