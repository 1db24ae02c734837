/**
 * Configuration space of a function as vfio-pci shows it: some bits are the hardware's, some are kept for the program alone
 * (BARs, MSI), some cannot be written. drivers/vfio/pci/vfio_pci_config.c.
 */
import { type Capability, isExpress, type PciFunction } from './functions.ts';

/** Offsets of the header, and bits of the command register. */
const COMMAND = 4;
const STATUS = 6;
const CACHE_LINE = 0x0c;
const LATENCY = 0x0d;
const BAR0 = 0x10;
const SUBSYSTEM = 0x2c;
const ROM = 0x30;
const LIST = 0x34;
const LINE = 0x3c;
const PIN = 0x3d;
const HEADER_BYTES = 0x40;
const IO = 1;
const MEMORY = 2;
const INTX_DISABLE = 0x400;
const STATUS_LIST = 0x10;
/** Command bits that a function has: I/O, memory, master, parity, SERR, INTx disable. */
const COMMAND_BITS = 0x0547;
/** What firmware and vfio-pci leave there: I/O, memory, SERR; and the interrupt line. */
const COMMAND_FIRST = 0x0103;
const LINE_FIRST = 0x0a;

const CAP_BYTES = { power: 8, msi: 14, express: 0x3c, msix: 12 } as const;
const CAP_ID = { power: 1, msi: 5, express: 0x10, msix: 0x11 } as const;
/** in the PCI Express capability */
const DEVICE_CONTROL = 8;
const FLR = 0x8000;
const READ_REQUEST = 0x7000;
const PAYLOAD = 0xe0;
const PHANTOM = 0x200;
const DEVICE_CONTROL_2 = 0x28;
const ARI = 0x20;
/** in the power management capability */
const POWER_STATE = 4;
/** message control of MSI and MSI-X */
const CONTROL = 2;
const MSI_ENABLE = 1;
const MSI_COUNT = 0x70;
const MSIX_ENABLE = 0x8000;

export interface ConfigSpace {
  readonly function: PciFunction;
  /** what the hardware holds */
  hardware: Uint8Array;
  /** what is kept for the program, where `virtual` has a 1 */
  readonly own: Uint8Array;
  readonly virtual: Uint8Array;
  /** bits that the program may write */
  readonly writable: Uint8Array;
  /** bits that the hardware takes */
  readonly takes: Uint8Array;
  /** INTx is disabled by the program */
  silent: boolean;
  /** 0 D0 … 3 D3hot */
  power: number;
  /** vectors of MSI that were asked for, as a power of two */
  msiOrder: number;
}

const put16 = (b: Uint8Array, at: number, value: number): void => new DataView(b.buffer).setUint16(at, value, true);
const put32 = (b: Uint8Array, at: number, value: number): void => new DataView(b.buffer).setUint32(at, value >>> 0, true);
const get16 = (b: Uint8Array, at: number): number => new DataView(b.buffer).getUint16(at, true);

function capabilityBytes(b: Uint8Array, c: Capability): void {
  if (c.kind === 'power') put16(b, c.at + CONTROL, 3);
  else if (c.kind === 'msi') put16(b, c.at + CONTROL, 0x80 | (Math.log2(c.vectors) << 1));
  else if (c.kind === 'express') {
    put16(b, c.at + 2, 2); // version 2, endpoint
    put32(b, c.at + 4, 0x1000_8000); // FLR, role-based errors
    put16(b, c.at + DEVICE_CONTROL, 0x2810);
    put32(b, c.at + 0x0c, 0x11); // one lane, 2.5 GT/s
    put16(b, c.at + 0x12, 0x11);
  } else {
    put16(b, c.at + CONTROL, c.vectors - 1);
    put32(b, c.at + 4, c.table.at | c.table.bar);
    put32(b, c.at + 8, c.pending.at | c.pending.bar);
  }
}

/** Configuration space as the host leaves it: BARs placed, memory enabled. */
function hardwareOf(f: PciFunction): Uint8Array {
  const b = new Uint8Array(f.configBytes);
  put16(b, 0, f.vendor);
  put16(b, 2, f.device);
  put16(b, COMMAND, COMMAND_FIRST);
  put16(b, STATUS, STATUS_LIST);
  put32(b, 8, ((f.classCode << 8) | f.revision) >>> 0);
  for (const [i, bar] of Object.entries(f.bars)) put32(b, BAR0 + 4 * Number(i), bar.address | barFlags(bar));
  put16(b, SUBSYSTEM, f.subsystemVendor);
  put16(b, SUBSYSTEM + 2, f.subsystem);
  b[LIST] = f.capabilities[0]?.at ?? 0;
  b[LINE] = LINE_FIRST;
  b[PIN] = f.pin;
  f.capabilities.forEach((c, i) => {
    b[c.at] = CAP_ID[c.kind];
    b[c.at + 1] = f.capabilities[i + 1]?.at ?? 0;
    capabilityBytes(b, c);
  });
  return b;
}

const barFlags = (bar: PciFunction['bars'][number]): number => (bar!.wide ? 4 : 0) | (bar!.prefetchable ? 8 : 0);

/** Which bits vfio-pci keeps (`virtual`) and lets write (`writable`), and which the function itself takes. */
function masks(s: ConfigSpace): void {
  const { function: f, virtual, writable, takes } = s;
  virtual.fill(0xff, 0, 4);
  put16(virtual, COMMAND, INTX_DISABLE);
  put16(writable, COMMAND, 0xffff);
  put16(takes, COMMAND, COMMAND_BITS);
  put16(virtual, STATUS, STATUS_LIST);
  writable[CACHE_LINE] = takes[CACHE_LINE] = 0xff;
  writable[LATENCY] = 0xff;
  takes[LATENCY] = isExpress(f) ? 0 : 0xff;
  virtual.fill(0xff, BAR0, BAR0 + 24);
  writable.fill(0xff, BAR0, BAR0 + 24);
  virtual.fill(0xff, ROM, ROM + 4);
  writable.fill(0xff, ROM, ROM + 4);
  virtual[LIST] = 0xff;
  virtual[LINE] = writable[LINE] = 0xff;
  virtual[PIN] = 0xff;
  for (const c of f.capabilities) {
    virtual[c.at + 1] = 0xff;
    if (c.kind === 'express') {
      put16(virtual, c.at + DEVICE_CONTROL, FLR | PAYLOAD | READ_REQUEST);
      put16(writable, c.at + DEVICE_CONTROL, 0xffff & ~PHANTOM);
      put16(takes, c.at + DEVICE_CONTROL, 0x091f);
      put16(writable, c.at + DEVICE_CONTROL_2, 0xffff & ~ARI);
    }
    if (c.kind === 'msi') {
      virtual[c.at + CONTROL] = writable[c.at + CONTROL] = 0xff;
      virtual.fill(0xff, c.at + 4, c.at + 14);
      writable.fill(0xff, c.at + 4, c.at + 14);
    }
  }
}

/** Configuration space of a device that has just been bound. */
export function makeConfig(f: PciFunction): ConfigSpace {
  const empty = (): Uint8Array => new Uint8Array(f.configBytes);
  const s: ConfigSpace = {
    function: f,
    hardware: hardwareOf(f),
    own: hardwareOf(f),
    virtual: empty(),
    writable: empty(),
    takes: empty(),
    silent: false,
    power: 0,
    msiOrder: 0,
  };
  masks(s);
  return s;
}

/** Can the memory of BARs be reached? */
export const memoryEnabled = (s: ConfigSpace): boolean => s.power < 3 && (get16(s.own, COMMAND) & MEMORY) !== 0;

/** BARs keep the bits that their size leaves, and tell what they are. */
function settleBars(s: ConfigSpace): void {
  const view = new DataView(s.own.buffer);
  for (let i = 0; i < 6; i++) {
    const at = BAR0 + 4 * i;
    const bar = s.function.bars[i];
    if (bar === undefined) {
      view.setUint32(at, 0, true);
      continue;
    }
    view.setUint32(at, ((view.getUint32(at, true) & -bar.bytes) | barFlags(bar)) >>> 0, true);
    if (bar.wide) i++;
  }
  view.setUint32(ROM, 0, true);
}

/** Bytes as a program reads them. */
export function readConfig(s: ConfigSpace, at: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const v = s.virtual[at + i]!;
    bytes[i] = (s.hardware[at + i]! & ~v) | (s.own[at + i]! & v);
  }
  return bytes;
}

/** What a write asks of the device beside its bytes. */
export interface ConfigEffect {
  /** a function level reset */
  readonly reset: boolean;
}

/** Writes bytes, in the pieces that vfio-pci cuts a write into: aligned, of 4, 2 or 1 bytes, of one capability. */
export function writeConfig(s: ConfigSpace, at: number, bytes: Uint8Array): ConfigEffect {
  let reset = false;
  for (let done = 0; done < bytes.length; ) {
    const pos = at + done;
    const count = pieceAt(s.function, pos, bytes.length - done);
    reset = writePiece(s, pos, bytes.subarray(done, done + count)) || reset;
    done += count;
  }
  return { reset };
}

const capabilityAt = (f: PciFunction, pos: number): Capability | undefined =>
  f.capabilities.find((c) => pos >= c.at && pos < c.at + CAP_BYTES[c.kind]);

function pieceAt(f: PciFunction, pos: number, left: number): number {
  const where = (p: number): Capability | 'header' | undefined => (p < HEADER_BYTES ? 'header' : capabilityAt(f, p));
  let room = 1;
  while ((pos + room) % 4 !== 0 && where(pos + room) === where(pos)) room++;
  const most = Math.min(left, room);
  return most >= 4 && pos % 4 === 0 ? 4 : most >= 2 && pos % 2 === 0 ? 2 : 1;
}

function writePiece(s: ConfigSpace, pos: number, bytes: Uint8Array): boolean {
  bytes.forEach((byte, i) => {
    const at = pos + i;
    const [write, own] = [s.writable[at]!, s.virtual[at]!];
    s.own[at] = (s.own[at]! & ~(write & own)) | (byte & write & own);
    const real = write & ~own & s.takes[at]!;
    s.hardware[at] = (s.hardware[at]! & ~real) | (byte & real);
  });
  if (pos < HEADER_BYTES) {
    if (pos === COMMAND) command(s, bytes);
    if ((pos >= BAR0 && pos < BAR0 + 24) || (pos >= ROM && pos < ROM + 4)) settleBars(s);
    if (pos <= COMMAND + 1 && pos + bytes.length > COMMAND) s.silent = (get16(s.own, COMMAND) & INTX_DISABLE) !== 0;
    return false;
  }
  const c = capabilityAt(s.function, pos);
  if (c?.kind === 'power' && pos - c.at === POWER_STATE) setPower(s, c.at, bytes[0]! & 3);
  if (c?.kind === 'msi' && pos - c.at <= CONTROL && pos - c.at + bytes.length >= CONTROL) settleMsi(s, c.at);
  return c?.kind === 'express' && expressWritten(s, c.at, pos - c.at);
}

/** Memory and I/O enable are kept beside what the hardware has. */
function command(s: ConfigSpace, bytes: Uint8Array): void {
  const value = bytes[0]!;
  put16(s.own, COMMAND, (get16(s.own, COMMAND) & ~(IO | MEMORY)) | (value & (IO | MEMORY)));
}

function setPower(s: ConfigSpace, at: number, state: number): void {
  // D1 and D2 are not there
  if (state === 1 || state === 2) return;
  s.power = state;
  s.hardware[at + POWER_STATE] = (s.hardware[at + POWER_STATE]! & ~3) | state;
}

/** MSI is switched on by VFIO_DEVICE_SET_IRQS alone, and no more vectors than it has. */
function settleMsi(s: ConfigSpace, at: number): void {
  let control = get16(s.own, at + CONTROL);
  if ((get16(s.hardware, at + CONTROL) & MSI_ENABLE) === 0) control &= ~MSI_ENABLE;
  if ((control & MSI_COUNT) >> 4 > s.msiOrder) control = (control & ~MSI_COUNT) | (s.msiOrder << 4);
  put16(s.own, at + CONTROL, control);
}

function expressWritten(s: ConfigSpace, at: number, offset: number): boolean {
  if (offset > DEVICE_CONTROL + 1 || offset < DEVICE_CONTROL) return false;
  const control = get16(s.own, at + DEVICE_CONTROL);
  put16(s.own, at + DEVICE_CONTROL, control & ~FLR);
  return (control & FLR) !== 0;
}

/** Interrupts of MSI (1) or MSI-X (2) were switched on or off; the capability says so. `vectors`: as many as MSI has now. */
export function showInterrupts(s: ConfigSpace, kind: 'msi' | 'msix', on: boolean, vectors = 1): void {
  const c = s.function.capabilities.find((x) => x.kind === kind);
  if (c === undefined) return;
  const bit = kind === 'msi' ? MSI_ENABLE : MSIX_ENABLE;
  const control = get16(s.hardware, c.at + CONTROL);
  put16(s.hardware, c.at + CONTROL, on ? control | bit : control & ~bit);
  if (kind === 'msi') s.msiOrder = on ? Math.ceil(Math.log2(vectors)) : s.msiOrder;
}

/** A reset: the host puts the configuration back as it was. */
export function resetConfig(s: ConfigSpace): void {
  s.power = 0;
  for (const c of s.function.capabilities) if (c.kind === 'power') s.hardware[c.at + POWER_STATE] = 0;
}
