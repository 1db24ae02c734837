import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{hw,store,recorder,replayer,tui,fixtures}/**/*.test.{ts,tsx}'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    env: { TZ: 'UTC', LC_ALL: 'C.UTF-8' },
  },
});
