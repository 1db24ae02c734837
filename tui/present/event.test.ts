import { afterAll, expect, test } from 'vitest';
import { testModel } from '../testing.ts';
import { listedEvent } from './event.ts';

const { model, dispose } = testModel();
afterAll(dispose);

test('every kind of event as the list shows it', () => {
  model.approach(model.last, Infinity);
  const rows = Array.from({ length: model.last }, (_, i) => {
    const e = listedEvent(model.event(i + 1)!, model.context);
    return `${e.seq} ${e.call} | ${e.args} | ${e.outcome} | ${e.result}`;
  });
  expect(rows.join('\n')).toMatchInlineSnapshot(`
    "1 start | exec, ppid=4000, exe="/usr/bin/vmm", argv=? | ok | 
    2 open | "/dev/iommu", O_RDWR | ok | = 8
    3 IOAS_ALLOC |  | ok | = 0
    4 IOAS_IOVA_RANGES | ioas 1  num_iovas 2  allowed_iovas 0x7ffc0000 | ok | = 0
    5 IOAS_MAP | ioas 1  iova 0x1000000  length 0x200000  FIXED_IOVA|WRITEABLE|READABLE  user_va 0x7f0000000000 | ok | = 0
    6 TEST_CMD | MOCK_DOMAIN  id 1 | ok | = 0
    7 HWPT_ALLOC | dev 3  pt 1  NEST_PARENT | ok | = 0
    8 VIOMMU_ALLOC | dev 3  hwpt 5  SELFTEST  data_len 24  data_uptr {in_data=0 out_data=0 out_mmap_offset=0 out_mmap_length=0} | ok | = 0
    9 mmap | NULL, 0x2000, PROT_READ|PROT_WRITE, MAP_SHARED, 8, 0x1000 | ok | = 0x7f1234560000
    10 HW_QUEUE_ALLOC | viommu 6  SELFTEST  index 1  nesting_parent_iova 0x1000000  length 0x1000 | error | EIO
    11 HW_QUEUE_ALLOC | viommu 6  SELFTEST  index 0  nesting_parent_iova 0x1000000  length 0x1000 | ok | = 0
    12 VDEVICE_ALLOC | viommu 6  dev 3  virt 0x99 | ok | = 0
    13 DESTROY | id 5 | error | EBUSY
    14 VEVENTQ_ALLOC | viommu 6  SELFTEST  veventq_depth 2 | ok | = 0
    15 fd | 9, created, "link" | ok | 
    16 read | 9, [bytes:0000000000000000990000000100000002000000], 20 | ok | = 20
    17 dup2 | 8, 12 | ok | = 12
    18 fork |  | ok | = 4712
    19 start | fork, ppid=4711, exe="/bin/vmm", argv=? | ok | 
    20 IOAS_UNMAP | ioas 1  iova 0x1000000  length 0x200000 | open | = ?
    21 sendmsg | 5, {SCM_RIGHTS [8]} | ok | = 1
    22 execve | "/bin/\\x1b[2Jevil\\xe2\\x80\\xae", ["evil", "--now", ""] | error | ENOENT
    23 …IOAS_UNMAP | return of 20 {size=0 ioas_id=0 iova=0} | error | EBUSY
    24 exit | 3 | ok | 
    25 0x3bff | bytes:080000001c000000 | error | ENOTTY
    26 write | 9, [bytes:abababababababababababababababababababababababababababababababab…+16], 5000 | error | EINVAL
    27 munmap | 0x7f1234560000, 0x2000 | ok | = 0
    28 gap | full, 12 events lost, "the spool was full" | ok | 
    29 kind_99 | fd=3, request=0x5, args=[0x1, 0x2] | ok | = -7
    30 close | 12 | ok | = 0
    31 close | 9 | ok | = 0
    32 close | 8 | ok | = 0
    33 exit | 0 | ok | "
  `);
});

test('who and when', () => {
  expect(listedEvent(model.event(19)!, model.context)).toMatchObject({ at: model.event(19)!.tEnter, pid: 4712, tid: 4712 });
});

test('registers by name, where it is known whose they are', () => {
  const args = new Uint8Array(new BigUint64Array([0x7f04n, 0x1004n, 4n, 0n, 0n]).buffer);
  const part = { kind: 5, flags: 0, slot: 0, wanted: 40n, address: 0n, bytes: args };
  const event = { ...model.event(19)!, kind: 19, request: 1, fd: -1, file: 1, fileKind: 1, ret: 0x12n, parts: [part] };
  const view = { kind: 'vintf', vintf: 1, page: 0 } as const;
  const place = () => ({ kind: 'cmdqv', view, offset: 4n, geometry: {} }) as const;
  expect(listedEvent(event, { ...model.context, place })).toMatchObject({
    call: 'mmio_write32',
    args: 'VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18)',
  });
  expect(listedEvent(event, model.context)).toMatchObject({ call: 'mmio_write32', args: 'iommufd#1+0x1004, 0x12' });
});
