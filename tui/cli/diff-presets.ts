/** Presets: what is known to differ between two kernels or patch series, so that only the unknown remains. */
import { DIALECTS, type DialectName } from '../../hw/uapi/table.ts';
import { KNOWN, type KnownRow } from '../../replayer/diff/causes/known.ts';
import { UsageError } from './errors.ts';

export interface Preset {
  readonly name: string;
  /** is a row of known differences one of these? */
  readonly has: (known: string) => boolean;
}

/** All that is known to differ between the dialects of the two traces, whatever they are. */
const ANY = 'known';
const EXAMPLES = '6.12..7.2, vcmdq-v2..hw-queue-v4, hw-queue-v4..7.2';
export const PRESET_TEXT = `${ANY} (between the two that were recorded), or two dialects with dots between: ${EXAMPLES} …`;

const dialectNamed = (text: string): DialectName | undefined => DIALECTS.find((d) => d === text || d === `linux-${text}`);
const columnOf = (row: KnownRow, dialect: DialectName): number => row.columns.findIndex((column) => column.includes(dialect));

export function presetNamed(name: string): Preset {
  if (name === ANY) return { name, has: () => true };
  const [, from = '', to = ''] = /^(.+?)\.\.(.+)$/.exec(name) ?? [];
  const [a, b] = [dialectNamed(from), dialectNamed(to)];
  if (a === undefined || b === undefined)
    throw new UsageError(`--preset: there is none called "${name}"`, `presets: ${PRESET_TEXT}; dialects: ${DIALECTS.join(', ')}`);
  const rows = KNOWN.filter((row) => {
    const [x, y] = [columnOf(row, a), columnOf(row, b)];
    return x >= 0 && y >= 0 && x !== y;
  });
  const names = new Set(rows.map((row) => row.name));
  return { name, has: (known) => names.has(known) };
}
