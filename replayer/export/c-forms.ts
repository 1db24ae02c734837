/** The two kinds of C program that a reproducer can be: one of its own, and a test of the kernel's harness. */
import type { Style } from './c-step.ts';
import type { Used } from './used.ts';

export interface Form {
  readonly style: (used: Used) => Style;
  /** how to make a program of it, a paragraph each */
  readonly build: readonly string[];
  /** `void`, or what functions are given */
  readonly parameters: string;
  /** what they are called with */
  readonly given: string;
  /** first lines of a thread's function, whose argument is `arg` */
  readonly thread: string;
  /** first includes */
  readonly includes: readonly string[];
  /** head of the function that all begins with */
  readonly main: string;
  readonly end: readonly string[];
  readonly last: readonly string[];
  /** a process that was forked ends */
  readonly leave: string;
  /** what is said of a child's status */
  readonly status: (status: string) => string;
  /** a condition with which it is no use to go on */
  readonly failed: (condition: string) => string;
  /** each step is a block of its own */
  readonly blocks: boolean;
  /** functions that check */
  readonly checks: (used: Used) => readonly string[];
  /** which of the kernel's private headers may be there, by path from the file */
  readonly privateHeader: string | undefined;
}

/** What calls of iommufd and VFIO answer. */
const ERRORS =
  'EPERM ENOENT EINTR EIO ENXIO E2BIG EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENODEV EINVAL ENFILE EMFILE ENOTTY EFBIG ENOSPC ESPIPE ERANGE EDEADLK ENOSYS EMSGSIZE EPROTONOSUPPORT EOPNOTSUPP EADDRINUSE ENOBUFS EOVERFLOW EBADE ETIMEDOUT ECANCELED'.split(
    ' ',
  );

function errorTable(expected: ReadonlySet<string>): string {
  const lines: string[] = [];
  const names = [...new Set([...ERRORS, ...expected])];
  for (const item of names.map((e) => `E(${e}),`)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + item.length < 84) lines.push(`${lines.pop()} ${item}`);
    else lines.push(`\t\t${item}`);
  }
  return `static const char *error_name(int error)
{
#define E(name) { name, #name }
	static const struct { int error; const char *name; } names[] = {
${lines.join('\n')}
	};
	static char number[32];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	snprintf(number, sizeof(number), "errno %d", error);
	return error ? number : "success";
}`;
}

const EXPECT = `/* Says where it goes otherwise than in the recording. */
static void expect(int error, long seq, const char *call, long ret)
{
	int got = ret < 0 ? errno : 0;

	if (got == error)
		return;
	fprintf(stderr, "#%ld %s: %s, ", seq, call, error_name(got));
	fprintf(stderr, "recorded %s\\n", error_name(error));
	differences++;
}
#define EXPECT(error, seq, call) expect(error, seq, #call, (long)(call))`;

const SAME = `static void same(long seq, const char *what, unsigned long long value, unsigned long long recorded)
{
	if (value == recorded)
		return;
	fprintf(stderr, "#%ld %s is 0x%llx, recorded 0x%llx\\n", seq, what, value, recorded);
	differences++;
}
#define SAME(seq, value, recorded) same(seq, #value, value, recorded)`;

export const OWN: Form = {
  style: (used) => ({
    expect(error, seq, call, to) {
      used.helper('EXPECT');
      if (/^E/.test(error)) used.errors.add(error);
      return [`EXPECT(${error}, ${seq}, ${to === undefined ? '' : `${to} = `}${call});`];
    },
    same(seq, value, recorded) {
      used.helper('SAME');
      return `SAME(${seq}, ${value}, ${recorded});`;
    },
  }),
  build: [
    'gcc -std=gnu11 -Wall -Wextra -O2 -pthread -o repro FILE.c',
    'Exit status: 0 it went as in the recording, 1 it did not; what differs is on stderr, with the number of the event. Number and errno of each event stand in its EXPECT().',
  ],
  parameters: 'void',
  given: '',
  thread: '(void)arg;',
  includes: [],
  main: 'int main(void)',
  end: ['return differences != 0;'],
  last: [],
  leave: '_exit(differences != 0);',
  blocks: false,
  failed: (condition) => `if (${condition})\n\t\treturn 2;`,
  status: (status) => `differences += ${status} != 0;`,
  checks: (used) => [
    'static int differences;',
    ...(used.helpers.has('EXPECT') ? [errorTable(used.errors), EXPECT] : []),
    ...(used.helpers.has('SAME') ? [SAME] : []),
  ],
  privateHeader: undefined,
};

export const KSELFTEST: Form = {
  style: () => ({
    expect(error, _seq, call, to) {
      if (error !== '0') return [`ASSERT_EQ(-1, ${call});`, `EXPECT_EQ(${error}, errno);`];
      return to === undefined ? [`ASSERT_NE(-1, ${call});`] : [`${to} = ${call};`, `ASSERT_NE(-1, ${to});`];
    },
    same: (_seq, value, recorded) => `EXPECT_EQ(${recorded}, ${value});`,
  }),
  build: ['A test for tools/testing/selftests/iommu: name it in TEST_GEN_PROGS of the Makefile there.'],
  parameters: 'struct __test_metadata *_metadata',
  given: '_metadata',
  thread: 'struct __test_metadata *_metadata = arg;',
  includes: ['#include "../kselftest_harness.h"'],
  main: 'TEST(recorded)',
  end: [],
  last: ['TEST_HARNESS_MAIN'],
  leave: '_exit(0);',
  // a check is a loop with room for a statement of the test's own: the next statement is not to look like it
  blocks: true,
  failed: (condition) => `ASSERT_FALSE(${condition});`,
  status: (status) => `ASSERT_EQ(0, ${status});`,
  checks: () => [],
  privateHeader: '../../../../drivers/iommu/iommufd/iommufd_test.h',
};
