/**
 * VFIO as far as it meets iommufd (include/uapi/linux/vfio.h of Linux 7.2): the device file, the group file, and the type 1
 * container, which iommufd emulates on its own file. The same numbers mean different calls on different files. Every struct
 * begins with `argsz`, the bytes that the caller offers: where an answer needs more, the kernel writes the number it
 * needs there, and what fits.
 */
import type { CommandRow, FieldRow, PayloadRow, StructRow } from '../types.ts';

const argsz = { name: 'argsz', type: 'u32', dir: 'in' } as const satisfies FieldRow;
const noFlags = { name: 'flags', type: 'u32', dir: 'in', format: 'hex', zero: true } as const satisfies FieldRow;
const header = { name: 'header', type: 'u8', embed: 'vfio_info_cap_header', dir: 'out' } as const satisfies FieldRow;
const pad = (name: string) => ({ name, type: 'u32', dir: 'in', pad: true }) as const;

export const vfioDeviceCommands = {
  VFIO_DEVICE_GET_INFO: {
    nr: 0x6b,
    target: 'vfio-device',
    since: '3.6',
    struct: 'vfio_device_info',
    min: 'num_irqs',
    note: 'kind of device, number of regions and interrupt indexes',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_device_info_flags' },
      { name: 'num_regions', type: 'u32', dir: 'out' },
      { name: 'num_irqs', type: 'u32', dir: 'out' },
      { name: 'cap_offset', type: 'u32', dir: 'out', chain: 'vfio_device_info_cap', format: 'hex' },
      { ...pad('pad'), since: '6.6' },
    ],
  },
  VFIO_DEVICE_GET_REGION_INFO: {
    nr: 0x6c,
    target: 'vfio-device',
    since: '3.6',
    struct: 'vfio_region_info',
    note: 'size of a region, and where in the device file it is',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_region_info_flags' },
      { name: 'index', type: 'u32', dir: 'in' },
      { name: 'cap_offset', type: 'u32', dir: 'out', chain: 'vfio_region_info_cap', format: 'hex' },
      { name: 'size', type: 'u64', dir: 'out', note: 'bytes' },
      { name: 'offset', type: 'u64', dir: 'out', note: 'in the device file' },
    ],
  },
  VFIO_DEVICE_GET_IRQ_INFO: {
    nr: 0x6d,
    target: 'vfio-device',
    since: '3.6',
    struct: 'vfio_irq_info',
    note: 'interrupts of one index',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_irq_info_flags' },
      { name: 'index', type: 'u32', dir: 'in' },
      { name: 'count', type: 'u32', dir: 'out' },
    ],
  },
  VFIO_DEVICE_SET_IRQS: {
    nr: 0x6e,
    target: 'vfio-device',
    since: '3.6',
    struct: 'vfio_irq_set',
    note: 'connects, masks or triggers interrupts',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_irq_set_flags' },
      { name: 'index', type: 'u32', dir: 'in' },
      { name: 'start', type: 'u32', dir: 'in' },
      { name: 'count', type: 'u32', dir: 'in' },
    ],
    trailing: { name: 'data', type: 'u8', dir: 'in', payload: true },
  },
  VFIO_DEVICE_RESET: { nr: 0x6f, target: 'vfio-device', since: '3.6', arg: 'none', note: 'resets the device' },
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: {
    nr: 0x70,
    target: 'vfio-device',
    since: '3.12',
    struct: 'vfio_pci_hot_reset_info',
    source: 'header',
    note: 'which devices a bus reset would hit; ENOSPC when there are more than room',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_pci_hot_reset_info_flags' },
      { name: 'count', type: 'u32', dir: 'out' },
    ],
    trailing: { name: 'devices', struct: 'vfio_pci_dependent_device', count: 'count', dir: 'out' },
  },
  VFIO_DEVICE_PCI_HOT_RESET: {
    nr: 0x71,
    target: 'vfio-device',
    since: '3.12',
    struct: 'vfio_pci_hot_reset',
    source: 'header',
    note: 'resets the bus; with 0 fds the iommufd context proves ownership',
    fields: [argsz, noFlags, { name: 'count', type: 'u32', dir: 'in' }],
    trailing: { name: 'group_fds', type: 's32', count: 'count', dir: 'in', fd: 'VFIO_GROUP' },
  },
  VFIO_DEVICE_QUERY_GFX_PLANE: {
    nr: 0x72,
    target: 'vfio-device',
    since: '4.16',
    struct: 'vfio_device_gfx_plane_info',
    source: 'header',
    note: 'the plane a mediated graphics device shows',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_gfx_plane_flags' },
      { name: 'drm_plane_type', type: 'u32', dir: 'in' },
      { name: 'drm_format', type: 'u32', dir: 'out', format: 'hex' },
      { name: 'drm_format_mod', type: 'u64', dir: 'out' },
      { name: 'width', type: 'u32', dir: 'out' },
      { name: 'height', type: 'u32', dir: 'out' },
      { name: 'stride', type: 'u32', dir: 'out' },
      { name: 'size', type: 'u32', dir: 'out', note: 'bytes' },
      { name: 'x_pos', type: 'u32', dir: 'out' },
      { name: 'y_pos', type: 'u32', dir: 'out' },
      { name: 'x_hot', type: 'u32', dir: 'out' },
      { name: 'y_hot', type: 'u32', dir: 'out' },
      { name: 'region_index', type: 'u32', dir: 'out', union: 'u0' },
      { name: 'dmabuf_id', type: 'u32', dir: 'out', union: 'u0' },
      { ...pad('reserved'), since: '6.6' },
    ],
  },
  VFIO_DEVICE_GET_GFX_DMABUF: {
    nr: 0x73,
    target: 'vfio-device',
    since: '4.16',
    arg: 'u32-pointer',
    source: 'header',
    returns: { fd: 'DMABUF' },
    note: 'dmabuf_id of QUERY_GFX_PLANE to an fd',
  },
  VFIO_DEVICE_IOEVENTFD: {
    nr: 0x74,
    target: 'vfio-device',
    since: '4.17',
    struct: 'vfio_device_ioeventfd',
    source: 'header',
    note: 'writes `data` to the device whenever the eventfd is signalled',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_ioeventfd_flags' },
      { name: 'offset', type: 'u64', dir: 'in', note: 'in the device file' },
      { name: 'data', type: 'u64', dir: 'in' },
      { name: 'fd', type: 's32', dir: 'in', fd: 'EVENTFD', note: '-1 disconnects' },
      { ...pad('reserved'), since: '6.6' },
    ],
    min: 'fd',
  },
  VFIO_DEVICE_FEATURE: {
    nr: 0x75,
    target: 'vfio-device',
    since: '5.7',
    struct: 'vfio_device_feature',
    note: 'gets, sets or probes one feature',
    fields: [
      argsz,
      {
        name: 'flags',
        type: 'u32',
        dir: 'in',
        enum: 'vfio_device_feature',
        enumMask: 0xffff,
        flags: 'vfio_device_feature_flags',
      },
    ],
    trailing: { name: 'data', type: 'u8', dir: 'inout', payload: true },
    // DMA_BUF with GET and without PROBE
    returns: { fd: 'DMABUF', when: { field: 'flags', mask: 0x5_ffff, equals: 0x1_000b }, note: 'FEATURE_DMA_BUF gives an fd' },
  },
  VFIO_DEVICE_BIND_IOMMUFD: {
    nr: 0x76,
    target: 'vfio-device',
    since: '6.6',
    struct: 'vfio_device_bind_iommufd',
    min: 'out_devid',
    note: 'gives the device to an iommufd; every other call on the file needs it first',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_device_bind_flags' },
      { name: 'iommufd', type: 's32', dir: 'in', fd: 'IOMMUFD' },
      { name: 'out_devid', type: 'u32', dir: 'out', creates: ['DEVICE'], note: 'an ACCESS for an emulated (mdev) device' },
      {
        name: 'token_uuid_ptr',
        type: 'u64',
        dir: 'in',
        since: '6.17 or 6.18 (unverified)',
        note: 'only with TOKEN',
        nested: { dir: 'in', of: 'bytes', length: { rule: 'fixed', bytes: 16 }, when: { field: 'flags', mask: 1, equals: 1 } },
      },
    ],
  },
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: {
    nr: 0x77,
    target: 'vfio-device',
    since: '6.6',
    struct: 'vfio_device_attach_iommufd_pt',
    min: 'pt_id',
    note: 'attaches the device, or one of its PASIDs, to a page table; again replaces',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_device_attach_flags' },
      {
        name: 'pt_id',
        type: 'u32',
        dir: 'inout',
        ref: ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED'],
        note: 'out: id of the HWPT actually attached (auto HWPT for an IOAS)',
      },
      { name: 'pasid', type: 'u32', dir: 'in', since: '6.15', note: 'only with PASID' },
    ],
  },
  VFIO_DEVICE_DETACH_IOMMUFD_PT: {
    nr: 0x78,
    target: 'vfio-device',
    since: '6.6',
    struct: 'vfio_device_detach_iommufd_pt',
    min: 'flags',
    note: 'detaches; 0 also when nothing is attached',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_device_detach_flags' },
      { name: 'pasid', type: 'u32', dir: 'in', since: '6.15', note: 'only with PASID' },
    ],
  },
} as const satisfies Record<string, CommandRow>;

export const vfioGroupCommands = {
  VFIO_GROUP_GET_STATUS: {
    nr: 0x67,
    target: 'vfio-group',
    since: '3.6',
    struct: 'vfio_group_status',
    note: 'whether all its devices are with VFIO, and a container is set',
    fields: [argsz, { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_group_status_flags' }],
  },
  VFIO_GROUP_SET_CONTAINER: {
    nr: 0x68,
    target: 'vfio-group',
    since: '3.6',
    arg: 'fd-pointer',
    note: 'joins a container, or an iommufd in its place',
  },
  VFIO_GROUP_UNSET_CONTAINER: { nr: 0x69, target: 'vfio-group', since: '3.6', arg: 'none', note: 'leaves it' },
  VFIO_GROUP_GET_DEVICE_FD: {
    nr: 0x6a,
    target: 'vfio-group',
    since: '3.6',
    arg: 'string',
    returns: { fd: 'VFIO_DEVICE' },
    note: 'a device of the group, by name (0000:06:0d.0)',
  },
} as const satisfies Record<string, CommandRow>;

export const vfioContainerCommands = {
  VFIO_GET_API_VERSION: { nr: 0x64, target: 'vfio-container', since: '3.6', arg: 'none', note: 'returns 0' },
  VFIO_CHECK_EXTENSION: {
    nr: 0x65,
    target: 'vfio-container',
    since: '3.6',
    arg: 'int',
    argEnum: 'vfio_extension',
    note: 'returns 1 when it has it',
  },
  VFIO_SET_IOMMU: {
    nr: 0x66,
    target: 'vfio-container',
    since: '3.6',
    arg: 'int',
    argEnum: 'vfio_extension',
    note: 'chooses the kind of IOMMU',
  },
  VFIO_IOMMU_GET_INFO: {
    nr: 0x70,
    target: 'vfio-container',
    since: '3.6',
    struct: 'vfio_iommu_type1_info',
    min: 'iova_pgsizes',
    note: 'page sizes, usable IOVAs',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_iommu_info_flags' },
      { name: 'iova_pgsizes', type: 'u64', dir: 'out', note: 'bit n = pages of 2^n bytes' },
      { name: 'cap_offset', type: 'u32', dir: 'out', chain: 'vfio_iommu_type1_info_cap', format: 'hex' },
      { ...pad('pad'), since: '6.6' },
    ],
  },
  VFIO_IOMMU_MAP_DMA: {
    nr: 0x71,
    target: 'vfio-container',
    since: '3.6',
    struct: 'vfio_iommu_type1_dma_map',
    note: 'maps user memory at an IOVA',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_dma_map_flags' },
      {
        name: 'vaddr',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'mapped', of: 'memory', length: { rule: 'field', field: 'size', times: 1 } },
      },
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'size', type: 'u64', dir: 'in', note: 'bytes' },
    ],
  },
  VFIO_IOMMU_UNMAP_DMA: {
    nr: 0x72,
    target: 'vfio-container',
    since: '3.6',
    struct: 'vfio_iommu_type1_dma_unmap',
    note: 'unmaps; size is written back even on failure',
    fields: [
      argsz,
      { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_dma_unmap_flags' },
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'size', type: 'u64', dir: 'inout', note: 'bytes; out: unmapped' },
    ],
    trailing: { name: 'data', type: 'u8', dir: 'inout', payload: true },
  },
  VFIO_IOMMU_ENABLE: { nr: 0x73, target: 'vfio-container', since: '3.6', arg: 'none', source: 'header', note: 'sPAPR only' },
  VFIO_IOMMU_DISABLE: { nr: 0x74, target: 'vfio-container', since: '3.6', arg: 'none', source: 'header', note: 'sPAPR only' },
  VFIO_IOMMU_DIRTY_PAGES: {
    nr: 0x75,
    target: 'vfio-container',
    since: '5.8',
    struct: 'vfio_iommu_type1_dirty_bitmap',
    note: 'dirty tracking of type 1; ENOTTY on an iommufd',
    fields: [argsz, { name: 'flags', type: 'u32', dir: 'in', flags: 'vfio_dirty_pages_flags' }],
    trailing: { name: 'data', type: 'u8', dir: 'inout', payload: true },
  },
} as const satisfies Record<string, CommandRow>;

const bitmap = (size: string) => ({ dir: 'inout', of: 'bitmap', length: { rule: 'field', field: size, times: 1 } }) as const;

export const vfioStructRows = {
  vfio_pci_dependent_device: {
    since: '3.12',
    source: 'header',
    fields: [
      { name: 'group_id', type: 'u32', dir: 'out', union: 'u0' },
      { name: 'devid', type: 'u32', dir: 'out', union: 'u0', since: '6.6', note: 'with DEV_ID; 0 owned, 2^32-1 not owned' },
      { name: 'segment', type: 'u16', dir: 'out', format: 'hex' },
      { name: 'bus', type: 'u8', dir: 'out', format: 'hex' },
      { name: 'devfn', type: 'u8', dir: 'out', format: 'hex' },
    ],
  },

  // ---- capabilities: a header, whose `next` is an offset from the start of the whole answer ----
  vfio_info_cap_header: {
    since: '4.6',
    fields: [
      { name: 'id', type: 'u16', dir: 'out' },
      { name: 'version', type: 'u16', dir: 'out' },
      { name: 'next', type: 'u32', dir: 'out', format: 'hex' },
    ],
  },
  vfio_device_info_cap_pci_atomic_comp: {
    since: '6.6',
    source: 'header',
    fields: [
      header,
      { name: 'flags', type: 'u32', dir: 'out', flags: 'vfio_pci_atomic_comp' },
      { name: 'reserved', type: 'u32', dir: 'out', pad: true },
    ],
  },
  vfio_region_info_cap_sparse_mmap: {
    since: '4.6',
    fields: [header, { name: 'nr_areas', type: 'u32', dir: 'out' }, { name: 'reserved', type: 'u32', dir: 'out', pad: true }],
    trailing: { name: 'areas', struct: 'vfio_region_sparse_mmap_area', count: 'nr_areas', dir: 'out' },
  },
  vfio_region_sparse_mmap_area: {
    since: '4.6',
    fields: [
      { name: 'offset', type: 'u64', dir: 'out', note: 'in the region' },
      { name: 'size', type: 'u64', dir: 'out', note: 'bytes' },
    ],
  },
  vfio_region_info_cap_type: {
    since: '4.6',
    source: 'header',
    fields: [
      header,
      { name: 'type', type: 'u32', dir: 'out', format: 'hex', note: 'bit 31: PCI vendor in the low 16 bits' },
      { name: 'subtype', type: 'u32', dir: 'out' },
    ],
  },
  vfio_region_info_cap_nvlink2_ssatgt: { since: '5.0', source: 'header', fields: [header, { name: 'tgt', type: 'u64', dir: 'out' }] },
  vfio_region_info_cap_nvlink2_lnkspd: {
    since: '5.0',
    source: 'header',
    fields: [header, { name: 'link_speed', type: 'u32', dir: 'out' }, { name: '__pad', type: 'u32', dir: 'out', pad: true }],
  },
  vfio_iommu_type1_info_cap_iova_range: {
    since: '4.16',
    fields: [header, { name: 'nr_iovas', type: 'u32', dir: 'out' }, { name: 'reserved', type: 'u32', dir: 'out', pad: true }],
    trailing: { name: 'iova_ranges', struct: 'vfio_iova_range', count: 'nr_iovas', dir: 'out' },
  },
  vfio_iova_range: {
    since: '4.16',
    fields: [
      { name: 'start', type: 'u64', dir: 'out' },
      { name: 'end', type: 'u64', dir: 'out', note: 'inclusive' },
    ],
  },
  vfio_iommu_type1_info_cap_migration: {
    since: '5.8',
    source: 'header',
    fields: [
      header,
      { name: 'flags', type: 'u32', dir: 'out', format: 'hex' },
      { name: 'pgsize_bitmap', type: 'u64', dir: 'out' },
      { name: 'max_dirty_bitmap_size', type: 'u64', dir: 'out', note: 'bytes' },
    ],
  },
  vfio_iommu_type1_info_dma_avail: {
    since: '5.10',
    fields: [header, { name: 'avail', type: 'u32', dir: 'out', note: 'mappings left' }],
  },

  // ---- what `data` holds ----
  vfio_bitmap: {
    since: '5.8',
    note: 'VFIO_IOMMU_UNMAP_DMA with GET_DIRTY_BITMAP',
    fields: [
      { name: 'pgsize', type: 'u64', dir: 'in', note: 'bytes per bit' },
      { name: 'size', type: 'u64', dir: 'in', note: 'bytes of the bitmap' },
      { name: 'data', type: 'u64', dir: 'in', nested: bitmap('size') },
    ],
  },
  vfio_iommu_type1_dirty_bitmap_get: {
    since: '5.8',
    source: 'header',
    fields: [
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'size', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'bitmap.pgsize', type: 'u64', dir: 'in', note: 'bytes per bit' },
      { name: 'bitmap.size', type: 'u64', dir: 'in', note: 'bytes of the bitmap' },
      { name: 'bitmap.data', type: 'u64', dir: 'in', nested: bitmap('bitmap.size') },
    ],
  },
  vfio_device_feature_migration: {
    since: '5.18',
    source: 'header',
    fields: [{ name: 'flags', type: 'u64', dir: 'out', flags: 'vfio_migration_flags' }],
  },
  vfio_device_feature_mig_state: {
    since: '5.18',
    source: 'header',
    fields: [
      { name: 'device_state', type: 'u32', dir: 'inout', enum: 'vfio_device_mig_state' },
      { name: 'data_fd', type: 's32', dir: 'inout', fd: 'MIGRATION', note: '-1: none' },
    ],
  },
  vfio_device_low_power_entry_with_wakeup: {
    since: '6.1',
    source: 'header',
    fields: [
      { name: 'wakeup_eventfd', type: 's32', dir: 'in', fd: 'EVENTFD' },
      { name: 'reserved', type: 'u32', dir: 'in', pad: true },
    ],
  },
  vfio_device_feature_dma_logging_control: {
    since: '6.1',
    source: 'header',
    fields: [
      { name: 'page_size', type: 'u64', dir: 'inout' },
      { name: 'num_ranges', type: 'u32', dir: 'in' },
      { name: '__reserved', type: 'u32', dir: 'in', pad: true },
      {
        name: 'ranges',
        type: 'u64',
        dir: 'in',
        nested: {
          dir: 'in',
          of: 'struct',
          struct: 'vfio_device_feature_dma_logging_range',
          length: { rule: 'field', field: 'num_ranges', times: 16 },
        },
      },
    ],
  },
  vfio_device_feature_dma_logging_range: {
    since: '6.1',
    source: 'header',
    fields: [
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
    ],
  },
  vfio_device_feature_dma_logging_report: {
    since: '6.1',
    source: 'header',
    fields: [
      { name: 'iova', type: 'u64', dir: 'in' },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
      { name: 'page_size', type: 'u64', dir: 'in' },
      {
        name: 'bitmap',
        type: 'u64',
        dir: 'in',
        nested: { dir: 'inout', of: 'bitmap', length: { rule: 'bitmap', length: 'length', page: 'page_size' } },
      },
    ],
  },
  vfio_device_feature_mig_data_size: { since: '6.2', source: 'header', fields: [{ name: 'stop_copy_length', type: 'u64', dir: 'out' }] },
  vfio_device_feature_bus_master: {
    since: '6.7',
    source: 'header',
    fields: [{ name: 'op', type: 'u32', dir: 'in', enum: 'vfio_bus_master_op' }],
  },
  vfio_device_feature_dma_buf: {
    since: '6.19',
    source: 'header',
    fields: [
      { name: 'region_index', type: 'u32', dir: 'in' },
      { name: 'open_flags', type: 'u32', dir: 'in', format: 'hex' },
      { name: 'flags', type: 'u32', dir: 'in', format: 'hex' },
      { name: 'nr_ranges', type: 'u32', dir: 'in' },
    ],
    trailing: { name: 'dma_ranges', struct: 'vfio_region_dma_range', count: 'nr_ranges', dir: 'in' },
  },
  vfio_region_dma_range: {
    since: '6.19',
    source: 'header',
    fields: [
      { name: 'offset', type: 'u64', dir: 'in' },
      { name: 'length', type: 'u64', dir: 'in', note: 'bytes' },
    ],
  },
} as const satisfies Record<string, StructRow>;

const feature = (equals: string, struct: string, dir: 'in' | 'out' | 'inout') =>
  ({ command: 'VFIO_DEVICE_FEATURE', field: 'data', by: 'flags', mask: 0xffff, equals, struct, dir, source: 'header' }) as const;
const irqs = { command: 'VFIO_DEVICE_SET_IRQS', field: 'data', by: 'flags', dir: 'in', source: 'header' } as const;

/** What the array `data` at the end of a VFIO struct holds. */
export const vfioPayloadRows: readonly PayloadRow[] = [
  { ...irqs, mask: 2, equals: 'VFIO_IRQ_SET_DATA_BOOL', scalar: 'u8' },
  { ...irqs, mask: 4, equals: 'VFIO_IRQ_SET_DATA_EVENTFD', scalar: 's32', fd: 'EVENTFD' },
  {
    command: 'VFIO_IOMMU_UNMAP_DMA',
    field: 'data',
    by: 'flags',
    mask: 1,
    equals: 'VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP',
    struct: 'vfio_bitmap',
    dir: 'in',
    source: 'header',
  },
  {
    command: 'VFIO_IOMMU_DIRTY_PAGES',
    field: 'data',
    by: 'flags',
    mask: 4,
    equals: 'VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP',
    struct: 'vfio_iommu_type1_dirty_bitmap_get',
    dir: 'in',
    source: 'header',
  },
  feature('VFIO_DEVICE_FEATURE_MIGRATION', 'vfio_device_feature_migration', 'out'),
  feature('VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE', 'vfio_device_feature_mig_state', 'inout'),
  feature('VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP', 'vfio_device_low_power_entry_with_wakeup', 'in'),
  feature('VFIO_DEVICE_FEATURE_DMA_LOGGING_START', 'vfio_device_feature_dma_logging_control', 'inout'),
  feature('VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT', 'vfio_device_feature_dma_logging_report', 'in'),
  feature('VFIO_DEVICE_FEATURE_MIG_DATA_SIZE', 'vfio_device_feature_mig_data_size', 'out'),
  feature('VFIO_DEVICE_FEATURE_BUS_MASTER', 'vfio_device_feature_bus_master', 'in'),
  feature('VFIO_DEVICE_FEATURE_DMA_BUF', 'vfio_device_feature_dma_buf', 'in'),
];
