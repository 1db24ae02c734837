/** `simulate`: a scenario, run on the models of kernel and hardware, as a trace. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ScenarioError } from '../../hw/scenario/script.ts';
import { DIALECTS } from '../../hw/uapi/table.ts';
import { simulate } from '../../recorder/simulate.ts';
import { PROGRAM, type Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { freeName } from './free-name.ts';
import { type Out, paint } from './output.ts';
import { packageFolder } from './package-folder.ts';
import { version } from './version.ts';

const SUFFIX = '.scn';
/** A scenario is written by hand. */
const BYTES_MOST = 1 << 20;

const folderOf = (): string | undefined => packageFolder('fixtures', 'scenarios');

/** Names of the scenarios that come with the program. */
function builtIn(): string[] {
  const folder = folderOf();
  if (folder === undefined) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
    .sort();
}

/** A file, or the name of a scenario that comes with the program: a file of that name goes first. */
function pathOf(scenario: string): string {
  const found = statSync(scenario, { throwIfNoEntry: false });
  if (found?.isFile() === true) {
    if (found.size > BYTES_MOST) throw new UsageError(`${scenario}: ${found.size} bytes are no scenario`);
    return scenario;
  }
  const name = scenario.endsWith(SUFFIX) ? scenario.slice(0, -SUFFIX.length) : scenario;
  const folder = folderOf();
  if (folder !== undefined && builtIn().includes(name)) return join(folder, `${name}${SUFFIX}`);
  throw new UsageError(
    found === undefined ? `${scenario}: there is no such file or scenario` : `${scenario}: is no file`,
    `${PROGRAM} simulate --list names those that come with the program`,
  );
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
  }
}

/** Each with what its first line says of it. */
function list(out: Out): number {
  const names = builtIn();
  if (names.length === 0) throw new UsageError('simulate: this copy has no scenarios', 'they are in fixtures/scenarios of the repository');
  const width = Math.max(...names.map((n) => n.length));
  for (const name of names) {
    const [first = ''] = textOf(pathOf(`${name}${SUFFIX}`)).split('\n');
    out.line(paint('call', name.padEnd(width)), `  ${first.startsWith('#') ? first.slice(1).trim() : ''}`);
  }
  return 0;
}

export const run: Run = async ([scenario], options, io) => {
  if (options.list === true) return list(io.out());
  if (scenario === undefined) throw new UsageError('simulate: which scenario?', `${PROGRAM} simulate --list names those that there are`);
  const dialect = DIALECTS.find((d) => d === (options.dialect ?? DIALECTS[0]));
  if (dialect === undefined)
    throw new UsageError(`simulate: there is no dialect ${String(options.dialect)}`, `one of ${DIALECTS.join(', ')}`);
  const path = pathOf(scenario);
  const name = basename(path);
  const output = typeof options.output === 'string' ? options.output : freeName(basename(name, SUFFIX));
  try {
    const events = simulate(textOf(path), { dialect, output, name, tool: `${PROGRAM} ${version()}` });
    io.note(`simulated ${events} events on ${dialect} in ${output}`);
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    throw new UsageError(`${path}:${error.line}: ${error.message.replace(/^line \d+: /, '')}`, `on ${dialect}; nothing was written`);
  }
  return 0;
};
