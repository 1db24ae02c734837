/**
 * read(2), write(2) and mmap(2) of a VFIO device: drivers/vfio/pci/vfio_pci_core.c, vfio_pci_rdwr.c, vfio_pci_config.c. What a
 * BAR holds is not told here: the reply says which bytes of which BAR the call is about.
 */
import type { RefusalDetail } from '../iommufd/call.ts';
import type { Reply } from '../iommufd/queues.ts';
import type { OpenFile } from '../iommufd/state.ts';
import { hex } from '../iommufd/words.ts';
import { memoryEnabled, readConfig, writeConfig } from './config.ts';
import { type PciDevice, Region, regionAt, regionBytes, reset, withinRegion } from './device.ts';
import { msixOf } from './functions.ts';

/** Bytes that one read(2) or write(2) of the model's own devices moves at most. */
export const TRANSFER_MAX = 0x40000;

/** Bytes of a BAR that a call reads, writes or maps. */
export interface BarBytes {
  readonly bar: number;
  readonly at: number;
  readonly count: number;
  /** offsets in the BAR, end exclusive, that reads see as 0xff and writes leave alone: the MSI-X table */
  readonly hidden: readonly [from: number, to: number];
}

export interface DeviceReply extends Reply {
  readonly memory?: BarBytes | undefined;
}

const nothing = (): void => {};
const refuse = (errno: string, rule: string, detail: RefusalDetail & { readonly text: string }): DeviceReply => ({
  errno,
  refusal: { ...detail, errno, rule },
  ret: -1n,
  bytes: undefined,
  commit: nothing,
});
const done = (count: number, more: Partial<DeviceReply> = {}): DeviceReply => ({
  errno: '',
  refusal: undefined,
  ret: BigInt(count),
  bytes: undefined,
  commit: nothing,
  ...more,
});

const notBound = (): DeviceReply =>
  refuse('EINVAL', 'vfio.not-bound', { text: 'the device is bound to no iommufd', wanted: 'VFIO_DEVICE_BIND_IOMMUFD first' });

/** undefined: the device is not the model's own, and the answer is its driver's. */
function bound(file: OpenFile): PciDevice | DeviceReply | undefined {
  return file.object?.type === 'DEVICE' ? file.pci : notBound();
}
const isReply = (x: PciDevice | DeviceReply): x is DeviceReply => 'errno' in x;

/** `offset`: in the device file, undefined: where the file is. `data`: of a write; undefined for a read. */
export function transfer(
  file: OpenFile,
  m: { readonly count: number; readonly offset: bigint | undefined; readonly data?: Uint8Array | undefined },
): DeviceReply | undefined {
  const pci = bound(file);
  if (pci === undefined || isReply(pci)) return pci;
  if (m.count === 0) return done(0);
  const offset = m.offset ?? file.position ?? 0n;
  const region = regionAt(offset);
  const at = withinRegion(offset);
  const known = `0 to ${Region.COUNT - 1} in bits 40 and up of the offset`;
  if (region >= Region.COUNT)
    return refuse('EINVAL', 'vfio-rw.region', { field: 'offset', text: `there is no region ${region}`, wanted: known });
  const reply = region === Region.CONFIG ? config(pci, at, m.count, m.data) : bar(pci, region, at, m.count);
  if (m.offset !== undefined || reply.errno !== '') return reply;
  return {
    ...reply,
    commit: () => {
      reply.commit();
      file.position = offset + (reply.ret ?? 0n);
    },
  };
}

function config(pci: PciDevice, at: number, count: number, data: Uint8Array | undefined): DeviceReply {
  const { configBytes } = pci.function;
  if (at + count > configBytes)
    return refuse('EFAULT', 'vfio-rw.config', {
      field: 'offset',
      text: `${hex(at)} + ${count} is beyond the end of configuration space`,
      wanted: `${hex(configBytes)} at most`,
    });
  if (data === undefined) return done(count, { bytes: readConfig(pci.config, at, count) });
  if (data.length < count) return refuse('EFAULT', 'vfio-rw.memory', { text: `only ${data.length} of ${count} bytes can be read` });
  return done(count, {
    commit: () => {
      if (writeConfig(pci.config, at, data).reset) reset(pci);
    },
  });
}

function bar(pci: PciDevice, region: number, at: number, wanted: number): DeviceReply {
  const bytes = regionBytes(pci, region);
  if (region > Region.BAR5 || at >= bytes)
    return refuse('EINVAL', 'vfio-rw.range', {
      field: 'offset',
      text: bytes === 0 ? `region ${region} is empty` : `${hex(at)} is beyond the end of BAR ${region}`,
      wanted: bytes === 0 ? 'another region' : `below ${hex(bytes)}`,
    });
  if (!memoryEnabled(pci.config))
    return refuse('EIO', 'vfio-rw.disabled', {
      text: 'the device does not decode memory',
      wanted: 'bit 1 of the command register, and D0',
    });
  const count = Math.min(wanted, bytes - at, TRANSFER_MAX);
  const msix = msixOf(pci.function);
  const hidden: readonly [number, number] = msix?.table.bar === region ? [msix.table.at, msix.table.at + 16 * msix.vectors] : [0, 0];
  return done(count, { memory: { bar: region, at, count, hidden } });
}

const MAP_TYPE = 0xf;
const MAP_SHARED = 1;
const MAP_SHARED_VALIDATE = 3;

/** mmap(2). undefined: the device is not the model's own. */
export function mapDevice(
  file: OpenFile,
  m: { readonly length: bigint; readonly flags: number; readonly offset: bigint },
): DeviceReply | undefined {
  const pci = bound(file);
  if (pci === undefined || isReply(pci)) return pci;
  const region = regionAt(m.offset);
  const at = withinRegion(m.offset);
  const shared = (m.flags & MAP_TYPE) === MAP_SHARED || (m.flags & MAP_TYPE) === MAP_SHARED_VALIDATE;
  const no = (rule: string, field: string, text: string, wanted: string): DeviceReply =>
    refuse('EINVAL', `vfio-mmap.${rule}`, { field, text, wanted });
  if (region >= Region.COUNT) return no('region', 'offset', `there is no region ${region}`, 'the offset of a BAR');
  if (!shared) return no('private', 'flags', 'not MAP_SHARED', 'MAP_SHARED');
  const bytes = region <= Region.BAR5 ? regionBytes(pci, region) : 0;
  if (bytes < 4096) return no('unmappable', 'offset', `region ${region} cannot be mapped`, 'a BAR with the flag MMAP');
  const length = ((m.length + 4095n) / 4096n) * 4096n;
  if (BigInt(at) + length > BigInt(bytes))
    return no('range', 'length', `${hex(at)} + ${hex(length)} is beyond the end of BAR ${region}`, `${hex(bytes)} at most`);
  return { ...done(0), ret: undefined, memory: { bar: region, at, count: Number(length), hidden: [0, 0] } };
}
