/** The travel keys and commands on the state of the screen. Pure, as ui-state.ts is, which it is a slice of. */

import type { ActionName } from './keymap.ts';
import { aimOf, arrived, ask, choose, revisit, SPEEDS, sameTrip, speedText, type Travel, type TravelPrompt, watching } from './travel.ts';
import type { TravelCommand } from './travel-command.ts';
import type { Aim, Arrival, Trip } from './trips.ts';
import type { Facts, Ui } from './ui.ts';
import { complain, focusOn, jump, moveTo, openPrompt, reveal } from './ui-moves.ts';

export type TravelAction = Extract<
  ActionName,
  `${'object' | 'thread' | 'process' | 'register' | 'call' | 'link' | 'history' | 'mark' | 'note' | 'watch' | 'play' | 'copy'}.${string}`
>;
const ABOUT = /^(object|thread|process|register|call|link|history|mark|note|watch|play|copy)\./;
export const isTravel = (action: ActionName): action is TravelAction => ABOUT.test(action);

/** How an action was asked for. */
export interface Asked {
  readonly count: number | undefined;
  /** the letter behind `m` and `'` */
  readonly letter: string | undefined;
}

const say = (ui: Ui, text: string): Ui => ({ ...ui, message: { text, error: false } });
const set = (ui: Ui, travel: Travel): Ui => ({ ...ui, travel });

export function travelAct(ui: Ui, action: TravelAction, { count, letter }: Asked, facts: Facts): Ui {
  const { travel } = ui;
  const times = Math.max(1, count ?? 1);
  const trip = aimOf(action, travel, ui.cursor, ui.focus === 'objects');
  if (trip !== undefined) return startTrip(ui, trip.aim, trip.direction, times);
  switch (action) {
    case 'history.back':
    case 'history.forward': {
      const direction = action === 'history.back' ? -1 : 1;
      const found = revisit(travel, ui.cursor, direction, times);
      if (found === undefined) return complain(ui, direction === -1 ? 'no place before this one' : 'no place behind this one');
      return set(moveTo(ui, found.to, facts), found.travel);
    }
    case 'mark.last': {
      const to = travel.past.at(-1);
      return to === undefined ? complain(ui, 'no place before this one') : jump(ui, to, facts);
    }
    case 'mark.set':
      return letter === undefined ? ui : mark(ui, letter, facts);
    case 'mark.goto':
      return letter === undefined ? ui : visit(ui, letter, facts);
    case 'mark.remove':
      return unmark(ui, undefined, facts);
    case 'mark.list':
      return { ...ui, mode: 'help', page: 'places', scroll: { ...ui.scroll, help: { top: 0, left: 0 } } };
    case 'note.edit':
      return ui.cursor === 0 ? ui : openPrompt(ui, 'note', facts.travel?.note(ui.cursor) ?? '');
    case 'watch.add':
      return openPrompt(ui, 'watch', '');
    case 'watch.run':
    case 'watch.back':
      if (travel.watches.length === 0) return complain(ui, 'nothing to stop at yet: w asks for a condition');
      return startTrip(ui, { to: 'watch', watches: travel.watches }, action === 'watch.run' ? 1 : -1, times);
    case 'watch.clear':
      return unwatch(ui, undefined);
    case 'link.next':
    case 'link.previous':
      return chooseLink(ui, action === 'link.next' ? times : -times, facts);
    case 'link.open':
      return openLink(ui, facts);
    case 'play.toggle':
      return ui.cursor >= facts.last
        ? complain(ui, 'this is the last event')
        : say(set({ ...ui, job: undefined }, { ...travel, playing: true }), '');
    case 'play.faster':
    case 'play.slower': {
      const speed = Math.max(0, Math.min(SPEEDS.length - 1, travel.speed + (action === 'play.faster' ? 1 : -1)));
      const next = { ...travel, speed };
      return say(set(ui, next), `plays ${speedText(next)} as fast as it was recorded`);
    }
    default:
      return ui;
  }
}

function startTrip(ui: Ui, aim: Aim, direction: 1 | -1, times: number): Ui {
  const { job } = ui;
  if (sameTrip(job, aim, direction)) return { ...ui, job: { ...job, times: job.times + times } };
  const id = ui.jobs + 1;
  const trip: Trip = { kind: 'travel', id, direction, times, from: ui.cursor, aim };
  return { ...ui, jobs: id, job: trip };
}

/** A trip has come to its end. */
export function onArrived(ui: Ui, arrival: Arrival, facts: Facts): Ui {
  const there = arrival.seq === undefined ? ui : jump({ ...ui, job: undefined }, arrival.seq, facts);
  const message = arrival.say === '' ? undefined : { text: arrival.say, error: arrival.error };
  return { ...there, job: undefined, message, travel: arrived(there.travel, arrival, there.cursor) };
}

function mark(ui: Ui, name: string, facts: Facts): Ui {
  if (ui.cursor === 0) return ui;
  const was = facts.travel?.mark(name);
  const before = was === undefined || was === ui.cursor ? '' : `, it was at ${was}`;
  return say(set(ui, ask(ui.travel, { kind: 'mark', name, seq: ui.cursor })), `bookmark ${name} at ${ui.cursor}${before}`);
}

function visit(ui: Ui, name: string, facts: Facts): Ui {
  const seq = facts.travel?.mark(name);
  if (seq === undefined) return complain(ui, `no bookmark ${name}: m${name} sets it`);
  const there = jump(ui, seq, facts);
  return there.cursor === seq ? there : complain(there, `bookmark ${name} is of event ${seq}: the log has ${facts.first} to ${facts.last}`);
}

function unmark(ui: Ui, name: string | undefined, facts: Facts): Ui {
  const names = name === undefined ? (facts.travel?.marksAt(ui.cursor) ?? []) : facts.travel?.mark(name) === undefined ? [] : [name];
  if (names.length === 0) return complain(ui, name === undefined ? `no bookmark at event ${ui.cursor}` : `no bookmark ${name}`);
  return say(set(ui, ask(ui.travel, { kind: 'unmark', names })), `bookmark ${names.join(', ')} taken away`);
}

function unwatch(ui: Ui, id: number | undefined): Ui {
  const { travel } = ui;
  const watches = id === undefined ? [] : travel.watches.filter((w) => w.id !== id);
  if (watches.length === travel.watches.length) return complain(ui, id === undefined ? 'there are no watches' : `no watch ${id}`);
  return say(set(ui, { ...travel, watches }), id === undefined ? 'no watches any more' : `watch ${id} taken away`);
}

function chooseLink(ui: Ui, by: number, facts: Facts): Ui {
  const links = facts.travel?.links() ?? [];
  if (links.length === 0) return complain(ui, 'Detail names no other event');
  const at = ui.travel.link < 0 ? (by > 0 ? by - 1 : links.length + by) : ui.travel.link + by;
  const link = ((at % links.length) + links.length) % links.length;
  const { line, seq } = links[link]!;
  return say(reveal(focusOn(set(ui, { ...ui.travel, link }), 'detail'), 'detail', line, facts), `Enter goes to event ${seq}`);
}

function openLink(ui: Ui, facts: Facts): Ui {
  const links = facts.travel?.links() ?? [];
  const link = links[Math.max(0, ui.travel.link)];
  return link === undefined ? complain(ui, 'Detail names no other event') : jump(ui, link.seq, facts);
}

/** The chosen line of Objects moves; undefined where nothing is known of its lines. */
export function moveChoice(ui: Ui, by: number, facts: Facts): Ui | undefined {
  const keys = facts.travel?.objects() ?? [];
  const chosen = choose(keys, ui.travel.object, ui.scroll.objects.top, by);
  return chosen === undefined ? undefined : reveal(set(ui, { ...ui.travel, object: chosen.key }), 'objects', chosen.line, facts);
}

/** What Enter does before it opens or leaves a pane; undefined: nothing. */
export function follow(ui: Ui, facts: Facts): Ui | undefined {
  if (ui.focus === 'detail' && ui.travel.link >= 0) return openLink(ui, facts);
  if (ui.focus === 'objects' && ui.travel.object !== undefined && ui.travel.object.startsWith('o')) {
    return startTrip(ui, { to: 'birth', key: ui.travel.object }, -1, 1);
  }
  return undefined;
}

/** What was typed behind `w` or `a`. A condition that cannot be read is asked for again. */
export function acceptTravel(ui: Ui, kind: TravelPrompt, text: string, facts: Facts): Ui {
  if (kind === 'note') return note(ui, text);
  if (text.trim() === '') return ui;
  const mistake = facts.travel?.mistake(text);
  if (mistake !== undefined) return complain(openPrompt(ui, 'watch', text), mistake);
  const travel = watching(ui.travel, text.trim());
  return say(set(ui, travel), `watch ${travel.watchIds}: c runs to it, C runs back to it`);
}

function note(ui: Ui, text: string): Ui {
  if (ui.cursor === 0) return ui;
  const kept = text.trim();
  const asked = set(ui, ask(ui.travel, { kind: 'note', seq: ui.cursor, text: kept }));
  return say(asked, kept === '' ? `event ${ui.cursor} has no note` : `note at ${ui.cursor}`);
}

export function travelCommand(ui: Ui, command: TravelCommand, facts: Facts): Ui {
  switch (command.kind) {
    case 'time': {
      const to = facts.travel?.when(command.when, ui.cursor) ?? 'the times of this log are not known';
      return typeof to === 'string' ? complain(ui, to) : jump(ui, to, facts);
    }
    case 'by':
      return jump(ui, ui.cursor + command.events, facts);
    case 'run': {
      const mistake = facts.travel?.mistake(command.condition);
      if (mistake !== undefined) return complain(ui, mistake);
      return startTrip(ui, { to: 'watch', watches: [{ id: 0, text: command.condition }] }, command.direction, 1);
    }
    case 'watch':
      return acceptTravel(ui, 'watch', command.condition, facts);
    case 'unwatch':
      return unwatch(ui, command.id);
    case 'mark':
      return mark(ui, command.name, facts);
    case 'unmark':
      return unmark(ui, command.name, facts);
    case 'visit':
      return visit(ui, command.name, facts);
    case 'note':
      return note(ui, command.text);
    default:
      return command satisfies never;
  }
}
