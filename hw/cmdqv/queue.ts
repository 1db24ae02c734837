/**
 * A queue at work: the hardware acknowledges its enable, fetches commands from CONS to PROD, executes them, stops at one that
 * fails and goes on when the error is acknowledged. One call of `run` is as much time as the hardware needs for it.
 */
import { wordsOf } from '../bits.ts';
import { COMMAND_BYTES } from '../smmuv3/commands.ts';
import type { Pad, Words } from './change.ts';
import { raise } from './errors.ts';
import { execute } from './execute.ts';
import { addressOf, advance, LOG2_MOST, usedOf } from './indexes.ts';
import { ERR, encodeRegister, register } from './registers.ts';
import { fieldValue, type Queue, type QueueView, regs, type Vintf, viewQueue } from './state.ts';

/** Memory as the hardware reads it; undefined: the read is aborted. */
export type Memory = (address: bigint, bytes: number) => Uint8Array | undefined;

const CMDQ_ERR = 1;

/** The hardware goes on with one queue. `most`: commands at most. */
export function run(p: Pad, vintf: Vintf, lvcmdq: number, memory: Memory, most: number = Number.POSITIVE_INFINITY): void {
  const queue = vintf.queues.find((q) => q.lvcmdq === lvcmdq);
  if (queue === undefined) return;
  if (!vintf.deaf.includes(lvcmdq)) acknowledge(p, vintf.index, queue);
  const view = viewQueue(p, vintf.index, lvcmdq);
  if (view.acknowledged !== true || ((view.errors ?? 0) & CMDQ_ERR) !== 0) return;
  consume(p, vintf, queue, view, memory, most);
}

/** STATUS follows CONFIG. */
function acknowledge(p: Pad, vintf: number, queue: Queue): void {
  const { lvcmdq } = queue;
  const view = viewQueue(p, vintf, lvcmdq);
  if (view.enabled === undefined || view.enabled === view.acknowledged) return;
  const status = regs.page0(vintf, lvcmdq, 'STATUS');
  if (view.enabled) {
    if (fieldValue(p.get(regs.vintf(vintf, 'STATUS')), 'VINTF', 'STATUS', 'ENABLED') !== 1) return;
    // a queue of a size that the hardware does not have cannot be set up: what QEMU's device does
    const most = Math.min(p.size.log2Commands ?? LOG2_MOST, LOG2_MOST);
    if (view.log2 === undefined || view.log2 > most) {
      raise(p, vintf, lvcmdq, 'CMDQ_INIT_ERR');
      return;
    }
  }
  p.setField(status, ['PAGE0', 'STATUS', 'CMDQ_EN_OK'], view.enabled ? 1 : 0);
}

function consume(p: Pad, vintf: Vintf, queue: Queue, view: QueueView, memory: Memory, most: number): void {
  const { prod, cons, log2 } = view;
  if (prod === undefined || cons === undefined || log2 === undefined) return;
  let at = cons;
  let [done, unsynced, atcTimeout] = [queue.done, queue.unsynced, queue.atcTimeout];
  let error: number = ERR.none;
  for (let left = Math.min(usedOf(prod, cons, log2), most); left > 0; left--) {
    const bytes = memory(addressOf(queue.base, at, log2), COMMAND_BYTES);
    if (bytes === undefined || bytes.length < COMMAND_BYTES) {
      error = ERR.abort;
      break;
    }
    const words = wordsOf(bytes) as unknown as Words;
    const outcome = execute(p, vintf.index, words);
    error = outcome.sync && atcTimeout ? ERR.atcTimeout : outcome.error;
    p.add({ kind: 'command', vintf: vintf.index, lvcmdq: queue.lvcmdq, at, words, sent: error === 0 ? outcome.sent : undefined, error });
    if (outcome.sync) atcTimeout = false;
    if (error !== ERR.none) break;
    at = advance(at, 1, log2);
    done++;
    unsynced = outcome.sync ? 0 : unsynced === undefined ? undefined : unsynced + 1;
  }
  if (at === cons && error === ERR.none) return;
  const { lvcmdq } = queue;
  const index = encodeRegister(register('CONS_INDX', 'PAGE0'), { RD: at, ERR: error });
  p.set(regs.page0(vintf.index, lvcmdq, 'CONS_INDX'), index, 2n ** 32n - 1n);
  const next: Queue = { ...queue, done, unsynced, atcTimeout };
  p.put(vintf.index, { ...vintf, queues: vintf.queues.map((q) => (q.lvcmdq === lvcmdq ? next : q)) });
  mirror(p, vintf.index, lvcmdq, index);
  if (error !== ERR.none) raise(p, vintf.index, lvcmdq, 'CMDQ_ERR');
}

/** CONS is written to memory as well, where that is switched on. */
function mirror(p: Pad, vintf: number, lvcmdq: number, cons: bigint): void {
  const address = p.get(regs.page1(vintf, lvcmdq, 'CONS_INDX_BASE_DRAM'));
  const on = fieldValue(p.get(regs.cmdqv('CONFIG')), 'CMDQV', 'CONFIG', 'CONS_DRAM_EN') === 1;
  if (!on || address.value === 0n) return;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, Number(cons), true);
  p.add({ kind: 'store', address: address.value, bytes });
}
