/** The difference matrix of the posted series, row by row: memory under a HW queue, and UNMAP of it. */
import { describe, expect, test } from 'vitest';
import { brokenRules } from './invariants.ts';
import { Grace, MEMORY, MEMORY_BYTES, Mock, row, type Series, same } from './series-testing.ts';

const PAGE = 0x1000;
/** A machine with a queue on the first page of its memory. */
function machine(dialect: Series): Grace {
  const g = new Grace(dialect).known();
  expect(g.vintf()).toBe('');
  expect(g.queue()).toBe('');
  return g;
}

const errnos = ['', 'EDEADLK', 'EDEADLK', 'EDEADLK', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY', 'EBUSY'] as const;
const rules = ['', 'unmap.pinned', 'unmap.pinned', 'unmap.pinned', 'unmap.locked', 'unmap.pinned', 'unmap.pinned', 'unmap.locked'] as const;

describe('UNMAP of the area under a queue', () => {
  test.each(row(...errnos))('%s: "%s"', (dialect, errno) => {
    expect(machine(dialect).unmap()).toBe(errno);
  });
  test.each(row(...errnos).slice(1))('%s, mock: "%s"', (dialect, errno) => {
    const m = new Mock(dialect);
    expect(m.queue()).toBe('');
    expect(m.unmap()).toBe(errno);
  });
  test.each(row(...rules, 'unmap.locked', 'unmap.locked').slice(1))('%s says which queue: %s', (dialect, rule) => {
    const g = machine(dialect);
    const ask = g.p.ask(g.fd, 'IOMMU_IOAS_UNMAP', { ioas_id: 2, iova: MEMORY, length: MEMORY_BYTES });
    expect(ask?.refusal).toMatchObject({ rule, wanted: 'the queue destroyed first', because: [{ type: 'HW_QUEUE', id: g.queueId() }] });
  });
});

describe('UNMAP of everything', () => {
  test.each(row(...errnos))('%s: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.p.call(g.fd, 'IOMMU_IOAS_UNMAP', { ioas_id: 2, iova: 0, length: 2n ** 64n - 1n })).toBe(errno);
  });
});

describe('UNMAP of a part of the area', () => {
  // a lock is looked at before the range, pins after it
  test.each(row('ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'EBUSY', 'ENOENT', 'ENOENT', 'EBUSY', 'EBUSY', 'EBUSY'))(
    '%s: %s',
    (dialect, errno) => {
      expect(machine(dialect).unmap(MEMORY, PAGE)).toBe(errno);
    },
  );
});

describe('UNMAP of another area of the same IOAS', () => {
  test.each(same(''))('%s: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.memory(0x400_0000, 0x800_0000)).toBe('');
    expect(g.unmap(0x400_0000)).toBe(errno);
  });
});

describe('an area before the locked one', () => {
  test.each(row(...errnos).slice(1))('%s: is gone though the call fails', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.memory(MEMORY - MEMORY_BYTES, 0x800_0000)).toBe('');
    expect(g.unmap(MEMORY - MEMORY_BYTES, 2 * MEMORY_BYTES)).toBe(errno);
    expect(g.unmap(MEMORY - MEMORY_BYTES)).toBe('ENOENT');
  });
});

describe('what releases the memory', () => {
  test.each(same(''))('%s: DESTROY of the queue: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    expect(g.destroy(g.queueId())).toBe('');
    expect(g.unmap()).toBe(errno);
    expect(brokenRules(g.p.model.kernel)).toEqual([]);
  });
  test.each(row(...errnos).slice(1))('%s: with two queues, not that of one of them: "%s"', (dialect, errno) => {
    const g = machine(dialect);
    const first = g.queueId();
    expect(g.queue({ index: 1, base: MEMORY + PAGE })).toBe('');
    const second = g.queueId();
    expect(g.destroy(second)).toBe('');
    expect(g.unmap()).toBe(errno);
    expect(g.destroy(first)).toBe('');
    expect(g.unmap()).toBe('');
  });
  test.each(same(''))('%s: the end of the context: "%s"', (dialect) => {
    const g = machine(dialect);
    g.p.close(g.vfio);
    g.p.close(g.fd);
    expect(g.p.model.kernel.contexts.size).toBe(0);
  });
});

describe('after an UNMAP that failed', () => {
  // giving up with EDEADLK leaves the area barred: nobody pins it any more, though it stays mapped
  test.each(row('', 'EINVAL', 'EINVAL', 'EINVAL', '', '', '', '', '', '').slice(1))(
    '%s: another queue on the same area: "%s"',
    (dialect, errno) => {
      const g = machine(dialect);
      expect(g.unmap()).not.toBe('');
      expect(g.queue({ index: 1, base: MEMORY + PAGE })).toBe(errno);
    },
  );
});

describe('a mock access that pins, in an IOAS with a queue', () => {
  const pinned = (dialect: Series): Mock => {
    const m = new Mock(dialect);
    expect(m.memory(0x400_0000, 0x800_0000)).toBe('');
    expect(m.p.call(m.fd, 'IOMMU_TEST_CMD', { op: 5, id: 1, 'create_access.flags': 1 })).toBe('');
    const fd = Math.max(...m.p.fds.keys());
    const pages = { op: 7, id: fd, 'access_pages.iova': 0x400_0000, 'access_pages.length': PAGE };
    expect(m.p.call(m.fd, 'IOMMU_TEST_CMD', pages)).toBe('');
    return m;
  };
  // two postings asked for any internal access of the IOAS, not for one that holds this area
  test.each(row('', '', '', '', '', 'EBUSY', 'EBUSY', '', '', '').slice(1))('%s: UNMAP of what the access pins: "%s"', (dialect, errno) => {
    const m = pinned(dialect);
    expect(m.queue()).toBe('');
    expect(m.unmap(0x400_0000)).toBe(errno);
  });
  test.each(same('').slice(1))('%s: without the queue: "%s"', (dialect, errno) => {
    expect(pinned(dialect).unmap(0x400_0000)).toBe(errno);
  });
});
