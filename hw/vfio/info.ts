/**
 * What a VFIO device tells of itself, and its resets: vfio-pci as drivers/vfio/pci/vfio_pci_core.c has it. Of a device that
 * only a log tells of, what every driver checks is known (argsz, flags), and the rest rests on the machine.
 */
import type { Call, Rule } from '../iommufd/call.ts';
import { MACHINE } from '../iommufd/reasons.ts';
import type { Told } from '../iommufd/state.ts';
import { hex } from '../iommufd/words.ts';
import { Irq, irqCount, noInterrupts, offsetOf, Region, regionBytes, reset } from './device.ts';
import { isExpress, msixOf } from './functions.ts';

/** VFIO_DEVICE_FLAGS_RESET, _PCI */
const CAN_RESET = 1;
const IS_PCI = 2;
/** VFIO_REGION_INFO_FLAG_* */
const READ = 1;
const WRITE = 2;
const MMAP = 4;
const CAPS = 8;
const CAP_MSIX_MAPPABLE = 3;
/** VFIO_IRQ_INFO_* */
const EVENTFD = 1;
const MASKABLE = 2;
const AUTOMASKED = 4;
const NORESIZE = 8;

export function shortArgsz(c: Call, least: number): boolean {
  const size = c.u32('argsz');
  return size < least && c.refuse('EINVAL', 'vfio.argsz', { field: 'argsz', text: `argsz is ${size}`, wanted: `${least} at least` });
}

/** The device's own part of an answer is not known: these errors, and these outputs. Gives those of a known answer. */
function unknownDevice(c: Call, errors: readonly string[], outputs: readonly string[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const errno of errors) if (c.mayRefuse(errno, MACHINE, 'vfio.device')) return found;
  for (const field of outputs) {
    const value = c.table.has(c.command.name, field) ? c.undetermined(field, MACHINE) : undefined;
    if (value !== undefined) found.set(field, Number(value));
  }
  return found;
}

/** A device has told of itself. */
function learn(c: Call, what: (told: Told) => void): void {
  const { file } = c.request;
  c.then(() => {
    file.told ??= { counts: new Map() };
    what(file.told);
  });
}

/** An index that the device has told that it does not have. → true where the call ends */
function beyond(c: Call, rule: string, there: number | undefined): boolean {
  const index = c.u32('index');
  return (
    there !== undefined &&
    index >= there &&
    c.refuse('EINVAL', rule, { field: 'index', text: `there is no index ${index}`, wanted: `0 to ${there - 1}` })
  );
}

const info: Rule = (c) => {
  if (shortArgsz(c, 16)) return;
  const { pci } = c.request.file;
  if (pci === undefined) {
    const found = unknownDevice(c, ['EFAULT', 'ENODEV'], ['argsz', 'flags', 'num_regions', 'num_irqs', 'cap_offset', 'pad']);
    const [flags, regions, irqs] = ['flags', 'num_regions', 'num_irqs'].map((field) => found.get(field));
    if (flags === undefined || regions === undefined || irqs === undefined) return;
    learn(c, (told) => {
      Object.assign(told, { regions, irqs });
      if ((flags & IS_PCI) !== 0) told.interrupts ??= noInterrupts();
    });
    return;
  }
  c.set('flags', CAN_RESET | IS_PCI);
  c.set('num_regions', Region.COUNT);
  c.set('num_irqs', Irq.COUNT);
  for (const field of ['cap_offset', 'pad']) if (c.table.has(c.command.name, field)) c.set(field, 0);
};

const REGION_INFO_BYTES = 32;

const regionInfo: Rule = (c) => {
  if (shortArgsz(c, REGION_INFO_BYTES)) return;
  const { pci, told } = c.request.file;
  if (pci === undefined) {
    if (beyond(c, 'vfio-region.index', told?.regions)) return;
    unknownDevice(c, ['EINVAL', 'EFAULT'], ['argsz', 'flags', 'cap_offset', 'size', 'offset']);
    return;
  }
  const index = c.u32('index');
  if (
    (index >= Region.COUNT || index === Region.VGA) &&
    c.refuse('EINVAL', 'vfio-region.index', {
      field: 'index',
      text: index === Region.VGA ? 'the device is no VGA adapter' : `there is no region ${index}`,
      wanted: `0 to ${Region.COUNT - 2}`,
    })
  )
    return;
  const bytes = regionBytes(pci, index);
  const mappable = index <= Region.BAR5 && bytes >= 4096;
  const caps = mappable && msixOf(pci.function)?.table.bar === index;
  const room = c.u32('argsz');
  const whole = REGION_INFO_BYTES + 8;
  if (caps && room >= whole) c.extend(whole);
  c.set('flags', bytes === 0 ? 0 : READ | WRITE | (mappable ? MMAP : 0) | (caps ? CAPS : 0));
  c.set('size', bytes);
  c.set('offset', offsetOf(index));
  if (!caps) return;
  c.set('cap_offset', room >= whole ? REGION_INFO_BYTES : 0);
  if (room < whole) c.set('argsz', whole);
  else {
    c.setAt(REGION_INFO_BYTES, 2, CAP_MSIX_MAPPABLE);
    c.setAt(REGION_INFO_BYTES + 2, 2, 1);
    c.setAt(REGION_INFO_BYTES + 4, 4, 0);
  }
};

const irqInfo: Rule = (c) => {
  if (shortArgsz(c, 16)) return;
  const { pci, told } = c.request.file;
  const index = c.u32('index');
  if (pci === undefined) {
    if (beyond(c, 'vfio-irq.index', told?.irqs)) return;
    const count = unknownDevice(c, ['EINVAL'], ['flags', 'count']).get('count');
    if (count !== undefined) learn(c, ({ counts }) => void counts.set(index, count));
    return;
  }
  const text = index === Irq.ERR ? 'the device is no PCI Express device' : `there is no index ${index}`;
  if (
    (index >= Irq.COUNT || (index === Irq.ERR && !isExpress(pci.function))) &&
    c.refuse('EINVAL', 'vfio-irq.index', { field: 'index', text, wanted: `0 to ${Irq.COUNT - 1}` })
  )
    return;
  // vectors of MSI-X may be added while it is on
  c.set('flags', EVENTFD | (index === Irq.INTX ? MASKABLE | AUTOMASKED : index === Irq.MSIX ? 0 : NORESIZE));
  c.set('count', irqCount(pci, index));
};

const resetRule: Rule = (c) => {
  c.keepStruct();
  const { pci } = c.request.file;
  if (pci === undefined) unknownDevice(c, ['EINVAL', 'EAGAIN', 'ENOTTY', 'EIO'], []);
  else c.then(() => reset(pci));
};

// ---- reset of the bus

const HOT_HEADER_BYTES = 12;
const DEPENDENT_BYTES = 8;
const DEV_ID = 1;
const OWNED = 2;

/** The device is alone on its bus. */
const hotResetInfo: Rule = (c) => {
  if (shortArgsz(c, HOT_HEADER_BYTES)) return;
  const { pci, object } = c.request.file;
  if (pci === undefined) {
    unknownDevice(c, ['ENOTTY', 'ENODEV', 'ENOSPC', 'EPERM', 'EAGAIN', 'EFAULT'], ['flags', 'count']);
    return;
  }
  const room = Math.floor((c.u32('argsz') - HOT_HEADER_BYTES) / DEPENDENT_BYTES);
  c.set('count', 1);
  if (room < 1) {
    c.set('flags', 0);
    c.writeAnyway();
    c.refuse('ENOSPC', 'vfio-hot-reset.room', {
      field: 'argsz',
      text: 'there is no room for the 1 device of the bus',
      wanted: '20 at least',
    });
    return;
  }
  c.extend(HOT_HEADER_BYTES + DEPENDENT_BYTES);
  c.set('count', 1);
  c.set('flags', DEV_ID | OWNED);
  c.setAt(HOT_HEADER_BYTES, 4, object?.id ?? 0);
  c.setAt(HOT_HEADER_BYTES + 4, 2, 0);
  c.setAt(HOT_HEADER_BYTES + 6, 1, pci.function.bus);
  c.setAt(HOT_HEADER_BYTES + 7, 1, pci.function.devfn);
};

const hotReset: Rule = (c) => {
  c.keepStruct();
  if (shortArgsz(c, HOT_HEADER_BYTES)) return;
  const { pci } = c.request.file;
  if (pci === undefined) {
    unknownDevice(c, ['EINVAL', 'ENOTTY', 'ENODEV', 'EBUSY', 'EIO'], []);
    return;
  }
  const flags = c.u32('flags');
  if (flags !== 0 && c.refuse('EINVAL', 'vfio-hot-reset.flags', { field: 'flags', text: `flags ${hex(flags)}`, wanted: '0' })) return;
  const count = c.u32('count');
  const text = `${count} groups, and the device was opened by its own file`;
  if (count !== 0 && c.refuse('EINVAL', 'vfio-hot-reset.groups', { field: 'count', text, wanted: '0' })) return;
  c.then(() => reset(pci));
};

// ---- features, and writes that an eventfd makes

const FEATURE = 0xffff;
const GET = 0x1_0000;
const SET = 0x2_0000;
const PROBE = 0x4_0000;

const feature: Rule = (c) => {
  if (shortArgsz(c, 8)) return;
  const flags = c.u32('flags');
  const unknown = (flags & ~(FEATURE | GET | SET | PROBE)) >>> 0;
  const refuse = (text: string, wanted: string): boolean => c.refuse('EINVAL', 'vfio-feature.flags', { field: 'flags', text, wanted });
  if (unknown !== 0 && refuse(`flags ${hex(unknown)} are not known`, 'GET, SET, PROBE')) return;
  if ((flags & (GET | SET | PROBE)) === (GET | SET) && refuse('GET and SET', 'one of them, or PROBE too')) return;
  if (c.request.file.pci === undefined) {
    // what the feature writes lies behind the header
    c.set('flags', flags);
    for (const errno of ['ENOTTY', 'EINVAL', 'E2BIG', 'EOVERFLOW', 'EBUSY', 'ENOMEM', 'EOPNOTSUPP', 'EFAULT', 'EIO'])
      if (c.mayRefuse(errno, MACHINE, 'vfio-feature.device')) return;
    if (c.command.returns !== undefined) c.mayReturn(MACHINE);
    return;
  }
  c.refuse('ENOTTY', 'vfio-feature.none', { field: 'flags', text: `the device has no feature ${flags & FEATURE}` });
};

const ioeventfd: Rule = (c) => {
  c.keepStruct();
  if (shortArgsz(c, 28)) return;
  const flags = c.u32('flags');
  const fd = c.s32('fd');
  if (c.request.file.pci === undefined) {
    unknownDevice(c, ['EINVAL', 'ENOTTY', 'EEXIST', 'ENODEV', 'ENOSPC', 'EBADF', 'ENOMEM'], []);
    return;
  }
  const refuse = (field: string, text: string, wanted: string): boolean =>
    c.refuse('EINVAL', 'vfio-ioeventfd.args', { field, text, wanted });
  if (![1, 2, 4, 8].includes(flags) && refuse('flags', `flags ${hex(flags)}`, 'one of 8, 16, 32 and 64 bits')) return;
  if (fd < -1 && refuse('fd', `descriptor ${fd}`, 'an eventfd, or -1')) return;
  c.refuse('ENOTTY', 'vfio-ioeventfd.none', { text: 'the device of the model waits for no eventfd' });
};

export const rules: Readonly<Record<string, Rule>> = {
  VFIO_DEVICE_GET_INFO: info,
  VFIO_DEVICE_GET_REGION_INFO: regionInfo,
  VFIO_DEVICE_GET_IRQ_INFO: irqInfo,
  VFIO_DEVICE_RESET: resetRule,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: hotResetInfo,
  VFIO_DEVICE_PCI_HOT_RESET: hotReset,
  VFIO_DEVICE_FEATURE: feature,
  VFIO_DEVICE_IOEVENTFD: ioeventfd,
};
