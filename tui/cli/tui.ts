/** `tui`: the front end of the screens. */
import { runTui } from '../app.ts';
import type { Run } from './commands.ts';
import type { ColorChoice } from './output.ts';

export const run: Run = ([path = '', b], options) =>
  runTui(path, {
    b,
    plain: options.plain === true,
    at: String(options.at),
    color: (options.color as ColorChoice | undefined) ?? 'auto',
    ...(options.ascii === true ? { ascii: true } : {}),
  });
