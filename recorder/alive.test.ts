import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { recorderState } from './alive.ts';
import { createSpool, SPOOL_FIELD } from './spool-layout.ts';

const folder = mkdtempSync(join(tmpdir(), 'irr-alive-'));
afterAll(() => rmSync(folder, { recursive: true }));

function spool(name: string): string {
  const path = join(folder, name);
  const none = { kernel: '', machine: '', cpu: '', recording: '', trace: '', bootId: '' };
  createSpool(path, { realtimeNs: 0n, monotonicNs: 0n, ...none }, 1);
  return path;
}

test('a recorder runs as long as it has the spool open', () => {
  const path = spool('a.spool');
  const fd = openSync(path, 'r+');
  expect(recorderState(path)).toBe('runs');
  closeSync(fd);
  expect(recorderState(path)).toBe('gone');
});

test('a process that is no more has nothing open', () => {
  const path = spool('b.spool');
  const fd = openSync(path, 'r+');
  const pid = Buffer.alloc(4);
  pid.writeUInt32LE(spawnSync('true').pid);
  writeSync(fd, pid, 0, 4, SPOOL_FIELD.creator);
  expect(recorderState(path)).toBe('gone');
  closeSync(fd);
});

test('without a spool, and of what is none, nothing is known', () => {
  expect(recorderState(join(folder, 'none.spool'))).toBe('absent');
  writeFileSync(join(folder, 'other'), 'x'.repeat(4096));
  expect([recorderState(join(folder, 'other')), recorderState(folder)]).toEqual(['unknown', 'unknown']);
  // opened, a pipe would wait for a writer for ever
  spawnSync('mkfifo', [join(folder, 'pipe')]);
  expect(recorderState(join(folder, 'pipe'))).toBe('unknown');
});
