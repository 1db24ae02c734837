/** The prompt, on the state of the screen: what is typed is looked for at once, and Enter does it. Pure. */

import { complete } from './find/ui-find.ts';
import type { ActionName } from './keymap.ts';
import { editPrompt, type Prompt, parseCommand } from './prompt.ts';
import { clean } from './term/text.ts';
import { acceptTravel, travelCommand } from './travel-state.ts';
import type { Facts, Ui } from './ui.ts';
import { closePrompt, complain, jump, startJob, toAnchor } from './ui-moves.ts';

/** Does an action by its name, as `:time.step` asks for it. */
export type Act = (ui: Ui, action: ActionName, count: number | undefined, facts: Facts) => Ui;

/** The text of the prompt has changed: what is typed is looked for at once. */
export function prompted(ui: Ui, prompt: Prompt, facts: Facts): Ui {
  const typed: Ui = { ...ui, prompt, job: undefined, find: { ...ui.find, completion: undefined } };
  return prompt.text === ui.prompt?.text ? typed : sought(typed, facts);
}

function sought(ui: Ui, facts: Facts): Ui {
  const { prompt } = ui;
  if (prompt?.kind !== 'filter' && prompt?.kind !== 'search') return ui;
  // always from where the prompt was opened: what was typed on the way leaves no trace
  const back = toAnchor(ui, facts);
  if (prompt.kind === 'filter') return { ...back, find: { ...back.find, snap: 1 } };
  const text = prompt.text.trim();
  if (text === '') return back;
  const id = ui.jobs + 1;
  return { ...back, jobs: id, job: { id, kind: 'search', direction: 1, times: 1, from: back.cursor, text } };
}

export function onPrompt(ui: Ui, action: Extract<ActionName, `prompt.${string}`>, facts: Facts, act: Act): Ui {
  const { prompt } = ui;
  if (prompt === undefined) return closePrompt(ui);
  if (action === 'prompt.cancel') return closePrompt(toAnchor(ui, facts));
  if (action === 'prompt.accept') return accept(ui, prompt, facts, act);
  if (action === 'prompt.complete') {
    const done = complete(prompt, ui.find, facts.find?.words ?? []);
    return sought({ ...ui, prompt: done.prompt, find: done.find }, facts);
  }
  const edited = editPrompt(prompt, action, ui.find.search);
  return edited === undefined ? closePrompt(toAnchor(ui, facts)) : prompted(ui, edited, facts);
}

function accept(ui: Ui, prompt: Prompt, facts: Facts, act: Act): Ui {
  if (prompt.kind === 'search') return acceptSearch(closePrompt(toAnchor(ui, facts)), prompt);
  if (prompt.kind === 'filter') return acceptFilter(ui, prompt, facts);
  if (prompt.kind !== 'command') return acceptTravel(closePrompt(ui), prompt.kind, prompt.text, facts);
  return acceptCommand(closePrompt(ui), prompt, facts, act);
}

function acceptSearch(ui: Ui, prompt: Prompt): Ui {
  const search = prompt.text.trim() === '' ? ui.find.search : prompt.text.trim();
  return search === '' ? ui : startJob({ ...ui, find: { ...ui.find, search, marked: true } }, 'search', 1, 1);
}

function acceptFilter(ui: Ui, prompt: Prompt, facts: Facts): Ui {
  const filter = prompt.text.trim();
  const wrong = filter === '' ? undefined : facts.find?.wrong(filter);
  if (wrong !== undefined) return complain(ui, wrong);
  return closePrompt({ ...ui, find: { ...ui.find, filter, snap: filter === '' ? 0 : 1 } });
}

function acceptCommand(ui: Ui, prompt: Prompt, facts: Facts, act: Act): Ui {
  const command = parseCommand(prompt.text);
  switch (command.kind) {
    case 'none':
      return ui;
    case 'goto':
      return gotoSeq(ui, command.seq, facts);
    case 'travel':
      return travelCommand(ui, command.command, facts);
    case 'action':
      // prompt.* and help.close make no sense here and do no harm
      return act(ui, command.action, command.count, facts);
    case 'unknown':
      return complain(ui, `"${clean(command.text)}" is no event's number, percentage (50%), time (@12.5) or action (time.step)`);
    default:
      return command satisfies never;
  }
}

function gotoSeq(ui: Ui, seq: number, facts: Facts): Ui {
  const moved = jump(ui, seq, facts);
  return moved.cursor === seq ? moved : complain(moved, `there is no event ${seq}: the log has ${facts.first} to ${facts.last}`);
}
