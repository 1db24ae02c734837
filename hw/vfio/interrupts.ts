/**
 * VFIO_DEVICE_SET_IRQS. vfio_set_irqs_validate_and_prepare() in drivers/vfio/vfio_main.c is every driver's; what follows it
 * is vfio-pci's, drivers/vfio/pci/vfio_pci_intrs.c. Of a device that only a log tells of, it must have told that it is a PCI
 * device, and how many interrupts it has; else the first part alone is known.
 */
import type { Call, Eventfd, Rule } from '../iommufd/call.ts';
import { MACHINE, MEMORY, UNSEEN } from '../iommufd/reasons.ts';
import { hex } from '../iommufd/words.ts';
import { type ConfigSpace, showInterrupts } from './config.ts';
import { type Interrupts, IRQ_NAMES, Irq, irqCount, switchOff } from './device.ts';

const NONE = 1;
const BOOL = 2;
const EVENTFD = 4;
const MASK = 8;
const UNMASK = 16;
const TRIGGER = 32;
const DATA = NONE | BOOL | EVENTFD;
const ACTION = MASK | UNMASK | TRIGGER;
const HEADER_BYTES = 20;

interface Header {
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
}

/** What a driver may answer to a request that is well formed. */
const OF_A_DRIVER = ['EINVAL', 'ENOTTY', 'EBADF', 'ENODEV', 'ENOSPC', 'ENOMEM', 'EBUSY', 'ERANGE', 'EFAULT'];
/** What the machine may answer where interrupts are switched on. */
const OF_A_MACHINE = ['ENOSPC', 'ENODEV', 'ENOMEM', 'EBUSY', 'EINVAL'];
/** Bytes of data that a log has at most. */
const DATA_MAX = 0x10000;

/** Interrupts of a device, as far as they are known. */
interface Device {
  readonly irqs: Interrupts;
  /** undefined: of a device that only a log tells of */
  readonly config: ConfigSpace | undefined;
}

const setIrqs: Rule = (c) => {
  c.keepStruct();
  const h: Header = { flags: c.u32('flags'), index: c.u32('index'), start: c.u32('start'), count: c.u32('count') };
  const { pci, told } = c.request.file;
  const there = pci === undefined ? told?.counts.get(h.index) : irqCount(pci, h.index);
  if (malformed(c, h, pci === undefined ? told?.irqs : Irq.COUNT, there)) return;
  const irqs = pci?.irqs ?? told?.interrupts;
  if (irqs === undefined || there === undefined || h.count * width(h.flags) > DATA_MAX) {
    for (const errno of OF_A_DRIVER) if (c.mayRefuse(errno, MACHINE, 'vfio-irqs.device')) return;
    return;
  }
  const data = dataOf(c, h);
  if (data === undefined) return;
  const act = actionOf(h);
  if (act !== undefined) act(c, { irqs, config: pci?.config }, h, data);
  else
    c.refuse('ENOTTY', 'vfio-irqs.action', {
      field: 'flags',
      text: `vfio-pci does not know action ${hex(h.flags & ACTION)} for ${IRQ_NAMES[h.index]}`,
      wanted: h.index === Irq.INTX ? 'one of MASK, UNMASK and TRIGGER' : 'TRIGGER',
    });
};

/** The machine may have no interrupts to give. → true where the call ends */
const noneLeft = (c: Call, d: Device): boolean =>
  d.config === undefined && OF_A_MACHINE.some((errno) => c.mayRefuse(errno, MACHINE, 'vfio-irqs.machine'));

/** Bytes of data for each interrupt. */
const width = (flags: number): number => ((flags & DATA) === BOOL ? 1 : (flags & DATA) === EVENTFD ? 4 : 0);

/** `indexes`, `there`: how many indexes the device has, and interrupts of this one, where that is known. → true where the call ends */
function malformed(c: Call, h: Header, indexes: number | undefined, there: number | undefined): boolean {
  const refuse = (field: string, rule: string, text: string, wanted: string): boolean =>
    c.refuse('EINVAL', `vfio-irqs.${rule}`, { field, text, wanted });
  const size = c.u32('argsz');
  if (size < HEADER_BYTES && refuse('argsz', 'argsz', `argsz is ${size}`, `${HEADER_BYTES} at least`)) return true;
  if (indexes !== undefined && h.index >= indexes && refuse('index', 'index', `there is no index ${h.index}`, `0 to ${indexes - 1}`))
    return true;
  if (h.count >= 0xffff_ffff - h.start && refuse('count', 'overflow', `start ${h.start} + count ${h.count} overflows`, 'a smaller count'))
    return true;
  const unknown = (h.flags & ~(DATA | ACTION)) >>> 0;
  if (unknown !== 0 && refuse('flags', 'flags', `flags ${hex(unknown)} are not known`, 'one DATA and one ACTION bit')) return true;
  if (there !== undefined) {
    const text = `start ${h.start} and count ${h.count}, and ${IRQ_NAMES[h.index] ?? 'that index'} has ${there} interrupt${there === 1 ? '' : 's'}`;
    if ((h.start >= there || h.start + h.count > there) && refuse('start', 'range', text, `vectors below ${there}`)) return true;
  } else if (c.mayRefuse('EINVAL', MACHINE, 'vfio-irqs.range')) return true;
  const kind = h.flags & DATA;
  if (
    kind !== NONE &&
    kind !== BOOL &&
    kind !== EVENTFD &&
    refuse(
      'flags',
      'data',
      `flags ${hex(h.flags)} name ${kind === 0 ? 'no kind' : 'several kinds'} of data`,
      'one of NONE, BOOL and EVENTFD',
    )
  )
    return true;
  const needed = h.count * width(h.flags);
  return (
    size - HEADER_BYTES < needed && refuse('argsz', 'data', `argsz ${size} leaves ${size - HEADER_BYTES} bytes`, `${needed} for the data`)
  );
}

/** What follows the header; undefined where the call was refused. */
function dataOf(c: Call, h: Header): DataView | undefined {
  const bytes = h.count * width(h.flags);
  const whole = new Uint8Array(bytes);
  const there = c.request.struct.bytes.subarray(HEADER_BYTES, HEADER_BYTES + bytes);
  if (there.length < bytes) {
    if (!c.request.struct.fault) c.mayRefuse('EFAULT', MEMORY, 'vfio-irqs.data');
    else c.refuse('EFAULT', 'vfio-irqs.data', { field: 'data', text: `only ${there.length} of ${bytes} bytes of data can be read` });
    if (c.refused) return undefined;
  }
  whole.set(there);
  return new DataView(whole.buffer);
}

/** Items of the data; there may be fewer of them where a recorded kernel let more pass than the rules. */
const fdAt = (data: DataView, i: number): number => (data.byteLength >= 4 * i + 4 ? data.getInt32(4 * i, true) : -1);
const isSet = (data: DataView, i: number): boolean => i < data.byteLength && data.getUint8(i) !== 0;

type Action = (c: Call, d: Device, h: Header, data: DataView) => void;

function actionOf(h: Header): Action | undefined {
  const what = h.flags & ACTION;
  if (h.index === Irq.INTX) return what === MASK ? mask : what === UNMASK ? unmask : what === TRIGGER ? intx : undefined;
  if (what !== TRIGGER) return undefined;
  if (h.index === Irq.MSI || h.index === Irq.MSIX) return msi;
  if (h.index === Irq.ERR) return single('error');
  return h.index === Irq.REQ ? single('request') : undefined;
}

/** What stands behind a descriptor. undefined where the call was refused. */
function eventfd(c: Call, fd: number): Eventfd | undefined {
  const found = c.request.eventfdOf?.(fd);
  if (found === undefined) {
    if (c.mayRefuse('EBADF', UNSEEN, 'vfio-irqs.eventfd') || c.mayRefuse('EINVAL', UNSEEN, 'vfio-irqs.eventfd')) return undefined;
  } else if (found === 'none') {
    if (c.refuse('EBADF', 'vfio-irqs.no-fd', { field: 'data', text: `there is no descriptor ${fd}` })) return undefined;
  } else if (found === 'other') {
    if (c.refuse('EINVAL', 'vfio-irqs.no-eventfd', { field: 'data', text: `descriptor ${fd} is no eventfd`, wanted: 'an eventfd' }))
      return undefined;
  } else return found;
  return { id: '', process: c.request.process, fd };
}

// ---- INTx

/** INTX must be on, and there is one. → true where the call ends */
function noIntx(c: Call, d: Device, h: Header): boolean {
  const on = d.irqs.index === Irq.INTX;
  const text = on ? `start ${h.start} and count ${h.count}` : 'INTx is not switched on';
  return (
    (!on || h.start !== 0 || h.count !== 1) &&
    c.refuse('EINVAL', 'vfio-irqs.intx', {
      field: on ? 'count' : 'index',
      text,
      wanted: on ? 'start 0 and count 1' : 'TRIGGER with an eventfd first',
    })
  );
}

/** No interrupt comes from the device itself, so that nobody sees whether it is masked. */
const mask: Action = (c, d, h) => {
  if (noIntx(c, d, h)) return;
  if ((h.flags & EVENTFD) !== 0) c.refuse('ENOTTY', 'vfio-irqs.mask-eventfd', { field: 'flags', text: 'vfio-pci masks by no eventfd' });
};

const unmask: Action = (c, d, h, data) => {
  if (noIntx(c, d, h) || (h.flags & EVENTFD) === 0) return;
  const fd = fdAt(data, 0);
  if (fd < 0) {
    c.then(() => {
      d.irqs.unmask = undefined;
    });
    return;
  }
  const found = eventfd(c, fd);
  if (found === undefined) return;
  const text = 'an eventfd unmasks INTx already';
  if (d.irqs.unmask !== undefined && c.refuse('EBUSY', 'vfio-irqs.unmasks', { field: 'data', text, wanted: '-1 first' })) return;
  c.then(() => {
    d.irqs.unmask = found;
  });
};

/** Another index is on. → true where the call ends */
function busy(c: Call, d: Device, h: Header): boolean {
  const { index } = d.irqs;
  if (index === undefined || index === h.index) return false;
  const text = `${IRQ_NAMES[index]} is switched on`;
  return c.refuse('EINVAL', 'vfio-irqs.other', { field: 'index', text, wanted: `${IRQ_NAMES[index]} switched off first` });
}

/** NONE or BOOL want the index to be on. → true where the call ends */
const notOn = (c: Call, d: Device, h: Header): boolean =>
  d.irqs.index !== h.index &&
  c.refuse('EINVAL', 'vfio-irqs.off', { field: 'index', text: `${IRQ_NAMES[h.index]} is not switched on`, wanted: 'eventfds first' });

const intx: Action = (c, d, h, data) => {
  const { irqs } = d;
  const off = h.count === 0 && (h.flags & NONE) !== 0;
  if (irqs.index === Irq.INTX && off) {
    c.then(() => switchOff(irqs, d.config));
    return;
  }
  if (busy(c, d, h)) return;
  const text = `start ${h.start} and count ${h.count}`;
  if ((h.start !== 0 || h.count !== 1) && c.refuse('EINVAL', 'vfio-irqs.intx', { field: 'count', text, wanted: 'start 0 and count 1' }))
    return;
  if ((h.flags & EVENTFD) !== 0) {
    const fd = fdAt(data, 0);
    const found = fd < 0 ? undefined : eventfd(c, fd);
    if (c.refused || (irqs.index === undefined && noneLeft(c, d))) return;
    c.then(() => {
      irqs.index = Irq.INTX;
      if (found === undefined) irqs.vectors.delete(0);
      else irqs.vectors.set(0, found);
    });
    return;
  }
  if (notOn(c, d, h)) return;
  const there = irqs.vectors.get(0);
  if (there !== undefined && d.config?.silent !== true && ((h.flags & NONE) !== 0 || isSet(data, 0))) c.signal(there);
};

// ---- MSI and MSI-X

const msi: Action = (c, d, h, data) => {
  const { irqs } = d;
  if (irqs.index === h.index && h.count === 0 && (h.flags & NONE) !== 0) {
    c.then(() => switchOff(irqs, d.config));
    return;
  }
  if (busy(c, d, h)) return;
  if ((h.flags & EVENTFD) !== 0) {
    connect(c, d, h, data);
    return;
  }
  if (notOn(c, d, h)) return;
  for (const [vector, there] of irqs.vectors) {
    const i = vector - h.start;
    if (i >= 0 && i < h.count && ((h.flags & NONE) !== 0 || isSet(data, i))) c.signal(there);
  }
};

/** Vector by vector; where one fails, all that the call names are without eventfd. */
function connect(c: Call, d: Device, h: Header, data: DataView): void {
  const { irqs } = d;
  const fresh = irqs.index === undefined;
  const end = h.start + h.count;
  if (fresh && end === 0 && c.refuse('ERANGE', 'vfio-irqs.none', { field: 'count', text: 'no vector to begin with', wanted: '1 at least' }))
    return;
  if (noneLeft(c, d)) return;
  // with fewer vectors than asked for, their number is returned, and nothing is on
  if (fresh && d.config === undefined) c.mayReturn(MACHINE);
  if ((c.observed?.ret ?? 0n) > 0n) return;
  const allocated = fresh ? end : irqs.allocated;
  const next = new Map(irqs.vectors);
  for (let i = 0; i < h.count && 4 * i < data.byteLength; i++) {
    const vector = h.start + i;
    next.delete(vector);
    const fd = fdAt(data, i);
    if (fd < 0) continue;
    const text = `vector ${vector}, and MSI was switched on with ${allocated}`;
    const beyond = h.index === Irq.MSI && vector >= allocated;
    const found =
      beyond && c.refuse('EINVAL', 'vfio-irqs.allocated', { field: 'start', text, wanted: 'MSI switched off first' })
        ? undefined
        : eventfd(c, fd);
    if (found === undefined) {
      if (!fresh)
        c.already(() => {
          for (let v = h.start; v <= vector; v++) irqs.vectors.delete(v);
        });
      return;
    }
    next.set(vector, found);
  }
  c.then(() => {
    irqs.vectors.clear();
    for (const [vector, e] of next) irqs.vectors.set(vector, e);
    if (!fresh) return;
    irqs.index = h.index;
    irqs.allocated = allocated;
    if (d.config !== undefined) showInterrupts(d.config, h.index === Irq.MSI ? 'msi' : 'msix', true, allocated);
  });
}

// ---- ERR and REQ

const single =
  (which: 'error' | 'request'): Action =>
  (c, d, h, data) => {
    const { irqs } = d;
    const refuse = (text: string, wanted: string): boolean => c.refuse('EINVAL', 'vfio-irqs.single', { field: 'count', text, wanted });
    const set = (e: Eventfd | undefined): void =>
      c.then(() => {
        irqs[which] = e;
      });
    const there = irqs[which];
    if ((h.flags & NONE) !== 0) {
      if (there === undefined && refuse(`${IRQ_NAMES[h.index]} has no eventfd`, 'an eventfd first')) return;
      if (h.count === 0) set(undefined);
      else if (there !== undefined) c.signal(there);
      return;
    }
    if (h.count === 0 && refuse('count is 0', '1')) return;
    if ((h.flags & BOOL) !== 0) {
      if (there !== undefined && isSet(data, 0)) c.signal(there);
      return;
    }
    const fd = fdAt(data, 0);
    if (fd < -1) refuse(`descriptor ${fd}`, 'an eventfd, or -1');
    else if (fd === -1) set(undefined);
    else {
      const found = eventfd(c, fd);
      if (found !== undefined) set(found);
    }
  };

export const rules: Readonly<Record<string, Rule>> = { VFIO_DEVICE_SET_IRQS: setIrqs };
