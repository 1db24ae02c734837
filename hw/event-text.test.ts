import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AccessPlace } from './event-access.ts';
import { type EventLike, type PartLike, printEvent, type TextOptions, type TextStyle } from './event-text.ts';
import { KIND_NAMES } from './event-words.ts';
import { commandBytes } from './smmuv3/commands.ts';
import { secondsText, tookText } from './time-text.ts';
import { uapiTable } from './uapi/table.ts';

const table = uapiTable('linux-7.2');
/** Files with an odd number are mappings of page 0 of VINTF 1, others a BAR. */
const place = (e: EventLike): AccessPlace => {
  const args = e.parts.find((p) => p.kind === PART.ARGS)?.bytes;
  const offset = args === undefined || args.length < 16 ? 0n : new DataView(args.buffer, args.byteOffset).getBigUint64(8, true);
  if (e.file % 2 === 1) return { kind: 'cmdqv', view: { kind: 'vintf', vintf: 1, page: 0 }, offset, geometry: { log2Queues: 1 } };
  return { kind: 'named', name: `vfio-device#${e.file} BAR0`, offset };
};
const options = (style: TextStyle, placed = false): TextOptions => ({ table, style, start: 1_000n, ...(placed ? { place } : {}) });
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;
const PART = { IN: 1, OUT: 2, NESTED_IN: 3, NESTED_OUT: 4, ARGS: 5, TEXT: 6 } as const;

const words = (...ws: readonly bigint[]): Uint8Array => new Uint8Array(new BigUint64Array(ws).buffer);
const part = (kind: number, bytes: Uint8Array, slot = 0): PartLike => ({
  kind,
  flags: 0,
  slot,
  wanted: BigInt(bytes.length),
  address: 0n,
  bytes,
});
const text = (t: string, slot = 0): PartLike => part(PART.TEXT, new TextEncoder().encode(t), slot);
const event = (e: Partial<EventLike>): EventLike => ({
  seq: 1,
  kind: 1,
  state: 2,
  flags: 0,
  fileKind: 0,
  tEnter: 12_004_105_000n,
  tExit: 12_004_183_000n,
  pid: 4711,
  tid: 4711,
  fd: -1,
  file: 0,
  request: 0,
  error: 0,
  ret: 0n,
  parts: [],
  ...e,
});
const line = (e: Partial<EventLike>, style: TextStyle = 'abbrev'): string => printEvent(event(e), options(style));

describe('the line of an event', () => {
  test.each<[string, Partial<EventLike>]>([
    [
      'open("/dev/iommu", O_RDWR|O_CLOEXEC) = 8',
      { kind: 2, request: 1, fd: 8, ret: 8n, parts: [part(PART.ARGS, words(0n, 0o2000002n, 0n)), text('/dev/iommu')] },
    ],
    [
      'openat(AT_FDCWD, "x", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 3',
      { kind: 2, request: 2, fd: 3, ret: 3n, parts: [part(PART.ARGS, words(BigInt.asUintN(64, -100n), 0o1101n, 0o644n)), text('x')] },
    ],
    [
      'openat2(5, "x", {flags=O_RDONLY|O_DIRECTORY}) = -1 ENOENT',
      { kind: 2, request: 4, error: 2, ret: -1n, parts: [part(PART.ARGS, words(5n, 0o200000n, 0n)), text('x')] },
    ],
    ['creat("x", 0600) = 3', { kind: 2, request: 3, fd: 3, ret: 3n, parts: [part(PART.ARGS, words(0n, 0n, 0o600n)), text('x')] }],
    ['close(8) = 0', { kind: 3, request: 1, fd: 8 }],
    ['close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) = 0', { kind: 3, request: 2, parts: [part(PART.ARGS, words(3n, 0xffffffffn, 4n))] }],
    ['closefrom(3) = 0', { kind: 3, request: 3, parts: [part(PART.ARGS, words(3n))] }],
    ['dup(8) = 9', { kind: 4, request: 1, fd: 8, ret: 9n }],
    ['dup3(8, 9, O_CLOEXEC) = 9', { kind: 4, request: 3, fd: 8, ret: 9n, parts: [part(PART.ARGS, words(9n, 0o2000000n))] }],
    ['fcntl(8, F_DUPFD_CLOEXEC, 10) = 10', { kind: 4, request: 5, fd: 8, ret: 10n, parts: [part(PART.ARGS, words(10n, 0n))] }],
    [
      'mmap(NULL, 0x10000, PROT_READ|PROT_WRITE, MAP_SHARED, 8, 0x1000) = 0x7f0000001000',
      { kind: 5, fd: 8, ret: 0x7f0000001000n, parts: [part(PART.ARGS, words(0n, 0x10000n, 3n, 1n, 0x1000n))] },
    ],
    [
      'mmap(NULL, 0x10000, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|0x10000000, -1, 0x0) = -1 ENXIO',
      { kind: 5, error: 6, ret: -1n, parts: [part(PART.ARGS, words(0n, 0x10000n, 0n, 0x10000022n, 0n))] },
    ],
    ['munmap(0x7f0000001000, 0x1000) = 0', { kind: 6, parts: [part(PART.ARGS, words(0x7f0000001000n, 0x1000n))] }],
    [
      'mremap(0x1000, 0x1000, 0x2000, MREMAP_MAYMOVE) = 0x5000',
      { kind: 7, ret: 0x5000n, parts: [part(PART.ARGS, words(0x1000n, 0x1000n, 0x2000n, 1n, 0n))] },
    ],
    [
      'mremap(0x1000, 0x1000, 0x2000, MREMAP_MAYMOVE|MREMAP_FIXED, 0x9000) = 0x9000',
      { kind: 7, ret: 0x9000n, parts: [part(PART.ARGS, words(0x1000n, 0x1000n, 0x2000n, 3n, 0x9000n))] },
    ],
    [
      'pread64(9, bytes:0102, 16, 0x40) = 2',
      { kind: 8, request: 2, fd: 9, ret: 2n, parts: [part(PART.ARGS, words(16n, 0x40n)), part(PART.OUT, new Uint8Array([1, 2]))] },
    ],
    ['vfork() = 77 /* vfork child */', { kind: 10, request: 2, ret: 77n, flags: 1 }],
    ['execve("/bin/x", ["x", "", "a b"]) = ?', { kind: 11, parts: [text('/bin/x'), text('x\0\0a b', 1)] }],
    ['_exit(3)', { kind: 13, request: 2, ret: 3n }],
    [
      'fd(8, received, "/dev/iommu", rdev=10:124, peer=4700:7, via=5)',
      { kind: 14, request: 2, fd: 8, ret: 8n, parts: [part(PART.ARGS, words(0xa7cn, 9n, 4700n, 7n, 5n)), text('/dev/iommu')] },
    ],
    ['sendmsg(5, {SCM_RIGHTS [8]}) = 1', { kind: 15, request: 1, fd: 8, ret: 1n, parts: [part(PART.ARGS, words(5n, 777n))] }],
    [
      'mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, 8, 0x1000) = 0x7f0000001000 /* its loads and stores are not trapped */',
      { kind: 5, fd: 8, ret: 0x7f0000001000n, parts: [part(PART.ARGS, words(0n, 0x1000n, 1n, 1n, 0x1000n, 0n))] },
    ],
    [
      'mmio_read32(vfio-device#2+0x1c) = 0x80000001',
      { kind: 19, file: 2, fileKind: 2, fd: -1, ret: 0x80000001n, parts: [part(PART.ARGS, words(0x7f00001cn, 0x1cn, 4n, 0x401000n, 0n))] },
    ],
    [
      'mmio_write64(iommufd#1+0x1008, 0xffffffffffffffff)',
      { kind: 19, request: 1, file: 1, fileKind: 1, fd: -1, ret: -1n, parts: [part(PART.ARGS, words(8n, 0x1008n, 8n, 0n, 0n))] },
    ],
    [
      'mmio_rmw16(iommufd#1+0x8, 0x12) = 0x11',
      { kind: 19, request: 2, file: 1, fileKind: 1, fd: -1, ret: 0x11n, parts: [part(PART.ARGS, words(8n, 8n, 2n, 0n, 0n, 0x12n))] },
    ],
    [
      'mmio_read128(iommufd#1+0x0) = bytes:01020304050607080102030405060708',
      {
        kind: 19,
        file: 1,
        fileKind: 1,
        fd: -1,
        parts: [
          part(PART.ARGS, words(0n, 0n, 16n, 0n, 0n)),
          part(PART.OUT, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8])),
        ],
      },
    ],
    [
      'mmio_rmw32(iommufd#1+0x8, ?) = ? /* single-stepped: the value is not known */',
      { kind: 19, request: 2, file: 1, fileKind: 1, fd: -1, parts: [part(PART.ARGS, words(8n, 8n, 4n, 0n, 1n, 0n))] },
    ],
    [
      'mmio_read8(iommufd#1+0x8) = ? EFAULT',
      { kind: 19, file: 1, fileKind: 1, fd: -1, error: 14, parts: [part(PART.ARGS, words(8n, 8n, 1n, 0n, 0n))] },
    ],
    [
      'mmio_write32(0xfee00000, 0x5) /* KVM exit */',
      { kind: 19, request: 17, fd: -1, ret: 5n, parts: [part(PART.ARGS, words(0xfee00000n, 0n, 4n, 0n, 0n))] },
    ],
    ['gap(confined, 3 events lost, "seccomp")', { kind: 17, request: 3, ret: 3n, parts: [text('seccomp')] }],
    [
      'ioctl(8, IOMMU_DESTROY, {id=7}) = -1 EBUSY',
      {
        fd: 8,
        fileKind: 1,
        request: 0x3b80,
        error: 16,
        ret: -1n,
        parts: [part(PART.IN, new Uint8Array([8, 0, 0, 0, 7, 0, 0, 0])), part(PART.OUT, new Uint8Array([8, 0, 0, 0, 7, 0, 0, 0]))],
      },
    ],
    ['ioctl(8, VFIO_DEVICE_RESET) = 0', { fd: 8, fileKind: 2, request: 0x3b6f, parts: [part(PART.ARGS, words(0n))] }],
  ])('%s', (want, e) => {
    expect(line(e)).toBe(`1 12.004104+78u 4711 ${want}`);
  });

  test('a call that has not returned, and its return', () => {
    const entered = event({ seq: 1, state: 1, tExit: 0n, fd: 8, fileKind: 1, request: 0x3b86, parts: [part(PART.IN, new Uint8Array(24))] });
    expect(printEvent(entered, options('abbrev'))).toMatch(/^1 12\.004104 4711 ioctl\(8, IOMMU_IOAS_UNMAP, .*\) = \? <unfinished>$/);
    const returned = event({
      seq: 9,
      kind: 16,
      error: 16,
      ret: -1n,
      parts: [part(PART.ARGS, words(1n)), part(PART.OUT, new Uint8Array(24))],
    });
    const found = { ...options('abbrev'), entered: (seq: number) => (seq === 1 ? entered : undefined) };
    expect(printEvent(returned, found)).toBe('9 12.004104+78u 4711 <… IOMMU_IOAS_UNMAP resumed, seq 1> = -1 EBUSY');
    expect(printEvent(returned, options('abbrev'))).toMatch(/<… return resumed, seq 1> bytes:0000/);
  });

  test("a guest's load that was answered late", () => {
    const answer = (over: Partial<EventLike>, how = 0, flags = 0n): string => {
      const args = part(PART.ARGS, words(0xfee00000n, 0n, 4n, 0n, flags));
      const entered = event({ seq: 1, state: 1, kind: 19, request: 16 + how, parts: [args] });
      const returned = event({ seq: 9, kind: 16, request: 16 + how, parts: [part(PART.ARGS, words(1n))], ...over });
      return printEvent(returned, { ...options('abbrev'), entered: (seq: number) => (seq === 1 ? entered : undefined) }).slice(21);
    };
    expect(answer({ ret: -2n })).toBe('<… mmio_read resumed, seq 1> = 0xfffffffffffffffe');
    expect(answer({ ret: 5n }, 1)).toBe('<… mmio_write resumed, seq 1>');
    expect(answer({ ret: 0n }, 0, 1n)).toBe('<… mmio_read resumed, seq 1> = ?');
    expect(answer({ ret: 0n, error: 125 })).toBe('<… mmio_read resumed, seq 1> = ? ECANCELED');
  });

  test('style full says what the descriptor is, and all digits', () => {
    expect(line({ kind: 3, request: 1, fd: 8, file: 3, fileKind: 1 }, 'full')).toBe('1 12.004104000+78u 4711 close(8<iommufd#3>) = 0');
    expect(line({ kind: 3, request: 1, fd: 8, tid: 4712, tExit: 12_004_105_001n }, 'full')).toBe(
      '1 12.004104000+1n 4711/4712 close(8) = 0',
    );
  });

  test('style full tells apart a result 0 and a descriptor 0 that is not the result', () => {
    const full = (e: Partial<EventLike>): string => line(e, 'full');
    expect(full({ kind: 14, request: 1, fd: 1, ret: 1n })).not.toContain('ret');
    expect(full({ kind: 14, request: 1, fd: 1, ret: 0n })).toContain('/* ret 0 */');
    expect(full({ kind: 2, request: 1, fd: 0, ret: 0n })).not.toContain('/*');
    expect(full({ kind: 2, request: 1, fd: -1, ret: 0n })).toContain('/* fd -1 */');
  });

  test('the same O_ bits have other names on another machine', () => {
    const e = event({ kind: 2, request: 1, fd: 3, ret: 3n, parts: [part(PART.ARGS, words(0n, 0o40000n, 0n)), text('x')] });
    expect(printEvent(e, options('abbrev'))).toContain('O_RDONLY|O_DIRECT)');
    expect(printEvent(e, { ...options('abbrev'), machine: 'aarch64' })).toContain('O_RDONLY|O_DIRECTORY)');
  });

  test('numbers of time', () => {
    expect([0, 999, 1000, 78_400, 999_999, 1_200_000, 12_345_678, 1_204_000_000, 61e9].map(tookText)).toEqual([
      '0n',
      '999n',
      '1u',
      '78.4u',
      '1000u',
      '1.20m',
      '12.3m',
      '1.20s',
      '61s',
    ]);
    expect([0n, 1n, 12_004_104_999n, -1n].map((ns) => secondsText(ns, 6))).toEqual(['0.000000', '0.000000', '12.004104', '-0.000000']);
  });
});

describe('registers', () => {
  const mmio = (
    how: number,
    file: number,
    offset: bigint,
    width: bigint,
    value: bigint,
    more: Partial<EventLike> = {},
  ): Partial<EventLike> => ({
    kind: 19,
    file,
    fileKind: file % 2 === 1 ? 1 : 2,
    request: how,
    ret: value,
    parts: [part(PART.ARGS, words(0x7f00n + offset, offset, width, 0x40n, 0n, ...(how === 2 ? [value + 1n] : [])))],
    ...more,
  });
  const call = (e: Partial<EventLike>, style: TextStyle = 'abbrev'): string =>
    printEvent(event(e), options(style, true)).replace(/^1 \S+ 4711 /, '');

  test.each<[string, Partial<EventLike>]>([
    ['mmio_write32(VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18))', mmio(1, 1, 4n, 4n, 0x12n)],
    ['mmio_read32(VINTF1.LVCMDQ1.CONS_INDX) = 0x1000002 (RD 2 ERR ILLEGAL)', mmio(0, 1, 0x80n, 4n, 0x1000002n)],
    [
      'mmio_read64(VINTF1.LVCMDQ0.CONS_INDX, VINTF1.LVCMDQ0.PROD_INDX) = 0x300000001 ' +
        '(VINTF1.LVCMDQ0.CONS_INDX = 0x1 (RD 1), VINTF1.LVCMDQ0.PROD_INDX = 0x3 (WR 3))',
      mmio(0, 1, 0n, 8n, 0x3_0000_0001n),
    ],
    ['mmio_rmw32(VINTF1.LVCMDQ0.CONFIG = 0x1 (CMDQ_EN)) = 0x0', mmio(2, 1, 8n, 4n, 0n)],
    ['mmio_write16(VINTF1.LVCMDQ0.PROD_INDX[15:0] = 0x2)', mmio(1, 1, 4n, 2n, 2n)],
    ['mmio_read32(VINTF1.LVCMDQ0.STATUS) = ? EFAULT', mmio(0, 1, 12n, 4n, 0n, { error: 14 })],
    ['mmio_read32(vfio-device#2 BAR0+0x1c) = 0x1', mmio(0, 2, 0x1cn, 4n, 1n)],
    ['mmio_write64(vfio-device#2 BAR0+0x28, 0x1000)', mmio(1, 2, 0x28n, 8n, 0x1000n)],
  ])('%s', (expected, e) => expect(call(e)).toBe(expected));

  test('in full the numbers, and the register beside them; raw the numbers alone', () => {
    expect(call(mmio(1, 1, 4n, 4n, 0x12n), 'full')).toBe(
      'mmio_write32(iommufd#1+0x4, 0x12, at 0x7f04, ip=0x40) /* VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18) */',
    );
    expect(call(mmio(1, 1, 4n, 4n, 0x12n), 'raw')).toBe('mmio_write32(iommufd#1+0x4, 0x12)');
  });

  const entries = new Uint8Array([...commandBytes('TLBI_NH_ASID', { ASID: 3 }), ...commandBytes('CMD_SYNC'), ...new Uint8Array(32)]);
  const queue = (more: Partial<EventLike> = {}): Partial<EventLike> => ({
    kind: 20,
    file: 1,
    fileKind: 1,
    request: 3,
    parts: [
      part(PART.ARGS, words(7n, 0n, 2n, 7n)),
      part(PART.OUT, entries),
      part(PART.OUT, new Uint8Array(new Uint32Array([1, 3, 1, 1, 0, 0, 0, 9]).buffer), 1),
    ],
    ...more,
  });
  test('a queue that was read', () => {
    expect(call(queue())).toBe(
      'queue_read(HW_QUEUE 7<VINTF1.LVCMDQ0>, prod, {CONS_INDX=0x1 (RD 1) PROD_INDX=0x3 (WR 3) CONFIG=0x1 (CMDQ_EN) ' +
        'STATUS=0x1 (CMDQ_EN_OK) @28=0x9}, [3: TLBI_NH_ASID asid 3, 0: CMD_SYNC])',
    );
    expect(call(queue(), 'full')).toBe(
      'queue_read(iommufd#1, HW_QUEUE 7, index 0, prod, log2size 2, first 0x7, {CONS_INDX=0x1 (RD 1) PROD_INDX=0x3 (WR 3) ' +
        'CONFIG=0x1 (CMDQ_EN) STATUS=0x1 (CMDQ_EN_OK) GERROR=0x0 GERRORN=0x0 @24=0x0 @28=0x9}, ' +
        '[3: TLBI_NH_ASID asid 3, 0: CMD_SYNC, 32 bytes of zeros])',
    );
    expect(call(queue({ parts: [part(PART.ARGS, words(7n, 0n, 2n, 7n))] }))).toBe('queue_read(HW_QUEUE 7<VINTF1.LVCMDQ0>, prod, ?, ?)');
  });
  test('a region', () => {
    const region = { kind: 21, request: 2, parts: [part(PART.ARGS, words(0x2420_0000n, 0x85_0000n, 0n)), text('NVDA200C:00')] };
    expect(call(region)).toBe('region(cmdqv, 0x24200000+0x850000, "NVDA200C:00")');
  });
});

/** Any frame at all: what a stranger's trace may hold. */
const u64 = fc.oneof(fc.constantFrom(0n, 1n, 2n, 3n, 8n, 0xffffffffn, 0xffffffffffffff9cn), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 90 }),
  fc.array(u64, { maxLength: 6 }).map((a) => words(...a)),
  fc.constantFrom('/dev/iommu', '\x1b]0;evil\x07', 'a\0b').map((t) => new TextEncoder().encode(t)),
);
const anyPart: fc.Arbitrary<PartLike> = fc.record({
  kind: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.nat(9)),
  flags: fc.oneof(fc.constant(0), fc.nat(15)),
  slot: fc.oneof(fc.constant(0), fc.constantFrom(1, 16, 32)),
  wanted: u64,
  address: u64,
  bytes,
});
const request = fc.oneof(
  fc.nat(6),
  fc.constantFrom(0x3b80, 0x3b85, 0x3b86, 0x3b89, 0x3b8d, 0x3b90, 0x3ba0, 0x3b70, 0x3b75, 0x3b6e, 0x3bff),
  fc.nat(0xffffffff),
);
const anyEvent: fc.Arbitrary<EventLike> = fc.record({
  seq: fc.nat(),
  kind: fc.oneof(fc.nat(KIND_NAMES.length - 1), fc.nat(255)),
  state: fc.oneof(fc.constantFrom(1, 2), fc.nat(255)),
  flags: fc.oneof(fc.constant(0), fc.nat(255)),
  fileKind: fc.oneof(fc.nat(11), fc.nat(255)),
  tEnter: u64,
  tExit: u64,
  pid: fc.nat(),
  tid: fc.nat(),
  fd: fc.oneof(fc.constant(-1), fc.integer({ min: -2, max: 20 })),
  file: fc.nat(3),
  request,
  error: fc.oneof(fc.constant(0), fc.integer({ min: -5, max: 200 })),
  ret: fc.oneof(fc.constantFrom(0n, -1n, 8n), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
  parts: fc.array(anyPart, { maxLength: 5 }),
});

describe('any frame', () => {
  test('gives one printable line in every style', () => {
    fc.assert(
      fc.property(anyEvent, (e) => {
        for (const style of ['abbrev', 'full', 'verbose', 'raw'] as const) expect(printEvent(e, options(style, true))).not.toMatch(UNSAFE);
      }),
      { numRuns: 1000 },
    );
  });

  test('style full tells two frames apart that differ in anything but addresses of texts', () => {
    const field = fc.constantFrom<(e: EventLike) => Partial<EventLike>>(
      (e) => ({ seq: e.seq + 1 }),
      (e) => ({ kind: (e.kind + 1) & 0xff }),
      (e) => ({ state: e.state ^ 1 }),
      (e) => ({ state: e.state ^ 4 }),
      (e) => ({ flags: e.flags ^ 1 }),
      (e) => ({ flags: e.flags ^ 0x40 }),
      (e) => ({ fileKind: e.fileKind ^ 1 }),
      (e) => ({ tEnter: e.tEnter + 1n }),
      (e) => ({ tExit: e.tExit + 1n }),
      (e) => ({ pid: e.pid + 1 }),
      (e) => ({ tid: e.tid + 1 }),
      (e) => ({ fd: e.fd + 1 }),
      (e) => ({ file: e.file + 1 }),
      (e) => ({ request: e.request ^ 1 }),
      (e) => ({ request: e.request ^ 2 }),
      (e) => ({ error: e.error === 0 ? 5 : 0 }),
      (e) => ({ error: e.error + 1 }),
      (e) => ({ ret: e.ret ^ 1n }),
      (e) => ({ ret: e.ret ^ 0x100_0000_0000n }),
      (e) => ({ parts: e.parts.slice(1) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 ? { ...p, flags: p.flags ^ 1 } : p)) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 ? { ...p, flags: p.flags ^ 0x20 } : p)) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 ? { ...p, slot: p.slot + 1 } : p)) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 ? { ...p, wanted: p.wanted + 1n } : p)) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 && p.kind < 5 ? { ...p, address: p.address + 1n } : p)) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 ? { ...p, bytes: p.bytes.map((b, j) => (j === 0 ? b ^ 1 : b)) } : p)) }),
      (e) => ({ parts: e.parts.map((p, i) => (i === 0 ? { ...p, bytes: p.bytes.slice(0, -1) } : p)) }),
    );
    fc.assert(
      fc.property(anyEvent, field, (e, change) => {
        const changed = { ...e, ...change(e) };
        if (JSON.stringify(plain(changed)) === JSON.stringify(plain(e))) return;
        for (const placed of [false, true])
          expect(printEvent(changed, options('full', placed))).not.toBe(printEvent(e, options('full', placed)));
      }),
      { numRuns: 5000 },
    );
  });
});

const plain = (e: EventLike): object => ({
  ...e,
  tEnter: `${e.tEnter}`,
  tExit: `${e.tExit}`,
  ret: `${e.ret}`,
  parts: e.parts.map((p) => ({ ...p, wanted: `${p.wanted}`, address: `${p.address}`, bytes: [...p.bytes] })),
});
