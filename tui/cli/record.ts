/** `record`: the front end of the recorder. */
import { machineNamed } from '../../hw/iommufd/machine.ts';
import { DIALECTS, type DialectName } from '../../hw/uapi/table.ts';
import { record } from '../../recorder/record.ts';
import type { Options, Run } from './commands.ts';
import { PROGRAM } from './commands.ts';
import { UsageError } from './errors.ts';
import { freeName } from './free-name.ts';
import { version } from './version.ts';

/** The rules that answer; default: the newest kernel's. */
function dialectOf(name: Options[string]): DialectName {
  const found = typeof name === 'string' ? DIALECTS.find((d) => d === name) : DIALECTS[0];
  if (found === undefined) throw new UsageError(`record: there is no dialect ${String(name)}`, `one of ${DIALECTS.join(', ')}`);
  return found;
}

/** How often hardware queues are read; 0: not every so often. */
function milliseconds(given: Options[string]): number {
  if (typeof given !== 'string') return 0;
  const ms = /^\d+$/.test(given) ? Number(given) : 0;
  if (ms < 1 || ms > MOST_MS) throw new UsageError(`record: --sample-queues ${given}`, `milliseconds, 1 to ${MOST_MS}`);
  return ms;
}
const MOST_MS = 3_600_000;

export const run: Run = async (command, options, io) => {
  if (command.length === 0) throw new UsageError('record: no program to run', `${PROGRAM} record -o FILE.irr -- PROGRAM [ARGUMENT…]`);
  const output = typeof options.output === 'string' ? options.output : freeName(command[0] ?? '');
  return record({
    command,
    output,
    force: options.force === true,
    ...(options.on === 'model'
      ? { model: { dialect: dialectOf(options.dialect), machine: machineNamed(options.machine) ?? 'plain' } }
      : {}),
    ...(typeof options.spool === 'string' ? { spool: options.spool } : {}),
    mmio: options.mmio === true,
    kvm: options.kvm === true,
    sampleQueuesMs: milliseconds(options.sampleQueues),
    tool: `${PROGRAM} ${version()}`,
    note: io.note,
  });
};
