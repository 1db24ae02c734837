import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesOf } from '../bits.ts';
import { COMMANDS } from '../smmuv3/commands.ts';
import { apply, type Effect, revert } from './change.ts';
import { usedOf } from './indexes.ts';
import { type Input, step } from './model.ts';
import { type CmdqvState, contradictions, digest, makeState, pendingErrors, readerOf, regs, viewQueue } from './state.ts';
import { only, SIZE } from './testing.ts';

const small = fc.integer({ min: 0, max: 2 });
const name = fc.constantFrom('a', 'b', 'c', 'd');
const value = fc.oneof(fc.bigInt({ min: 0n, max: 20n }), fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }));
const view = fc.oneof(
  fc.record({ kind: fc.constant('vintf' as const), vintf: fc.integer({ min: 0, max: 3 }), page: fc.constantFrom(0 as const, 1 as const) }),
  fc.constant({ kind: 'aperture' as const }),
);
const page0 = fc.record({ kind: fc.constant('vintf' as const), vintf: fc.constantFrom(1, 2), page: fc.constant(0 as const) });
/** offsets where registers are, and others */
const offset = fc.oneof(
  fc.tuple(fc.nat(1), fc.nat(5)).map(([q, r]) => BigInt(0x80 * q + 4 * r)),
  fc.constantFrom(0n, 0x1cn, 0x1100n, 0x1140n, 0x1200n, 0x208n, 0x5_0004n, 0x1_0104n),
  fc.bigInt({ min: 0n, max: 0x9_0000n }),
);
const width = fc.constantFrom(1, 2, 4, 4, 4, 8);

/** the guest gives GERROR's value back */
type Acknowledge = { readonly kind: 'acknowledge'; readonly lvcmdq: number };

const input: fc.Arbitrary<Input | Acknowledge> = fc.oneof(
  { arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), lvcmdq: fc.nat(1) }), weight: 4 },
  fc.record({ kind: fc.constant('viommu-alloc' as const), viommu: name, vmid: fc.option(fc.nat(9), { nil: undefined }) }),
  { arbitrary: fc.record({ kind: fc.constant('viommu-destroy' as const), viommu: name }), weight: 1 },
  fc.record({
    kind: fc.constant('vdevice-alloc' as const),
    viommu: name,
    vdevice: name,
    vsid: fc.nat(9),
    psid: fc.option(fc.nat(99), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant('vdevice-destroy' as const), viommu: name, vdevice: name }),
  {
    arbitrary: fc.record({
      kind: fc.constant('queue-alloc' as const),
      viommu: name,
      key: name,
      lvcmdq: fc.nat(1),
      base: fc.constantFrom(0x1000n, 0x2000n),
      physical: fc.boolean(),
      length: fc.constantFrom(32n, 64n, 0x100n, 0x8000n, 24n),
    }),
    weight: 4,
  },
  fc.record({ kind: fc.constant('queue-destroy' as const), viommu: name, lvcmdq: fc.nat(1) }),
  {
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      view: page0,
      offset: fc.constantFrom(8n, 0x88n),
      width: fc.constant(4),
      value: fc.constantFrom(1n, 1n, 1n, 0n),
    }),
    weight: 5,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      view: page0,
      offset: fc.constantFrom(0n, 4n, 4n, 0x84n, 0x14n, 0x94n),
      width: fc.constant(4),
      value,
    }),
    weight: 6,
  },
  { arbitrary: fc.record({ kind: fc.constant('store' as const), view, offset, width, value }), weight: 2 },
  { arbitrary: fc.record({ kind: fc.constant('run' as const), commands: fc.constantFrom(1, 3, 100) }), weight: 8 },
  fc.record({
    kind: fc.constant('fault' as const),
    vintf: small,
    lvcmdq: fc.nat(1),
    fault: fc.constantFrom('atc-timeout' as const, 'cons-write' as const),
  }),
);
/** what a program reads or a recorder samples may contradict everything */
const observed: fc.Arbitrary<Input> = fc.oneof(
  fc.record({ kind: fc.constant('load' as const), view, offset, width, value }),
  fc.record({ kind: fc.constant('sample' as const), vintf: small, lvcmdq: fc.nat(1), page0: fc.uint8Array({ maxLength: 0x20 }) }),
);

/** a command for each entry, some pages without memory */
const memoryOf = (opcodes: readonly number[]) => (address: bigint) => {
  const n = Number((address >> 4n) % BigInt(opcodes.length));
  const opcode = opcodes[n]!;
  return opcode === 0xff ? undefined : bytesOf([BigInt(opcode) | (BigInt(n % 4) << 32n), 0n]);
};
const opcodes = fc.array(
  fc.oneof({ arbitrary: fc.constantFrom(0x11, 0x12, 0x40, 0x46), weight: 20 }, fc.constantFrom(...COMMANDS.map((c) => c.opcode), 0, 0xff)),
  { minLength: 1, maxLength: 16 },
);

/** What holds whatever happens. */
function invariants(state: CmdqvState): void {
  const from = readerOf(state);
  let withError = 0n;
  for (const v of state.vintfs.values()) {
    const map = from.get(regs.vintf(v.index, 'LVCMDQ_ERR_MAP'));
    for (const q of v.queues) {
      const view = viewQueue(from, v.index, q.lvcmdq);
      const pending = pendingErrors(from.get(regs.page0(v.index, q.lvcmdq, 'GERROR')), from.get(regs.page0(v.index, q.lvcmdq, 'GERRORN')));
      // a reason only while the error is pending
      if (view.err !== undefined && view.err > 0 && pending !== undefined) expect(pending & 1).toBe(1);
      const bit = 1n << BigInt(q.lvcmdq);
      if (pending !== undefined && (map.known & bit) !== 0n) expect((map.value & bit) !== 0n).toBe(pending !== 0);
      if (pending !== undefined && pending !== 0) withError |= 1n << BigInt(v.index);
      expect(view.log2).toBe(q.log2);
      expect(q.done).toBeGreaterThanOrEqual(q.unsynced ?? 0);
    }
    expect(v.queues.map((q) => q.lvcmdq)).toEqual([...new Set(v.queues.map((q) => q.lvcmdq))].sort());
    expect(new Set(v.sids.map((s) => s.slot)).size).toBe(v.sids.length);
  }
  const all = from.get(regs.cmdqv('VI_ERR_MAP'));
  expect(all.value & withError).toBe(withError);
  expect(new Set([...state.vintfs.values()].map((v) => v.key)).size).toBe(state.vintfs.size);
  expect([...state.registers].filter(([, r]) => (r.value & ~r.known) !== 0n || r.from === 'unknown')).toEqual([]);
}

/** CONS goes towards PROD, by as many commands as were executed, and not past it. */
function progress(before: CmdqvState, after: CmdqvState, effects: readonly Effect[]): void {
  for (const v of after.vintfs.values())
    for (const q of v.queues) {
      const [a, b] = [viewQueue(readerOf(before), v.index, q.lvcmdq), viewQueue(readerOf(after), v.index, q.lvcmdq)];
      if (a.used === undefined || b.used === undefined) continue;
      const commands = only(effects, 'command').filter((c) => c.vintf === v.index && c.lvcmdq === q.lvcmdq);
      const done = commands.filter((c) => c.error === 0).length;
      expect(usedOf(b.cons!, a.cons!, q.log2)).toBe(done % 2 ** (q.log2 + 1));
      expect(b.used).toBe(a.used - done);
      // a queue stops at the first that fails
      expect(commands.findIndex((c) => c.error !== 0)).toBe(commands.at(-1)?.error ? commands.length - 1 : -1);
      if (a.errors !== undefined && (a.errors & 1) === 1) expect(commands).toEqual([]);
    }
}

const copy = (s: CmdqvState): CmdqvState => ({ size: s.size, registers: new Map(s.registers), vintfs: new Map(s.vintfs) });

/** a guest that is up, with two queues */
const start: readonly Input[] = [
  { kind: 'reset' },
  { kind: 'viommu-alloc', viommu: 'a', vmid: 1 },
  { kind: 'vdevice-alloc', viommu: 'a', vdevice: 'a', vsid: 0, psid: 9 },
  ...[0, 1].flatMap((lvcmdq): Input[] => [
    { kind: 'queue-alloc', viommu: 'a', key: `q${lvcmdq}`, lvcmdq, base: 0x1000n, physical: true, length: 64n },
    { kind: 'store', view: { kind: 'vintf', vintf: 1, page: 0 }, offset: BigInt(0x80 * lvcmdq + 8), width: 4, value: 1n },
  ]),
];

function acknowledge(state: CmdqvState, lvcmdq: number): Input {
  const { value } = readerOf(state).get(regs.page0(1, lvcmdq, 'GERROR'));
  return { kind: 'store', view: { kind: 'vintf', vintf: 1, page: 0 }, offset: BigInt(0x80 * lvcmdq + 0x14), width: 4, value };
}

function play(
  inputs: readonly (Input | Acknowledge)[],
  words: readonly number[],
  check: (before: CmdqvState, after: CmdqvState, e: readonly Effect[], i: Input) => void,
): CmdqvState {
  const state = makeState(SIZE);
  const memory = memoryOf(words);
  for (const wanted of [...start, ...inputs]) {
    const i = wanted.kind === 'acknowledge' ? acknowledge(state, wanted.lvcmdq) : wanted;
    const taken = [...state.vintfs.values()].some((v) => v.key === (i as { viommu?: string }).viommu);
    if (i.kind === 'viommu-alloc' && taken) continue;
    const before = copy(state);
    const effects = step(state, i, memory);
    expect(
      [...state.registers].every(([key, v]) => before.registers.get(key) === v) && state.registers.size === before.registers.size,
    ).toBe(true);
    apply(state, effects);
    check(before, state, effects, i);
  }
  return state;
}

let executed = 0;
let failures = 0;
let recovered = 0;

test('whatever a guest does, the hardware keeps its rules', () => {
  fc.assert(
    fc.property(fc.array(input, { maxLength: 60, size: 'max' }), opcodes, (inputs, words) => {
      play(inputs, words, (before, after, effects, i) => {
        invariants(after);
        if (i.kind === 'run') progress(before, after, effects);
        executed += only(effects, 'command').filter((c) => c.error === 0).length;
        failures += only(effects, 'command').filter((c) => c.error !== 0).length;
        const pending = (s: CmdqvState): number => [0, 1].filter((l) => (viewQueue(readerOf(s), 1, l).errors ?? 0) !== 0).length;
        if (i.kind === 'store' && pending(after) < pending(before)) recovered++;
      });
    }),
    { numRuns: 150 },
  );
  // the inputs above reach what they are for
  for (const count of [executed, failures, recovered]) expect(count).toBeGreaterThan(20);
});

test('what is applied can be taken back, step by step; the same inputs give the same', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(input, observed), { maxLength: 40, size: 'max' }), opcodes, (inputs, words) => {
      const done: (readonly Effect[])[] = [];
      const digests: string[] = [];
      const state = play(inputs, words, (before, _after, effects) => {
        digests.push(digest(before));
        done.push(effects);
      });
      const again = play(inputs, words, () => {});
      expect(digest(again)).toBe(digest(state));
      expect(contradictions(again, state)).toEqual([]);
      while (done.length > 0) {
        revert(state, done.pop()!);
        expect(digest(state)).toBe(digests.pop());
      }
    }),
    { numRuns: 40 },
  );
});
