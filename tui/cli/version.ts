import { readFileSync } from 'node:fs';
import { PROGRAM } from './commands.ts';

/** The version of the package that this file belongs to. */
export function version(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as { name?: string; version?: string };
      if (found.name === PROGRAM) return found.version ?? '0';
    } catch {
      // built and unbuilt trees differ in depth
    }
  }
  return '0';
}
