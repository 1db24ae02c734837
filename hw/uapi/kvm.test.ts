import { expect, test } from 'vitest';
import { encodeStruct } from './codec.ts';
import { parseCall } from './parse.ts';
import { uapiTable } from './table.ts';
import { printCall } from './text.ts';

const table = uapiTable('linux-7.2');

test('structs are as long as the requests say, and of type 0xae', () => {
  expect(table.kvm.length).toBeGreaterThan(5);
  for (const c of table.kvm) {
    expect([c.name, (c.request >>> 8) & 0xff]).toEqual([c.name, 0xae]);
    expect([c.name, c.struct?.size ?? 0]).toEqual([c.name, (c.request >>> 16) & 0x3fff]);
    expect(table.command(c.target, c.request)).toBe(c);
    expect(table.byName(c.name)).toBe(c);
    expect(table.commands).not.toContain(c);
  }
});

test('their text, and back', () => {
  const plain = { target: 'kvm-vm', ret: 0n, error: 0, nestedIn: () => undefined, nestedOut: () => undefined } as const;
  const command = table.byName('KVM_SET_USER_MEMORY_REGION')!;
  const bytes = encodeStruct(command.struct!, {
    slot: 5,
    flags: 3,
    guest_phys_addr: 0xc130000n,
    memory_size: 0x10000n,
    userspace_addr: 0x700000000000n,
  });
  const call = { ...plain, request: command.request, in: bytes, out: bytes };
  const text =
    'KVM_SET_USER_MEMORY_REGION, {slot=5 flags=LOG_DIRTY_PAGES|READONLY guest_phys_addr=0xc130000 memory_size=0x10000 userspace_addr=0x700000000000}';
  expect(printCall(table, call)).toBe(text);
  expect(printCall(table, call, 'full')).toBe(text);
  expect(parseCall(table, 'kvm-vm', text)).toMatchObject({ ok: true, call: { request: 0x4020ae46, in: bytes } });
  expect(printCall(table, { ...plain, request: 0xae41, arg: 1n })).toBe('KVM_CREATE_VCPU, 1');
  // the number of a vCPU's call on the VM is another call, or none
  expect(printCall(table, { ...plain, target: 'kvm-vcpu', request: 0xae41, arg: 1n })).toBe('0xae41, 0x1');
});
