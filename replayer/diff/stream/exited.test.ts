import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Process } from '../../state.ts';
import { Exited } from './exited.ts';

const process = (pid: number, birth: number): Process => ({
  pid,
  parent: 0,
  exe: '',
  startTime: 0,
  live: false,
  birth,
  began: 0,
  end: birth,
  status: 0,
  origin: 'observed',
  memory: pid,
  inherits: 0,
});

test('copies are what maps of their own would be, whichever of them goes on', () => {
  const step = fc.record({ which: fc.nat(9), what: fc.constantFrom('set', 'delete', 'copy'), pid: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const pairs = [{ ours: new Exited(), map: new Map<number, Process>() }];
      steps.forEach(({ which, what, pid }, i) => {
        const { ours, map } = pairs[which % pairs.length]!;
        if (what === 'copy') pairs.push({ ours: new Exited(ours), map: new Map(map) });
        else if (what === 'set') {
          ours.set(pid, process(pid, i));
          map.set(pid, process(pid, i));
        } else expect(ours.delete(pid)).toBe(map.delete(pid));
      });
      for (const { ours, map } of pairs) {
        for (let pid = 0; pid < 5; pid++) expect([ours.has(pid), ours.get(pid)]).toEqual([map.has(pid), map.get(pid)]);
        expect([...ours].sort(([x], [y]) => x - y)).toEqual([...map].sort(([x], [y]) => x - y));
        expect(ours.size).toBe(map.size);
      }
    }),
  );
});
