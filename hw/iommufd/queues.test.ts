/** write(2) of a fault queue: what counts, what is refused, and where its memory ends. */
import { describe, expect, test } from 'vitest';
import { writeFault } from './queues.ts';
import type { Fault, FaultGroup } from './state.ts';
import { Program } from './testing.ts';

const group = {} as FaultGroup;

/** A queue with groups 1 and 2 read and not answered. */
function queue(): Fault {
  const p = new Program('linux-7.2');
  const fd = p.open();
  expect(p.call(fd, 'IOMMU_FAULT_QUEUE_ALLOC')).toBe('');
  const fault = [...p.fds.get(fd)!.context!.objects.values()][0] as Fault;
  fault.answered.set(1, group).set(2, group);
  return fault;
}

/** Answers: cookie, code. */
function answers(...pairs: readonly (readonly [cookie: number, code: number])[]): Uint8Array {
  return new Uint8Array(new Uint32Array(pairs.flat()).buffer);
}

describe('write(2) of a fault queue', () => {
  test.each([
    ['all of them', answers([1, 0], [2, 1]), 16, '', 16n],
    ['no whole number of answers', answers([1, 0]), 9, 'ESPIPE', -1n],
    ['no such code', answers([1, 2]), 8, 'EINVAL', -1n],
    ['no such cookie', answers([7, 0]), 8, 'EINVAL', -1n],
    ['the same one twice', answers([1, 0], [1, 0]), 16, '', 8n],
    ['what came before a wrong one counts', answers([1, 0], [7, 0]), 16, '', 8n],
    ['memory that cannot be read', answers(), 16, 'EFAULT', -1n],
    ['memory that ends within the first', answers([1, 0]).subarray(0, 5), 8, 'EFAULT', -1n],
    ['what can be read counts', answers([1, 0]), 16, '', 8n],
    ['nothing', answers(), 0, '', 0n],
  ])('%s', (_, bytes, count, errno, ret) => {
    const fault = queue();
    const said = writeFault(fault, bytes, count);
    expect([said.errno, said.ret]).toEqual([errno, ret]);
    said.commit();
    expect(fault.answered.size).toBe(2 - Math.max(0, Number(ret) / 8));
  });
});
