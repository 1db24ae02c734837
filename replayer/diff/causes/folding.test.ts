import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { Kind } from '../../../store/frame.ts';
import { framesSource } from '../../script.ts';
import { How } from '../compare.ts';
import { OTHER, originOf } from '../meaning/links.ts';
import type { Compared, ComparedSide } from './compared.ts';
import { Folding } from './folding.ts';
import type { Difference, Sort } from './report.ts';

/** What a made-up side knows of an event; all else is nothing. */
interface Told {
  readonly names?: readonly number[];
  readonly before?: number;
  readonly process?: number;
  readonly changes?: boolean;
  readonly kind?: number;
}
interface Family {
  readonly parent?: number;
  readonly fork?: number;
  readonly first?: number;
}
interface MadeUp {
  readonly events?: Readonly<Record<number, Told>>;
  readonly processes?: Readonly<Record<number, Family>>;
  readonly ended?: Readonly<Record<number, number>>;
}
let asked = 0;
const side = ({ events = {}, processes = {}, ended = {} }: MadeUp): ComparedSide => ({
  source: framesSource([], 'linux-7.2'),
  table: uapiTable('linux-7.2'),
  lost: 0,
  names: (seq) => {
    asked++;
    return (events[seq]?.names ?? []).map((maker) => originOf(maker, OTHER));
  },
  before: (seq) => events[seq]?.before ?? 0,
  process: (seq) => events[seq]?.process ?? 0,
  changes: (seq) => events[seq]?.changes ?? false,
  kind: (seq) => events[seq]?.kind ?? Kind.IOCTL,
  parent: (process) => processes[process]?.parent ?? -1,
  fork: (process) => processes[process]?.fork ?? 0,
  first: (process) => processes[process]?.first ?? 0,
  endedBy: (thing) => ended[thing] ?? 0,
});

const difference = (a: number, b: number, sort: Sort = 'errno', call = 'X'): Difference => {
  const how = b === 0 ? How.ONLY_A : a === 0 ? How.ONLY_B : How.CHANGED;
  return { how, a, b, call, sort: how === How.ONLY_A ? 'only-a' : how === How.ONLY_B ? 'only-b' : sort };
};

function folded(differences: readonly Difference[], a: MadeUp, b: MadeUp = {}): Folding {
  const compared: Compared = {
    a: side(a),
    b: side(b),
    same: 0,
    matched: 0,
    withheld: 0,
    differences: () => differences,
    fields: () => [],
    partner: (_, seq) => seq,
  };
  const folding = new Folding(compared);
  for (const _ of folding.run());
  return folding;
}
const told = (f: Folding): (string | undefined)[] => f.links.map((link, place) => link && `${f.under[place]} ${link.by}`);

describe('a difference follows', () => {
  test('from what failed to make what it names', () => {
    expect(told(folded([difference(1, 1), difference(2, 2)], { events: { 2: { names: [1] } } }))).toEqual([undefined, '0 names']);
  });
  test('not from what both sides have made, where an output alone was another', () => {
    expect(told(folded([difference(1, 1, 'output'), difference(2, 2)], { events: { 2: { names: [1] } } })).at(1)).toBeUndefined();
  });
  test('from what ended what it names', () => {
    const ended = { [originOf(1, OTHER)]: 2 };
    expect(told(folded([difference(2, 2), difference(3, 3)], { events: { 3: { names: [1] } }, ended }))).toEqual([undefined, '0 ended']);
    // on the other side, while here it lives on
    const there = folded([difference(2, 2), difference(0, 3)], { ended }, { events: { 3: { names: [1], process: 1 } } });
    expect(told(there)).toEqual([undefined, '0 ended']);
    // an end that comes later tells nothing
    expect(
      told(folded([difference(2, 2), difference(3, 3)], { events: { 2: { names: [1] } }, ended: { [originOf(1, OTHER)]: 3 } })).at(0),
    ).toBeUndefined();
  });
  test('as the first of a process from its fork, and as an exit from what was before it there', () => {
    const events = { 2: { process: 1 }, 3: { process: 1, kind: Kind.EXIT } };
    const f = folded([difference(1, 0), difference(2, 0), difference(3, 0)], {
      events,
      processes: { 1: { parent: 0, fork: 1, first: 2 } },
    });
    expect(told(f)).toEqual([undefined, '0 process', '1 process']);
  });
  test('directly behind one, before an earlier answer; proofs before both', () => {
    const ways = [difference(1, 1), difference(2, 2, 'errno', 'Y'), difference(3, 0, 'errno')];
    expect(told(folded(ways, { events: { 3: { before: 2 } } }))[2]).toBe('1 path');
    expect(told(folded(ways, {}))[2]).toBe('0 path');
    expect(told(folded(ways, { events: { 3: { before: 2, names: [1] } } }))[2]).toBe('0 names');
    // with no answer to the same call: the latest; another process has none
    expect(told(folded([ways[1]!, ways[2]!], {}))[1]).toBe('0 path');
    expect(told(folded(ways, { events: { 3: { process: 5 } } }))[2]).toBeUndefined();
  });
  test('perhaps from what changed a thing that it names', () => {
    const events = { 1: { names: [9], changes: true }, 2: { names: [9] }, 3: { names: [8] } };
    const f = folded([difference(1, 1), difference(2, 2), difference(3, 3)], { events });
    expect([...f.under]).toEqual([-1, -1, -1]);
    expect([...f.changed]).toEqual([-1, 0, -1]);
  });
});

test('whatever a trace says: each follows from an earlier one or from none, and the questions grow with the differences', () => {
  const count = 40;
  const event = fc.record({
    names: fc.array(fc.integer({ min: 0, max: count }), { maxLength: 3 }),
    before: fc.integer({ min: 0, max: count }),
    process: fc.integer({ min: -1, max: 3 }),
    changes: fc.boolean(),
    kind: fc.constantFrom(Kind.IOCTL, Kind.EXIT, Kind.FORK),
  });
  const family = fc.record({
    parent: fc.integer({ min: -1, max: 3 }),
    fork: fc.integer({ min: 0, max: count }),
    first: fc.integer({ min: 0, max: count }),
  });
  const made = fc.record({
    events: fc.dictionary(fc.integer({ min: 1, max: count }).map(String), event),
    processes: fc.dictionary(fc.integer({ min: 0, max: 3 }).map(String), family),
    ended: fc.dictionary(
      fc.integer({ min: 1, max: count }).map((n) => String(originOf(n, OTHER))),
      fc.integer({ min: 1, max: count }),
    ),
  });
  const rows = fc.uniqueArray(fc.integer({ min: 1, max: count }), { minLength: 1, maxLength: count });
  fc.assert(
    fc.property(made, made, rows, rows, (a, b, x, y) => {
      const n = Math.max(x.length, y.length);
      const differences = Array.from({ length: n }, (_, i) => difference(x[i] ?? 0, y[i] ?? 0));
      asked = 0;
      const f = folded(differences, a, b);
      expect(asked).toBeLessThanOrEqual(10 * n);
      const causes = f.causes();
      f.under.forEach((under, place) => {
        expect(under).toBeLessThan(place);
        expect(under < 0).toBe(f.links[place] === undefined);
        expect(f.under[causes[place]!]).toBe(-1);
        expect(f.changed[place]).toBeLessThan(place);
      });
    }),
    { numRuns: 300 },
  );
});
