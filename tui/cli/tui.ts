/** `tui`: the front end of the screens. */
import { runTui } from '../app.ts';
import type { Run } from './commands.ts';
import { UsageError } from './errors.ts';
import type { ColorChoice } from './output.ts';

/** Where the screens of one trace begin when nothing is said. */
const START = '1';

export const run: Run = ([path = '', b], options) => {
  const follow = options.follow === true;
  if (follow && b !== undefined) throw new UsageError('--follow takes one trace: two are compared as they are now');
  if (follow && options.plain === true) throw new UsageError('--follow needs the screens: with --plain a trace is read as it is now');
  // followed, a recording is looked at where it goes on; two are looked at where they differ
  const begin = follow ? 'end' : b === undefined ? START : undefined;
  const at = options.at === START ? begin : String(options.at);
  return runTui(path, {
    b,
    plain: options.plain === true,
    ...(at === undefined ? {} : { at }),
    follow,
    mouse: options.mouse !== false,
    color: (options.color as ColorChoice | undefined) ?? 'auto',
    ...(options.ascii === true ? { ascii: true } : {}),
  });
};
