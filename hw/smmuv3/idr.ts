/**
 * The identification registers of an SMMUv3 as rows, as IOMMU_GET_HW_INFO hands them out: IDR0 … IDR5 (32 bits each).
 * drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h (IDR0_* … IDR5_*); what Linux does not name: the architecture's.
 */
import { type BitField, field, getField, hexText, unknownBits, valueText } from '../bits.ts';

/** `word` is the number of the register */
const at = (word: number) => ({ word });

export const IDR_FIELDS: readonly BitField[] = [
  field('S2P', 0, 'stage 2'),
  field('S1P', 1, 'stage 1'),
  field('TTF', [3, 2], 'translation tables', 'linux', { values: { 1: 'AArch32', 2: 'AArch64', 3: 'AArch32+64' } }),
  field('COHACC', 4, 'coherent access to tables and queues'),
  field('BTM', 5, 'broadcast TLB maintenance', 'arm'),
  field('HTTU', [7, 6], 'hardware update of access and dirty state', 'linux', { values: { 1: 'ACCESS', 2: 'ACCESS+DIRTY' } }),
  field('DORMHINT', 8, 'dormant hint', 'arm'),
  field('HYP', 9, 'EL2 streams'),
  field('ATS', 10, 'ATS'),
  field('NS1ATS', 11, 'no split-stage ATS', 'arm'),
  field('ASID16', 12, 'ASIDs of 16 bits', 'arm'),
  field('MSI', 13, 'interrupts by message'),
  field('SEV', 14, 'SMMU wakes a processor'),
  field('ATOS', 15, 'address translation operations', 'arm'),
  field('PRI', 16, 'page requests'),
  field('VMW', 17, 'VMID wildcards', 'arm'),
  field('VMID16', 18, 'VMIDs of 16 bits', 'arm'),
  field('CD2L', 19, 'two-level context descriptor tables'),
  field('VATOS', 20, 'virtual address translation operations', 'arm'),
  field('TTENDIAN', [22, 21], 'endianness of tables', 'linux', { values: { 0: 'MIXED', 2: 'LE', 3: 'BE' } }),
  field('STALL_MODEL', [25, 24], 'stalls', 'linux', { values: { 0: 'STALL', 1: 'NONE', 2: 'FORCE' } }),
  field('TERM_MODEL', 26, 'terminated transactions always abort', 'arm'),
  field('ST_LVL', [28, 27], 'stream table', 'linux', { values: { 0: 'LINEAR', 1: '2LVL' } }),
  field('SIDSIZE', [5, 0], 'bits of a StreamID', 'linux', at(1)),
  field('SSIDSIZE', [10, 6], 'bits of a SubstreamID', 'linux', at(1)),
  field('PRIQS', [15, 11], 'log2 of entries of the page request queue', 'linux', at(1)),
  field('EVTQS', [20, 16], 'log2 of entries of the event queue', 'linux', at(1)),
  field('CMDQS', [25, 21], 'log2 of entries of the command queue', 'linux', at(1)),
  field('ATTR_PERMS_OVR', 26, 'attributes can be overridden', 'linux', at(1)),
  field('ATTR_TYPES_OVR', 27, 'types can be overridden', 'linux', at(1)),
  field('REL', 28, 'fixed bases are relative', 'linux', at(1)),
  field('QUEUES_PRESET', 29, 'queues have fixed bases', 'linux', at(1)),
  field('TABLES_PRESET', 30, 'tables have fixed bases', 'linux', at(1)),
  field('HAD', 2, 'hierarchical attributes can be disabled', 'arm', at(3)),
  field('PBHA', 3, 'page-based hardware attributes', 'arm', at(3)),
  field('XNX', 4, 'execute-never by exception level at stage 2', 'arm', at(3)),
  field('PPS', 5, 'PASID in page responses', 'arm', at(3)),
  field('MPAM', 7, 'memory partitioning', 'arm', at(3)),
  field('STT', 9, 'small translation tables', 'arm', at(3)),
  field('FWB', 8, 'stage 2 can force write-back', 'linux', at(3)),
  field('RIL', 10, 'range invalidation', 'linux', at(3)),
  field('BBM', [12, 11], 'break-before-make level', 'linux', at(3)),
  field('OAS', [2, 0], 'output addresses', 'linux', {
    word: 5,
    values: { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52' },
  }),
  field('GRAN4K', 4, 'pages of 4 KiB', 'linux', at(5)),
  field('GRAN16K', 5, 'pages of 16 KiB', 'linux', at(5)),
  field('GRAN64K', 6, 'pages of 64 KiB', 'linux', at(5)),
  field('VAX', [11, 10], 'virtual addresses', 'linux', { word: 5, values: { 0: '48', 1: '52' } }),
  field('STALL_MAX', [31, 16], 'transactions that can stall', 'linux', at(5)),
];

/** `IDR1 SIDSIZE 16 CMDQS 8, IDR5 OAS 48 GRAN4K`: registers of 0, and fields of 0 but OAS, are left out. */
export function idrText(words: readonly bigint[]): string {
  const rest = unknownBits(words, IDR_FIELDS);
  return words
    .flatMap((word, i) => {
      if (word === 0n) return [];
      const parts = IDR_FIELDS.flatMap((f) => {
        if (f.word !== i) return [];
        const v = getField(words, f);
        if (v === 0n && f.name !== 'OAS') return [];
        return [f.bits[0] === f.bits[1] ? f.name : `${f.name} ${valueText(f, v)}`];
      });
      if (rest[i] !== 0n) parts.push(`?${hexText(rest[i]!)}`);
      return [`IDR${i} ${parts.join(' ')}`];
    })
    .join(', ');
}
