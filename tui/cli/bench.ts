/** `bench`: says how to measure; the programs that measure are no part of what is installed. */
import type { Run } from './commands.ts';

export const run: Run = async (_args, _options, io) => {
  const out = io.out();
  out.line('The benchmarks are run from the source tree:');
  out.line();
  out.line('    npm run bench');
  out.line();
  out.line('Each prints what it measured as a ratio to a baseline that is named and measured in the same run.');
  return 0;
};
