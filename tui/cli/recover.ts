/** `recover`: the front end of the recovery. */
import { recover } from '../../recorder/recover.ts';
import type { Run } from './commands.ts';
import { PROGRAM } from './commands.ts';
import { version } from './version.ts';

export const run: Run = async ([spool = ''], options, io) => {
  const output = typeof options.output === 'string' ? options.output : undefined;
  const result = recover(spool, output, { force: options.force === true, tool: `${PROGRAM} ${version()}` });
  const stored = result.resumed > 0 ? `, of which ${result.resumed} were stored before` : '';
  io.note(`recovered ${result.events} events (${result.dropped} dropped${stored})${output === undefined ? '' : ` in ${output}`}`);
  return 0;
};
