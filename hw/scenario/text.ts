/** What happened, one line each: for people and for tests. */
import { hexText } from '../bits.ts';
import type { Effect } from '../cmdqv/change.ts';
import { accessText, locate } from '../cmdqv/places.ts';
import { register } from '../cmdqv/registers.ts';
import { commandText, decodeWords } from '../smmuv3/commands.ts';
import type { SimEvent } from './session.ts';
import { WINDOW } from './vmm.ts';

/** WR, RD */
const INDEX = 0xf_ffff;

const hexBytes = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');

/** `IOMMU_HW_QUEUE_ALLOC = 0`, `exit: VINTF0.LVCMDQ0.BASE = …`, `page0 + 0x4 = 0x3 …` */
export function eventText(e: SimEvent): string {
  switch (e.kind) {
    case 'ioctl':
      return `${e.command.name} = ${e.errno === '' ? e.ret : e.errno}`;
    case 'mmio': {
      const arrow = e.store ? '' : 'load ';
      if (e.source === 'exit')
        return `exit: ${arrow}${accessText(e.address - WINDOW, e.width, e.value, { kind: 'aperture' }, { log2Queues: 1 })}`;
      const at = e.address & 0xffffn;
      return `page 0: ${arrow}${accessText(at, e.width, e.value, { kind: 'vintf', vintf: 1, page: 0 }, { log2Queues: 1 })}`;
    }
    case 'queue':
      return `queue ${e.object} (${e.why}): PROD ${indexOf(e.page0, 'PROD_INDX')} CONS ${indexOf(e.page0, 'CONS_INDX')}`;
    case 'read':
      return `read ${e.errno === '' ? `bytes:${hexBytes(e.bytes)}` : e.errno}`;
    case 'mmap':
      return `mmap ${hexText(e.length)} at ${hexText(e.offset)}${e.errno === '' ? '' : ` = ${e.errno}`}`;
    case 'kvm':
      return `KVM ${hexText(BigInt(e.request))} = ${e.ret}`;
    case 'exit':
      return `exit ${e.status}`;
    case 'munmap':
      return `munmap ${hexText(e.length)}`;
    default:
      return `${e.kind} ${e.fileKind}`;
  }
}

/** WR or RD of an index register, in page 0 as it was read. */
export const indexOf = (page0: Uint8Array, name: 'PROD_INDX' | 'CONS_INDX'): number =>
  new DataView(page0.buffer, page0.byteOffset, page0.byteLength).getUint32(register(name, 'PAGE0').offset, true) & INDEX;

/** Of the hardware: commands and what became of them, events, what was refused. Registers are left out. */
export function effectText(e: Effect): string | undefined {
  switch (e.kind) {
    case 'command':
      return `VINTF${e.vintf}.LVCMDQ${e.lvcmdq} ${commandText(decodeWords(...e.words))}${e.error === 0 ? '' : ` = error ${e.error}`}`;
    case 'vevent':
      return `vEVENT of VINTF${e.vintf}: ${e.map.map(hexText).join(' ')}`;
    case 'interrupt':
      return 'interrupt';
    case 'ignored':
      return `ignored: ${e.what}: ${e.why}`;
    case 'refused':
      return `${e.errno}: ${e.why}`;
    default:
      return undefined;
  }
}

/** Name of the register of a load or store in the guest's window. */
export const windowName = (address: bigint): string => locate(address - WINDOW, { kind: 'aperture' }, { log2Queues: 1 }).name;
