/** `record`: the front end of the recorder. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { DIALECTS, type DialectName } from '../../hw/uapi/table.ts';
import { record } from '../../recorder/record.ts';
import type { Options, Run } from './commands.ts';
import { PROGRAM } from './commands.ts';
import { UsageError } from './errors.ts';
import { version } from './version.ts';

/** vmm.irr, or vmm.2.irr where that exists: a recording never replaces another. */
function freeName(command: string): string {
  const stem = basename(command).replace(/[^\w.+-]/g, '_') || 'trace';
  let name = `${stem}.irr`;
  for (let n = 2; existsSync(name); n++) name = `${stem}.${n}.irr`;
  return name;
}

/** The rules that answer; default: the newest kernel's. */
function dialectOf(name: Options[string]): DialectName {
  const found = typeof name === 'string' ? DIALECTS.find((d) => d === name) : DIALECTS[0];
  if (found === undefined) throw new UsageError(`record: there is no dialect ${String(name)}`, `one of ${DIALECTS.join(', ')}`);
  return found;
}

export const run: Run = async (command, options, io) => {
  if (command.length === 0) throw new UsageError('record: no program to run', `${PROGRAM} record -o FILE.irr -- PROGRAM [ARGUMENT…]`);
  const output = typeof options.output === 'string' ? options.output : freeName(command[0] ?? '');
  return record({
    command,
    output,
    force: options.force === true,
    ...(options.on === 'model' ? { model: dialectOf(options.dialect) } : {}),
    ...(typeof options.spool === 'string' ? { spool: options.spool } : {}),
    mmio: options.mmio === true,
    tool: `${PROGRAM} ${version()}`,
    note: io.note,
  });
};
