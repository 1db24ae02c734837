/** Help texts, from the table. Topics beside the commands are rows of {@link TOPICS}. */
import { COMMANDS, type CommandRow, EXITS, type OptionRow, PROGRAM, SUMMARY } from './commands.ts';

const WIDTH = 100;

/** Words in lines of at most `width` characters, all but the first indented. */
export function wrapped(text: string, indent: number, width = WIDTH): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.join(`\n${' '.repeat(indent)}`);
}

/** Rows of two columns; the second is wrapped. */
export function columns(rows: readonly (readonly [string, string])[], left?: number): string {
  const wide = left ?? Math.min(34, Math.max(...rows.map(([a]) => a.length)));
  return rows
    .map(([a, b]) =>
      a.length > wide ? `  ${a}\n  ${' '.repeat(wide)}  ${wrapped(b, wide + 4)}` : `  ${a.padEnd(wide)}  ${wrapped(b, wide + 4)}`,
    )
    .join('\n');
}

export const section = (title: string, body: string): string => `\n${title}\n${body}\n`;

export function usageLine(row: CommandRow): string {
  const own = row.args.map((a) => (row.passThrough && a.name.includes('...') ? `-- ${a.name.toUpperCase()}` : a.name.toUpperCase()));
  const words = [PROGRAM, row.name, ...(row.options.length === 0 ? [] : ['[OPTIONS]']), ...own.map((w) => w.replace(/[<>]/g, ''))];
  return words.join(' ');
}

function optionText(row: OptionRow): string {
  const fallback = row.default === undefined ? '' : ` (default: ${row.default})`;
  const choices = row.choices === undefined || row.choices.every((c) => row.text.includes(c)) ? '' : `: ${row.choices.join(', ')}`;
  return `${row.text}${choices}${fallback}`;
}

/** `iommufd-rr help VERB` */
export function commandHelp(row: CommandRow): string {
  const examples = row.examples.map(([args, why]) => `  ${PROGRAM} ${args}\n      ${why}`).join('\n');
  const options = [
    ...row.options.map((o): [string, string] => [indented(o.flags), optionText(o)]),
    ['-h, --help', 'this text'] as [string, string],
  ];
  const own = row.exits ?? [];
  const usual = (status: string): (readonly [string, string])[] => EXITS.filter(([n]) => n === status && !own.some(([o]) => o === n));
  const exits = row.ownStatus === undefined ? [...usual('0'), ...own, ...usual('2')] : own;
  let text = `${PROGRAM} ${row.name}: ${row.summary}\n\nUsage: ${usageLine(row)}\n`;
  if (row.description !== undefined) text += `\n${wrapped(row.description, 0)}\n`;
  text += section('Examples', examples);
  if (row.args.length > 0)
    text += section('Arguments', columns(row.args.map((a) => [a.name.replace(/[<>[\]]/g, '').toUpperCase(), a.text])));
  text += section('Options', columns(options));
  return text + section('Exit status', columns(exits));
}

const indented = (flags: string): string => (flags.startsWith('--') ? `    ${flags}` : flags);

/** What can be read about beside the commands: `iommufd-rr help expressions`. */
export interface Topic {
  readonly name: string;
  readonly summary: string;
  readonly text: () => Promise<string>;
}

export const TOPICS: readonly Topic[] = [
  { name: 'expressions', summary: 'the filter language of --where', text: async () => (await import('./topics.ts')).expressionsText() },
  { name: 'json', summary: 'what --json prints', text: async () => (await import('./topics.ts')).jsonText() },
];

/** `iommufd-rr --help` */
export function programHelp(version: string): string {
  const verbs = COMMANDS.map((row): [string, string] => [row.name, row.summary]);
  return (
    `${PROGRAM} ${version}: ${SUMMARY}\n\nUsage: ${PROGRAM} COMMAND [OPTIONS] [ARGUMENTS]\n` +
    section('Commands', columns([...verbs, ['help [topic]', 'this text, or that of a command or a topic']])) +
    section(
      'Options',
      columns([
        ['-h, --help', 'this text'],
        ['-V, --version', 'the version'],
      ]),
    ) +
    section('Exit status', columns([EXITS[0]!, ['1', 'a finding (verify, check, diff)'], EXITS[1]!])) +
    `\nSet NO_COLOR to go without colours, IRR_DEBUG=1 to see where an error came from.\n`
  );
}
