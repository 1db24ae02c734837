/**
 * What the host makes of a command that a guest sends by IOMMU_HWPT_INVALIDATE: it goes to the SMMU's own queue, with the VMID
 * and the stream of the hardware. arm-smmu-v3-iommufd.c, arm_vsmmu_convert_user_cmd().
 */
import { hexText, setField } from '../bits.ts';
import { type CommandRow, decodeWords, encodeCommand } from './commands.ts';

/** What the host puts in; undefined: not known. */
export interface Host {
  readonly vmid: number | undefined;
  /** the hardware's stream of a virtual one; 'none': the vIOMMU has no vDEVICE of it */
  stream(vsid: number): number | undefined | 'none';
}

export type Converted =
  /** undefined: what is put in is not known */
  | { readonly sent: readonly [bigint, bigint] | undefined }
  /** the call ends here with EIO */
  | { readonly refused: string };

/** Commands that the host hands to its queue at once, with a CMD_SYNC behind them (CMDQ_BATCH_ENTRIES − 1). */
export const BATCH_COMMANDS = 63;

export interface Batches {
  /** what comes into the host's queue, by batch; undefined: what is put in is not known */
  readonly sent: readonly (readonly (readonly [bigint, bigint] | undefined)[])[];
  /** what the kernel gives back as entry_num */
  readonly done: number;
  /** counted in `done`, but never sent: what stands before a refused command in its batch */
  readonly dropped: number;
  /** why the call gives EIO */
  readonly refused: string | undefined;
}

/**
 * The commands of one call. They are converted one after the other and sent when a batch is full or all are converted: a
 * refused one takes those before it in its batch with it, although entry_num counts them as done. Seen on Linux 7.2 with
 * QEMU's log of its SMMU (fixtures/smmu.test.ts).
 */
export function convertCommands(commands: readonly (readonly [bigint, bigint])[], host: Host): Batches {
  const sent: (readonly [bigint, bigint] | undefined)[][] = [];
  let batch: (readonly [bigint, bigint] | undefined)[] = [];
  for (const [i, words] of commands.entries()) {
    const converted = convertCommand(words, host);
    if ('refused' in converted) return { sent, done: i, dropped: batch.length, refused: converted.refused };
    batch.push(converted.sent);
    if (batch.length === BATCH_COMMANDS || i === commands.length - 1) {
      sent.push(batch);
      batch = [];
    }
  }
  return { sent, done: commands.length, dropped: 0, refused: undefined };
}

export function convertCommand(words: readonly [bigint, bigint], host: Host): Converted {
  const { row, opcode, values } = decodeWords(...words);
  switch (row?.invalidate) {
    case 'as TLBI_NH_ALL of the VMID':
      return { sent: host.vmid === undefined ? undefined : encodeCommand('TLBI_NH_ALL', { VMID: host.vmid }) };
    case 'VMID forced':
      return { sent: host.vmid === undefined ? undefined : withField(row!, words, 'VMID', host.vmid) };
    case 'SID replaced': {
      const vsid = Number(values.SID);
      const sid = host.stream(vsid);
      if (sid === 'none') return { refused: `there is no vDEVICE of stream ${hexText(BigInt(vsid))}` };
      return { sent: sid === undefined ? undefined : withField(row!, words, 'SID', sid) };
    }
    default:
      return { refused: row === undefined ? `opcode ${hexText(BigInt(opcode))} is not known` : `${row.name} is not a guest's to send` };
  }
}

/** VMID and SID lie in the first word of every command. */
function withField(row: CommandRow, words: readonly [bigint, bigint], name: string, value: number): [bigint, bigint] {
  return [setField(words[0], row.fields.find((f) => f.name === name)!, BigInt(value)), words[1]];
}
