/** `completion`: scripts for bash, zsh and fish, from the table. */

import { type ArgumentRow, COMMANDS, type CommandRow, type OptionRow, PROGRAM, type Run } from './commands.ts';
import { TOPICS } from './help.ts';

/** `-o, --output <file>` → its words, and whether it wants a value */
function parts(row: OptionRow): { short: string | undefined; long: string; value: boolean } {
  const short = /^-(\w)/.exec(row.flags)?.[1];
  const long = /--([\w-]+)/.exec(row.flags)?.[1] ?? '';
  return { short, long, value: /[<[]/.test(row.flags) };
}

const words = (row: OptionRow): string[] => {
  const { short, long } = parts(row);
  return short === undefined ? [`--${long}`] : [`-${short}`, `--${long}`];
};

type Completes = NonNullable<OptionRow['completes'] | ArgumentRow['completes']>;
const quoted = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`;

const BASH_FILES: { readonly [C in Completes]: string } = {
  file: 'compgen -f -- "$cur"',
  trace: `compgen -f -X '!*.irr' -- "$cur"; compgen -d -- "$cur"`,
  command: 'compgen -c -- "$cur"',
};

function bashCommand(row: CommandRow): string {
  const values = row.options.filter((o) => parts(o).value);
  const cases = values.map((o) => {
    const action =
      o.choices !== undefined
        ? `compgen -W ${quoted(o.choices.join(' '))} -- "$cur"`
        : o.completes === undefined
          ? 'true'
          : BASH_FILES[o.completes];
    return `        ${words(o).join('|')}) mapfile -t COMPREPLY < <(${action}); return ;;`;
  });
  const flags = [...row.options.flatMap(words), '--help'].join(' ');
  const first = row.args.find((a) => a.choices !== undefined || a.completes !== undefined);
  const rest =
    first === undefined
      ? 'true'
      : first.choices !== undefined
        ? `compgen -W ${quoted(first.choices.join(' '))} -- "$cur"`
        : BASH_FILES[first.completes ?? 'file'];
  return `    ${row.name})
      case "$prev" in
${cases.join('\n')}
        *) ;;
      esac
      if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W ${quoted(flags)} -- "$cur")
      else mapfile -t COMPREPLY < <(${rest}); fi ;;`;
}

function bash(): string {
  const verbs = [...COMMANDS.map((c) => c.name), 'help'].join(' ');
  const topics = [...COMMANDS, ...TOPICS].map((t) => t.name).join(' ');
  return `# bash completion of ${PROGRAM}; made by: ${PROGRAM} completion bash
_iommufd_rr() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W ${quoted(`${verbs} --help --version`)} -- "$cur"; ${BASH_FILES.trace})
    return
  fi
  case "\${COMP_WORDS[1]}" in
${COMMANDS.map(bashCommand).join('\n')}
    help) mapfile -t COMPREPLY < <(compgen -W ${quoted(topics)} -- "$cur") ;;
    *) ;;
  esac
}
complete -o filenames -F _iommufd_rr ${PROGRAM}
`;
}

const ZSH_FILES: { readonly [C in Completes]: string } = { file: '_files', trace: `_files -g "*.irr"`, command: '_command_names -e' };
const zshText = (text: string): string => text.replace(/[[\]:\\'"`$]/g, (c) => (c === "'" ? "'\\''" : `\\${c}`));

function zshOption(o: OptionRow): string {
  const { short, long, value } = parts(o);
  const action = o.choices !== undefined ? `(${o.choices.join(' ')})` : o.completes === undefined ? ' ' : ZSH_FILES[o.completes];
  const tail = `[${zshText(o.text)}]${value ? `:value:${action}` : ''}`;
  const many = o.many === true ? '*' : '';
  return short === undefined ? `'${many}--${long}${tail}'` : `{-${short},--${long}}'${tail}'`;
}

function zshArgument(a: ArgumentRow): string {
  const action = a.choices !== undefined ? `(${a.choices.join(' ')})` : a.completes === undefined ? ' ' : ZSH_FILES[a.completes];
  const count = a.name.includes('...') ? '*' : a.name.startsWith('[') ? ':' : '';
  return `'${count}:${zshText(a.name.replace(/[<>[\].]/g, ''))}:${action}'`;
}

function zsh(): string {
  const verbs = COMMANDS.map((c) => `    '${c.name}:${zshText(c.summary)}'`).join('\n');
  const cases = COMMANDS.map(
    (c) => `    ${c.name}) _arguments -s ${[...c.options.map(zshOption), `'--help[this text]'`, ...c.args.map(zshArgument)].join(' ')} ;;`,
  ).join('\n');
  return `#compdef ${PROGRAM}
# zsh completion of ${PROGRAM}; made by: ${PROGRAM} completion zsh
_iommufd_rr() {
  local -a verbs
  verbs=(
${verbs}
    'help:help of a command'
  )
  if (( CURRENT == 2 )); then
    _describe command verbs
    ${ZSH_FILES.trace}
    return
  fi
  local verb=$words[2]
  shift words
  (( CURRENT-- ))
  case $verb in
${cases}
    help) _describe command verbs; compadd ${TOPICS.map((t) => t.name).join(' ')} ;;
  esac
}
_iommufd_rr "$@"
`;
}

function fish(): string {
  const lines = [`# fish completion of ${PROGRAM}; made by: ${PROGRAM} completion fish`, `complete -c ${PROGRAM} -f`];
  const first = 'not __fish_seen_subcommand_from $__iommufd_rr_verbs';
  lines.push(`set -g __iommufd_rr_verbs ${[...COMMANDS.map((c) => c.name), 'help'].join(' ')}`);
  const files: { readonly [C in Completes]: string } = {
    file: '-F',
    trace: `-k -a '(__fish_complete_suffix .irr)'`,
    command: `-a '(__fish_complete_command)'`,
  };
  lines.push(`complete -c ${PROGRAM} -n ${quoted(first)} ${files.trace}`);
  for (const c of COMMANDS) {
    const inside = quoted(`__fish_seen_subcommand_from ${c.name}`);
    lines.push(`complete -c ${PROGRAM} -n ${quoted(first)} -a ${c.name} -d ${quoted(c.summary)}`);
    for (const o of c.options) {
      const { short, long, value } = parts(o);
      const action = !value
        ? ''
        : o.choices !== undefined
          ? ` -x -a ${quoted(o.choices.join(' '))}`
          : o.completes === undefined
            ? ' -x'
            : ` -r ${files[o.completes]}`;
      lines.push(
        `complete -c ${PROGRAM} -n ${inside}${short === undefined ? '' : ` -s ${short}`} -l ${long} -d ${quoted(o.text)}${action}`,
      );
    }
    const a = c.args[0];
    if (a?.choices !== undefined) lines.push(`complete -c ${PROGRAM} -n ${inside} -a ${quoted(a.choices.join(' '))}`);
    else if (a?.completes !== undefined) lines.push(`complete -c ${PROGRAM} -n ${inside} ${files[a.completes]}`);
  }
  lines.push(
    `complete -c ${PROGRAM} -n ${quoted('__fish_seen_subcommand_from help')} -a "$__iommufd_rr_verbs ${TOPICS.map((t) => t.name).join(' ')}"`,
  );
  return `${lines.join('\n')}\n`;
}

const SHELLS: Readonly<Record<string, () => string>> = { bash, zsh, fish };

/** The script for one of the shells of the table. */
export function completionScript(shell: string): string {
  return SHELLS[shell]?.() ?? '';
}

export const run: Run = async ([shell = ''], _options, io) => {
  io.out().text(completionScript(shell));
  return 0;
};
