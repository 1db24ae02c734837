/** `tui`: the front end of the screens. */
import { runTui } from '../app.ts';
import type { Run } from './commands.ts';
import type { ColorChoice } from './output.ts';

/** Where the screens begin when nothing is said. */
const START = '1';

export const run: Run = ([path = '', b], options) =>
  runTui(path, {
    b,
    plain: options.plain === true,
    // followed, a recording is looked at where it goes on
    at: options.follow === true && options.at === START ? 'end' : String(options.at),
    follow: options.follow === true,
    mouse: options.mouse !== false,
    color: (options.color as ColorChoice | undefined) ?? 'auto',
    ...(options.ascii === true ? { ascii: true } : {}),
  });
