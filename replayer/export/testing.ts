/** Compiling reproducers, for tests. */
import { spawnSync } from 'node:child_process';
import { TraceReader } from '../../store/read.ts';
import { drained } from '../diff/align/align.ts';
import { tableOf } from '../fold.ts';
import type { Program } from '../program/program.ts';
import { programOf } from '../program/program-of.ts';

export const hasCompiler = spawnSync('gcc', ['--version'], { stdio: 'ignore' }).status === 0;

/** Another folder of headers, that of an unpacked linux-libc-dev for one. */
export const otherHeaders = process.env.UAPI_HEADERS;

const STRICT = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-pthread', '-x', 'c'];

/** What the compiler has to say: '' nothing. */
export function complaints(source: string, more: readonly string[] = ['-fsyntax-only']): string {
  const { stderr, status } = spawnSync('gcc', [...STRICT, ...more, '-'], { input: source, encoding: 'utf8', maxBuffer: 1 << 26 });
  return status === 0 ? stderr : stderr || `status ${status}`;
}

export const headersOf = (folder: string): string[] => [
  '-isystem',
  folder,
  '-isystem',
  `${folder}/x86_64-linux-gnu`,
  '-isystem',
  `${folder}/aarch64-linux-gnu`,
];

/** The program of a recorded session in fixtures/traces. */
export function recorded(name: string): Program {
  const reader = TraceReader.open(new URL(`../../fixtures/traces/${name}.irr`, import.meta.url).pathname);
  try {
    return drained(programOf(reader, tableOf(reader.meta)));
  } finally {
    reader.close();
  }
}
