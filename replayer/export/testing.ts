/** Compiling reproducers, for tests. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
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
export function complaints(source: string, more: readonly string[] = ['-fsyntax-only'], cwd?: string): string {
  const { stderr, status } = spawnSync('gcc', [...STRICT, ...more, '-'], { input: source, encoding: 'utf8', maxBuffer: 1 << 26, cwd });
  return status === 0 ? stderr : stderr || `status ${status}`;
}

/** What of the kernel's test harness a reproducer uses, for a compiler that has no kernel tree. */
const HARNESS = `#include <stdio.h>
#include <stdlib.h>
struct __test_metadata { int failed; };
static void (*only)(struct __test_metadata *);
#define TEST(name) static void name(struct __test_metadata *); \\
	static void __attribute__((constructor)) set_##name(void) { only = name; } \\
	static void name(struct __test_metadata *_metadata __attribute__((unused)))
#define CHECK(a, op, b, fatal) do { __typeof__(a) one = (a); __typeof__(b) other = (b); \\
	if (!(one op other)) { fprintf(stderr, "%d: %s %s %s\\n", __LINE__, #a, #op, #b); _metadata->failed = 1; if (fatal) exit(1); } } while (0)
#define ASSERT_EQ(a, b) CHECK(a, ==, b, 1)
#define ASSERT_NE(a, b) CHECK(a, !=, b, 1)
#define ASSERT_FALSE(a) CHECK(0, ==, a, 1)
#define EXPECT_EQ(a, b) CHECK(a, ==, b, 0)
#define TEST_HARNESS_MAIN int main(void) { struct __test_metadata m = { 0 }; only(&m); return m.failed; }
`;

/** A folder with the harness where a test expects it: that of KSELFTESTS (tools/testing/selftests of a kernel), or one of its own. */
export function harnessIn(folder: string): string {
  mkdirSync(`${folder}/iommu`);
  const real = process.env.KSELFTESTS;
  for (const name of real === undefined ? [] : ['kselftest.h', 'kselftest_harness.h']) copyFileSync(`${real}/${name}`, `${folder}/${name}`);
  if (real === undefined) writeFileSync(`${folder}/kselftest_harness.h`, HARNESS);
  return `${folder}/iommu`;
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
