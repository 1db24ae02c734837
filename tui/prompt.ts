/** The line that a person types into: editing, and what a command means. Pure. */
import { type ActionName, actionByName } from './keymap.ts';
import { parseTravel, type TravelCommand } from './travel-command.ts';

export interface Prompt {
  readonly kind: 'search' | 'filter' | 'command' | 'watch' | 'note';
  readonly text: string;
  /** in code points, 0 before the first */
  readonly cursor: number;
}

/** What stands in front of what is typed. */
export const PROMPT_SIGNS: Readonly<Record<Prompt['kind'], string>> = {
  search: '/',
  filter: '&',
  command: ':',
  watch: 'watch: ',
  note: 'note: ',
};

export function emptyPrompt(kind: Prompt['kind']): Prompt {
  return { kind, text: '', cursor: 0 };
}

/** Code points that a prompt has at most: with each of them what is typed is looked for anew. */
export const PROMPT_LIMIT = 2000;

/** The characters of a text that a prompt takes: those of its first line, without control characters. */
const takenOf = (text: string): readonly string[] => [...(/^[^\r\n]*/.exec(text)?.[0] ?? '')].filter((c) => c >= ' ' && c !== '\x7f');

/** Inserts what was typed or pasted, as far as there is room. */
export function typeInto(prompt: Prompt, text: string): Prompt {
  const all = [...prompt.text];
  const added = takenOf(text).slice(0, Math.max(0, PROMPT_LIMIT - all.length));
  return {
    ...prompt,
    text: [...all.slice(0, prompt.cursor), ...added, ...all.slice(prompt.cursor)].join(''),
    cursor: prompt.cursor + added.length,
  };
}

/** What to say of a text for which there is no room; undefined where there is. */
export function overlong(prompt: Prompt, text: string): { readonly text: string; readonly error: boolean } | undefined {
  // each code point is one or two units
  if (prompt.text.length + text.length <= PROMPT_LIMIT || [...prompt.text].length + takenOf(text).length <= PROMPT_LIMIT) return undefined;
  return { text: `too long: a prompt takes ${PROMPT_LIMIT} characters, the rest is left out`, error: true };
}

type Edit = Exclude<Extract<ActionName, `prompt.${string}`>, 'prompt.accept' | 'prompt.cancel' | 'prompt.complete'>;

/** One editing key. undefined: the prompt closes. `recall` is what prompt.recall brings back. */
export function editPrompt(prompt: Prompt, action: Edit, recall: string): Prompt | undefined {
  const all = [...prompt.text];
  const { cursor } = prompt;
  const set = (text: readonly string[], at: number): Prompt => ({
    ...prompt,
    text: text.join(''),
    cursor: Math.max(0, Math.min(text.length, at)),
  });
  switch (action) {
    case 'prompt.erase':
      if (all.length === 0) return undefined;
      return set([...all.slice(0, Math.max(0, cursor - 1)), ...all.slice(cursor)], cursor - 1);
    case 'prompt.eraseWord': {
      const left = [...(/^(.*?)\S*\s*$/su.exec(all.slice(0, cursor).join(''))?.[1] ?? '')];
      return set([...left, ...all.slice(cursor)], left.length);
    }
    case 'prompt.clear':
      return set(all.slice(cursor), 0);
    case 'prompt.left':
      return set(all, cursor - 1);
    case 'prompt.right':
      return set(all, cursor + 1);
    case 'prompt.home':
      return set(all, 0);
    case 'prompt.end':
      return set(all, all.length);
    case 'prompt.recall':
      return prompt.kind === 'search' ? set([...recall], [...recall].length) : prompt;
    default:
      return action satisfies never;
  }
}

/** gdb's and vim's short names for actions. */
const SHORT: Readonly<Record<string, ActionName>> = {
  s: 'time.step',
  step: 'time.step',
  rs: 'time.reverseStep',
  'reverse-step': 'time.reverseStep',
  q: 'app.quit',
  quit: 'app.quit',
  h: 'help.open',
  help: 'help.open',
  end: 'time.last',
  $: 'time.last',
  c: 'watch.run',
  rc: 'watch.back',
  play: 'play.toggle',
  marks: 'mark.list',
  watches: 'mark.list',
};

/** What a command line asks for. */
export type Command =
  | { readonly kind: 'none' }
  | { readonly kind: 'travel'; readonly command: TravelCommand }
  | { readonly kind: 'goto'; readonly seq: number }
  | { readonly kind: 'action'; readonly action: ActionName; readonly count?: number }
  | { readonly kind: 'unknown'; readonly text: string };

export function parseCommand(line: string): Command {
  const text = line.trim().replace(/\s+/g, ' ');
  if (text === '') return { kind: 'none' };
  const target = text.replace(/^(?:goto|g) /, '');
  if (/^[0-9]{1,15}$/.test(target)) return { kind: 'goto', seq: Number(target) };
  const percent = /^([0-9]{1,3}) ?%$/.exec(target);
  if (percent !== null) return { kind: 'action', action: 'time.percent', count: Number(percent[1]) };
  const action = SHORT[target] ?? actionByName(target)?.name;
  if (action !== undefined) return { kind: 'action', action };
  const command = parseTravel(line);
  return command === undefined ? { kind: 'unknown', text } : { kind: 'travel', command };
}
