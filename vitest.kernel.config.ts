import { defineConfig } from 'vitest/config';

/** The tests on real kernels: `npm run test:kernel`. They skip, and say so, where there is no guest machine. */
// biome-ignore lint/style/noDefaultExport: vitest wants it
export default defineConfig({
  test: {
    include: ['fixtures/kernel/*.kernel.test.ts', 'fixtures/kernel/kill.test.ts'],
    globalSetup: ['fixtures/kernel/setup.ts'],
    fileParallelism: false,
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    env: { TZ: 'UTC', LC_ALL: 'C.UTF-8', IRR_KERNEL_TESTS: '1', IRR_KILL_ROUNDS: '200' },
  },
});
