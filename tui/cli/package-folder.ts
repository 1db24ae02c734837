/** Where the program's own data lies: the same folders beside the sources and beside what is built of them. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A folder of the package; undefined where this copy does not have it. */
export function packageFolder(...path: readonly string[]): string | undefined {
  const here = dirname(fileURLToPath(import.meta.url));
  return ['../..', '../../..'].map((up) => join(here, up, ...path)).find((folder) => existsSync(folder));
}
