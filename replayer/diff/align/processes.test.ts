import { describe, expect, test } from 'vitest';
import { uapiTable } from '../../../hw/uapi/table.ts';
import { Start } from '../../../store/frame.ts';
import { Script } from '../../script.ts';
import { compareStreams } from '../stream/differ.ts';
import { NearSide } from '../stream/side.ts';
import { compared, differencesOf } from '../testing.ts';

const table = uapiTable('linux-7.2');

/** What a child does, and how it ends. */
type Work = (s: Script) => void;

/** IOMMU_OPTIONs that say who it is; `early`: it ends at the first call, which fails. */
const numbered =
  (n: number, calls: number, early = false): Work =>
  (s) => {
    s.open(3);
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, early ? {} : { out_ioas_id: 1 }, early ? { error: 22 } : {});
    if (early) return;
    for (let i = 0; i < calls; i++) s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: 1, val64: 1000 * n + i });
  };

/** A harness: it forks a child for each, that forks the one that works. `first` is the pid of the first child. */
function harness(works: readonly Work[], first: number, order = works.map((_, i) => i)): Script {
  const s = new Script(table, first - 1);
  s.start();
  for (const i of works.keys()) s.fork(first + 2 * i);
  // which of them runs first is up to the scheduler
  for (const i of order) {
    s.pid = first + 2 * i;
    s.start(Start.FORK, first - 1);
    s.fork(first + 2 * i + 1);
    s.pid = first + 2 * i + 1;
    s.start(Start.FORK, first + 2 * i);
    works[i]!(s);
    s.exit();
    s.pid = first + 2 * i;
    s.exit();
  }
  s.pid = first - 1;
  s.exit();
  return s;
}
const differences = (a: Script, b: Script): string[] =>
  differencesOf(compared({ source: a.source(), table }, { source: b.source(), table }));

describe('which process is which', () => {
  const works = [numbered(1, 50), numbered(2, 50), numbered(3, 90), numbered(4, 400)];

  test('by who forked it, in whatever order they run', () => {
    expect(differences(harness(works, 100), harness(works, 900, [3, 1, 0, 2]))).toEqual([]);
  });

  test('children that do the same are told apart by the order in which they were forked', () => {
    const same = [numbered(1, 5), numbered(1, 5), numbered(1, 5)];
    expect(differences(harness(same, 100), harness(same, 900, [2, 0, 1]))).toEqual([]);
  });

  test('one that ends early is the one that goes on, if nothing else tells them apart', () => {
    const flat = (of: readonly Work[]): Script => {
      const s = new Script(table, 99);
      s.start();
      for (const i of of.keys()) s.fork(100 + i);
      of.forEach((work, i) => {
        s.pid = 100 + i;
        s.start(Start.FORK, 99);
        work(s);
        s.exit(i);
      });
      return s;
    };
    const found = differences(flat(works.map((_, i) => numbered(i + 1, 0, true))), flat(works));
    expect(found.filter((f) => f.startsWith('-'))).toEqual([]);
    expect(found.filter((f) => f.startsWith('~')).length).toBe(works.length);
  });

  test('one that ends early is the one that goes on', () => {
    const early = works.map((_, i) => numbered(i + 1, 0, true));
    const found = differences(harness(early, 100), harness(works, 100));
    const calls = 50 + 50 + 90 + 400;
    expect(found.filter((f) => f.startsWith('-'))).toEqual([]);
    expect(found.filter((f) => f.startsWith('~')).map((f) => f.replace(/^\S+ \S+ /, ''))).toEqual(works.map(() => 'errno ret out_ioas_id'));
    expect(found.filter((f) => f.startsWith('+')).length).toBe(calls);
  });

  test('in another order, on a kernel that answers one call of each otherwise', async () => {
    const asking =
      (n: number, errno: number): Work =>
      (s) => {
        numbered(n, 40)(s);
        s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: 1, val64: 9 }, {}, { error: errno });
      };
    const [a, b] = [
      harness(
        [1, 2, 3, 4].map((n) => asking(n, 22)),
        100,
      ),
      harness(
        [4, 3, 2, 1].map((n) => asking(n, 95)),
        900,
      ),
    ];
    const found = differences(a, b);
    expect(found.map((f) => f.replace(/^(\S) \S+ /, '$1 '))).toEqual([1, 2, 3, 4].map(() => '~ errno'));
    const side = (s: Script): NearSide => new NearSide(s.source(), table);
    const streams = await compareStreams(side(a), side(b));
    expect(streams.differences.map((d) => d.kind)).toEqual([1, 2, 3, 4].map(() => 'changed'));
  });

  test('one more is one more', () => {
    const more = [...works.slice(0, 2), numbered(9, 7), ...works.slice(2)];
    const found = differences(harness(works, 100), harness(more, 500));
    // the fork of each, START and exit of both, the fork between them, open, alloc and seven calls
    expect(found.length).toBe(1 + 2 + 2 + 1 + 2 + 7);
    expect(found.every((f) => f.startsWith('+'))).toBe(true);
  });
});
