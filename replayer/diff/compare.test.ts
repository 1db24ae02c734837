import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../../hw/uapi/table.ts';
import { encodeFrame, type Frame, Kind, Start } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { tableOf } from '../fold.ts';
import { framesSource, Script } from '../script.ts';
import { type Comparison, How, type Side } from './compare.ts';
import { compared, differencesOf, framesOf, renumbered, withOtherRanges } from './testing.ts';

const readers: TraceReader[] = [];
afterAll(() => {
  for (const r of readers) r.close();
});
function fixture(name: string): Side & { readonly reader: TraceReader } {
  const reader = TraceReader.open(fileURLToPath(new URL(`../../fixtures/traces/${name}`, import.meta.url)));
  readers.push(reader);
  return { source: reader, table: tableOf(reader.meta), reader };
}
const sideOf = (frames: readonly Buffer[], like: Side): Side => ({
  source: framesSource(frames, like.table.dialect),
  table: like.table,
});

const SHIFT = { pid: 4000, fd: 20, file: 50, id: 1000, address: 0x7000_0000n, time: 12_345n };

describe.each([
  'vmm-7.2.irr',
  'vmm-6.12.irr',
  'vfio-7.2.irr',
  'selftest-basic-7.2.irr',
  'selftest-viommu-7.2.irr',
  'selftest-pasid-7.2.irr',
])('%s', (name) => {
  test('is equal to itself, event by event', () => {
    const c = compared(fixture(name), fixture(name));
    expect(c.equal).toBe(true);
    expect([...c.a]).toEqual([...c.b]);
    expect(c.rows).toBeGreaterThan(20);
  });

  test('is equal to itself with other pids, descriptors, ids, addresses and times', () => {
    const a = fixture(name);
    const frames = framesOf(a.source);
    const b = renumbered(frames, uapiTable('linux-7.2'), SHIFT);
    expect(b.some((f, i) => !f.equals(encodeFrame(frames[i]!)))).toBe(true);
    expect(differencesOf(compared(a, sideOf(b, a)))).toEqual([]);
  });

  test('an errno, wherever it is changed, is the difference', () => {
    const a = fixture(name);
    const frames = framesOf(a.source);
    const failed = frames.filter((f) => f.error !== 0);
    for (const f of [failed[0], failed[failed.length >> 1], failed.at(-1)]) {
      if (f === undefined) continue;
      const edited = frames.map((o) => encodeFrame(o === f ? { ...o, error: o.error === 95 ? 22 : 95 } : o));
      expect(differencesOf(compared(a, sideOf(edited, a)))).toEqual([`~ ${f.seq}/${f.seq} errno`]);
    }
  });
});

test('two kernels: what the older one refuses, and what a program does then', () => {
  const c = compared(fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'));
  const found = differencesOf(c);
  // probes of what came after 6.12: VIOMMU_ALLOC, IOAS_MAP_FILE and their like
  expect(found.slice(0, 4)).toEqual(['~ 3/3 errno', '~ 24/24 errno', '~ 25/25 errno ret iova', '~ 26/26 errno']);
  const first = c.fields(c.nextRun(-1, 1)).filter((f) => f.differs);
  expect(first).toEqual([{ name: 'errno', answer: true, a: '25', b: '95', differs: true }]);
  // the vIOMMU part of the program runs on the newer kernel only
  expect(found.filter((f) => f.startsWith('+')).length).toBeGreaterThan(100);
  expect(found.filter((f) => f.startsWith('-'))).toEqual([]);
});

test('rows and runs lead from one to the other', () => {
  const c = compared(fixture('vmm-6.12.irr'), fixture('vmm-7.2.irr'));
  const runs: number[] = [];
  for (let row = c.nextRun(-1, 1); row >= 0; row = c.nextRun(row, 1)) runs.push(row);
  expect(runs).toEqual([...c.runs]);
  const back: number[] = [];
  for (let row = c.nextRun(c.rows, -1); row >= 0; row = c.nextRun(row, -1)) back.unshift(row);
  expect(back).toEqual(runs);
  expect(c.runOf(0)).toBe(0);
  expect(runs.map((row) => c.runOf(row))).toEqual(runs.map((_, i) => i + 1));
  for (let seq = 1; seq <= 60; seq++) expect(c.a[c.rowOf('a', seq)]).toBe(seq);
});

// hand-made sessions

const table = uapiTable('linux-7.2');

/** What a kernel may choose. */
interface Choice {
  readonly id: number;
  readonly iova: number;
  readonly fd: number;
  readonly va: number;
  readonly offset: number;
}
const ONE: Choice = { id: 1, iova: 0x1000, fd: 3, va: 0x10_0000, offset: 0x1000 };
const OTHER: Choice = { id: 71, iova: 0x9_9000, fd: 9, va: 0x7f00_0000, offset: 0x5000 };

const scripted = (k: Choice, play: (s: Script, k: Choice) => void): Side => {
  const s = new Script(table, 100 + k.id);
  s.start();
  s.open(k.fd);
  play(s, k);
  s.exit();
  return { source: s.source(), table };
};
const differences = (left: (s: Script, k: Choice) => void, right = left): string[] =>
  differencesOf(compared(scripted(ONE, left), scripted(OTHER, right)));

const ioas = (s: Script, k: Choice, n = 0): number => s.ioctl(k.fd, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: k.id + n });
const map = (s: Script, k: Choice, at: number, n = 0): number =>
  s.ioctl(k.fd, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: k.id + n, user_va: k.va, length: 0x4000 }, { iova: k.iova + at });
const unmap = (s: Script, k: Choice, at: number, n = 0): number =>
  s.ioctl(k.fd, 'IOMMU_IOAS_UNMAP', { ioas_id: k.id + n, iova: k.iova + at, length: 0x4000 }, { length: 0x4000 });
const destroy = (s: Script, k: Choice, n = 0): number => s.ioctl(k.fd, 'IOMMU_DESTROY', { id: k.id + n });

describe('what is the kernel’s choice', () => {
  test('an IOVA that it chose is known by its mapping', () => {
    expect(
      differences((s, k) => {
        ioas(s, k);
        map(s, k, 0);
        map(s, k, 0x8000);
        unmap(s, k, 0x8000);
        unmap(s, k, 0);
      }),
    ).toEqual([]);
  });

  test('so is the one that a copy is made from, in its own address space', () => {
    const copied = (from: number) => (s: Script, k: Choice) => {
      ioas(s, k);
      ioas(s, k, 1);
      map(s, k, 0);
      const asked = { flags: 7, dst_ioas_id: k.id + 1, src_ioas_id: k.id, length: 0x1000, dst_iova: 0x9000 };
      s.ioctl(k.fd, 'IOMMU_IOAS_COPY', { ...asked, src_iova: k.iova + from }, { dst_iova: 0x9000 });
    };
    expect(differences(copied(0x1000))).toEqual([]);
    expect(differences(copied(0x1000), copied(0x2000))).toEqual([expect.stringMatching(/^~ 6\/6 src_iova/)]);
  });

  test('another mapping is another thing, whatever its address', () => {
    const play =
      (first: number, second: number) =>
      (s: Script, k: Choice): void => {
        ioas(s, k);
        map(s, k, 0);
        map(s, k, 0x8000);
        unmap(s, k, first);
        unmap(s, k, second);
      };
    expect(differences(play(0, 0x8000), play(0x8000, 0))).toEqual(expect.arrayContaining([expect.stringMatching(/^~ 6\/6 iova/)]));
  });

  test('an IOVA that the program chose counts as it is', () => {
    const fixed = (at: number) => (s: Script, k: Choice) => {
      ioas(s, k);
      s.ioctl(k.fd, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: k.id, user_va: k.va, length: 0x4000, iova: at }, { iova: at });
    };
    expect(differences(fixed(0x4000), fixed(0x4000))).toEqual([]);
    // the answer repeats what was asked
    expect(differences(fixed(0x4000), fixed(0x5000))).toEqual(['~ 4/4 iova iova']);
  });

  test('an offset for mmap is a token; an address of the program is one too', () => {
    expect(differences((s, k) => s.mmap(k.fd, k.va, 0x1000, k.offset))).toEqual([]);
  });

  test('the object is meant, not its number', () => {
    const two = (s: Script, k: Choice): void => {
      ioas(s, k, 0);
      ioas(s, k, 1);
    };
    const second = (s: Script, k: Choice): void => {
      two(s, k);
      destroy(s, k, 1);
    };
    expect(differences(second)).toEqual([]);
    const found = differences(
      (s, k) => {
        two(s, k);
        map(s, k, 0, 0);
        destroy(s, k, 0);
      },
      (s, k) => {
        two(s, k);
        map(s, k, 0, 0);
        destroy(s, k, 1);
      },
    );
    expect(found).toEqual(['~ 6/6 id']);
  });

  test('an object more shifts all ids, and is the only difference', () => {
    const play =
      (more: boolean) =>
      (s: Script, k: Choice): void => {
        const n = more ? 1 : 0;
        if (more) {
          ioas(s, k, 0);
          destroy(s, k, 0);
        }
        ioas(s, k, n);
        map(s, k, 0, n);
        unmap(s, k, 0, n);
        destroy(s, k, n);
      };
    expect(differences(play(false), play(true))).toEqual(['+ 3', '+ 4']);
  });
});

describe('processes', () => {
  const child = (s: Script, pid: number, work: () => void): void => {
    s.fork(pid);
    const parent = s.pid;
    s.pid = pid;
    s.start(Start.FORK, parent, '/bin/vmm');
    work();
    s.exit();
    s.pid = parent;
  };
  const maps = (s: Script, k: Choice, n: number) => (): void => {
    s.open(k.fd + 1);
    s.ioctl(k.fd + 1, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: k.id });
    for (let i = 0; i < n; i++) s.ioctl(k.fd + 1, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: k.id, val64: i });
  };

  test('one more in the middle is not taken for another', () => {
    const play = (sizes: readonly number[]) => (s: Script, k: Choice) => {
      sizes.forEach((n, i) => {
        child(s, 500 + k.id + i, maps(s, k, n));
      });
    };
    expect(differences(play([2, 9, 4]))).toEqual([]);
    const found = differences(play([2, 9, 4]), play([2, 6, 9, 4]));
    expect(found.every((d) => d.startsWith('+'))).toBe(true);
    // fork, start, open, alloc, six calls, exit
    expect(found.length).toBe(11);
  });
});

/** A made-up session: what is done is drawn, numbers follow from the choice. */
function play(draws: readonly number[], s: Script, k: Choice): void {
  let made = 1;
  ioas(s, k, 0);
  for (const d of draws) {
    const n = d % made;
    switch (d % 5) {
      case 0:
        ioas(s, k, made++);
        break;
      case 1:
        map(s, k, 0x1_0000 * s.seq, n);
        break;
      case 2:
        s.ioctl(k.fd, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: k.id + n, val64: d % 2 });
        break;
      case 3:
        s.ioctl(k.fd, 'IOMMU_DESTROY', { id: k.id + n }, {}, { error: 16 });
        break;
      default:
        s.ioctl(k.fd, 'IOMMU_IOAS_IOVA_RANGES', { ioas_id: k.id + n, num_iovas: 0 }, { num_iovas: 3, out_iova_alignment: 4096 });
    }
  }
}
const draws = fc.array(fc.nat(1000), { minLength: 3, maxLength: 40 });

const changedAt = (c: Comparison, seq: number): string[] =>
  c.how[c.rowOf('a', seq)] === How.CHANGED ? c.fields(c.rowOf('a', seq)).flatMap((f) => (f.differs ? [f.name] : [])) : [];

/** The events of a drawn session begin behind START and open. */
const edited = (frames: readonly Frame[], at: number, edit: (f: Frame) => Frame): Buffer[] =>
  frames.map((f) => encodeFrame(f.seq === at ? edit(f) : f));

describe('made-up sessions', () => {
  test('other numbers make no difference', () => {
    fc.assert(
      fc.property(draws, (d) => {
        expect(differences((s, k) => play(d, s, k))).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test('an edited answer is found there, and nowhere else', () => {
    fc.assert(
      fc.property(draws, fc.nat(1000), (d, where) => {
        const a = scripted(ONE, (s, k) => play(d, s, k));
        const b = framesOf(scripted(OTHER, (s, k) => play(d, s, k)).source);
        const calls = b.filter((f) => f.kind === Kind.IOCTL && f.error !== 0);
        if (calls.length === 0) return;
        const { seq } = calls[where % calls.length]!;
        const found = differencesOf(
          compared(
            a,
            sideOf(
              edited(b, seq, (f) => ({ ...f, error: 14 })),
              a,
            ),
          ),
        );
        expect(found).toEqual([`~ ${seq}/${seq} errno`]);
      }),
      { numRuns: 100 },
    );
  });

  test('an edited output is found there', () => {
    fc.assert(
      fc.property(draws, fc.nat(1000), (d, where) => {
        const a = scripted(ONE, (s, k) => play(d, s, k));
        const b = framesOf(scripted(OTHER, (s, k) => play(d, s, k)).source);
        const calls = b.filter((f) => f.request === 0x3b84);
        if (calls.length === 0) return;
        const { seq } = calls[where % calls.length]!;
        const c = compared(a, sideOf(edited(b, seq, withOtherRanges), a));
        expect(c.differences).toBe(1);
        expect(changedAt(c, seq)).toEqual(['num_iovas']);
      }),
      { numRuns: 100 },
    );
  });

  test('a call that makes nothing and is left out is missed, and little else', () => {
    fc.assert(
      fc.property(draws, fc.nat(1000), (d, where) => {
        const a = scripted(ONE, (s, k) => play(d, s, k));
        const frames = framesOf(scripted(OTHER, (s, k) => play(d, s, k)).source);
        const calls = frames.filter((f) => f.kind === Kind.IOCTL && f.request !== 0x3b81 && f.request !== 0x3b85);
        if (calls.length === 0) return;
        const gone = calls[where % calls.length]!;
        const rest = frames.filter((f) => f !== gone).map((f, i) => encodeFrame({ ...f, seq: i + 1 }));
        const c = compared(a, sideOf(rest, a));
        const found = differencesOf(c);
        // of several that are alike any may be taken for the one; then another may seem to mean the wrong object
        const missed = found.filter((f) => f.startsWith('- ')).map((f) => framesOf(a.source)[Number(f.slice(2)) - 1]!.request);
        expect(missed).toContain(gone.request);
        expect(found.length).toBeLessThanOrEqual(3);
      }),
      { numRuns: 100 },
    );
  });
});
