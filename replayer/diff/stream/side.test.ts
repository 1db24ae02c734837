import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { StoreError } from '../../../store/errors.ts';
import { TraceReader } from '../../../store/read.ts';
import { tableOf } from '../../fold.ts';
import { compareStreams } from './differ.ts';
import { FarSide, NearSide } from './side.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const trace = (name: string): string => `${root}fixtures/traces/${name}`;
/** The thread as tsc writes it, and as a part of the program. */
const PROGRAMS = [`${root}dist/replayer/diff/stream/side-worker.js`, `${root}dist/bin/side-worker.js`];
const built = PROGRAMS.every((p) => existsSync(p));
if (!built) console.error('replayer/diff/side.test.ts: skipped, the program was not built');

const opened: { close(): void | Promise<void> }[] = [];
afterAll(async () => {
  for (const o of opened) await o.close();
});
function near(name: string): NearSide {
  const reader = TraceReader.open(trace(name));
  opened.push(reader);
  return new NearSide(reader, tableOf(reader.meta));
}
function far(program: string, path: string): FarSide {
  const side = new FarSide({ path, last: Number.MAX_SAFE_INTEGER }, pathToFileURL(program));
  opened.push(side);
  return side;
}

describe.skipIf(!built).each(PROGRAMS.map((p) => [p.slice(root.length), p] as const))('a thread of its own, %s', (_, program) => {
  test('reads what is read here', async () => {
    const [here, there] = [near('vmm-7.2.irr'), far(program, trace('vmm-7.2.irr'))];
    const digest = await there.digest();
    expect(digest).toEqual(await here.digest());
    expect(digest.events).toBeGreaterThan(100);
    const { lane } = digest.processes[0]!.lanes[0]!;
    const stretches = [{ lane, first: 5, last: 40 }];
    expect(await there.records(stretches)).toEqual(await here.records(stretches));
  });

  test('two traces, each in its thread', async () => {
    const here = await compareStreams(near('vmm-6.12.irr'), near('vmm-7.2.irr'));
    expect(await compareStreams(far(program, trace('vmm-6.12.irr')), far(program, trace('vmm-7.2.irr')))).toEqual(here);
    expect(here.differences.length).toBeGreaterThan(50);
  });

  test('a file that is no trace is said to be none, each time it is asked', async () => {
    const side = far(program, fileURLToPath(import.meta.url));
    const failures = await Promise.allSettled([side.digest(), side.digest()]);
    for (const f of failures) {
      const { reason } = f as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(StoreError);
      expect([reason.code, reason.path]).toEqual(['not-sqlite', fileURLToPath(import.meta.url)]);
      expect(reason.message).toContain('side.test.ts: not a trace');
    }
  });

  test('what is asked when the thread has ended is refused', async () => {
    const side = far(program, trace('vmm-7.2.irr'));
    const first = side.digest();
    await side.close();
    await expect(first).rejects.toThrow(/the thread that reads it has ended/);
    await expect(side.digest()).rejects.toThrow(/the thread that reads it has ended/);
  });
});
