import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeStruct, encodeCommand, encodeStruct, nestedApplies, nestedLength, testOpOf } from './codec.ts';
import { parseCall } from './parse.ts';
import { hexOf } from './scalar-text.ts';
import { DIALECTS, type UapiTable, uapiTable } from './table.ts';
import { type CallBytes, printCall } from './text.ts';
import { type Command, type Field, SCALAR_BYTES } from './types.ts';

const table = uapiTable('linux-7.2');

/** A source of numbers for one made-up call. */
class Dice {
  private at = 0;
  private readonly numbers: readonly number[];
  constructor(numbers: readonly number[]) {
    this.numbers = numbers;
  }
  /** 0 … n-1 */
  roll(n: number): number {
    return (this.numbers[this.at++ % this.numbers.length] ?? 0) % n;
  }
  bytes(n: number): Uint8Array {
    return Uint8Array.from({ length: n }, () => (this.roll(3) === 0 ? 0 : this.roll(256)));
  }
}

function poke(bytes: Uint8Array, field: Field | undefined, value: number): void {
  if (field === undefined || field.offset + field.size > bytes.length) return;
  bytes.fill(0, field.offset, field.offset + field.size);
  for (let i = 0; i < Math.min(4, SCALAR_BYTES[field.type]); i++) bytes[field.offset + i] = (value >> (8 * i)) & 0xff;
}

/** Any bytes, but lengths short enough and discriminators often known. */
function madeStruct(t: UapiTable, command: Command, dice: Dice): Uint8Array {
  const struct = command.struct!;
  const length = [struct.size, struct.size, struct.min, struct.size + dice.roll(40), dice.roll(struct.size + 1)][dice.roll(5)]!;
  const bytes = dice.bytes(length);
  if (dice.roll(8) > 0) poke(bytes, struct.fields[0], length);
  poke(bytes, struct.byName.get('op'), dice.roll(26));
  if (dice.roll(2) === 0) poke(bytes, struct.byName.get('count'), dice.roll(6));
  for (const f of struct.fields) {
    const e = f.enum === undefined ? undefined : [...(t.enum(f.enum)?.members.values() ?? [])];
    if (f.name !== 'op' && e !== undefined && e.length > 0 && dice.roll(3) > 0) poke(bytes, f, e[dice.roll(e.length)]!);
    const rule = f.nested?.length;
    if (rule?.rule === 'field') poke(bytes, struct.byName.get(rule.field), dice.roll(7) * (f.nested?.of === 'struct' ? 1 : 4));
    if (rule?.rule === 'product')
      for (const n of [rule.a, rule.b]) poke(bytes, struct.byName.get(n), n === rule.a ? 4 * dice.roll(7) : dice.roll(4));
    if (rule?.rule === 'bitmap')
      for (const n of [rule.length, rule.page]) poke(bytes, struct.byName.get(n), n === rule.page ? 1 + dice.roll(16) : dice.roll(4096));
  }
  return bytes;
}

/** A call as a recorder would give it, buffers as long as the struct asks. */
function madeCall(t: UapiTable, command: Command, dice: Dice): CallBytes {
  const before = madeStruct(t, command, dice);
  const after = before.slice();
  for (let i = 0; i < dice.roll(4) * 3 && after.length > 4; i++) after[4 + dice.roll(after.length - 4)] = dice.roll(256);
  const arm = testOpOf(t, command, before)?.arm;
  poke(after, command.struct?.byName.get('op'), before[4] ?? 0);
  const { values } = decodeStruct(command.struct!, before, arm);
  const nin = new Map<number, Uint8Array>();
  const nout = new Map<number, Uint8Array>();
  for (const f of command.struct?.fields ?? []) {
    if (f.nested === undefined || f.nested.dir === 'mapped' || values[f.name] === undefined || !nestedApplies(f.nested, values)) continue;
    const length = nestedLength(f.nested, values);
    if (length > 4096n) continue;
    if (f.nested.dir !== 'out') nin.set(f.offset, dice.bytes(Number(length)));
    if (f.nested.dir !== 'in')
      nout.set(f.offset, dice.roll(3) === 0 ? (nin.get(f.offset) ?? dice.bytes(Number(length))) : dice.bytes(Number(length)));
  }
  return {
    target: command.target,
    request: command.request,
    ret: 0n,
    error: [0, 0, 22, 90][dice.roll(4)]!,
    in: before,
    out: dice.roll(9) === 0 ? undefined : after,
    nestedIn: (slot) => nin.get(slot),
    nestedOut: (slot) => nout.get(slot),
  };
}

function expectSame(t: UapiTable, command: Command, call: CallBytes, text: string): void {
  const parsed = parseCall(t, call.target, text);
  if (!parsed.ok) throw new Error(`${parsed.error} at ${parsed.at}: ${text}`);
  expect(parsed.end).toBe(text.length);
  const shown = (bytes: Uint8Array | undefined): string | undefined => (bytes === undefined ? undefined : hexOf(bytes));
  expect(parsed.call.request).toBe(call.request);
  expect(shown(parsed.call.in), text).toBe(shown(call.in));
  expect(shown(parsed.call.out), text).toBe(shown(call.out));
  for (const f of command.struct?.fields ?? []) {
    const before = call.nestedIn(f.offset);
    expect(shown(parsed.call.nestedIn.get(f.offset)), `${f.name} of ${text}`).toBe(shown(before));
    if (call.out === undefined) continue;
    // a buffer that is as it was before is not said twice
    const after = parsed.call.nestedOut.get(f.offset) ?? before;
    expect(shown(after), `${f.name} after ${text}`).toBe(shown(call.nestedOut(f.offset) ?? before));
  }
}

test('full and verbose text give back every byte, of every command of every dialect', () => {
  for (const dialect of DIALECTS) {
    const t = uapiTable(dialect);
    const commands = t.commands.filter((c) => c.struct !== undefined);
    const runs = dialect === 'linux-7.2' ? 40 : 6;
    for (const command of commands) {
      fc.assert(
        fc.property(fc.array(fc.nat(2 ** 30), { minLength: 30, maxLength: 200 }), (numbers) => {
          const call = madeCall(t, command, new Dice(numbers));
          expectSame(t, command, call, printCall(t, call, 'full'));
          expectSame(t, command, call, printCall(t, call, 'verbose'));
        }),
        { numRuns: command.name === 'IOMMU_TEST_CMD' ? runs * 8 : runs, endOnFailure: true },
      );
    }
  }
});

describe('other arguments', () => {
  const plain = { ret: 0n, error: 0, nestedIn: () => undefined, nestedOut: () => undefined };
  test.each([
    { ...plain, target: 'vfio-group', request: 0x3b6a, in: new TextEncoder().encode('0000:06:0d.0"\\\n\0') },
    { ...plain, target: 'vfio-group', request: 0x3b6a, in: new TextEncoder().encode('no end') },
    { ...plain, target: 'vfio-group', request: 0x3b68, in: Uint8Array.of(5, 0, 0, 0) },
    { ...plain, target: 'vfio-group', request: 0x3b68, in: Uint8Array.of(5, 0) },
    { ...plain, target: 'vfio-container', request: 0x3b65, arg: 3n },
    { ...plain, target: 'vfio-container', request: 0x3b65, arg: 99n },
    { ...plain, target: 'vfio-device', request: 0x3b6f },
    { ...plain, target: 'iommufd', request: 0x3bff, in: Uint8Array.of(4, 0, 0, 0), out: Uint8Array.of(4, 0, 0, 1) },
    { ...plain, target: 'iommufd', request: 0x3bff, in: Uint8Array.of(4, 0, 0, 0) },
    { ...plain, target: 'iommufd', request: 0x5401, arg: 0x7ffen },
  ] as const)('request $request', (call) => {
    const text = printCall(table, call as CallBytes, 'full');
    const parsed = parseCall(table, call.target, text);
    expect(parsed).toMatchObject({ ok: true, end: text.length, call: { request: call.request } });
    if (!parsed.ok) return;
    expect([parsed.call.in, parsed.call.arg]).toEqual([(call as CallBytes).in, (call as CallBytes).arg]);
  });

  test('raw text keeps bytes and buffers by offset', () => {
    const command = table.byName('IOMMU_HWPT_ALLOC')!;
    const before = encodeCommand(command, { data_type: 2, data_len: 16, data_uptr: 1n });
    const data = encodeStruct(table.struct('iommu_hwpt_arm_smmuv3')!, { ste: [1n, 2n] });
    const call: CallBytes = {
      ...plain,
      target: 'iommufd',
      request: command.request,
      in: before,
      out: before,
      nestedIn: (s) => (s === 32 ? data : undefined),
    };
    const parsed = parseCall(table, 'iommufd', printCall(table, call, 'raw'));
    expect(parsed).toMatchObject({ ok: true, call: { in: before, out: before } });
    expect(parsed.ok && parsed.call.nestedIn.get(32)).toEqual(data);
  });

  test('a buffer of no known type that the kernel filled less of than there was room for', () => {
    const command = table.byName('IOMMU_GET_HW_INFO')!;
    const asked = { dev_id: 1, data_len: 8, data_uptr: 0x1000n };
    const filled = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0);
    const call: CallBytes = {
      ...plain,
      target: 'iommufd',
      request: command.request,
      in: encodeCommand(command, asked),
      out: encodeCommand(command, { ...asked, data_len: 7, out_data_type: 0x7fff }),
      nestedOut: () => filled,
    };
    const parsed = parseCall(table, 'iommufd', printCall(table, call, 'full'));
    const at = command.struct!.byName.get('data_uptr')!.offset;
    expect(parsed.ok && parsed.call.nestedOut.get(at)).toEqual(filled);
  });

  test('a feature’s buffers, which the trailing array points to', () => {
    const command = table.byName('VFIO_DEVICE_FEATURE')!;
    const report = encodeStruct(table.struct('vfio_device_feature_dma_logging_report')!, {
      length: 0x40000n,
      page_size: 0x1000n,
      bitmap: 0x10n,
    });
    const before = encodeCommand(command, { flags: 0x10008 }, report);
    const bits = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0x80);
    const call: CallBytes = {
      ...plain,
      target: 'vfio-device',
      request: command.request,
      in: before,
      out: before,
      nestedIn: (s) => (s === 32 ? new Uint8Array(8) : undefined),
      nestedOut: (s) => (s === 32 ? bits : undefined),
    };
    const text = printCall(table, call, 'full');
    expect(text).toBe(
      'VFIO_DEVICE_FEATURE, {argsz=40 flags=DMA_LOGGING_REPORT|GET data={iova=0 length=0x40000 page_size=0x1000 bitmap=0x10 bits:/64}}' +
        ' => {data={iova=0 length=0x40000 page_size=0x1000 bitmap=0x10 bits:0,63/64}}',
    );
    const parsed = parseCall(table, 'vfio-device', text);
    expect(parsed).toMatchObject({ ok: true, call: { in: before, out: before } });
    expect(parsed.ok && [...parsed.call.nestedIn, ...parsed.call.nestedOut]).toEqual([
      [32, new Uint8Array(8)],
      [32, bits],
    ]);
  });
});

describe('text that is wrong says where', () => {
  test.each([
    ['IOMMU_IOAS_MAPP, {}', 'linux-7.2 has no IOMMU_IOAS_MAPP', 15],
    ['IOMMU_IOAS_MAP, {iov=1}', 'iommu_ioas_map has no field iov', 17],
    ['IOMMU_IOAS_MAP, {flags=READABL}', 'flags: READABL is no number and no constant of this field', 23],
    ['IOMMU_IOAS_MAP, {ioas_id=0x100000000}', 'out of range (0 … 4294967295)', 25],
    ['IOMMU_IOAS_MAP, {ioas_id=1,iova=2}', "' ' expected", 26],
    ['IOMMU_IOAS_MAP, {size=4294967295}', 'a struct of 4294967295 bytes is not believed', 17],
    ['IOMMU_IOAS_ALLOW_IOVAS, {allowed_iovas=[…+2]}', 'abbreviated: print it in full', 40],
    ['', 'the name or number of an ioctl expected', 0],
  ])('%s', (text, error, at) => {
    expect(parseCall(table, 'iommufd', text)).toEqual({ ok: false, error, at });
  });

  test('text that nests without end is refused', () => {
    const result = parseCall(table, 'iommufd', `IOMMU_IOAS_MAP, {iova=${'['.repeat(99_999)}`);
    expect(result).toMatchObject({ ok: false, error: 'nested too deep' });
  });

  test('annotations are skipped, the rest of the line is the caller’s', () => {
    const text = 'ioctl(8, IOMMU_DESTROY, {id=4<VIOMMU>}) = 0';
    expect(parseCall(table, 'iommufd', text, 9)).toMatchObject({ ok: true, end: 38, call: { in: Uint8Array.of(8, 0, 0, 0, 4, 0, 0, 0) } });
  });

  test('any text gives a call or an error', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '=',
      ' ',
      ', ',
      ' => ',
      '"',
      '?',
      'bytes:',
      'bits:',
      '0-3/64',
      '@4',
      'size',
      'tail',
      'data',
      'ff',
      '0x10',
      '…',
      'IOMMU_TEST_CMD',
      'op',
      'FULL',
      '|',
      '-',
    );
    fc.assert(
      fc.property(fc.constantFrom(...table.commands.map((c) => c.name)), fc.array(piece, { maxLength: 30 }), (name, pieces) => {
        const result = parseCall(table, 'iommufd', `${name}, {${pieces.join('')}`);
        expect(typeof result.ok).toBe('boolean');
      }),
      { numRuns: 2000 },
    );
  });
});
