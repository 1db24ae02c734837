/** Why a queue does not get on: what its registers say, in words, with the registers that say so. */
import { valueText, wordsOf } from '../bits.ts';
import { COMMAND_BYTES, commandText, decodeWords } from '../smmuv3/commands.ts';
import { addressOf, entryOf } from './indexes.ts';
import type { Memory } from './queue.ts';
import { decodeRegister, fieldOf, register } from './registers.ts';
import { type CmdqvState, type Queue, type QueueView, readerOf, regs, type Vintf, viewQueue } from './state.ts';

export type TroubleKind =
  /** GERROR and GERRORN differ: the hardware has stopped */
  | 'error'
  /** CONFIG.CMDQ_EN is set, and STATUS.CMDQ_EN_OK does not follow */
  | 'enable'
  /** commands wait in a queue that is off */
  | 'disabled'
  /** PROD and CONS cannot both be right */
  | 'contradiction'
  /** commands wait */
  | 'pending'
  /** nothing waits, and nothing says that what was executed is done */
  | 'no-sync';

export interface Trouble {
  readonly kind: TroubleKind;
  readonly text: string;
  /** names of the registers that say so, those that the program stores first */
  readonly registers: readonly string[];
  /** an entry that is in the way: its pointer, wrap bit and all */
  readonly at?: number | undefined;
}

const GERRORS = register('GERROR', 'PAGE0');
const ERRORS = fieldOf(register('CONS_INDX', 'PAGE0'), 'ERR');
const commands = (n: number): string => `${n} command${n === 1 ? ' waits' : 's wait'}`;

/** Names of the errors that are pending: `CMDQ_ERR`. */
export const errorNames = (bits: number): string[] =>
  decodeRegister(GERRORS, BigInt(bits)).flatMap(({ field, value }) => (value === 0n ? [] : [field.name]));

/** The command at a pointer in words; undefined where the memory is not known. */
export function commandAt(queue: Queue, pointer: number, memory: Memory): string | undefined {
  const bytes = memory(addressOf(queue.base, pointer, queue.log2), COMMAND_BYTES);
  const [w0, w1] = bytes === undefined ? [] : wordsOf(bytes);
  return w0 === undefined || w1 === undefined ? undefined : commandText(decodeWords(w0, w1));
}

const NOTHING: Memory = () => undefined;

/** What is wrong with a queue, the worst first; empty: nothing, as far as is known. `memory`: its commands, as far as they are known. */
export function troubles(state: CmdqvState, vintf: Vintf, queue: Queue, memory: Memory = NOTHING): Trouble[] {
  const v = viewQueue(readerOf(state), vintf.index, queue.lvcmdq);
  const name = `VINTF${vintf.index}.LVCMDQ${queue.lvcmdq}`;
  const found: Trouble[] = [];
  const say = (kind: TroubleKind, text: string, of: readonly string[], at?: number): void => {
    const registers = of.map((r) => regs.page0(vintf.index, queue.lvcmdq, r));
    found.push({ kind, text: `${name}: ${text}`, registers, ...(at === undefined ? {} : { at }) });
  };
  const waiting = v.used ?? 0;
  if (v.errors !== undefined && v.errors !== 0)
    say('error', errorText(v, queue, memory), ['PROD_INDX', 'CONS_INDX', 'GERROR', 'GERRORN'], (v.errors & 1) === 0 ? undefined : v.cons);
  if (v.enabled === true && v.acknowledged === false)
    say('enable', 'CONFIG.CMDQ_EN is set, and STATUS.CMDQ_EN_OK does not follow', ['CONFIG', 'STATUS']);
  if (v.enabled === false && waiting > 0)
    say('disabled', `${commands(waiting)}, and CONFIG.CMDQ_EN is not set`, ['PROD_INDX', 'CONS_INDX', 'CONFIG']);
  if (waiting > 2 ** queue.log2)
    say('contradiction', `PROD is ${waiting} commands before CONS, in a queue of ${2 ** queue.log2}`, ['PROD_INDX', 'CONS_INDX']);
  else if (waiting > 0 && found.length === 0)
    say(
      'pending',
      `CONS is ${waiting} command${waiting === 1 ? '' : 's'} behind PROD${next(v, queue, memory)}`,
      ['PROD_INDX', 'CONS_INDX'],
      v.cons,
    );
  if (waiting === 0 && (queue.unsynced ?? 0) > 0)
    say(
      'no-sync',
      `${queue.unsynced} command${queue.unsynced === 1 ? '' : 's'} since the last CMD_SYNC: nobody is told when they are done`,
      ['PROD_INDX', 'CONS_INDX'],
    );
  return found;
}

/** `GERROR and GERRORN differ (CMDQ_ERR), CONS_INDX.ERR is ILLEGAL at entry 5: TLBI_NH_ALL; 2 commands wait` */
function errorText(v: QueueView, queue: Queue, memory: Memory): string {
  const parts = [`GERROR and GERRORN differ (${errorNames(v.errors ?? 0).join(' ')})`];
  if (v.err !== undefined && v.err !== 0) {
    const text = v.cons === undefined ? undefined : commandAt(queue, v.cons, memory);
    const where = v.cons === undefined ? '' : ` at entry ${entryOf(v.cons, queue.log2)}${text === undefined ? '' : `: ${text}`}`;
    parts.push(`, CONS_INDX.ERR is ${valueText(ERRORS, BigInt(v.err))}${where}`);
  }
  if (v.used !== undefined && v.used > 0) parts.push(`; ${commands(v.used)}`);
  return parts.join('');
}

function next(v: QueueView, queue: Queue, memory: Memory): string {
  const text = v.cons === undefined ? undefined : commandAt(queue, v.cons, memory);
  return text === undefined ? '' : `, the next one is ${text}`;
}
