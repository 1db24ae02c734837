/** Changes of the CMDQV in words: `VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18)`. */
import { entryOf } from '../hw/cmdqv/indexes.ts';
import { type Queue, type Size, valueText } from '../hw/cmdqv/state.ts';
import type { Change } from './change.ts';
import { hex } from './u64.ts';

export type CmdqvChange = Extract<Change, { readonly op: `cmdqv.${string}` }>;
type OfVintf = Extract<CmdqvChange, { readonly op: 'cmdqv.vintf' }>;

export function cmdqvText(c: CmdqvChange): string {
  switch (c.op) {
    case 'cmdqv.register':
      return registerText(c);
    case 'cmdqv.vintf':
      return vintfText(c);
    case 'cmdqv.size':
      return `the SMMU is known better: ${sizeTexts(c.to, c.from).join(', ')}`;
    case 'cmdqv.queue':
      return queueText(c);
    case 'cmdqv.window':
      return c.to === undefined ? `the guest of VM file ${c.vm} has no CMDQV any more` : `a guest sees its CMDQV at ${hex(c.to.address)}`;
    case 'cmdqv.seen':
      return c.to === undefined
        ? `what the guest saw of ${c.name} is forgotten`
        : `the guest ${c.to.by === 'store' ? 'stores' : 'loads'} ${c.name} = ${valueText(c.name, c.to)}`;
    case 'cmdqv.aperture':
      return c.to === undefined ? 'no CMDQV is known' : `a CMDQV is at physical address ${hex(c.to.physical)}`;
    default:
      return c satisfies never;
  }
}

/** How large the hardware is, in the words of its documentation. */
const SIZES: readonly (readonly [keyof Size, (log2: number) => string])[] = [
  ['log2Vintfs', (n) => `${2 ** n} VINTFs`],
  ['log2Queues', (n) => `${2 ** n} LVCMDQs a VINTF`],
  ['log2Sids', (n) => `${2 ** n} stream ids a VINTF`],
  ['log2Commands', (n) => `up to ${2 ** n} entries a queue`],
];

/** What is known of the size; with `from` what was not known then, or otherwise. */
export const sizeTexts = (size: Size, from: Size = {}): string[] =>
  SIZES.flatMap(([key, text]) => {
    const log2 = size[key];
    return log2 === undefined || log2 === from[key] ? [] : [text(log2)];
  });

function registerText(c: Extract<CmdqvChange, { readonly op: 'cmdqv.register' }>): string {
  if (c.to === undefined) return `${c.name} is not known any more`;
  const same = c.from?.value === c.to.value && c.from.known === c.to.known;
  const how = c.to.from === 'model' ? '' : ` (${c.to.from})`;
  return `${c.name} ${same ? 'is' : '='} ${valueText(c.name, c.to)}${how}`;
}

function vintfText(c: OfVintf): string {
  const name = `VINTF${c.vintf}`;
  if (c.from === undefined) return `takes ${name}`;
  if (c.to === undefined) return `gives ${name} back`;
  const before = new Map(c.from.queues.map((q) => [q.lvcmdq, q]));
  const after = new Map(c.to.queues.map((q) => [q.lvcmdq, q]));
  const said = [...after.values()].filter((q) => before.get(q.lvcmdq) !== q).map((q) => lvcmdqText(name, before.get(q.lvcmdq), q));
  for (const n of before.keys()) if (!after.has(n)) said.push(`${name}.LVCMDQ${n} is given back`);
  const [sids, old] = [c.to.sids.length, c.from.sids.length];
  if (sids > old) said.push(`${name} has a stream id more`);
  else if (sids < old) said.push(`${name} has a stream id less`);
  return said.join(', ') || `${name} is known better`;
}

function lvcmdqText(vintf: string, from: Queue | undefined, to: Queue): string {
  const name = `${vintf}.LVCMDQ${to.lvcmdq}`;
  if (from === undefined || from.key !== to.key) return `${name} is at 0x${to.base.toString(16)}, ${2 ** to.log2} entries`;
  if (from.done !== to.done) return `${name} has executed ${to.done - from.done} command${to.done - from.done === 1 ? '' : 's'}`;
  if (from.base !== to.base || from.log2 !== to.log2) return `${name} moves to 0x${to.base.toString(16)}, ${2 ** to.log2} entries`;
  if (from.stopped !== to.stopped)
    return to.stopped === undefined ? `${name} goes on` : `${name} has stopped at entry ${entryOf(to.stopped, to.log2)}`;
  return `${name} is known better`;
}

function queueText(c: Extract<CmdqvChange, { readonly op: 'cmdqv.queue' }>): string {
  const { from, to } = c;
  if (from === undefined) return 'a queue to be followed';
  if (to === undefined) return 'what was read of the queue is forgotten';
  if (to.told !== from.told) return 'a vEVENT names the queue';
  return to.sampled !== from.sampled ? 'the queue is read beside the program' : 'commands that were executed are not kept';
}

/** Registers changed one after another, of which more are summed up. */
const MANY = 4;
const ownerOf = (name: string): string => name.slice(0, name.lastIndexOf('.'));

/** A run of changes of the registers of one owner from `i` on, in words, and where it ends; undefined where it is short. */
export function registersText(changes: readonly Change[], i: number): { readonly text: string; readonly end: number } | undefined {
  const first = changes[i];
  if (first?.op !== 'cmdqv.register') return undefined;
  const owner = ownerOf(first.name);
  const names = new Set<string>();
  let end = i;
  for (let c = changes[end]; c?.op === 'cmdqv.register' && ownerOf(c.name) === owner; c = changes[++end]) names.add(c.name);
  return names.size > MANY ? { text: `${names.size} registers of ${owner} change`, end } : undefined;
}

/** Changes that say nothing to a person: that the fold keeps books. */
export const isBookkeeping = (c: Change): boolean => c.op === 'cmdqv.queue' && (c.to === undefined || c.to.told === (c.from?.told ?? 0));
