/** Requests and recorded answers of strangers: whatever they hold, a rule neither throws nor runs for long. */
import fc from 'fast-check';
import { test } from 'vitest';
import { DIALECTS } from '../uapi/table.ts';
import type { Observed, Request } from './call.ts';
import { mmap } from './mmap.ts';
import { Model } from './model.ts';
import { Grace, Mock, SERIES } from './series-testing.ts';
import type { OpenFile } from './state.ts';

const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max });
/** small numbers name things that there may be, others nothing */
const word = fc.oneof(
  fc.integer({ min: 0, max: 9 }),
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0x1000, 0x8000, 0xdead_beef),
);
const struct = fc.array(word, { minLength: 1, maxLength: 16 }).map((words) => new Uint8Array(Uint32Array.from(words).buffer));
const call = fc.record({
  command: fc.nat(200),
  struct,
  nested: fc.oneof(bytes(64), struct),
  answer: fc.record({
    out: fc.oneof(bytes(80), struct),
    nested: fc.oneof(bytes(80), struct),
    errno: fc.constantFrom('', '', '', 'EINVAL', 'EBUSY'),
  }),
  known: fc.boolean(),
  onDevice: fc.boolean(),
});

type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

/** Makes the calls on a machine's files. */
function play(model: Model, iommufd: OpenFile, device: OpenFile, calls: readonly Call[]): void {
  const commands = model.table.commands.filter((c) => c.target !== 'vfio-group');
  for (const [i, c] of calls.entries()) {
    const command = commands[c.command % commands.length]!;
    const request: Request = {
      target: command.target,
      file: c.onDevice || command.target === 'vfio-device' ? device : iommufd,
      request: command.request,
      arg: 3n,
      struct: { bytes: c.struct, wanted: BigInt(c.struct.length), fault: false },
      seq: i,
      process: 1,
      nested: () => ({ bytes: c.nested, wanted: BigInt(c.nested.length), fault: false }),
      fileOf: (fd) => (fd === 2 ? device : iommufd),
    };
    const observed: Observed = { errno: c.answer.errno, ret: 0n, out: c.answer.out, nested: () => c.answer.nested };
    model.decide(request, c.known ? observed : undefined)?.commit();
    mmap(iommufd.context!, model.traits, { length: 0x1000n, prot: 3, flags: 1, offset: BigInt(c.struct[0]!) << 12n });
  }
  for (const file of [...model.kernel.files.keys()]) model.close(file);
}
const limits = { numRuns: 200 };

test.each(DIALECTS)('%s, from nothing on', (dialect) => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 25 }), (calls) => {
      const model = new Model(dialect);
      play(model, model.open(1, 'iommufd'), model.open(2, 'vfio-device'), calls);
    }),
    limits,
  );
});

test.each(SERIES)('%s, on the mock driver with queues', (dialect) => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 15 }), (calls) => {
      const m = new Mock(dialect);
      if (dialect !== 'vcmdq-v1') m.queue();
      m.shown();
      play(m.p.model, m.p.fds.get(m.fd)!, m.p.model.open(99, 'vfio-device'), calls);
    }),
    limits,
  );
});

test.each(SERIES)('%s, on a machine with a queue, a vDEVICE and mappings', (dialect) => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 15 }), fc.boolean(), (calls, known) => {
      const g = known ? new Grace(dialect).known() : new Grace(dialect);
      g.vintf();
      g.queue();
      g.vdevice(7);
      g.mmap({ offset: 0, length: 0x1_0000 });
      play(g.p.model, g.p.fds.get(g.fd)!, g.p.fds.get(g.vfio)!, calls);
    }),
    limits,
  );
});
