/**
 * A VMM that gives a guest a CMDQV, as QEMU does: the calls that it makes, the guest's window that it emulates, page 0 that it
 * maps. What the guest stores in the window exits to it; what it stores in the mapped page 0 does not.
 */

import { getField, setBits, setField } from '../bits.ts';
import { type Access, store } from '../cmdqv/access.ts';
import { apply, Pad } from '../cmdqv/change.ts';
import { locate, offsetsOf, type Place } from '../cmdqv/places.ts';
import { encodeRegister, fieldOf, register } from '../cmdqv/registers.ts';
import { type CmdqvState, makeState, readerOf, regs } from '../cmdqv/state.ts';
import { infoCalls, queueCall, u32s } from './dialect.ts';
import { mapsIn } from './observer.ts';
import type { Session } from './session.ts';

/** of the CMDQV in the guest, and of page 0 of its VINTF in that */
export const WINDOW = 0x0c10_0000n;
const WINDOW_BYTES = 0x5_0000n;
export const PAGE0 = 0x3_0000n;
const PAGE_BYTES = 0x1_0000n;
/** where the guest's RAM is: in the program (the first one's; each has as much as that), and for the guest */
export const RAM = { address: 0x1000_0000_0000n, guest: 0x4000_0000n, bytes: 0x100_0000n } as const;
/** CMDQ_PROD of the SMMU that the guest sees, and entries of its queue */
const SMMU = { prod: 0x0905_0098n, entries: 256 } as const;
const MAP_FLAGS = 7;
const NEST_PARENT = 1;
/** IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV and the type of its vEVENTQ */
const TYPE = 2;
const INVALIDATE = 1;
const QUEUES = 2;
const EVENT_ROOM = 0x1000;

/** linux/kvm.h: ioctls, and struct kvm_userspace_memory_region */
const KVM = { CREATE_VM: 0xae01, CREATE_VCPU: 0xae41, SET_USER_MEMORY_REGION: 0x4020_ae46 } as const;
const SLOT = { ram: 0, page0: 1 } as const;
const SLOT_BYTES = 32;

export interface VmmOptions {
  /** the recorder traps what is stored in and loaded from page 0 */
  readonly seen: boolean;
  /** events that the vEVENTQ keeps */
  readonly depth: number;
  /** how many VMMs there are before it in the program */
  readonly index?: number;
}

export class Vmm {
  readonly s: Session;
  readonly options: VmmOptions;
  readonly iommufd: number;
  readonly devices: { readonly fd: number; readonly id: number }[] = [];
  readonly vdevices: number[] = [];
  /** what the guest sees of its CMDQV where no hardware answers */
  readonly cache: CmdqvState = makeState({ log2Queues: 1, log2Vintfs: 0, log2Sids: 4 });
  /** ids of the HW queues, by number */
  readonly queues = new Map<number, number>();
  ioas = 0;
  parent = 0;
  viommu = 0;
  veventq = { id: 0, fd: -1 };
  page0 = -1n;
  /** PROD of the emulated SMMU's own queue */
  #smmuProd = 0;
  /** descriptors of KVM's */
  readonly kvm: { readonly device: number; readonly vm: number; readonly vcpu: number };
  /** where the guest's RAM is in the program */
  readonly ram: bigint;

  constructor(s: Session, options: VmmOptions) {
    this.s = s;
    this.options = options;
    this.ram = RAM.address + BigInt(options.index ?? 0) * RAM.bytes;
    const device = s.openKvm();
    const vm = s.callKvm(device, KVM.CREATE_VM, { makes: 'kvm-vm' });
    this.kvm = { device, vm, vcpu: s.callKvm(vm, KVM.CREATE_VCPU, { makes: 'kvm-vcpu' }) };
    this.#slot(SLOT.ram, RAM.guest, RAM.bytes, this.ram);
    this.iommufd = s.open('iommufd', '/dev/iommu');
    this.#cached(regs.cmdqv('PARAM'), encodeRegister(register('PARAM', 'CMDQV'), { VER: 1, NUM_VCMDQ_LOG2: 1, NUM_SID_PER_VINTF_LOG2: 4 }));
  }

  /** A part of the program's memory becomes the guest's; of 0 bytes: it is so no more. */
  #slot(slot: number, guest: bigint, bytes: bigint, address: bigint): void {
    const input = new Uint8Array(SLOT_BYTES);
    const view = new DataView(input.buffer);
    view.setUint32(0, slot, true);
    [guest, bytes, address].forEach((value, i) => {
      view.setBigUint64(8 + 8 * i, value, true);
    });
    this.s.callKvm(this.kvm.vm, KVM.SET_USER_MEMORY_REGION, { input });
  }

  /** A device that the guest gets; the first one brings the vIOMMU with it. Without a stream it is bound and no more. */
  plug(vsid?: number): void {
    const fd = this.s.open('vfio-device', `/dev/vfio/devices/vfio${this.devices.length}`);
    const id = this.#must(fd, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: this.iommufd }).u32('out_devid');
    this.devices.push({ fd, id });
    if (vsid === undefined) return;
    if (this.viommu === 0) this.#start(id);
    const vdevice = this.s.call(this.iommufd, 'IOMMU_VDEVICE_ALLOC', { viommu_id: this.viommu, dev_id: id, virt_id: vsid });
    if (vdevice.errno === '' && this.s.model.table.has('IOMMU_VDEVICE_ALLOC', 'out_vdevice_id'))
      this.vdevices.push(vdevice.u32('out_vdevice_id'));
  }

  /** GET_HW_INFO, nesting parent, vIOMMU, page 0, vEVENTQ. */
  #start(device: number): void {
    const { s, iommufd } = this;
    const { table } = s.model;
    for (const c of infoCalls(table, device, s.cmdqv.size)) s.call(iommufd, 'IOMMU_GET_HW_INFO', c.values, { told: c.told });
    this.ioas = this.#must(iommufd, 'IOMMU_IOAS_ALLOC').u32('out_ioas_id');
    const map = { flags: MAP_FLAGS, ioas_id: this.ioas, user_va: this.ram, length: RAM.bytes, iova: RAM.guest };
    this.#must(iommufd, 'IOMMU_IOAS_MAP', map);
    this.parent = this.#must(iommufd, 'IOMMU_HWPT_ALLOC', { flags: NEST_PARENT, dev_id: device, pt_id: this.ioas }).u32('out_hwpt_id');
    const made = s.call(
      iommufd,
      'IOMMU_VIOMMU_ALLOC',
      { type: TYPE, dev_id: device, hwpt_id: this.parent, data_len: 16 },
      { nested: { data_uptr: new Uint8Array(16) } },
    );
    if (made.errno !== '') throw new Error(`IOMMU_VIOMMU_ALLOC fails with ${made.errno}`);
    this.viommu = made.u32('out_viommu_id');
    const shown = [...made.nestedOut.values()][0]!;
    const view = new DataView(shown.buffer, shown.byteOffset, shown.byteLength);
    this.page0 = s.mmap(iommufd, view.getBigUint64(8, true), view.getBigUint64(0, true), this.options.seen).address;
    if (table.byName('IOMMU_VEVENTQ_ALLOC') === undefined) return;
    const queue = this.#must(iommufd, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: this.viommu, type: TYPE, veventq_depth: this.options.depth });
    this.veventq = { id: queue.u32('out_veventq_id'), fd: queue.u32('out_veventq_fd') };
  }

  #must(fd: number, name: string, values: Parameters<Session['call']>[2] = {}): ReturnType<Session['call']> {
    const result = this.s.call(fd, name, values);
    if (result.errno !== '') throw new Error(`${name} fails with ${result.errno}`);
    return result;
  }

  /** Is page 0 the guest's own: does it see the hardware without an exit? */
  get mapped(): boolean {
    return this.#bit(regs.vintf(0, 'STATUS'), 'ENABLED', 'VINTF');
  }

  /** The guest stores in its window. */
  store(offset: bigint, width: number, value: bigint): void {
    const place = locate(offset, { kind: 'aperture' }, this.cache.size);
    const { lvcmdq } = place;
    if (place.view === 'logical' && place.register?.block === 'PAGE0' && this.mapped && lvcmdq !== undefined) {
      this.hardwareStore(offset - PAGE0, width, value);
      return;
    }
    this.s.add({ kind: 'mmio', source: 'exit', store: true, file: this.#vcpu, address: WINDOW + offset, offset: 0n, width, value });
    if (width === 8 && place.register?.block !== 'PAGE1') return;
    if (place.register?.block === 'PAGE0' && lvcmdq !== undefined && this.queues.has(lvcmdq)) {
      this.hardwareStore(BigInt(0x80 * lvcmdq + place.register.offset), width, value);
      return;
    }
    this.#emulate(place, { offset, width, value, view: { kind: 'aperture' } });
  }

  /** The guest loads 4 bytes. */
  load(offset: bigint): bigint {
    const place = locate(offset, { kind: 'aperture' }, this.cache.size);
    const page0 = place.register?.block === 'PAGE0' && place.lvcmdq !== undefined;
    const queue = page0 && this.queues.has(place.lvcmdq);
    if (page0 && place.view === 'logical' && this.mapped) return this.s.load(this.page0, offset - PAGE0, this.options.seen);
    const cached = readerOf(this.cache).get(place.name).value >> BigInt(8 * place.byte);
    const value = BigInt.asUintN(
      32,
      queue ? this.s.load(this.page0, BigInt(0x80 * place.lvcmdq! + place.register!.offset), this.options.seen) : cached,
    );
    this.s.add({ kind: 'mmio', source: 'exit', store: false, file: this.#vcpu, address: WINDOW + offset, offset: 0n, width: 4, value });
    return value;
  }

  get #vcpu(): number {
    return this.s.kvm.get(this.kvm.vcpu)?.file ?? 0;
  }

  /** A store in the mapping of page 0. */
  hardwareStore(offset: bigint, width: number, value: bigint): void {
    this.s.store(this.page0, offset, width, value, this.options.seen);
  }

  #cached(name: string, value: bigint): void {
    const p = new Pad(this.cache);
    p.set(name, value, 2n ** 64n - 1n);
    apply(this.cache, p.effects);
  }
  #bit(name: string, field: string, block: 'CMDQV' | 'VINTF'): boolean {
    const row = register(name.split('.')[1]!.replace(/_\d+$/, ''), block);
    return getField([readerOf(this.cache).get(name).value], fieldOf(row, field)) === 1n;
  }

  /** Registers that the VMM keeps, and what hangs on them: queues are made and freed as the four conditions come and go. */
  #emulate(place: Place, access: Access): void {
    const before = this.#conditions();
    const p = new Pad(this.cache);
    store(p, access, 'seen');
    apply(this.cache, p.effects);
    if (place.name === 'VINTF0.CONFIG') this.#follow('VINTF', regs.vintf(0, 'CONFIG'), 'EN', regs.vintf(0, 'STATUS'));
    if (place.name === 'CMDQV.CONFIG') this.#follow('CMDQV', regs.cmdqv('CONFIG'), 'CMDQV_EN', regs.cmdqv('STATUS'));
    const after = this.#conditions();
    const moved = place.register?.name === 'BASE' ? place.lvcmdq : undefined;
    for (let q = QUEUES - 1; q >= 0; q--) if (this.queues.has(q) && (!after[q] || moved === q)) this.#free(q);
    for (let q = 0; q < QUEUES; q++) if (after[q] && (!before[q] || moved === q) && !this.queues.has(q)) this.#make(q);
  }

  /** STATUS.ENABLED follows at once; HYP_OWN is not a guest's. */
  #follow(block: 'CMDQV' | 'VINTF', config: string, field: string, status: string): void {
    const row = register('CONFIG', block);
    const value = readerOf(this.cache).get(config).value;
    if (block === 'VINTF') this.#cached(config, setField(value, fieldOf(row, 'HYP_OWN'), 0n));
    const before = this.mapped;
    this.#cached(status, getField([value], fieldOf(row, field)));
    // page 0 is the guest's own while its VINTF is on
    if (this.mapped !== before && this.page0 >= 0n) this.#slot(SLOT.page0, WINDOW + PAGE0, before ? 0n : PAGE_BYTES, this.page0);
  }

  /** Of each queue: may it be there? */
  #conditions(): boolean[] {
    const on = this.#bit(regs.cmdqv('STATUS'), 'ENABLED', 'CMDQV') && this.mapped;
    return Array.from({ length: QUEUES }, (_, q) => on && this.#bit(regs.cmdqv('CMDQ_ALLOC', q), 'ALLOC', 'CMDQV') && this.#base(q) !== 0n);
  }
  #base(q: number): bigint {
    return readerOf(this.cache).get(regs.page1(0, q, 'BASE')).value;
  }

  #make(q: number): void {
    const row = register('BASE', 'PAGE1');
    const get = (name: string): bigint => getField([this.#base(q)], fieldOf(row, name));
    const c = queueCall(this.s.model.table, this.viommu, q, get('ADDR'), Number(get('LOG2SIZE')));
    const made = this.s.call(this.iommufd, c.name, c.values, { nested: c.nested, asked: c.asked });
    if (made.errno !== '') {
      this.#cached(regs.page0(0, q, 'GERROR'), encodeRegister(register('GERROR', 'PAGE0'), { CMDQ_INIT_ERR: 1 }));
      this.#cached(regs.page0(0, q, 'STATUS'), 0n);
      return;
    }
    this.queues.set(q, made.u32(c.out));
    this.sample('alloc', q);
    for (const name of ['CONS_INDX', 'PROD_INDX', 'CONFIG', 'GERRORN'])
      this.hardwareStore(BigInt(0x80 * q + register(name, 'PAGE0').offset), 4, readerOf(this.cache).get(regs.page0(0, q, name)).value);
  }

  #free(q: number): void {
    this.sample('destroy', q);
    const { errno } = this.s.call(this.iommufd, 'IOMMU_DESTROY', { id: this.queues.get(q)! });
    if (errno === '') this.queues.delete(q);
  }

  /** Number of the VINTF that it has. */
  get vintf(): number | undefined {
    const context = this.s.fds.get(this.iommufd)?.context;
    return this.s.vintfOf([...this.s.viommus().values()].find((v) => v.context === context && v.id === this.viommu));
  }

  /** What a recorder that samples would have read now. */
  sample(why: 'alloc' | 'destroy' | 'prod' | 'error' | 'sample', q: number): void {
    this.s.hardware({ kind: 'run' });
    const { vintf } = this;
    const queue = vintf === undefined ? undefined : this.s.cmdqv.vintfs.get(vintf)?.queues.find((x) => x.lvcmdq === q);
    if (vintf === undefined || queue === undefined) return;
    const word = (name: string): number => Number(readerOf(this.s.cmdqv).get(regs.page0(vintf, q, name)).value);
    const names = ['CONS_INDX', 'PROD_INDX', 'CONFIG', 'STATUS', 'GERROR', 'GERRORN'];
    const page0 = u32s(...names.map(word), 0, 0);
    const entries = this.s.memory.read(queue.base, 16 << queue.log2);
    const file = this.s.fds.get(this.iommufd)!.file;
    this.s.hardware({ kind: 'sample', vintf, lvcmdq: q, page0 });
    this.s.add({ kind: 'queue', why, file, object: this.queues.get(q) ?? 0, index: q, log2: queue.log2, first: 0, entries, page0 });
  }

  /** Reads the vEVENTQ and hands its maps to the guest; the recorder looks at the queues that they name. → records read */
  events(): Uint8Array {
    this.s.hardware({ kind: 'run' });
    if (this.veventq.fd < 0) return new Uint8Array(0);
    const bytes = this.s.read(this.veventq.fd, EVENT_ROOM);
    const failed = new Set<number>();
    for (const [map] of mapsIn(bytes)) {
      this.#cached(regs.vintf(0, 'LVCMDQ_ERR_MAP', 0), map);
      this.#cached(regs.cmdqv('CMDQ_ERR_MAP', 0), map);
      this.#cached(regs.cmdqv('VI_ERR_MAP', 0), 1n);
      for (const q of setBits(map)) failed.add(q);
    }
    for (const q of failed) this.sample('error', q);
    return bytes;
  }

  /** Commands by the other way, HWPT_INVALIDATE: the guest's store of PROD in the emulated SMMU's queue exits before it. */
  invalidate(commands: readonly Uint8Array[]): { readonly errno: string; readonly done: number } {
    this.#smmuProd = (this.#smmuProd + commands.length) % (2 * SMMU.entries);
    const value = BigInt(this.#smmuProd);
    this.s.add({ kind: 'mmio', source: 'exit', store: true, file: this.#vcpu, address: SMMU.prod, offset: 0n, width: 4, value });
    const bytes = new Uint8Array(16 * commands.length);
    commands.forEach((c, i) => {
      bytes.set(c, 16 * i);
    });
    const values = { hwpt_id: this.viommu, data_type: INVALIDATE, entry_len: 16, entry_num: commands.length };
    const result = this.s.call(this.iommufd, 'IOMMU_HWPT_INVALIDATE', values, { nested: { data_uptr: bytes } });
    return { errno: result.errno, done: result.errno === '' ? result.u32('entry_num') : 0 };
  }

  /** The guest is gone: queues from the last on, vEVENTQ, page 0, vDEVICEs, vIOMMU, the rest. */
  shutdown(): void {
    for (const q of [...this.queues.keys()].sort((a, b) => b - a)) this.#free(q);
    const { s, iommufd } = this;
    if (this.veventq.fd >= 0) {
      s.close(this.veventq.fd);
      s.call(iommufd, 'IOMMU_DESTROY', { id: this.veventq.id });
    }
    if (this.mapped && this.page0 >= 0n) this.#slot(SLOT.page0, WINDOW + PAGE0, 0n, this.page0);
    if (this.page0 >= 0n) s.munmap(this.page0);
    for (const id of [...this.vdevices].reverse()) s.call(iommufd, 'IOMMU_DESTROY', { id });
    for (const id of [this.viommu, this.parent, this.ioas]) if (id !== 0) s.call(iommufd, 'IOMMU_DESTROY', { id });
    for (const d of this.devices) s.close(d.fd);
    s.close(iommufd);
    for (const fd of [this.kvm.vcpu, this.kvm.vm, this.kvm.device]) s.closeKvm(fd);
  }
}

/** Offset in the window of a register by its name; of a queue's page 0 the logical view. */
export function windowOffset(
  name: string,
  block: 'CMDQV' | 'VINTF' | 'PAGE0' | 'PAGE1',
  of: { vintf?: number; lvcmdq?: number },
  index = 0,
): bigint {
  const at = offsetsOf(register(name, block), index, of)[0];
  if (at === undefined || BigInt(at) >= WINDOW_BYTES + PAGE_BYTES) throw new Error(`${name} is not in the window`);
  return BigInt(at);
}
