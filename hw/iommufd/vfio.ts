/**
 * VFIO devices on an iommufd: bind, attach, detach. drivers/vfio/device_cdev.c and drivers/vfio/iommufd.c. What the device
 * itself answers (regions, interrupts, reset) is its driver's.
 */
import { enable } from '../vfio/device.ts';
import { attach, attachedTo, detach } from './attach.ts';
import type { Call, Rule } from './call.ts';
import { insert, missing } from './objects.ts';
import { MACHINE, UNSEEN } from './reasons.ts';
import type { Context, Device } from './state.ts';
import { nameOf } from './words.ts';

const TOKEN = 1;
const PASID = 1;

function argsz(c: Call, least: number): boolean {
  const size = c.u32('argsz');
  return size < least && c.refuse('EINVAL', 'vfio.argsz', { field: 'argsz', text: `argsz is ${size}`, wanted: `${least} at least` });
}

const bind: Rule = (c) => {
  const { file } = c.request;
  if (argsz(c, 16)) return;
  const fd = c.s32('iommufd');
  if (
    (c.u32('flags') & ~(c.table.has(c.command.name, 'token_uuid_ptr') ? TOKEN : 0)) !== 0 &&
    c.refuse('EINVAL', 'vfio-bind.flags', { field: 'flags', text: `flags 0x${c.u32('flags').toString(16)}`, wanted: '0' })
  )
    return;
  if (fd < 0 && c.refuse('EINVAL', 'vfio-bind.fd', { field: 'iommufd', text: `descriptor ${fd}`, wanted: 'a descriptor of /dev/iommu' }))
    return;
  if (
    file.object !== undefined &&
    c.refuse('EINVAL', 'vfio-bind.bound', { text: `the device is bound already, as ${nameOf(file.object)}`, because: [file.object] })
  )
    return;
  const iommufd = c.request.fileOf(fd);
  if (iommufd === undefined && c.refuse('EBADF', 'vfio-bind.no-fd', { field: 'iommufd', text: `there is no descriptor ${fd}` })) return;
  if (iommufd === 'unknown') c.mayRefuse('EBADF', UNSEEN, 'vfio-bind.no-fd');
  if (c.refused) return;
  const context = iommufd === 'unknown' || iommufd?.kind !== 'iommufd' ? undefined : iommufd.context;
  if (context === undefined) {
    c.refuse('EBADFD', 'vfio-bind.no-iommufd', {
      field: 'iommufd',
      text: `descriptor ${fd} is no iommufd`,
      wanted: 'a descriptor of /dev/iommu',
    });
    return;
  }
  const { pci } = file;
  const user = pci?.user;
  if (
    user !== undefined &&
    c.refuse('EINVAL', 'vfio-bind.in-use', {
      text: 'the device is bound through another file',
      wanted: 'that file closed first',
      because: user.object === undefined ? [] : [user.object],
    })
  )
    return;
  if (
    pci !== undefined &&
    (c.u32('flags') & TOKEN) !== 0 &&
    c.refuse('EINVAL', 'vfio-bind.token', { field: 'flags', text: 'the device is no virtual function: it has no token', wanted: '0' })
  )
    return;
  if (pci === undefined)
    for (const errno of ['EPERM', 'EBUSY', 'ENODEV', 'EACCES', 'EINVAL']) if (c.mayRefuse(errno, MACHINE, 'vfio-bind.machine')) return;
  c.enter(context);
  const device = made(c, context);
  c.then(() => {
    insert(device);
    file.object = device;
    file.context = context;
    context.holds++;
    if (pci !== undefined) enable(pci, file);
  });
};

function made(c: Call, context: Context): Device {
  const device: Device = {
    type: 'DEVICE',
    id: c.newId('out_devid'),
    context,
    birth: c.request.seq,
    users: 1,
    driver: c.request.file.pci === undefined ? { name: 'unknown' } : (c.kernel.iommu ?? { name: 'plain' }),
    group: { devices: [], attached: new Map() },
    flags: 0,
    selftest: undefined,
    vdevice: undefined,
    cache: [],
  };
  device.group.devices.push(device);
  return device;
}

/** The device that the file is bound as; undefined where the call was refused. */
function bound(c: Call): Device | undefined {
  const { object } = c.request.file;
  if (object?.type === 'DEVICE') return object;
  c.refuse('EINVAL', 'vfio.not-bound', { text: 'the device is bound to no iommufd', wanted: 'VFIO_DEVICE_BIND_IOMMUFD first' });
  return undefined;
}

/** The PASID that the flags bring; undefined where the call was refused. */
function pasidOf(c: Call, least: number): number | undefined {
  const flags = c.u32('flags');
  const known = c.table.has(c.command.name, 'pasid') ? PASID : 0;
  if (
    (flags & ~known) !== 0 &&
    c.refuse('EINVAL', 'vfio.flags', { field: 'flags', text: `flags 0x${flags.toString(16)}`, wanted: known === 0 ? '0' : '0 or PASID' })
  )
    return undefined;
  if ((flags & known) === 0) return 0;
  if (c.request.file.pci === undefined && c.mayRefuse('EOPNOTSUPP', MACHINE, 'vfio.pasid')) return undefined;
  if (argsz(c, least)) return undefined;
  return c.u32('pasid');
}

const attachRule: Rule = (c) => {
  if (argsz(c, 12)) return;
  const pasid = pasidOf(c, 16);
  if (pasid === undefined) return;
  const device = bound(c);
  if (device === undefined) return;
  const id = c.u32('pt_id');
  const target = c.context.objects.get(id);
  if (target === undefined) {
    c.refuse('ENOENT', 'object.lookup', {
      field: 'pt_id',
      text: missing(c.context, id, ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED']),
      wanted: 'an IOAS or a HWPT',
    });
    return;
  }
  c.autoField = 'pt_id';
  // VFIO turns a second ATTACH into a replacement
  const hwpt = attach(c, device, target, pasid, attachedTo(device, pasid) !== undefined, 'pt_id');
  if (hwpt === undefined || c.refused) return;
  c.set('pt_id', hwpt.id);
};

const detachRule: Rule = (c) => {
  if (argsz(c, 8)) return;
  const pasid = pasidOf(c, 12);
  if (pasid === undefined) return;
  const device = bound(c);
  if (device === undefined) return;
  c.keepStruct();
  c.then(() => detach(device, pasid));
};

export const rules: Readonly<Record<string, Rule>> = {
  VFIO_DEVICE_BIND_IOMMUFD: bind,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: attachRule,
  VFIO_DEVICE_DETACH_IOMMUFD_PT: detachRule,
};
