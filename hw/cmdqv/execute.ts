/**
 * What the hardware makes of a command of a VINTF's queue: which ones a guest may send, the VMID and the stream that it puts
 * in place of the guest's. tegra241-cmdqv.c, tegra241_guest_vcmdq_supports_cmd(); VINTF CONFIG, SID_MATCH and SID_REPLACE.
 */
import { setField } from '../bits.ts';
import { commandByOpcode, decodeWords } from '../smmuv3/commands.ts';
import type { Pad, Words } from './change.ts';
import { ERR } from './registers.ts';
import { fieldValue, regs } from './state.ts';

export interface Outcome {
  /** CONS_INDX.ERR */
  readonly error: number;
  /** as the SMMU gets it; undefined: what is put in is not known */
  readonly sent: Words | undefined;
  readonly sync: boolean;
}

const failed = (error: number): Outcome => ({ error, sent: undefined, sync: false });
const SIDS = 16;

/**
 * A command that the table has and a guest may not send ends as QEMU's device has it (ERR.access); for a stream that the VINTF
 * does not have no source gives a code, and that of an illegal command is taken.
 */
export function execute(p: Pad, vintf: number, words: Words): Outcome {
  const c = decodeWords(...words);
  if (c.row === undefined) return failed(ERR.illegal);
  const config = p.get(regs.vintf(vintf, 'CONFIG'));
  const sync = c.row.name === 'CMD_SYNC';
  if (fieldValue(config, 'VINTF', 'CONFIG', 'HYP_OWN') === 1) return { error: ERR.none, sent: words, sync };
  if (!c.row.guestQueue) return failed(ERR.access);
  if (sync) return { error: ERR.none, sent: words, sync };
  if (c.row.name === 'ATC_INV') return replaceSid(p, vintf, words, Number(c.values.SID));
  const vmid = fieldValue(config, 'VINTF', 'CONFIG', 'VMID');
  return { error: ERR.none, sent: vmid === undefined ? undefined : withField(words, 'VMID', vmid), sync };
}

function withField(words: Words, name: string, value: number): Words {
  const f = commandByOpcode(Number(words[0] & 0xffn))!.fields.find((x) => x.name === name)!;
  return f.word === 0 ? [setField(words[0], f, BigInt(value)), words[1]] : [words[0], setField(words[1], f, BigInt(value))];
}

function replaceSid(p: Pad, vintf: number, words: Words, vsid: number): Outcome {
  let open = false;
  for (let s = 0; s < SIDS; s++) {
    const match = p.get(regs.vintf(vintf, 'SID_MATCH', s));
    const enabled = fieldValue(match, 'VINTF', 'SID_MATCH', 'ENABLE');
    // what is not known may be the one
    open ||= enabled === undefined && (p.size.log2Sids === undefined || s < 2 ** p.size.log2Sids);
    if (enabled !== 1 || fieldValue(match, 'VINTF', 'SID_MATCH', 'VIRT_SID') !== vsid) continue;
    const psid = fieldValue(p.get(regs.vintf(vintf, 'SID_REPLACE', s)), 'VINTF', 'SID_REPLACE', 'PHYS_SID');
    return { error: ERR.none, sent: psid === undefined ? undefined : withField(words, 'SID', psid), sync: false };
  }
  return open ? { error: ERR.none, sent: undefined, sync: false } : failed(ERR.illegal);
}
