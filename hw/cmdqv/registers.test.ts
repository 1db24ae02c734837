import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { greatest, setBits, unknownBits } from '../bits.ts';
import { accessText, locate, named, offsetsOf, pieces, pieceValue, type View } from './places.ts';
import { type Block, decodeRegister, encodeRegister, implemented, REGISTERS, register, registerText } from './registers.ts';

const G = { log2Queues: 1 };
const page0 = (vintf: number): View => ({ kind: 'vintf', vintf, page: 0 });
const page1 = (vintf: number): View => ({ kind: 'vintf', vintf, page: 1 });

/** register, offset in its block, field, its bits */
const FIELDS: readonly (readonly [Block, string, number, string, bigint])[] = [
  ['CMDQV', 'CONFIG', 0x0, 'CMDQV_EN', 1n],
  ['CMDQV', 'CONFIG', 0x0, 'PER_CMD_OFFSET', 0xen],
  ['CMDQV', 'CONFIG', 0x0, 'MAX_CLK_BATCH', 0xff0n],
  ['CMDQV', 'CONFIG', 0x0, 'MAX_CMD_BATCH', 0xf_f000n],
  ['CMDQV', 'CONFIG', 0x0, 'CONS_DRAM_EN', 1n << 20n],
  ['CMDQV', 'PARAM', 0x4, 'VER', 0xfn],
  ['CMDQV', 'PARAM', 0x4, 'NUM_VCMDQ_LOG2', 0xf0n],
  ['CMDQV', 'PARAM', 0x4, 'NUM_VINTF_LOG2', 0xf00n],
  ['CMDQV', 'PARAM', 0x4, 'NUM_SID_PER_VINTF_LOG2', 0xf000n],
  ['CMDQV', 'STATUS', 0x8, 'ENABLED', 1n],
  ['CMDQV', 'VI_ERR_MAP', 0x14, 'VINTF', 0xffff_ffffn],
  ['CMDQV', 'VI_INT_MASK', 0x1c, 'VINTF', 0xffff_ffffn],
  ['CMDQV', 'CMDQ_ERR_MAP', 0x24, 'VCMDQ', 0xffff_ffffn],
  ['CMDQV', 'CMDQ_ALLOC', 0x200, 'ALLOC', 1n],
  ['CMDQV', 'CMDQ_ALLOC', 0x200, 'LVCMDQ', 0xfen],
  ['CMDQV', 'CMDQ_ALLOC', 0x200, 'VINTF', 0x1f_8000n],
  ['VINTF', 'CONFIG', 0x0, 'EN', 1n],
  ['VINTF', 'CONFIG', 0x0, 'VMID', 0x1_fffen],
  ['VINTF', 'CONFIG', 0x0, 'HYP_OWN', 1n << 17n],
  ['VINTF', 'STATUS', 0x4, 'ENABLED', 1n],
  ['VINTF', 'STATUS', 0x4, 'STATUS', 0xen],
  ['VINTF', 'STATUS', 0x4, 'NUM_LVCMDQ', 0xff_0000n],
  ['VINTF', 'GLB_FILT_CFG', 0xc, 'CFG', 0xffff_ffffn],
  ['VINTF', 'GLB_FILT_DATA', 0x10, 'DATA', 0xffff_ffffn],
  ['VINTF', 'SID_MATCH', 0x40, 'ENABLE', 1n],
  ['VINTF', 'SID_MATCH', 0x40, 'VIRT_SID', 0x1f_fffen],
  ['VINTF', 'SID_REPLACE', 0x80, 'PHYS_SID', 0xf_ffffn],
  ['VINTF', 'LVCMDQ_ERR_MAP', 0xc0, 'LVCMDQ', 2n ** 64n - 1n],
  ['PAGE0', 'CONS_INDX', 0x0, 'RD', 0xf_ffffn],
  ['PAGE0', 'CONS_INDX', 0x0, 'ERR', 0x7f00_0000n],
  ['PAGE0', 'PROD_INDX', 0x4, 'WR', 0xf_ffffn],
  ['PAGE0', 'CONFIG', 0x8, 'CMDQ_EN', 1n],
  ['PAGE0', 'STATUS', 0xc, 'CMDQ_EN_OK', 1n],
  ['PAGE0', 'GERROR', 0x10, 'CMDQ_ERR', 1n],
  ['PAGE0', 'GERROR', 0x10, 'CONS_DRAM_WR_ABT_ERR', 2n],
  ['PAGE0', 'GERROR', 0x10, 'CMDQ_INIT_ERR', 4n],
  ['PAGE0', 'GERRORN', 0x14, 'CMDQ_ERR', 1n],
  ['PAGE0', 'GERRORN', 0x14, 'CONS_DRAM_WR_ABT_ERR', 2n],
  ['PAGE0', 'GERRORN', 0x14, 'CMDQ_INIT_ERR', 4n],
  ['PAGE1', 'BASE', 0x0, 'LOG2SIZE', 0x1fn],
  ['PAGE1', 'BASE', 0x0, 'ADDR', 0x0000_ffff_ffff_ffe0n],
  ['PAGE1', 'CONS_INDX_BASE_DRAM', 0x8, 'ADDR', 0x0000_ffff_ffff_ffffn],
];

describe('rows', () => {
  test.each(FIELDS)('%s.%s at %i: %s', (block, name, offset, key, bits) => {
    const r = register(name, block);
    expect(r.offset).toBe(offset);
    const f = r.fields.find((x) => x.name === key)!;
    expect(encodeRegister(r, { [key]: greatest(f) })).toBe(bits);
    expect(decodeRegister(r, bits).find((d) => d.field === f)!.value).toBe(greatest(f));
    expect(f.note).not.toBe('');
  });
  test('the list above has every field', () => {
    expect(REGISTERS.flatMap((r) => r.fields.map((f) => `${r.block}.${r.name}.${f.name}`))).toEqual(
      FIELDS.map((f) => `${f[0]}.${f[1]}.${f[3]}`),
    );
  });
  test('a value is its fields and what is not known', () => {
    fc.assert(
      fc.property(fc.constantFrom(...REGISTERS), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (r, wide) => {
        const value = BigInt.asUintN(8 * r.bytes, wide);
        const fields = Object.fromEntries(decodeRegister(r, value).map((d) => [d.field.name, d.value]));
        expect(encodeRegister(r, fields) | unknownBits([value], r.fields)[0]!).toBe(value);
      }),
    );
  });
});

describe('places', () => {
  test.each([
    [0x0n, 'CMDQV.CONFIG'],
    [0x4n, 'CMDQV.PARAM'],
    [0x18n, 'CMDQV.VI_ERR_MAP_1'],
    [0x20n, 'CMDQV.VI_INT_MASK_1'],
    [0x30n, 'CMDQV.CMDQ_ERR_MAP_3'],
    [0x200n, 'CMDQV.CMDQ_ALLOC_0'],
    [0x3fcn, 'CMDQV.CMDQ_ALLOC_127'],
    [0x400n, 'CMDQV+0x400'],
    [0xcn, 'CMDQV+0xc'],
    [0x1000n, 'VINTF0.CONFIG'],
    [0x1104n, 'VINTF1.STATUS'],
    [0x1144n, 'VINTF1.SID_MATCH_1'],
    [0x11bcn, 'VINTF1.SID_REPLACE_15'],
    [0x10c8n, 'VINTF0.LVCMDQ_ERR_MAP_1'],
    [0x1108n, 'VINTF1+0x8'],
    [0x4f00n, 'VINTF63.CONFIG'],
    [0x5000n, 'CMDQV+0x5000'],
    [0x1_0000n, 'VINTF0.LVCMDQ0.CONS_INDX'],
    [0x1_0104n, 'VINTF1.LVCMDQ0.PROD_INDX'],
    [0x2_0088n, 'VINTF0.LVCMDQ1.CONS_INDX_BASE_DRAM'],
    [0x3_0000n, 'VINTF0.LVCMDQ0.CONS_INDX'],
    [0x5_0084n, 'VINTF1.LVCMDQ1.PROD_INDX'],
    [0x6_0000n, 'VINTF1.LVCMDQ0.BASE'],
    [0x5_0018n, 'VINTF1.LVCMDQ0.PAGE0+0x18'],
    [0x6_0090n, 'VINTF1.LVCMDQ1.PAGE1+0x10'],
    [0x82_0000n, 'VINTF63.LVCMDQ0.BASE'],
    [0x83_0000n, 'CMDQV+0x830000'],
    [-4n, 'CMDQV+-0x4'],
    [2n ** 63n, 'CMDQV+0x8000000000000000'],
  ])('0x%s', (offset, name) => expect(locate(offset, { kind: 'aperture' }, G).name).toBe(name));

  test('the direct view keeps its number where the number of queues of a VINTF is not known', () => {
    expect(locate(0x1_0104n).name).toBe('VCMDQ2.PROD_INDX');
    expect(locate(0x5_0004n)).toMatchObject({ name: 'VINTF1.LVCMDQ0.PROD_INDX', vcmdq: undefined });
  });
  test('both views of a register are one', () => {
    const [logical, direct] = [locate(0x5_0084n, { kind: 'aperture' }, G), locate(0x1_0184n, { kind: 'aperture' }, G)];
    expect({ ...direct, view: 'logical' }).toEqual(logical);
    expect(offsetsOf(logical.register!, 0, logical)).toEqual([0x5_0084, 0x1_0184]);
  });
  test('mapped pages', () => {
    expect(locate(0x84n, page0(1), G).name).toBe('VINTF1.LVCMDQ1.PROD_INDX');
    expect(locate(0x8n, page1(2), G).name).toBe('VINTF2.LVCMDQ0.CONS_INDX_BASE_DRAM');
    expect(locate(0x1_0000n, page0(1), G).name).toBe('VINTF1.page0+0x10000');
  });
  test('every register has a name, and the name leads back', () => {
    for (const r of REGISTERS)
      for (let i = 0; i < r.count; i++) {
        const of = r.block === 'CMDQV' ? {} : r.block === 'VINTF' ? { vintf: 3 } : { vintf: 3, lvcmdq: 1, vcmdq: 7 };
        const names = offsetsOf(r, i, of).map((at) => locate(BigInt(at), { kind: 'aperture' }, G).name);
        expect(new Set(names).size).toBe(1);
        expect(names).toHaveLength(r.block === 'PAGE0' || r.block === 'PAGE1' ? 2 : 1);
        expect(named(names[0]!, G)).toMatchObject({ register: r, index: i, name: names[0] });
      }
    expect(named('VCMDQ7.PROD_INDX')?.name).toBe('VCMDQ7.PROD_INDX');
    expect(named('VCMDQ7.PROD_INDX', G)?.name).toBe('VINTF3.LVCMDQ1.PROD_INDX');
    expect(['VINTF1', 'VINTF1.NOTHING', 'CMDQV.CMDQ_ALLOC', 'CMDQV.CMDQ_ALLOC_128', 'VINTF1.PROD_INDX', ''].map((n) => named(n))).toEqual(
      new Array(6).fill(undefined),
    );
  });
});

describe('text', () => {
  test.each([
    [0x4n, 4, 0x12n, 'VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18)'],
    [0x0n, 4, 0x0100_0012n, 'VINTF1.LVCMDQ0.CONS_INDX = 0x1000012 (RD 18 ERR ILLEGAL)'],
    [0x0n, 4, 0x7f00_0000n, 'VINTF1.LVCMDQ0.CONS_INDX = 0x7f000000 (ERR 127)'],
    [0x8n, 4, 1n, 'VINTF1.LVCMDQ0.CONFIG = 0x1 (CMDQ_EN)'],
    [0x8n, 4, 0n, 'VINTF1.LVCMDQ0.CONFIG = 0x0'],
    [0xcn, 4, 0x101n, 'VINTF1.LVCMDQ0.STATUS = 0x101 (CMDQ_EN_OK unknown bits 0x100)'],
    [0x90n, 4, 5n, 'VINTF1.LVCMDQ1.GERROR = 0x5 (CMDQ_ERR CMDQ_INIT_ERR)'],
    [0x0n, 8, 0x12_0000_0003n, 'VINTF1.LVCMDQ0.CONS_INDX = 0x3 (RD 3), VINTF1.LVCMDQ0.PROD_INDX = 0x12 (WR 18)'],
    [0x4n, 1, 0x12n, 'VINTF1.LVCMDQ0.PROD_INDX[7:0] = 0x12'],
    [0x3n, 1, 0x2n, 'VINTF1.LVCMDQ0.CONS_INDX[31:24] = 0x2 (ERR ABORT)'],
    [0x18n, 4, 9n, 'VINTF1.LVCMDQ0.PAGE0+0x18 = 0x9'],
    [
      0x16n,
      8,
      0xa_0000_0001_0000n,
      'VINTF1.LVCMDQ0.GERRORN[31:16] = 0x0, VINTF1.LVCMDQ0.PAGE0+0x18 = 0x1, VINTF1.LVCMDQ0.PAGE0+0x1c = 0xa',
    ],
  ])('page 0 + 0x%s, %i bytes', (offset, width, value, text) => expect(accessText(offset, width, value, page0(1), G)).toBe(text));
  test.each([
    [0x0n, 8, 0x8000_000an, 'VINTF1.LVCMDQ0.BASE = 0x8000000a (LOG2SIZE 10 ADDR 0x80000000)'],
    [0x0n, 4, 0x8000_000an, 'VINTF1.LVCMDQ0.BASE[31:0] = 0x8000000a (LOG2SIZE 10)'],
    [0x4n, 4, 0x1n, 'VINTF1.LVCMDQ0.BASE[63:32] = 0x1'],
  ])('page 1 + 0x%s, %i bytes', (offset, width, value, text) => expect(accessText(offset, width, value, page1(1), G)).toBe(text));
  test.each([
    [0x14n, 4, 2n, 'CMDQV.VI_ERR_MAP_0 = 0x2 (VINTF 1)'],
    [0x18n, 4, 5n, 'CMDQV.VI_ERR_MAP_1 = 0x5 (VINTF 32,34)'],
    [0x30n, 4, 1n << 31n, 'CMDQV.CMDQ_ERR_MAP_3 = 0x80000000 (VCMDQ 127)'],
    [0x11c8n, 8, 3n, 'VINTF1.LVCMDQ_ERR_MAP_1 = 0x3 (LVCMDQ 64,65)'],
    [0x11ccn, 4, 3n, 'VINTF1.LVCMDQ_ERR_MAP_1[63:32] = 0x3 (LVCMDQ 96,97)'],
    [0x208n, 4, 0x8001n, 'CMDQV.CMDQ_ALLOC_2 = 0x8001 (ALLOC VINTF 1)'],
    [0x1100n, 4, 0x7n, 'VINTF1.CONFIG = 0x7 (EN VMID 3)'],
    [0x1140n, 4, 0x11n, 'VINTF1.SID_MATCH_0 = 0x11 (ENABLE VIRT_SID 0x8)'],
  ])('0x%s, %i bytes', (offset, width, value, text) => expect(accessText(offset, width, value, { kind: 'aperture' }, G)).toBe(text));
  test('what is not known', () => {
    const base = register('BASE', 'PAGE1');
    expect(registerText(base, 0, 0xan, 0x1fn)).toBe('0xa? (LOG2SIZE 10 ADDR ?)');
    expect(registerText(base, 0, 0n, 0n)).toBe('?');
  });
});

test('an access is cut into parts that are the whole of it', () => {
  const view = fc.constantFrom<View>({ kind: 'aperture' }, page0(1), page1(0));
  fc.assert(
    fc.property(
      fc.bigInt({ min: -16n, max: 0x90_0000n }),
      fc.nat(70),
      fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
      view,
      (offset, width, value, v) => {
        const cut = pieces(offset, width, v, G);
        const covered = cut.reduce((at, p) => (p.at === at && p.bytes > 0 ? at + p.bytes : -1), 0);
        expect(covered).toBe(Math.min(width, 64));
        const again = cut.reduce((sum, p) => sum | (pieceValue(p, value) << BigInt(8 * p.at)), 0n);
        expect(again).toBe(BigInt.asUintN(8 * Math.min(width, 64), value));
        expect(() => accessText(offset, width, value, v, G)).not.toThrow();
      },
    ),
  );
});

test('the text of a value names each of its set bits once', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...REGISTERS.filter((r) => r.fields[0]!.format === 'set')),
      fc.bigInt({ min: 1n, max: 2n ** 32n - 1n }),
      (r, value) => {
        const text = registerText(r, 0, value);
        expect(text).toContain(`${r.fields[0]!.name} ${setBits(value).join(',')})`);
        expect(implemented(r) & value).toBe(value);
      },
    ),
  );
});
