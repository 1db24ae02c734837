import { expect, test } from 'vitest';
import { TraceReader } from '../../store/read.ts';
import { drained } from '../diff/align/align.ts';
import { tableOf } from '../fold.ts';
import { programOf } from './program-of.ts';
import { stepText } from './text.ts';

test('steps of a client, with names where numbers were', () => {
  const reader = TraceReader.open(new URL('../../fixtures/traces/vmm-7.2.irr', import.meta.url).pathname);
  const table = tableOf(reader.meta);
  const program = drained(programOf(reader, table));
  const lines = program.steps.filter((s) => s.role !== 'fact').map((s) => stepText(program, s, table));
  expect(`${lines.join('\n')}\n`).toMatchInlineSnapshot(`
    "open("/dev/iommu", O_RDWR|O_CLOEXEC) = iommufd1
    ioctl(iommufd1, IOMMU_VIOMMU_ALLOC, {size=24 flags=0x1 type=DEFAULT dev_id=0 hwpt_id=0}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_OPTION, {option_id=RLIMIT_MODE op=GET object_id=0 val64=0}) = 0
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas1}) = 0
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas2}) = 0
    ioctl(iommufd1, IOMMU_IOAS_IOVA_RANGES, {ioas_id=ioas1 num_iovas=1 allowed_iovas=mem2+0x220} => {allowed_iovas=[{start=0 last=0xffffffffffffffff}] out_iova_alignment=0x1}) = 0
    ioctl(iommufd1, IOMMU_IOAS_ALLOW_IOVAS, {ioas_id=ioas2 num_iovas=2 allowed_iovas=[{start=0x10000000 last=0x1fffffff}, {start=0x20000000 last=0x3fffffff}]}) = 0
    ioctl(iommufd1, IOMMU_IOAS_ALLOW_IOVAS, {ioas_id=ioas2 num_iovas=2 allowed_iovas=[{start=0x10000000 last=0x10000000}, {start=0x20000000 last=0x3fffffff}]}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_OPTION, {option_id=77 op=GET object_id=0 val64=0}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1 length=0x10000 iova=0x2000000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1+0x10000 length=0x10000 iova=0x2010000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1 length=0x1000 iova=0x2001000}) = -1 EEXIST
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA ioas_id=ioas1 user_va=mem1 length=0x1000 iova=0x3000000}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE|0x100 ioas_id=ioas1 user_va=mem1 length=0x1000 iova=0x3000000}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1 length=0x1000 iova=0xffffffffffffffff}) = -1 EOVERFLOW
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=1073741823<nothing> user_va=mem1 length=0x1000 iova=0x3000000}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=WRITEABLE|READABLE ioas_id=ioas2 user_va=mem1 length=0x3000 iova=0} => {iova=iova1}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=WRITEABLE|READABLE ioas_id=ioas2 user_va=mem1+0x5000 length=0x2000 iova=0} => {iova=iova2}) = 0
    ioctl(iommufd1, IOMMU_IOAS_COPY, {flags=FIXED_IOVA|WRITEABLE|READABLE dst_ioas_id=ioas2 src_ioas_id=ioas1 length=0x2000 dst_iova=0x30000000 src_iova=0x2000000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_COPY, {flags=FIXED_IOVA|WRITEABLE|READABLE dst_ioas_id=ioas2 src_ioas_id=ioas1 length=0x2000 dst_iova=0x30000000 src_iova=0x7000000}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_IOAS_UNMAP, {ioas_id=ioas2 iova=iova1 length=0x1000}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_IOAS_UNMAP, {ioas_id=ioas2 iova=iova1 length=0x5000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_CHANGE_PROCESS, {}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_IOAS_MAP_FILE, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas2 fd=file_fd1 start=0x1000 length=0x2000 iova=0x20000000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP_FILE, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas2 fd=999<nothing> start=0x1000 length=0x2000 iova=0x21000000}) = -1 EBADF
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_FLAGS id=ioas1} => {out_stdev_id=stdev1 out_hwpt_id=hwpt1 out_idev_id=dev1}) = 0
    ioctl(iommufd1, IOMMU_IOAS_IOVA_RANGES, {ioas_id=ioas1 num_iovas=1 allowed_iovas=mem2+0x290} => {allowed_iovas=[{start=0x1000000 last=0x7fffffff}] out_iova_alignment=0x800}) = 0
    ioctl(iommufd1, IOMMU_GET_HW_INFO, {dev_id=dev1 data_len=16 data_uptr=mem2+0x3f0} => {data_len=8 data_uptr={flags=0 test_reg=0xdeadbeef} out_data_type=SELFTEST out_max_pasid_log2=0 out_capabilities=DIRTY_TRACKING|PCI_ATS_NOT_SUPPORTED}) = 0
    ioctl(iommufd1, IOMMU_GET_HW_INFO, {dev_id=1073741823<nothing> data_len=8 data_uptr=mem2+0x3f0}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_GET_HW_INFO, {flags=0x80 dev_id=dev1 data_len=8 data_uptr=mem2+0x3f0}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_DESTROY, {id=dev1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1 length=0x1000 iova=0x80000000}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=CREATE_ACCESS id=ioas1} => {out_access_fd=access_fd1}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=ACCESS_RW id=access_fd1 iova=0x2000123 length=0x10 uptr=bytes:66726f6d207468652064657669636500 flags=WRITE}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=ACCESS_RW id=access_fd1 iova=0x2040000 length=0x10 uptr=bytes:66726f6d207468652064657669636500 flags=WRITE}) = -1 ENOENT
    close(access_fd1) = 0
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {flags=NEST_PARENT dev_id=dev1 pt_id=ioas1} => {out_hwpt_id=hwpt2}) = 0
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {dev_id=dev1 pt_id=hwpt1 data_type=SELFTEST data_len=4 data_uptr={iotlb=0x11}}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {dev_id=1073741823<nothing> pt_id=hwpt2 data_type=SELFTEST data_len=4 data_uptr={iotlb=0x11}}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_FAULT_QUEUE_ALLOC, {} => {out_fault_id=fault1 out_fault_fd=fault_fd1}) = 0
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {flags=FAULT_ID_VALID dev_id=dev1 pt_id=hwpt2 data_type=SELFTEST data_len=4 data_uptr={iotlb=0x11} fault_id=1073741823<nothing>}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {flags=FAULT_ID_VALID dev_id=dev1 pt_id=hwpt2 data_type=SELFTEST data_len=4 data_uptr={iotlb=0x11} fault_id=fault1} => {out_hwpt_id=nested1}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_REPLACE id=stdev1 pt_id=nested1}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwpt2}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_DESTROY, {id=nested1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MD_CHECK_IOTLB id=nested1 check_iotlb.id=1 iotlb=0x11}) = 0
    ioctl(iommufd1, IOMMU_HWPT_INVALIDATE, {hwpt_id=nested1 data_uptr=[{flags=0 iotlb_id=1}, {flags=0 iotlb_id=2}] data_type=SELFTEST entry_len=8 entry_num=2}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MD_CHECK_IOTLB id=nested1 check_iotlb.id=1 iotlb=0}) = 0
    ioctl(iommufd1, IOMMU_HWPT_INVALIDATE, {hwpt_id=nested1 data_uptr=[{flags=0 iotlb_id=1}, {flags=0 iotlb_id=2}, {flags=0 iotlb_id=99}] data_type=SELFTEST entry_len=8 entry_num=3} => {entry_num=2}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_HWPT_INVALIDATE, {hwpt_id=nested1 data_uptr=0 data_type=SELFTEST entry_len=8 entry_num=1} => {entry_num=0}) = -1 EINVAL
    read(fault_fd1, none, 80) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=TRIGGER_IOPF id=0 dev_id=dev1 pasid=0 grpid=2 perm=READ addr=0x41000}) = 0
    read(fault_fd1, none, 39) = -1 ESPIPE
    read(fault_fd1, [{flags=LAST_PAGE dev_id=dev1 pasid=0 grpid=2 perm=READ addr=0x41000 length=0 cookie=cookie1}], 80) = 40
    write(fault_fd1, ?, 8) = -1 EINVAL
    write(fault_fd1, [{cookie=cookie1 code=SUCCESS}], 8) = 8
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=TRIGGER_IOPF id=0 dev_id=dev1 pasid=0 grpid=2 perm=READ addr=0x42000}) = 0
    read(fault_fd1, [{flags=LAST_PAGE dev_id=dev1 pasid=0 grpid=2 perm=READ addr=0x42000 length=0 cookie=cookie2}], 80) = 40
    ioctl(iommufd1, IOMMU_DESTROY, {id=fault1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_VIOMMU_ALLOC, {type=SELFTEST dev_id=dev1 hwpt_id=hwpt2 data_len=24 data_uptr={in_data=0x72720042 out_data=0 out_mmap_offset=0 out_mmap_length=0}} => {out_viommu_id=viommu1 data_uptr={in_data=0x72720042 out_data=0x72720042 out_mmap_offset=mmap_offset1 out_mmap_length=mmap_length1}}) = 0
    ioctl(iommufd1, IOMMU_VIOMMU_ALLOC, {type=2989 dev_id=dev1 hwpt_id=hwpt2}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_VIOMMU_ALLOC, {type=SELFTEST dev_id=dev1 hwpt_id=1073741823<nothing>}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwpt2}) = -1 EBUSY
    mmap(NULL, mmap_length1, PROT_READ|PROT_WRITE, MAP_SHARED, iommufd1, mmap_offset1+0x1000) = -1 ENXIO
    mmap(NULL, 0x1000, PROT_READ|PROT_WRITE, MAP_SHARED, iommufd1, mmap_offset1) = -1 ENXIO
    mmap(NULL, mmap_length1, PROT_READ|PROT_WRITE, MAP_SHARED, iommufd1, mmap_offset1+0x100000) = -1 ENXIO
    mmap(NULL, mmap_length1, PROT_READ|PROT_WRITE, MAP_PRIVATE, iommufd1, mmap_offset1) = -1 EINVAL
    mmap(NULL, mmap_length1, PROT_READ|PROT_WRITE, MAP_SHARED, iommufd1, mmap_offset1) = map1
    ioctl(iommufd1, IOMMU_DESTROY, {id=viommu1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {dev_id=dev1 pt_id=viommu1 data_type=SELFTEST data_len=4 data_uptr={iotlb=0x11}} => {out_hwpt_id=nested2}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_REPLACE id=stdev1 pt_id=nested2}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_VDEVICE_ALLOC, {viommu_id=viommu1 dev_id=dev1 virt_id=0x99} => {out_vdevice_id=vdev1}) = 0
    ioctl(iommufd1, IOMMU_VDEVICE_ALLOC, {viommu_id=viommu1 dev_id=dev1 virt_id=0x99}) = -1 EEXIST
    ioctl(iommufd1, IOMMU_VDEVICE_ALLOC, {viommu_id=viommu1 dev_id=dev1 virt_id=0x9a}) = -1 EEXIST
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_REPLACE id=stdev1 pt_id=nested2}) = 0
    ioctl(iommufd1, IOMMU_HWPT_INVALIDATE, {hwpt_id=viommu1 data_uptr=[{flags=0 vdev_id=153 cache_id=1}] data_type=SELFTEST entry_len=12 entry_num=1}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=DEV_CHECK_CACHE id=dev1 check_dev_cache.id=1 cache=0}) = 0
    ioctl(iommufd1, IOMMU_HWPT_INVALIDATE, {hwpt_id=viommu1 data_uptr=[{flags=0 vdev_id=74565 cache_id=1}] data_type=SELFTEST entry_len=12 entry_num=1} => {entry_num=0}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_HWPT_INVALIDATE, {hwpt_id=viommu1 data_uptr=[{flags=0x10 vdev_id=74565 cache_id=1}] data_type=SELFTEST entry_len=12 entry_num=1} => {entry_num=0}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_VEVENTQ_ALLOC, {viommu_id=viommu1 type=SELFTEST veventq_depth=0}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_VEVENTQ_ALLOC, {viommu_id=viommu1 type=SELFTEST veventq_depth=2} => {out_veventq_id=veventq1 out_veventq_fd=veventq_fd1}) = 0
    ioctl(iommufd1, IOMMU_VEVENTQ_ALLOC, {viommu_id=viommu1 type=SELFTEST veventq_depth=2}) = -1 EEXIST
    read(veventq_fd1, none, 7) = -1 EINVAL
    read(veventq_fd1, none, 48) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=TRIGGER_VEVENT id=0 dev_id=dev1}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=TRIGGER_VEVENT id=0 dev_id=dev1}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=TRIGGER_VEVENT id=0 dev_id=dev1}) = 0
    read(veventq_fd1, [bytes:0000000000000000990000000000000001000000990000000100000002000000], 48) = 32
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=TRIGGER_VEVENT id=0 dev_id=dev1}) = 0
    read(veventq_fd1, none, 8) = -1 EINVAL
    read(veventq_fd1, [bytes:000000000300000099000000], 12) = 12
    ioctl(iommufd1, IOMMU_DESTROY, {id=veventq1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=DEFAULT index=0 nesting_parent_iova=0x2000000 length=0x1000}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=0 nesting_parent_iova=0x2000000 length=0}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=0 nesting_parent_iova=0xffffffffffffffff length=0x1000}) = -1 EOVERFLOW
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=0 nesting_parent_iova=0x7000000 length=0x1000}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=1 nesting_parent_iova=0x2000000 length=0x1000}) = -1 EIO
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=2 nesting_parent_iova=0x2000000 length=0x1000}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=0 nesting_parent_iova=0x2000000 length=0x1000} => {out_hw_queue_id=hwq1}) = 0
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=0 nesting_parent_iova=0x2000000 length=0x1000}) = -1 EEXIST
    ioctl(iommufd1, IOMMU_HW_QUEUE_ALLOC, {viommu_id=viommu1 type=SELFTEST index=1 nesting_parent_iova=0x2001000 length=0x800} => {out_hw_queue_id=hwq2}) = 0
    ioctl(iommufd1, IOMMU_IOAS_UNMAP, {ioas_id=ioas1 iova=0x2000000 length=0x10000}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_IOAS_UNMAP, {ioas_id=ioas1 iova=0x2010000 length=0x10000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_IOVA_RANGES, {ioas_id=ioas1 num_iovas=1 allowed_iovas=mem2+0x4d0} => {allowed_iovas=[{start=0x1000000 last=0x7fffffff}] out_iova_alignment=0x1000}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwq1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_FLAGS id=ioas1 dev_flags=PASID} => {out_stdev_id=stdev2 out_hwpt_id=hwpt3 out_idev_id=dev2}) = 0
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {flags=PASID dev_id=dev2 pt_id=ioas1} => {out_hwpt_id=hwpt4}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=PASID_ATTACH id=stdev2 pasid=7 pt_id=ioas1}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=PASID_ATTACH id=stdev2 pasid=7 pt_id=hwpt4}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_REPLACE id=stdev2 pt_id=hwpt4}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=PASID_ATTACH id=stdev2 pasid=7 pt_id=hwpt4}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=PASID_ATTACH id=stdev2 pasid=7 pt_id=hwpt4}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwpt4}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=PASID_DETACH id=stdev2 pasid=7}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=stdev2}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwpt4}) = 0
    ioctl(iommufd1, IOMMU_HWPT_ALLOC, {flags=DIRTY_TRACKING dev_id=dev1 pt_id=ioas1} => {out_hwpt_id=hwpt5}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1 length=0x1000 iova=0x6000000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1+0x1000 length=0x1000 iova=0x6001000}) = 0
    ioctl(iommufd1, IOMMU_IOAS_MAP, {flags=FIXED_IOVA|WRITEABLE|READABLE ioas_id=ioas1 user_va=mem1+0x2000 length=0x1000 iova=0x6002000}) = 0
    ioctl(iommufd1, IOMMU_HWPT_SET_DIRTY_TRACKING, {flags=ENABLE hwpt_id=hwpt2}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_HWPT_SET_DIRTY_TRACKING, {flags=ENABLE hwpt_id=hwpt5}) = 0
    ioctl(iommufd1, IOMMU_HWPT_GET_DIRTY_BITMAP, {hwpt_id=hwpt5 iova=0x6000000 length=0x3000 page_size=0x1000 data=bits:/64}) = 0
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=DIRTY id=hwpt5 flags=0 iova=0x6000000 length=0x3000 page_size=0x800 uptr=bits:0-1,4-5/64} => {out_nr_dirty=4}) = 0
    ioctl(iommufd1, IOMMU_HWPT_GET_DIRTY_BITMAP, {hwpt_id=hwpt5 iova=0x6000000 length=0x3000 page_size=0x1000 data=bits:/64} => {data=bits:0,2/64}) = 0
    ioctl(iommufd1, IOMMU_HWPT_GET_DIRTY_BITMAP, {hwpt_id=hwpt5 iova=0x6000000 length=0x3000 page_size=0x1000 data=bits:/64}) = 0
    ioctl(iommufd1, IOMMU_HWPT_GET_DIRTY_BITMAP, {hwpt_id=hwpt2 iova=0x6000000 length=0x3000 page_size=0x1000 data=bits:/64}) = -1 EOPNOTSUPP
    ioctl(iommufd1, IOMMU_IOAS_UNMAP, {ioas_id=ioas1 iova=0x6000000 length=0x3000}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwpt5}) = 0
    dup(iommufd1) = iommufd2
    ioctl(iommufd2, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas3}) = 0
    ioctl(iommufd2, IOMMU_DESTROY, {id=ioas3}) = 0
    ioctl(iommufd2, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas4}) = 0
    ioctl(iommufd2, IOMMU_DESTROY, {id=ioas4}) = 0
    close(iommufd2) = 0
    fork() = pid2
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas5}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=ioas5}) = 0
    _exit(0)
    fork() = pid3
    close(iommufd1) = 0
    sendmsg(socket_fd1, {SCM_RIGHTS [iommufd1]}) = 1
    fd(iommufd3, received, "/dev/iommu", rdev=10:258, peer=pid1:iommufd1, via=socket_fd2)
    ioctl(iommufd3, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas6}) = 0
    ioctl(iommufd3, IOMMU_DESTROY, {id=ioas6}) = 0
    _exit(0)
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {@bytes=0} => ?) = -1 EFAULT
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {@bytes=0} => ?) = -1 EFAULT
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12 @bytes=4}) = -1 EFAULT
    ioctl(iommufd1, IOMMU_DESTROY, {size=16 id=1073741823<nothing>}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_DESTROY, {size=16 id=1073741823<nothing> tail=bytes:efcdab9078563412}) = -1 E2BIG
    ioctl(iommufd1, IOMMU_DESTROY, {size=4}) = -1 EINVAL
    ioctl(iommufd1, IOMMU_IOAS_ALLOC, {flags=0x1}) = -1 EOPNOTSUPP
    ioctl(iommufd1, 0x3b9f, bytes:08000000ffffff3f) = -1 ENOTTY
    ioctl(iommufd1, 0x3bb7, bytes:08000000ffffff3f) = -1 ENOTTY
    ioctl(-1, IOMMU_DESTROY, {id=1073741823}) = -1 EBADF
    ioctl(iommufd1, IOMMU_DESTROY, {id=0}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_TEST_CMD, {op=MOCK_DOMAIN_REPLACE id=stdev1 pt_id=ioas1} => {pt_id=hwpt6}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwq2}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwq1}) = 0
    close(veventq_fd1) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=veventq1}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=vdev1}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=nested2}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=viommu1}) = -1 EBUSY
    munmap(map1, 0x1000) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=viommu1}) = -1 EBUSY
    munmap(map1+0x1000, 0x1000) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=viommu1}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=nested1}) = 0
    close(fault_fd1) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=fault1}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=hwpt2}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=ioas1}) = -1 EBUSY
    ioctl(iommufd1, IOMMU_DESTROY, {id=stdev1}) = 0
    ioctl(iommufd1, IOMMU_IOAS_UNMAP, {ioas_id=ioas1 iova=0 length=0xffffffffffffffff} => {length=0x10000}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=ioas1}) = 0
    ioctl(iommufd1, IOMMU_DESTROY, {id=ioas1<ended>}) = -1 ENOENT
    ioctl(iommufd1, IOMMU_DESTROY, {id=ioas2}) = 0
    close(iommufd1) = 0
    exit(0)
    "
  `);
  reader.close();
});
