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
  /** the call ends here with EIO; the commands before it are done */
  | { readonly refused: string };

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
