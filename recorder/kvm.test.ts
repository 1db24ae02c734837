/** `record --kvm`: what guests of a real KVM store and load, access by access, held against what the client knew beforehand. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileKind, Found, type Frame, FrameFlag, Kind, MmioFlag, MmioHow, MmioSource, PartKind, State } from '../store/frame.ts';
import { eventsOf } from './testing.ts';

const root = resolve(import.meta.dirname, '..');
const cli = join(root, 'dist/bin/iommufd-rr.js');
const client = join(root, 'dist/clients/kvm');
const built = existsSync(cli) && existsSync(client);
const tried = built ? spawnSync(client, ['-n', '0'], { encoding: 'utf8', timeout: 60_000 }) : undefined;
const works = tried?.status === 0;
if (!built) console.warn('recorder/kvm.test.ts: skipped, the program or its clients were not built');
else if (!works)
  console.warn(`recorder/kvm.test.ts: skipped, KVM does not work here (${tried?.stderr.trim() || `status ${tried?.status}`})`);
const decoder = existsSync(join(root, 'dist/recorder/shim/libiommufd-rr-decode.so'));
const qemu = spawnSync('qemu-system-x86_64', ['--version']).status === 0;
if (works && !qemu) console.warn('recorder/kvm.test.ts: QEMU skipped, there is no qemu-system-x86_64');

const SET_USER_MEMORY_REGION = 0x4020ae46;
const SET_USER_MEMORY_REGION2 = 0x40a0ae49;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-kvm-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const trace = (): Frame[] => eventsOf(join(folder, 'x.irr'));
const record = (options: readonly string[], ...command: string[]) =>
  spawnSync(process.execPath, [cli, 'record', ...options, '--force', '--spool', folder, '-o', join(folder, 'x.irr'), '--', ...command], {
    encoding: 'utf8',
    timeout: 120_000,
  });

const part = (frame: Frame, kind: number): Uint8Array => frame.parts.find((p) => p.kind === kind)?.bytes ?? new Uint8Array();
function words(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 3 }, (_, i) => view.getBigUint64(8 * i, true));
}
const hex = (n: bigint): string => `0x${n.toString(16)}`;

const isMmio = (f: Frame): boolean => f.kind === Kind.MMIO && f.request >> 4 === MmioSource.KVM;
/** The RETURN events of calls that were stored as entered, by the seq of the call. */
const returns = (events: readonly Frame[]): Map<number, Frame> =>
  new Map(events.filter((f) => f.kind === Kind.RETURN).map((f) => [Number(words(part(f, PartKind.ARGS))[0]), f]));

/** `HOW WIDTH ADDRESS VALUE`, as the client writes it. */
function line(frame: Frame, back: Map<number, Frame>): string {
  const [address = 0n, offset, width, ip] = words(part(frame, PartKind.ARGS));
  expect([offset, ip, frame.fd]).toEqual([0n, 0n, -1]);
  const end = frame.state === State.ENTERED ? back.get(frame.seq) : frame;
  const value = hex(BigInt.asUintN(64, end?.ret ?? frame.ret));
  const answer = end === undefined ? 'open' : end.error === 125 ? 'closed' : value;
  return `${frame.request & 15} ${width} ${hex(address)} ${(frame.request & 15) === MmioHow.STORE ? value : answer}`;
}

/** Of long lists, tells where they part. */
function sameLines(what: string, got: readonly string[], wanted: readonly string[]): void {
  const i = wanted.findIndex((want, at) => want !== got[at]);
  if (i >= 0) expect(`${what}, ${i}: ${got[i]}`).toBe(`${what}, ${i}: ${wanted[i]}`);
  expect(got).toHaveLength(wanted.length);
}

/** Changes of memory slots, `ID FLAGS GUEST-ADDRESS BYTES ADDRESS`. */
function slotLine(frame: Frame): string {
  const bytes = part(frame, PartKind.IN);
  expect(bytes).toHaveLength(frame.request === SET_USER_MEMORY_REGION ? 32 : 160);
  const [idAndFlags = 0n, guest, size, at] = words(bytes);
  return [BigInt.asUintN(32, idAndFlags), idAndFlags >> 32n, ...[guest, size, at].map((n) => hex(n ?? 0n))].join(' ');
}
const isSlot = (f: Frame): boolean =>
  f.kind === Kind.IOCTL && (f.request === SET_USER_MEMORY_REGION || f.request === SET_USER_MEMORY_REGION2);

/** What the client has written down, by the word that a line begins with. */
function expected(path: string, word: string): string[] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines.filter((text) => text.startsWith(`${word} `)).map((text) => text.slice(word.length + 1));
}

/** vCPU of a coalesced store of the client's: each has 256 bytes of the zone. */
const zoneOf = (address: bigint): number => Number((address - 0xd010_0000n) / 0x100n);

/** Files of a kind, in the order in which they were made. */
const created = (events: readonly Frame[], kind: number): number[] =>
  events.filter((f) => f.kind === Kind.FD && f.fileKind === kind && f.request === Found.CREATED).map((f) => f.file);

/** Accesses of each vCPU, in the order in which they were made. */
function accesses(events: readonly Frame[]): string[][] {
  const back = returns(events);
  const made = created(events, FileKind.KVM_VCPU);
  const machines = created(events, FileKind.KVM_VM);
  const lists: string[][] = made.map(() => []);
  for (const f of events.filter(isMmio)) {
    const [address = 0n, , , , flags] = words(part(f, PartKind.ARGS));
    const coalesced = flags === BigInt(MmioFlag.COALESCED);
    if (coalesced) expect([f.fileKind, f.file, f.state]).toEqual([FileKind.KVM_VM, machines[0], State.RETURNED]);
    else expect([f.fileKind, flags]).toEqual([FileKind.KVM_VCPU, 0n]);
    lists[coalesced ? zoneOf(address) : made.indexOf(f.file)]!.push(line(f, back));
  }
  return lists;
}

describe.skipIf(!works)('record --kvm', () => {
  test('four vCPUs in three machines: each access once, with its width and value, in its order', { timeout: 120_000 }, () => {
    const path = join(folder, 'expected');
    const done = record(['--kvm'], client, '-e', path);
    expect(done.stderr).toMatch(/^iommufd-rr: recorded \d+ events \(0 dropped\) in \S+\n$/);
    expect(done.stdout).toMatch(/\nok\n$/);
    expect(done.status).toBe(0);

    const events = trace();
    const wanted: string[][] = [];
    for (const text of expected(path, 'mmio')) {
      const [vcpu = '', ...rest] = text.split(' ');
      const list = wanted[Number(vcpu)] ?? [];
      wanted[Number(vcpu)] = list;
      list.push(rest.join(' '));
    }
    expect(wanted.map((l) => l.length > (l === wanted[3] ? 1 : 3000))).toEqual([true, true, true, true]);
    const got = accesses(events);
    wanted.forEach((lines, vcpu) => {
      sameLines(`vCPU ${vcpu}`, got[vcpu]!, lines);
    });
    // zones were coalesced, and fuller than the kernel has room for
    expect(events.filter((f) => isMmio(f) && f.fileKind === FileKind.KVM_VM).length).toBeGreaterThan(500);
    expect(wanted.flat().filter((text) => /closed|open/.test(text))).toHaveLength(2);

    // an access is no call that others are made in; its end is the next KVM_RUN
    expect(events.filter((f) => f.flags & FrameFlag.SIGNAL && (f.kind === Kind.MMIO || f.kind === Kind.IOCTL))).toEqual([]);
    for (const f of events.filter(isMmio)) expect(f.tExit === 0n || f.tExit >= f.tEnter).toBe(true);

    expect(events.filter(isSlot).map(slotLine)).toEqual(expected(path, 'slot'));
    expect([FileKind.KVM_VM, FileKind.KVM_VCPU].map((kind) => created(events, kind).length)).toEqual([3, 4]);
    expect(events.filter((f) => f.kind === Kind.OPEN && f.fileKind === FileKind.KVM)).toHaveLength(1);
    // and of KVM_RUN itself there is nothing
    expect(events.filter((f) => f.kind === Kind.IOCTL && (f.request & 0xffff) === 0xae80)).toEqual([]);
  });

  test('a device region that is trapped and a memory slot: the log has the address that the program has', () => {
    if (!decoder) return console.warn('recorder/kvm.test.ts: --mmio skipped, there is no Zydis to decode instructions with');
    const done = record(['--kvm', '--mmio', '--on', 'model'], client, '-d', '/dev/vfio/devices/vfio0');
    expect([done.stdout, done.status], done.stderr).toEqual(['ok\n', 0]);
    const events = trace();
    const map = events.find((f) => f.kind === Kind.MMAP && f.fileKind === FileKind.VFIO_DEVICE)!;
    const slot = events.filter(isSlot).map((f) => words(part(f, PartKind.IN)))[1]!;
    expect(slot.slice(1)).toEqual([0xe000_0000n, 0x2000n, BigInt.asUintN(64, map.ret)]);
    const seen = events.filter((f) => f.kind === Kind.MMIO).map((f) => [f.request >> 4, f.request & 15, hex(f.ret)]);
    expect(seen).toEqual([
      [MmioSource.TRAPPED, MmioHow.STORE, '0x5555'],
      [MmioSource.KVM, MmioHow.STORE, '0x4d'],
      [MmioSource.TRAPPED, MmioHow.LOAD, '0x123456789abcdef0'],
    ]);
  });

  test('a load that takes long is in the trace before it is answered, and the answer follows', () => {
    const path = join(folder, 'expected');
    expect(record(['--kvm'], client, '-n', '5', '-e', path).status).toBe(0);
    const events = trace();
    const back = returns(events);
    const slow = events.filter((f) => isMmio(f) && f.state === State.ENTERED && back.has(f.seq));
    expect(slow.map((f) => f.request & 15)).toEqual([MmioHow.LOAD]);
    expect(back.get(slow[0]!.seq)!.tExit - slow[0]!.tEnter).toBeGreaterThan(290_000_000n);
    expect(expected(path, 'mmio')).toContain(`2 ${line(slow[0]!, back)}`);
  });

  test('without --kvm nothing of it is recorded', () => {
    const done = record([], client, '-n', '10');
    expect(done.stdout).toMatch(/\nok\n$/);
    expect(trace().filter((f) => f.kind === Kind.MMIO || f.kind === Kind.IOCTL || f.kind === Kind.FD || f.kind === Kind.OPEN)).toEqual([]);
  });
});

/** What was stored and loaded, byte by byte: QEMU tells of a wide access in pieces, as its device takes them. */
function bytesOf(store: boolean, address: bigint, width: number, value: bigint): string[] {
  return Array.from(
    { length: width },
    (_, i) => `${store ? 'store' : 'load'} ${hex(address + BigInt(i))} ${hex((value >> BigInt(8 * i)) & 0xffn)}`,
  );
}

describe.skipIf(!works || !qemu)('QEMU as VMM', () => {
  test.each([
    ['as it is', []],
    ['under a seccomp filter of its own', ['-sandbox', 'on']],
  ])('%s: what its devices saw is what was recorded', { timeout: 60_000 }, (_, more) => {
    const rom = join(folder, 'rom');
    const log = join(folder, 'qemu.log');
    expect(spawnSync(client, ['-r', rom]).status).toBe(0);
    const machine = ['-accel', 'kvm', '-M', 'pc', '-m', '16', '-nodefaults', '-vga', 'std', '-display', 'none', '-bios', rom, '-no-reboot'];
    const traced = ['-device', 'isa-debug-exit', '-trace', 'memory_region_ops_*', '-D', log];
    const done = record(['--kvm'], 'qemu-system-x86_64', ...machine, ...traced, ...more);
    expect(done.status, done.stderr).toBe(33); // what the guest writes to isa-debug-exit
    expect(done.stderr).toContain('(0 dropped)');

    const wanted = readFileSync(log, 'utf8')
      .split('\n')
      .map((text) => /^memory_region_ops_(read|write) .* addr (\w+) value (\w+) size (\d) name '(hpet|vga-lowmem)'/.exec(text))
      .filter((m) => m !== null)
      .flatMap((m) => bytesOf(m[1] === 'write', BigInt(m[2]!), Number(m[4]), BigInt(m[3]!)));
    const got = trace()
      .filter(isMmio)
      .flatMap((f) => {
        const [address = 0n, , width] = words(part(f, PartKind.ARGS));
        return bytesOf((f.request & 15) === MmioHow.STORE, address, Number(width), BigInt.asUintN(64, f.ret));
      });
    // QEMU gives a device what was coalesced when that device is next touched, so the order is that of each device
    for (const device of [/^\w+ 0xa/, /^\w+ 0xfed/]) {
      const of = (list: readonly string[]): string[] => list.filter((text) => device.test(text));
      expect(of(got)).toEqual(of(wanted));
      expect(of(got).length).toBeGreaterThan(800);
    }
    expect(got).toHaveLength(wanted.length);
  });
});

/** The shim's sources, in a program of their own with a KVM that is none: what a real one does seldom, or elsewhere. */
const MACHINES: readonly (readonly [name: string, cc: string, run: readonly string[], machines: number])[] = [
  ['this machine', 'cc', [], 9000],
  ['aarch64', 'aarch64-linux-gnu-gcc', ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'], 50],
];
describe.each(MACHINES)('a KVM that is none, on %s', (name, cc, run, machines) => {
  const can = existsSync(cli) && [cc, ...run.slice(0, 1)].every((tool) => spawnSync(tool, ['--version']).status === 0);
  if (!can) console.warn(`recorder/kvm.test.ts: ${name} skipped, there is no ${[cc, ...run.slice(0, 1)].join(' or no ')}`);

  test.skipIf(!can)(
    'rings that wrap around, mappings that come and go, descriptors, unknown accesses, many machines',
    { timeout: 120_000 },
    () => {
      const shim = join(root, 'recorder/shim');
      const sources = readdirSync(shim).filter((file) => /^irr_.*\.c$/.test(file) && file !== 'irr_decode.c');
      const program = join(folder, `fake-${cc}`);
      const files = [join(root, 'fixtures/clients/kvm_fake.c'), ...sources.map((file) => join(shim, file))];
      const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-ftls-model=initial-exec', '-I', shim];
      const made = spawnSync(cc, [...flags, '-o', program, ...files, '-ldl', '-pthread'], { encoding: 'utf8' });
      expect(made.status, made.stderr).toBe(0);
      const spool = join(folder, `${cc}.spool`);
      const [first = program, ...rest] = [...run, program, String(machines)];
      const ran = spawnSync(first, rest, {
        encoding: 'utf8',
        timeout: 100_000,
        env: { IRR_SPOOL: spool, IRR_KVM: '1' },
        maxBuffer: 1 << 26,
      });
      expect(ran.status, ran.stderr).toBe(0);
      const recovered = spawnSync(process.execPath, [cli, 'recover', spool, '--force', '-o', join(folder, 'x.irr')], { encoding: 'utf8' });
      expect(recovered.stderr).toContain('(0 dropped)');
      const events = trace();
      const back = returns(events);
      const got = events.filter(isMmio).map((f) => `mmio ${line(f, back)} ${words(part(f, PartKind.ARGS))[4]}`);
      const wanted = ran.stdout.trimEnd().split('\n');
      sameLines(name, got, wanted);
      expect(got.length).toBeGreaterThan(1500);
    },
  );
});
