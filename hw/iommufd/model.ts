/**
 * The kernel as a model: answers calls from its state, changes it when an answer is committed. The rules lie beside it, by
 * what they are about; this file finds the rule of a call and does what every call has in common.
 * drivers/iommu/iommufd/main.c, iommufd_fops_ioctl().
 */
import { type DialectName, REQUEST_TYPE, type UapiTable, uapiTable } from '../uapi/table.ts';
import type { Command } from '../uapi/types.ts';
import { makeDevice } from '../vfio/device.ts';
import { FUNCTIONS, pathOf } from '../vfio/functions.ts';
import { rules as info } from '../vfio/info.ts';
import { rules as interrupts } from '../vfio/interrupts.ts';
import { type Answer, Call, type Observed, type Request, type Rule } from './call.ts';
import { rules as compat } from './compat.ts';
import { rules as hwInfo } from './hw-info.ts';
import { rules as hwQueue } from './hw-queue.ts';
import { rules as hwpt } from './hwpt.ts';
import { rules as ioas } from './ioas.ts';
import { iommuOf, type MachineName } from './machine.ts';
import { rules as map } from './map.ts';
import { closeFile, holdsContext, rules as objects, release } from './objects.ts';
import { rules as option } from './option.ts';
import { MEMORY, UNFORESEEN, UNSEEN } from './reasons.ts';
import type { Context, FileKind, Kernel, OpenFile, Viommu } from './state.ts';
import { rules as test } from './test-ops.ts';
import { type Traits, traitsOf } from './traits.ts';
import { rules as vfio } from './vfio.ts';
import { rules as viommu } from './viommu.ts';
import { hex } from './words.ts';

const RULES: ReadonlyMap<string, Rule> = new Map(
  Object.entries({
    ...objects,
    ...ioas,
    ...map,
    ...option,
    ...hwpt,
    ...hwInfo,
    ...viommu,
    ...hwQueue,
    ...test,
    ...compat,
    ...vfio,
    ...interrupts,
    ...info,
  }),
);

/** Numbers of iommufd's own commands begin here; those below are VFIO's. */
const FIRST = 0x80;
/** The mock driver's IOMMU_TEST_CMD makes the table of commands reach to here. */
const TEST = 0xa0;

export class Model {
  readonly table: UapiTable;
  readonly traits: Traits;
  readonly kernel: Kernel;

  /** `kernel`: the state of another model, to ask the rules of this dialect about it. */
  constructor(
    dialect: DialectName,
    kernel: Kernel = {
      files: new Map(),
      contexts: new Map(),
      mockDevices: 0,
      memoryLimit: 65536,
      vmas: [],
      tombstones: traitsOf(dialect).oneVdevice,
    },
  ) {
    this.table = uapiTable(dialect);
    this.traits = traitsOf(dialect);
    this.kernel = kernel;
  }

  /** The model has devices of its own behind vfio-pci from now on (hw/vfio/functions.ts): a file of their path is one of them. */
  plug(machine: MachineName = 'plain'): void {
    this.kernel.iommu = iommuOf(machine, this.table);
    this.kernel.devices = new Map(FUNCTIONS.map((f) => [pathOf(f), makeDevice(f)]));
  }

  /** A file was opened, or is found open: an iommufd and a container bring a context with them. `path`: of a VFIO device. */
  open(file: number, kind: FileKind, path = ''): OpenFile {
    const known = this.kernel.files.get(file);
    if (known !== undefined) return known;
    const opened: OpenFile = { file, kind, context: undefined, object: undefined };
    if (kind === 'iommufd' || kind === 'container') {
      const context: Context = {
        file,
        kernel: this.kernel,
        objects: new Map(),
        tombstones: new Set(),
        lowestFree: 1,
        holds: 1,
        rlimitMode: kind === 'container' ? 1 : 0,
        compat: undefined,
        noIommu: false,
        regions: [],
        queues: [],
      };
      opened.context = context;
      this.kernel.contexts.set(file, context);
    }
    const device = kind === 'vfio-device' ? this.kernel.devices?.get(path) : undefined;
    if (device !== undefined) opened.pci = device;
    this.kernel.files.set(file, opened);
    return opened;
  }

  /** A file that a call brought into being (Answer.files), once its number is known. */
  adopt(file: number, made: Omit<OpenFile, 'file'>): void {
    if (this.kernel.files.has(file)) return;
    this.kernel.files.set(file, { ...made, file });
    if (made.context !== undefined && holdsContext(made.kind)) made.context.holds++;
  }

  /** The last descriptor of a file is closed. */
  close(file: number): void {
    const open = this.kernel.files.get(file);
    if (open !== undefined) closeFile(this.kernel, open);
  }

  /** A region of the context is mapped: it holds the file, and is counted where it belongs to a vIOMMU. `key` tells it from others. */
  mapped(key: string, context: Context, owner: Viommu | undefined): void {
    context.holds++;
    if (owner !== undefined) owner.maps++;
    this.kernel.vmas.push({ key, context, owner });
  }
  /** → the vIOMMU that was mapped */
  unmapped(key: string): Viommu | undefined {
    const at = this.kernel.vmas.findIndex((v) => v.key === key);
    if (at < 0) return undefined;
    const { context, owner } = this.kernel.vmas[at]!;
    this.kernel.vmas.splice(at, 1);
    if (owner !== undefined) owner.maps--;
    release(context);
    return owner;
  }

  /** Is there a rule for this command? */
  knows(command: Command): boolean {
    return RULES.has(command.name);
  }

  /**
   * What the kernel answers to an ioctl of type ';' on an iommufd or a VFIO device. Changes nothing. `observed`: run along a known answer
   * (Call.refuse); the answer then has its ids and addresses, and commit brings the state to where the recorded kernel is.
   * undefined: there is no rule for it.
   */
  decide(request: Request, observed?: Observed): Answer | undefined {
    const { target, struct } = request;
    // a log may say that a file is what it is not
    if (target !== 'vfio-device' && request.file.context === undefined) return undefined;
    const number = request.request & 0xff;
    const own = target !== 'vfio-device' && number >= FIRST && number <= TEST;
    const command = request.request >>> 8 === REQUEST_TYPE >>> 8 ? this.table.command(target, request.request) : undefined;
    const call = new Call({ kernel: this.kernel, table: this.table, traits: this.traits, command: command ?? UNKNOWN, request, observed });
    if (
      own &&
      struct.bytes.length < 4 &&
      call.refuse('EFAULT', 'call.size-unreadable', { text: 'the first four bytes of the struct cannot be read' })
    )
      return call;
    if (target === 'vfio-device' && unbound(call, command)) return call;
    if (command === undefined) {
      call.refuse('ENOTTY', 'call.unknown', { text: `there is no command ${hex(request.request)}` });
      return call;
    }
    const rule = RULES.get(command.name);
    if (rule === undefined) return undefined;
    if (own && this.#enter(call, command, request)) return call;
    if (!own && unreadable(call, command, request)) return call;
    rule(call);
    if (!call.refused && observed !== undefined && observed.errno !== '') {
      // the answer cannot be written: that is the only error left where the rules are right
      if (observed.errno === 'EFAULT') call.unanswered();
      else call.unforeseen(observed.errno, UNFORESEEN);
    }
    return call;
  }

  /** Size and tail of the struct. → true where the call ends */
  #enter(call: Call, command: Command, request: Request): boolean {
    const { struct } = request;
    const size = Number(struct.wanted);
    const known = command.struct?.size ?? 0;
    const least = command.struct?.min ?? 0;
    if (size < least && call.refuse('EINVAL', 'call.size', { field: 'size', text: `size is ${size}`, wanted: `${least} at least` }))
      return true;
    if (
      size > known &&
      struct.bytes.subarray(known, size).some((b) => b !== 0) &&
      call.refuse('E2BIG', 'call.tail', {
        field: 'size',
        text: `bytes beyond the ${known} that the kernel knows are not zero`,
        wanted: 'zeros',
      })
    )
      return true;
    if (struct.bytes.length >= size) return false;
    if (!struct.fault) return call.mayRefuse('E2BIG', UNSEEN, 'call.tail');
    return call.refuse('EFAULT', 'call.unreadable', { text: `only ${struct.bytes.length} of ${size} bytes of the struct can be read` });
  }
}

/** A VFIO device has one call before it is bound. drivers/vfio/vfio_main.c, vfio_device_fops_unl_ioctl(). → true where the call ends */
const unbound = (call: Call, command: Command | undefined): boolean =>
  command?.name !== 'VFIO_DEVICE_BIND_IOMMUFD' &&
  call.request.file.object === undefined &&
  call.refuse('EINVAL', 'vfio.not-bound', { text: 'the device is bound to no iommufd', wanted: 'VFIO_DEVICE_BIND_IOMMUFD first' });

/** VFIO's calls read a struct of one size, whatever `argsz` says. → true where the call ends */
function unreadable(call: Call, command: Command, request: Request): boolean {
  const { bytes, fault } = request.struct;
  const least = command.struct?.min ?? 0;
  if (bytes.length >= least) return false;
  if (!fault) return call.mayRefuse('EFAULT', MEMORY, 'call.unreadable');
  return call.refuse('EFAULT', 'call.unreadable', { text: `only ${bytes.length} of ${least} bytes of the struct can be read` });
}

/** Stands in for a command that does not exist. */
const UNKNOWN: Command = {
  name: '',
  nr: 0,
  request: 0,
  target: 'iommufd',
  struct: undefined,
  arg: 'none',
  since: '',
  note: '',
  source: 'header',
  header: 'iommufd.h',
};
