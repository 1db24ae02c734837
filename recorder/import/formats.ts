/** The logs that can be imported; one more is a row here and a parser of its own. */
import type { Format } from './format.ts';
import { FTRACE } from './ftrace.ts';
import { MMIOTRACE } from './mmiotrace.ts';

export const FORMATS: readonly Format[] = [MMIOTRACE, FTRACE];

export const formatNamed = (name: string): Format | undefined => FORMATS.find((f) => f.name === name);
