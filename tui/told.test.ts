import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { simulate } from '../recorder/simulate.ts';
import { Script, words } from '../replayer/script.ts';
import { Timeline } from '../replayer/timeline.ts';
import { FileKind, Found, Start } from '../store/frame.ts';
import { TraceModel } from './model.ts';
import { listedEvent } from './present/event.ts';
import { type TestModel, testModel } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'irr-told-'));
const simulated = (name: string): string => {
  const path = join(folder, `${name}.irr`);
  const scenario = readFileSync(join(import.meta.dirname, `../fixtures/scenarios/${name}.scn`), 'utf8');
  simulate(scenario, { dialect: 'linux-7.2', output: path, name, tool: 'test' });
  return path;
};
const opened: TraceModel[] = [];
const open = (path: string): TraceModel => {
  const model = TraceModel.open(path);
  opened.push(model);
  return model;
};
const long: TestModel[] = [];
afterAll(() => {
  for (const model of opened) model.close();
  for (const { dispose } of long) dispose();
  rmSync(folder, { recursive: true });
});

/** Each event as the list has it, by the state before it of a timeline that goes through the log once. */
function expected(model: TraceModel): string[] {
  const timeline = new Timeline(model.reader, { table: model.table });
  return Array.from({ length: model.last }, (_, i) => {
    timeline.seek(i);
    const e = listedEvent(model.reader.frame(i + 1)!, model.contextBy(timeline.state));
    return `${e.call} ${e.args} ${e.result}`;
  });
}
function listed(model: TraceModel, seq: number): string {
  const e = model.listed(seq)!;
  return `${e.call} ${e.args} ${e.result}`;
}

test.each(['error', 'stale', 'two', 'exit', 'kvm'])('the text of an event is the same wherever the state is: %s', (name) => {
  const path = simulated(name);
  const texts = expected(open(path));
  expect(texts.join('\n')).toMatch(/VINTF\d\.LVCMDQ\d|guest /);
  const { last } = opened.at(-1)!;
  const places = fc.array(fc.tuple(fc.integer({ min: 0, max: last }), fc.integer({ min: 1, max: last })), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(places, (walk) => {
      const model = TraceModel.open(path);
      try {
        for (const [at, seq] of walk) {
          model.approach(at, Number.POSITIVE_INFINITY);
          expect(listed(model, seq)).toBe(texts[seq - 1]);
          expect(model.at).toBe(at);
        }
      } finally {
        model.close();
      }
    }),
    { numRuns: 15 },
  );
});

test('the detail of an event says what its row says', () => {
  const model = open(join(folder, 'error.irr'));
  const texts = expected(model);
  for (let seq = 1; seq <= model.last; seq++) {
    model.approach(seq, Number.POSITIVE_INFINITY);
    const e = listedEvent(model.event(seq)!, model.contextHere);
    expect(`${e.call} ${e.args} ${e.result}`).toBe(texts[seq - 1]);
  }
});

test('far from the state it is told beside the keys, once; nobody waits for what is not in view', () => {
  const s = new Script(uapiTable('linux-7.2'), 1);
  s.start(Start.EXEC, 1, '/usr/bin/vmm');
  s.open(3);
  s.ioctl(3, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: 0xbeefbeef, veventq_depth: 2 }, { out_veventq_id: 10, out_veventq_fd: 9 });
  s.found(9, FileKind.VEVENTQ, Found.CREATED);
  while (s.seq < 2999) s.ioctl(3, 'IOMMU_OPTION', { option_id: 1, op: 1, object_id: 1, val64: 1 });
  s.read(9, words(0, 0, 0x99));
  const made = testModel({ table: s.table, frames: s.frames });
  long.push(made);
  const { model } = made;
  expect([model.events([3000])[0]!.args, model.waits]).toEqual([expect.stringContaining('bytes:'), true]);
  model.events([1]);
  expect(model.waits).toBe(false);
  model.events([3000]);
  let looks = 1;
  while (!model.tell(Number.NEGATIVE_INFINITY)) looks++;
  expect(looks).toBeGreaterThan(5);
  expect([model.events([3000])[0]!.args, model.waits, model.at]).toEqual([expect.stringContaining('virt_id=0x99'), false, 0]);
});
