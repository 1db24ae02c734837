/** Presets: what is known to differ between two kernels or patch series, so that only the unknown remains. */
import type { IgnoreRule } from '../../replayer/diff/ignore.ts';
import { UsageError } from './errors.ts';

/** By name: is a row of known differences one of these? */
const PRESETS: Readonly<Record<string, (known: string) => boolean>> = {
  known: () => true,
};

export const presetNames = (): string[] => Object.keys(PRESETS);

export function presetRule(name: string): IgnoreRule {
  const has = Object.hasOwn(PRESETS, name) ? PRESETS[name] : undefined;
  if (has === undefined) throw new UsageError(`--preset: there is none called "${name}"`, `presets: ${presetNames().join(', ')}`);
  return { name: `preset ${name}`, ignores: (_, known) => known !== undefined && has(known) };
}
