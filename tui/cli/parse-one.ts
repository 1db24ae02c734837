/** A command with one argument and no options, which is what is asked most (`iommufd-rr FILE`), read without a library. */
import type { CommandRow, OptionRow, Options } from './commands.ts';

/** What {@link parseOptions} would say; undefined where it has to be asked. */
export function parseOne(row: CommandRow, words: readonly string[]): { readonly args: string[]; readonly options: Options } | undefined {
  const [word] = words;
  const takes = row.args[0];
  if (word === undefined || words.length > 1 || word.startsWith('-') || takes === undefined || takes.choices !== undefined)
    return undefined;
  if (row.passThrough === true || row.args.filter((a) => a.name.startsWith('<')).length > 1) return undefined;
  return { args: [word], options: Object.fromEntries(row.options.flatMap((o) => given(o, row.options))) };
}

const nameOf = (flags: string): string => /--([a-z][a-z-]*)/.exec(flags)?.[1] ?? '';

/** An option that was not given: `--name` has its default, `--no-name` alone is true. */
function given({ flags, default: value }: OptionRow, all: readonly OptionRow[]): [string, Options[string]][] {
  const name = nameOf(flags);
  const alone = name.startsWith('no-') && !all.some((o) => `no-${nameOf(o.flags)}` === name);
  const known = alone ? true : value;
  const camel = name.replace(/^no-/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return known === undefined ? [] : [[camel, known]];
}
